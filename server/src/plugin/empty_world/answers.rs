//! Answers of WASI functions that are not implemented one by one, derived from their result type.
//!
//! A function that can fail does so, with the error closest to "not permitted". Otherwise it
//! returns an empty value. A resource that it has to return is one that can do nothing.

use wasmtime::{
    bail,
    component::{Val, types::Type},
};

use super::{Context, handle};

/// Names of errors in order of preference: those of sockets, files, HTTP, streams.
const ERRORS: [&str; 8] = [
    "access-denied",
    "not-permitted",
    "HTTP-request-denied",
    "closed",
    "not-supported",
    "unsupported",
    "immutable",
    "other",
];

/// The answer of a function with this result type.
pub(super) fn refusal(context: &mut Context<'_>, kind: &Type) -> wasmtime::Result<Val> {
    match kind {
        Type::Result(result) => {
            let error = result.err().map(|kind| error(context, &kind)).transpose()?;
            Ok(Val::Result(Err(error.map(Box::new))))
        }
        other => empty(context, other),
    }
}

fn error(context: &mut Context<'_>, kind: &Type) -> wasmtime::Result<Val> {
    match kind {
        Type::Enum(names) => {
            let taken = ERRORS.iter().find(|wanted| names.names().any(|name| name == **wanted));
            let taken = taken.copied().or_else(|| names.names().next());
            Ok(Val::Enum(taken.unwrap_or_default().to_owned()))
        }
        Type::Variant(variant) => {
            let bare = || variant.cases().filter(|case| case.ty.is_none()).map(|case| case.name);
            let taken = ERRORS.iter().copied().find(|wanted| bare().any(|name| name == *wanted));
            match taken.or_else(|| bare().next()) {
                Some(name) => Ok(Val::Variant(name.to_owned(), None)),
                None => empty(context, kind),
            }
        }
        other => empty(context, other),
    }
}

fn empty(context: &mut Context<'_>, kind: &Type) -> wasmtime::Result<Val> {
    Ok(match kind {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char(' '),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Map(_) => Val::Map(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Result(_) => refusal(context, kind)?,
        Type::Own(_) => handle(context, None)?,
        Type::Enum(names) => Val::Enum(names.names().next().unwrap_or_default().to_owned()),
        Type::Tuple(tuple) => {
            let values = tuple.types().map(|kind| empty(context, &kind));
            Val::Tuple(values.collect::<wasmtime::Result<_>>()?)
        }
        Type::Record(record) => {
            let fields = record
                .fields()
                .map(|field| Ok((field.name.to_owned(), empty(context, &field.ty)?)));
            Val::Record(fields.collect::<wasmtime::Result<_>>()?)
        }
        Type::Variant(variant) => {
            let Some(case) = variant.cases().next() else { bail!("a variant without cases") };
            let value = case.ty.map(|kind| empty(context, &kind)).transpose()?;
            Val::Variant(case.name.to_owned(), value.map(Box::new))
        }
        _ => bail!("this function of WASI is not offered here"),
    })
}

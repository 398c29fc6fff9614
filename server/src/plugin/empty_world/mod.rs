//! The WASI of guests: an empty world.
//!
//! The tool chains of interpreters (JavaScript, Python) import all of WASI, whether the author's
//! code uses it or not, and call some of it at start-up. So every function exists and answers,
//! whichever 0.2.x its import names: there are no files, no network, no environment, no arguments
//! and no input. Standard output and error go to the plugin's log. The clock starts at the event's
//! time and advances only when it is read or waited for; random bytes derive from the event's id.
//! So the same event gives the same answer at every attempt.
//!
//! [`known`] implements a few functions. All others are answered by the type of their result, see
//! [`answers`].

mod answers;
pub(super) mod state;

use wasmtime::{
    Engine, StoreContextMut, bail,
    component::{
        Component, LinkerInstance, ResourceAny, ResourceType, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

pub(super) use self::state::World;
use self::state::{STDERR, STDOUT};
use super::guest::Guest;

/// The type of all WASI resources: a number with nothing behind it.
struct Nothing;

type Context<'a> = StoreContextMut<'a, Guest>;
type Known = fn(&mut Context<'_>, &[Val]) -> wasmtime::Result<Val>;

/// Whether an import is WASI's.
pub(super) fn is_wasi(name: &str) -> bool {
    name.starts_with("wasi:")
}

/// Defines every WASI import of `component`. Other imports are left alone.
pub(super) fn link(
    linker: &mut wasmtime::component::Linker<Guest>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, import) in component.component_type().imports(engine) {
        if !is_wasi(name) {
            continue;
        }
        let ComponentItem::ComponentInstance(interface) = import.ty else {
            bail!("{name} is no interface");
        };
        let interface_name = name.split_once('@').map_or(name, |(interface, _)| interface);
        let mut defined = linker.instance(name)?;
        for (member, export) in interface.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => function(&mut defined, interface_name, member)?,
                ComponentItem::Resource(_) => {
                    let nothing = ResourceType::host::<Nothing>();
                    defined.resource(member, nothing, |mut context, handle| {
                        context.data_mut().world().dropped(handle);
                        Ok(())
                    })?;
                }
                ComponentItem::Type(_) => {}
                _ => bail!("{name} has {member}, which is neither function nor type"),
            }
        }
    }
    Ok(())
}

fn function(
    defined: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    member: &str,
) -> wasmtime::Result<()> {
    let known = known(interface, member);
    defined.func_new(member, move |mut context, form: ComponentFunc, given, results| {
        let given = given.iter().map(|value| without_handles(&mut context, value));
        let given = given.collect::<wasmtime::Result<Vec<Val>>>()?;
        let Some(result) = results.first_mut() else {
            return known.map_or(Ok(()), |known| known(&mut context, &given).map(drop));
        };
        *result = match (known, form.results().next()) {
            (Some(known), _) => known(&mut context, &given)?,
            (None, Some(kind)) => answers::refusal(&mut context, &kind)?,
            (None, None) => bail!("a function of WASI without a result was asked for one"),
        };
        Ok(())
    })
}

/// Functions that do more than refuse, by their names in WASI 0.2.
fn known(interface: &str, member: &str) -> Option<Known> {
    Some(match (interface, member) {
        ("wasi:cli/exit", _) => |_, _| bail!("it called exit"),
        ("wasi:cli/stdout", "get-stdout") => |context, _| handle(context, Some(STDOUT)),
        ("wasi:cli/stderr", "get-stderr") => |context, _| handle(context, Some(STDERR)),
        ("wasi:io/streams", "[method]output-stream.check-write") => {
            |_, _| Ok(Val::Result(Ok(Some(Box::new(Val::U64(WRITE_BYTES_MAX))))))
        }
        (
            "wasi:io/streams",
            "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush",
        ) => write,
        (
            "wasi:io/streams",
            "[method]output-stream.flush" | "[method]output-stream.blocking-flush",
        ) => |_, _| Ok(Val::Result(Ok(None))),
        ("wasi:io/poll", "poll") => poll,
        ("wasi:io/poll", "[method]pollable.block") => |context, given| {
            let waited = numbers(given);
            context.data_mut().world().wait(&waited);
            Ok(Val::Bool(true))
        },
        ("wasi:io/poll", "[method]pollable.ready") => |context, given| {
            let ready = context.data_mut().world().is_ready(number(given)?);
            Ok(Val::Bool(ready))
        },
        ("wasi:clocks/monotonic-clock", "now") => {
            |context, _| Ok(Val::U64(context.data_mut().world().now_ns()))
        }
        ("wasi:clocks/monotonic-clock", "resolution") => |_, _| Ok(Val::U64(state::STEP_NS)),
        ("wasi:clocks/monotonic-clock", "subscribe-instant") => |context, given| {
            let at_ns = u64_of(given)?;
            timer(context, at_ns)
        },
        ("wasi:clocks/monotonic-clock", "subscribe-duration") => |context, given| {
            let at_ns = context.data_mut().world().now_ns().saturating_add(u64_of(given)?);
            timer(context, at_ns)
        },
        ("wasi:clocks/wall-clock", "now") => |context, _| {
            let (seconds, nanoseconds) = context.data_mut().world().wall_clock();
            Ok(datetime(seconds, nanoseconds))
        },
        ("wasi:clocks/wall-clock", "resolution") => |_, _| Ok(datetime(0, 1_000_000)),
        ("wasi:random/random", "get-random-bytes")
        | ("wasi:random/insecure", "get-insecure-random-bytes") => random_bytes,
        ("wasi:random/random", "get-random-u64")
        | ("wasi:random/insecure", "get-insecure-random-u64") => {
            |context, _| Ok(Val::U64(context.data_mut().world().random()))
        }
        ("wasi:random/insecure-seed", _) => |context, _| {
            let world = context.data_mut().world();
            Ok(Val::Tuple(vec![Val::U64(world.random()), Val::U64(world.random())]))
        },
        _ => return None,
    })
}

/// Bytes that a stream accepts at once.
const WRITE_BYTES_MAX: u64 = 64 << 10;
/// Random bytes that one function call returns at most.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

fn write(context: &mut Context<'_>, given: &[Val]) -> wasmtime::Result<Val> {
    let Some(Val::List(bytes)) = given.get(1) else { bail!("nothing to write was given") };
    let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
    let bytes: Vec<u8> = bytes.iter().filter_map(byte).collect();
    context.data_mut().print(&bytes);
    Ok(Val::Result(Ok(None)))
}

fn poll(context: &mut Context<'_>, given: &[Val]) -> wasmtime::Result<Val> {
    let Some(Val::List(waited)) = given.first() else { bail!("nothing to poll was given") };
    let waited = numbers(waited);
    if waited.is_empty() {
        bail!("it polls nothing, and would wait for ever");
    }
    let ready = context.data_mut().world().wait(&waited);
    Ok(Val::List(ready.into_iter().map(Val::U32).collect()))
}

fn random_bytes(context: &mut Context<'_>, given: &[Val]) -> wasmtime::Result<Val> {
    let count = u64_of(given)?;
    if count > RANDOM_BYTES_MAX {
        bail!("{count} random bytes at once are more than {RANDOM_BYTES_MAX}");
    }
    let world = context.data_mut().world();
    let words = std::iter::repeat_with(|| world.random().to_le_bytes());
    let bytes = words.take(usize::try_from(count.div_ceil(8))?).flatten();
    Ok(Val::List(bytes.take(usize::try_from(count)?).map(Val::U8).collect()))
}

fn timer(context: &mut Context<'_>, at_ns: u64) -> wasmtime::Result<Val> {
    let timer = context.data_mut().world().timer(at_ns)?;
    handle(context, Some(timer))
}

/// A resource for the guest, with this number or a new one.
fn handle(context: &mut Context<'_>, number: Option<u32>) -> wasmtime::Result<Val> {
    let number = match number {
        Some(number) => number,
        None => context.data_mut().world().handle()?,
    };
    let resource = wasmtime::component::Resource::<Nothing>::new_own(number);
    Ok(Val::Resource(ResourceAny::try_from_resource(resource, context)?))
}

/// Copies an argument, with resources replaced by their numbers. Reading a borrowed resource also
/// ends the borrow, which must happen before the call returns.
fn without_handles(context: &mut Context<'_>, value: &Val) -> wasmtime::Result<Val> {
    Ok(match value {
        Val::Resource(resource) => {
            let owned = resource.owned();
            let number = resource.try_into_resource::<Nothing>(&mut *context)?.rep();
            if owned {
                context.data_mut().world().dropped(number);
            }
            Val::U32(number)
        }
        Val::List(values) if values.iter().any(|value| matches!(value, Val::Resource(_))) => {
            let values = values.iter().map(|value| without_handles(context, value));
            Val::List(values.collect::<wasmtime::Result<_>>()?)
        }
        Val::Option(Some(value)) => Val::Option(Some(Box::new(without_handles(context, value)?))),
        Val::Result(Ok(Some(value))) => {
            Val::Result(Ok(Some(Box::new(without_handles(context, value)?))))
        }
        other => other.clone(),
    })
}

fn numbers(values: &[Val]) -> Vec<u32> {
    let number = |value: &Val| if let Val::U32(number) = value { Some(*number) } else { None };
    values.iter().filter_map(number).collect()
}

fn number(given: &[Val]) -> wasmtime::Result<u32> {
    match given.first() {
        Some(Val::U32(number)) => Ok(*number),
        _ => bail!("a function of WASI was called on nothing"),
    }
}

fn u64_of(given: &[Val]) -> wasmtime::Result<u64> {
    match given.first() {
        Some(Val::U64(number)) => Ok(*number),
        _ => bail!("a function of WASI was called without its number"),
    }
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64(seconds)),
        ("nanoseconds".to_owned(), Val::U32(nanoseconds)),
    ])
}

//! The helpers: each takes JSON values and returns one, which is written like the value of a path.
//!
//! Data that a helper can't read (an invalid date, a list instead of text) yields no value, so the
//! treatment of unresolved tokens applies. A mistake in the template (an unknown algorithm, a meaningless
//! format) is refused while compiling if it is a literal, and fails the rendering if it comes from the
//! event.

use std::ops::RangeInclusive;

use antar_json::Document;

use crate::Cause;
use crate::value::Val;

mod dates;
mod digests;
mod logic;
mod numbers;
mod texts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Helper {
    Lookup,
    Eq,
    Ne,
    Gt,
    Lt,
    And,
    Or,
    Not,
    Default,
    Upper,
    Lower,
    Trim,
    Truncate,
    Replace,
    Join,
    Split,
    Date,
    Number,
    Hash,
    Hmac,
    Base64,
    Urlencode,
    Phone,
}

#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) helper: Helper,
    arguments: RangeInclusive<usize>,
    pub(crate) options: &'static [&'static str],
    /// Whether it returns one of its arguments unchanged.
    pub(crate) passes_on: bool,
}

const MANY: usize = 32;

const fn spec(name: &'static str, helper: Helper, arguments: RangeInclusive<usize>) -> Spec {
    Spec { name, helper, arguments, options: &[], passes_on: false }
}

static SPECS: [Spec; 23] = [
    spec("lookup", Helper::Lookup, 2..=MANY),
    spec("eq", Helper::Eq, 2..=2),
    spec("ne", Helper::Ne, 2..=2),
    spec("gt", Helper::Gt, 2..=2),
    spec("lt", Helper::Lt, 2..=2),
    Spec { passes_on: true, ..spec("and", Helper::And, 2..=MANY) },
    Spec { passes_on: true, ..spec("or", Helper::Or, 2..=MANY) },
    spec("not", Helper::Not, 1..=1),
    Spec { passes_on: true, ..spec("default", Helper::Default, 2..=MANY) },
    spec("upper", Helper::Upper, 1..=1),
    spec("lower", Helper::Lower, 1..=1),
    spec("trim", Helper::Trim, 1..=1),
    Spec { options: &["end"], ..spec("truncate", Helper::Truncate, 2..=2) },
    spec("replace", Helper::Replace, 3..=3),
    Spec { options: &["key"], ..spec("join", Helper::Join, 1..=2) },
    spec("split", Helper::Split, 2..=2),
    spec("date", Helper::Date, 1..=3),
    spec("number", Helper::Number, 1..=2),
    spec("hash", Helper::Hash, 1..=3),
    spec("hmac", Helper::Hmac, 2..=4),
    Spec { options: &["url"], ..spec("base64", Helper::Base64, 1..=1) },
    spec("urlencode", Helper::Urlencode, 1..=1),
    spec("phone", Helper::Phone, 1..=2),
];

pub(crate) fn find(name: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.name == name)
}

/// Names of all helpers, without blocks and `json`.
pub fn names() -> impl Iterator<Item = &'static str> {
    SPECS.iter().map(|spec| spec.name)
}

pub(crate) fn name(helper: Helper) -> &'static str {
    SPECS.iter().find(|spec| spec.helper == helper).map_or("", |spec| spec.name)
}

/// Why a helper failed.
#[derive(Debug)]
pub(crate) enum Failure {
    TooLong,
    Because(String),
}

impl From<String> for Failure {
    fn from(detail: String) -> Failure {
        Failure::Because(detail)
    }
}

/// Checks a call while compiling: the number of arguments, and the literal ones. Arguments that come from
/// the event are `None`.
pub(crate) fn check(spec: &Spec, arguments: &[Option<&Document>]) -> Result<(), (Cause, String)> {
    let (least, most) = (*spec.arguments.start(), *spec.arguments.end());
    if !spec.arguments.contains(&arguments.len()) {
        let wanted = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, MANY) => format!("{least} or more arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        let detail = format!("`{}` takes {wanted}, not {}", spec.name, arguments.len());
        return Err((Cause::ArgumentCount, detail));
    }
    // Arguments from the event count as missing, which is never a mistake.
    let values: Vec<Val<'_>> = arguments
        .iter()
        .map(|document| document.map_or(Val::Missing, |document| Val::Json(document.root())))
        .collect();
    let result = match spec.helper {
        Helper::Date => dates::check(&values),
        Helper::Hash => digests::check(&values[1..]),
        Helper::Hmac => digests::check(&values[2..]),
        Helper::Split if values[1].as_text().is_some_and(|text| text.is_empty()) => {
            Err("needs a separator that is not empty".to_owned())
        }
        Helper::Truncate if arguments[1].is_some() => texts::characters(&values[1]).map(|_| ()),
        Helper::Number if arguments.get(1).is_some_and(Option::is_some) => {
            numbers::places(&values[1]).map(|_| ())
        }
        Helper::Phone => numbers::country(values.get(1)).map(|_| ()),
        _ => Ok(()),
    };
    result.map_err(|detail| (Cause::ArgumentValue, format!("`{}` {detail}", spec.name)))
}

/// Runs a helper. `length_max`: bytes of text that it may produce at most.
pub(crate) fn call<'a>(
    helper: Helper,
    arguments: &[Val<'a>],
    options: &[(&'static str, Val<'a>)],
    length_max: usize,
) -> Result<Val<'a>, Failure> {
    let [first, rest @ ..] = arguments else { return Ok(Val::Missing) };
    if let Some(value) = logic::call(helper, first, rest) {
        return Ok(value);
    }
    if first.is_absent() {
        return Ok(first.clone());
    }
    let option =
        |name: &str| options.iter().find(|option| option.0 == name).map(|option| &option.1);
    let value = match helper {
        Helper::Join => texts::join(first, rest.first(), option("key"), length_max)?,
        Helper::Date => dates::date(first, rest)?,
        Helper::Number => numbers::number(first, rest.first())?,
        Helper::Phone => numbers::phone(first, numbers::country(rest.first())?.as_deref()),
        _ => {
            // All others work on text, which lists and objects don't have.
            let Some(text) = first.scalar() else { return Ok(Val::Missing) };
            let text = text.as_ref();
            match helper {
                Helper::Upper => Some(Val::text(text.to_uppercase())),
                Helper::Lower => Some(Val::text(text.to_lowercase())),
                Helper::Trim => Some(Val::text(text.trim().to_owned())),
                Helper::Truncate => {
                    Some(texts::truncate(text, texts::characters(&rest[0])?, option("end")))
                }
                Helper::Replace => texts::replace(text, &rest[0], &rest[1], length_max)?,
                Helper::Split => texts::split(text, &rest[0])?,
                Helper::Hash => Some(digests::hash(text, rest)?),
                Helper::Hmac => digests::hmac(text, &rest[0], &rest[1..])?,
                Helper::Base64 => {
                    Some(digests::base64(text, option("url").is_some_and(|url| url.truthy(false))))
                }
                Helper::Urlencode => Some(Val::text(crate::escape::percent_encoded(text))),
                _ => None,
            }
        }
    };
    Ok(value.unwrap_or(Val::Missing))
}

//! Conditions on one field: what a list of values and operators accepts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use antar_json::{Kind, Value};
use ipnet::IpNet;

use crate::decimal::Decimal;
use crate::fold;
use crate::wildcard::Wildcard;

/// A field of a pattern with its list of values and operators.
#[derive(Debug)]
pub(crate) struct Condition {
    /// For display: the segments joined by dots.
    pub(crate) path: Box<str>,
    pub(crate) segments: Box<[Box<str>]>,
    pub(crate) accepts: Accepts,
    /// Steps for comparing one short value with `accepts`.
    pub(crate) weight: u64,
    /// The list contains `{"exists": false}`.
    pub(crate) absent: bool,
    /// The JSON text of the list, truncated for display.
    pub(crate) wanted: Box<str>,
}

/// Accepts a scalar that any of its members accepts.
#[derive(Debug, Default)]
pub(crate) struct Accepts {
    /// Exact strings, sorted for binary search, because these lists grow large.
    pub(crate) texts: Box<[Box<str>]>,
    pub(crate) others: Box<[Matcher]>,
}

#[derive(Debug)]
pub(crate) enum Matcher {
    Null,
    Bool(bool),
    Number(Decimal),
    /// A string that is an IP address accepts every spelling of it (`CIDR.ipToRangeIfPossible`).
    Address(IpAddr),
    Folded(Box<str>),
    Prefix(Box<str>),
    FoldedPrefix(Box<str>),
    Suffix(Box<str>),
    FoldedSuffix(Box<str>),
    Wildcard(Wildcard),
    Range(Range),
    Cidr(IpNet),
    /// Any scalar: `{"exists": true}`.
    Present,
    /// Any scalar that these do not accept.
    AnythingBut(Accepts),
}

/// A non-empty interval of numbers.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) low: Option<Bound>,
    pub(crate) high: Option<Bound>,
}

#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) at: Decimal,
    pub(crate) inclusive: bool,
}

/// A scalar of an event, read once for all matchers.
pub(crate) enum Scalar<'e> {
    Null,
    Bool(bool),
    Number(&'e str),
    Text(Cow<'e, str>),
}

impl<'e> Scalar<'e> {
    /// `None` for an array or object.
    pub(crate) fn read(value: Value<'e>) -> Option<Scalar<'e>> {
        match value.kind() {
            Kind::Null => Some(Scalar::Null),
            Kind::Bool => value.as_bool().map(Scalar::Bool),
            Kind::Number => value.as_number().map(Scalar::Number),
            Kind::String => value.as_str().map(Scalar::Text),
            Kind::Array | Kind::Object => None,
        }
    }
}

impl Accepts {
    /// Comparisons that one value may need: one for all exact strings, and one for each other matcher.
    pub(crate) fn weight(&self) -> u64 {
        let of = |matcher: &Matcher| match matcher {
            Matcher::AnythingBut(refused) => refused.weight(),
            Matcher::Wildcard(wildcard) => 1 + wildcard.stars() as u64,
            _ => 1,
        };
        1 + self.others.iter().map(of).sum::<u64>()
    }

    pub(crate) fn scalar(&self, scalar: &Scalar<'_>) -> bool {
        if let Scalar::Text(text) = scalar
            && self.texts.binary_search_by(|own| (**own).cmp(text)).is_ok()
        {
            return true;
        }
        self.others.iter().any(|matcher| matcher.accepts(scalar))
    }

    pub(crate) fn value(&self, value: Value<'_>) -> bool {
        Scalar::read(value).is_some_and(|scalar| self.scalar(&scalar))
    }
}

impl Matcher {
    fn accepts(&self, scalar: &Scalar<'_>) -> bool {
        match (self, scalar) {
            (Matcher::Present, _) | (Matcher::Null, Scalar::Null) => true,
            (Matcher::AnythingBut(refused), any) => !refused.scalar(any),
            (Matcher::Bool(own), Scalar::Bool(value)) => own == value,
            (Matcher::Number(own), Scalar::Number(value)) => own.compare(value) == Ordering::Equal,
            (Matcher::Range(range), Scalar::Number(value)) => range.contains(value),
            (matcher, Scalar::Text(text)) => matcher.accepts_text(text),
            _ => false,
        }
    }

    fn accepts_text(&self, text: &str) -> bool {
        match self {
            Matcher::Address(own) => address(text).is_some_and(|value| value == *own),
            Matcher::Folded(own) => fold::equals(text, own),
            Matcher::Prefix(own) => text.starts_with(&**own),
            Matcher::FoldedPrefix(own) => fold::starts(text, own),
            Matcher::Suffix(own) => text.ends_with(&**own),
            Matcher::FoldedSuffix(own) => fold::ends(text, own),
            Matcher::Wildcard(wildcard) => wildcard.matches(text),
            Matcher::Cidr(net) => address(text).is_some_and(|value| net.contains(&value)),
            _ => false,
        }
    }
}

impl Range {
    fn contains(&self, value: &str) -> bool {
        let above = self.low.as_ref().is_none_or(|low| low.allows(value, Ordering::Less));
        above && self.high.as_ref().is_none_or(|high| high.allows(value, Ordering::Greater))
    }
}

impl Bound {
    /// `side` is the order of this bound relative to values inside the range.
    fn allows(&self, value: &str, side: Ordering) -> bool {
        let order = self.at.compare(value);
        order == side || (self.inclusive && order == Ordering::Equal)
    }
}

/// The longest text that [`address`] reads: eight groups of four.
const ADDRESS_BYTES_MAX: usize = 39;

/// Reads an IP address in the spellings that event-ruler accepts: four decimal numbers, or hex digits and
/// colons. An IPv4 address mapped into IPv6 is read as that IPv4 address.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let first = text.bytes().next()?;
    if text.len() > ADDRESS_BYTES_MAX || !(first.is_ascii_hexdigit() || first == b':') {
        return None;
    }
    if text.contains('.') {
        return text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    text.parse::<Ipv6Addr>().ok().map(|v6| IpAddr::V6(v6).to_canonical())
}

//! Hops: how often an event has come back through deliveries of Antar, and which event it began with. Each
//! delivery sends both, and each way in reads them, as caches do with `CDN-Loop` (RFC 8586).

use sha2::{Digest, Sha256};

/// The header that carries how often: the hops of the event, plus one.
pub const HOPS_HEADER: &str = "antar-hops";
/// The header that carries the root, as 16 hexadecimal digits.
pub const ROOT_HEADER: &str = "antar-root";

/// What a value counts as that is no number: it has been here once at least.
const UNREADABLE: u32 = 1;

/// Whether only Antar itself sets this header.
#[must_use]
pub fn is_hops_header(name: &str) -> bool {
    [HOPS_HEADER, ROOT_HEADER].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// How an event came here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hops {
    /// Deliveries of Antar that it has passed through.
    pub count: u32,
    /// The event that it began with; none: with itself, or it is not known.
    pub root: Option<Root>,
}

/// A digest of an event's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Root(pub u64);

impl Hops {
    /// Reads the headers of a call. Of several counts the largest one is taken.
    pub fn of_call<'a>(counts: impl Iterator<Item = &'a [u8]>, root: Option<&'a [u8]>) -> Hops {
        let all = counts.flat_map(|value| value.split(|byte| *byte == b','));
        match all.map(count_in).max().unwrap_or(0) {
            0 => Hops::default(),
            count => Hops { count, root: root.and_then(Root::parse) },
        }
    }

    /// The headers of a delivery. `own` is the root of the events that come of this one itself.
    #[must_use]
    pub fn headers(self, own: impl FnOnce() -> Root) -> [(&'static str, String); 2] {
        let Root(root) = self.root.unwrap_or_else(own);
        let count = self.count.saturating_add(1);
        [(HOPS_HEADER, count.to_string()), (ROOT_HEADER, format!("{root:016x}"))]
    }
}

impl Root {
    /// The root of the event with this tenant, source and id.
    #[must_use]
    pub fn of(key: [&str; 3]) -> Root {
        let mut digest = Sha256::new();
        for part in key {
            digest.update(part);
            digest.update([0]);
        }
        let digest = digest.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Root(u64::from_be_bytes(first))
    }

    fn parse(value: &[u8]) -> Option<Root> {
        let text = std::str::from_utf8(value.trim_ascii()).ok()?;
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok().map(Root)).flatten()
    }
}

fn count_in(value: &[u8]) -> u32 {
    let number = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return UNREADABLE;
    }
    // All digits: what does not fit is too large.
    let number = std::str::from_utf8(number).ok().map(str::parse);
    number.and_then(Result::ok).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(values: &[&[u8]]) -> u32 {
        Hops::of_call(values.iter().copied(), None).count
    }

    #[test]
    fn the_largest_of_several_values_counts() {
        for (values, hops) in [
            (&[][..], 0),
            (&["0"], 0),
            (&["3"], 3),
            (&[" 3 "], 3),
            (&["2", "7", "1"], 7),
            (&["2, 7,1"], 7),
            (&["3;via=proxy"], 3),
            (&["99999999999999999999"], u32::MAX),
        ] {
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(count(&values), hops, "{values:?}");
        }
    }

    #[test]
    fn what_is_no_number_counts_as_one_hop() {
        for value in [&b""[..], b"-1", b"+3", b"many", b"0x9", b"3 4", b"\xff", b","] {
            assert_eq!(count(&[value]), 1, "{value:?}");
        }
    }

    #[test]
    fn what_a_delivery_sends_is_read_again() {
        let root = |id| Root::of(["tenant", "source", id]);
        let read = |[(_, count), (_, root)]: [(&str, String); 2]| {
            Hops::of_call(std::iter::once(count.as_bytes()), Some(root.as_bytes()))
        };
        let once = read(Hops::default().headers(|| root("first")));
        assert_eq!(once, Hops { count: 1, root: Some(root("first")) });
        let twice = read(once.headers(|| root("second")));
        assert_eq!(twice, Hops { count: 2, root: once.root });
        for value in ["", "12", "00000000000000000", "+000000000000012", "zzzzzzzzzzzzzzzz"] {
            let hops = Hops::of_call(std::iter::once(&b"1"[..]), Some(value.as_bytes()));
            assert_eq!(hops, Hops { count: 1, root: None }, "{value}");
        }
    }
}

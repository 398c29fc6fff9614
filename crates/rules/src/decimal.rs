//! Exact comparison of JSON numbers: 2⁵³ + 1 differs from 2⁵³, while `5`, `5.0` and `50e-1` are equal.

use std::cmp::Ordering;

/// Larger exponents are clamped to this, so that such numbers compare by sign and digits alone. Numbers
/// are never expanded, so `1e999999999` costs nothing.
const EXPONENT_MAX: i64 = 1 << 60;

/// A number in a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Decimal {
    text: Box<str>,
}

impl Decimal {
    /// `text` must be a valid JSON number.
    pub(crate) fn new(text: &str) -> Decimal {
        Decimal { text: text.into() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The nearest `f64`, infinity beyond its range. Rounding never reverses an order.
    pub(crate) fn nearest(&self) -> f64 {
        nearest(&self.text)
    }

    /// Compares this with the JSON number `other`.
    pub(crate) fn compare(&self, other: &str) -> Ordering {
        if *self.text == *other { Ordering::Equal } else { compare(&self.text, other) }
    }
}

/// The nearest `f64` of a JSON number.
pub(crate) fn nearest(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// Compares two JSON numbers by value.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::read(a), Parts::read(b));
    a.sign.cmp(&b.sign).then_with(|| match a.sign {
        -1 => b.compare_magnitude(&a),
        0 => Ordering::Equal,
        _ => a.compare_magnitude(&b),
    })
}

/// `sign × 0.WHOLE FRACTION × 10^point`, without zeros at either end.
struct Parts<'a> {
    sign: i8,
    whole: &'a [u8],
    fraction: &'a [u8],
    point: i64,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Parts<'a> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, fraction) = (trim_start(whole.as_bytes()), fraction.as_bytes());
        let mut parts = Parts { sign: 1, whole, fraction, point: length(whole) };
        if whole.is_empty() {
            parts.fraction = trim_start(fraction);
            parts.point -= length(fraction) - length(parts.fraction);
        }
        parts.fraction = trim_end(parts.fraction);
        if parts.fraction.is_empty() {
            parts.whole = trim_end(parts.whole);
        }
        if parts.whole.is_empty() && parts.fraction.is_empty() {
            return Parts { sign: 0, point: 0, ..parts };
        }
        if negative {
            parts.sign = -1;
        }
        parts.point += read_exponent(exponent);
        parts
    }

    fn compare_magnitude(&self, other: &Parts<'_>) -> Ordering {
        let digits = self.whole.iter().chain(self.fraction);
        self.point
            .cmp(&other.point)
            .then_with(|| digits.cmp(other.whole.iter().chain(other.fraction)))
    }
}

fn read_exponent(text: &str) -> i64 {
    let beyond = if text.starts_with('-') { -EXPONENT_MAX } else { EXPONENT_MAX };
    text.parse().unwrap_or(beyond).clamp(-EXPONENT_MAX, EXPONENT_MAX)
}

#[expect(clippy::cast_possible_wrap, reason = "a length in memory is far below i64::MAX")]
fn length(digits: &[u8]) -> i64 {
    digits.len() as i64
}

fn trim_start(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    &digits[zeros..]
}

fn trim_end(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|d| **d == b'0').count();
    &digits[..digits.len() - zeros]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_not_by_text() {
        let equal = [
            ("5", "5.0"),
            ("300", "3.0e2"),
            ("0", "-0.0"),
            ("0e9", "0"),
            ("0.05", "5E-2"),
            ("1e400", "10e399"),
            ("100", "1e+2"),
            ("-0.10", "-1e-1"),
            ("9007199254740993", "9007199254740993.000"),
        ];
        for (a, b) in equal {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
        let less = [
            ("9007199254740992", "9007199254740993"),
            ("-1", "0"),
            ("-2", "-1"),
            ("0.1", "0.12"),
            ("9", "10"),
            ("1e400", "1e401"),
            ("-1e401", "1e-400"),
            ("0", "1e-400"),
            ("-1e-400", "0"),
            ("9.99", "1e1"),
            ("1e-99999999999999999999", "1"),
            ("1", "1e99999999999999999999"),
            ("-1e99999999999999999999", "-1"),
            ("0.009", "0.01"),
        ];
        for (a, b) in less {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} {a}");
            assert!(nearest(a) <= nearest(b), "{a} {b}");
        }
    }
}

//! Decimal numbers as text: compared and rounded exactly, never through `f64`.

use std::cmp::Ordering;

/// Largest exponent, of either sign, that is written out; no CRM sends such numbers.
const PLACES_MAX: i64 = 400;

/// The value 0.DIGITS × 10^`exponent`, without zeros at either end of the digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads `12`, `-1.50`, `+3`, `.5`, `1e3`, with spaces around.
    pub(crate) fn read(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !all_digits || whole.len() + fraction.len() == 0 {
            return None;
        }
        let digits: Vec<u8> =
            whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
        let exponent = i64::try_from(whole.len()).ok()? + i64::from(exponent);
        Some(Decimal { negative: text.starts_with('-'), digits, exponent }.trimmed())
    }

    fn trimmed(mut self) -> Decimal {
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.exponent -= i64::try_from(zeros).unwrap_or_default();
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() {
            return Decimal { negative: false, digits: Vec::new(), exponent: 0 };
        }
        self
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(crate) fn compare(&self, other: &Decimal) -> Ordering {
        let sign = |number: &Decimal| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size =
            || self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match self.negative {
            true => size().reverse(),
            false => size(),
        })
    }

    /// The number in plain digits with `places` decimals, rounded half away from zero; without `places`, with
    /// as many as it has. `None` if it is too large or too small to be written out.
    pub(crate) fn plain(&self, places: Option<usize>) -> Option<String> {
        let too_long = self.digits.len() > 1_000 || self.exponent.abs() > PLACES_MAX;
        if too_long || places.is_some_and(|places| places > 100) {
            return None;
        }
        let digit = |place: i64| {
            usize::try_from(place)
                .ok()
                .and_then(|place| self.digits.get(place))
                .copied()
                .unwrap_or(0)
        };
        let own = i64::try_from(self.digits.len()).ok()? - self.exponent;
        let decimals = match places {
            Some(places) => i64::try_from(places).ok()?,
            None => own.max(0),
        };
        // The digits from the first whole one to the last kept decimal, with a zero in front.
        let whole = self.exponent.max(1);
        let mut kept: Vec<u8> = vec![0];
        kept.extend((0..whole + decimals).map(|at| digit(at - whole + self.exponent)));
        if digit(self.exponent + decimals) >= 5 {
            round_up(&mut kept);
        }
        let point = kept.len() - usize::try_from(decimals).ok()?;
        let text: String = kept.iter().map(|digit| char::from(b'0' + digit)).collect();
        let (whole, fraction) = text.split_at(point);
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        let zero = kept.iter().all(|digit| *digit == 0);
        let minus = if self.negative && !zero { "-" } else { "" };
        let dot = if fraction.is_empty() { "" } else { "." };
        Some(format!("{minus}{whole}{dot}{fraction}"))
    }
}

fn round_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return;
        }
        *digit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, places: Option<usize>) -> String {
        Decimal::read(text).unwrap().plain(places).unwrap()
    }

    #[test]
    fn writes_and_rounds() {
        assert_eq!(plain("+007.50", None), "7.5");
        assert_eq!(plain(".5", None), "0.5");
        assert_eq!(plain("-0", None), "0");
        assert_eq!(plain("1e3", None), "1000");
        assert_eq!(plain("12e-4", None), "0.0012");
        assert_eq!(plain("1.005", Some(2)), "1.01");
        assert_eq!(plain("-2.5", Some(0)), "-3");
        assert_eq!(plain("999.995", Some(2)), "1000.00");
        assert_eq!(plain("0.004", Some(2)), "0.00");
        assert_eq!(plain("-0.004", Some(2)), "0.00");
        assert_eq!(plain("0.05", Some(1)), "0.1");
        assert_eq!(plain("12", Some(2)), "12.00");
        assert!(Decimal::read("12a").is_none() && Decimal::read(".").is_none());
        assert!(Decimal::read("1e9999").unwrap().plain(None).is_none());
    }

    #[test]
    fn compares_beyond_f64() {
        let order = |a, b| Decimal::read(a).unwrap().compare(&Decimal::read(b).unwrap());
        assert_eq!(order("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(order("5", "5.0"), Ordering::Equal);
        assert_eq!(order("-1", "1"), Ordering::Less);
        assert_eq!(order("-10", "-9"), Ordering::Less);
        assert_eq!(order("3e2", "300"), Ordering::Equal);
        assert_eq!(order("0.1", "0.09"), Ordering::Greater);
    }
}

//! The helpers `number` and `phone`.

use super::Failure;
use crate::decimal::Decimal;
use crate::value::Val;

pub(super) fn places(value: &Val<'_>) -> Result<usize, String> {
    let places = value.as_number().and_then(|text| text.parse().ok());
    places.filter(|places| *places <= 100).ok_or_else(|| "rounds to 0 to 100 decimals".to_owned())
}

/// A number stays as posted unless it is rounded; text becomes a number.
pub(super) fn number<'a>(
    value: &Val<'a>,
    decimals: Option<&Val<'_>>,
) -> Result<Option<Val<'a>>, Failure> {
    let decimals = decimals.map(places).transpose()?;
    if decimals.is_none() && value.as_number().is_some() {
        return Ok(Some(value.clone()));
    }
    let plain = value
        .scalar()
        .and_then(|text| Decimal::read(&text))
        .and_then(|number| number.plain(decimals));
    Ok(plain.map(|text| Val::Number(text.into())))
}

/// Reads a country's calling code, given as `62`, `"62"` or `"+62"`.
pub(super) fn country(value: Option<&Val<'_>>) -> Result<Option<String>, String> {
    let Some(code) = value.and_then(Val::scalar) else { return Ok(None) };
    let digits = code.trim_start_matches('+');
    if (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Some(digits.to_owned()));
    }
    Err("takes a country's calling code such as \"62\"".to_owned())
}

/// Formats a phone number as `+` and 7 to 15 digits (E.164); `None` if it has another length. Drops
/// everything but digits and a leading `+`. `+` and `00` begin an international number; a leading 0 is
/// replaced by the country; other digits are prefixed with the country unless they begin with it. Without a
/// country, such national numbers stay plain digits.
pub(super) fn phone<'a>(value: &Val<'_>, country: Option<&str>) -> Option<Val<'a>> {
    let text = value.scalar()?;
    let text = text.trim();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let international = match (text.starts_with('+'), digits.strip_prefix("00"), country) {
        (true, ..) => Some(digits.clone()),
        (false, Some(number), _) => Some(number.to_owned()),
        (false, None, None) => None,
        (false, None, Some(country)) => Some(match digits.strip_prefix('0') {
            Some(national) => format!("{country}{national}"),
            None if digits.starts_with(country) => digits.clone(),
            None => format!("{country}{digits}"),
        }),
    };
    let number = international.as_deref().unwrap_or(&digits);
    if !(7..=15).contains(&number.len()) {
        return None;
    }
    let plus = if international.is_some() { "+" } else { "" };
    Some(Val::text(format!("{plus}{number}")))
}

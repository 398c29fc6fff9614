//! Points in time, without a clock and without time zone names: a plugin has neither.

use std::fmt;

const DAY_MS: i64 = 86_400_000;

/// A point in time with millisecond precision. Later ones compare as greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    unix_ms: i64,
}

/// Calendar date and time of day at an offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub millisecond: u16,
    /// 0 is Monday, 6 is Sunday.
    pub weekday: u8,
}

impl Date {
    /// From milliseconds since 1970.
    #[must_use]
    pub fn from_unix_ms(unix_ms: i64) -> Date {
        Date { unix_ms }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.unix_ms
    }

    /// Parses what platforms send: RFC 3339, also with a space instead of `T` and without seconds;
    /// a date alone, which means its midnight; seconds or milliseconds since 1970. Without an
    /// offset the time is UTC.
    ///
    /// ```
    /// use antar_sdk::Date;
    /// let date = Date::parse("2026-03-10T19:00:00+07:00").unwrap();
    /// assert_eq!(date.to_string(), "2026-03-10T12:00:00.000Z");
    /// assert_eq!(Date::parse("1773144000"), Some(date));
    /// assert_eq!(date.local(7 * 60).hour, 19);
    /// ```
    pub fn parse(text: &str) -> Option<Date> {
        let text = text.trim();
        if text.len() >= 9 && text.bytes().all(|b| b.is_ascii_digit()) {
            let number: i64 = text.parse().ok()?;
            // As seconds, 11 digits are after the year 2286; as milliseconds, before mid-1973.
            return Some(Date { unix_ms: if text.len() <= 10 { number * 1_000 } else { number } });
        }
        let (date, rest) = text.split_at_checked(10)?;
        let mut numbers = date.split('-');
        let mut next = |length| digits(numbers.next()?, length);
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        if numbers.next().is_some() || !(1..=12).contains(&month) {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let time_ms = if rest.is_empty() { 0 } else { time_ms(rest)? };
        Some(Date { unix_ms: days * DAY_MS + time_ms })
    }

    /// Adds seconds; negative ones make it earlier.
    #[must_use]
    pub fn plus_s(self, seconds: i64) -> Date {
        Date { unix_ms: self.unix_ms.saturating_add(seconds.saturating_mul(1_000)) }
    }

    /// Date and time of day at an offset from UTC in minutes: 420 in Jakarta.
    #[must_use]
    pub fn local(self, offset_minutes: i32) -> Local {
        let ms = self.unix_ms.saturating_add(i64::from(offset_minutes) * 60_000);
        let (days, ms) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let (year, month, day) = civil_from_days(days);
        Local {
            year,
            month: small(month),
            day: small(day),
            hour: small(ms / 3_600_000),
            minute: small(ms / 60_000 % 60),
            second: small(ms / 1_000 % 60),
            millisecond: u16::try_from(ms % 1_000).unwrap_or_default(),
            // 1970 began on a Thursday.
            weekday: small((days + 3).rem_euclid(7)),
        }
    }
}

impl fmt::Display for Date {
    /// RFC 3339, UTC, with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Local { year, month, day, hour, minute, second, millisecond, .. } = self.local(0);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )
    }
}

fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let fits = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// Milliseconds from midnight UTC to a time such as `T12:00:00.123+07:00`.
fn time_ms(text: &str) -> Option<i64> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let end = text.find(['Z', 'z', '+', '-', ' ']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut numbers = clock.split(':');
    let hour = digits(numbers.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(numbers.next()?, 2).filter(|minute| *minute < 60)?;
    let second = numbers.next().map_or(Some(0), |second| digits(second, 2)).filter(|s| *s <= 60)?;
    if numbers.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset_minutes = match zone.trim() {
        "" | "Z" | "z" => 0,
        zone => {
            let (sign, zone) = zone.split_at(1);
            let zone = zone.replace(':', "");
            let minutes = digits(zone.get(..2)?, 2)? * 60 + digits(zone.get(2..)?, 2).unwrap_or(0);
            if sign == "-" { -minutes } else { minutes }
        }
    };
    Some(((hour * 60 + minute - offset_minutes) * 60 + second) * 1_000 + ms)
}

/// Days since 1970-01-01 of the Gregorian calendar, after Howard Hinnant's `days_from_civil`: years
/// begin in March, so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of `days_from_civil`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Date::parse(text).map(|date| date.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_platforms_send_is_read() {
        assert_eq!(shown("2024-02-29T23:59:59.9Z"), "2024-02-29T23:59:59.900Z");
        assert_eq!(shown("2026-03-10 05:30"), "2026-03-10T05:30:00.000Z");
        assert_eq!(shown("2026-03-10T00:30:00-0330"), "2026-03-10T04:00:00.000Z");
        assert_eq!(shown("1970-01-01"), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown("1969-12-31T23:59:59.999Z"), "1969-12-31T23:59:59.999Z");
        assert_eq!(shown("1773144000123"), "2026-03-10T12:00:00.123Z");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "2026-02-29",
            "2026-13-01",
            "2026-3-1",
            "2026-03-10T24:00:00Z",
            "2026-03-10T12",
            "2026-03-10T12:00:00+7",
            "12345",
            "2026-03-10Tx",
            "２０２６-03-10",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_centuries_has_its_place() {
        for days in -200_000..200_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }

    #[test]
    fn local_time_goes_over_midnight() {
        let local = Date::parse("2026-12-31T20:00:00Z").unwrap().local(7 * 60);
        assert_eq!((local.year, local.month, local.day, local.hour), (2027, 1, 1, 3));
        // A Friday.
        assert_eq!(local.weekday, 4);
        assert!(Date::parse("2026-03-10").unwrap().plus_s(-1) < Date::parse("2026-03-10").unwrap());
    }
}

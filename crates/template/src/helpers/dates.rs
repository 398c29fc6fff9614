//! The helper `date`.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use super::Failure;
use crate::decimal::Decimal;
use crate::value::Val;

/// The time zones compiled into the binary: the same on every machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Numbers of this size and above are milliseconds since 1970, smaller ones seconds (which reach
/// the year 5138).
const MILLISECONDS_FROM: i64 = 100_000_000_000;

const ISO: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z";

/// Checks format and zone if they are literals.
pub(super) fn check(values: &[Val<'_>]) -> Result<(), String> {
    let zone = zone(values.get(2))?;
    if let Some(name) = values.get(1).and_then(Val::scalar) {
        format(&Timestamp::UNIX_EPOCH.to_zoned(zone), &name)?;
    }
    Ok(())
}

pub(super) fn date<'a>(value: &Val<'_>, how: &[Val<'_>]) -> Result<Option<Val<'a>>, Failure> {
    let zone = zone(how.get(1))?;
    let Some(moment) = moment(value) else { return Ok(None) };
    let name = how.first().and_then(Val::scalar).unwrap_or("iso".into());
    Ok(Some(format(&moment.to_zoned(zone), &name)?))
}

/// Reads RFC 3339; a date or time without offset, taken as UTC; seconds or milliseconds since 1970.
fn moment(value: &Val<'_>) -> Option<Timestamp> {
    if let Some(number) = value.as_number() {
        let whole: i64 = Decimal::read(number)?.plain(Some(3))?.replace('.', "").parse().ok()?;
        let seconds = whole / 1_000;
        return match seconds.abs() >= MILLISECONDS_FROM {
            true => Timestamp::from_millisecond(seconds).ok(),
            false => Timestamp::from_millisecond(whole).ok(),
        };
    }
    let text = value.as_text()?;
    let text = text.trim();
    let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse::<Timestamp>().ok().or_else(|| civil().map(|zoned| zoned.timestamp()))
}

/// Reads an IANA name (`Asia/Jakarta`) or an offset (`+07:00`); UTC if none is given.
fn zone(value: Option<&Val<'_>>) -> Result<TimeZone, String> {
    let Some(name) = value.and_then(Val::scalar) else { return Ok(TimeZone::UTC) };
    if name.starts_with(['+', '-']) {
        let offset =
            offset(&name).ok_or_else(|| format!("needs an offset like +07:00, not {name:?}"))?;
        return Ok(TimeZone::fixed(offset));
    }
    ZONES
        .get(&name)
        .map_err(|_| format!("knows no time zone {name:?}; names are like Asia/Jakarta"))
}

fn offset(text: &str) -> Option<Offset> {
    let (hours, minutes) = text[1..].split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    let in_range = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    in_range.then_some(())?;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}

fn format<'a>(moment: &Zoned, name: &str) -> Result<Val<'a>, String> {
    let timestamp = moment.timestamp();
    let pattern = match name {
        "iso" if moment.offset() == Offset::UTC => "%Y-%m-%dT%H:%M:%S%.3fZ",
        "iso" => ISO,
        "date" => "%Y-%m-%d",
        "time" => "%H:%M:%S",
        "http" => {
            let utc = timestamp.to_zoned(TimeZone::UTC);
            let text = jiff::fmt::strtime::format("%a, %d %b %Y %H:%M:%S GMT", &utc);
            return text.map(Val::text).map_err(|error| error.to_string());
        }
        "unix" => return Ok(Val::Number(timestamp.as_second().to_string().into())),
        "unix_ms" => return Ok(Val::Number(timestamp.as_millisecond().to_string().into())),
        pattern if pattern.contains('%') => pattern,
        other => {
            return Err(format!(
                "needs iso, date, time, http, unix, unix_ms or a pattern like \"%d.%m.%Y\", not {other:?}"
            ));
        }
    };
    let text = jiff::fmt::strtime::format(pattern, moment);
    text.map(Val::text).map_err(|error| format!("can't use the pattern {pattern:?}: {error}"))
}

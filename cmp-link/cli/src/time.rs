//! Times that programs print and people type: RFC 3339 for scripts, local times for people.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

/// A day, hour, minute and second, in seconds, with their names.
pub(crate) const UNITS: [(i64, &str); 4] = [
    (86_400, "day"),
    (3600, "hour"),
    (60, "minute"),
    (1, "second"),
];

/// Whether a member of a row is a time.
pub(crate) fn is_time(name: &str) -> bool {
    let ends = ["_at", "_since", "since", "_seen", "_used", "_message"];
    name == "at" || name.starts_with("oldest_") || ends.iter().any(|end| name.ends_with(end))
}

/// A time, Unix milliseconds, as RFC 3339 in UTC. One beyond the year 9999 has no such text, and is the last that has one.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let stamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.unwrap_or(Timestamp::MAX).to_string()
}

/// Replaces numbers in members that are times, Unix milliseconds, by RFC 3339, in rows and in what they hold.
pub fn millis_to_text(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(millis_to_text),
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_u64().filter(|_| is_time(name)) {
                    Some(ms) => *value = rfc3339(ms).into(),
                    None => millis_to_text(value),
                }
            }
        }
        _ => {}
    }
}

/// A time as the clock on the wall shows it.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned_datetime(zone.clone());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Reads a time that somebody types: a time from `now` (`30d`, `12h`, `90m`, `45s`), a date, a local time, or one with its
/// zone (RFC 3339). Yields Unix seconds, which `now` has, too.
///
/// # Errors
/// A sentence that says what can be written.
pub fn typed(text: &str, now: u64, zone: &TimeZone) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{text:?} is no time; write 30d, 12h, 2026-12-24, \"2026-12-24 18:00\" or 2026-12-24T18:00:00Z"
        )
    };
    for (seconds, unit) in UNITS {
        // The first letter stands for the unit.
        if let Some(number) = text.strip_suffix(unit.get(..1).unwrap_or(unit))
            && let Ok(number) = number.parse::<u32>()
        {
            return Ok(now.saturating_add(u64::from(number) * seconds.unsigned_abs()));
        }
    }
    let local = |at: DateTime| at.to_zoned_datetime(zone.clone()).map(|at| at.timestamp());
    let at = match (text.parse::<Timestamp>(), text.parse::<DateTime>()) {
        (Ok(at), _) => at,
        (_, Ok(at)) => local(at).map_err(|_| wrong())?,
        _ => {
            let date: Date = text.parse().map_err(|_| wrong())?;
            local(date.to_datetime(Time::midnight())).map_err(|_| wrong())?
        }
    };
    u64::try_from(at.as_second()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_as_people_write_them() {
        const NOW: u64 = 1_790_000_000;
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let read = |text: &str| typed(text, NOW, &zone).ok();
        assert_eq!(read("30d"), Some(NOW + 30 * 86_400));
        assert_eq!(read("0s"), Some(NOW));
        assert_eq!(read("12h"), Some(NOW + 43_200));
        assert_eq!(read("2026-12-24T18:00:00Z"), Some(1_798_135_200));
        assert_eq!(read("2026-12-24T20:00:00+02:00"), Some(1_798_135_200));
        assert_eq!(read("2026-12-24 20:00"), Some(1_798_135_200));
        assert_eq!(read("2026-12-24"), Some(1_798_063_200));
        for wrong in ["", "d", "-3d", "tomorrow", "2026-13-01", "1960-01-01"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_become_times_where_they_are_times() {
        let mut rows = json!([{
            "created_at": 1_798_135_200_000_u64, "next_at": null, "attempts": 3,
            "links": [{"changed_at": 1_798_135_200_500_u64, "max": 1_798_135_200_000_u64}],
        }]);
        millis_to_text(&mut rows);
        let wanted = json!([{
            "created_at": "2026-12-24T18:00:00Z", "next_at": null, "attempts": 3,
            "links": [{"changed_at": "2026-12-24T18:00:00.5Z", "max": 1_798_135_200_000_u64}],
        }]);
        assert_eq!(rows, wanted);
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
    }
}

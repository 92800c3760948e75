//! Tables for people, and local times.

use aid_cli::printable::printable;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Columns as wide as what is in them, under their headings. Everything is escaped, since names come from files and
/// cards.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let escaped = |row: &Vec<String>| -> Vec<String> {
        row.iter()
            .map(|cell| printable(cell).into_owned())
            .collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(escaped).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.chars().count());
        let heading = headings.get(column).map_or(0, |h| h.chars().count());
        cells.chain([heading]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = line(&mut headings.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A time, unix seconds, as the clock on the wall shows it.
pub(super) fn local(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(
        || seconds.to_string(),
        |at| {
            let at = at.to_zoned_datetime(TimeZone::system());
            at.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

/// A time that somebody types: a time from now (`30d`, `12h`, `90m`, `45s`), a date, a local time, or one with its zone
/// (RFC 3339). Yields unix seconds.
pub(super) fn time(text: &str, now: u64, zone: &TimeZone) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{text:?} is no time; write 30d, 12h, 2026-12-24, \"2026-12-24 18:00\" or 2026-12-24T18:00:00Z"
        )
    };
    let units = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
    for (unit, seconds) in units {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<u32>()
        {
            return Ok(now.saturating_add(u64::from(number) * seconds));
        }
    }
    let local = |at: DateTime| at.to_zoned_datetime(zone.clone()).map(|at| at.timestamp());
    let at = match (text.parse::<Timestamp>(), text.parse::<DateTime>()) {
        (Ok(at), _) => at,
        (_, Ok(at)) => local(at).map_err(|_| wrong())?,
        _ => {
            let date: Date = text.parse().map_err(|_| wrong())?;
            local(date.to_datetime(jiff::civil::Time::midnight())).map_err(|_| wrong())?
        }
    };
    u64::try_from(at.as_second()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        const NOW: u64 = 1_790_000_000;
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let read = |text: &str| time(text, NOW, &zone).ok();
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
    fn a_table_has_columns_and_no_lines_of_others() {
        let rows = [
            vec!["1".into(), "evil\nname\u{1b}[0m".into()],
            vec!["22".into(), "b".into()],
        ];
        let text = table(&["N", "NAME"], &rows);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("N   NAME\n1   evil"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}

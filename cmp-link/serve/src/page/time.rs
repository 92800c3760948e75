//! Times on pages: UTC in the markup, in words for people; a script shows them in the reader's zone.

use super::language::Words;
use maud::{Markup, html};

/// Seconds of a minute, an hour, a day, a month, a year, with their text: the last that fits is used.
const UNITS: [(u64, &str); 6] = [
    (1, "time-seconds"),
    (60, "time-minutes"),
    (3_600, "time-hours"),
    (86_400, "time-days"),
    (2_592_000, "time-months"),
    (31_536_000, "time-years"),
];

/// A time, Unix milliseconds, as RFC 3339 in UTC; empty for one that no calendar has.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_second(ms / 1000).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

/// A time as people in any zone read it: UTC, to the minute.
#[must_use]
pub fn utc(ms: u64) -> String {
    let text = rfc3339(ms);
    match (text.get(..10), text.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time} UTC"),
        _ => text,
    }
}

impl Words<'_> {
    /// How long ago a time was, Unix milliseconds: "2 minutes ago".
    #[must_use]
    pub fn ago(&self, ms: u64) -> Markup {
        html! { time datetime=(rfc3339(ms)) title=(utc(ms)) { (self.age(ms)) } }
    }

    /// A date with its time.
    #[must_use]
    pub fn date(&self, ms: u64) -> Markup {
        html! { time datetime=(rfc3339(ms)) data-form="date" { (utc(ms)) } }
    }

    fn age(&self, ms: u64) -> String {
        let seconds = self.now.saturating_sub(ms) / 1000;
        // A clock that was wrong put it into the future.
        if ms > self.now.saturating_add(60_000) {
            return self.with("time-future", &[("date", utc(ms).into())]);
        }
        let unit = UNITS.iter().rev().find(|(size, _)| seconds >= *size);
        match unit {
            None => self.say("time-now"),
            Some((size, id)) => self.with(id, &[("count", (seconds / size).into())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::language::{Language, Texts};
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_709_251_140_000), "2024-02-29 23:59 UTC");
        assert_eq!(rfc3339(4_107_542_400_999), "2100-03-01T00:00:00Z");
        assert_eq!(utc(u64::MAX), "");
    }

    #[test]
    fn ages_are_words_in_each_language() {
        let texts = Texts::new(["", ""]);
        let now = 1_709_251_140_000;
        let age = |language, before: u64| texts.words(language, now).age(now - before);
        for (before, english, german) in [
            (0, "just now", "gerade eben"),
            (1_000, "1 second ago", "vor 1 Sekunde"),
            (59_999, "59 seconds ago", "vor 59 Sekunden"),
            (120_000, "2 minutes ago", "vor 2 Minuten"),
            (3_600_000, "1 hour ago", "vor 1 Stunde"),
            (172_800_000, "2 days ago", "vor 2 Tagen"),
            (31_536_000_000, "1 year ago", "vor 1 Jahr"),
        ] {
            assert_eq!(age(Language::English, before), english);
            assert_eq!(age(Language::German, before), german);
        }
        let later = texts.words(Language::English, now).age(now + 86_400_000);
        assert_eq!(later, "2024-03-01 23:59 UTC");
    }
}

//! Validity dates: UTCTime and GeneralizedTime (RFC 5280 §4.1.2.5) as unix seconds.

use crate::tlv::{Tlv, Writer};
use alloc::format;

const UTC_TIME: u32 = 0x17;
const GENERALIZED_TIME: u32 = 0x18;
const DAY: u64 = 86_400;

/// Unix seconds of a UTCTime or GeneralizedTime in the forms of RFC 5280 (seconds given, zone Z);
/// `None` for another form, an impossible date, or one before 1970.
#[must_use]
pub fn time_from_tlv(tlv: &Tlv<'_>) -> Option<u64> {
    let (year_digits, century) = match tlv.tag {
        UTC_TIME => (2, true),
        GENERALIZED_TIME => (4, false),
        _ => return None,
    };
    let (digits, [b'Z']) = tlv.value.split_at_checked(year_digits + 10)? else {
        return None;
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: core::ops::Range<usize>| {
        digits[range]
            .iter()
            .fold(0u64, |n, d| n * 10 + u64::from(d - b'0'))
    };
    let mut year = number(0..year_digits);
    if century {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let at = |i: usize| number(year_digits + 2 * i..year_digits + 2 * i + 2);
    let (month, day, hour, minute, second) = (at(0), at(1), at(2), at(3), at(4));
    let valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    valid.then(|| days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

/// Writes unix seconds as RFC 5280 demands: UTCTime until 2049, GeneralizedTime from 2050.
pub fn time_to_der(w: &mut Writer, unix_seconds: u64) {
    let (days, rest) = (unix_seconds / DAY, unix_seconds % DAY);
    let mut year = 1970 + days / 366;
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut left = days - days_since_1970(year, 1, 1);
    let mut month = 1;
    while left >= days_in_month(year, month) {
        left -= days_in_month(year, month);
        month += 1;
    }
    let day = left + 1;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let tail = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if year < 2050 {
        w.primitive(UTC_TIME, format!("{:02}{tail}", year % 100).as_bytes());
    } else {
        w.primitive(GENERALIZED_TIME, format!("{year:04}{tail}").as_bytes());
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date that is not before it.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let leaps_before = |y: u64| y / 4 - y / 100 + y / 400;
    let years = (year - 1970) * 365 + leaps_before(year - 1) - leaps_before(1969);
    let months: u64 = (1..month).map(|m| days_in_month(year, m)).sum();
    years + months + day - 1
}

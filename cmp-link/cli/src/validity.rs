//! Dates of certificates (RFC 5280 §4.1.2.5): which have expired, are not valid yet, or expire soon.
//! TLS says of an expired certificate no more than an alert, and only once it is too late; this
//! names file and date, in `check-config`, at the start of a program and daily in its log.
//!
//! Time is an argument of everything that judges: unix seconds.

use crate::certificate::{common_name, element, expect};
use crate::cli::{self, Failure};
use crate::config;
use crate::printable::printable;
use crate::signal::Stop;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Largest certificate or key file, bytes.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// A certificate that expires within so many days is reported.
pub const SOON_DAYS: i64 = 30;

const DAY: i64 = 86_400;

/// Pause between two looks at the files of a running program.
const LOOK: Duration = Duration::from_secs(3600);

/// Now, unix seconds.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// When a certificate is valid: both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

/// What is to be said of a certificate at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid for longer than [`SOON_DAYS`].
    Valid,
    /// Valid, but for so many whole days only.
    ExpiresSoon(i64),
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
}

impl Verdict {
    /// Does nobody accept the certificate now?
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Expired | Self::NotYetValid)
    }
}

impl Dates {
    /// The verdict at `now`, unix seconds.
    #[must_use]
    pub const fn judge(&self, now: i64) -> Verdict {
        if now > self.not_after {
            Verdict::Expired
        } else if now < self.not_before {
            Verdict::NotYetValid
        } else if self.not_after.saturating_sub(now) <= SOON_DAYS * DAY {
            Verdict::ExpiresSoon(self.not_after.saturating_sub(now) / DAY)
        } else {
            Verdict::Valid
        }
    }

    /// The dates of a certificate in DER; `None` where it is none.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, 0x30)?;
        let (mut rest, _) = expect(certificate, 0x30)?;
        // version
        if let Some((_, after)) = expect(rest, 0xA0) {
            rest = after;
        }
        // serialNumber, signature, issuer
        for tag in [0x02, 0x30, 0x30] {
            (_, rest) = expect(rest, tag)?;
        }
        let (validity, _) = expect(rest, 0x30)?;
        let (tag, text, validity) = element(validity)?;
        let not_before = time(tag, text)?;
        let (tag, text, validity) = element(validity)?;
        let not_after = time(tag, text)?;
        validity.is_empty().then_some(Self {
            not_before,
            not_after,
        })
    }
}

/// The version of a certificate in DER where it is older than 3, the only one that TLS takes from a
/// peer (RFC 5280 §4.1.2.1).
#[cfg(feature = "tls")]
pub(crate) fn old_version(certificate: &[u8]) -> Option<u8> {
    let (certificate, _) = expect(certificate, 0x30)?;
    let (fields, _) = expect(certificate, 0x30)?;
    match element(fields)? {
        // The default, 1, is not written.
        (0x02, ..) => Some(1),
        (0xA0, [0x02, 1, version @ 0..=1], _) => Some(version + 1),
        _ => None,
    }
}

/// What is wrong with the dates of this certificate at `now`, unix seconds.
#[cfg(feature = "tls")]
pub(crate) fn complaint_of(certificate: &[u8], now: u64) -> Option<String> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let dates = Dates::of(certificate)?;
    match dates.judge(now) {
        Verdict::Expired => Some(format!("it expired on {}", Date(dates.not_after))),
        Verdict::NotYetValid => Some(format!("it is not valid before {}", Date(dates.not_before))),
        _ => None,
    }
}

/// Unix seconds of UTCTime and GeneralizedTime as RFC 5280 §4.1.2.5 writes them.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: usize, len: usize| -> Option<i64> {
        let part = digits.get(at..at + len)?;
        Some(part.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let (year, at) = match (tag, digits.len()) {
        (0x17, 12) => {
            let year = number(0, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        (0x18, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    let (month, day) = (number(at, 2)?, number(at + 2, 2)?);
    let (hour, minute, second) = (number(at + 4, 2)?, number(at + 6, 2)?, number(at + 8, 2)?);
    let possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    possible.then(|| days(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (H. Hinnant, days_from_civil).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a time, `2026-11-30T02:46:29Z`.
struct Date(i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // The inverse of `days`, from the same source.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted - era * 146_097;
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// A certificate of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// Where it is.
    pub file: PathBuf,
    /// Its common name, where it has one.
    pub name: Option<String>,
    /// When it is valid.
    pub dates: Dates,
}

impl Dated {
    /// What is wrong with it at `now`, with file, name and date; `None`: nothing.
    #[must_use]
    pub fn complaint(&self, now: i64) -> Option<String> {
        let named = self
            .name
            .as_deref()
            .map_or(String::new(), |name| format!(" ({})", printable(name)));
        let whole = format!("the certificate {}{named}", self.file.display());
        let (from, to) = (Date(self.dates.not_before), Date(self.dates.not_after));
        match self.dates.judge(now) {
            Verdict::Valid => None,
            Verdict::ExpiresSoon(days) => Some(format!("{whole} expires on {to}, in {days} days")),
            Verdict::Expired => Some(format!("{whole} expired on {to}")),
            Verdict::NotYetValid => Some(format!("{whole} is not valid before {from}")),
        }
    }
}

/// The certificates of these files, PEM or DER. Files without any, keys for instance, and unreadable
/// ones are left out: whoever uses them reports that.
#[must_use]
pub fn read(files: &[PathBuf]) -> Vec<Dated> {
    let mut all = Vec::new();
    for file in files {
        if all.iter().any(|known: &Dated| known.file == *file) {
            continue;
        }
        all.extend(of_file(file));
    }
    all
}

fn of_file(file: &Path) -> Vec<Dated> {
    let Ok(bytes) = config::read(file, MAX_FILE, "certificate") else {
        return Vec::new();
    };
    let dated = |der: &[u8]| {
        Some(Dated {
            file: file.to_owned(),
            name: common_name(der),
            dates: Dates::of(der)?,
        })
    };
    if bytes.first() == Some(&0x30) {
        return dated(&bytes).into_iter().collect();
    }
    CertificateDer::pem_slice_iter(&bytes)
        .filter_map(Result::ok)
        .filter_map(|der| dated(&der))
        .collect()
}

/// Judges the certificates of these files for `check-config` at `now`; the warnings are of those that
/// expire soon.
///
/// # Errors
/// One sentence with each certificate that has expired or is not valid yet.
pub fn check(files: &[PathBuf], now: i64) -> Result<Vec<String>, Failure> {
    let (mut wrong, mut soon) = (Vec::new(), Vec::new());
    for certificate in read(files) {
        let refused = certificate.dates.judge(now).is_refused();
        let list = if refused { &mut wrong } else { &mut soon };
        list.extend(certificate.complaint(now));
    }
    if wrong.is_empty() {
        return Ok(soon);
    }
    Err(Failure::new(format!(
        "{}; renew it, or correct this machine's clock",
        wrong.join("; ")
    )))
}

/// Shows the warnings of [`check`] on stderr. For the end of `check-config`: a failure is one sentence.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        cli::line_to_stderr(&format!("warning: {warning}"));
    }
}

/// [`check`] as the last thing of `check-config`: judges now, and shows the warnings.
///
/// # Errors
/// As [`check`].
pub fn check_now(files: &[PathBuf]) -> Result<(), Failure> {
    warn(&check(files, now())?);
    Ok(())
}

/// The certificates of a running program: reported in the log when they are first seen, when they
/// change, and daily. Clones are the same.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Mutex<Watched>>);

/// Takes the result of each look at the files of [`Certificates`]: the certificates of the last report, those that are in the
/// files now, and the time, unix seconds.
pub type Observer = fn(&[Dated], &[Dated], i64);

#[derive(Debug)]
struct Watched {
    files: Vec<PathBuf>,
    observer: Option<Observer>,
    /// What was reported last, and when, unix seconds.
    reported: Option<(Vec<Dated>, i64)>,
}

impl Certificates {
    /// The certificates of these files; there may be keys among them.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self::with(files, None)
    }

    /// As [`Self::new`]; `observer` gets the result of each look, whether or not it is logged.
    #[must_use]
    pub fn observed(files: Vec<PathBuf>, observer: Observer) -> Self {
        Self::with(files, Some(observer))
    }

    fn with(files: Vec<PathBuf>, observer: Option<Observer>) -> Self {
        Self(Arc::new(Mutex::new(Watched {
            files,
            observer,
            reported: None,
        })))
    }

    /// Other files from now on, or new certificates in them.
    pub fn renew(&self, files: Vec<PathBuf>, now: i64) {
        self.locked().files = files;
        self.look(now);
    }

    /// Reads the files, hands them to the observer, and logs what is wrong with the certificates at `now`, unix
    /// seconds, where that is new or a day old. Whether it was logged.
    pub fn look(&self, now: i64) -> bool {
        let mut watched = self.locked();
        let seen = read(&watched.files);
        let before = watched.reported.as_ref();
        if let Some(observe) = watched.observer {
            observe(before.map_or(&[], |(list, _)| list), &seen, now);
        }
        // A clock that was set back is no reason to be silent.
        let is_known =
            before.is_some_and(|(list, at)| *list == seen && (0..DAY).contains(&(now - at)));
        if is_known {
            return false;
        }
        for certificate in &seen {
            let Some(complaint) = certificate.complaint(now) else {
                continue;
            };
            if certificate.dates.judge(now).is_refused() {
                tracing::error!("{complaint}: peers refuse it");
            } else {
                tracing::warn!("{complaint}");
            }
        }
        watched.reported = Some((seen, now));
        true
    }

    /// Looks at once and then hourly, until the stop.
    pub async fn watch(self, stop: Stop) {
        let stopped = stop.wait();
        tokio::pin!(stopped);
        loop {
            self.look(now());
            tokio::select! {
                () = &mut stopped => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Watched> {
        // A panic elsewhere leaves at worst a report too many.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with the first certificate of a file, our own, at `now`; `None`: nothing.
#[must_use]
pub fn own_is_refused(file: &Path, now: i64) -> Option<String> {
    let own = of_file(file).into_iter().next()?;
    own.complaint(now)
        .filter(|_| own.dates.judge(now).is_refused())
}

#[cfg(test)]
mod tests;

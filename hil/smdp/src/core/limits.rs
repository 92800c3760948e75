//! How often and how long an order can be tried: the section `[orders]` of the configuration.

use serde::Deserialize;

/// BPPs per order, at most, where the configuration says nothing else.
pub const MAX_ATTEMPTS: u32 = 10;
/// Wrong Confirmation Codes per order, at most, where the configuration says nothing else.
pub const MAX_CODE_FAILURES: u32 = 3;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Limits of every order (SGP.22 §3.1.6: 8.8.5/6.4, 8.2.7/6.4, 8.8.5/4.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// BPPs per order; after so many the operator has to cancel it.
    pub attempts: u32,
    /// Wrong Confirmation Codes per order; after so many the operator has to cancel it.
    pub code_failures: u32,
    /// Days from DownloadOrder until an order expires; `None`: it never does.
    pub expire_after_days: Option<u32>,
    /// Also `_` may be in a MatchingID, which SGP.22 §4.1.1 does not have: some operators use it, and cards and LPAs
    /// carry any text.
    pub matching_id_underscore: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts: MAX_ATTEMPTS,
            code_failures: MAX_CODE_FAILURES,
            expire_after_days: None,
            matching_id_underscore: false,
        }
    }
}

impl Limits {
    /// The largest number of attempts or code failures that a configuration may allow: an order keeps the session of
    /// each attempt.
    pub const MOST: u32 = 100;

    /// When an order that is placed `now` expires, unix seconds.
    #[must_use]
    pub fn expiry(&self, now: u64) -> Option<u64> {
        let days = u64::from(self.expire_after_days?);
        Some(now.saturating_add(days * DAY))
    }

    /// Are the values in range?
    ///
    /// # Errors
    /// For people: which is not.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("attempts", self.attempts),
            ("code_failures", self.code_failures),
            ("expire_after_days", self.expire_after_days.unwrap_or(1)),
        ] {
            let most = match name {
                "expire_after_days" => 36_500,
                _ => Self::MOST,
            };
            if value == 0 || value > most {
                return Err(format!("{name} must be from 1 to {most}, not {value}"));
            }
        }
        Ok(())
    }
}

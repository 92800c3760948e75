//! What the specification leaves to the CMP, as switches of the configuration.
//! Read from `[policy]`; carried to the decisions by their context.

use serde::Deserialize;

/// A day, ms.
pub const DAY_MS: u64 = 24 * 3600 * 1000;

/// The switches; every one has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Days after the end of a link until its token, phone number and profiles are removed; not before
    /// the last profile is deleted and reported (R-4.4.1-14).
    pub keep_days: u32,
    /// Hours between two synchronisations of all links (§4.6); 0: on command only (R-4.6-6).
    pub sync_hours: u32,
    /// The candidate of a swap where the MSP took another profile (R-4.3.1-17).
    pub swap_candidate: SwapCandidate,
    /// What a visit of a workshop does to the profiles in the car (R-A.4-5).
    pub workshop: Workshop,
    /// Whether the MSP is told `deleted` for the profiles of a unit that was exchanged or of a retired
    /// car. They are on a card that nobody reaches; no message of AID1 says so, and this one makes the
    /// MSP take them off its network (R-A.4-6).
    pub report_lost_units: bool,
    /// Whether a full eUICC makes place by deleting the profile of another user that was not used for
    /// longest (R-A.4-3).
    pub make_space: bool,
    /// Whether activation codes may name an SM-DP+ in a private network, on this machine or on another port than 443: on
    /// benches only.
    pub private_smdp: bool,
    /// Days after which an open order is overdue.
    pub overdue_days: u32,
    /// Days without a message after which a vehicle is named to the operator as silent.
    pub silent_days: u32,
    /// Days for which a user may log in without a connection in a car in which they have logged in with their PIN; 0: not at all.
    pub offline_days: u32,
    /// Wrong PINs after which they may not any more; 0: not at all.
    pub offline_attempts: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep_days: 30,
            sync_hours: 0,
            swap_candidate: SwapCandidate::Ask,
            workshop: Workshop::Disable,
            report_lost_units: true,
            make_space: true,
            private_smdp: false,
            overdue_days: 7,
            silent_days: 30,
            offline_days: 30,
            offline_attempts: 5,
        }
    }
}

/// The specification lost the word that says which profile is deleted "also" (§4.3.1 step 2c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwapCandidate {
    /// Ask the MSP about it, and delete it if the MSP does not list it.
    Ask,
    /// Leave it: only the profile in `swappedIccid` is deleted.
    Keep,
    /// Delete it without asking, as one reading of the text has it.
    Delete,
}

/// A visit of a workshop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workshop {
    /// Nothing happens.
    Keep,
    /// Users are logged out and their profiles disabled.
    Disable,
    /// The profiles are deleted.
    Delete,
}

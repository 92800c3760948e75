//! AID User Profile (R-2-3, R-2-9): what the car keeps of a user while they are logged in.
//! Sent after each accepted login and whenever it changes; the car forgets it with the session.
//! Built by the CMP, shown by the car's HMI.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Most preferences of a user, and most subscriptions that are listed.
pub const MAX_ENTRIES: usize = 16;
/// Longest text of it, bytes.
pub const MAX_TEXT: usize = 128;

/// AID User Profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserProfile {
    /// The user's name.
    pub display_name: String,
    /// The user's subscriptions; the one that serves this car first.
    pub subscriptions: Vec<SubscriptionView>,
    /// What the user likes, as name and value; the meaning is the HMI's.
    pub preferences: Vec<(String, String)>,
}

/// A subscription as the HMI shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// The operator's name.
    pub msp_name: String,
    /// Where its icon is; empty where there is none.
    pub icon: String,
    /// `private` or `business` (§7.3).
    pub label: String,
    /// Phone number with digits masked.
    pub masked_number: String,
    /// The operator blocked its profile in this car for a time (§4.7).
    pub suspended: bool,
}

impl UserProfile {
    /// Whether it keeps to the limits: at most [`MAX_ENTRIES`] of each, [`MAX_TEXT`] bytes a text.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let short = |text: &String| text.len() <= MAX_TEXT;
        self.subscriptions.len() <= MAX_ENTRIES
            && self.preferences.len() <= MAX_ENTRIES
            && short(&self.display_name)
            && self.preferences.iter().all(|(n, v)| short(n) && short(v))
            && self.subscriptions.iter().all(|s| {
                [&s.msp_name, &s.icon, &s.label, &s.masked_number]
                    .into_iter()
                    .all(short)
            })
    }
}

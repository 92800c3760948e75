//! Subscriptions of customers, and how each may be changed (AID.02 §4.3.1, §4.8, §7.3).

use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::PhoneNumber;

use super::words;

words! {
    /// What happens when all profiles of a subscription are in use.
    SwapPolicy {
        /// The CMP's candidate is swapped if it can be, else the least recently used (§4.3.1 2c).
        Candidate = "candidate",
        /// The least recently used is swapped, whatever the candidate.
        Own = "own",
        /// The candidate is swapped; without a usable one there is no code.
        Refuse = "refuse",
    }
}

words! {
    /// Where a subscription stands.
    SubscriptionState {
        /// In use.
        Active = "active",
        /// Blocked for a time: no network, no codes.
        Suspended = "suspended",
        /// Cancelled by its customer.
        Ended = "ended",
    }
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Its name here.
    pub(crate) id: String,
    /// The customer who has it.
    pub(crate) user: String,
    /// Shown instead of the MSP's name.
    pub(crate) label: Option<String>,
    /// Phone number.
    pub(crate) msisdn: String,
    /// Kind.
    pub(crate) kind: SubscriptionType,
    /// Reporting group.
    pub(crate) customer_group: Option<String>,
    /// Profiles that may be in use before one is swapped; at least 1.
    pub(crate) max_profiles: u32,
    /// What happens then.
    pub(crate) swap: SwapPolicy,
    /// Shown before the customer agrees.
    pub(crate) fee: Option<String>,
    /// Whether the option can be booked.
    pub(crate) eligible: bool,
    /// Where it stands.
    pub(crate) state: SubscriptionState,
}

/// What a change of a subscription may say; absent members stay.
#[derive(Clone, Debug, Default, serde::Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionChange {
    /// Phone number, country code first, no plus.
    #[arg(long)]
    pub(crate) msisdn: Option<String>,
    /// private, business or unknown.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Reporting group.
    #[arg(long)]
    pub(crate) customer_group: Option<String>,
    /// Profiles that may be in use before one is swapped.
    #[arg(long)]
    pub(crate) max_profiles: Option<u32>,
    /// candidate, own or refuse: what happens when all profiles are in use.
    #[arg(long)]
    pub(crate) swap: Option<String>,
    /// Shown before the customer agrees.
    #[arg(long)]
    pub(crate) fee: Option<String>,
    /// Whether the option can be booked: true or false.
    #[arg(long)]
    pub(crate) eligible: Option<bool>,
}

impl Subscription {
    /// The subscription after a change.
    ///
    /// # Errors
    /// One sentence about the value that is not usable.
    pub(crate) fn changed(mut self, change: SubscriptionChange) -> Result<Self, String> {
        let wrong = |what: &str, e: &dyn std::fmt::Display| format!("{what}: {e}");
        if let Some(msisdn) = change.msisdn {
            msisdn
                .parse::<PhoneNumber>()
                .map_err(|e| wrong("msisdn", &e))?;
            self.msisdn = msisdn;
        }
        if let Some(kind) = change.kind {
            self.kind = kind.parse().map_err(|e| wrong("kind", &e))?;
        }
        if let Some(max) = change.max_profiles {
            if max == 0 {
                return Err("max_profiles must be at least 1 (AID.02 §4.3.1)".into());
            }
            self.max_profiles = max;
        }
        if let Some(swap) = change.swap {
            self.swap = swap
                .parse()
                .map_err(|()| "swap is candidate, own or refuse")?;
        }
        self.customer_group = change.customer_group.or(self.customer_group);
        self.fee = change.fee.or(self.fee);
        self.eligible = change.eligible.unwrap_or(self.eligible);
        Ok(self)
    }

    /// The phone number with digits masked.
    #[must_use]
    pub(crate) fn masked(&self) -> String {
        let number = self.msisdn.parse::<PhoneNumber>();
        number.map(|n| n.masked()).unwrap_or_default()
    }
}

//! `[[subscriber]]` and `[[subscription]]`: the customers and what they have.
//! `msp` puts them into the database.

use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::PhoneNumber;
use aid_id::Iccid;
use serde::Deserialize;

use crate::core::model::{Subscription, SubscriptionState, SwapPolicy};

/// `[[subscriber]]`: a customer with their first subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscriber {
    /// Name to log in with.
    pub(crate) user: String,
    /// Argon2id hash of the password.
    pub(crate) password: String,
    /// Name of the subscription; the user's if absent.
    pub(crate) id: Option<String>,
    /// Phone number.
    pub(crate) msisdn: String,
    /// Shown for this subscription.
    pub(crate) msp_name: Option<String>,
    /// Kind of subscription.
    #[serde(default = "default_type")]
    pub(crate) subscription_type: String,
    /// Reporting group.
    pub(crate) customer_group: Option<String>,
    /// Active profiles before one is swapped.
    #[serde(default = "default_max")]
    pub(crate) max_profiles: u32,
    /// What happens then: candidate, own, refuse.
    #[serde(default = "default_swap")]
    pub(crate) swap: String,
    /// Shown before the customer agrees.
    pub(crate) fee: Option<String>,
    /// Whether the option can be booked.
    #[serde(default = "default_eligible")]
    pub(crate) eligible: bool,
    /// The subscription's ICCIDs.
    #[serde(default)]
    pub(crate) iccids: Vec<Iccid>,
}

/// `[[subscription]]`: one more of a customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct More {
    /// Its name.
    pub(crate) id: String,
    /// The customer.
    pub(crate) user: String,
    /// As in `[[subscriber]]`.
    pub(crate) msisdn: String,
    /// As in `[[subscriber]]`.
    pub(crate) msp_name: Option<String>,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_type")]
    pub(crate) subscription_type: String,
    /// As in `[[subscriber]]`.
    pub(crate) customer_group: Option<String>,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_max")]
    pub(crate) max_profiles: u32,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_swap")]
    pub(crate) swap: String,
    /// As in `[[subscriber]]`.
    pub(crate) fee: Option<String>,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_eligible")]
    pub(crate) eligible: bool,
    /// As in `[[subscriber]]`.
    #[serde(default)]
    pub(crate) iccids: Vec<Iccid>,
}

impl From<&Subscriber> for More {
    fn from(s: &Subscriber) -> Self {
        let s = s.clone();
        Self {
            id: s.id.unwrap_or_else(|| s.user.clone()),
            user: s.user,
            msisdn: s.msisdn,
            msp_name: s.msp_name,
            subscription_type: s.subscription_type,
            customer_group: s.customer_group,
            max_profiles: s.max_profiles,
            swap: s.swap,
            fee: s.fee,
            eligible: s.eligible,
            iccids: s.iccids,
        }
    }
}

impl More {
    /// The subscription, checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn checked(&self) -> Result<Subscription, String> {
        let id = &self.id;
        let wrong =
            |what: &str, e: &dyn std::fmt::Display| format!("subscription {id:?}, {what} {e}");
        if id.is_empty()
            || id.len() > 100
            || id
                .chars()
                .any(|c| aid_cli::printable::is_unprintable(c) || c.is_whitespace())
        {
            return Err(format!(
                "subscription {id:?}: its name has 1 to 100 characters without spaces"
            ));
        }
        self.msisdn
            .parse::<PhoneNumber>()
            .map_err(|e| wrong("msisdn:", &e))?;
        if self.max_profiles == 0 {
            return Err(wrong("max_profiles", &"must be at least 1 (AID.02 §4.3.1)"));
        }
        Ok(Subscription {
            id: id.clone(),
            user: self.user.clone(),
            label: self.msp_name.clone(),
            msisdn: self.msisdn.clone(),
            kind: self
                .subscription_type
                .parse()
                .map_err(|e| wrong("subscription_type", &e))?,
            customer_group: self.customer_group.clone(),
            max_profiles: self.max_profiles,
            swap: self
                .swap
                .parse()
                .map_err(|()| wrong("swap", &"is none of candidate, own, refuse"))?,
            fee: self.fee.clone(),
            eligible: self.eligible,
            state: SubscriptionState::Active,
        })
    }
}

fn default_type() -> String {
    SubscriptionType::Private.as_str().into()
}

fn default_swap() -> String {
    SwapPolicy::Candidate.as_str().into()
}

fn default_eligible() -> bool {
    true
}

fn default_max() -> u32 {
    10
}

//! Customers, API keys, and who did what.

use aid_aid1::headers::PartyId;
use aid_id::Iccid;

use super::model::Subscription;
use super::{Change, Decision};

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Order of the entries.
    pub(crate) seq: i64,
    /// When, ms since 1970.
    pub(crate) at: i64,
    /// Who did it.
    pub(crate) actor: String,
    /// What was done.
    pub(crate) action: String,
    /// On what.
    pub(crate) detail: String,
    /// Why; empty where nobody said.
    pub(crate) reason: String,
}

/// An API key that a CMP may use besides that of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    /// The CMP.
    pub(crate) client: PartyId,
    /// The key.
    pub(crate) key: String,
    /// When it was made, ms since 1970.
    pub(crate) created_at: i64,
}

/// Makes a customer, or gives them another password hash. The same one again changes nothing.
pub(crate) fn put_customer(
    stored: Option<&str>,
    user: &str,
    password: &str,
    now: i64,
) -> Decision<()> {
    if stored == Some(password) {
        return Decision::nothing(());
    }
    let put = Change::CustomerPut {
        user: user.into(),
        password: password.into(),
        at: now,
    };
    Decision::of(vec![put], ())
}

/// Makes a subscription with its profiles; `false` if there is one of this name, which stays as it is. Its pool may grow.
pub(crate) fn add_subscription(
    exists: bool,
    new: &Subscription,
    iccids: &[Iccid],
    now: i64,
) -> Decision<bool> {
    if exists && iccids.is_empty() {
        return Decision::nothing(false);
    }
    let added = Change::SubscriptionAdded {
        subscription: new.clone(),
        iccids: iccids.to_vec(),
        at: now,
    };
    Decision::of(vec![added], !exists)
}

/// Lets a CMP use one more API key; with `only`, those that were made before end. Yields how many ended.
pub(crate) fn rotate_key(known: &[ApiKey], new: &ApiKey, only: bool) -> Decision<usize> {
    let earlier = known.iter().filter(|k| only && k.client == new.client);
    let mut changes: Vec<_> = earlier
        .map(|k| Change::ApiKeyEnded {
            client: k.client.clone(),
            key: k.key.clone(),
        })
        .collect();
    let ended = changes.len();
    changes.push(Change::ApiKeyAdded {
        client: new.client.clone(),
        key: new.key.clone(),
        at: new.created_at,
    });
    let audit = Change::audit(
        "operator",
        "API key added",
        new.client.as_str(),
        new.created_at,
    );
    changes.push(audit);
    Decision::of(changes, ended)
}

/// An entry of the audit trail and nothing else.
pub(crate) fn audit(actor: &str, action: &str, detail: &str, now: i64) -> Decision<()> {
    Decision::of(vec![Change::audit(actor, action, detail, now)], ())
}

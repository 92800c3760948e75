//! The AID User Profile of a user as the car gets it: name, subscriptions, preferences (R-2-3, R-2-9).
//! Sent after a login, and to the cars where they are logged in whenever it changes.

use super::{Service, fresh};
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::decide::{Context, Decision, Outgoing, removal};
use aid_cmp_core::model::{Account, Federation, MspVerdict};
use aid_id::{AccountRef, Eid};
use aid_wire::{Aup, Down, MAX_ENTRIES, MAX_TEXT, SubscriptionView, UserProfile};
use std::sync::Arc;

/// As much of a text as a profile may hold.
fn short(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Whether this may be the name of a preference: 1 to 64 lower-case letters, digits, `.`, `-`, `_`.
#[must_use]
pub fn is_preference_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether this may be the value of a preference.
#[must_use]
pub fn is_preference(value: &str) -> bool {
    value.len() <= MAX_TEXT && !value.contains(aid_cli::printable::is_unprintable)
}

/// How a preference was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preferred {
    /// It is stored.
    Done,
    /// Name or value is not allowed.
    Malformed,
    /// There are as many as there may be.
    TooMany,
    /// The user was erased meanwhile.
    Gone,
}

impl Service {
    /// What the HMI shows at once.
    pub(super) fn aup(&self, display_name: &str, federation: Option<&Federation>) -> Aup {
        Aup {
            display_name: display_name.to_owned(),
            msp_name: federation.map(|f| f.msp.clone()).unwrap_or_default(),
            masked_number: federation.map(|f| self.masked(f)).unwrap_or_default(),
        }
    }

    /// The whole profile, for this car.
    async fn user_profile(&self, tx: &Tx<'_>, eid: Eid, account: &Account) -> Stored<UserProfile> {
        let serving = self.serving(tx, account.id, Some(eid)).await?;
        let serving = serving.map(|f| f.id);
        let mut federations = tx.federations(account.id).await?;
        federations.retain(|f| f.ended_at.is_none());
        federations.sort_by_key(|f| Some(f.id) != serving);
        let here = tx.profiles_in(eid).await?;
        let view = |f: &Federation| SubscriptionView {
            msp_name: short(&f.msp),
            icon: short(
                &self
                    .msp(&f.msp)
                    .map_or_else(String::new, |m| m.icon.clone()),
            ),
            label: f.kind.as_str().to_owned(),
            masked_number: short(&self.masked(f)),
            suspended: here
                .iter()
                .any(|p| p.federation == f.id && p.verdict == MspVerdict::Suspended),
        };
        let mut preferences = tx.preferences(account.id).await?;
        preferences.truncate(MAX_ENTRIES);
        Ok(UserProfile {
            display_name: short(&account.display_name),
            subscriptions: federations.iter().take(MAX_ENTRIES).map(view).collect(),
            preferences,
        })
    }

    /// The message with the profile, for this car.
    pub(super) async fn user_profile_message(
        &self,
        tx: &Tx<'_>,
        eid: Eid,
        account: &Account,
    ) -> Stored<Outgoing> {
        let profile = self.user_profile(tx, eid, account).await?;
        let body = Down::UserProfile {
            account: account.id,
            profile,
        };
        Ok(Outgoing {
            eid,
            correlation: None,
            message_id: fresh(),
            body,
        })
    }

    /// Sends the profiles of users to the cars where they are logged in now.
    pub(super) async fn refresh_profiles(
        self: &Arc<Self>,
        accounts: Vec<AccountRef>,
    ) -> Stored<()> {
        if accounts.is_empty() {
            return Ok(());
        }
        let look = async move |service: &Self, tx: &Tx<'_>| {
            let mut messages = Vec::new();
            for id in accounts {
                let mut cars = tx.sessions(id).await?;
                cars.retain(|eid| service.is_online(*eid));
                if cars.is_empty() {
                    continue;
                }
                if let Some(account) = tx.account(id).await? {
                    for eid in cars {
                        messages.push(service.user_profile_message(tx, eid, &account).await?);
                    }
                }
            }
            Ok(messages)
        };
        for message in self.look(look).await? {
            self.tell(&message);
        }
        Ok(())
    }

    /// A user's preferences, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn preferences(self: &Arc<Self>, account: &Account) -> Stored<Vec<(String, String)>> {
        let id = account.id;
        self.look(async move |_, tx| tx.preferences(id).await).await
    }

    /// Sets a preference, or removes it; the cars where they are logged in hear of it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prefer(
        self: &Arc<Self>,
        account: &Account,
        name: &str,
        value: Option<&str>,
    ) -> Stored<Preferred> {
        if !is_preference_name(name) || value.is_some_and(|v| !is_preference(v)) {
            return Ok(Preferred::Malformed);
        }
        let (id, name, value) = (account.id, name.to_owned(), value.map(str::to_owned));
        let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
            let mut decision = Decision::default();
            let user = tx.locked_account(id).await?;
            if user.is_none_or(|user| removal::is_erased(&user)) {
                return Ok((decision, Preferred::Gone));
            }
            let now = tx.preferences(id).await?;
            let is_new = now.iter().all(|(n, _)| *n != name);
            if value.is_some() && is_new && now.len() >= MAX_ENTRIES {
                return Ok((decision, Preferred::TooMany));
            }
            let change = FleetChange::SetPreference(id, name.clone(), value.clone());
            decision.changes.push(Change::Fleet(change));
            Ok::<_, StoreError>((decision, Preferred::Done))
        };
        let done = self.decide(decide).await?;
        if done == Preferred::Done {
            // The preference is stored, whether or not the cars hear of it now.
            if let Err(error) = self.refresh_profiles(vec![id]).await {
                tracing::error!(%error, "a changed AID User Profile was not sent");
            }
        }
        Ok(done)
    }
}

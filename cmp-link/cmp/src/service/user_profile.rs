//! The AID User Profile of a user as the car gets it: name, subscriptions, preferences (R-2-3, R-2-9).
//! Sent after a login, and to the cars where he is logged in whenever it changes.
//! Called by the rest of the service, and by the portal for preferences.

use super::{Service, fresh};
use crate::store::{Store, Stored};
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::decide::Outgoing;
use aid_cmp_core::model::{Account, Federation, MspVerdict};
use aid_id::{AccountRef, Eid};
use aid_wire::{Aup, Down, MAX_ENTRIES, MAX_TEXT, SubscriptionView, UserProfile};

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
}

impl<S: Store> Service<S> {
    /// What the HMI shows at once.
    pub(super) fn aup(&self, display_name: &str, federation: Option<&Federation>) -> Aup {
        Aup {
            display_name: display_name.to_owned(),
            msp_name: federation.map(|f| f.msp.clone()).unwrap_or_default(),
            masked_number: federation.map(|f| self.masked(f)).unwrap_or_default(),
        }
    }

    /// The whole profile, for this car.
    async fn user_profile(&self, eid: Eid, account: &Account) -> Stored<UserProfile> {
        let serving = self.serving(account.id, Some(eid)).await?.map(|f| f.id);
        let mut federations = self.store.federations(Some(account.id)).await?;
        federations.retain(|f| f.ended_at.is_none());
        federations.sort_by_key(|f| Some(f.id) != serving);
        let here = self.store.profiles_in(eid).await?;
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
        let mut preferences = self.store.preferences(account.id).await?;
        preferences.truncate(MAX_ENTRIES);
        Ok(UserProfile {
            display_name: short(&account.display_name),
            subscriptions: federations.iter().take(MAX_ENTRIES).map(view).collect(),
            preferences,
        })
    }

    /// Sends the profile to a car.
    pub(super) async fn send_user_profile(&self, eid: Eid, account: &Account) -> Stored<()> {
        let profile = self.user_profile(eid, account).await?;
        let body = Down::UserProfile {
            account: account.id,
            profile,
        };
        self.tell(&Outgoing {
            eid,
            correlation: None,
            message_id: fresh(),
            body,
        });
        Ok(())
    }

    /// Sends the profiles of users to the cars where they are logged in now.
    pub(super) async fn refresh_profiles(&self, accounts: Vec<AccountRef>) -> Stored<()> {
        for id in accounts {
            let cars = self.store.sessions(id).await?;
            let online: Vec<Eid> = cars.into_iter().filter(|e| self.is_online(*e)).collect();
            if !online.is_empty()
                && let Some(account) = self.store.account(id).await?
            {
                for eid in online {
                    self.send_user_profile(eid, &account).await?;
                }
            }
        }
        Ok(())
    }

    /// A user's preferences, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn preferences(&self, account: &Account) -> Stored<Vec<(String, String)>> {
        self.store.preferences(account.id).await
    }

    /// Sets a preference, or removes it; the cars where he is logged in hear of it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prefer(
        &self,
        account: &Account,
        name: &str,
        value: Option<&str>,
    ) -> Stored<Preferred> {
        let turn = self.store.turn().await?;
        if !is_preference_name(name) || value.is_some_and(|v| !is_preference(v)) {
            return Ok(Preferred::Malformed);
        }
        let now = self.store.preferences(account.id).await?;
        let is_new = now.iter().all(|(n, _)| n != name);
        if value.is_some() && is_new && now.len() >= MAX_ENTRIES {
            return Ok(Preferred::TooMany);
        }
        let value = value.map(str::to_owned);
        let change = FleetChange::SetPreference(account.id, name.to_owned(), value);
        self.store
            .commit_in(turn, vec![Change::Fleet(change)])
            .await?;
        self.refresh_profiles(vec![account.id]).await?;
        Ok(Preferred::Done)
    }
}

//! What a user does with his account on the portal: makes one, changes password and PIN, looks at his sessions (AID6).
//! Called by the portal's handlers. Each change is in the audit trail.

use super::attempts::{Denied, Proven, count};
use super::{Service, fresh, now};
use crate::names;
use crate::password::{self, Busy};
use crate::service::web::{cookie_hash, session_lives};
use crate::store::{SessionRow, Store, StoreError, Stored};
use aid_cli::printable::is_unprintable;
use aid_cmp_core::change::{Change, PortalChange};
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::decide::tries;
use aid_cmp_core::model::Account;
use aid_id::{AccountRef, Secret};

/// Lengths of a car PIN, digits.
const PIN: std::ops::RangeInclusive<usize> = 4..=16;
/// Said of a name that somebody has.
const TAKEN: &str = "This name is taken.";
/// As much as is kept of what a browser calls itself, characters.
const BROWSER: usize = 120;

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is so now.
    Done,
    /// The present password is wrong.
    Wrong,
    /// Too many wrong passwords; minutes to wait.
    Locked(u64),
    /// The password was not judged, and the attempt does not count: too many others wait.
    Busy(Busy),
    /// Enough accounts were made in this hour; milliseconds to wait.
    Full(u64),
    /// What was given can't be used: why.
    Unusable(&'static str),
}

/// Whether a text can be a car PIN.
#[must_use]
pub fn is_pin(text: &str) -> bool {
    PIN.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn usable_password(text: &Secret) -> Result<(), &'static str> {
    if password::LENGTH.contains(&text.expose().len()) {
        Ok(())
    } else {
        Err("A password has 8 to 256 characters.")
    }
}

impl<S: Store> Service<S> {
    /// Makes an account for somebody who registers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn register(&self, name: &str, shown: &str, secret: &Secret) -> Stored<Changed> {
        let (Some(name), Some(shown)) = (names::sign_in_name(name), names::shown_name(shown))
        else {
            return Ok(Changed::Unusable(
                "A name has 1 to 64 printable characters.",
            ));
        };
        if let Err(why) = usable_password(secret) {
            return Ok(Changed::Unusable(why));
        }
        // What is refused anyway costs no hash. Whether the name is still free is asked again by the commit.
        if self.store.account_named(&name).await?.is_some() {
            return Ok(Changed::Unusable(TAKEN));
        }
        let mut permit = match password::permit().await {
            Ok(permit) => permit,
            Err(busy) => {
                count("register", "busy");
                return Ok(Changed::Busy(busy));
            }
        };
        if let Err(wait) = self.charge_registration().await? {
            return Ok(Changed::Full(wait));
        }
        let Some(hash) = permit.hash(secret.expose().to_owned()).await else {
            return Ok(Changed::Unusable("This password can't be used."));
        };
        drop(permit);
        let context = self.context();
        let id = AccountRef(fresh());
        let account = Account {
            id,
            name,
            display_name: shown.to_owned(),
            password: Secret::new(hash),
            pin_mac: None,
            created_at: context.now,
        };
        let audit = self.self_audit(id, "registered");
        match self
            .store
            .commit(vec![Change::AddAccount(account), audit])
            .await
        {
            Ok(()) => {
                count("register", "accepted");
                Ok(Changed::Done)
            }
            Err(StoreError::Taken) => Ok(Changed::Unusable(TAKEN)),
            Err(error) => Err(error),
        }
    }

    fn self_audit(&self, id: AccountRef, action: &'static str) -> Change {
        let who = format!("account {}", hex::encode(id.0));
        self.context().audit(who, action, String::new())
    }

    /// The account if the password is its own; wrong ones are counted with those of the sign-in.
    async fn proves(&self, account: &Account, secret: &Secret) -> Stored<Result<Proven, Changed>> {
        let proof = self.prove(Some(account), &account.name, secret).await?;
        Ok(proof.map_err(|denied| match denied {
            Denied::Wrong => Changed::Wrong,
            Denied::Locked(minutes) => Changed::Locked(minutes),
            Denied::Busy(busy) => Changed::Busy(busy),
        }))
    }

    /// Another password; every session but the one with this cookie ends.
    ///
    /// # Errors
    /// The store failed.
    pub async fn change_password(
        &self,
        account: &Account,
        cookie: &str,
        old: &Secret,
        new: &Secret,
    ) -> Stored<Changed> {
        if let Err(why) = usable_password(new) {
            return Ok(Changed::Unusable(why));
        }
        let Proven {
            account,
            mut permit,
        } = match self.proves(account, old).await? {
            Ok(proven) => proven,
            Err(changed) => return Ok(changed),
        };
        let Some(hash) = permit.hash(new.expose().to_owned()).await else {
            return Ok(Changed::Unusable("This password can't be used."));
        };
        drop(permit);
        let Some(turn) = self.still(&account).await? else {
            return Ok(Changed::Wrong);
        };
        let changes = vec![
            Change::Portal(PortalChange::Password(account.id, Secret::new(hash))),
            Change::Portal(PortalChange::EndSessions(account.id, cookie_hash(cookie))),
            Self::refund(&account),
            self.self_audit(account.id, "password changed"),
        ];
        self.store.commit_in(turn, changes).await?;
        Ok(Changed::Done)
    }

    /// Another car PIN, or none: then only a code logs him in to a car.
    ///
    /// # Errors
    /// The store failed.
    pub async fn change_pin(
        &self,
        account: &Account,
        secret: &Secret,
        pin: Option<&Secret>,
    ) -> Stored<Changed> {
        if pin.is_some_and(|pin| !is_pin(pin.expose())) {
            return Ok(Changed::Unusable("A PIN has 4 to 16 digits."));
        }
        let account = match self.proves(account, secret).await? {
            Ok(proven) => proven.account,
            Err(changed) => return Ok(changed),
        };
        let Some(turn) = self.still(&account).await? else {
            return Ok(Changed::Wrong);
        };
        let mac = pin.map(|pin| pin_mac(&self.config.pin_key, account.id, pin.expose()));
        let action = if mac.is_some() {
            "PIN changed"
        } else {
            "PIN removed"
        };
        let changes = vec![
            Change::Portal(PortalChange::Pin(account.id, mac)),
            // Who knows the password may try the new PIN at once.
            Change::ForgetAttempts(tries::prefix(&self.config.pin_key, &account.name)),
            Self::refund(&account),
            self.self_audit(account.id, action),
        ];
        self.store.commit_in(turn, changes).await?;
        Ok(Changed::Done)
    }

    /// Notes which browser a session is of.
    ///
    /// # Errors
    /// The store failed.
    pub async fn session_began(&self, cookie: &str, browser: &str) -> Stored<()> {
        let printable = browser.chars().filter(|c| !is_unprintable(*c));
        let browser = printable.take(BROWSER).collect();
        let change = PortalChange::Began(cookie_hash(cookie), now(), browser);
        self.store.commit(vec![Change::Portal(change)]).await
    }

    /// The user's sessions that live, newest first, each with whether it is the one with this cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_sessions(
        &self,
        account: &Account,
        cookie: &str,
    ) -> Stored<Vec<(SessionRow, bool)>> {
        let (now, this) = (now(), cookie_hash(cookie));
        let all = self.store.portal_sessions(account.id).await?;
        let living = all.into_iter().filter(|s| session_lives(s.expires_at, now));
        Ok(living
            .map(|s| (s.token_hash == this, s))
            .map(|(own, s)| (s, own))
            .collect())
    }

    /// Ends all sessions of a user but the one with this cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_other_sessions(&self, account: &Account, cookie: &str) -> Stored<()> {
        let changes = vec![
            Change::Portal(PortalChange::EndSessions(account.id, cookie_hash(cookie))),
            self.self_audit(account.id, "other sessions ended"),
        ];
        self.store.commit(changes).await
    }
}

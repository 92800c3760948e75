//! What users do with their accounts on the portal: make one, change password and PIN, look at their sessions (AID6).
//! Each change is in the audit trail.

use super::attempts::{Denied, Proven, count, refund, still};
use super::{Service, fresh, now};
use crate::names;
use crate::password::{self, Busy};
use crate::service::web::{cookie_hash, session_lives};
use crate::store::{SessionRow, StoreError, Stored, Tx};
use crate::views;
use aid_cli::printable::is_unprintable;
use aid_cmp_core::change::{Change, Lock, PortalChange};
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::decide::{Context, Decision, removal, tries};
use aid_cmp_core::model::Account;
use aid_id::{AccountRef, Secret};
use std::sync::Arc;

/// Lengths of a car PIN, digits.
const PIN: std::ops::RangeInclusive<usize> = 4..=16;
/// Text of the portal's tables for a name that somebody has.
const TAKEN: &str = "wrong-name-taken";
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
    /// What was given can't be used: the id of the text that says why.
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
        Err("wrong-password-length")
    }
}

impl Service {
    /// Makes an account for somebody who registers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn register(
        self: &Arc<Self>,
        name: &str,
        shown: &str,
        secret: &Secret,
    ) -> Stored<Changed> {
        let (Some(name), Some(shown)) = (names::sign_in_name(name), names::shown_name(shown))
        else {
            return Ok(Changed::Unusable("wrong-name"));
        };
        if let Err(why) = usable_password(secret) {
            return Ok(Changed::Unusable(why));
        }
        // What is refused anyway costs no hash. Whether the name is still free is asked again by the decision.
        let look = name.clone();
        let taken = self.look(async move |_, tx| tx.account_named(&look).await);
        if taken.await?.is_some() {
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
            return Ok(Changed::Unusable("wrong-password-unusable"));
        };
        drop(permit);
        let account = Account {
            id: AccountRef(fresh()),
            name,
            display_name: shown.to_owned(),
            password: Secret::new(hash),
            pin_mac: None,
            created_at: now(),
        };
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            if tx.account_named(&account.name).await?.is_some() {
                return Ok((Decision::default(), Changed::Unusable(TAKEN)));
            }
            let audit = self_audit(context, account.id, "registered");
            let changes = vec![Change::AddAccount(account.clone()), audit];
            Ok::<_, StoreError>((decided(changes), Changed::Done))
        };
        let changed = self.decide(decide).await?;
        if changed == Changed::Done {
            count("register", "accepted");
        }
        Ok(changed)
    }

    /// The account if the password is its own; wrong ones are counted with those of the sign-in.
    async fn proves(
        self: &Arc<Self>,
        account: &Account,
        secret: &Secret,
    ) -> Stored<Result<Proven, Changed>> {
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
        self: &Arc<Self>,
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
            return Ok(Changed::Unusable("wrong-password-unusable"));
        };
        drop(permit);
        let (hash, cookie) = (Secret::new(hash), cookie_hash(cookie));
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            if !still(tx, &account).await? {
                return Ok((Decision::default(), Changed::Wrong));
            }
            let changes = vec![
                Change::Portal(PortalChange::Password(account.id, hash.clone())),
                context.revoke_verifiers(account.id),
                Change::Portal(PortalChange::EndSessions(account.id, cookie.clone())),
                refund(tx, &account).await?,
                self_audit(context, account.id, "password changed"),
            ];
            Ok::<_, StoreError>((decided(changes), Changed::Done))
        };
        self.decide(decide).await
    }

    /// Another car PIN, or none: then only a code logs them in to a car.
    ///
    /// # Errors
    /// The store failed.
    pub async fn change_pin(
        self: &Arc<Self>,
        account: &Account,
        secret: &Secret,
        pin: Option<&Secret>,
    ) -> Stored<Changed> {
        if pin.is_some_and(|pin| !is_pin(pin.expose())) {
            return Ok(Changed::Unusable("wrong-pin"));
        }
        // Who signs in elsewhere has no password to give: the session is what there is.
        let account = if password::is_none(&account.password) {
            account.clone()
        } else {
            match self.proves(account, secret).await? {
                Ok(proven) => proven.account,
                Err(changed) => return Ok(changed),
            }
        };
        let mac = pin.map(|pin| pin_mac(&self.config.pin_key, account.id, pin.expose()));
        let action = if mac.is_some() {
            "PIN changed"
        } else {
            "PIN removed"
        };
        let wrong_pins = tries::prefix(&self.config.pin_key, &account.name);
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            if !still(tx, &account).await? {
                return Ok((Decision::default(), Changed::Wrong));
            }
            let refund = refund(tx, &account).await?;
            tx.lock(Lock::Attempts(tries::everywhere(&wrong_pins)))
                .await?;
            let changes = vec![
                Change::Portal(PortalChange::Pin(account.id, mac.clone())),
                context.revoke_verifiers(account.id),
                // Who knows the password may try the new PIN at once.
                Change::ForgetAttempts(wrong_pins.clone()),
                refund,
                self_audit(context, account.id, action),
            ];
            Ok::<_, StoreError>((decided(changes), Changed::Done))
        };
        self.decide(decide).await
    }

    /// Notes which browser a session is of.
    ///
    /// # Errors
    /// The store failed.
    pub async fn session_began(&self, cookie: &str, browser: &str) -> Stored<()> {
        let printable = browser.chars().filter(|c| !is_unprintable(*c));
        let browser = printable.take(BROWSER).collect();
        let change = PortalChange::Began(cookie_hash(cookie), now(), browser);
        self.commit(vec![Change::Portal(change)]).await
    }

    /// The user's sessions that live, newest first, each with whether it is the one with this cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_sessions(
        self: &Arc<Self>,
        account: &Account,
        cookie: &str,
    ) -> Stored<Vec<(SessionRow, bool)>> {
        let (now, this) = (now(), cookie_hash(cookie));
        let id = account.id;
        let all = self.look(async move |_, tx| tx.portal_sessions(id).await);
        let all = all.await?;
        let living = all.into_iter().filter(|s| session_lives(s.expires_at, now));
        Ok(living
            .map(|s| (s.token_hash == this, s))
            .map(|(own, s)| (s, own))
            .collect())
    }

    /// Ends one session of a user, by what [`Service::own_sessions`] names it with.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_session(&self, account: &Account, session: &str) -> Stored<()> {
        let changes = vec![
            Change::Portal(PortalChange::EndSession(account.id, session.to_owned())),
            self_audit(&self.context(), account.id, "session ended"),
        ];
        self.commit(changes).await
    }

    /// Another name that cars and pages show.
    ///
    /// # Errors
    /// The store failed.
    pub async fn rename(self: &Arc<Self>, account: &Account, name: &str) -> Stored<Changed> {
        let Some(name) = names::shown_name(name) else {
            return Ok(Changed::Unusable("wrong-name"));
        };
        let (id, name) = (account.id, name.to_owned());
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            let user = tx.locked_account(id).await?;
            if user.is_none_or(|user| removal::is_erased(&user)) {
                return Ok((Decision::default(), Changed::Wrong));
            }
            let change = Change::Portal(PortalChange::DisplayName(id, name.clone()));
            let changes = vec![change, self_audit(context, id, "name changed")];
            Ok::<_, StoreError>((decided(changes), Changed::Done))
        };
        let changed = self.decide(decide).await?;
        if changed == Changed::Done
            && let Err(error) = self.refresh_profiles(vec![id]).await
        {
            tracing::error!(%error, "a changed AID User Profile was not sent");
        }
        Ok(changed)
    }

    /// The user deletes their account: all links end, the cars forget the user, and everything personal goes as soon as
    /// what is pending is done (R-4.4.1-14). The password proves who asks; who has none, because they sign in elsewhere,
    /// gives the name instead.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_account(
        self: &Arc<Self>,
        account: &Account,
        secret: &Secret,
    ) -> Stored<Changed> {
        let account = if password::is_none(&account.password) {
            if names::sign_in_name(secret.expose()).as_deref() != Some(&account.name) {
                return Ok(Changed::Unusable("wrong-own-name"));
            }
            account.clone()
        } else {
            match self.proves(account, secret).await? {
                Ok(proven) => proven.account,
                Err(changed) => return Ok(changed),
            }
        };
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            if !still(tx, &account).await? {
                return Ok((Decision::default(), Changed::Wrong));
            }
            let reason = Some("by the user".to_owned());
            let mut decision = views::erasure(tx, context, &account, reason).await?;
            decision.belongs_to(fresh());
            Ok::<_, StoreError>((decision, Changed::Done))
        };
        self.decide(decide).await
    }

    /// Ends all sessions of a user but the one with this cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_other_sessions(&self, account: &Account, cookie: &str) -> Stored<()> {
        let changes = vec![
            Change::Portal(PortalChange::EndSessions(account.id, cookie_hash(cookie))),
            self_audit(&self.context(), account.id, "other sessions ended"),
        ];
        self.commit(changes).await
    }
}

fn self_audit(context: &Context, id: AccountRef, action: &'static str) -> Change {
    let who = format!("account {}", hex::encode(id.0));
    context.audit(who, action, String::new())
}

fn decided(changes: Vec<Change>) -> Decision {
    Decision {
        changes,
        ..Decision::default()
    }
}

//! Attempts at secrets: each is charged in one transaction before the secret is judged, and a success takes the charge
//! back. So never more than the limit are judged, however many come at once and through however many instances. What a
//! crash leaves behind is an attempt that counts although nobody learned anything from it.
//!
//! Refused attempts are seen in the log, in the metrics, and in the audit trail; the last only as far as a counter bounds
//! them, so that nobody fills the database by guessing.

use super::{Service, now};
use crate::password::{self, Busy, Permit};
use crate::service::web::password_key;
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::login::{self, Verdict};
use aid_cmp_core::decide::{Context, Decision, registration};
use aid_cmp_core::model::Account;
use aid_id::{AccountRef, Eid, Secret};
use aid_serve::metrics::Counter;
use std::sync::Arc;

static LOGINS: Counter = Counter::new(
    "aid_cmp_logins",
    "Logins, and accounts made by strangers, by result and by door",
);

/// Counts a login. Both texts are the code's.
pub(super) fn count(door: &'static str, result: &'static str) {
    LOGINS.add(&[("result", result), ("door", door)]);
}

/// Key of the registrations of strangers in the store's table of attempts.
const REGISTRATIONS: &str = "registrations";
/// Where accounts that OpenID Connect makes are counted: strangers who fill the one budget leave the other alone.
const PROVIDED: &str = "registrations:openid";

/// Why a password was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It is wrong, or nobody has this name.
    Wrong,
    /// Too many attempts; minutes to wait.
    Locked(u64),
    /// It was not judged, and the attempt does not count: too many others wait.
    Busy(Busy),
}

/// An account whose password was given, and the permit under which another can be hashed.
pub(super) struct Proven {
    pub(super) account: Account,
    pub(super) permit: Permit,
}

/// The account as other entries of the audit trail name it.
fn named(account: AccountRef) -> String {
    format!("account {}", hex::encode(account.0))
}

impl Service {
    /// Charges one attempt at `key`; yields how many there are now in its window, this one among them.
    pub(super) async fn charge(self: &Arc<Self>, key: String) -> Stored<Result<u32, u64>> {
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            tx.lock(Lock::Attempts(key.clone())).await?;
            let mut decision = Decision::default();
            let attempts = tx.attempts(&key).await?;
            if let Some(minutes) = login::locked(attempts.as_ref(), context.now) {
                return Ok((decision, Err(minutes)));
            }
            let charged = login::counted(attempts.as_ref(), None, context.now);
            let count = charged.count;
            let change = Change::SetAttempts(key.clone(), Some(charged));
            decision.changes.push(change);
            Ok::<_, StoreError>((decision, Ok(count)))
        };
        self.decide(decide).await
    }

    /// Judges the password of an account, or of a name that nobody has. Where it fits the attempt is still charged:
    /// the caller commits [`refund`] with what it does then.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn prove(
        self: &Arc<Self>,
        account: Option<&Account>,
        name: &str,
        secret: &Secret,
    ) -> Stored<Result<Proven, Denied>> {
        let key = password_key(account, name);
        let id = account.map(|a| a.id);
        // Who is locked out waits for no place among those who are judged.
        let look = key.clone();
        let attempts = self.look(async move |_, tx| tx.attempts(&look).await);
        if let Some(minutes) = login::locked(attempts.await?.as_ref(), now()) {
            return Ok(Err(locked_out(id, minutes)));
        }
        let mut permit = match password::permit().await {
            Ok(permit) => permit,
            Err(busy) => {
                count("portal", "busy");
                return Ok(Err(Denied::Busy(busy)));
            }
        };
        let charged = match self.charge(key).await? {
            Ok(charged) => charged,
            Err(minutes) => return Ok(Err(locked_out(id, minutes))),
        };
        // As it is now: the wait may have been long.
        let account = match id {
            Some(id) => self.look(async move |_, tx| tx.account(id).await).await?,
            None => None,
        };
        let hash = account.as_ref().map(|a| a.password.expose().to_owned());
        let fits = permit.verify(hash, secret.expose().to_owned()).await;
        match account.filter(|_| fits) {
            Some(account) => Ok(Ok(Proven { account, permit })),
            None => {
                self.refused(id, charged).await?;
                Ok(Err(Denied::Wrong))
            }
        }
    }

    /// A wrong password of this account, or of a name that nobody has.
    async fn refused(self: &Arc<Self>, account: Option<AccountRef>, charged: u32) -> Stored<()> {
        let Some(account) = account else {
            count("portal", "unknown");
            tracing::warn!("portal login refused: nobody has this name");
            return Ok(());
        };
        count("portal", "wrong");
        let context = self.context();
        let audit = |action, reason: &str| {
            context.audit_because("portal", action, named(account), Some(reason.to_owned()))
        };
        let mut changes = vec![audit("login refused", "wrong password")];
        let who = named(account);
        if charged >= login::MAX_ATTEMPTS {
            tracing::warn!(%who, charged, "portal login refused: wrong password; the account is locked");
            changes.push(audit("account locked", "too many wrong passwords"));
        } else {
            tracing::warn!(%who, charged, "portal login refused: wrong password");
        }
        self.commit(changes).await
    }

    /// Charges the making of one account by a stranger.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn charge_registration(self: &Arc<Self>) -> Stored<Result<(), u64>> {
        self.charge_account(REGISTRATIONS, "register").await
    }

    /// Charges the making of one account by a sign-in with the identity provider.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn charge_provided(self: &Arc<Self>) -> Stored<Result<(), u64>> {
        self.charge_account(PROVIDED, "openid").await
    }

    async fn charge_account(
        self: &Arc<Self>,
        budget: &'static str,
        door: &'static str,
    ) -> Stored<Result<(), u64>> {
        let most = self.config.file.limits.registrations_per_hour;
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            tx.lock(Lock::Attempts(budget.into())).await?;
            let mut decision = Decision::default();
            let attempts = tx.attempts(budget).await?;
            let charged = registration::charge(attempts.as_ref(), most, context.now);
            let charged = charged.map(|charged| {
                let change = Change::SetAttempts(budget.into(), Some(charged));
                decision.changes.push(change);
            });
            Ok::<_, StoreError>((decision, charged))
        };
        let charged = self.decide(decide).await?;
        if charged.is_err() {
            count(door, "locked");
            tracing::warn!(
                most,
                door,
                "no more accounts are made for strangers in this hour"
            );
        }
        Ok(charged)
    }
}

/// Locks the account; false if it has not the password any more that was judged.
pub(super) async fn still(tx: &Tx<'_>, account: &Account) -> Stored<bool> {
    let present = tx.locked_account(account.id).await?;
    Ok(present.is_some_and(|a| a.password == account.password))
}

/// Locks and clears the attempts of an account whose password was given: the one that was charged for it, and the wrong
/// ones before it.
pub(super) async fn refund(tx: &Tx<'_>, account: &Account) -> Stored<Change> {
    let key = password_key(Some(account), &account.name);
    tx.lock(Lock::Attempts(key.clone())).await?;
    Ok(Change::SetAttempts(key, None))
}

/// Reports a login in a car to log and metrics.
pub(super) fn note_car(eid: Eid, account: Option<AccountRef>, verdict: Verdict) {
    let who = account.map_or_else(|| "a name that nobody has".into(), named);
    let (result, reason) = match verdict {
        Verdict::Accepted => {
            tracing::info!(%eid, %who, "login");
            return count("car", "accepted");
        }
        // Reported when it came first.
        Verdict::Repeated => return,
        Verdict::Wrong(false) => ("wrong", "wrong PIN".to_owned()),
        Verdict::Wrong(true) => ("wrong", "wrong PIN; the account is locked".to_owned()),
        Verdict::Unknown(_) => ("unknown", "nobody has this name".to_owned()),
        Verdict::Locked(minutes) => (
            "locked",
            format!("too many attempts; locked for {minutes} minutes"),
        ),
    };
    tracing::warn!(%eid, %who, reason, "login refused");
    count("car", result);
}

/// Reports the result of a login by code to log and metrics.
pub(super) fn note_code(eid: Option<Eid>, account: Option<AccountRef>, result: &'static str) {
    count("code", result);
    let eid = eid.map(|eid| eid.to_string());
    let who = account.map(named);
    if result == "accepted" {
        tracing::info!(eid, who, "login by code");
    } else {
        tracing::warn!(eid, who, reason = result, "login by code refused");
    }
}

fn locked_out(account: Option<AccountRef>, minutes: u64) -> Denied {
    count("portal", "locked");
    let who = account.map_or_else(|| "a name that nobody has".into(), named);
    tracing::warn!(%who, minutes, "portal login refused: too many attempts");
    Denied::Locked(minutes)
}

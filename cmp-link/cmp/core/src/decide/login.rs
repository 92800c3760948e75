//! A user logs in to a car: PIN, attempt limit, AID User Profile (§4.3 step 1, R-2-9, R-2-10).

use super::{Context, Decision, Outgoing};
use crate::change::{Change, FleetChange};
use crate::model::{Account, Attempts, Profile};
use aid_id::{AccountRef, Eid, Id};
use aid_wire::{Aup, Down, LoginOutcome};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Wrong attempts that are allowed in a window.
pub const MAX_ATTEMPTS: u32 = 5;
/// Length of the window, ms.
pub const WINDOW_MS: u64 = 15 * 60 * 1000;

/// Key of the PIN's attempts in the store.
#[must_use]
pub fn attempts_key(account: AccountRef) -> String {
    format!("pin:{}", hex::encode(account.0))
}

/// Key of a car's logins under names that nobody has. They lock nothing: the number bounds what they leave in the audit
/// trail.
#[must_use]
pub fn unknown_key(eid: Eid) -> String {
    format!("pin-of-nobody:{eid}")
}

/// What is stored of a PIN: useless without the key, which is not in the database.
#[must_use]
pub fn pin_mac(key: &[u8; 32], account: AccountRef, pin: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(&account.0);
    mac.update(pin.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// What the store says about a login.
#[derive(Debug, Clone)]
pub struct View {
    /// The account of that name.
    pub account: Option<Account>,
    /// Its failed attempts; without an account those of [`unknown_key`].
    pub attempts: Option<Attempts>,
    /// Whether it has logged in to this car before.
    pub known_here: bool,
    /// What the HMI shows.
    pub aup: Aup,
    /// The profiles of its active federations.
    pub profiles: Vec<Profile>,
}

/// Whether attempts count at `now`: their window has not ended, and it did not begin under a clock that was wrong by
/// more than a window.
fn counts(attempts: &Attempts, now: u64) -> bool {
    attempts.since.abs_diff(now) < WINDOW_MS
}

/// Whether the limit is reached at `now`; the minutes to wait, at most those of a window.
#[must_use]
pub fn locked(attempts: Option<&Attempts>, now: u64) -> Option<u64> {
    let attempts = attempts.filter(|a| a.count >= MAX_ATTEMPTS && counts(a, now))?;
    let end = attempts.since.min(now).saturating_add(WINDOW_MS);
    Some(end.saturating_sub(now).div_ceil(60_000))
}

/// One more failed attempt.
#[must_use]
pub fn counted(attempts: Option<&Attempts>, last: Option<Id>, now: u64) -> Attempts {
    match attempts {
        Some(a) if counts(a, now) => Attempts {
            count: a.count.saturating_add(1),
            since: a.since.min(now),
            last,
        },
        _ => Attempts {
            count: 1,
            since: now,
            last,
        },
    }
}

/// How a login was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The PIN is the account's.
    Accepted,
    /// It is not; true: it was the last attempt in this window.
    Wrong(bool),
    /// Nobody has this name; true: it was noted, as only some of a window are.
    Unknown(bool),
    /// Too many attempts; minutes to wait. The PIN was not looked at.
    Locked(u64),
    /// The login that was refused last, again. The PIN was not looked at.
    Repeated,
}

/// Judges a login. The MAC is computed for unknown names too: the time says nothing.
#[must_use]
pub fn judge(view: &View, login_id: Id, pin: &str, key: &[u8; 32], now: u64) -> Verdict {
    let reference = view.account.as_ref().map_or(AccountRef([0; 16]), |a| a.id);
    let mac = pin_mac(key, reference, pin);
    let attempts = view.attempts.as_ref();
    if attempts.is_some_and(|a| a.last == Some(login_id)) {
        return Verdict::Repeated;
    }
    let locked = locked(attempts, now);
    let Some(account) = &view.account else {
        return Verdict::Unknown(locked.is_none());
    };
    if let Some(minutes) = locked {
        return Verdict::Locked(minutes);
    }
    let fits = account.pin_mac.as_ref().is_some_and(|stored| {
        bool::from(subtle::ConstantTimeEq::ct_eq(
            stored.as_bytes(),
            mac.as_bytes(),
        ))
    });
    if fits {
        Verdict::Accepted
    } else {
        Verdict::Wrong(counted(attempts, None, now).count >= MAX_ATTEMPTS)
    }
}

/// Decides a login. The same login again is answered the same and counted once.
#[must_use]
pub fn login(
    context: &Context,
    view: View,
    eid: Eid,
    login_id: Id,
    pin: &str,
    key: &[u8; 32],
) -> Decision {
    let mut decision = Decision::default();
    let verdict = judge(&view, login_id, pin, key, context.now);
    let attempts = view.attempts.as_ref();
    let outcome = match (verdict, view.account) {
        (Verdict::Accepted, Some(account)) => {
            if attempts.is_some() {
                let key = attempts_key(account.id);
                decision.changes.push(Change::SetAttempts(key, None));
            }
            welcome(context, &mut decision, &account, view.known_here, eid);
            accepted(&account, view.aup, &view.profiles, eid)
        }
        (Verdict::Wrong(last), Some(account)) => {
            let counted = counted(attempts, Some(login_id), context.now);
            let change = Change::SetAttempts(attempts_key(account.id), Some(counted));
            decision.changes.push(change);
            let detail = format!("{eid} account {}", hex::encode(account.id.0));
            let mut note = |action, reason: &str| {
                let (detail, reason) = (detail.clone(), Some(reason.to_owned()));
                let audit = context.audit_because("car", action, detail, reason);
                decision.changes.push(audit);
            };
            note("login refused", "wrong PIN");
            if last {
                note("account locked", "too many wrong PINs");
            }
            wrong()
        }
        (Verdict::Unknown(true), _) => {
            let counted = counted(attempts, Some(login_id), context.now);
            let change = Change::SetAttempts(unknown_key(eid), Some(counted));
            let reason = Some("nobody has this name".to_owned());
            let audit = context.audit_because("car", "login refused", eid.to_string(), reason);
            decision.changes.extend([change, audit]);
            wrong()
        }
        (Verdict::Locked(minutes), _) => LoginOutcome::Refused {
            reason: format!("too many attempts; try again in {minutes} minutes"),
        },
        _ => wrong(),
    };
    decision.down.push(Outgoing {
        eid,
        correlation: None,
        message_id: login_id,
        body: Down::LoginResult { login_id, outcome },
    });
    decision
}

fn wrong() -> LoginOutcome {
    LoginOutcome::Refused {
        reason: "name or PIN is wrong".into(),
    }
}

/// What is stored when a user enters a car, however he proved who he is.
pub(super) fn welcome(
    context: &Context,
    decision: &mut Decision,
    account: &Account,
    known_here: bool,
    eid: Eid,
) {
    if !known_here {
        decision
            .changes
            .push(Change::LoggedIn(eid, account.id, context.now));
    }
    decision
        .changes
        .push(Change::Fleet(FleetChange::Session(eid, Some(account.id))));
}

/// The answer to a login that is accepted.
pub(super) fn accepted(
    account: &Account,
    aup: Aup,
    profiles: &[Profile],
    eid: Eid,
) -> LoginOutcome {
    let here = |p: &&Profile| p.eid == eid && p.status.may_be_on_card();
    LoginOutcome::Accepted {
        account: account.id,
        aup,
        profiles: profiles
            .iter()
            .filter(here)
            .map(|p| p.iccid.clone())
            .collect(),
    }
}

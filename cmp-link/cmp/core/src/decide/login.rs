//! A user logs in to a car: PIN, attempt limit, AID User Profile (§4.3 step 1, R-2-9, R-2-10).

use super::session::Book;
use super::tries::{self, Keys, Tries};
use super::{Context, Decision, Outgoing};
use crate::change::{Change, FleetChange};
use crate::model::{Account, Attempts, Profile};
use aid_id::{AccountRef, Eid, Id};
use aid_wire::{Aup, Down, LoginOutcome};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Wrong attempts that are allowed in a window.
pub const MAX_ATTEMPTS: u32 = tries::SHORT.most;
/// Length of the window, ms.
pub const WINDOW_MS: u64 = tries::SHORT.window;

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
    /// Failed attempts under that name, whether or not anybody has it.
    pub tries: Tries,
    /// Whether it has logged in to this car before.
    pub known_here: bool,
    /// What the HMI shows; looked at where the login is accepted.
    pub aup: Aup,
    /// The profiles of its active federations; looked at where the login is accepted.
    pub profiles: Vec<Profile>,
    /// The car's session as it is now; none: the login is older than that, and begins no session.
    pub book: Option<Book>,
}

/// Whether the limit of one secret is reached at `now`; the minutes to wait, at most those of a window.
#[must_use]
pub fn locked(attempts: Option<&Attempts>, now: u64) -> Option<u64> {
    tries::SHORT.locked(attempts, now)
}

/// One more failed attempt at one secret.
#[must_use]
pub fn counted(attempts: Option<&Attempts>, last: Option<Id>, now: u64) -> Attempts {
    tries::SHORT.counted(attempts, last, now)
}

/// How a login was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The PIN is the account's.
    Accepted,
    /// It is not; true: it was the last attempt in this window.
    Wrong(bool),
    /// Nobody has this name; true: as for a wrong PIN. The car gets the same answer.
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
    if view.tries.last() == Some(login_id) {
        return Verdict::Repeated;
    }
    if let Some(minutes) = view.tries.locked(view.known_here, now) {
        return Verdict::Locked(minutes);
    }
    let stored = view.account.as_ref().and_then(|a| a.pin_mac.as_ref());
    let fits = stored.is_some_and(|stored| {
        bool::from(subtle::ConstantTimeEq::ct_eq(
            stored.as_bytes(),
            mac.as_bytes(),
        ))
    });
    let last = counted(view.tries.0[0].as_ref(), None, now).count >= MAX_ATTEMPTS;
    match &view.account {
        Some(_) if fits => Verdict::Accepted,
        Some(_) => Verdict::Wrong(last),
        None => Verdict::Unknown(last),
    }
}

/// Decides a login; `keys` are those of the attempts in `view`. The same login again is answered the same and counted
/// once. A name that nobody has is answered, counted and noted as a wrong PIN is.
#[must_use]
pub fn login(
    context: &Context,
    view: View,
    keys: &Keys,
    eid: Eid,
    login_id: Id,
    pin: &str,
    key: &[u8; 32],
) -> Decision {
    let mut decision = Decision::default();
    let verdict = judge(&view, login_id, pin, key, context.now);
    let outcome = match (verdict, view.account) {
        (Verdict::Accepted, Some(account)) => {
            decision.changes.extend(view.tries.cleared(keys));
            welcome(
                context,
                &mut decision,
                &account,
                view.known_here,
                eid,
                view.book.as_ref(),
            );
            accepted(&account, view.aup, &view.profiles, eid)
        }
        (Verdict::Wrong(last) | Verdict::Unknown(last), account) => {
            let counted = view.tries.failed(keys, login_id, context.now);
            decision.changes.extend(counted);
            let (who, why) = match account {
                Some(account) => (
                    format!("account {}", hex::encode(account.id.0)),
                    "wrong PIN",
                ),
                None => ("no account".to_owned(), "nobody has this name"),
            };
            let mut note = |action, reason: &str| {
                let (detail, reason) = (format!("{eid} {who}"), Some(reason.to_owned()));
                let audit = context.audit_because("car", action, detail, reason);
                decision.changes.push(audit);
            };
            note("login refused", why);
            if last {
                note("account locked", "too many wrong PINs in this car");
            }
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

/// Makes the answer to a login follow the book of the car's session, which was `before` until this decision: where the
/// account is not in at its end, the login is refused. Such a login is repeated after its session has ended, or carries the
/// number of another state.
pub fn follow_book(decision: &mut Decision, before: Option<AccountRef>) {
    let booked = |change: &Change| match change {
        Change::Fleet(FleetChange::Session(_, book)) => Some(book.account),
        _ => None,
    };
    let now = decision.changes.iter().rev().find_map(booked);
    let now = now.unwrap_or(before);
    for message in &mut decision.down {
        if let Down::LoginResult { outcome, .. } = &mut message.body
            && matches!(outcome, LoginOutcome::Accepted { account, .. } if now != Some(*account))
        {
            *outcome = not_booked();
        }
    }
}

/// The answer to a login that begins no session.
#[must_use]
pub fn not_booked() -> LoginOutcome {
    LoginOutcome::Refused {
        reason: "this login is over; log in again".into(),
    }
}

/// What is stored when a user enters a car, however they proved who they are.
pub(super) fn welcome(
    context: &Context,
    decision: &mut Decision,
    account: &Account,
    known_here: bool,
    eid: Eid,
    book: Option<&Book>,
) {
    if !known_here {
        decision
            .changes
            .push(Change::LoggedIn(eid, account.id, context.now));
    }
    if let Some(book) = book {
        let entered = FleetChange::Session(eid, book.entered(account.id));
        decision.changes.push(Change::Fleet(entered));
    }
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

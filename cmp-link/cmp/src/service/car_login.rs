//! Logins in cars by a code that the car shows (RFC 8628's shape): the car begins, the portal's page
//! looks the code up and approves or denies it. Guesses are counted per account.

use super::attempts::note_code;
use super::{Service, now};
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::session::Book;
use aid_cmp_core::decide::{Context, Decision, car_login, login, removal};
use aid_cmp_core::model::{Account, LoginCode, LoginCodeState};
use aid_id::{AccountRef, Eid, Id};
use aid_wire::Down;
use std::sync::Arc;

/// Path of the page where the user enters the code.
pub const CODE_PAGE: &str = "/car";

/// A car that shows a code, for the page to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarLogin {
    /// The code as people read it.
    pub code: String,
    /// The car's eUICC.
    pub eid: Eid,
    /// Its vehicle identification number, where it is known.
    pub vin: Option<String>,
    /// When the car asked, Unix milliseconds.
    pub since: u64,
    /// When the code ends.
    pub expires_at: u64,
}

/// What became of a code that a user typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It is open: this is the car that shows it.
    Open(CarLogin),
    /// The car was told.
    Done(CarLogin),
    /// No car shows it, it is over, or it was used.
    Unknown,
    /// Too many wrong codes; minutes to wait.
    Locked(u64),
}

/// What is left to do when the decision about a login by code is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// The car shows a code: its approval is followed.
    Shows,
    /// This user is in.
    Entered(AccountRef),
    /// The code ended before it was approved.
    Expired,
    /// It ended otherwise, which was counted when the user gave their answer.
    Ended,
}

fn attempts_key(account: AccountRef) -> String {
    format!("car-code:{}", hex::encode(account.0))
}

fn is_open(code: &LoginCode, now: u64) -> bool {
    code.state == LoginCodeState::Open && car_login::lives(code, now)
}

impl Service {
    /// The car that shows this code, before the user says yes or no.
    ///
    /// # Errors
    /// The store failed.
    pub async fn look_up_login(self: &Arc<Self>, account: &Account, code: &str) -> Stored<Judged> {
        let (user, text) = (account.id, code.to_owned());
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            Ok::<_, StoreError>(match open_code(tx, context, user, &text).await? {
                Ok((_, shown)) => (Decision::default(), Judged::Open(shown)),
                Err((decision, judged)) => (decision, judged),
            })
        };
        let judged = self.decide(decide).await?;
        note_refused(account.id, &judged);
        Ok(judged)
    }

    /// The user approves (or denies) the login that a car shows this code for.
    ///
    /// # Errors
    /// The store failed.
    pub async fn approve_login(
        self: &Arc<Self>,
        account: &Account,
        code: &str,
        approve: bool,
    ) -> Stored<Judged> {
        let (user, text) = (account.clone(), code.to_owned());
        let decide = async move |service: &Self, tx: &Tx<'_>, context: &Context| {
            let (code, shown) = match open_code(tx, context, user.id, &text).await? {
                Ok(found) => found,
                Err(refused) => return Ok(refused),
            };
            let mut decision = car_login::judge(context, code.clone(), &user, approve);
            if approve {
                let mut view = service.login_view(tx, Some(user.clone()), code.eid).await?;
                view.book = tx.vehicle(code.eid).await?.as_ref().map(Book::of);
                decision.merge(car_login::approved(context, view, &code));
            }
            Ok::<_, StoreError>((decision, Judged::Done(shown)))
        };
        let judged = self.decide(decide).await?;
        note_refused(account.id, &judged);
        // Wrong codes keep counting: whoever has a car of their own could take them back with its code.
        if let Judged::Done(shown) = &judged {
            if let Ok(mut showing) = self.showing.lock() {
                showing.remove(&shown.eid); // It was told here.
            }
            let result = if approve { "accepted" } else { "denied" };
            note_code(Some(shown.eid), Some(account.id), result);
            if approve {
                let sent = self.entered(shown.eid, account.id).await;
                self.or_again(shown.eid, sent);
            }
        }
        Ok(judged)
    }

    /// Tells the cars that show a code what became of it, whichever instance judged it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn follow_codes(self: &Arc<Self>) -> Stored<()> {
        let showing: Vec<Eid> = match self.showing.lock() {
            Ok(showing) => showing.iter().copied().collect(),
            Err(_) => return Ok(()),
        };
        for eid in showing {
            let code = self.look(async move |_, tx| tx.login_code_of(eid).await);
            let code = code.await?;
            if code.as_ref().is_some_and(|code| is_open(code, now())) {
                continue;
            }
            self.not_showing(eid);
            if let Some(code) = code {
                let login_id = code.login_id;
                let decide = async move |service: &Self, tx: &Tx<'_>, context: &Context| {
                    tx.lock(Lock::Vehicle(eid)).await?;
                    // The car may have begun another login meanwhile.
                    let shown = tx.login_code_of(eid).await?;
                    if shown.is_none_or(|code| code.login_id != login_id) {
                        return Ok((Decision::default(), Begun::Shows));
                    }
                    service.begin_code_login(tx, context, eid, login_id).await
                };
                let begun = self.decide(decide).await;
                let begun = begun.unwrap_or_else(|error| {
                    tracing::error!(%eid, %error, "a car was not told what became of its code; it is tried again");
                    Begun::Shows
                });
                self.begun(eid, begun).await;
            }
        }
        Ok(())
    }

    fn not_showing(&self, eid: Eid) {
        if let Ok(mut showing) = self.showing.lock() {
            showing.remove(&eid);
        }
    }

    /// A car begins a login by code, or asks again how it stands. The car is locked.
    pub(super) async fn begin_code_login(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        eid: Eid,
        login_id: Id,
    ) -> Stored<(Decision, Begun)> {
        let found = tx.login_code_of(eid).await?;
        let state = found.as_ref().map(|c| c.state);
        let approved = found
            .as_ref()
            .filter(|c| c.login_id == login_id && c.state == LoginCodeState::Approved);
        if let Some(code) = approved {
            let account = match code.account {
                Some(id) => tx.locked_account(id).await?,
                None => None,
            };
            // The approval began the session; the car that asks again for its result begins none, and is refused where it
            // has ended.
            let session = tx.vehicle(eid).await?.and_then(|v| v.session);
            let enters = account.as_ref().map(|a| a.id);
            let enters =
                enters.filter(|a| car_login::lives(code, context.now) && session == Some(*a));
            let view = self.login_view(tx, account, eid).await?;
            let mut decision = car_login::approved(context, view, code);
            decision.keep_session();
            login::follow_book(&mut decision, session);
            let begun = enters.map_or(Begun::Ended, Begun::Entered);
            return Ok((decision, begun));
        }
        let url = format!("{}{CODE_PAGE}", self.config.file.portal.base_url);
        let decision = car_login::begin(context, found, eid, login_id, url);
        let mut bodies = decision.down.iter().map(|message| &message.body);
        let shows = bodies.any(|body| matches!(body, Down::LoginCode { .. }));
        let begun = match state {
            _ if shows => Begun::Shows,
            Some(LoginCodeState::Denied) => Begun::Ended,
            _ => Begun::Expired,
        };
        Ok((decision, begun))
    }

    /// What follows the decision of [`Self::begin_code_login`].
    pub(super) async fn begun(self: &Arc<Self>, eid: Eid, begun: Begun) {
        match begun {
            Begun::Shows => {
                if let Ok(mut showing) = self.showing.lock() {
                    showing.insert(eid);
                }
            }
            Begun::Entered(account) => {
                let sent = self.entered(eid, account).await;
                self.or_again(eid, sent);
            }
            Begun::Expired => note_code(Some(eid), None, "expired"),
            Begun::Ended => {}
        }
    }
}

/// Counts and logs a code that was refused.
fn note_refused(account: AccountRef, judged: &Judged) {
    match judged {
        Judged::Locked(_) => note_code(None, Some(account), "locked"),
        Judged::Unknown => note_code(None, Some(account), "unknown"),
        Judged::Open(_) | Judged::Done(_) => {}
    }
}

/// The open code that a user typed, with its car and the user locked; a wrong one is counted.
async fn open_code(
    tx: &Tx<'_>,
    context: &Context,
    account: AccountRef,
    text: &str,
) -> Stored<Result<(LoginCode, CarLogin), (Decision, Judged)>> {
    let typed = car_login::typed(text);
    let shown = match &typed {
        Some(code) => tx.login_code(code).await?,
        None => None,
    };
    if let Some(shown) = &shown {
        tx.lock(Lock::Vehicle(shown.eid)).await?;
    }
    let user = tx.locked_account(account).await?;
    if user.is_none_or(|user| removal::is_erased(&user)) {
        return Ok(Err((Decision::default(), Judged::Unknown)));
    }
    let key = attempts_key(account);
    tx.lock(Lock::Attempts(key.clone())).await?;
    let attempts = tx.attempts(&key).await?;
    if let Some(minutes) = login::locked(attempts.as_ref(), context.now) {
        return Ok(Err((Decision::default(), Judged::Locked(minutes))));
    }
    // As it is now that its car is locked.
    let found = match (&typed, &shown) {
        (Some(code), Some(shown)) => {
            let found = tx.login_code(code).await?;
            found.filter(|c| c.eid == shown.eid)
        }
        _ => None,
    };
    let Some(code) = found.filter(|c| is_open(c, context.now)) else {
        let counted = login::counted(attempts.as_ref(), None, context.now);
        let reason = if counted.count >= login::MAX_ATTEMPTS {
            "no car shows this code; too many wrong codes"
        } else {
            "no car shows this code"
        };
        let detail = format!("account {}", hex::encode(account.0));
        let reason = Some(reason.to_owned());
        let audit = context.audit_because("portal", "login code refused", detail, reason);
        let decision = Decision {
            changes: vec![Change::SetAttempts(key, Some(counted)), audit],
            ..Decision::default()
        };
        return Ok(Err((decision, Judged::Unknown)));
    };
    let vehicle = tx.vehicle(code.eid).await?;
    let shown = CarLogin {
        code: car_login::shown(&code.code),
        eid: code.eid,
        vin: vehicle.and_then(|v| v.vin),
        since: code.created_at,
        expires_at: code.expires_at,
    };
    Ok(Ok((code, shown)))
}

//! Logins in cars by a code that the car shows (RFC 8628's shape): the car begins, the portal's page
//! looks the code up and approves or denies it. Guesses are counted per account.
//! Called by the gateway and by the portal's page `/car`.

use super::attempts::note_code;
use super::{Service, now};
use crate::store::{Store, Stored, Turn};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{car_login, login};
use aid_cmp_core::model::{Account, LoginCode, LoginCodeState};
use aid_id::{AccountRef, Eid, Id};
use aid_wire::Down;

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

fn attempts_key(account: AccountRef) -> String {
    format!("car-code:{}", hex::encode(account.0))
}

impl<S: Store> Service<S> {
    /// The car that shows this code, before the user says yes or no.
    ///
    /// # Errors
    /// The store failed.
    pub async fn look_up_login(&self, account: &Account, code: &str) -> Stored<Judged> {
        let turn = self.store.turn().await?;
        Ok(match self.open_code(turn, account, code).await? {
            Ok((_, _, shown)) => Judged::Open(shown),
            Err(judged) => judged,
        })
    }

    /// The user approves (or denies) the login that a car shows this code for.
    ///
    /// # Errors
    /// The store failed.
    pub async fn approve_login(
        &self,
        account: &Account,
        code: &str,
        approve: bool,
    ) -> Stored<Judged> {
        let turn = self.store.turn().await?;
        let (turn, code, shown) = match self.open_code(turn, account, code).await? {
            Ok(found) => found,
            Err(judged) => return Ok(judged),
        };
        let context = self.context();
        let mut decision = car_login::judge(&context, code.clone(), account, approve);
        if approve {
            let view = self.login_view(Some(account.clone()), code.eid).await?;
            let told = car_login::approved(&context, view, &code);
            decision.changes.extend(told.changes);
            decision.down.extend(told.down);
        }
        // Wrong codes keep counting: whoever has a car of their own could take them back with its code.
        if let Ok(mut showing) = self.showing.lock() {
            showing.remove(&code.eid); // It is told here.
        }
        self.carry_out(turn, decision).await?;
        let result = if approve { "accepted" } else { "denied" };
        note_code(Some(code.eid), Some(account.id), result);
        if approve {
            self.entered(code.eid, account).await?;
        }
        Ok(Judged::Done(shown))
    }

    /// The open code that a user typed; a wrong one is counted.
    async fn open_code(
        &self,
        turn: Turn,
        account: &Account,
        text: &str,
    ) -> Stored<Result<(Turn, LoginCode, CarLogin), Judged>> {
        let key = attempts_key(account.id);
        let attempts = self.store.attempts(&key).await?;
        if let Some(minutes) = login::locked(attempts.as_ref(), now()) {
            note_code(None, Some(account.id), "locked");
            return Ok(Err(Judged::Locked(minutes)));
        }
        let found = match car_login::typed(text) {
            Some(code) => self.store.login_code(&code).await?,
            None => None,
        };
        let open = |c: &LoginCode| c.state == LoginCodeState::Open && car_login::lives(c, now());
        let Some(code) = found.filter(open) else {
            let counted = login::counted(attempts.as_ref(), None, now());
            let reason = if counted.count >= login::MAX_ATTEMPTS {
                "no car shows this code; too many wrong codes"
            } else {
                "no car shows this code"
            };
            let detail = format!("account {}", hex::encode(account.id.0));
            let reason = Some(reason.to_owned());
            let context = self.context();
            let audit = context.audit_because("portal", "login code refused", detail, reason);
            let changes = vec![Change::SetAttempts(key, Some(counted)), audit];
            self.store.commit_in(turn, changes).await?;
            note_code(None, Some(account.id), "unknown");
            return Ok(Err(Judged::Unknown));
        };
        let vehicle = self.store.vehicle(code.eid).await?;
        let vin = vehicle.and_then(|v| v.vin);
        let shown = CarLogin {
            code: car_login::shown(&code.code),
            eid: code.eid,
            vin,
            since: code.created_at,
            expires_at: code.expires_at,
        };
        Ok(Ok((turn, code, shown)))
    }

    /// Tells the cars that show a code what became of it, whichever instance judged it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn follow_codes(&self) -> Stored<()> {
        let showing: Vec<Eid> = match self.showing.lock() {
            Ok(showing) => showing.iter().copied().collect(),
            Err(_) => return Ok(()),
        };
        for eid in showing {
            let code = self.store.login_code_of(eid).await?;
            let open =
                |c: &LoginCode| c.state == LoginCodeState::Open && car_login::lives(c, now());
            if code.as_ref().is_some_and(open) {
                continue;
            }
            if let Ok(mut showing) = self.showing.lock() {
                showing.remove(&eid);
            }
            if let Some(code) = code {
                let turn = self.store.turn().await?;
                self.begin_code_login(turn, eid, code.login_id).await?;
            }
        }
        Ok(())
    }

    /// A car begins a login by code, or asks again how it stands.
    pub(super) async fn begin_code_login(&self, turn: Turn, eid: Eid, login_id: Id) -> Stored<()> {
        let context = self.context();
        let found = self.store.login_code_of(eid).await?;
        let approved = found
            .as_ref()
            .filter(|c| c.login_id == login_id && c.state == LoginCodeState::Approved);
        if let Some(code) = approved {
            let account = match code.account {
                Some(id) => self.store.account(id).await?,
                None => None,
            };
            let view = self.login_view(account.clone(), eid).await?;
            let mut decision = car_login::approved(&context, view, code);
            // The approval began the session; the car that asks again for its result begins none.
            decision.keep_session();
            self.carry_out(turn, decision).await?;
            if let Some(account) = account.filter(|_| car_login::lives(code, context.now)) {
                self.entered(eid, &account).await?;
            }
            return Ok(());
        }
        let url = format!("{}{CODE_PAGE}", self.config.file.portal.base_url);
        let denied = found
            .as_ref()
            .is_some_and(|c| c.state == LoginCodeState::Denied);
        let decision = car_login::begin(&context, found, eid, login_id, url);
        let mut bodies = decision.down.iter().map(|message| &message.body);
        let shows = bodies.any(|body| matches!(body, Down::LoginCode { .. }));
        // A car whose login was refused shows no code any more: there is nothing left to follow.
        if shows && let Ok(mut showing) = self.showing.lock() {
            showing.insert(eid);
        }
        self.carry_out(turn, decision).await?;
        // A denial was counted when the user gave it.
        if !shows && !denied {
            note_code(Some(eid), None, "expired");
        }
        Ok(())
    }
}

//! Logins without a connection: a verifier that the CMP granted after a login with a PIN lets the user of an installed
//! profile in, in an underground garage for example (docs/wire/aid2.md, rule 13).
//!
//! The shell hashes (`Effect::HashPin`): memory-hard, salted by the CMP, mixed with a secret of the car. Each try is in the
//! journal before it is made. The age of a verifier is judged by the latest time that is known to have been, so that a clock
//! that was set back makes no verifier live longer.

use crate::agent::Agent;
use crate::bounds::{Cause, cut};
use crate::driver::{Alone, PendingLogin, Session, Wish};
use crate::durable::{Record, Verifier};
use crate::event::{BootMs, Effect, LoginEnd, Notice};
use crate::link::Peer;
use crate::proofs::{Hashing, Proven, Purpose};
use aid_id::{AccountRef, Id, Secret};
use aid_wire::{Aup, FLEET_REVISION, LoginWay};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use sha2::{Digest as _, Sha256};

/// Time that the CMP has for a login before the car judges it by itself, where the link seems to stand, ms.
pub(crate) const ALONE_MS: u64 = 10_000;
/// Pause before it is looked again whether the card was read, ms.
const READ_MS: u64 = 500;
/// Time for which a PIN is kept for the verifier that follows a login, ms.
const GRANT_MS: u64 = 60_000;
/// Pause after the first wrong PIN, ms; it doubles with each.
const PAUSE_MS: u64 = 10_000;
/// How far the car's clock may be behind the CMP's, seconds.
const SKEW_S: u64 = 3600;
/// How often the time is noted while there are verifiers, seconds.
const NOTE_S: u64 = 6 * 3600;
/// Longest life of a verifier, seconds: what a CMP says beyond is a mistake.
const MAX_LIFE_S: u32 = 366 * 24 * 3600;
/// Most wrong PINs of a verifier.
const MAX_ATTEMPTS: u8 = 10;

/// The name as the CMP compares it.
fn canonical(user: &str) -> String {
    user.trim().to_lowercase()
}

/// What finds the verifier of a name.
fn name_tag(salt: &Id, user: &str) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update(b"aid offline name")
        .chain_update(salt)
        .chain_update(canonical(user).as_bytes())
        .finalize();
    let mut tag = [0; 16];
    tag.copy_from_slice(&hash[..16]);
    tag
}

/// The pause before the next try, ms.
fn pause(tries: u8) -> u64 {
    match tries {
        0 => 0,
        n => PAUSE_MS << (n - 1).min(16),
    }
}

/// Compares without saying by its time where the two differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

impl Agent {
    /// Switches logins without a connection on or off; on by default. Off: verifiers are dropped at the next event.
    #[must_use]
    pub fn with_offline(mut self, on: bool) -> Self {
        self.offline.is_off = !on;
        self
    }

    /// What the wall clock says, Unix seconds. Call it before each event: verifiers have an age. A clock that is wrong
    /// refuses logins without a connection, and makes no verifier live longer.
    pub fn set_clock(&mut self, now: BootMs, unix: u64) {
        self.offline.clock = Some((now, unix));
        self.offline.begun.get_or_insert(now);
    }

    /// The present, Unix seconds: never before the latest time that is known to have been.
    fn present(&self, now: BootMs) -> Option<u64> {
        let (at, unix) = self.offline.clock?;
        let wall = unix.saturating_add(now.0.saturating_sub(at.0) / 1000);
        let known = self.durable().clock();
        (wall.saturating_add(SKEW_S) >= known).then(|| wall.max(known))
    }

    /// Drops verifiers that are over, and notes the time now and then.
    pub(crate) fn tend_verifiers(&mut self, now: BootMs) {
        if self.offline.proven.as_ref().is_some_and(|p| p.until <= now) {
            self.offline.proven = None;
        }
        if self.durable().verifiers().is_empty() {
            return;
        }
        let present = self.present(now);
        let is_off = self.offline.is_off;
        let over = |v: &&Verifier| is_off || present.is_some_and(|p| p >= v.expires_at);
        let over = self.durable().verifiers().iter().filter(over);
        let over: Vec<AccountRef> = over.map(|v| v.account).collect();
        for account in over {
            self.record(Record::VerifierDropped(account));
        }
        let noted = self.durable().clock();
        if let Some(present) = present
            && !self.durable().verifiers().is_empty()
            && present >= noted.saturating_add(NOTE_S)
        {
            self.record(Record::Clock(present));
        }
    }

    /// When [`Self::tend_verifiers`] or a pending login has something to do.
    pub(crate) fn offline_timeout(&self) -> Option<BootMs> {
        let alone = self.driver.login.as_ref().and_then(|l| match l.alone {
            Alone::From(at) => Some(at),
            Alone::Hashing | Alone::Refused(_) | Alone::Never => None,
        });
        let proven = self.offline.proven.as_ref().map(|p| p.until);
        let note = self.offline.clock.and_then(|(at, unix)| {
            let first = self
                .durable()
                .verifiers()
                .iter()
                .map(|v| v.expires_at)
                .min()?;
            let due = first.min(self.durable().clock().saturating_add(NOTE_S));
            // A clock that stands before what is known needs to be set first.
            let wait = due.saturating_sub(unix).clamp(60, NOTE_S);
            Some(at.plus(wait.saturating_mul(1000)))
        });
        [alone, proven, note].into_iter().flatten().min()
    }

    /// The CMP has accepted this PIN: a verifier may follow. What the car has of the account was for another login.
    pub(crate) fn pin_proven(&mut self, now: BootMs, account: AccountRef, way: LoginWay) {
        let LoginWay::Pin { user, pin } = way else {
            return;
        };
        if self
            .durable()
            .verifiers()
            .iter()
            .any(|v| v.account == account)
        {
            self.record(Record::VerifierDropped(account));
        }
        let knows = matches!(self.peer(), Some(Peer::Numbered { revision, .. }) if *revision >= FLEET_REVISION);
        self.offline.proven = (knows && !self.offline.is_off).then(|| Proven {
            account,
            user,
            pin,
            until: now.plus(GRANT_MS),
        });
    }

    /// The CMP grants a verifier: the PIN of the login before is hashed for it.
    pub(crate) fn verifier_granted(
        &mut self,
        account: AccountRef,
        id: Id,
        salt: Id,
        granted_at: u64,
        valid_s: u32,
        attempts: u8,
    ) {
        let Some(proven) = self.offline.proven.take_if(|p| p.account == account) else {
            return;
        };
        if self.offline.is_off || attempts == 0 || valid_s == 0 {
            return;
        }
        let verifier = Box::new(Verifier {
            account,
            id,
            salt,
            name: name_tag(&salt, &proven.user),
            hash: [0; 32],
            granted_at,
            expires_at: granted_at.saturating_add(u64::from(valid_s.min(MAX_LIFE_S))),
            attempts: attempts.min(MAX_ATTEMPTS),
            tries: 0,
        });
        self.hash(Purpose::Grant(verifier), salt, &proven.user, proven.pin);
    }

    fn hash(&mut self, of: Purpose, salt: Id, user: &str, pin: Secret) {
        self.offline.last_op += 1;
        let op = self.offline.last_op;
        self.offline.hashing = Some(Hashing { op, of });
        self.ledger.demand(Effect::HashPin {
            op,
            salt,
            user: canonical(user),
            pin,
        });
    }

    /// Forgets what is under way: the journal fails.
    pub(crate) fn forget_hashes(&mut self) {
        (self.offline.hashing, self.offline.proven) = (None, None);
    }

    /// The CMP revokes a verifier, and a session that began with it and that the CMP does not know.
    pub(crate) fn verifier_revoked(&mut self, now: BootMs, account: AccountRef, id: Id) {
        let is_same = |v: &Verifier| v.account == account && v.id == id;
        if self.durable().verifiers().iter().any(is_same) {
            self.record(Record::VerifierDropped(account));
        }
        self.offline
            .hashing
            .take_if(|h| matches!(&h.of, Purpose::Grant(v) if is_same(v)));
        let session = self.driver.session.as_ref();
        if session.is_some_and(|s| s.account == account && s.verifier == Some(id)) {
            self.error(
                "the CMP does not let this user in any more: the session without a connection ends",
            );
            self.log_out(now);
        }
    }

    /// A session that began without the CMP can't go on with one that knows nothing of such sessions.
    pub(crate) fn end_unknown_session(&mut self) {
        if self
            .driver
            .session
            .as_ref()
            .is_some_and(Session::is_offline)
        {
            self.error("this CMP knows no logins without a connection: the session ends");
            self.end_session();
        }
    }

    /// The CMP has acknowledged the present session: it is as any other.
    pub(crate) fn session_confirmed(&mut self) {
        if let Some(session) = &mut self.driver.session
            && session.verifier.take().is_some()
            && session.wish == Wish::Refused
        {
            session.wish = Wish::Request;
        }
    }

    /// Judges the pending login without the CMP, where that is possible and was not done yet.
    pub(crate) fn judge_alone(&mut self, now: BootMs) {
        let Some(login) = &self.driver.login else {
            return;
        };
        let (LoginWay::Pin { user, pin }, Alone::From(_)) = (&login.way, &login.alone) else {
            return;
        };
        let (id, user, pin) = (login.id, user.clone(), pin.clone());
        if self.card.profiles.is_none() {
            // The card is being read: judged once it was.
            if let Some(login) = &mut self.driver.login {
                login.alone = Alone::From(now.plus(READ_MS));
            }
            return;
        }
        let alone = match self.may_try(now, &user) {
            Ok((verifier, present)) => {
                // On disk before the PIN is looked at.
                self.record(Record::VerifierTried(verifier.account, present));
                self.hash(
                    Purpose::Try(id, verifier.account),
                    verifier.salt,
                    &user,
                    pin,
                );
                Alone::Hashing
            }
            Err(why) => Alone::Refused(cut(&why)),
        };
        if let Some(login) = &mut self.driver.login {
            login.alone = alone;
        }
    }

    /// The verifier of this name, and the present; or why the car can't judge.
    fn may_try(&self, now: BootMs, user: &str) -> Result<(Verifier, u64), String> {
        if self.offline.is_off {
            return Err(String::from(
                "logins without a connection are switched off in this car",
            ));
        }
        let mut all = self.durable().verifiers().iter();
        let Some(verifier) = all.find(|v| v.name == name_tag(&v.salt, user)) else {
            let text = "this car can't check the PIN by itself: this user has not logged in here with the PIN lately";
            return Err(String::from(text));
        };
        let Some(present) = self.present(now) else {
            return Err(String::from(
                "the clock of the car is not set, so that it can't check the PIN by itself",
            ));
        };
        if present >= verifier.expires_at {
            let text = "too long ago: this user has to log in with a connection again";
            return Err(String::from(text));
        }
        let own = |i| self.durable().owner(i) == Some(verifier.account);
        if !self.card.iter().any(|p| own(&p.iccid)) {
            return Err(String::from(
                "this user has no profile installed in this car",
            ));
        }
        let since = self.offline.wrong.or(self.offline.begun).unwrap_or(now);
        let next = since.plus(pause(verifier.tries));
        if next > now {
            let s = (next.0 - now.0).div_ceil(1000);
            return Err(format!("a wrong PIN was entered: try again in {s} seconds"));
        }
        Ok((verifier.clone(), present))
    }

    /// Takes a hash.
    pub(crate) fn pin_hashed(&mut self, now: BootMs, op: u64, hash: Option<[u8; 32]>) {
        let Some(hashing) = self.offline.hashing.take_if(|h| h.op == op) else {
            return;
        };
        match (hashing.of, hash) {
            (Purpose::Grant(mut verifier), Some(hash)) => {
                verifier.hash = hash;
                self.record(Record::Verifier(verifier));
            }
            (Purpose::Grant(_), None) => {}
            (Purpose::Try(login_id, account), hash) => {
                self.tried(now, login_id, account, hash.as_ref());
            }
        }
    }

    fn tried(&mut self, now: BootMs, login_id: Id, account: AccountRef, hash: Option<&[u8; 32]>) {
        let mut all = self.durable().verifiers().iter();
        let verifier = all.find(|v| v.account == account).cloned();
        let fits = match (&verifier, hash) {
            (Some(verifier), Some(hash)) => same(&verifier.hash, hash),
            _ => false,
        };
        if !fits && hash.is_some() {
            self.offline.wrong = Some(now);
        }
        let used_up = verifier.as_ref().is_some_and(|v| v.tries >= v.attempts);
        if !fits && used_up {
            self.record(Record::VerifierDropped(account));
        }
        let Some(login) = self.driver.login.take_if(|l| l.id == login_id) else {
            return;
        };
        match verifier {
            Some(verifier) if fits => self.enter_alone(now, &login, &verifier),
            verifier => {
                let why = match (verifier, hash) {
                    (None, _) => cut("the verifier of this user was revoked meanwhile"),
                    (_, None) => cut("the car can't check the PIN by itself; see the agent's log"),
                    _ if used_up => cut(
                        "name or PIN is wrong, too often: this user has to log in with a connection again",
                    ),
                    (Some(v), _) => {
                        let left = v.attempts.saturating_sub(v.tries);
                        cut(&format!(
                            "name or PIN is wrong; {left} tries are left without a connection"
                        ))
                    }
                };
                self.driver.login = Some(PendingLogin {
                    alone: Alone::Refused(why.clone()),
                    ..login
                });
                // Where the link stands the CMP may know a newer PIN.
                if self.link.is_none() {
                    self.refuse_login(LoginEnd::Offline, &why);
                }
            }
        }
    }

    fn enter_alone(&mut self, now: BootMs, login: &PendingLogin, verifier: &Verifier) {
        self.record(Record::VerifierFitted(verifier.account));
        let account = verifier.account;
        // A session that the CMP knows stays one; any other has to be told as what it is.
        let known = self.driver.session.as_ref();
        let known = known.is_some_and(|s| s.account == account && !s.is_offline());
        if self.driver.account().is_some_and(|a| a != account) {
            self.end_session();
        }
        // The login may have been sent: a higher number than its own.
        self.driver.count();
        self.card.set_aside.clear();
        self.driver.parked = self.driver.parked.map(|_| now);
        let display_name = match &login.way {
            LoginWay::Pin { user, .. } => String::from(user.trim()),
            LoginWay::Code => String::new(),
        };
        let aup = Aup {
            display_name,
            msp_name: String::new(),
            masked_number: String::new(),
        };
        self.driver.session = Some(Session {
            account,
            aup: aup.clone(),
            profile: None,
            verifier: (!known).then_some(verifier.id),
            // The CMP refuses requests of users whom it does not know to be here.
            wish: if known { Wish::Request } else { Wish::Refused },
            failures: 0,
            held: heapless::Vec::new(),
        });
        self.arm_resend(now);
        self.notify(Notice::LoginAccepted {
            login_id: login.id,
            account,
            aup,
            offline: true,
        });
    }

    /// Why a login that the CMP did not answer could not be judged without it.
    pub(crate) fn why_not_alone(&self) -> Option<Cause> {
        match &self.driver.login.as_ref()?.alone {
            Alone::Refused(why) => Some(why.clone()),
            Alone::From(_) | Alone::Hashing | Alone::Never => None,
        }
    }
}

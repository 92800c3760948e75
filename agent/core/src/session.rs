//! Who is logged in: logins and logouts, and the request for a code that a login may lead to.
//! AID.02 §4.3 steps 1, 2 and 12.

use crate::agent::Agent;
use crate::bounds::{BAD_CODE, MAX_CREDENTIAL, MAX_OWNERS, MAX_TEXT, insert};
use crate::driver::{Alone, PendingLogin, Session, Wish};
use crate::durable::{Download, Record};
use crate::event::{BootMs, LoginEnd, Notice};
use crate::link::Peer;
use crate::offline::ALONE_MS;
use crate::reset::NO_LOGIN;
use aid_id::{AccountRef, Iccid, Id, MAX_ACTIVATION_CODE, Secret};
use aid_wire::{Aup, CodeOutcome, LoginOutcome, LoginWay, Status, Up, UserProfile};
use alloc::{boxed::Box, format, string::String};

/// Time the CMP has for a login, ms.
const LOGIN_MS: u64 = 30_000;
/// Longest life of a login's code, seconds: nobody stands at the HMI longer.
const CODE_LIFE_S: u32 = 3600;

impl Agent {
    pub(crate) fn log_in(&mut self, now: BootMs, id: Id, way: LoginWay) {
        if let LoginWay::Pin { user, pin } = &way
            && (user.len() > MAX_CREDENTIAL || pin.expose().len() > MAX_CREDENTIAL)
        {
            return self.notify(Notice::LoginRefused {
                login_id: id,
                cause: LoginEnd::Refused,
                reason: String::from("the user name or the PIN is too long"),
            });
        }
        if self.is_resetting() {
            return self.notify(Notice::LoginRefused {
                login_id: id,
                cause: LoginEnd::Reset,
                reason: String::from(NO_LOGIN),
            });
        }
        if self.driver.login.is_some() {
            self.refuse_login(LoginEnd::Replaced, "another login was begun");
        }
        let alone = match way {
            LoginWay::Pin { .. } => Alone::From(now.plus(ALONE_MS)),
            LoginWay::Code => Alone::Never,
        };
        self.reseed(id);
        self.driver.count();
        self.driver.login = Some(PendingLogin {
            id,
            way,
            deadline: now.plus(LOGIN_MS),
            shown: false,
            alone,
        });
        self.send_login();
        if self.link.is_none() {
            self.judge_alone(now);
        }
    }

    /// The time of the pending login is over; says why nobody else could judge it.
    pub(crate) fn no_answer(&mut self) {
        let away = match self.link {
            Some(_) => "the CMP did not answer",
            None => "the car has no connection to the CMP",
        };
        match self.why_not_alone() {
            Some(why) => self.refuse_login(LoginEnd::NoAnswer, &format!("{away}; {why}")),
            None => self.refuse_login(LoginEnd::NoAnswer, away),
        }
    }

    /// Sends the pending login, as soon as it is known what the CMP understands.
    pub(crate) fn send_login(&mut self) {
        let Some(login) = &self.driver.login else {
            return;
        };
        let (login_id, way) = (login.id, login.way.clone());
        let body = match (self.peer(), way) {
            (Some(Peer::Unknown { .. }) | None, _) => return,
            (Some(Peer::Unnumbered), LoginWay::Pin { user, pin }) => Up::Login {
                login_id,
                user,
                pin,
            },
            (Some(Peer::Unnumbered), LoginWay::Code) => Up::LoginByCode { login_id },
            (Some(Peer::Numbered { .. }), way) => Up::NumberedLogin {
                number: self.driver.number,
                account: self.driver.account(),
                login_id,
                way,
            },
        };
        self.send(Some(login_id), body);
    }

    /// The login that an answer is about. One that is over, or comes after its time (the car slept
    /// meanwhile), is none.
    fn login_in_time(&mut self, now: BootMs, login_id: Id) -> Option<&mut PendingLogin> {
        let login = self.driver.login.as_ref().filter(|l| l.id == login_id)?;
        if login.deadline <= now {
            self.refuse_login(LoginEnd::NoAnswer, "the CMP answered too late");
        }
        self.driver.login.as_mut()
    }

    /// The CMP's code for a login by code: it is shown, and waited for as long as it lives.
    pub(crate) fn login_code(
        &mut self,
        now: BootMs,
        login_id: Id,
        code: String,
        url: String,
        expires_in: u32,
    ) {
        let Some(login) = self.login_in_time(now, login_id) else {
            return;
        };
        let expires_in = expires_in.min(CODE_LIFE_S);
        let end = now.plus(u64::from(expires_in) * 1000);
        // A repetition that was long under way prolongs nothing.
        login.deadline = match login.shown {
            true => login.deadline.min(end),
            false => end,
        };
        login.shown = true;
        self.notify(Notice::LoginCode {
            login_id,
            code,
            url,
            expires_in,
        });
    }

    /// The AID User Profile: kept while its user is logged in, and not a moment longer (R-2-9).
    pub(crate) fn user_profile(&mut self, account: AccountRef, profile: UserProfile) {
        if let Some(session) = self.driver.session_of(account)
            && profile.is_bounded()
            && session.profile.as_ref() != Some(&profile)
        {
            session.profile = Some(profile.clone());
            self.notify(Notice::UserProfile(profile));
        }
    }

    pub(crate) fn refuse_login(&mut self, cause: LoginEnd, reason: &str) {
        if let Some(login) = self.driver.login.take() {
            // The CMP may have booked it, or may yet: a higher number undoes that.
            self.driver.count();
            self.notify(Notice::LoginRefused {
                login_id: login.id,
                cause,
                reason: String::from(reason),
            });
        }
    }

    pub(crate) fn log_out(&mut self, now: BootMs) {
        self.refuse_login(LoginEnd::Replaced, "the user logged out");
        if self.end_session() {
            self.arm_resend(now);
        }
    }

    /// The ignition was switched on or off; said twice it is still the first time that counts.
    pub(crate) fn ignition(&mut self, now: BootMs, on: bool) {
        let since = self.driver.parked.unwrap_or(now);
        self.driver.parked = (!on).then_some(since);
    }

    /// Ends the session; false when nobody is logged in.
    pub(crate) fn end_session(&mut self) -> bool {
        if self.driver.session.is_some() {
            self.driver.count();
        }
        self.leave()
    }

    /// As `end_session`, for a session that another one follows under its own number.
    fn leave(&mut self) -> bool {
        let Some(Session { account, .. }) = self.driver.session.take() else {
            return false;
        };
        // The disable that follows waits for no pause of an earlier failure.
        self.card.retry = None;
        let logout_id = self.next_id();
        self.record(Record::LoggedOut(logout_id, account));
        if matches!(self.peer(), Some(Peer::Unnumbered)) {
            self.send(Some(logout_id), Up::Logout { account });
        }
        self.notify(Notice::LoggedOut { account });
        true
    }

    pub(crate) fn login_result(&mut self, now: BootMs, login_id: Id, outcome: LoginOutcome) {
        if self.login_in_time(now, login_id).is_none() {
            return; // late, or a repetition
        }
        let (account, aup, profiles) = match outcome {
            LoginOutcome::Accepted {
                account,
                aup,
                profiles,
            } => (account, aup, profiles),
            LoginOutcome::Refused { reason } => {
                return self.refuse_login(LoginEnd::Refused, &reason);
            }
        };
        let aup = bounded(aup);
        if let Some(login) = self.driver.login.take() {
            self.pin_proven(now, account, login.way);
        }
        if self.driver.account().is_some_and(|a| a != account) {
            self.leave();
            self.arm_resend(now);
        }
        // The CMP has booked this number.
        self.session_told(self.driver.number);
        for iccid in profiles {
            let here = self.card.iter().any(|p| p.iccid == iccid);
            if here && self.durable().owner(&iccid).is_none() {
                self.own(iccid, account);
            }
        }
        self.card.set_aside.clear();
        // Who logs in to a parked car sits in it.
        self.driver.parked = self.driver.parked.map(|_| now);
        self.driver.session = Some(Session {
            account,
            aup: aup.clone(),
            profile: None,
            verifier: None,
            wish: Wish::Request,
            failures: 0,
            held: heapless::Vec::new(),
        });
        self.notify(Notice::LoginAccepted {
            login_id,
            account,
            aup,
            offline: false,
        });
    }

    /// The user at the HMI deletes an OP; only their own (A.4).
    pub(crate) fn delete_own(&mut self, iccid: Iccid) {
        let Some(session) = &mut self.driver.session else {
            return;
        };
        let durable = self.ledger.state();
        let own = durable.owner(&iccid) == Some(session.account);
        if own && !durable.wanted().contains(&iccid) {
            // Nothing takes its place before they say so.
            session.wish = Wish::Ask;
            insert(&mut session.held, iccid.clone());
            self.card.undeletable.remove(&iccid);
            self.card.set_aside.remove(&iccid);
            self.record(Record::DeleteWanted(iccid));
        }
    }

    /// The user wants an OP again.
    pub(crate) fn provision(&mut self, now: BootMs) {
        if let Some(session) = &mut self.driver.session
            && session.asking()
        {
            session.wish = Wish::Request;
            let account = session.account;
            if self.lacks_profile(account) && self.durable().has_room_for_code() {
                self.request_code(now, account, true);
            }
        }
    }

    /// Asks for a code, once per account (R-4.3-4).
    pub(crate) fn request_code(&mut self, now: BootMs, account: AccountRef, again: bool) {
        let request_id = self.next_id();
        self.record(Record::Requested(request_id, account));
        if again {
            self.record(Record::Again(request_id));
        }
        self.send_request(request_id, account);
        self.notify(Notice::CodeRequested);
        self.arm_resend(now);
    }

    /// Sends a request, for the first time or again.
    pub(crate) fn send_request(&mut self, request_id: Id, account: AccountRef) {
        let body = if self.durable().is_again(request_id) {
            Up::RequestAgain {
                request_id,
                account,
            }
        } else {
            Up::RequestActivationCode {
                request_id,
                account,
            }
        };
        self.send(Some(request_id), body);
    }

    /// Takes the CMP's answer to a request; false: it is to be sent again later.
    pub(crate) fn activation_code(
        &mut self,
        now: BootMs,
        request_id: Id,
        account: AccountRef,
        outcome: CodeOutcome,
    ) -> bool {
        if let CodeOutcome::Failed { code, reason } = &outcome
            && let Some(download) = self.download(request_id)
            && download.account == account
        {
            // The code that is here yields nothing any more. The end of a download that runs says
            // whether it came too late.
            let idle = self.card.downloading() != Some(request_id);
            if idle {
                self.fail_download(now, &download, *code, reason);
            }
            return idle;
        }
        if !self.durable().requests().contains(&(request_id, account)) {
            // Late, twice, or never asked for: installs nothing (R-4.3-8, R-4.4.1-13).
            self.notify(Notice::CodeRefused);
            return true;
        }
        if matches!(outcome, CodeOutcome::Pending) {
            insert(&mut self.waits.answered_later, request_id);
            self.notify(Notice::CodePending);
            return true;
        }
        self.waits.answered_later.retain(|id| *id != request_id);
        self.record(Record::RequestClosed(request_id));
        if !matches!(outcome, CodeOutcome::Failed { .. })
            && let Some(session) = self.driver.session_of(account)
        {
            session.failures = 0;
        }
        match outcome {
            CodeOutcome::Pending => {}
            CodeOutcome::Failed { code, reason } => {
                self.request_failed(now, request_id, account, code, &reason);
                self.notify(Notice::CodeFailed { code, reason });
            }
            CodeOutcome::Ask => {
                if let Some(session) = self.driver.session_of(account) {
                    session.wish = Wish::Ask;
                    self.notify(Notice::AskProvision);
                }
            }
            CodeOutcome::Code { code, iccid } => {
                self.code_came(now, request_id, account, code, iccid);
            }
        }
        true
    }

    fn code_came(
        &mut self,
        now: BootMs,
        request_id: Id,
        account: AccountRef,
        code: Secret,
        iccid: Option<Iccid>,
    ) {
        if code.expose().len() > MAX_ACTIVATION_CODE {
            self.report_for(
                now,
                Some(account),
                iccid,
                Status::InstallationFailed,
                BAD_CODE,
            );
            self.no_more_codes(account);
            return self.notify(Notice::InstallationFailed {
                code: BAD_CODE,
                text: String::from("the activation code is too long"),
            });
        }
        // The request's place is the download's now.
        self.record(Record::Download(Box::new(Download {
            request_id,
            account,
            code,
            iccid,
            before: heapless::Vec::new(),
            attempts: 0,
        })));
        self.notify(Notice::CodeReceived);
    }

    /// No other code is requested in the session of this account.
    pub(crate) fn no_more_codes(&mut self, account: AccountRef) {
        if let Some(session) = self.driver.session_of(account)
            && !session.asking()
        {
            session.wish = Wish::Refused;
        }
    }

    /// Notes whose profile it is. That of a profile which is not on the card makes room.
    pub(crate) fn own(&mut self, iccid: Iccid, account: AccountRef) {
        let owners = self.durable().owners();
        if owners.count() >= MAX_OWNERS {
            let here = |i: &Iccid| self.card.iter().any(|p| p.iccid == *i);
            let gone = self.durable().owners().find(|(i, _)| !here(i));
            if let Some(gone) = gone.map(|(i, _)| i.clone()) {
                self.record(Record::Forget(gone));
            }
        }
        self.record(Record::Owner(iccid, account));
    }
}

/// What the HMI shows, cut to what the state holds.
fn bounded(mut aup: Aup) -> Aup {
    for text in [
        &mut aup.display_name,
        &mut aup.msp_name,
        &mut aup.masked_number,
    ] {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.shrink_to_fit();
    }
    aup
}

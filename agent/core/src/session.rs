//! Who is logged in: logins and logouts, and the request for a code that a login may lead to.
//! AID.02 §4.3 steps 1, 2 and 12. Called by `agent` and `decide`.

use crate::agent::{Agent, PendingLogin, Session};
use crate::durable::{Download, Record};
use crate::event::{BootMs, LoginEnd, Notice};
use crate::numbering::Peer;
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{CodeOutcome, LoginOutcome, LoginWay, Up, UserProfile};
use alloc::{collections::BTreeSet, string::String, vec::Vec};

/// Time the CMP has for a login, ms.
const LOGIN_MS: u64 = 30_000;
/// Longest life of a login's code, seconds: nobody stands at the HMI longer.
const CODE_LIFE_S: u32 = 3600;

impl Agent {
    pub(crate) fn log_in(&mut self, now: BootMs, id: Id, way: LoginWay) {
        if self.login.is_some() {
            self.refuse_login(LoginEnd::Replaced, String::from("another login was begun"));
        }
        self.request_id = u128::from_be_bytes(id);
        self.number_session();
        self.login = Some(PendingLogin {
            id,
            way,
            deadline: now.plus(LOGIN_MS),
            shown: false,
        });
        self.send_login();
    }

    /// Sends the pending login, as soon as it is known what the CMP understands.
    pub(crate) fn send_login(&mut self) {
        let Some(login) = &self.login else {
            return;
        };
        let (login_id, way) = (login.id, login.way.clone());
        let body = match (&self.peer, way) {
            (Peer::Unknown { .. }, _) => return,
            (Peer::Unnumbered, LoginWay::Pin { user, pin }) => Up::Login {
                login_id,
                user,
                pin,
            },
            (Peer::Unnumbered, LoginWay::Code) => Up::LoginByCode { login_id },
            (Peer::Numbered { .. }, way) => Up::NumberedLogin {
                number: self.session_number,
                account: self.session.as_ref().map(|s| s.account),
                login_id,
                way,
            },
        };
        self.send(Some(login_id), body);
    }

    /// The login that an answer is about. One that is over, or comes after its time (the car slept
    /// meanwhile), is none.
    fn login_in_time(&mut self, now: BootMs, login_id: Id) -> Option<&mut PendingLogin> {
        let login = self.login.as_ref().filter(|l| l.id == login_id)?;
        if login.deadline <= now {
            self.refuse_login(
                LoginEnd::NoAnswer,
                String::from("the CMP answered too late"),
            );
        }
        self.login.as_mut()
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
        if let Some(session) = &mut self.session
            && session.account == account
            && profile.is_bounded()
            && session.profile.as_ref() != Some(&profile)
        {
            session.profile = Some(profile.clone());
            self.notify(Notice::UserProfile(profile));
        }
    }

    pub(crate) fn refuse_login(&mut self, cause: LoginEnd, reason: String) {
        if let Some(login) = self.login.take() {
            // The CMP may have booked it, or may yet: a higher number undoes that.
            self.number_session();
            self.notify(Notice::LoginRefused {
                login_id: login.id,
                cause,
                reason,
            });
        }
    }

    pub(crate) fn log_out(&mut self, now: BootMs) {
        self.refuse_login(LoginEnd::Replaced, String::from("the user logged out"));
        if self.end_session() {
            self.arm_resend(now);
        }
    }

    /// Ends the session; false when nobody is logged in.
    pub(crate) fn end_session(&mut self) -> bool {
        if self.session.is_some() {
            self.number_session();
        }
        self.leave()
    }

    /// As `end_session`, for a session that another one follows under its own number.
    fn leave(&mut self) -> bool {
        let Some(Session { account, .. }) = self.session.take() else {
            return false;
        };
        self.refused = None;
        self.code_wait = None;
        // The disable that follows waits for no pause of an earlier failure.
        self.card_retry = None;
        let logout_id = self.next_id();
        self.record(Record::LoggedOut(logout_id, account));
        if matches!(self.peer, Peer::Unnumbered) {
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
                return self.refuse_login(LoginEnd::Refused, reason);
            }
        };
        self.login = None;
        if self.session.as_ref().is_some_and(|s| s.account != account) {
            self.leave();
            self.arm_resend(now);
        }
        // The CMP has booked this number.
        self.session_told(self.session_number);
        for iccid in profiles {
            let here = self.card.iter().flatten().any(|p| p.iccid == iccid);
            if here && self.durable.owner(&iccid).is_none() {
                self.record(Record::Owner(iccid, account));
            }
        }
        self.refused = None;
        self.code_wait = None;
        self.set_aside.clear();
        self.session = Some(Session {
            account,
            aup: aup.clone(),
            profile: None,
            asking: false,
            held: BTreeSet::new(),
        });
        self.notify(Notice::LoginAccepted {
            login_id,
            account,
            aup,
        });
    }

    /// The user at the HMI deletes an OP; only his own (A.4).
    pub(crate) fn delete_own(&mut self, iccid: Iccid) {
        let Some(session) = &mut self.session else {
            return;
        };
        let own = self.durable.owner(&iccid) == Some(session.account);
        if own && !self.durable.wanted.contains(&iccid) {
            // Nothing takes its place before he says so.
            session.asking = true;
            session.held.insert(iccid.clone());
            self.undeletable.remove(&iccid);
            self.set_aside.remove(&iccid);
            self.record(Record::DeleteWanted(iccid));
        }
    }

    /// The user wants an OP again.
    pub(crate) fn provision(&mut self, now: BootMs) {
        if let Some(session) = &mut self.session
            && session.asking
        {
            session.asking = false;
            let account = session.account;
            self.refused = None;
            if self.lacks_profile(account) {
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
        let body = if self.durable.again.contains(&request_id) {
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
            let idle = self.running != Some(request_id);
            if idle {
                self.fail_download(now, download, *code, reason.clone());
            }
            return idle;
        }
        if !self.durable.requests.contains(&(request_id, account)) {
            // Late, twice, or never asked for: installs nothing (R-4.3-8, R-4.4.1-13).
            self.notify(Notice::CodeRefused);
            return true;
        }
        if !matches!(outcome, CodeOutcome::Failed { .. } | CodeOutcome::Pending) {
            self.code_wait = None;
        }
        match outcome {
            CodeOutcome::Pending => {
                self.pending_answers.insert(request_id);
                self.notify(Notice::CodePending);
            }
            CodeOutcome::Failed { code, reason } => {
                self.pending_answers.remove(&request_id);
                self.record(Record::RequestClosed(request_id));
                self.request_failed(now, request_id, account, code, &reason);
                self.notify(Notice::CodeFailed { code, reason });
            }
            CodeOutcome::Ask => {
                self.pending_answers.remove(&request_id);
                self.record(Record::RequestClosed(request_id));
                if let Some(session) = &mut self.session
                    && session.account == account
                {
                    session.asking = true;
                    self.notify(Notice::AskProvision);
                }
            }
            CodeOutcome::Code { code, iccid } => {
                self.pending_answers.remove(&request_id);
                self.record(Record::RequestClosed(request_id));
                let before = Vec::new();
                let download = Download {
                    request_id,
                    account,
                    code,
                    iccid,
                    before,
                    attempts: 0,
                };
                self.record(Record::Download(download));
                self.notify(Notice::CodeReceived);
            }
        }
        true
    }

    /// A fresh id: the random one of the last login, moved on.
    pub(crate) fn next_id(&mut self) -> Id {
        self.request_id = self.request_id.wrapping_add(1);
        self.request_id.to_be_bytes()
    }
}

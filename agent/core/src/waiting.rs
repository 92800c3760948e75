//! What waits for its next try after a passing failure: downloads, requests for codes, notifications,
//! profiles that the card does not enable or delete just now; and what the driver sees of it.
//! An activation code is kept until it is used or somebody says that it is dead (§4.3 steps 2 to 9).

use crate::agent::Agent;
use crate::durable::{Download, Record};
use crate::event::{BootMs, CardProfile, EuiccOp};
use crate::retry::{
    NOTIFICATIONS_MS, PROFILE_MS, REQUEST_MS, RETURNS_KEPT, Ready, TRIES_KEPT, Wait, pause,
};
use aid_id::{AccountRef, Iccid, Id};
use alloc::{string::String, vec::Vec};

/// Codes of §5.5 that say nothing lasting about the account or its subscription: there may be a code
/// for the next request. 0 stands for no code at all; 104 for a session that the CMP does not know of,
/// or no more.
const PASSING_CODES: [u16; 10] = [0, 30, 31, 39, 48, 49, 90, 100, 103, 104];

/// Whether a refusal with this code of §5.5 stays: the same request later gets the same answer.
pub(crate) fn refuses_for_good(code: u16) -> bool {
    !PASSING_CODES.contains(&code)
}

/// What the user who is logged in waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Another request for an activation code.
    Code,
    /// Another try to download the profile, with the code that is here.
    Download,
    /// Another try to enable the profile.
    Enable,
}

/// Why the user who is logged in has no profile yet, and when the next try is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What for.
    pub awaited: Awaited,
    /// Failed tries in a row.
    pub tries: u16,
    /// When the next try is due, at the latest; earlier where the link comes back. May have passed
    /// while something else is under way.
    pub next: BootMs,
    /// Why the last try failed, one sentence.
    pub cause: String,
}

/// The delivery of notifications.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    wait: Option<Wait>,
    failures: u16,
    returns: u16,
}

impl Deliveries {
    /// Whether the next try may begin.
    pub(crate) fn are_due(&self) -> bool {
        self.wait.as_ref().is_none_or(|w| w.ready().is_some())
    }

    /// A try begins.
    pub(crate) fn begin(&mut self) {
        if self.wait.take().and_then(|w| w.ready()) == Some(Ready::LinkBack) {
            self.returns = self.returns.saturating_add(1);
            self.failures = self.failures.min(TRIES_KEPT / 2);
        }
    }

    /// The try that was begun at `begun` has failed.
    pub(crate) fn failed(&mut self, begun: BootMs, now: BootMs, cause: String) {
        self.failures = self.failures.saturating_add(1);
        let end = now.plus(pause(NOTIFICATIONS_MS, self.failures, &[0; 16]));
        self.wait = Some(Wait::new(begun, end, self.returns, cause));
    }

    /// Everything is delivered.
    pub(crate) fn delivered(&mut self) {
        *self = Self::default();
    }
}

/// A profile that fails again and again.
#[derive(Debug)]
pub(crate) struct SetAside {
    failures: u16,
    /// When it may be tried again; `None` once that has passed.
    until: Option<BootMs>,
    cause: String,
}

/// A request for a code that failed for a passing cause.
#[derive(Debug)]
pub(crate) struct CodeWait {
    account: AccountRef,
    failures: u16,
    /// When to ask again; `None` once that has passed.
    until: Option<BootMs>,
    cause: String,
}

impl Agent {
    /// What the user who is logged in waits for after a failed try; `None` where nothing failed.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        let account = self.session.as_ref()?.account;
        let own = |d: &&Download| d.account == account && self.waits.contains_key(&d.request_id);
        if let Some(download) = self.durable.downloads.iter().find(own) {
            let wait = self.waits.get(&download.request_id)?;
            return Some(Waiting {
                awaited: Awaited::Download,
                tries: download.attempts,
                next: wait.next(self.link_since),
                cause: wait.cause.clone(),
            });
        }
        if let Some(wait) = self.code_wait_of(account)
            && let Some(next) = wait.until
        {
            return Some(Waiting {
                awaited: Awaited::Code,
                tries: wait.failures,
                next,
                cause: wait.cause.clone(),
            });
        }
        let aside = self.set_aside_of(account)?;
        Some(Waiting {
            awaited: Awaited::Enable,
            tries: aside.failures,
            next: aside.until?,
            cause: aside.cause.clone(),
        })
    }

    /// Notes what the time has come for.
    pub(crate) fn ripen(&mut self, now: BootMs) {
        let link = self.link_since;
        for wait in self.waits.values_mut().chain(&mut self.notifications.wait) {
            wait.ripen(now, link);
        }
        for aside in self.set_aside.values_mut() {
            aside.until = aside.until.filter(|until| *until > now);
        }
        if let Some(wait) = &mut self.code_wait
            && wait.until.is_some_and(|until| until <= now)
        {
            wait.until = None;
            if self.refused == Some(wait.account) {
                self.refused = None;
            }
        }
    }

    // ---- downloads ------------------------------------------------------------------------

    pub(crate) fn download_timeout(&self) -> Option<BootMs> {
        let timeouts = self
            .waits
            .values()
            .filter_map(|w| w.timeout(self.link_since));
        timeouts.min()
    }

    /// The open download with this request.
    pub(crate) fn download(&self, request_id: Id) -> Option<Download> {
        let mut open = self.durable.downloads.iter();
        open.find(|d| d.request_id == request_id).cloned()
    }

    /// The download to begin now: that of who is logged in before others, so that nobody waits for
    /// the server of somebody else; then the one with the fewest tries.
    pub(crate) fn next_download(&self, account: Option<AccountRef>) -> Option<Id> {
        let due = |d: &&Download| {
            let wait = self.waits.get(&d.request_id);
            wait.is_none_or(|w| w.ready().is_some())
        };
        let rank = |d: &&Download| (account != Some(d.account), d.attempts);
        let next = self.durable.downloads.iter().filter(due).min_by_key(rank);
        next.map(|d| d.request_id)
    }

    /// Journals that the download begins, then begins it.
    pub(crate) fn begin_download(&mut self, now: BootMs, request_id: Id, card: &[CardProfile]) {
        if self.waits.remove(&request_id).and_then(|w| w.ready()) == Some(Ready::LinkBack) {
            self.record(Record::LinkReturned(request_id));
        }
        let Some(mut download) = self.download(request_id) else {
            return;
        };
        download.attempts = download.attempts.saturating_add(1);
        download.before = card.iter().map(|p| p.iccid.clone()).collect();
        let code = download.code.clone();
        self.record(Record::Download(download));
        self.running = Some(request_id);
        self.start(now, EuiccOp::Download { code });
    }

    /// The try that was begun at `begun` has failed for a passing cause: the download waits at least
    /// `at_least` ms.
    pub(crate) fn wait_for_download(
        &mut self,
        begun: BootMs,
        now: BootMs,
        download: &Download,
        at_least: u64,
        cause: String,
    ) {
        let id = download.request_id;
        let pause = pause(crate::retry::DOWNLOAD_MS, download.attempts, &id);
        let mut returns = self.durable.returns(id);
        if !self.resumed {
            returns = returns.min(RETURNS_KEPT);
        }
        let wait = Wait::new(begun, now.plus(pause.max(at_least)), returns, cause);
        self.waits.insert(id, wait);
    }

    /// Ends a download, one way or the other.
    pub(crate) fn close_download(&mut self, request_id: Id) {
        self.waits.remove(&request_id);
        self.full.remove(&request_id);
        if self.space == Some(request_id) {
            self.space = None;
        }
        self.record(Record::DownloadClosed(request_id));
    }

    // ---- requests for codes ---------------------------------------------------------------

    /// The CMP has no code for the account: for good, or for now.
    pub(crate) fn request_failed(
        &mut self,
        now: BootMs,
        request_id: Id,
        account: AccountRef,
        code: u16,
        reason: &str,
    ) {
        if self.session.as_ref().is_none_or(|s| s.account != account) {
            return; // the next login asks again
        }
        self.refused = Some(account);
        let before = self.code_wait.take().filter(|w| w.account == account);
        if refuses_for_good(code) {
            return;
        }
        let failures = before.map_or(0, |w| w.failures).saturating_add(1);
        self.code_wait = Some(CodeWait {
            account,
            failures,
            until: Some(now.plus(pause(REQUEST_MS, failures, &request_id))),
            cause: String::from(reason),
        });
    }

    pub(crate) fn code_wait_of(&self, account: AccountRef) -> Option<&CodeWait> {
        self.code_wait.as_ref().filter(|w| w.account == account)
    }

    pub(crate) fn code_timeout(&self) -> Option<BootMs> {
        self.code_wait.as_ref().and_then(|w| w.until)
    }

    // ---- notifications --------------------------------------------------------------------

    pub(crate) fn notifications_timeout(&self) -> Option<BootMs> {
        let wait = self.notifications.wait.as_ref().filter(|_| self.link_up);
        wait.and_then(|w| w.timeout(self.link_since))
    }

    /// The card has another notification. It may be for a server that is there: it does not wait as
    /// long as those before it.
    pub(crate) fn more_notifications(&mut self, now: BootMs) {
        self.notifications_due = true;
        if let Some(wait) = &mut self.notifications.wait {
            wait.shorten(now.plus(NOTIFICATIONS_MS));
        }
    }

    // ---- profiles -------------------------------------------------------------------------

    /// Lets a profile rest that the card does not enable or delete just now.
    pub(crate) fn set_aside(&mut self, now: BootMs, iccid: &Iccid, cause: String) {
        let failures = self.set_aside.get(iccid).map_or(0, |a| a.failures);
        let failures = failures.saturating_add(1);
        let until = Some(now.plus(pause(PROFILE_MS, failures, &[0; 16])));
        let aside = SetAside {
            failures,
            until,
            cause,
        };
        self.set_aside.insert(iccid.clone(), aside);
    }

    pub(crate) fn is_set_aside(&self, iccid: &Iccid) -> bool {
        self.set_aside.get(iccid).is_some_and(|a| a.until.is_some())
    }

    pub(crate) fn set_aside_timeout(&self) -> Option<BootMs> {
        self.set_aside.values().filter_map(|a| a.until).min()
    }

    /// The profile of the account that rests.
    pub(crate) fn set_aside_of(&self, account: AccountRef) -> Option<&SetAside> {
        let own = |i: &&Iccid| self.durable.owner(i) == Some(account) && self.is_set_aside(i);
        let iccids: Vec<&Iccid> = self.set_aside.keys().filter(own).collect();
        iccids.first().and_then(|i| self.set_aside.get(*i))
    }
}

#[cfg(test)]
mod tests {
    use super::refuses_for_good;

    // R-4.3-9
    #[test]
    fn refusals_of_a_code_that_stay_and_that_pass() {
        // Unknown, withdrawn or wrong: account, token, format, profile type, body, party, user.
        for code in [10, 11, 12, 19, 20, 21, 23, 24, 29, 44, 47, 50, 51, 59, 60] {
            assert!(refuses_for_good(code), "{code}");
        }
        for code in [61, 62, 63, 64, 65, 91, 92, 93, 94, 101, 102] {
            assert!(refuses_for_good(code), "{code}");
        }
        // Nothing said, the request is lost or too old, another one is open, a failure of the server, a
        // session that the server has lost.
        for code in [0, 30, 31, 39, 48, 49, 90, 100, 103, 104] {
            assert!(!refuses_for_good(code), "{code}");
        }
    }
}

//! What waits for its next try after a passing failure: downloads, requests for codes, notifications,
//! profiles that the card does not enable or delete just now; and what the driver sees of it.
//! An activation code is kept until it is used or somebody says that it is dead (§4.3 steps 2 to 9).

use crate::agent::Agent;
use crate::bounds::{cut, put};
use crate::card::{Profiles, SetAside, Work};
use crate::driver::Wish;
use crate::durable::{Download, Record};
use crate::event::{BootMs, EuiccOp};
use crate::retry::{PROFILE_MS, REQUEST_MS, RETURNS_KEPT, Ready, Wait, pause};
use aid_id::{AccountRef, Iccid, Id};
use alloc::{boxed::Box, string::String};

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

impl Agent {
    /// What the user who is logged in waits for after a failed try; `None` where nothing failed.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        let session = self.session()?;
        let account = session.account;
        let waits = &self.waits.downloads;
        let own = |d: &&Download| d.account == account && waits.contains_key(&d.request_id);
        if let Some(download) = self.durable().downloads().iter().find(own) {
            let wait = waits.get(&download.request_id)?;
            return Some(Waiting {
                awaited: Awaited::Download,
                tries: download.attempts,
                next: wait.next(self.link_since()),
                cause: String::from(wait.cause.as_str()),
            });
        }
        if let Wish::Later { until, cause } = &session.wish {
            return Some(Waiting {
                awaited: Awaited::Code,
                tries: session.failures,
                next: *until,
                cause: String::from(cause.as_str()),
            });
        }
        let aside = self.set_aside_of(account)?;
        Some(Waiting {
            awaited: Awaited::Enable,
            tries: aside.failures,
            next: aside.until?,
            cause: String::from(aside.cause.as_str()),
        })
    }

    /// Notes what the time has come for.
    pub(crate) fn ripen(&mut self, now: BootMs) {
        let link = self.link_since();
        let waits = &mut self.waits;
        let downloads = waits.downloads.values_mut();
        for wait in downloads.chain(&mut waits.notifications.wait) {
            wait.ripen(now, link);
        }
        for aside in self.card.set_aside.values_mut() {
            aside.until = aside.until.filter(|until| *until > now);
        }
        if let Some(session) = &mut self.driver.session
            && let Wish::Later { until, .. } = session.wish
            && until <= now
        {
            session.wish = Wish::Request;
        }
    }

    // ---- downloads ------------------------------------------------------------------------

    pub(crate) fn download_timeout(&self) -> Option<BootMs> {
        let timeouts = self
            .waits
            .downloads
            .values()
            .filter_map(|w| w.timeout(self.link_since()));
        timeouts.min()
    }

    /// The open download with this request.
    pub(crate) fn download(&self, request_id: Id) -> Option<Download> {
        let mut open = self.durable().downloads().iter();
        open.find(|d| d.request_id == request_id).cloned()
    }

    /// The download to begin now: that of who is logged in before others, so that nobody waits for
    /// the server of somebody else; then the one with the fewest tries.
    pub(crate) fn next_download(&self, account: Option<AccountRef>) -> Option<Id> {
        let due = |d: &&Download| {
            let wait = self.waits.downloads.get(&d.request_id);
            wait.is_none_or(|w| w.ready().is_some())
        };
        let rank = |d: &&Download| (account != Some(d.account), d.attempts);
        let next = self
            .durable()
            .downloads()
            .iter()
            .filter(due)
            .min_by_key(rank);
        next.map(|d| d.request_id)
    }

    /// Journals that the download begins, then begins it.
    pub(crate) fn begin_download(&mut self, now: BootMs, request_id: Id, card: &Profiles) {
        if let Some(download) = self.download(request_id)
            && !card.has_room()
        {
            let text = "there are more profiles on the card than the agent follows";
            return self.ask_for_space(now, now, &download, text);
        }
        if self
            .waits
            .downloads
            .remove(&request_id)
            .and_then(|w| w.ready())
            == Some(Ready::LinkBack)
        {
            self.record(Record::LinkReturned(request_id));
        }
        let Some(mut download) = self.download(request_id) else {
            return;
        };
        download.attempts = download.attempts.saturating_add(1);
        download.before = card.as_slice().iter().map(|p| p.iccid.clone()).collect();
        let code = download.code.clone();
        self.record(Record::Download(Box::new(download)));
        self.start(now, Work::Download(request_id), EuiccOp::Download { code });
    }

    /// The try that was begun at `begun` has failed for a passing cause: the download waits at least
    /// `at_least` ms.
    pub(crate) fn wait_for_download(
        &mut self,
        begun: BootMs,
        now: BootMs,
        download: &Download,
        at_least: u64,
        cause: &str,
    ) {
        let id = download.request_id;
        let pause = pause(crate::retry::DOWNLOAD_MS, download.attempts, &id);
        let mut returns = self.durable().returns(id);
        if !self.card.resumed {
            returns = returns.min(RETURNS_KEPT);
        }
        let wait = Wait::new(begun, now.plus(pause.max(at_least)), returns, cause);
        put(&mut self.waits.downloads, id, wait);
    }

    /// Ends a download, one way or the other.
    pub(crate) fn close_download(&mut self, request_id: Id) {
        self.waits.downloads.remove(&request_id);
        self.waits.full.remove(&request_id);
        if self.waits.space == Some(request_id) {
            self.waits.space = None;
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
        let Some(session) = self.driver.session_of(account) else {
            return; // the next login asks again
        };
        if session.asking() {
            return;
        }
        if refuses_for_good(code) {
            session.failures = 0;
            session.wish = Wish::Refused;
            return;
        }
        session.failures = session.failures.saturating_add(1);
        session.wish = Wish::Later {
            until: now.plus(pause(REQUEST_MS, session.failures, &request_id)),
            cause: cut(reason),
        };
    }

    pub(crate) fn code_timeout(&self) -> Option<BootMs> {
        match self.driver.session.as_ref()?.wish {
            Wish::Later { until, .. } => Some(until),
            Wish::Request | Wish::Refused | Wish::Ask => None,
        }
    }

    // ---- notifications --------------------------------------------------------------------

    pub(crate) fn notifications_timeout(&self) -> Option<BootMs> {
        let link = self.link.as_ref()?;
        let wait = self.waits.notifications.wait.as_ref()?;
        wait.timeout(Some(link.since))
    }

    // ---- profiles -------------------------------------------------------------------------

    /// Lets a profile rest that the card does not enable or delete just now.
    pub(crate) fn set_aside(&mut self, now: BootMs, iccid: &Iccid, cause: &str) {
        let failures = self.card.set_aside.get(iccid).map_or(0, |a| a.failures);
        let failures = failures.saturating_add(1);
        let until = Some(now.plus(pause(PROFILE_MS, failures, &[0; 16])));
        let aside = SetAside {
            failures,
            until,
            cause: cut(cause),
        };
        put(&mut self.card.set_aside, iccid.clone(), aside);
    }

    pub(crate) fn set_aside_timeout(&self) -> Option<BootMs> {
        self.card.set_aside.values().filter_map(|a| a.until).min()
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

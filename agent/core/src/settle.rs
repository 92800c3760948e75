//! Judges card operations by what is on the card afterwards, never by guessing; the report and the
//! end of the operation are one record list (a transactional outbox, R-4.3-12).

use crate::agent::Agent;
use crate::bounds::{insert, put};
use crate::card::{Profiles, Work};
use crate::durable::{Download, Durable, Operation, Record};
use crate::event::{BootMs, CardProfile, EuiccError, Notice};
use aid_id::Id;
use aid_wire::{DELETED_BY_USER, OrderKind, OrderOutcome, Status, Up};
use alloc::{string::String, vec::Vec};

/// Tries of an enable or delete in a row; then it is given up where the card refuses it, and rests for
/// a while where it only fails.
const MAX_TRIES: u16 = 5;
/// Deletions that the CMP orders for a profile that does not fit; if it does not fit then, it never will.
const MAX_FULL: u16 = 3;
/// First pause before another try, ms; doubles up to `MAX_PAUSE`.
const PAUSE: u64 = 500;
/// Longest pause, ms.
const MAX_PAUSE: u64 = 60_000;
/// Time for the CMP to have another profile deleted before a download is tried again, ms.
const SPACE_MS: u64 = 30_000;
/// installFailedDueToInsufficientMemoryForProfile (SGP.22 §2.5.6).
const CARD_FULL: u16 = 10;

impl Agent {
    /// Takes the end of the operation under way.
    pub(crate) fn euicc_done(
        &mut self,
        now: BootMs,
        result: Result<(), EuiccError>,
        profiles: Option<Vec<CardProfile>>,
    ) {
        let Some(running) = self.card.running.take() else {
            return;
        };
        let Some(list) = profiles else {
            // Nothing is known of the card any more: read it before anything else.
            self.card.profiles = None;
            if let Work::Download(request_id) = running.work {
                self.card.interrupted = Some((request_id, running.begun));
            }
            let text = result
                .err()
                .map_or(String::from("the card did not answer"), |e| e.text);
            self.error(&text);
            return self.pause_card(now);
        };
        let durable = self.ledger.state();
        let profiles = Profiles::new(list, |profile| rank(durable, profile));
        self.card.profiles = Some(profiles);
        match running.work {
            Work::Download(request_id) => {
                self.settle_download(now, running.begun, request_id, result);
            }
            Work::Notifications => match result {
                Ok(()) => {
                    self.waits.notifications.delivered();
                    self.notify(Notice::NotificationsDelivered);
                }
                Err(error) => {
                    self.error(&error.text);
                    let deliveries = &mut self.waits.notifications;
                    deliveries.failed(running.begun, now, &error.text);
                }
            },
            // After a restart, or when the card is back.
            Work::List => self.settle_list(now),
            Work::Switch | Work::Delete => self.settle_intent(now, Some(result)),
        }
    }

    /// Settles what was open by the list alone.
    pub(crate) fn settle_list(&mut self, now: BootMs) {
        self.settle_intent(now, None);
        self.settle_interrupted(now);
        self.card.resumed = true;
    }

    /// Settles the download that ran when the card vanished or the power failed; after a restart the
    /// others that had failed before wait again, as long as their tries demand.
    fn settle_interrupted(&mut self, now: BootMs) {
        // A link that comes up in this life has come back since the try of an earlier one.
        let mut tried = BootMs::default();
        let mut open: Vec<Id> = Vec::new();
        if let Some((request_id, begun)) = self.card.interrupted.take() {
            tried = begun;
            open.push(request_id);
        } else if !self.card.resumed {
            let begun = self.durable().downloads().iter().filter(|d| d.attempts > 0);
            open.extend(begun.map(|d| d.request_id));
        }
        for (n, request_id) in open.into_iter().enumerate() {
            let error = EuiccError {
                code: 0,
                text: String::from("the download was interrupted"),
                permanent: false,
                full: false,
            };
            if n == 0 {
                self.settle_download(now, tried, request_id, Err(error));
            } else if let Some(download) = self.download(request_id) {
                self.wait_for_download(tried, now, &download, 0, &error.text);
            }
        }
    }

    /// `result` is `None` when the operation belongs to an earlier life.
    fn settle_intent(&mut self, now: BootMs, result: Option<Result<(), EuiccError>>) {
        let Some(intent) = self.durable().intent().cloned() else {
            return;
        };
        let iccid = intent.iccid.clone();
        let seen = self.card.iter().find(|p| p.iccid == iccid);
        let state = seen.map(|p| p.enabled);
        let reached = match intent.operation {
            Operation::Enable => (state == Some(true)).then_some(Status::Enabled),
            Operation::Disable => match state {
                Some(enabled) => (!enabled).then_some(Status::Disabled),
                // Somebody else has deleted it: there is nothing to disable, now or later.
                None => Some(Status::Deleted),
            },
            Operation::Delete => state.is_none().then_some(Status::Deleted),
        };
        if let Some(status) = reached {
            self.card.failures = 0;
            self.card.set_aside.remove(&iccid);
            self.record(Record::IntentClosed);
            let by_user = status == Status::Deleted && self.durable().wanted().contains(&iccid);
            let code = if by_user { DELETED_BY_USER } else { 0 };
            self.report(now, Some(iccid.clone()), status, code);
            self.waits.notifications.more(now);
            match status {
                Status::Enabled => self.notify(Notice::Enabled(iccid)),
                Status::Disabled => self.notify(Notice::Disabled(iccid)),
                _ => {
                    self.record(Record::Forget(iccid.clone()));
                    self.finish_deletions(now, &iccid, OrderOutcome::Done);
                    // There is space now for what did not fit.
                    if let Some(request_id) = self.waits.space.take() {
                        self.waits.downloads.remove(&request_id);
                    }
                    self.notify(Notice::Deleted(iccid));
                }
            }
            return;
        }
        let Some(result) = result else {
            // Not done in the earlier life: what is right now is decided anew.
            return self.record(Record::IntentClosed);
        };
        let error = result.err().unwrap_or_else(|| EuiccError {
            code: 0,
            text: String::from("the card said yes, its profile list says no"),
            permanent: false,
            full: false,
        });
        self.error(&error.text);
        match intent.operation {
            // A disable is tried for ever: an OP must not stay enabled with nobody there.
            Operation::Disable => self.pause_card(now),
            Operation::Enable => {
                // Who is logged in may have changed meanwhile.
                self.record(Record::IntentClosed);
                if self.card.failures + 1 < u32::from(MAX_TRIES) {
                    return self.pause_card(now);
                }
                self.card.failures = 0;
                match &mut self.driver.session {
                    Some(session) if error.permanent => insert(&mut session.held, iccid),
                    _ => self.set_aside(now, &iccid, &error.text),
                }
            }
            Operation::Delete if intent.attempts < MAX_TRIES => self.pause_card(now),
            Operation::Delete => {
                self.card.failures = 0;
                self.record(Record::IntentClosed);
                if error.permanent {
                    self.cannot_delete(now, &iccid, error.code);
                } else {
                    // The order stays open: nobody said that it can't be done.
                    self.set_aside(now, &iccid, &error.text);
                }
            }
        }
    }

    /// Judges a download that was begun at `begun`. Only a refusal that stays ends it; whatever else
    /// failed, the code is kept and tried again.
    fn settle_download(
        &mut self,
        now: BootMs,
        begun: BootMs,
        request_id: Id,
        result: Result<(), EuiccError>,
    ) {
        let Some(download) = self.download(request_id) else {
            return;
        };
        // What came for somebody else while this download waited is not its result.
        let new = self.card.iter().find(|p| {
            let owner = self.durable().owner(&p.iccid);
            !download.before.contains(&p.iccid) && owner.is_none_or(|o| o == download.account)
        });
        if let Some(iccid) = new.map(|p| p.iccid.clone()) {
            self.close_download(request_id);
            self.own(iccid.clone(), download.account);
            self.report(now, Some(iccid.clone()), Status::Installed, 0);
            self.waits.notifications.more(now);
            return self.notify(Notice::Installed(iccid));
        }
        let error = result.err().unwrap_or_else(|| EuiccError {
            code: 0,
            text: String::from("the card said yes, but there is no new profile on it"),
            permanent: false,
            full: false,
        });
        if error.full {
            // Only a deletion that the CMP ordered is a try: it may not have heard of the last one.
            let times = self
                .waits
                .full
                .get(&request_id)
                .copied()
                .unwrap_or_default();
            if times < MAX_FULL {
                return self.ask_for_space(now, begun, &download, &error.text);
            }
        }
        if error.permanent {
            self.fail_download(now, &download, error.code, &error.text);
        } else {
            self.error(&error.text);
            self.wait_for_download(begun, now, &download, 0, &error.text);
        }
    }

    /// The profile does not fit: the CMP decides what goes (A.4). The download waits for the deletion,
    /// and is tried again after a while in any case.
    pub(crate) fn ask_for_space(
        &mut self,
        now: BootMs,
        begun: BootMs,
        download: &Download,
        text: &str,
    ) {
        let (request_id, account) = (download.request_id, download.account);
        self.waits.space = Some(request_id);
        self.waits.notifications.more(now);
        self.wait_for_download(begun, now, download, SPACE_MS, text);
        self.error(text);
        self.notify(Notice::CardFull);
        self.send(
            None,
            Up::CardFull {
                request_id,
                account,
            },
        );
    }

    /// The CMP's answer to that. Nothing may go: the installation has failed.
    pub(crate) fn space_answered(&mut self, now: BootMs, request_id: Id, granted: bool) {
        let waits = self.waits.space == Some(request_id);
        if granted && waits {
            let times = self
                .waits
                .full
                .get(&request_id)
                .copied()
                .unwrap_or_default();
            put(&mut self.waits.full, request_id, times.saturating_add(1));
        }
        if granted || !waits || self.card.downloading() == Some(request_id) {
            return;
        }
        self.waits.space = None;
        if let Some(download) = self.download(request_id) {
            let text = "the card is full, and no other profile may go";
            self.fail_download(now, &download, CARD_FULL, text);
        }
    }

    pub(crate) fn fail_download(
        &mut self,
        now: BootMs,
        download: &Download,
        code: u16,
        text: &str,
    ) {
        self.close_download(download.request_id);
        let (account, failed) = (Some(download.account), Status::InstallationFailed);
        self.report_for(now, account, download.iccid.clone(), failed, code);
        self.waits.notifications.more(now);
        self.no_more_codes(download.account);
        self.notify(Notice::InstallationFailed {
            code,
            text: String::from(text),
        });
    }

    fn pause_card(&mut self, now: BootMs) {
        self.card.failures = self.card.failures.saturating_add(1);
        let pause = (PAUSE << self.card.failures.min(8)).min(MAX_PAUSE);
        self.card.retry = Some(now.plus(pause));
    }

    /// Looks at the card again where not all of it is seen: what is wanted now may be what is not.
    pub(crate) fn look_again(&mut self) {
        self.card.profiles = self.card.profiles.take().filter(|p| !p.has_more());
    }
}

/// Which profiles are kept of a list that is too long: the lowest.
fn rank(durable: &Durable, profile: &CardProfile) -> u8 {
    let iccid = &profile.iccid;
    let about = |kind: &OrderKind| match kind {
        OrderKind::Delete { iccid: one }
        | OrderKind::DeleteOf { iccid: one, .. }
        | OrderKind::Disable { iccid: one } => one == iccid,
        OrderKind::Logout { .. }
        | OrderKind::DeleteAll
        | OrderKind::Erase { .. }
        | OrderKind::FactoryReset => false,
    };
    if profile.enabled || durable.intent().is_some_and(|i| i.iccid == *iccid) {
        0
    } else if durable.wanted().contains(iccid) || durable.orders().iter().any(|o| about(&o.kind)) {
        1
    } else if durable.owner(iccid).is_some() {
        2
    } else {
        3
    }
}

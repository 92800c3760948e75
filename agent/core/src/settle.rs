//! Judges card operations by what is on the card afterwards, never by guessing; the report and the
//! end of the operation are one record list (a transactional outbox, R-4.3-12).
//! Called when an operation ends, and for what a power cut left open.

use crate::agent::Agent;
use crate::durable::{Download, Operation, Record};
use crate::event::{BootMs, CardProfile, EuiccError, EuiccOp, Notice};
use aid_id::Id;
use aid_wire::{DELETED_BY_USER, OrderOutcome, Status, Up};
use alloc::{string::String, vec::Vec};

/// Tries of an enable or delete before it is given up.
const MAX_TRIES: u16 = 5;
/// Tries of a download.
const MAX_DOWNLOADS: u16 = 4;
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
        let Some((_, what)) = self.op.take() else {
            return;
        };
        let Some(list) = profiles else {
            // Nothing is known of the card any more: read it before anything else.
            self.card = None;
            let text = result
                .err()
                .map_or(String::from("the card did not answer"), |e| e.text);
            self.notify(Notice::Error { text });
            return self.pause_card(now);
        };
        self.card = Some(list);
        match what {
            EuiccOp::Download { .. } => self.settle_download(now, result),
            EuiccOp::Notifications => match result {
                Ok(()) => {
                    self.notifications_due = false;
                    self.notify(Notice::NotificationsDelivered);
                }
                Err(error) => {
                    self.notify(Notice::Error { text: error.text });
                    self.notifications_retry = Some(now.plus(MAX_PAUSE));
                }
            },
            // After a restart: what was open is settled by the list alone.
            EuiccOp::List => {
                self.settle_intent(now, None);
                if self
                    .durable
                    .downloads
                    .first()
                    .is_some_and(|d| d.attempts > 0)
                {
                    let text = String::from("the download was interrupted");
                    self.settle_download(
                        now,
                        Err(EuiccError {
                            code: 0,
                            text,
                            permanent: false,
                            full: false,
                        }),
                    );
                }
            }
            EuiccOp::Enable { .. } | EuiccOp::Disable { .. } | EuiccOp::Delete { .. } => {
                self.settle_intent(now, Some(result));
            }
        }
    }

    /// `result` is `None` when the operation belongs to an earlier life.
    fn settle_intent(&mut self, now: BootMs, result: Option<Result<(), EuiccError>>) {
        let Some(intent) = self.durable.intent.clone() else {
            return;
        };
        let iccid = intent.iccid.clone();
        let state = self
            .card
            .iter()
            .flatten()
            .find(|p| p.iccid == iccid)
            .map(|p| p.enabled);
        let reached = match intent.operation {
            Operation::Enable => (state == Some(true)).then_some(Status::Enabled),
            Operation::Disable => (state == Some(false)).then_some(Status::Disabled),
            Operation::Delete => state.is_none().then_some(Status::Deleted),
        };
        if let Some(status) = reached {
            self.card_failures = 0;
            self.record(Record::IntentClosed);
            let by_user = status == Status::Deleted && self.durable.wanted.contains(&iccid);
            let code = if by_user { DELETED_BY_USER } else { 0 };
            self.report(now, Some(iccid.clone()), status, code);
            self.notifications_due = true;
            match status {
                Status::Enabled => self.notify(Notice::Enabled(iccid)),
                Status::Disabled => self.notify(Notice::Disabled(iccid)),
                _ => {
                    self.record(Record::Forget(iccid.clone()));
                    self.finish_deletions(now, &iccid, OrderOutcome::Done);
                    // There is space now for what did not fit.
                    if self.space.take().is_some() {
                        self.download_retry = None;
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
        let error = result.err();
        let (code, text) = error.map_or_else(
            || {
                (
                    0,
                    String::from("the card said yes, its profile list says no"),
                )
            },
            |e| (e.code, e.text),
        );
        self.notify(Notice::Error { text });
        // A disable is tried for ever: an OP must not stay enabled with nobody there.
        if intent.operation == Operation::Disable || intent.attempts < MAX_TRIES {
            if intent.operation == Operation::Enable {
                // Who is logged in may have changed meanwhile.
                self.record(Record::IntentClosed);
                self.card_failures += 1;
                if self.card_failures >= u32::from(MAX_TRIES)
                    && let Some(session) = &mut self.session
                {
                    session.held.insert(iccid);
                    self.card_failures = 0;
                    return;
                }
                self.card_failures -= 1;
            }
            return self.pause_card(now);
        }
        self.record(Record::IntentClosed);
        self.cannot_delete(now, &iccid, code);
    }

    fn settle_download(&mut self, now: BootMs, result: Result<(), EuiccError>) {
        let Some(download) = self.durable.downloads.first().cloned() else {
            return;
        };
        let new = self
            .card
            .iter()
            .flatten()
            .find(|p| !download.before.contains(&p.iccid));
        if let Some(iccid) = new.map(|p| p.iccid.clone()) {
            self.record(Record::DownloadClosed(download.request_id));
            self.record(Record::Owner(iccid.clone(), download.account));
            self.report(now, Some(iccid.clone()), Status::Installed, 0);
            self.notifications_due = true;
            return self.notify(Notice::Installed(iccid));
        }
        let error = result.err().unwrap_or_else(|| EuiccError {
            code: 0,
            text: String::from("the card said yes, but there is no new profile on it"),
            permanent: true,
            full: false,
        });
        if error.full && download.attempts < MAX_DOWNLOADS {
            return self.ask_for_space(now, &download, error.text);
        }
        if error.permanent || download.attempts >= MAX_DOWNLOADS {
            self.fail_download(now, download, error.code, error.text);
        } else {
            self.notify(Notice::Error { text: error.text });
            self.download_retry = Some(now.plus(PAUSE << download.attempts.min(7)));
        }
    }

    /// The profile does not fit: the CMP decides what goes (A.4). The download waits for the deletion,
    /// and is tried again after a while in any case.
    fn ask_for_space(&mut self, now: BootMs, download: &Download, text: String) {
        let (request_id, account) = (download.request_id, download.account);
        self.space = Some(request_id);
        self.notifications_due = true;
        self.download_retry = Some(now.plus(SPACE_MS));
        self.notify(Notice::Error { text });
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
        let waits = self.space == Some(request_id);
        let running = matches!(self.op, Some((_, EuiccOp::Download { .. })));
        if granted || !waits || running {
            return;
        }
        self.space = None;
        self.download_retry = None;
        let open = |d: &&Download| d.request_id == request_id;
        if let Some(download) = self.durable.downloads.iter().find(open).cloned() {
            let text = String::from("the card is full, and no other profile may go");
            self.fail_download(now, download, CARD_FULL, text);
        }
    }

    fn fail_download(&mut self, now: BootMs, download: Download, code: u16, text: String) {
        self.record(Record::DownloadClosed(download.request_id));
        let (account, failed) = (Some(download.account), Status::InstallationFailed);
        self.report_for(now, account, download.iccid, failed, code);
        self.notifications_due = true;
        self.refused = Some(download.account);
        self.notify(Notice::InstallationFailed { code, text });
    }

    fn pause_card(&mut self, now: BootMs) {
        self.card_failures = self.card_failures.saturating_add(1);
        let pause = (PAUSE << self.card_failures.min(8)).min(MAX_PAUSE);
        self.card_retry = Some(now.plus(pause));
    }
}

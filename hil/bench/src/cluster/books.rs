//! What the load saw acknowledged, as it would be in the books of MSPs and cars: the one side of the comparison.

use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};
use aid_wire::Status;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Something that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Done<T> {
    pub(super) what: T,
    /// When it was sent first.
    pub(super) begin: Instant,
    /// When it was acknowledged.
    pub(super) end: Instant,
}

/// Update Subscription Info of an MSP. Those of one token come one after the other.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub(super) request_id: Uuid,
    pub(super) token: MspToken,
    pub(super) group: String,
}

/// Send Activation Code of an MSP.
#[derive(Debug, Clone)]
pub(super) struct SentCode {
    /// `CMP-request-id` of the call.
    pub(super) request_id: Uuid,
}

/// A status report of a car.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) eid: Eid,
    pub(super) account: AccountRef,
    pub(super) seq: u64,
    pub(super) iccid: Iccid,
    pub(super) status: Status,
}

/// A code that a car got.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) eid: Eid,
    /// The car's name for its request.
    pub(super) car_request: Id,
    pub(super) code: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) updates: Vec<Done<Update>>,
    pub(super) sent_codes: Vec<Done<SentCode>>,
    pub(super) reports: Vec<Done<Report>>,
    pub(super) codes: Vec<Done<Code>>,
    /// Logins and logouts of cars.
    pub(super) sessions: Vec<Done<()>>,
    /// What was refused for good, which nothing in this load should be.
    pub(super) refused: Vec<(Instant, String)>,
}

/// How many acknowledgements there are, by who got them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub(super) partners: usize,
    pub(super) cars: usize,
}

/// The books, which the load writes.
#[derive(Debug)]
pub(super) struct Books {
    pages: Mutex<Pages>,
    progress: watch::Sender<Progress>,
    over: watch::Sender<bool>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            pages: Mutex::default(),
            progress: watch::Sender::default(),
            over: watch::Sender::new(false),
        }
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what an MSP or a car saw acknowledged.
    fn note<T>(&self, what: T, begin: Instant, page: impl Fn(&mut Pages) -> &mut Vec<Done<T>>) {
        let end = Instant::now();
        page(&mut self.pages()).push(Done { what, begin, end });
    }

    pub(super) fn update(&self, update: Update, begin: Instant) {
        self.note(update, begin, |p| &mut p.updates);
        self.progress.send_modify(|p| p.partners += 1);
    }

    pub(super) fn sent_code(&self, code: SentCode, begin: Instant) {
        self.note(code, begin, |p| &mut p.sent_codes);
        self.progress.send_modify(|p| p.partners += 1);
    }

    pub(super) fn report(&self, report: Report, begin: Instant) {
        self.note(report, begin, |p| &mut p.reports);
        self.progress.send_modify(|p| p.cars += 1);
    }

    pub(super) fn code(&self, code: Code, begin: Instant) {
        self.note(code, begin, |p| &mut p.codes);
        self.progress.send_modify(|p| p.cars += 1);
    }

    pub(super) fn session(&self, begin: Instant) {
        self.note((), begin, |p| &mut p.sessions);
        self.progress.send_modify(|p| p.cars += 1);
    }

    pub(super) fn refused(&self, why: String) {
        self.pages().refused.push((Instant::now(), why));
    }

    /// The load ends when what is open is acknowledged.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits for `time`, or for the end of the load.
    pub(super) async fn pause(&self, time: Duration) {
        let mut over = self.over.subscribe();
        let _ = tokio::time::timeout(time, over.wait_for(|over| *over)).await;
    }

    /// Waits until so many more acknowledgements have come, to MSPs and to cars; false where that takes too long.
    pub(super) async fn wait_more(&self, more: usize, patience: Duration) -> bool {
        let mut progress = self.progress.subscribe();
        let now = *progress.borrow();
        let enough = |p: &Progress| p.partners >= now.partners + more && p.cars >= now.cars + more;
        tokio::time::timeout(patience, progress.wait_for(enough))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }
}

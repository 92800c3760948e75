//! What the judge's CMP and the tests share: the book, the list of what was seen, and what a test disturbs.

use super::book::{Book, Letter};
use super::variants::Variant;
use crate::evidence::Evidence;
use aid_id::{Eid, Id};
use aid_report::{Protocol, Recorder, Route};
use aid_wire::{Down, Envelope, LoginWay, Up};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Most entries of the list; a vehicle that says more is not judged by the rest.
const MOST: usize = 100_000;
/// Time between two looks at what wakes nobody.
const LOOK: Duration = Duration::from_millis(20);
/// Messages that wait for the vehicle's link.
pub(super) const QUEUE: usize = 1_000;

/// One thing that was seen at the judge's CMP.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// CONNECT of the vehicle.
    Connected(Connected),
    /// SUBSCRIBE: its topic filters.
    Subscribed(Vec<String>),
    /// A message of the vehicle.
    Up(Envelope<Up>),
    /// A message that can't be used: why.
    Bad(String),
    /// The connection ended: why.
    Lost(String),
}

/// What a CONNECT says.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    /// Common name of the certificate.
    pub(super) common_name: String,
    pub(super) client_id: String,
    pub(super) will: bool,
}

/// To the task of a connection.
#[derive(Debug)]
pub(super) enum Out {
    /// Publishes on the vehicle's topic, or on another one.
    Publish {
        payload: Vec<u8>,
        topic: Option<String>,
        retain: bool,
    },
    /// Closes the connection without a word.
    Cut,
    /// DISCONNECT: session taken over.
    TakeOver,
}

/// What happens at a message of a kind, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The connection ends before any answer.
    Cut,
    /// Nothing is answered from there on.
    Silence,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) book: Book,
    log: Vec<Seen>,
    recorder: Recorder,
    link: Option<(u64, mpsc::Sender<Out>)>,
    connections: u64,
    sequence: u64,
    /// Connections are closed at once.
    pub(super) refusing: bool,
    /// Nothing is answered.
    pub(super) silent: bool,
    /// At the next message of this name.
    pub(super) at: Option<(&'static str, Then)>,
    pub(super) variant: Option<Variant>,
    /// Messages of the vehicle that a variant swallowed or made.
    pub(super) kept: VecDeque<Envelope<Up>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    began: Instant,
    pub(super) eid: Eid,
}

/// The name of a message, whatever revision of AID2 it is of.
pub(super) const fn name(up: &Up) -> &'static str {
    match up {
        Up::Hello { .. } => "Hello",
        Up::Login { .. }
        | Up::NumberedLogin {
            way: LoginWay::Pin { .. },
            ..
        } => "Login",
        Up::LoginByCode { .. } | Up::NumberedLogin { .. } => "LoginByCode",
        Up::Logout { .. } => "Logout",
        Up::RequestActivationCode { .. } | Up::RequestAgain { .. } => "RequestActivationCode",
        Up::Status { .. } => "Status",
        Up::OrderResult { .. } => "OrderResult",
        Up::Ack { .. } => "Ack",
        Up::CardFull { .. } => "CardFull",
        Up::Session { .. } => "Session",
        Up::RenewCertificate { .. } => "RenewCertificate",
        Up::OfflineSession { .. } => "OfflineSession",
        Up::FactoryReset { .. } => "FactoryReset",
    }
}

impl Shared {
    pub(super) fn new(book: Book, eid: Eid, began: Instant) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                book,
                log: Vec::new(),
                recorder: Recorder::new(),
                link: None,
                connections: 0,
                sequence: 0,
                refusing: false,
                silent: false,
                at: None,
                variant: None,
                kept: VecDeque::new(),
            }),
            changed: Condvar::new(),
            began,
            eid,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Ends of the list so far: what is seen from here on is new.
    pub(super) fn mark(&self) -> usize {
        self.state().log.len()
    }

    /// Everything since a mark.
    pub(super) fn since(&self, mark: usize) -> Vec<Seen> {
        self.state().log.get(mark..).unwrap_or_default().to_vec()
    }

    /// Waits until something since `mark` is as wanted; none after `patience`. `wanted` runs without the lock, so that it
    /// may ask this list again.
    pub(super) fn wait<T>(
        &self,
        mut mark: usize,
        patience: Duration,
        mut wanted: impl FnMut(&Seen) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + patience;
        loop {
            let new = self.since(mark);
            mark += new.len();
            if let Some(found) = new.iter().find_map(&mut wanted) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let state = self.state();
            if state.log.len() <= mark {
                drop(self.changed.wait_timeout(state, left));
            }
        }
    }

    /// Waits until the state is as wanted.
    pub(super) fn until(&self, patience: Duration, wanted: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while !wanted(&state) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // What is looked for may be at the SM-DP+, which wakes nobody here.
            let waited = self.changed.wait_timeout(state, left.min(LOOK));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn note(&self, state: &mut State, seen: Seen) {
        if state.log.len() < MOST {
            state.log.push(seen);
        }
        self.changed.notify_all();
    }

    /// A deed of the judge or of a user.
    pub(super) fn deed(&self, party: &str, title: &str) {
        let at = self.now_us();
        self.state().recorder.deed(at, party, title, &[]);
    }

    /// Hands the messages over to a case.
    pub(super) fn drain(&self, evidence: &mut Evidence) {
        for message in self.state().recorder.take() {
            evidence.message(message);
        }
    }

    /// A secret of the judge.
    pub(super) fn learn(&self, secret: &str) {
        self.state().recorder.learn(secret);
    }

    /// A CONNECT; the number of the connection, or none where it is refused at present.
    pub(super) fn connected(&self, connected: Connected) -> Option<u64> {
        let mut state = self.state();
        let at = self.now_us();
        let title = match state.refusing {
            true => "CONNECT, closed by the judge",
            false => "CONNECT",
        };
        state.recorder.deed(at, "car", title, &[]);
        if state.refusing {
            return None;
        }
        state.connections += 1;
        let number = state.connections;
        self.note(&mut state, Seen::Connected(connected));
        Some(number)
    }

    /// A SUBSCRIBE: from now on this connection is the vehicle's link.
    pub(super) fn subscribed(&self, number: u64, filters: Vec<String>, link: mpsc::Sender<Out>) {
        let mut state = self.state();
        state.link = Some((number, link));
        self.note(&mut state, Seen::Subscribed(filters));
    }

    pub(super) fn lost(&self, number: u64, why: String) {
        let mut state = self.state();
        if state.link.as_ref().is_some_and(|(own, _)| *own == number) {
            state.link = None;
        }
        let at = self.now_us();
        state
            .recorder
            .deed(at, "car", &format!("link lost: {why}"), &[]);
        self.note(&mut state, Seen::Lost(why));
    }

    /// A connection did what AID2 does not allow.
    pub(super) fn bad(&self, why: &str) {
        let mut state = self.state();
        let at = self.now_us();
        state.recorder.deed(at, "car", why, &[]);
        self.note(&mut state, Seen::Bad(why.to_owned()));
    }

    /// A message of the vehicle, with its answers.
    pub(super) fn message(&self, payload: &[u8]) {
        let mut state = self.state();
        let route = Route {
            at_us: self.now_us(),
            from: "car",
            to: "judge",
            protocol: Protocol::Aid2,
        };
        state.recorder.aid2_up(&route, payload);
        let envelope = match Envelope::<Up>::decode(payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.note(&mut state, Seen::Bad(format!("a message: {error}")));
                return;
            }
        };
        let all = match state.variant {
            Some(variant) => variant.up(envelope, &mut state),
            None => vec![envelope],
        };
        for envelope in all {
            self.heard(&mut state, &envelope);
        }
    }

    fn heard(&self, state: &mut State, envelope: &Envelope<Up>) {
        let kind = name(&envelope.body);
        self.note(state, Seen::Up(envelope.clone()));
        if let Some((_, then)) = state.at.filter(|(name, _)| *name == kind) {
            state.at = None;
            match then {
                Then::Cut => {
                    if let Some((_, link)) = state.link.take() {
                        // A link that has gone needs no cut.
                        let _ = link.try_send(Out::Cut);
                    }
                    return;
                }
                Then::Silence => state.silent = true,
            }
        }
        if state.silent || state.book.unanswered.contains(kind) {
            return;
        }
        for letter in state.book.heard(envelope, crate::aid1::now()) {
            self.post(state, letter, false);
        }
    }

    /// Sends a message as it is due.
    pub(super) fn send(&self, letter: Letter) {
        self.post(&mut self.state(), letter, false);
    }

    /// Sends a message with the retain flag.
    pub(super) fn send_retained(&self, letter: Letter) {
        self.post(&mut self.state(), letter, true);
    }

    fn post(&self, state: &mut State, letter: Letter, retain: bool) {
        let all = match state.variant {
            Some(variant) => variant.down(letter, retain, state),
            None => vec![(letter, retain)],
        };
        for (letter, retain) in all {
            state.sequence += 1;
            let Ok(payload) = letter.envelope(state.sequence).encode() else {
                continue;
            };
            self.raw(state, payload, None, retain);
        }
    }

    /// Sends bytes, on the vehicle's topic or another one.
    pub(super) fn send_raw(&self, payload: Vec<u8>, topic: Option<String>) {
        self.raw(&mut self.state(), payload, topic, false);
    }

    fn raw(&self, state: &mut State, payload: Vec<u8>, topic: Option<String>, retain: bool) {
        let route = Route {
            at_us: self.now_us(),
            from: "judge",
            to: "car",
            protocol: Protocol::Aid2,
        };
        state.recorder.aid2_down(&route, &payload);
        if let Some((_, link)) = &state.link {
            let out = Out::Publish {
                payload,
                topic,
                retain,
            };
            // What finds no link is sent at the next one, if the book knows it.
            let _ = link.try_send(out);
        }
    }

    /// Something else for the link.
    pub(super) fn disturb(&self, out: Out) {
        let mut state = self.state();
        if let Some((_, link)) = state.link.take() {
            let _ = link.try_send(out);
        }
    }

    /// Sends an order.
    pub(super) fn order(&self, kind: aid_wire::OrderKind) -> Id {
        let mut state = self.state();
        let letter = state.book.order(kind);
        let id = letter.message_id;
        self.post(&mut state, letter, false);
        id
    }

    /// Sends an answer to a request for a code.
    pub(super) fn answer(&self, request_id: Id, outcome: aid_wire::CodeOutcome) {
        let mut state = self.state();
        if let Some(letter) = state.book.answer(request_id, outcome) {
            self.post(&mut state, letter, false);
        }
    }

    /// The user approves a login by code.
    pub(super) fn approve(&self, user: &str) {
        let mut state = self.state();
        for letter in state.book.approve(user, crate::aid1::now()) {
            self.post(&mut state, letter, false);
        }
    }

    /// Ends the requests that are still open.
    pub(super) fn close_requests(&self) {
        let mut state = self.state();
        for letter in state.book.close_requests() {
            self.post(&mut state, letter, false);
        }
    }

    /// A message that stands for itself.
    pub(super) fn letter(&self, body: Down) -> Letter {
        Letter::new(self.state().book.random.bytes16(), body)
    }
}

impl State {
    pub(super) const fn is_linked(&self) -> bool {
        self.link.is_some()
    }
}

//! The cars that are connected to this instance, and what is sent to them. What a car has to journal is sent again until
//! it has (R-4.3.1-18); nothing here outlives a restart, because the database knows what is outstanding.

use aid_cli::cli::TRACE;
use aid_cmp_core::decide::Outgoing;
use aid_id::{Eid, Id};
use aid_wire::{CodeOutcome, Down, Envelope, WIRE_VERSION};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Messages that may wait for one car's connection; more are sent again later.
pub const QUEUE: usize = 64;

/// Pause before what a connected car has not journalled is sent again, ms; doubles each time.
const RESEND_MS: u64 = 30_000;
/// Longest pause, ms: twelve hours.
const RESEND_MAX_MS: u64 = 12 * 3600 * 1000;
/// Requests of a connection whose newest answer is remembered.
const MAX_REQUESTS: usize = 64;

/// What a message says, for its order among others: a code must not arrive after its recall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The decision of this number. Decisions about the same request are committed in the order of their numbers.
    Decision(u64),
    /// It was read when [`Connections::answers`] was this.
    Read(Option<Answers>),
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is queued for the car.
    Sent,
    /// The car is not connected, or its queue is full.
    Away,
    /// A later decision answers the same request, or has spoken since it was read.
    Overtaken,
}

/// How many answers of decisions were sent on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answers {
    connection: u64,
    count: u64,
}

/// A message as it leaves for a car.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The car.
    pub eid: Eid,
    /// The envelope's bytes.
    pub bytes: Vec<u8>,
    /// The message decoded, for the trace; empty where nobody traces.
    pub what: String,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    /// How often it was sent the same without a word.
    tries: u32,
    /// SHA-256 of the certificate that it has shown; none behind a broker.
    certificate: Option<[u8; 32]>,
    queue: mpsc::Sender<Box<Frame>>,
    /// By the car's request: the number of the decision whose answer was sent last.
    answered: BTreeMap<Id, u64>,
    /// Answers of decisions that were sent.
    answers: u64,
}

impl Connection {
    fn answers(&self) -> Answers {
        Answers {
            connection: self.number,
            count: self.answers,
        }
    }

    /// Whether nothing newer was said about a request of the car.
    fn is_newest(&mut self, request: Id, source: Source) -> bool {
        let decision = match source {
            Source::Read(before) => return before.is_none_or(|before| before == self.answers()),
            Source::Decision(number) => number,
        };
        let last = self.answered.entry(request).or_insert(decision);
        if *last > decision {
            return false;
        }
        *last = decision;
        self.answers += 1;
        if self.answered.len() > MAX_REQUESTS {
            let oldest = self.answered.iter().min_by_key(|(_, number)| **number);
            if let Some(oldest) = oldest.map(|(request, _)| *request) {
                self.answered.remove(&oldest);
            }
        }
        true
    }
}

/// The connections of this instance.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<BTreeMap<Eid, Connection>>,
    /// Cars that were sent something that they have to journal, and when it is sent again, ms.
    waiting: Mutex<BTreeMap<Eid, u64>>,
    /// Connections so far.
    count: AtomicU64,
    /// Envelopes so far.
    sequence: AtomicU64,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, BTreeMap<Eid, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Eid, u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to a car that is connected.
    pub(super) fn tell(&self, message: &Outgoing, source: Source) -> Told {
        // Most cars are parked, and nothing need be encoded for them.
        if !self.is_online(message.eid) {
            return Told::Away;
        }
        let Some(frame) = self.frame(message) else {
            return Told::Away;
        };
        let mut open = self.open();
        let Some(connection) = open.get_mut(&message.eid) else {
            return Told::Away;
        };
        if let Down::ActivationCode { request_id, .. } = &message.body
            && !connection.is_newest(*request_id, source)
        {
            return Told::Overtaken;
        }
        if needs_result(&message.body) {
            let pause = (RESEND_MS << connection.tries.min(12)).min(RESEND_MAX_MS);
            // Cars that came back together do not go on together.
            let jitter = uuid::Uuid::new_v4().as_u64_pair().1 % (pause / 4);
            let at = super::now().saturating_add(pause + jitter);
            self.waiting().entry(message.eid).or_insert(at);
        } else if matches!(message.body, Down::Ack { .. }) {
            connection.tries = 0; // It works on what it got.
        }
        match connection.queue.try_send(frame) {
            Ok(()) => Told::Sent,
            Err(_) => Told::Away,
        }
    }

    /// A message as it leaves; none where it is too long.
    pub(super) fn frame(&self, message: &Outgoing) -> Option<Box<Frame>> {
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id: message.message_id,
            correlation_id: message.correlation.unwrap_or(message.message_id),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            expires_at: None,
            body: message.body.clone(),
        };
        let bytes = match envelope.encode() {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(eid = %message.eid, %error, "a message was not sent");
                return None;
            }
        };
        let what = if tracing::enabled!(target: TRACE, tracing::Level::TRACE) {
            format!("#{} {}", envelope.sequence, shown(&envelope.body))
        } else {
            String::new()
        };
        let eid = message.eid;
        Some(Box::new(Frame { eid, bytes, what }))
    }

    /// Sends a car later what it has not journalled.
    pub(super) fn again(&self, eid: Eid) {
        let at = super::now().saturating_add(RESEND_MS);
        self.waiting().entry(eid).or_insert(at);
    }

    /// How many answers of decisions were sent to the car on its connection.
    pub(super) fn answers(&self, eid: Eid) -> Option<Answers> {
        self.open().get(&eid).map(Connection::answers)
    }

    /// A car subscribed; what it replaces ends. Yields the number of the connection.
    pub(super) fn connect(
        &self,
        eid: Eid,
        certificate: Option<[u8; 32]>,
        queue: mpsc::Sender<Box<Frame>>,
    ) -> u64 {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.waiting().remove(&eid); // All of it is sent now.
        let connection = Connection {
            number,
            tries: 0,
            certificate,
            queue,
            answered: BTreeMap::new(),
            answers: 0,
        };
        self.open().insert(eid, connection);
        number
    }

    /// A connection ended. False: the car has another one already.
    pub(super) fn disconnect(&self, eid: Eid, number: u64) -> bool {
        let mut open = self.open();
        let is_newest = open.get(&eid).is_some_and(|c| c.number == number);
        if is_newest {
            open.remove(&eid);
        }
        is_newest
    }

    /// Ends the connection of a car.
    pub(super) fn gone(&self, eid: Eid) {
        self.open().remove(&eid);
    }

    /// The cars whose unanswered messages are due again.
    pub(super) fn due_again(&self, now: u64) -> Vec<Eid> {
        let mut waiting = self.waiting();
        let due: Vec<Eid> = waiting
            .iter()
            // Later than the longest pause: the clock was wrong when it was noted.
            .filter(|(_, at)| **at <= now || **at - now > 2 * RESEND_MAX_MS)
            .map(|(eid, _)| *eid)
            .collect();
        for eid in &due {
            waiting.remove(eid);
        }
        drop(waiting);
        let mut open = self.open();
        for eid in &due {
            if let Some(connection) = open.get_mut(eid) {
                connection.tries = connection.tries.saturating_add(1);
            }
        }
        due
    }

    /// Whether a car was sent something and has said nothing yet.
    pub(super) fn is_waiting(&self, eid: Eid) -> bool {
        self.waiting().contains_key(&eid)
    }

    /// The certificate with which a car is connected, where that is known; none if it is not connected.
    pub(super) fn certificate_of(&self, eid: Eid) -> Option<Option<[u8; 32]>> {
        self.open().get(&eid).map(|c| c.certificate)
    }

    pub(super) fn is_online(&self, eid: Eid) -> bool {
        self.open().contains_key(&eid)
    }
}

/// A message for the trace: with a login code somebody else could log in, and a profile tells about its user.
fn shown(body: &Down) -> String {
    match body {
        Down::LoginCode { code, .. } => format!("LoginCode <{} characters>", code.len()),
        Down::UserProfile { account, .. } => format!("UserProfile of {account:?}"),
        other => format!("{other:?}"),
    }
}

/// Whether the car has to journal it: it is sent until that is known.
fn needs_result(body: &Down) -> bool {
    match body {
        Down::Order { .. } | Down::Revoke { .. } => true,
        Down::ActivationCode { outcome, .. } => !matches!(outcome, CodeOutcome::Pending),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
    use super::*;
    use aid_id::AccountRef;

    fn answer(eid: Eid, request_id: Id) -> Outgoing {
        Outgoing {
            eid,
            correlation: None,
            message_id: request_id,
            body: Down::ActivationCode {
                request_id,
                account: AccountRef([1; 16]),
                outcome: CodeOutcome::Pending,
            },
        }
    }

    #[test]
    fn a_trace_shows_no_login_code() {
        let code = Down::LoginCode {
            login_id: [1; 16],
            code: "BDFH-JKLM".into(),
            url: "https://cmp.example/car".into(),
            expires_in: 600,
        };
        assert_eq!(shown(&code), "LoginCode <9 characters>");
        let ack = Down::Ack {
            message_id: [0; 16],
        };
        assert_eq!(shown(&ack), format!("{ack:?}"));
    }

    // Invariant 5: what is recalled stays recalled, in whatever order the threads send.
    #[test]
    fn an_older_answer_never_follows_a_newer_one() {
        let eid = Eid::with_check_digits("890490320000010000000000000001").unwrap();
        let (cars, (queue, _frames)) = (Connections::default(), mpsc::channel(QUEUE));
        let (a, b) = (answer(eid, [1; 16]), answer(eid, [2; 16]));
        assert_eq!(cars.tell(&a, Source::Decision(1)), Told::Away);
        cars.connect(eid, None, queue.clone());
        let read = Source::Read(cars.answers(eid));
        assert_eq!(cars.tell(&a, read), Told::Sent);
        assert_eq!(cars.tell(&a, Source::Decision(7)), Told::Sent);
        assert_eq!(cars.tell(&a, Source::Decision(6)), Told::Overtaken);
        assert_eq!(cars.tell(&b, Source::Decision(5)), Told::Sent);
        // Read before those were sent, so it may be older than them.
        assert_eq!(cars.tell(&a, read), Told::Overtaken);
        let read = Source::Read(cars.answers(eid));
        assert_eq!(cars.tell(&a, read), Told::Sent);
        // Another connection begins anew, and what was read for the one before is not for it.
        cars.connect(eid, None, queue);
        assert_eq!(cars.tell(&a, read), Told::Overtaken);
        assert_eq!(cars.tell(&a, Source::Decision(8)), Told::Sent);
        // As many requests as anybody likes: what is remembered is bounded.
        for n in 0..=255_u8 {
            let message = answer(eid, [n; 16]);
            cars.tell(&message, Source::Decision(9 + u64::from(n)));
        }
        assert!(
            cars.open()
                .values()
                .all(|c| c.answered.len() <= MAX_REQUESTS)
        );
    }
}

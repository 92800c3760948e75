//! Loads, decides, commits, then tells: the only place where decisions meet the store.
//! Called by the gateway, the AID1 API, the portal and the workers.

mod account;
mod aid1;
mod attempts;
mod car_login;
mod cars;
mod codes;
mod logout;
mod reports;
mod upkeep;
mod user_profile;
mod web;

use crate::config::{Agreed, Config, Fixed, Msp};
use crate::smdp;
use crate::store::{Store, StoreError, Stored, Turn};
use crate::views;
use aid_cli::cli::TRACE;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, Outgoing, code, serving};
use aid_cmp_core::model::Federation;
use aid_id::{AccountRef, ActivationCode, Eid, Id};
use aid_wire::{CodeOutcome, Down, Envelope, WIRE_VERSION};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};

pub use account::{Changed, is_pin};
pub use car_login::{CODE_PAGE, CarLogin, Judged};
pub use cars::Taken;
pub use user_profile::{Preferred, is_preference, is_preference_name};
pub use web::{Overview, SignIn, Subscription};

/// Messages that may wait for one car's connection; more are sent again later.
pub const QUEUE: usize = 64;

/// Pause before what a connected car has not journalled is sent again, ms; doubles each time.
const RESEND_MS: u64 = 30_000;
/// Longest pause, ms: twelve hours.
const RESEND_MAX_MS: u64 = 12 * 3600 * 1000;

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
}

/// The CMP without its listeners.
#[derive(Debug)]
pub struct Service<S> {
    /// The database.
    pub store: S,
    /// What stays as it is until the next start.
    pub config: Fixed,
    agreed: RwLock<Arc<Agreed>>,
    connections: Mutex<BTreeMap<Eid, Connection>>,
    /// Cars that were sent something that they have to journal, and when it is sent again, ms.
    waiting: Mutex<BTreeMap<Eid, u64>>,
    /// Cars that show a code whose approval may come through another instance.
    showing: Mutex<BTreeSet<Eid>>,
    connected: AtomicU64,
    sequence: AtomicU64,
    /// Calls of Send Activation Code that wait for their decision.
    codes: codes::Waiting,
    /// Judges where activation codes send cars.
    smdp: smdp::Judge,
    /// A call to an MSP is due.
    pub(crate) due: Notify,
}

/// A random id.
#[must_use]
pub fn fresh() -> Id {
    uuid::Uuid::new_v4().into_bytes()
}

/// Unix milliseconds.
#[must_use]
pub fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl<S: Store> Service<S> {
    /// A service over an open database.
    pub fn new(store: S, config: Config) -> Self {
        Self {
            store,
            config: config.fixed,
            agreed: RwLock::new(Arc::new(config.agreed)),
            connections: Mutex::new(BTreeMap::new()),
            waiting: Mutex::new(BTreeMap::new()),
            showing: Mutex::new(BTreeSet::new()),
            connected: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            codes: codes::Waiting::default(),
            smdp: smdp::Judge::default(),
            due: Notify::new(),
        }
    }

    fn context(&self) -> Context {
        Context {
            now: now(),
            fresh,
            policy: self.config.file.policy,
        }
    }

    /// What is agreed with the MSPs now. Whoever asks twice for one request may see two agreements.
    #[must_use]
    pub fn agreed(&self) -> Arc<Agreed> {
        let agreed = self.agreed.read();
        Arc::clone(&agreed.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another agreement into force: the next request is judged by it, the next call made with it.
    pub fn renew(&self, agreed: Agreed) {
        let before = self.agreed.write();
        *before.unwrap_or_else(PoisonError::into_inner) = Arc::new(agreed);
    }

    /// The configured MSP of this name.
    #[must_use]
    pub fn msp(&self, name: &str) -> Option<Arc<Msp>> {
        let agreed = self.agreed();
        agreed.msps.iter().find(|m| m.name == name).cloned()
    }

    /// Whether a car may be sent to the SM-DP+ of this code.
    ///
    /// # Errors
    /// Why not, for the MSP.
    pub(crate) async fn check_smdp(&self, code: &ActivationCode) -> Result<(), smdp::Refused> {
        if self.config.file.policy.private_smdp {
            return Ok(());
        }
        let checked = self.smdp.check(code).await;
        if let Err(error) = checked {
            let address = code.address();
            tracing::warn!(address, %error, "an activation code was refused; on a bench set policy.private_smdp");
        }
        checked
    }

    /// Commits, then tells. The caller has the turn since before it loaded.
    async fn carry_out(&self, turn: Turn, decision: Decision) -> Stored<()> {
        let Decision { changes, down } = decision;
        let calls = changes.iter().any(|c| matches!(c, Change::AddCall(_)));
        let users = profiles_touched(&changes);
        if let Err(error) = self.store.commit_in(turn, changes).await {
            if matches!(error, StoreError::Full(_)) {
                tracing::error!(%error, "nothing is accepted until there is space");
            }
            return Err(error);
        }
        let mut sent = Vec::new();
        for message in down {
            if !self.is_for_who_is_in(&message).await? {
                continue; // It is sent when that user logs in.
            }
            let told = self.tell(&message);
            if let (true, Down::Order { order_id, .. }) = (told, &message.body) {
                sent.push(Change::OrderSent(*order_id, now()));
            }
        }
        if calls {
            self.due.notify_one();
        }
        self.store.commit(sent).await?;
        self.refresh_profiles(users).await
    }

    /// Whether a message may go to its car now: an activation code only while its user is logged in there (R-2-10).
    async fn is_for_who_is_in(&self, message: &Outgoing) -> Stored<bool> {
        match code::holder(message) {
            // A car that is not connected gets nothing anyway.
            Some(account) if self.is_online(message.eid) => self.is_in(message.eid, account).await,
            _ => Ok(true),
        }
    }

    /// Whether this user is logged in to the car now.
    async fn is_in(&self, eid: Eid, account: AccountRef) -> Stored<bool> {
        let vehicle = self.store.vehicle(eid).await?;
        Ok(vehicle.is_some_and(|v| v.session == Some(account)))
    }

    /// Sends to a car that is connected.
    pub(crate) fn tell(&self, message: &Outgoing) -> bool {
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
                return false;
            }
        };
        let what = if tracing::enabled!(target: TRACE, tracing::Level::TRACE) {
            format!("#{} {}", envelope.sequence, shown(&envelope.body))
        } else {
            String::new()
        };
        let connections = self.connections.lock();
        let Ok(mut connections) = connections else {
            return false;
        };
        let Some(connection) = connections.get_mut(&message.eid) else {
            return false;
        };
        if needs_result(&message.body) {
            if let Ok(mut waiting) = self.waiting.lock() {
                let pause = (RESEND_MS << connection.tries.min(12)).min(RESEND_MAX_MS);
                // Cars that came back together do not go on together.
                let jitter = uuid::Uuid::new_v4().as_u64_pair().1 % (pause / 4);
                let at = now().saturating_add(pause + jitter);
                waiting.entry(message.eid).or_insert(at);
            }
        } else if matches!(message.body, Down::Ack { .. }) {
            connection.tries = 0; // It works on what it got.
        }
        let eid = message.eid;
        let frame = Box::new(Frame { eid, bytes, what });
        connection.queue.try_send(frame).is_ok()
    }

    /// A car subscribed with this certificate (none: behind a broker); what it replaces ends. Yields the number of the
    /// connection.
    pub fn connect(
        &self,
        eid: Eid,
        certificate: Option<[u8; 32]>,
        queue: mpsc::Sender<Box<Frame>>,
    ) -> u64 {
        let number = self.connected.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.remove(&eid); // All of it is sent now.
        }
        if let Ok(mut connections) = self.connections.lock() {
            let tries = 0;
            connections.insert(
                eid,
                Connection {
                    number,
                    tries,
                    certificate,
                    queue,
                },
            );
        }
        number
    }

    /// A connection ended.
    pub fn disconnect(&self, eid: Eid, number: u64) {
        if let Ok(mut connections) = self.connections.lock()
            && connections.get(&eid).is_some_and(|c| c.number == number)
        {
            connections.remove(&eid);
        }
    }

    /// A car is cut off: nothing is sent to it, and its connection ends.
    pub(crate) fn gone(&self, eid: Eid) {
        if let Ok(mut connections) = self.connections.lock() {
            connections.remove(&eid);
        }
    }

    /// The cars whose unanswered messages are due again.
    fn due_again(&self, now: u64) -> Vec<Eid> {
        let Ok(mut waiting) = self.waiting.lock() else {
            return Vec::new();
        };
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
        if let Ok(mut connections) = self.connections.lock() {
            for eid in &due {
                if let Some(connection) = connections.get_mut(eid) {
                    connection.tries = connection.tries.saturating_add(1);
                }
            }
        }
        due
    }

    /// Whether a car was sent something and has said nothing yet.
    fn is_waiting(&self, eid: Eid) -> bool {
        let waiting = self.waiting.lock();
        waiting.is_ok_and(|w| w.contains_key(&eid))
    }

    /// The certificate with which a car is connected, where that is known; none if it is not connected.
    fn certificate_of(&self, eid: Eid) -> Option<Option<[u8; 32]>> {
        let connections = self.connections.lock().ok()?;
        connections.get(&eid).map(|c| c.certificate)
    }

    pub(crate) fn is_online(&self, eid: Eid) -> bool {
        let connections = self.connections.lock();
        connections.is_ok_and(|c| c.contains_key(&eid))
    }

    /// The federation that serves an account in a car (§7.3 lets a user have several, R-4.3-5).
    async fn serving(&self, account: AccountRef, eid: Option<Eid>) -> Stored<Option<Federation>> {
        let usable = |msp: &str| self.msp(msp).is_some();
        let active = views::active(&self.store, account, usable).await?;
        if active.len() < 2 {
            return Ok(active.into_iter().next());
        }
        let here = match eid {
            Some(_) => self.store.preference(account, eid).await?,
            None => None,
        };
        let everywhere = self.store.preference(account, None).await?;
        Ok(serving::choose(&active, here, everywhere).cloned())
    }

    /// The phone number with digits masked.
    fn masked(&self, federation: &Federation) -> String {
        self.msp(&federation.msp)
            .and_then(|msp| msp.phone_key.decrypt(&federation.phone).ok())
            .map(|number| number.masked())
            .unwrap_or_default()
    }
}

/// The users whose AID User Profile these changes touch.
fn profiles_touched(changes: &[Change]) -> Vec<AccountRef> {
    let touched = changes.iter().filter_map(|change| match change {
        Change::AddFederation(f) | Change::UpdateFederation(f) => Some(f.account),
        _ => None,
    });
    touched.collect()
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
        Down::Order { .. } => true,
        Down::ActivationCode { outcome, .. } => !matches!(outcome, CodeOutcome::Pending),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

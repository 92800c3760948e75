//! One car: the agent's core, its card, its link. Effects are carried out here; records are kept in memory, because the
//! process is one of the laboratory and never loses power.

use super::card::CarCard;
use super::tally::{Tally, What};
use crate::figures::people::{Driver, PIN};
use crate::figures::{Connected, Dialer};
use aid_agent_core::{
    Agent, BootMs, CardProfile, Effect, EuiccError, EuiccOp, Event, Id, Notice, Phase, Secret, Up,
};
use aid_cmp::service::fresh;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

/// Longest wait for a handshake.
const DIAL: Duration = Duration::from_secs(20);
/// Shortest pause before another handshake; the longest is four times that.
const AGAIN: Duration = Duration::from_millis(300);

/// What a car is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Log the driver in, drive, log out.
    Drive(Duration),
    /// The CMP is back since then: measure the return.
    Returned(Instant),
}

/// What all cars share.
pub(super) struct Shared {
    pub(super) dialer: Dialer,
    pub(super) tally: Tally,
    /// Handshakes at once.
    pub(super) handshakes: Semaphore,
    /// Card operations at once, as many as there are clients for ES9+.
    pub(super) operations: Arc<Semaphore>,
    pub(super) began: Instant,
    /// The CMP is down on purpose.
    pub(super) outage: AtomicBool,
    pub(super) over: AtomicBool,
}

/// What can be seen of a car from outside.
pub(super) struct State {
    /// Nobody is logged in, the card rests and every report was acknowledged.
    pub(super) idle: AtomicBool,
    pub(super) connected: AtomicBool,
    /// Profiles on the card, and how many of them are enabled.
    profiles: std::sync::Mutex<Vec<CardProfile>>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            idle: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            profiles: std::sync::Mutex::default(),
        }
    }

    pub(super) fn profiles(&self) -> Vec<CardProfile> {
        let profiles = self.profiles.lock();
        profiles.map_or_else(|e| e.into_inner().clone(), |p| p.clone())
    }
}

/// What an operation came to: its number, the card back, the result and the list.
type Done = (
    u64,
    CarCard,
    EuiccOp,
    Result<(), EuiccError>,
    Option<Vec<CardProfile>>,
);

pub(super) struct Car {
    pub(super) number: usize,
    pub(super) driver: Driver,
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<State>,
    pub(super) wishes: mpsc::Receiver<Wish>,
    agent: Box<Agent>,
    card: Option<CarCard>,
    running: Option<JoinHandle<Result<Done, String>>>,
    link: Option<Connected>,
    is_lost: bool,
    /// When to connect again.
    dial_at: Instant,
    /// Since when the login, the logout or the return is going on.
    login: Option<Instant>,
    logout: Option<Instant>,
    returned: Option<Instant>,
    withdrawing: Option<Instant>,
    installed: bool,
    park_at: Option<Instant>,
    drive: Duration,
}

impl Car {
    pub(super) fn new(
        number: usize,
        driver: Driver,
        card: CarCard,
        shared: &Arc<Shared>,
        state: &Arc<State>,
        wishes: mpsc::Receiver<Wish>,
    ) -> Result<Self, aid_agent_core::RestoreError> {
        let agent = Agent::restore("fleet", None, &[])?;
        Ok(Self {
            number,
            driver,
            shared: Arc::clone(shared),
            state: Arc::clone(state),
            wishes,
            agent: Box::new(agent.with_epoch(u32::from_be_bytes(first_four(&fresh())))),
            card: Some(card),
            running: None,
            link: None,
            is_lost: false,
            dial_at: Instant::now(),
            login: None,
            logout: None,
            returned: None,
            withdrawing: None,
            installed: false,
            park_at: None,
            drive: Duration::ZERO,
        })
    }

    fn now(&self) -> BootMs {
        let ms = self.shared.began.elapsed().as_millis();
        BootMs(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// Lives until the fleet's end.
    pub(super) async fn live(mut self) {
        self.event(Event::Boot).await;
        while !self.shared.over.load(Ordering::Relaxed) {
            if std::mem::take(&mut self.is_lost) {
                self.event(Event::LinkDown).await;
                continue;
            }
            self.show();
            let dial = self.link.is_none() && self.agent.profiles().is_some();
            let timer = self.agent.poll_timeout().map(|(at, _)| {
                let at = Duration::from_millis(at.0);
                self.shared.began + at
            });
            let soon = Instant::now() + Duration::from_secs(3600);
            let timer = timer.unwrap_or(soon);
            let (dial_at, park_at) = (self.dial_at, self.park_at);
            tokio::select! {
                done = finished(&mut self.running), if self.running.is_some() => self.done(done).await,
                arrived = arrived(&mut self.link), if self.link.is_some() => self.arrived(arrived).await,
                wish = self.wishes.recv() => match wish {
                    Some(wish) => self.wish(wish).await,
                    None => break,
                },
                () = until(timer) => {
                    let now = self.now();
                    self.agent.handle_timeout(now);
                    self.effects().await;
                }
                () = until(dial_at), if dial => self.dial().await,
                () = until(park_at.unwrap_or(soon)), if park_at.is_some() => self.park().await,
            }
        }
        if let Some(link) = self.link.take() {
            link.leave().await;
        }
    }

    /// Publishes what can be seen from outside.
    fn show(&self) {
        let agent = &self.agent;
        let idle = agent.session().is_none()
            && agent.phase() == Phase::Guest
            && self.running.is_none()
            && self.login.is_none()
            && self.logout.is_none()
            && agent.durable().outbox().is_empty();
        self.state.idle.store(idle, Ordering::Relaxed);
        if let (Some(profiles), Ok(mut shown)) = (agent.profiles(), self.state.profiles.lock())
            && *shown != profiles
        {
            *shown = profiles.to_vec();
        }
    }

    async fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Drive(time) if self.login.is_none() && self.agent.session().is_none() => {
                self.login = Some(Instant::now());
                self.installed = false;
                self.drive = time;
                self.shared.tally.driving.fetch_add(1, Ordering::Relaxed);
                let login = Event::Login {
                    login_id: fresh(),
                    user: self.driver.name.clone(),
                    pin: Secret::new(PIN.into()),
                };
                self.event(login).await;
            }
            Wish::Drive(_) => {}
            Wish::Returned(since) => {
                self.withdrawing = Some(since);
                self.returned = Some(since);
                if self.link.is_some() {
                    self.connected_again();
                }
            }
        }
    }

    fn connected_again(&mut self) {
        if let Some(since) = self.returned.take() {
            self.shared.tally.time(What::Return, since.elapsed());
        }
    }

    async fn park(&mut self) {
        self.park_at = None;
        self.logout = Some(Instant::now());
        self.event(Event::Logout).await;
    }

    async fn dial(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Ok(permit) = shared.handshakes.acquire().await else {
            return;
        };
        let dialed = tokio::time::timeout(DIAL, shared.dialer.connect(self.number)).await;
        drop(permit);
        match dialed {
            Ok(Ok(link)) => {
                self.link = Some(link);
                shared.tally.connected.fetch_add(1, Ordering::Relaxed);
                self.state.connected.store(true, Ordering::Relaxed);
                self.connected_again();
                self.event(Event::LinkUp).await;
            }
            _ => self.pause(),
        }
    }

    /// Cars that lost one gateway come back spread over the time that it takes to serve them.
    fn pause(&mut self) {
        let random = u32::from(first_four(&fresh())[0]);
        self.dial_at = Instant::now() + AGAIN + AGAIN * 3 * random / 255;
    }

    /// Notes that the link is gone; the core hears of it before anything else is done.
    fn lost(&mut self, why: &str) {
        let planned = self.returned.is_some() || self.shared.outage.load(Ordering::Relaxed);
        if self.link.take().is_some() {
            self.shared.tally.connected.fetch_sub(1, Ordering::Relaxed);
            self.state.connected.store(false, Ordering::Relaxed);
            if !planned {
                self.shared.tally.error(&format!("link lost: {why}"));
            }
            self.pause();
            self.is_lost = true;
        }
    }

    async fn arrived(&mut self, arrived: Result<(), String>) {
        if let Err(why) = arrived {
            return self.lost(&why);
        }
        loop {
            let Some(link) = &mut self.link else {
                return;
            };
            match link.take().await {
                Ok(Some(envelope)) => {
                    let event = Event::Inbound {
                        message_id: envelope.message_id,
                        body: envelope.body,
                    };
                    self.event(event).await;
                }
                Ok(None) => return,
                Err(why) => return self.lost(&why),
            }
        }
    }

    async fn done(&mut self, done: Result<Done, String>) {
        self.running = None;
        match done {
            Ok((op, card, what, result, profiles)) => {
                self.card = Some(card);
                if let Err(error) = &result {
                    self.shared.tally.error(&format!("card: {}", error.text));
                } else if matches!(what, EuiccOp::Download { .. }) {
                    self.installed = true;
                    self.shared.tally.installed.fetch_add(1, Ordering::Relaxed);
                }
                let event = Event::EuiccDone {
                    op,
                    result,
                    profiles,
                };
                self.event(event).await;
            }
            Err(why) => self.shared.tally.error(&format!("card operation: {why}")),
        }
    }

    async fn event(&mut self, event: Event) {
        let now = self.now();
        self.agent.handle(now, event);
        self.effects().await;
    }

    async fn effects(&mut self) {
        while let Some(effect) = self.agent.poll_effect() {
            match effect {
                Effect::Persist { ticket, .. } => {
                    let now = self.now();
                    self.agent.handle(now, Event::Persisted { ticket });
                }
                Effect::Send { message_id, body } => {
                    self.send(message_id.unwrap_or_else(fresh), body).await;
                }
                Effect::AckInbound { message_id } => {
                    self.send(fresh(), Up::Ack { message_id }).await;
                }
                Effect::Euicc { op, what } => self.operate(op, what),
                // Logins without a connection are not measured here, and no car is reset.
                Effect::HashPin { .. } | Effect::Erase { .. } => {}
                Effect::Notify(notice) => self.note(&notice),
            }
        }
        if self.logout.is_some()
            && self.agent.session().is_none()
            && self.agent.phase() == Phase::Guest
            && self.agent.durable().outbox().is_empty()
            && let Some(since) = self.logout.take()
        {
            self.shared.tally.time(What::Parking, since.elapsed());
            self.ended();
        }
    }

    fn ended(&self) {
        self.shared.tally.driving.fetch_sub(1, Ordering::Relaxed);
        self.shared.tally.journeys.fetch_add(1, Ordering::Relaxed);
    }

    async fn send(&mut self, message_id: Id, body: Up) {
        if let Some(link) = &mut self.link
            && let Err(why) = link.publish(message_id, body).await
        {
            self.lost(&why);
        }
    }

    fn operate(&mut self, op: u64, what: EuiccOp) {
        let Some(mut card) = self.card.take() else {
            return;
        };
        let free = Arc::clone(&self.shared.operations);
        self.running = Some(tokio::spawn(async move {
            let permit = free.acquire_owned().await;
            let run = move || {
                let (result, profiles) = card.run(&what);
                drop(permit);
                (op, card, what, result, profiles)
            };
            let done = tokio::task::spawn_blocking(run).await;
            done.map_err(|e| e.to_string())
        }));
    }

    fn note(&mut self, notice: &Notice) {
        let tally = &self.shared.tally;
        match notice {
            Notice::LoginAccepted { .. } => {
                if let Some(since) = self.login {
                    tally.time(What::Login, since.elapsed());
                }
            }
            Notice::LoginRefused { reason, .. } => self.failed(&format!("login: {reason}")),
            Notice::Enabled(_) => {
                if let Some(since) = self.login.take() {
                    let what = match self.installed {
                        true => What::Provisioning,
                        false => What::Enabling,
                    };
                    tally.time(what, since.elapsed());
                    self.park_at = Some(Instant::now() + self.drive);
                }
            }
            Notice::Deleted(_) => {
                if let Some(since) = self.withdrawing.take() {
                    tally.time(What::Withdrawal, since.elapsed());
                }
            }
            Notice::CodeFailed { reason, .. } => self.failed(&format!("activation code: {reason}")),
            Notice::InstallationFailed { text, .. } => {
                self.failed(&format!("installation: {text}"));
            }
            Notice::Error { text } => tally.error(text),
            _ => {}
        }
    }

    /// A login that brought no profile ends, and counts as an error.
    fn failed(&mut self, text: &str) {
        self.shared.tally.error(text);
        if self.login.take().is_some() {
            self.park_at = Some(Instant::now());
        }
    }
}

fn first_four(id: &Id) -> [u8; 4] {
    [id[0], id[1], id[2], id[3]]
}

async fn until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

async fn finished(running: &mut Option<JoinHandle<Result<Done, String>>>) -> Result<Done, String> {
    match running {
        Some(handle) => handle.await.unwrap_or_else(|e| Err(e.to_string())),
        None => std::future::pending().await,
    }
}

async fn arrived(link: &mut Option<Connected>) -> Result<(), String> {
    match link {
        Some(link) => link.arrived().await,
        None => std::future::pending().await,
    }
}

/// How many cars are so.
pub(super) fn count(states: &[Arc<State>], flag: impl Fn(&State) -> &AtomicBool) -> u64 {
    let count = AtomicU64::new(0);
    for state in states {
        if flag(state).load(Ordering::Relaxed) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    count.into_inner()
}

//! The daemon's loop: events of link, card, API and timer into the core, its effects out again.
//! Persist before act: the journal is written here, on this thread, before the next effect is polled.
//! A card or a disk that is away is waited for; `status` says so.

mod command;

use crate::api::{self, Api, Call, Told};
use crate::boot_clock::{self, BootTimer};
use crate::card::{self, CardEvent, Counters, Euicc};
use crate::config::Config;
use crate::diagnostics;
use crate::dialer::Dialer;
use crate::erase;
use crate::health::{self, Trouble};
use crate::inbox::{self, Publication};
use crate::keys::{KeyName, Slot};
use crate::last_login::LastLogin;
use crate::link::{self, Link, LinkEvent};
use crate::pin;
use crate::renewal;
use crate::renewal::plan::Mode;
use crate::renewal::{Probed, Renewal};
use crate::signals::Signals;
use crate::store::{Folder, Store};
use crate::transactions::Transactions;
use crate::view;
use crate::watchdog::Watchdog;
use aid_agent_core::{
    Agent, BootMs, Down, Effect, Envelope, EuiccError, Event, Id, Reset, Secret, Up, WIRE_VERSION,
};
use aid_cli::cli::TRACE;
use aid_cli::supervisor::Supervisor;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc};

/// Events that are kept for `GET /v1/diagnostics`.
const KEPT_EVENTS: usize = 128;

/// Why the daemon ended, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DaemonError(String);

fn fatal(text: impl std::fmt::Display) -> DaemonError {
    DaemonError(text.to_string())
}

enum Input {
    /// Of the link with this number: one that was closed may still have said something.
    Link(u64, LinkEvent),
    Card(CardEvent),
    /// A new certificate was tried.
    Probed(Probed),
    /// The hash of a PIN, by the number of its effect.
    Hashed(u64, Option<[u8; 32]>),
}

pub(crate) struct Daemon {
    /// Its whole state lies in place: too much for the stack of a task.
    pub(crate) agent: Box<Agent>,
    pub(crate) store: Store<Folder>,
    /// Makes the link once the card said whose car it is.
    /// None where the car was reset to its factory state: it has no keys.
    pub(crate) dialer: Option<Arc<Dialer>>,
    pub(crate) eid: Option<String>,
    pub(crate) link: Option<Link>,
    /// Number of `link`.
    links: u64,
    /// The core knows of it.
    pub(crate) link_up: bool,
    /// A link stands, also one that is good for renewal only.
    pub(crate) wire_up: bool,
    pub(crate) renewal: Renewal,
    /// Why it is down, or what the server refuses.
    link_trouble: Option<Trouble>,
    card: std::sync::mpsc::Sender<(u64, aid_agent_core::EuiccOp)>,
    /// Why the card does not answer.
    pub(crate) card_trouble: Option<Trouble>,
    inputs: mpsc::UnboundedSender<Input>,
    events: broadcast::Sender<Told>,
    /// Number of the last event.
    told: u64,
    /// The last ones, without what opens something.
    last_events: VecDeque<Value>,
    pub(crate) config: Config,
    pub(crate) counters: Arc<Counters>,
    /// C-APDUs when the card last ended an operation.
    apdus: u64,
    sequence: u64,
    transactions: Transactions,
    login: LastLogin,
    signals: Signals,
    pub(crate) supervisor: Supervisor,
    pub(crate) watchdog: Watchdog,
    /// What the supervisor was last told.
    pub(crate) status: String,
}

/// The wall clock in Unix seconds; 0 when it stands before 1970.
fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| d.as_secs())
}

/// The wall clock for people and logs, UTC.
fn rfc3339() -> String {
    let now = jiff::Timestamp::now();
    format!("{now:.3}")
}

/// Runs until `stop` resolves. `ready` is called once the local API is bound; the card and the link
/// may come later. Each configuration that `reload` yields is taken over as far as that goes without a
/// restart.
///
/// # Errors
/// Another agent has the journal or the API socket, the TLS files can't be used, the card is not the
/// one of the certificate, or the card's thread ended.
pub async fn run(
    config: &Config,
    euicc: Box<dyn Euicc>,
    counters: Arc<Counters>,
    ready: impl FnOnce(&Path),
    mut reload: mpsc::Receiver<Config>,
    stop: impl Future<Output = ()>,
) -> Result<(), DaemonError> {
    let (store, agent) = restore(config)?;
    let dialer = Dialer::new(&config.cmp, config.bearer.bearers()).map_err(fatal)?;
    let is_set_up = !(config.cmp.has_no_keys() && agent.durable().reset().is_some());
    // A token may come later, and the bootstrap pair may bring another certificate.
    let is_stuck = config.cmp.has_no_keys() && matches!(config.cmp.key, KeyName::File(_));
    if is_set_up && is_stuck && config.cmp.bootstrap.is_none() {
        dialer.load().map_err(fatal)?;
    }
    let dialer = is_set_up.then(|| Arc::new(dialer));

    let (inputs, mut input) = mpsc::unbounded_channel();
    let from_card = inputs.clone();
    // The receiver ends with the loop; there is nobody to tell then.
    let tell = move |event| drop(from_card.send(Input::Card(event)));
    let card = card::spawn(euicc, Arc::clone(&counters), tell).map_err(fatal)?;

    let (events, _) = broadcast::channel(256);
    let (calls, mut call) = mpsc::channel::<Call>(16);
    let listener = bind(&config.api)?;
    let own = rustix::process::geteuid().as_raw();
    let uids = config.api_uids.iter().copied().chain([0, own]).collect();
    let api = Api {
        calls,
        events: events.clone(),
        uids,
        privileged: [0, own],
    };
    #[cfg(feature = "dbus")]
    let bus = tokio::spawn(crate::bus::serve(config.dbus.clone(), api.clone()));
    let api = tokio::spawn(api::serve(listener, api));

    let timer = BootTimer::new().map_err(fatal)?;
    let supervisor = Supervisor::from_env();
    let mut daemon = Daemon {
        agent,
        store,
        dialer,
        eid: None,
        link: None,
        links: 0,
        link_up: false,
        wire_up: false,
        renewal: Renewal::new(&config.cmp),
        link_trouble: None,
        card,
        card_trouble: None,
        inputs,
        events,
        told: 0,
        last_events: VecDeque::new(),
        config: config.clone(),
        apdus: counters.read().0,
        counters,
        sequence: 0,
        transactions: Transactions::default(),
        login: LastLogin::default(),
        signals: Signals::default(),
        watchdog: Watchdog::new(supervisor.watchdog(), boot_clock::now()),
        supervisor,
        status: String::new(),
    };
    daemon.event(Event::Boot);
    if is_set_up {
        daemon.event(Event::SetUp);
    }
    ready(&config.api);
    let mut config = config.clone();
    tokio::pin!(stop);
    let ended = loop {
        // The card is safe first; then the journal gets its turn.
        if let Err(error) = daemon.tend_journal() {
            break Err(error);
        }
        daemon.end_link_without_keys().await;
        daemon.tend_certificate().await;
        let at = [
            daemon.next_renewal(),
            daemon.agent.poll_timeout().map(|(at, _)| at),
            daemon.next_try(),
            daemon.watchdog.next(),
        ];
        let at = at.into_iter().flatten().min();
        daemon.tell_supervisor();
        tokio::select! {
            () = &mut stop => break Ok(()),
            Some(input) = input.recv() => match input {
                Input::Probed(probed) => daemon.probed(probed).await,
                other => if let Err(error) = daemon.input(other, &config) {
                    break Err(error);
                }
            },
            Some((command, answer)) = call.recv() => {
                // Who asked may have gone meanwhile.
                let _ = answer.send(daemon.command(command));
            }
            Some(new) = reload.recv() => daemon.reload(&mut config, new).await,
            done = timer.until(at) => {
                if let Err(error) = done {
                    break Err(fatal(error));
                }
                let now = boot_clock::now();
                daemon.agent.set_clock(now, unix_now());
                daemon.agent.handle_timeout(now);
                daemon.effects();
            }
        }
    };
    supervisor.stopping();
    api.abort();
    #[cfg(feature = "dbus")]
    bus.abort();
    let _ = std::fs::remove_file(&config.api);
    if let Some(link) = daemon.link.take() {
        link.close().await;
    }
    ended
}

/// The agent as its journal has it.
fn restore(config: &Config) -> Result<(Store<Folder>, Box<Agent>), DaemonError> {
    let software = concat!("aid-agent ", env!("CARGO_PKG_VERSION"));
    let (now, stamp) = (boot_clock::now(), unix_now().to_string());
    let folder = Folder(config.journal.clone());
    let (store, agent) = Store::start(folder, software, now, &stamp).map_err(fatal)?;
    let grace = u64::from(config.session.grace_s) * 1000;
    let agent = agent
        .with_epoch(uuid::Uuid::new_v4().as_u128() as u32)
        .with_grace(grace)
        .with_offline(config.session.offline);
    Ok((store, Box::new(agent)))
}

/// The certificate names the car by its card: the CMP would refuse another (R-3.2-3).
pub(crate) fn check_eid(eid: &str, config: &Config) -> Result<(), DaemonError> {
    let cert = &renewal::own(&config.cmp).certificate(Slot::Current);
    let list = aid_cli::tls::certificates(cert).map_err(fatal)?;
    let name = list
        .first()
        .and_then(|c| aid_cli::certificate::common_name(c));
    if name.as_deref() == Some(eid) {
        return Ok(());
    }
    let name = name.unwrap_or_else(|| "nobody".into());
    Err(fatal(format!(
        "the card at {} has EID {eid}, but the certificate {} names {name}; \
         use this car's certificate (CN = EID) or its card",
        config.euicc.name(),
        cert.display()
    )))
}

fn bind(path: &Path) -> Result<UnixListener, DaemonError> {
    let wrong = |e| {
        fatal(format!(
            "cannot listen on {}: {e}; choose another api socket",
            path.display()
        ))
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(wrong(std::io::ErrorKind::AddrInUse.into()));
    }
    // What is left is the socket of an agent that lost power.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(wrong)?;
    // Open to all users of the car on purpose: each request is judged by the user id of its sender (`api`). Stated here,
    // because the umask lets nobody but the owner connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(wrong)?;
    Ok(listener)
}

impl Daemon {
    pub(crate) fn event(&mut self, event: Event) {
        let now = boot_clock::now();
        self.agent.set_clock(now, unix_now());
        self.agent.handle(now, event);
        self.effects();
    }

    /// After a factory reset there is nobody to be at the CMP.
    async fn end_link_without_keys(&mut self) {
        if self.agent.durable().reset() == Some(Reset::Done)
            && let Some(link) = self.link.take()
        {
            link.close().await;
            self.dialer = None;
            self.link_trouble = None;
            if std::mem::take(&mut self.link_up) {
                self.event(Event::LinkDown);
            }
        }
    }

    fn input(&mut self, input: Input, config: &Config) -> Result<(), DaemonError> {
        match input {
            Input::Link(number, event) if number == self.links => self.link_event(event),
            Input::Link(..) | Input::Probed(_) => {}
            Input::Card(CardEvent::Eid(eid)) => {
                // Without keys there is no name to compare.
                if self.dialer.is_some() {
                    check_eid(&eid, config)?;
                }
                self.eid = Some(eid);
            }
            Input::Card(CardEvent::Progress { stage, apdus }) => {
                self.publish(json!({"event": "download_progress", "stage": stage, "apdus": apdus}));
            }
            Input::Card(CardEvent::Done {
                op,
                result,
                profiles,
                apdus,
            }) => {
                self.apdus = apdus;
                self.watchdog.ended(boot_clock::now());
                self.card_answered(result.as_ref().err(), profiles.is_some());
                self.event(Event::EuiccDone {
                    op,
                    result,
                    profiles,
                });
            }
            Input::Hashed(op, hash) => self.event(Event::PinHashed { op, hash }),
            Input::Card(CardEvent::Ended) => {
                return Err(fatal("the card's thread ended; start the agent again"));
            }
        }
        Ok(())
    }

    /// Notes whether the card is there. The link begins when it was read for the first time: what the
    /// car says of itself there is what is on its card.
    fn card_answered(&mut self, error: Option<&EuiccError>, read: bool) {
        if !read {
            let text = error.map_or("the card does not answer", |e| e.text.as_str());
            if self.card_trouble.is_none() {
                tracing::warn!(error = text, "the card is missing; waiting for it");
            }
            return health::failed(&mut self.card_trouble, boot_clock::now(), text.to_owned());
        }
        if self.card_trouble.take().is_some() {
            tracing::info!("the card is back");
        }
        if self.link.is_none() {
            self.start_link();
        }
    }

    /// Starts a link, once the card said whose car it is.
    pub(crate) fn start_link(&mut self) {
        if let (Some(eid), Some(dialer)) = (&self.eid, &self.dialer) {
            self.links += 1;
            let (inputs, number) = (self.inputs.clone(), self.links);
            let tell = move |event| drop(inputs.send(Input::Link(number, event)));
            self.link = Some(link::start(eid, dialer, &self.counters, tell));
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up => {
                self.link_trouble = None;
                self.wire_up = true;
                self.renewal.link_up();
                if self.renewal.mode == Mode::Bootstrap {
                    return self.bootstrap_up();
                }
                self.link_up = true;
                self.event(Event::LinkUp);
            }
            LinkEvent::Down(error, refusal) => {
                tracing::warn!(%error, "no link to the CMP");
                self.wire_up = false;
                self.renewal.link_down(refusal);
                if std::mem::take(&mut self.link_up) {
                    self.link_trouble = None;
                    self.event(Event::LinkDown);
                }
                health::failed(&mut self.link_trouble, boot_clock::now(), error);
            }
            LinkEvent::Refused(Some(error)) => {
                tracing::warn!(%error, "a message did not reach the CMP; it is sent again later");
                health::failed(&mut self.link_trouble, boot_clock::now(), error);
            }
            LinkEvent::Refused(None) => self.link_trouble = None,
            LinkEvent::Message(publication) => self.message(&publication),
        }
    }

    fn message(&mut self, publication: &Publication) {
        let Some(link) = &self.link else {
            return;
        };
        let envelope = match inbox::read(publication, &link.down, unix_now()) {
            Ok(envelope) => envelope,
            Err(error) => return tracing::warn!(%error, "a message is ignored"),
        };
        let Envelope {
            message_id,
            correlation_id,
            body,
            ..
        } = envelope;
        self.transactions.note(correlation_id, &body);
        if let Down::Order { .. } | Down::ActivationCode { .. } = &body {
            let correlation_id = uuid::Uuid::from_bytes(correlation_id);
            tracing::info!(%correlation_id, "order or activation code received from the CMP");
        }
        let size = publication.payload.len();
        tracing::trace!(target: TRACE, "<- MQTT {body:?}, {size} bytes");
        if let Some(body) = self.heard(body) {
            self.event(Event::Inbound { message_id, body });
        }
    }

    /// Where the result of a probe goes.
    pub(crate) fn probes(&self) -> impl Fn(Probed) + Send + 'static {
        let inputs = self.inputs.clone();
        // The receiver ends with the loop; there is nobody to tell then.
        move |probed| drop(inputs.send(Input::Probed(probed)))
    }

    /// When the journal is to be tried again; not before the card was secured.
    fn next_try(&self) -> Option<BootMs> {
        let turn = self.agent.has_failed_journal() && self.agent.is_secured();
        turn.then(|| self.store.next_try().unwrap_or_default())
    }

    /// Tries to bring a failed journal back when it is time.
    fn tend_journal(&mut self) -> Result<(), DaemonError> {
        let now = boot_clock::now();
        if self.next_try().is_none_or(|at| at > now) {
            return Ok(());
        }
        let stamp = unix_now().to_string();
        let back = self.store.recover(&mut self.agent, now, &stamp);
        let back = back.map_err(fatal)?;
        self.effects();
        if back {
            self.publish(json!({"event": "journal_restored"}));
        }
        Ok(())
    }

    pub(crate) fn publish(&mut self, mut event: Value) {
        tracing::info!(%event, "event");
        self.told += 1;
        event["seq"] = json!(self.told);
        event["time"] = json!(rfc3339());
        if self.last_events.len() >= KEPT_EVENTS {
            self.last_events.pop_front();
        }
        self.last_events
            .push_back(diagnostics::without_codes(event.clone()));
        // No listener is no error.
        let _ = self.events.send(Told {
            seq: self.told,
            text: event.to_string(),
        });
    }

    fn effects(&mut self) {
        while let Some(effect) = self.agent.poll_effect() {
            match effect {
                Effect::Persist { ticket, bytes } => {
                    let now = boot_clock::now();
                    let event = match self.store.append(now, &bytes) {
                        Ok(()) => Event::Persisted { ticket },
                        Err(text) => Event::PersistFailed { text },
                    };
                    self.agent.handle(now, event);
                    if let Err(text) = self.store.compact(now, &self.agent) {
                        self.agent.handle(now, Event::PersistFailed { text });
                    }
                }
                Effect::Send { message_id, body } => self.send(message_id, body),
                Effect::AckInbound { message_id } => self.send(None, Up::Ack { message_id }),
                Effect::Euicc { op, what } => {
                    self.watchdog.began(boot_clock::now());
                    // A thread that ended has said so.
                    let _ = self.card.send((op, what));
                }
                Effect::HashPin {
                    op,
                    salt,
                    user,
                    pin,
                } => self.hash(op, salt, user, pin),
                Effect::Erase { state } => {
                    let result = self.erase(&state);
                    self.agent
                        .handle(boot_clock::now(), Event::Erased { result });
                }
                Effect::Notify(notice) => {
                    self.login.note(&notice);
                    let mut event = view::event(&notice);
                    let (_, rx, tx) = self.counters.read();
                    event["counters"] = view::counters(self.apdus, rx, tx);
                    self.publish(event);
                }
            }
        }
    }

    /// Hashes a PIN on another thread: it takes a while.
    fn hash(&self, op: u64, salt: Id, user: String, pin: Secret) {
        let (inputs, secret) = (
            self.inputs.clone(),
            self.config.session.offline_secret.clone(),
        );
        tokio::task::spawn_blocking(move || {
            let hash = pin::hash(&secret, &salt, &user, &pin);
            if let Err(error) = &hash {
                tracing::error!(error, "nobody can log in without a connection");
            }
            // The loop may have ended.
            let _ = inputs.send(Input::Hashed(op, hash.ok()));
        });
    }

    /// A factory reset: journal, secret, keys and certificates. The bootstrap pair stays: it is the factory's.
    fn erase(&mut self, state: &[u8]) -> Result<(), String> {
        self.store.erase(boot_clock::now(), state)?;
        self.last_events.clear();
        self.login = LastLogin::default();
        erase::file(&self.config.session.offline_secret)?;
        renewal::own(&self.config.cmp).destroy()
    }

    pub(crate) fn send(&mut self, message_id: Option<Id>, body: Up) {
        self.sequence += 1;
        let message_id = message_id.unwrap_or_else(|| uuid::Uuid::new_v4().into_bytes());
        let (version, sequence) = (WIRE_VERSION, self.sequence);
        let correlation_id = self.transactions.of(&body).unwrap_or(message_id);
        let envelope = Envelope {
            version,
            message_id,
            correlation_id,
            sequence,
            expires_at: None,
            body,
        };
        match envelope.encode() {
            Ok(bytes) => {
                let body = &envelope.body;
                tracing::trace!(target: TRACE, "-> MQTT {body:?}, {} bytes", bytes.len());
                if let Some(link) = &self.link {
                    link.send(bytes);
                }
            }
            Err(error) => tracing::error!(%error, "message not sent"),
        }
    }
}

//! The daemon's loop: events of link, card, API and timer into the core, its effects out again.
//! Persist before act: the journal is written here, on this thread, before the next effect is polled.
//! Called by `program`, and by tests with a fake card.

use crate::api::{self, Api, Call, Command};
use crate::boot_clock::{self, BootTimer};
use crate::card::{self, CardEvent, Counters, Euicc};
use crate::config::Config;
use crate::link::{self, Link, LinkEvent};
use crate::transactions::Transactions;
use crate::view;
use aid_agent_core::{Agent, Down, Effect, Envelope, Event, Id, Secret, Up, WIRE_VERSION};
use aid_journal::{FileMedia, Journal};
use aid_shell::cli::TRACE;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc};

/// Bytes of journal after which a snapshot replaces it.
const SNAPSHOT_AT: usize = 256 * 1024;

/// Why the daemon ended, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DaemonError(String);

fn fatal(text: impl std::fmt::Display) -> DaemonError {
    DaemonError(text.to_string())
}

enum Input {
    Link(LinkEvent),
    Card(CardEvent),
}

struct Daemon {
    agent: Agent,
    journal: Journal<FileMedia>,
    link: Link,
    link_up: bool,
    card: std::sync::mpsc::Sender<(u64, aid_agent_core::EuiccOp)>,
    events: broadcast::Sender<String>,
    counters: Arc<Counters>,
    /// C-APDUs when the card last ended an operation.
    apdus: u64,
    bearer: String,
    sequence: u64,
    transactions: Transactions,
}

/// Runs until `stop` resolves. `ready` is called once everything is bound.
///
/// # Errors
/// The journal, the card, the API socket or the TLS files can't be used.
pub async fn run(
    config: &Config,
    mut euicc: Box<dyn Euicc>,
    counters: Arc<Counters>,
    ready: impl FnOnce(&Path),
    stop: impl Future<Output = ()>,
) -> Result<(), DaemonError> {
    let media = FileMedia::open(&config.journal).map_err(|e| {
        fatal(format!(
            "cannot open the journal in {}: {e}; give the agent a folder on a disk with space \
             that it may write to",
            config.journal.display()
        ))
    })?;
    let (journal, found) = Journal::open(media, aid_journal::Config::default()).map_err(fatal)?;
    let software = concat!("aid-agent ", env!("CARGO_PKG_VERSION")).to_owned();
    let agent =
        Agent::restore(software, found.snapshot.as_deref(), &found.records).map_err(fatal)?;

    let eid = euicc.eid();
    let eid = eid.map_err(|e| fatal(e.text))?;
    check_eid(&eid, config)?;
    let (inputs, mut input) = mpsc::unbounded_channel();
    let from_card = inputs.clone();
    // The receiver ends with the loop; there is nobody to tell then.
    let tell = move |event| drop(from_card.send(Input::Card(event)));
    let card = card::spawn(euicc, Arc::clone(&counters), tell).map_err(fatal)?;
    let tell = move |event| drop(inputs.send(Input::Link(event)));
    let link = link::start(
        &eid,
        &config.cmp,
        &config.bearer,
        Arc::clone(&counters),
        tell,
    )
    .map_err(fatal)?;

    let (events, _) = broadcast::channel(256);
    let (calls, mut call) = mpsc::channel::<Call>(16);
    let listener = bind(&config.api)?;
    let own = rustix::process::geteuid().as_raw();
    let uids = config.api_uids.iter().copied().chain([0, own]).collect();
    let api = tokio::spawn(api::serve(
        listener,
        Api {
            calls,
            events: events.clone(),
            uids,
        },
    ));

    let timer = BootTimer::new().map_err(fatal)?;
    let bearer = config.bearer.name().to_owned();
    let mut daemon = Daemon {
        agent,
        journal,
        link,
        link_up: false,
        card,
        events,
        apdus: counters.read().0,
        counters,
        bearer,
        sequence: 0,
        transactions: Transactions::default(),
    };
    daemon.event(Event::Boot);
    ready(&config.api);
    tokio::pin!(stop);
    loop {
        let at = daemon.agent.poll_timeout().map(|(at, _)| at);
        tokio::select! {
            () = &mut stop => break,
            Some(input) = input.recv() => daemon.input(input),
            Some((command, answer)) = call.recv() => {
                // Who asked may have gone meanwhile.
                let _ = answer.send(daemon.command(command));
            }
            done = timer.until(at) => {
                done.map_err(fatal)?;
                daemon.agent.handle_timeout(boot_clock::now());
                daemon.effects();
            }
        }
    }
    api.abort();
    let _ = std::fs::remove_file(&config.api);
    daemon.link.close().await;
    Ok(())
}

/// The certificate names the car by its card: the CMP would refuse another (R-3.2-3).
fn check_eid(eid: &str, config: &Config) -> Result<(), DaemonError> {
    let cert = &config.cmp.cert;
    let list = aid_shell::tls::certificates(cert).map_err(fatal)?;
    let name = list.first().and_then(|c| aid_shell::peer::common_name(c));
    if name.as_deref() == Some(eid) {
        return Ok(());
    }
    let name = name.unwrap_or_else(|| "nobody".into());
    Err(fatal(format!(
        "the card at {} has EID {eid}, but the certificate {} names {name}; \
         use this car's certificate (CN = EID) or its card",
        config.euicc.socket,
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
    fn event(&mut self, event: Event) {
        self.agent.handle(boot_clock::now(), event);
        self.effects();
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Link(LinkEvent::Up) => {
                self.link_up = true;
                self.event(Event::LinkUp);
            }
            Input::Link(LinkEvent::Down(error)) => {
                tracing::warn!(%error, "no link to the CMP");
                if std::mem::take(&mut self.link_up) {
                    self.event(Event::LinkDown);
                }
            }
            Input::Link(LinkEvent::Message(bytes)) => match Envelope::<Down>::decode(&bytes) {
                Ok(envelope) => {
                    let Envelope {
                        message_id,
                        correlation_id,
                        body,
                        ..
                    } = envelope;
                    self.transactions.note(correlation_id, &body);
                    if let Down::Order { .. } | Down::ActivationCode { .. } = &body {
                        let correlation_id = uuid::Uuid::from_bytes(correlation_id);
                        tracing::info!(%correlation_id, "the CMP wants something");
                    }
                    tracing::trace!(target: TRACE, "<- MQTT {body:?}, {} bytes", bytes.len());
                    self.event(Event::Inbound { message_id, body });
                }
                Err(error) => tracing::warn!(%error, "message of the CMP refused"),
            },
            Input::Card(CardEvent::Progress { stage, apdus }) => {
                self.publish(
                    &json!({"event": "download_progress", "stage": stage, "apdus": apdus}),
                );
            }
            Input::Card(CardEvent::Done {
                op,
                result,
                profiles,
                apdus,
            }) => {
                self.apdus = apdus;
                self.event(Event::EuiccDone {
                    op,
                    result,
                    profiles,
                });
            }
        }
    }

    fn command(&mut self, command: Command) -> Value {
        match command {
            Command::Login { user, pin } => {
                let login_id = uuid::Uuid::new_v4();
                let (id, pin) = (login_id.into_bytes(), Secret::new(pin));
                self.event(Event::Login {
                    login_id: id,
                    user,
                    pin,
                });
                json!({"login_id": login_id.simple().to_string()})
            }
            Command::LoginByCode => {
                let login_id = uuid::Uuid::new_v4();
                let id = login_id.into_bytes();
                self.event(Event::LoginByCode { login_id: id });
                json!({"login_id": login_id.simple().to_string()})
            }
            Command::Logout => {
                self.event(Event::Logout);
                json!({})
            }
            Command::Delete(iccid) => {
                let own = view::is_own(&self.agent, &iccid);
                if own {
                    self.event(Event::DeleteOwn { iccid });
                }
                json!({"accepted": own})
            }
            Command::Provision => {
                let asked = self.agent.session().is_some_and(|s| s.asking);
                if asked {
                    self.event(Event::Provision);
                }
                json!({"accepted": asked})
            }
            Command::Status => view::status(&self.agent, self.link_up, &self.bearer),
            Command::Profiles => view::profiles(&self.agent),
            Command::Counters => {
                let (apdus, rx, tx) = self.counters.read();
                view::counters(apdus, rx, tx)
            }
        }
    }

    fn publish(&self, event: &Value) {
        tracing::info!(%event, "event");
        // No listener is no error.
        let _ = self.events.send(event.to_string());
    }

    fn effects(&mut self) {
        while let Some(effect) = self.agent.poll_effect() {
            match effect {
                Effect::Persist { ticket, bytes } => {
                    let event = match self.journal.append(&bytes) {
                        Ok(_) => Event::Persisted { ticket },
                        Err(error) => Event::PersistFailed {
                            text: error.to_string(),
                        },
                    };
                    self.agent.handle(boot_clock::now(), event);
                    self.compact();
                }
                Effect::Send { message_id, body } => self.send(message_id, body),
                Effect::AckInbound { message_id } => self.send(None, Up::Ack { message_id }),
                Effect::Euicc { op, what } => {
                    if self.card.send((op, what)).is_err() {
                        tracing::error!("the card's thread ended; restart the agent");
                    }
                }
                Effect::Notify(notice) => {
                    let mut event = view::event(&notice);
                    let (_, rx, tx) = self.counters.read();
                    event["counters"] = view::counters(self.apdus, rx, tx);
                    self.publish(&event);
                }
            }
        }
    }

    fn compact(&mut self) {
        if self.journal.used() > SNAPSHOT_AT
            && let Some(state) = self.agent.snapshot()
            && let Err(error) = self.journal.snapshot(&state)
        {
            tracing::error!(%error, "cannot write a snapshot");
        }
    }

    fn send(&mut self, message_id: Option<Id>, body: Up) {
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
                self.link.send(bytes);
            }
            Err(error) => tracing::error!(%error, "message not sent"),
        }
    }
}

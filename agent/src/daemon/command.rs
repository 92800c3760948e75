//! What the local API asks of the daemon's loop.

use super::{Daemon, rfc3339, unix_now};
use crate::api::Command;
use crate::boot_clock;
use crate::diagnostics;
use crate::health::Clock;
use crate::signals::Refused;
use crate::view::{self, Surroundings};
use crate::work;
use aid_agent_core::{Event, Secret};
use serde_json::{Value, json};

impl Daemon {
    /// Why nobody can log in, out or change anything at present.
    fn unavailable(&self) -> Option<Value> {
        if !self.agent.has_failed_journal() {
            return None;
        }
        let failure = self.store.failure().map_or("", |f| f.text.as_str());
        let enabled = self.agent.profiles().unwrap_or_default();
        let profile = match enabled.iter().any(|p| p.enabled) {
            true => "the profile is being disabled",
            false => "no profile stays enabled",
        };
        let text = format!(
            "the agent's journal does not work: {failure}. Nobody is logged in, {profile}; the agent \
             goes on when the disk does (see status)"
        );
        Some(json!({ "unavailable": text }))
    }

    pub(super) fn command(&mut self, command: Command) -> Value {
        let asks = matches!(
            command,
            Command::Status
                | Command::Profiles
                | Command::Counters
                | Command::Signals
                | Command::Work
                | Command::Journal
                | Command::Diagnostics
                // What the vehicle says is noted in any case.
                | Command::Signal(..)
        );
        if asks {
            return self.answer(command);
        }
        if let Some(refusal) = self.unavailable() {
            self.store.hurry();
            return refusal;
        }
        let answer = self.answer(command);
        // The record of it may not be on disk: then it does not count as taken.
        self.unavailable().unwrap_or(answer)
    }

    fn answer(&mut self, command: Command) -> Value {
        match command {
            Command::Login { user, pin } => {
                let login_id = uuid::Uuid::new_v4();
                let (id, pin) = (login_id.into_bytes(), Secret::new(pin));
                self.login.begin(id);
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
                self.login.begin(id);
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
                let asked = self.agent.session().is_some_and(|s| s.asking());
                if asked {
                    self.event(Event::Provision);
                }
                json!({"accepted": asked})
            }
            Command::FactoryReset => {
                let begins = !self.agent.is_resetting();
                if begins {
                    let reset_id = uuid::Uuid::new_v4().into_bytes();
                    self.event(Event::FactoryReset { reset_id });
                }
                json!({"accepted": begins})
            }
            Command::Status => self.status_view(),
            Command::Work => work::shown(&self.agent, self.surroundings().clock),
            Command::Journal => diagnostics::journal(self.agent.durable()),
            Command::Diagnostics => self.diagnostics(),
            Command::Signal(name, value) => self.signal(&name, &value),
            Command::Signals => self.signals.values(),
            Command::Profiles => view::profiles(&self.agent),
            Command::Counters => {
                let (apdus, rx, tx) = self.counters.read();
                view::counters(apdus, rx, tx)
            }
        }
    }

    /// Takes a signal of the vehicle; says what is wrong with it.
    fn signal(&mut self, name: &str, value: &Value) -> Value {
        match self.signals.set(name, value) {
            Ok(change) => {
                if change.visible {
                    let mut event = self.signals.shown();
                    event["event"] = json!("vehicle");
                    self.publish(event);
                }
                if let Some(event) = change.event {
                    self.event(event);
                }
                json!({})
            }
            Err(Refused::Unknown) => json!({"unknown": true}),
            Err(Refused::Value(expected)) => json!({"expected": expected}),
        }
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            link_up: self.link_up,
            bearer: self.dialer.as_ref().map(|d| d.bearer()).unwrap_or_default(),
            link: self.link_trouble.as_ref(),
            card_seen: self.agent.profiles().is_some(),
            card: self.card_trouble.as_ref(),
            journal: self.store.failure(),
            aside: self.store.aside(),
            clock: Clock {
                now: boot_clock::now(),
                unix: unix_now(),
            },
        }
    }

    /// `GET /v1/status`.
    fn status_view(&self) -> Value {
        let mut status = view::status(&self.agent, &self.surroundings());
        status["vehicle"] = self.signals.shown();
        status["login"] = self.login.shown();
        status["certificate"] = self.renewal.shown();
        status["seq"] = json!(self.told);
        status["time"] = json!(rfc3339());
        status
    }

    /// `GET /v1/diagnostics`: everything that helps to find a fault, and nothing that opens anything.
    fn diagnostics(&self) -> Value {
        let (apdus, rx, tx) = self.counters.read();
        let mut status = self.status_view();
        status["login"] = diagnostics::without_codes(status["login"].take());
        let all = json!({
            "program": concat!("aid-agent ", env!("CARGO_PKG_VERSION")),
            "time": rfc3339(),
            "eid": self.eid,
            "status": status,
            "work": work::shown(&self.agent, self.surroundings().clock),
            "journal": diagnostics::journal(self.agent.durable()),
            "signals": self.signals.values(),
            "counters": view::counters(apdus, rx, tx),
            "configuration": diagnostics::configuration(&self.config),
            "certificates": diagnostics::certificates(&self.config),
            "events": self.last_events,
        });
        let secrets = diagnostics::secrets(self.agent.durable());
        diagnostics::scrubbed(all, &secrets)
    }
}

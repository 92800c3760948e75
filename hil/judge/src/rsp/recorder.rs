//! A port to a card that keeps what went over it: the evidence of a card's tests.

use super::names;
use crate::evidence::Evidence;
use aid_port::{Apdu, Opened, TransportError, channel_of};
use aid_report::{Message, Protocol};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Command and answer.
struct Exchange {
    at: Instant,
    answered: Instant,
    command: Vec<u8>,
    answer: Result<Vec<u8>, String>,
}

struct Inside {
    port: Box<dyn Apdu + Send>,
    seen: Vec<Exchange>,
    /// The logical channel on which an application was selected last.
    channel: Option<u8>,
    /// The transport opens channels by itself.
    managed: bool,
}

/// A port that several hold: the LPA's half sends ES10 over it, tests send single commands. Clones are the same port.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<Inside>>);

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Records what goes over `port`.
    pub(crate) fn new(port: Box<dyn Apdu + Send>) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            port,
            seen: Vec::new(),
            channel: None,
            managed: false,
        })))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The logical channel on which an application was selected last.
    pub(crate) fn channel(&self) -> Option<u8> {
        self.inside().channel
    }

    /// Does the transport open channels by itself (an AT modem, a helper)?
    pub(crate) fn is_managed(&self) -> bool {
        self.inside().managed
    }

    /// Hands over what was seen.
    pub(crate) fn drain(&self, evidence: &mut Evidence) {
        let seen = std::mem::take(&mut self.inside().seen);
        for exchange in seen {
            let Exchange {
                at,
                answered,
                command,
                answer,
            } = exchange;
            let ago = |then: Instant| {
                let us = u64::try_from(then.elapsed().as_micros()).unwrap_or(u64::MAX);
                evidence.now_us().saturating_sub(us)
            };
            let (at, answered) = (ago(at), ago(answered));
            evidence.message(apdu(
                "judge",
                "card",
                names::command(&command),
                at,
                &command,
            ));
            let message = match answer {
                Ok(bytes) => {
                    let title = match bytes[..] {
                        [.., high, low] => format!("{high:02X}{low:02X}"),
                        _ => "an answer without status word".to_owned(),
                    };
                    apdu("card", "judge", title, answered, &bytes)
                }
                Err(error) => Message {
                    protocol: Protocol::Deed,
                    ..apdu("card", "card", error, answered, &[])
                },
            };
            evidence.message(message);
        }
    }
}

/// A message of APDU bytes.
pub(crate) fn apdu(from: &str, to: &str, title: String, at_us: u64, bytes: &[u8]) -> Message {
    Message {
        at_us,
        from: from.to_owned(),
        to: to.to_owned(),
        protocol: Protocol::Apdu,
        title,
        fields: Vec::new(),
        bytes: (!bytes.is_empty()).then(|| hex::encode_upper(&bytes[..bytes.len().min(4096)])),
        length: bytes.len() as u64,
        correlation: None,
    }
}

impl Apdu for Recorder {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut inside = self.inside();
        let at = Instant::now();
        let result = inside.port.transmit(command);
        // Whoever opens a channel selects an application on it next.
        if let [class, 0xA4, 0x04, ..] = *command {
            inside.channel = Some(channel_of(class));
        }
        inside.seen.push(Exchange {
            at,
            answered: Instant::now(),
            command: command.to_vec(),
            answer: result
                .as_ref()
                .map(Clone::clone)
                .map_err(ToString::to_string),
        });
        result
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut inside = self.inside();
        inside.channel = None;
        inside.port.reset()
    }

    fn open_channel(&mut self, aid: &[u8]) -> Result<Opened, TransportError> {
        let mut inside = self.inside();
        let opened = inside.port.open_channel(aid)?;
        if let Opened::Channel(channel) = opened {
            inside.channel = Some(channel);
            inside.managed = true;
        }
        Ok(opened)
    }

    fn close_channel(&mut self, channel: u8) -> Result<(), TransportError> {
        self.inside().port.close_channel(channel)
    }

    fn refreshed(&mut self) -> bool {
        self.inside().port.refreshed()
    }

    fn reset_after_switch(&self) -> bool {
        self.inside().port.reset_after_switch()
    }
}

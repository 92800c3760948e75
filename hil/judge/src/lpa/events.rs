//! What an LPA under test was seen to do, in its order: functions of ES9+ and of ES10.

use crate::evidence::Evidence;
use crate::rsp::names;
use aid_report::{Field, Message, Protocol};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A request of ES9+ and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Last part of the path.
    pub(crate) function: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) request: Value,
    pub(crate) status: u16,
    pub(crate) answer: Value,
}

impl Http {
    /// A field of the request, out of base64.
    pub(crate) fn bytes(&self, field: &str) -> Vec<u8> {
        decoded(&self.request[field])
    }

    /// A field of the answer, out of base64.
    pub(crate) fn answered(&self, field: &str) -> Vec<u8> {
        decoded(&self.answer[field])
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    STANDARD.decode(text).unwrap_or_default()
}

/// A request of ES10, or a piece of a package, and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Es10 {
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// One thing that was seen.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Http(Http),
    Es10(Es10),
}

impl Event {
    /// Its name: `initiateAuthentication`, `ES10b.GetEUICCInfo1`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Http(http) => http.function.clone(),
            Self::Es10(es10) => {
                let name = names::tag(&es10.request).and_then(names::function);
                name.unwrap_or("ES10").to_owned()
            }
        }
    }
}

#[derive(Debug, Default)]
struct Inside {
    events: Vec<(Instant, Event)>,
    messages: Vec<(Instant, Message)>,
    /// STORE DATA commands on the basic channel.
    basic: usize,
}

/// The list, shared by the card and the server that the judge plays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Inside>>);

impl Events {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn http(&self, http: Http) {
        let now = Instant::now();
        let mut inside = self.inside();
        for (from, to, title, value) in [
            (
                "lpa",
                "judge",
                format!("POST {}", http.function),
                &http.request,
            ),
            ("judge", "lpa", http.status.to_string(), &http.answer),
        ] {
            let text = match value {
                Value::Null => String::new(),
                value => value.to_string(),
            };
            let fields = http.headers.iter().filter(|_| from == "lpa");
            let message = Message {
                at_us: 0,
                from: from.to_owned(),
                to: to.to_owned(),
                protocol: Protocol::Es9,
                title,
                fields: fields
                    .map(|(name, value)| Field {
                        name: name.clone(),
                        value: value.chars().take(200).collect(),
                    })
                    .collect(),
                length: text.len() as u64,
                bytes: (!text.is_empty()).then(|| text.chars().take(4096).collect()),
                correlation: http.request["transactionId"].as_str().map(Into::into),
            };
            inside.messages.push((now, message));
        }
        inside.events.push((now, Event::Http(http)));
    }

    pub(crate) fn es10(&self, request: Vec<u8>, answer: Vec<u8>) {
        let event = Event::Es10(Es10 { request, answer });
        self.inside().events.push((Instant::now(), event));
    }

    /// A command APDU and its answer.
    pub(crate) fn apdu(&self, command: &[u8], answer: &[u8]) {
        let now = Instant::now();
        let title = match answer {
            [.., high, low] => format!("{high:02X}{low:02X}"),
            _ => String::new(),
        };
        let sent = crate::rsp::recorder::apdu("lpa", "card", names::command(command), 0, command);
        let back = crate::rsp::recorder::apdu("card", "lpa", title, 0, answer);
        let mut inside = self.inside();
        inside.messages.extend([(now, sent), (now, back)]);
        if let [class, 0xE2, ..] = *command
            && aid_port::channel_of(class) == 0
        {
            inside.basic += 1;
        }
    }

    /// Number of STORE DATA commands on the basic channel.
    pub(crate) fn basic_store_data(&self) -> usize {
        self.inside().basic
    }

    /// What somebody did to the LPA.
    pub(crate) fn deed(&self, title: String) {
        let message = Message {
            protocol: Protocol::Deed,
            ..crate::rsp::recorder::apdu("judge", "lpa", title, 0, &[])
        };
        self.inside().messages.push((Instant::now(), message));
    }

    /// All events so far.
    pub(crate) fn all(&self) -> Vec<Event> {
        self.inside()
            .events
            .iter()
            .map(|(_, event)| event.clone())
            .collect()
    }

    /// Forgets everything, and hands the messages over.
    pub(crate) fn drain(&self, evidence: &mut Evidence) {
        let inside = std::mem::take(&mut *self.inside());
        for (at, mut message) in inside.messages {
            let ago = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
            message.at_us = evidence.now_us().saturating_sub(ago);
            evidence.message(message);
        }
    }
}

//! Makes [`Message`]s of what was seen on the wire: decoded, bounded, printable, secrets masked.

mod aid2;
mod apdu;
mod fields;
mod http;
mod sgp22;
mod status;
mod traced;

pub use apdu::{instruction, status_word};
pub use http::{Request, Response};

use crate::mask::Mask;
use crate::message::{Field, Message, Protocol};
use crate::report::Report;
use aid_cli::printable::printable;
use apdu::Chain;
use std::collections::BTreeMap;

/// Most fields of a message.
pub const MAX_FIELDS: usize = 200;
/// Longest value of a field, characters.
pub const MAX_VALUE: usize = 1_024;
/// Longest name of a field, characters.
pub const MAX_NAME: usize = 160;
/// Longest title, characters.
pub const MAX_TITLE: usize = 200;
/// Most bytes of a message that are kept.
pub const MAX_BYTES: usize = 4_096;
/// Most messages that wait to be taken; later ones are counted.
pub const MAX_MESSAGES: usize = 20_000;

/// When, from whom, to whom and how.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Microseconds since the run began.
    pub at_us: u64,
    /// The sender, as in [`Message::from`].
    pub from: &'a str,
    /// The receiver.
    pub to: &'a str,
    /// How the message travels.
    pub protocol: Protocol,
}

/// Collects the messages of a run. It learns each secret that passes under its name, and masks it in all messages,
/// those before it among them.
///
/// ```
/// use aid_report::{Protocol, Recorder, Request, Route};
/// let mut recorder = Recorder::new();
/// let route = Route { at_us: 5, from: "msp", to: "cmp", protocol: Protocol::Aid1 };
/// let headers = [("correlation-id", "6f1c0e2a-0000-4000-8000-000000000001")];
/// let body = br#"{"activationCode":"1$smdp.example$SECRET-ID"}"#;
/// recorder.request(&route, &Request { method: "POST", target: "/v1/activation-codes", headers: &headers, body });
/// let messages = recorder.take();
/// assert_eq!(messages[0].title, "POST /v1/activation-codes");
/// assert!(!format!("{messages:?}").contains("SECRET-ID"));
/// ```
#[derive(Debug, Default)]
pub struct Recorder {
    mask: Mask,
    messages: Vec<Message>,
    /// Messages that had no place.
    dropped: u64,
    /// Objects on their way to or from a card, by its name.
    chains: BTreeMap<String, Chain>,
}

impl Recorder {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a secret that the caller knows: a PIN of the target file, a token that it issued.
    pub fn learn(&mut self, secret: &str) {
        self.mask.learn(secret);
    }

    /// Records what a person or the bench did to a party: `ignition on`, `power cut`, `clock set`.
    pub fn deed(&mut self, at_us: u64, party: &str, title: &str, fields: &[(&str, &str)]) {
        let mut made = fields::Fields::new(&mut self.mask);
        for (name, value) in fields {
            made.text(name, value);
        }
        let fields = made.finish();
        let route = Route {
            at_us,
            from: party,
            to: party,
            protocol: Protocol::Deed,
        };
        self.push(&route, title, fields, None, 0, None);
    }

    /// The messages since the last call, in order of time, without the secrets that are known by now.
    pub fn take(&mut self) -> Vec<Message> {
        let mut messages = std::mem::take(&mut self.messages);
        for message in &mut messages {
            self.mask.message(message);
        }
        messages.sort_by_key(|message| message.at_us);
        messages
    }

    /// Masks in the whole report what this recorder has learnt; a secret of a late message may stand in an early one.
    pub fn mask(&mut self, report: &mut Report) {
        self.mask.report(report);
    }

    /// Number of messages that had no place since the recorder was made.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds a message whose fields and bytes are masked.
    fn push(
        &mut self,
        route: &Route<'_>,
        title: &str,
        fields: Vec<Field>,
        bytes: Option<String>,
        length: usize,
        correlation: Option<String>,
    ) {
        if self.messages.len() >= MAX_MESSAGES {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let title = self.mask.text(title);
        self.messages.push(Message {
            at_us: route.at_us,
            from: clip(&printable(route.from), MAX_NAME),
            to: clip(&printable(route.to), MAX_NAME),
            protocol: route.protocol,
            title: clip(&printable(&title), MAX_TITLE),
            fields,
            bytes: bytes.map(|text| clip(&text, MAX_BYTES)),
            length: u64::try_from(length).unwrap_or(u64::MAX),
            correlation: correlation.map(|text| clip(&printable(&text), MAX_NAME)),
        });
    }
}

/// At most so many bytes of a text, and how many were left out.
pub(crate) fn clip(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub(24);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… (+{} bytes)", &text[..end], text.len() - end)
}

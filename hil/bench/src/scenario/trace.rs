//! What passed between the parts, read from what each of them traces: every message once, from the side that can say most
//! about it. Secrets are lengths in there already.

use aid_report::{Field, Message, Protocol};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Most messages that are kept of one scenario.
const MAX_MESSAGES: usize = 4000;
/// Most characters of a title or of a field.
const MAX_TEXT: usize = 300;

/// Collects messages; clones collect into the same list.
#[derive(Clone)]
pub(super) struct Watch {
    began: Instant,
    list: Arc<Mutex<Vec<Message>>>,
}

impl Watch {
    /// Times are counted from `began`.
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            list: Arc::default(),
        }
    }

    /// Microseconds since the run began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn keep(&self, mut message: Message) {
        message.at_us = self.now();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < MAX_MESSAGES {
            list.push(message);
        }
    }

    /// A line of a part's log.
    pub(super) fn line(&self, part: &str, line: &str) {
        if let Some((_, traced)) = line.split_once(" TRACE trace: ")
            && let Some(message) = read(part, traced)
        {
            self.keep(message);
        }
    }

    /// What the HMI of a car showed.
    pub(super) fn event(&self, car: &str, event: &Value) {
        let name = event["event"].as_str().unwrap_or_default();
        if name.is_empty() || name == "status" {
            return;
        }
        let members = event.as_object().into_iter().flatten();
        let fields = members
            .filter(|(k, _)| !["event", "counters"].contains(&k.as_str()))
            .map(|(k, v)| Field {
                name: k.clone(),
                // A login code lets whoever sees it approve the login.
                value: if k == "code" && name == "login_code" {
                    "(masked)".into()
                } else {
                    cut(&super::members::text(v))
                },
            });
        self.keep(Message {
            at_us: 0,
            from: car.to_owned(),
            to: "driver".into(),
            protocol: Protocol::Aid4,
            title: name.to_owned(),
            fields: fields.collect(),
            bytes: None,
            length: 0,
            correlation: None,
        });
    }

    /// What the bench or a person did.
    pub(super) fn deed(&self, party: &str, title: &str) {
        self.keep(Message {
            at_us: 0,
            from: party.to_owned(),
            to: party.to_owned(),
            protocol: Protocol::Deed,
            title: cut(title),
            fields: Vec::new(),
            bytes: None,
            length: 0,
            correlation: None,
        });
    }

    /// All of them so far.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// The number before a word.
fn before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit([' ', ','])
        .find(|w| !w.is_empty())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// The word after another.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.split_once(word)?
        .1
        .split([' ', ','])
        .next()
        .filter(|w| !w.is_empty())
}

/// Members of `{a=b c={d=e}}`, the outer ones.
fn fields(text: &str) -> Vec<Field> {
    let Some(inside) = text
        .split_once(" {")
        .and_then(|(_, t)| t.trim_end().strip_suffix('}'))
    else {
        return Vec::new();
    };
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let field = |part: &str| {
        let (name, value) = part.split_once(['=', ':'])?;
        Some(Field {
            name: name.to_owned(),
            value: cut(value.trim()),
        })
    };
    parts.into_iter().filter_map(field).collect()
}

/// A message of what a part has traced; none where the other side says more about it.
fn read(part: &str, traced: &str) -> Option<Message> {
    let (arrow, rest) = traced.split_once(' ')?;
    let out = match arrow {
        "->" => true,
        "<-" => false,
        _ => return None,
    };
    let (word, text) = rest.split_once(' ')?;
    let number = part.rsplit_once('-').map_or("1", |(_, n)| n);
    let card = format!("card-{number}");
    let (near, far, protocol) = match (part.split('-').next()?, word) {
        ("car", "APDU") => (part, card.as_str(), Protocol::Apdu),
        ("car", "MQTT") => (part, "cmp", Protocol::Aid2),
        ("car", "ES9+") => (part, "smdp", Protocol::Es9),
        ("msp", "ES2+") => ("msp", "smdp", Protocol::Es2),
        ("cmp" | "msp", "AID1") => {
            // The caller traces the operation by its name in words, the called as a type or a status.
            let first = text.split(' ').next()?;
            let second = text.split(' ').nth(1)?;
            let is_call =
                first.chars().all(char::is_alphabetic) && !["from", "to"].contains(&second);
            if !is_call {
                return None;
            }
            let far = if part == "cmp" { "msp" } else { "cmp" };
            (part, far, Protocol::Aid1)
        }
        ("cmp" | "msp", "HTTP") if !text.contains(" /v1/") && !text.contains(" /cesim/") => {
            (part, "driver", Protocol::Page)
        }
        _ => return None,
    };
    let title = text.split(" request ").next().unwrap_or(text);
    let title = title.split(" {").next().unwrap_or(title);
    let title = title
        .rsplit_once(", ")
        .filter(|(_, l)| l.ends_with("bytes"))
        .map_or(title, |(t, _)| t);
    let (from, to) = if out { (near, far) } else { (far, near) };
    Some(Message {
        at_us: 0,
        from: from.to_owned(),
        to: to.to_owned(),
        protocol,
        title: cut(title),
        fields: fields(text),
        bytes: None,
        length: before(text, " bytes"),
        correlation: after(text, "correlation ")
            .or_else(|| after(text, " request "))
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_read_once_with_its_sides() {
        let read = |part: &str, text: &str| {
            read(part, text).map(|m| {
                (
                    m.from,
                    m.to,
                    m.title,
                    m.length,
                    m.fields.len(),
                    m.correlation.is_some(),
                )
            })
        };
        let expected = |from: &str, to: &str, title: &str, length, fields, correlation| {
            Some((
                from.to_owned(),
                to.to_owned(),
                title.to_owned(),
                length,
                fields,
                correlation,
            ))
        };
        assert_eq!(
            read("car-2", "-> APDU STORE DATA GetEID block 0, 12 bytes"),
            expected("car-2", "card-2", "STORE DATA GetEID block 0", 12, 0, false)
        );
        assert_eq!(
            read(
                "msp",
                "-> AID1 Send MSP Token to cmpAid request 1 correlation 2 {error=null iv=(16 characters)}"
            ),
            expected("msp", "cmp", "Send MSP Token to cmpAid", 0, 2, true)
        );
        assert_eq!(
            read(
                "cmp",
                "<- AID1 Request Activation Code 200 OK from mspExample request 3 {a=b}"
            ),
            expected(
                "msp",
                "cmp",
                "Request Activation Code 200 OK from mspExample",
                0,
                1,
                true
            )
        );
        assert_eq!(
            read(
                "car-1",
                "<- ES9+ initiateAuthentication HTTP 200, 1088 bytes"
            ),
            expected(
                "smdp",
                "car-1",
                "initiateAuthentication HTTP 200",
                1088,
                0,
                false
            )
        );
        // The other side says more.
        assert_eq!(
            read("msp", "<- AID1 RequestActivationCode from cmpAid {a=b}"),
            None
        );
        assert_eq!(read("msp", "-> AID1 200 OK {a=b}"), None);
        assert_eq!(
            read(
                "card-1",
                "<- APDU ch 0 TERMINAL CAPABILITY [P1 00 P2 00, 5 bytes]"
            ),
            None
        );
        assert_eq!(
            read(
                "cmp",
                "<- HTTP POST /cesim/msp/v1/users/<188 characters> 175 bytes msp"
            ),
            None
        );
    }
}

//! The sequence of messages: lifelines and arrows as SVG, one row per message, which opens into its decoded content
//! without scripts.

use super::clipped;
use crate::message::{Message, Protocol};
use aid_cli::printable::printable_lines;
use maud::{Markup, html};

/// Most lifelines; the parties that come last share one.
const MAX_PARTIES: usize = 10;
/// Most fields of a message on the page.
const MAX_FIELDS: usize = 200;
/// Name of the shared lifeline.
const OTHERS: &str = "others";

/// The lifelines of a diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parties(Vec<String>);

/// Parties stand in the order in which the architecture draws them.
fn rank(party: &str) -> usize {
    const ORDER: &[&str] = &[
        "driver", "judge", "bench", "hmi", "card", "euicc", "lpa", "car", "vehicle", "agent",
        "broker", "cmp", "msp", "smdp",
    ];
    let word = party.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    ORDER
        .iter()
        .position(|name| *name == word)
        .unwrap_or(ORDER.len())
}

impl Parties {
    /// The parties of these messages.
    pub(super) fn of<'a>(messages: impl Iterator<Item = &'a Message>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for party in messages.flat_map(|message| [&message.from, &message.to]) {
            if names.len() < 1_000 && !names.contains(party) {
                names.push(party.clone());
            }
        }
        Self::named(names)
    }

    fn named(mut names: Vec<String>) -> Self {
        names.sort_by_key(|name| rank(name));
        if names.len() > MAX_PARTIES {
            names.truncate(MAX_PARTIES - 1);
            names.push(OTHERS.to_owned());
        }
        Self(names)
    }

    fn class(&self) -> String {
        format!("p{}", self.0.len().max(1))
    }

    fn place(&self, party: &str) -> f64 {
        let n = self.0.iter().position(|name| name == party);
        let n = n.unwrap_or_else(|| self.0.len().saturating_sub(1));
        let width = 100.0 / self.0.len().max(1) as f64;
        width * (n as f64 + 0.5)
    }

    /// The names above the lifelines.
    pub(super) fn heads(&self) -> Markup {
        html! {
            div class={ "heads " (self.class()) } aria-hidden="true" {
                @for name in &self.0 { span { (clipped(name, 40)) } }
            }
        }
    }
}

/// The diagram of these messages with these parties' names above it, as HTML; `parties` in any order.
#[must_use]
pub fn sequence(parties: &[String], messages: &[Message]) -> String {
    let parties = Parties::named(parties.to_vec());
    html! {
        (parties.heads())
        ol class={ "rows " (parties.class()) } id="rows" {
            @for message in messages { (row(&parties, message)) }
        }
    }
    .into_string()
}

/// One row of [`sequence`], as HTML.
#[must_use]
pub fn sequence_row(parties: &[String], message: &Message) -> String {
    row(&Parties::named(parties.to_vec()), message).into_string()
}

/// The rows of a diagram, one text each, to be put between [`list_begin`] and its end tag.
pub(super) fn list_begin(parties: &Parties) -> String {
    format!("<ol class=\"rows {}\">", parties.class())
}

pub(super) fn row(parties: &Parties, message: &Message) -> Markup {
    let has_more = !message.fields.is_empty() || message.bytes.is_some();
    html! {
        li {
            @if has_more {
                details {
                    summary { (line(parties, message)) }
                    div class="open" { (content(message)) }
                }
            } @else {
                details { summary { (line(parties, message)) } }
            }
        }
    }
}

fn line(parties: &Parties, message: &Message) -> Markup {
    let way = if message.from == message.to {
        clipped(&message.from, 40)
    } else {
        format!(
            "{} → {}",
            clipped(&message.from, 40),
            clipped(&message.to, 40)
        )
    };
    html! {
        time { (milliseconds(message.at_us)) " ms" }
        (arrow(parties, message))
        span class="title" {
            (clipped(&message.title, 200))
            span class="way" {
                (word(message.protocol)) ", " (way)
                @if message.length > 0 { ", " (message.length) " bytes" }
            }
        }
    }
}

/// Lifelines and the arrow of one row. Places are percentages: the row is as wide as the reader's screen lets it.
fn arrow(parties: &Parties, message: &Message) -> Markup {
    let (from, to) = (parties.place(&message.from), parties.place(&message.to));
    let kind = kind(message.protocol);
    let head = if to > from {
        "M1 0l-8-4v8z"
    } else {
        "M-1 0l8-4v8z"
    };
    let percent = |place: f64| format!("{place:.2}%");
    html! {
        svg xmlns="http://www.w3.org/2000/svg" aria-hidden="true" focusable="false" {
            @for name in &parties.0 {
                @let x = percent(parties.place(name));
                line class="life" x1=(x) x2=(x) y1="0" y2="100%" {}
            }
            @if message.from == message.to || (from - to).abs() < 0.01 {
                circle class={ "k-" (kind) } cx=(percent(from)) cy="50%" r="4" {}
            } @else {
                line class={ "arrow k-" (kind) } x1=(percent(from)) x2=(percent(to)) y1="50%" y2="50%" {}
                svg x=(percent(to)) y="50%" overflow="visible" width="1" height="1" {
                    path class={ "k-" (kind) } d=(head) {}
                }
            }
        }
    }
}

fn content(message: &Message) -> Markup {
    html! {
        @if let Some(correlation) = &message.correlation {
            p class="quiet" { "Transaction " code { (clipped(correlation, 160)) } }
        }
        @if !message.fields.is_empty() {
            dl {
                @for field in message.fields.iter().take(MAX_FIELDS) {
                    dt { (clipped(&field.name, 160)) }
                    dd { (clipped(&field.value, 1_024)) }
                }
            }
        }
        @if message.fields.len() > MAX_FIELDS {
            p class="quiet" { (message.fields.len() - MAX_FIELDS) " more fields are in the JSON report." }
        }
        @if let Some(bytes) = &message.bytes {
            pre { (printable_lines(&crate::record::clip(bytes, 4_096))) }
        }
    }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000, us % 1_000)
}

const fn kind(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Aid1 => "aid1",
        Protocol::Aid2 => "aid2",
        Protocol::Aid4 => "aid4",
        Protocol::Page => "page",
        Protocol::Es2 => "es2",
        Protocol::Es9 => "es9",
        Protocol::Apdu => "apdu",
        Protocol::Deed => "deed",
    }
}

const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Aid1 => "AID1",
        Protocol::Aid2 => "AID2",
        Protocol::Aid4 => "AID4",
        Protocol::Page => "page",
        Protocol::Es2 => "ES2+",
        Protocol::Es9 => "ES9+",
        Protocol::Apdu => "APDU",
        Protocol::Deed => "event",
    }
}

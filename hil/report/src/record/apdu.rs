//! APDUs and their answers; objects of several blocks are decoded where they end.

use super::fields::Fields;
use super::{MAX_BYTES, Recorder, Route, sgp22, status};
use crate::mask::MASK;
use crate::message::Protocol;

/// Longest object of several blocks that is decoded, bytes.
const MAX_OBJECT: usize = 64 * 1024;

/// An object on its way to a card, and the answer on its way back.
#[derive(Debug, Default)]
pub(super) struct Chain {
    object: Vec<u8>,
    answer: Vec<u8>,
    /// The answer holds keys: AUTHENTICATE.
    hidden: bool,
}

/// A command APDU, taken apart.
struct Command<'a> {
    ins: u8,
    p1: u8,
    p2: u8,
    data: &'a [u8],
}

impl<'a> Command<'a> {
    /// ISO/IEC 7816-4 §5.1, cases 1 to 4, short and extended.
    fn parse(apdu: &'a [u8]) -> Option<Self> {
        let (&[_, ins, p1, p2], body) = apdu.split_first_chunk::<4>()?;
        let data = match body {
            [] | [_] | [0, _, _] => &[],
            [0, high, low, data @ ..] => {
                data.get(..usize::from(u16::from_be_bytes([*high, *low])))?
            }
            [length, data @ ..] => data.get(..usize::from(*length))?,
        };
        Some(Self { ins, p1, p2, data })
    }

    /// Does it carry a PIN or PUK?
    const fn is_secret(&self) -> bool {
        matches!(self.ins, 0x20 | 0x24 | 0x26 | 0x28 | 0x2C)
    }
}

/// Name of an instruction: `STORE DATA`, `VERIFY PIN`.
#[must_use]
pub const fn instruction(ins: u8) -> &'static str {
    status::instruction(ins)
}

/// Meaning of a status word (ISO/IEC 7816-4 §5.6): `ok`, `wrong data`.
#[must_use]
pub const fn status_word(word: u16) -> &'static str {
    status::status(word)
}

impl Recorder {
    /// Records a command that `route.from` sent to the card `route.to`, and its answer at `answered_us`.
    pub fn apdu(&mut self, route: &Route<'_>, command: &[u8], answered_us: u64, answer: &[u8]) {
        let route = Route {
            protocol: Protocol::Apdu,
            ..*route
        };
        let mut chain = self.chains.remove(route.to).unwrap_or_default();
        self.command(&route, command, &mut chain);
        let back = Route {
            at_us: answered_us,
            from: route.to,
            to: route.from,
            protocol: Protocol::Apdu,
        };
        self.answer(&back, answer, &mut chain);
        self.chains.insert(route.to.to_owned(), chain);
    }

    fn command(&mut self, route: &Route<'_>, apdu: &[u8], chain: &mut Chain) {
        let mut fields = Fields::new(&mut self.mask);
        let Some(command) = Command::parse(apdu) else {
            fields.masked("malformed", "no command APDU (ISO/IEC 7816-4 §5.1)");
            let fields = fields.finish();
            let bytes = self.mask.text(&shown(apdu));
            self.push(
                route,
                "malformed APDU",
                fields,
                Some(bytes),
                apdu.len(),
                None,
            );
            return;
        };
        let name = status::instruction(command.ins);
        fields.masked("INS", &format!("{:02X} {name}", command.ins));
        fields.masked("P1", &format!("{:02X}", command.p1));
        fields.masked("P2", &format!("{:02X}", command.p2));
        let mut title = name.to_owned();
        if command.ins != 0xC0 {
            chain.answer.clear();
            chain.hidden = command.ins == 0x88;
        }
        match command.ins {
            0xE2 => {
                if command.p2 == 0 {
                    chain.object.clear();
                }
                if chain.object.len() + command.data.len() <= MAX_OBJECT {
                    chain.object.extend_from_slice(command.data);
                }
                let last = command.p1 & 0x80 != 0;
                if let Some(function) = sgp22::function(&chain.object) {
                    title = function.to_owned();
                }
                if command.p2 > 0 || !last {
                    title.push_str(&format!(" block {}", command.p2));
                }
                if last {
                    sgp22::decode(&chain.object, "", &mut fields);
                    chain.object.clear();
                }
            }
            0xA4 => {
                let aid = hex::encode_upper(command.data);
                fields.text("data", &aid);
                title = format!("SELECT {aid}");
            }
            0x70 => title.push_str(if command.p1 & 0x80 == 0 {
                " open"
            } else {
                " close"
            }),
            _ if command.is_secret() => {
                let pin = command.data.iter().take_while(|byte| **byte != 0xFF);
                let pin: Vec<u8> = pin.copied().collect();
                if let Ok(pin) = std::str::from_utf8(&pin) {
                    fields.mask.learn(pin);
                }
                fields.masked("data", MASK);
            }
            _ if !command.data.is_empty() => {
                fields.text("data", &hex::encode_upper(command.data));
            }
            _ => {}
        }
        let correlation = fields.value(|name| name.ends_with("transactionId"));
        let fields = fields.finish();
        let bytes = if command.is_secret() {
            format!("{} {MASK}", shown(&apdu[..4]))
        } else {
            self.mask.text(&shown(apdu))
        };
        self.push(route, &title, fields, Some(bytes), apdu.len(), correlation);
    }

    fn answer(&mut self, route: &Route<'_>, answer: &[u8], chain: &mut Chain) {
        let mut fields = Fields::new(&mut self.mask);
        let Some((data, word)) = answer.split_last_chunk::<2>() else {
            fields.masked(
                "malformed",
                "an answer has a status word (ISO/IEC 7816-4 §5.6)",
            );
            let fields = fields.finish();
            self.push(
                route,
                "no status word",
                fields,
                Some(shown(answer)),
                answer.len(),
                None,
            );
            return;
        };
        let word = u16::from_be_bytes(*word);
        let title = format!("{word:04X} {}", status::status(word));
        fields.masked("SW", &title);
        if chain.answer.len() + data.len() <= MAX_OBJECT {
            chain.answer.extend_from_slice(data);
        }
        let more = word >> 8 == 0x61;
        let mut correlation = None;
        if chain.hidden && !data.is_empty() {
            fields.masked("data", MASK);
        } else if !more && !chain.answer.is_empty() {
            if sgp22::function(&chain.answer).is_some() {
                sgp22::decode(&chain.answer, "", &mut fields);
                correlation = fields.value(|name| name.ends_with("transactionId"));
            } else {
                fields.text("data", &hex::encode_upper(&chain.answer));
            }
        }
        if !more {
            chain.answer.clear();
        }
        let fields = fields.finish();
        let bytes = if chain.hidden && !data.is_empty() {
            format!("{MASK} {word:04X}")
        } else {
            self.mask.text(&shown(answer))
        };
        self.push(
            route,
            &title,
            fields,
            Some(bytes),
            answer.len(),
            correlation,
        );
    }
}

/// The bytes that are kept, in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    hex::encode_upper(&bytes[..bytes.len().min(MAX_BYTES / 2)])
}

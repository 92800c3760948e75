//! lpac's stdio driver: one JSON line each way. `docs/wire/lpac-stdio.md` has the messages, and how
//! lpac's standard streams are joined to a socket.

use super::listen::Stream;
use crate::answer::split;
use crate::served::{Host, Served};
use aid_euicc::apdu::Class;
use serde::{Deserialize, Serialize};
use std::io;

/// Longest line that is read, bytes: an extended APDU has 131 kB of digits.
const MAX_LINE: usize = 256 * 1024;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default, borrow)]
    payload: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Request {
    func: String,
    #[serde(default)]
    param: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: Payload,
}

#[derive(Serialize)]
struct Payload {
    /// 0, a channel, or -1.
    ecode: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

const FAILED: i32 = -1;

/// Serves one lpac until it goes; the channels that it leaves open are closed.
pub(crate) fn talk(stream: &mut dyn Stream, card: &Served) -> io::Result<()> {
    let card = Host::new(card);
    let mut lpac = Lpac {
        open: Vec::new(),
        start: card.start(),
        card,
    };
    let end = lpac.lines(stream);
    lpac.close_all();
    end
}

struct Lpac<'a> {
    card: Host<&'a Served>,
    open: Vec<u8>,
    /// When the channels were opened.
    start: u64,
}

impl Lpac<'_> {
    fn lines(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if let Some(payload) = self.line(&line) {
                    let kind = "apdu";
                    let mut text = serde_json::to_vec(&Answer { kind, payload })?;
                    text.push(b'\n');
                    stream.write_all(&text)?;
                }
            }
            if buffer.len() > MAX_LINE {
                return Err(io::Error::other("a line is too long"));
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(()),
                n => buffer.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// The answer to a line; none for what is not for the card.
    fn line(&mut self, line: &[u8]) -> Option<Payload> {
        let failed = Payload {
            ecode: FAILED,
            data: None,
        };
        if line.trim_ascii().is_empty() {
            return None;
        }
        let Ok(parsed) = serde_json::from_slice::<Line<'_>>(line) else {
            tracing::warn!("a line is no JSON object with a type");
            return Some(failed);
        };
        let text = parsed.payload.map_or("null", |p| p.get());
        if parsed.kind != "apdu" {
            // What lpac tells its user goes the same way as what it tells the card.
            tracing::info!(kind = parsed.kind, "lpac says {text}");
            return None;
        }
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            tracing::warn!("the payload has no func");
            return Some(failed);
        };
        let Ok(param) = hex::decode(request.param.unwrap_or_default()) else {
            tracing::warn!(func = request.func, "the param is not hexadecimal digits");
            return Some(failed);
        };
        let done = match request.func.as_str() {
            "connect" => Some((0, None)),
            "disconnect" => {
                self.close_all();
                Some((0, None))
            }
            "logic_channel_open" => self.channel_open(&param).map(|n| (n.into(), None)),
            "logic_channel_close" => param.first().map(|n| {
                self.close(*n);
                (0, None)
            }),
            "transmit" if param.is_empty() => None,
            "transmit" => self
                .transmit(&param)
                .map(|data| (0, Some(hex::encode_upper(data)))),
            other => {
                tracing::warn!(func = other, "unknown function");
                None
            }
        };
        let payload = done.map_or(failed, |(ecode, data)| Payload { ecode, data });
        Some(payload)
    }

    fn transmit(&self, apdu: &[u8]) -> Option<Vec<u8>> {
        self.card.transmit(apdu).ok()
    }

    /// Forgets channels that were closed by a reset: another client may have them now.
    fn look(&mut self) {
        let start = self.card.start();
        if start != self.start {
            self.open.clear();
            self.start = start;
        }
    }

    fn channel_open(&mut self, aid: &[u8]) -> Option<u8> {
        self.look();
        let answer = self.transmit(&[0, 0x70, 0, 0, 1])?;
        let ([number], 0x9000) = split(&answer) else {
            return None;
        };
        let number = *number;
        self.open.push(number);
        let mut select = vec![Class::interindustry(number), 0xA4, 4, 0, aid.len() as u8];
        select.extend_from_slice(aid);
        let answer = self.transmit(&select)?;
        if !matches!(split(&answer).1 >> 8, 0x90 | 0x61 | 0x91) {
            self.close(number);
            return None;
        }
        Some(number)
    }

    fn close(&mut self, number: u8) {
        self.open.retain(|open| *open != number);
        let _ = self.transmit(&[0, 0x70, 0x80, number]);
    }

    fn close_all(&mut self) {
        self.look();
        for number in std::mem::take(&mut self.open) {
            let _ = self.transmit(&[0, 0x70, 0x80, number]);
        }
    }
}

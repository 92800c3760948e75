//! The card that the judge plays for an LPA: a software eUICC whose functions are recorded, served over a socket or on
//! an LPA's standard streams.

use super::events::Events;
use aid_euicc::card::{Card, Chain, Credentials, Identity, Options};
use aid_euicc::nvm::Memory;
use aid_lpa::ISDR_AID;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, SoftwareCrypto};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest line of an LPA.
const MAX_LINE: u64 = 256 * 1024;

/// Who the card is.
pub(super) struct Who {
    pub(super) eid: [u8; 16],
    pub(super) euicc: aid_rsp::pki::Identity,
    pub(super) eum: Certificate,
    pub(super) ci: Certificate,
    pub(super) options: Options,
    pub(super) seed: u64,
}

struct Inside {
    card: Card<Memory>,
    events: Events,
    /// STORE DATA chain and the answer that is being fetched, by channel.
    chains: BTreeMap<u8, Chained>,
    /// Nothing is recorded while the judge itself looks at the card.
    is_own: bool,
}

#[derive(Default)]
struct Chained {
    request: Vec<u8>,
    answer: Vec<u8>,
    whole: Option<Vec<u8>>,
}

/// The judge's card. Clones are the same card.
#[derive(Clone)]
pub(super) struct JudgeCard(Arc<Mutex<Inside>>);

impl std::fmt::Debug for JudgeCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JudgeCard")
    }
}

impl JudgeCard {
    /// A new card without profiles.
    ///
    /// # Errors
    /// The certificates make no eUICC.
    pub(super) fn new(who: Who, events: Events) -> Result<Self, String> {
        let crypto: Arc<dyn Crypto> = Arc::new(SoftwareCrypto::new());
        let chain = Chain {
            euicc: Certificate::from_der(&who.euicc.certificate).map_err(|e| e.to_string())?,
            eum: who.eum,
            key: who.euicc.key.private.clone(),
        };
        let parts = Credentials {
            chains: vec![chain],
            ci: vec![who.ci],
        };
        let identity = Identity::new(who.eid, parts, &*crypto).map_err(|e| e.to_string())?;
        let rng = Box::new(crate::rsp::seeded::Seeded::new(who.seed));
        let card = Card::new(Memory::new(), crypto, rng, Arc::new(identity), who.options);
        Ok(Self(Arc::new(Mutex::new(Inside {
            card: card.map_err(|e| format!("the judge's card: {e:?}"))?,
            events,
            chains: BTreeMap::new(),
            is_own: false,
        }))))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transmit(&self, command: &[u8]) -> Vec<u8> {
        let mut inside = self.inside();
        let answer = inside.card.transmit(command);
        if !inside.is_own {
            inside.events.apdu(command, &answer);
            inside.follow(command, &answer);
        }
        answer
    }

    fn reset(&self) -> Vec<u8> {
        let mut inside = self.inside();
        inside.chains.clear();
        inside.card.reset()
    }

    /// Opens a channel with this application; its number.
    fn open(&self, aid: &[u8]) -> Option<u8> {
        let opened = self.transmit(&[0, 0x70, 0, 0, 1]);
        let [channel, 0x90, 0x00] = opened[..] else {
            return None;
        };
        let class = if channel < 4 {
            channel
        } else {
            0x40 | (channel - 4)
        };
        let mut select = vec![class, 0xA4, 4, 0, u8::try_from(aid.len()).ok()?];
        select.extend_from_slice(aid);
        select.push(0);
        let answer = self.transmit(&select);
        match answer[..] {
            [.., 0x90 | 0x61, _] => Some(channel),
            _ => {
                self.close(channel);
                None
            }
        }
    }

    fn close(&self, channel: u8) {
        self.transmit(&[0, 0x70, 0x80, channel]);
    }

    /// Asks the card a function of ES10 as the judge, unseen.
    pub(super) fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.inside().is_own = true;
        let mut answer = Vec::new();
        if let Some(channel) = self.open(&ISDR_AID) {
            for command in aid_lpa::blocks(channel, request) {
                let mut got = self.transmit(&command);
                loop {
                    let status = got.split_off(got.len().saturating_sub(2));
                    answer.append(&mut got);
                    let [0x61, length] = status[..] else { break };
                    got = self.transmit(&[command[0] & 0x7F, 0xC0, 0, 0, length]);
                }
            }
            self.close(channel);
        }
        self.inside().is_own = false;
        answer
    }

    /// Serves the card on a listener until `stop` is set and somebody connects.
    pub(super) fn serve(&self, listener: TcpListener, stop: Arc<AtomicBool>) {
        let card = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let card = card.clone();
                // A client that breaks off is the LPA's business.
                std::thread::spawn(move || drop(card.serve_client(stream)));
            }
        });
    }

    fn serve_client(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut frame)?;
            let answer = match frame[..] {
                [] => return Ok(()),
                [0..=2] => {
                    self.reset();
                    continue;
                }
                [4] => self.inside().card.atr(),
                _ => self.transmit(&frame),
            };
            let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
            stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat())?;
        }
    }

    /// Speaks lpac's JSON lines; returns the other lines, at most `most` bytes of them.
    pub(super) fn serve_lines(
        &self,
        from: impl BufRead,
        mut to: impl Write,
        most: usize,
    ) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut from = from.take(u64::MAX);
        loop {
            let mut line = Vec::new();
            from.set_limit(MAX_LINE);
            match from.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return rest,
                Ok(_) => {}
            }
            let asked: Value = serde_json::from_slice(&line).unwrap_or_default();
            if asked["type"] != "apdu" {
                let room = most.saturating_sub(rest.len());
                rest.extend_from_slice(&line[..line.len().min(room)]);
                continue;
            }
            let payload = self.answer_line(&asked["payload"]);
            let answer = json!({"type": "apdu", "payload": payload}).to_string() + "\n";
            if to
                .write_all(answer.as_bytes())
                .and_then(|()| to.flush())
                .is_err()
            {
                return rest;
            }
        }
    }

    fn answer_line(&self, payload: &Value) -> Value {
        let param = payload["param"].as_str().unwrap_or_default();
        let bytes = hex::decode(param).unwrap_or_default();
        match payload["func"].as_str().unwrap_or_default() {
            "connect" => {
                self.reset();
                json!({"ecode": 0})
            }
            "disconnect" => json!({"ecode": 0}),
            "logic_channel_open" => match self.open(&bytes) {
                Some(channel) => json!({"ecode": channel}),
                None => json!({"ecode": -1}),
            },
            "logic_channel_close" => {
                self.close(bytes.first().copied().unwrap_or(0));
                json!({"ecode": 0})
            }
            "transmit" if bytes.len() >= 4 => {
                json!({"ecode": 0, "data": hex::encode_upper(self.transmit(&bytes))})
            }
            _ => json!({"ecode": -1}),
        }
    }
}

impl Inside {
    /// Joins blocks of STORE DATA to requests, and the pieces of answers to answers.
    fn follow(&mut self, command: &[u8], answer: &[u8]) {
        let [class, ins, p1, p2, ..] = *command else {
            return;
        };
        let channel = aid_port::channel_of(class);
        let chained = self.chains.entry(channel).or_default();
        match ins {
            0xE2 => {
                if p2 == 0 {
                    *chained = Chained::default();
                }
                let length = usize::from(command.get(4).copied().unwrap_or(0));
                let data = command.get(5..5 + length).unwrap_or_default();
                chained.request.extend_from_slice(data);
                if p1 & 0x80 == 0 {
                    return;
                }
                chained.whole = Some(std::mem::take(&mut chained.request));
                chained.answer.clear();
            }
            0xC0 if chained.whole.is_some() => {}
            _ => return,
        }
        let end = answer.len().saturating_sub(2);
        chained.answer.extend_from_slice(&answer[..end]);
        let more = matches!(answer[end..], [0x61 | 0x6C, _]);
        if !more && let Some(request) = chained.whole.take() {
            let whole = std::mem::take(&mut chained.answer);
            self.events.es10(request, whole);
        }
    }
}

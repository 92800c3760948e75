//! The hostile card: logical channels, chains and GET RESPONSE as they should be, answers as edited.
//! SGP.22 §5.7.

use crate::answers;
use crate::edit::Edits;
use aid_lpa::{Apdu, MAX_COMMAND, TransportError};
use aid_rsp::tlv::{Tlv, parse_header};
use std::sync::{Arc, Mutex};

/// Commands of one operation: the longest answer in the shortest pieces stays far below.
const MAX_APDUS: usize = 20_000;
/// Commands that this card answers before it is taken out.
const PATIENCE: usize = 2_000;

#[derive(Debug, Default)]
struct Inside {
    apdus: usize,
    chain: Vec<u8>,
    loading: Vec<u8>,
    pending: Vec<u8>,
    success: bool,
}

/// A card whose answers are edited.
#[derive(Debug, Clone)]
pub(crate) struct HostileCard {
    edits: Arc<Mutex<Edits>>,
    inside: Arc<Mutex<Inside>>,
}

impl HostileCard {
    pub(crate) fn new(edits: Arc<Mutex<Edits>>) -> Self {
        Self {
            edits,
            inside: Arc::default(),
        }
    }

    /// Has the card told that it installed a profile?
    pub(crate) fn reported_success(&self) -> bool {
        self.inside.lock().expect("lock").success
    }
}

/// A command that a card could take: header, Lc with as many bytes, Le.
fn check(command: &[u8]) {
    assert!((4..=MAX_COMMAND).contains(&command.len()), "{command:02X?}");
    assert!(matches!(command[0], 0x00..=0x03 | 0x40..=0x4F | 0x80..=0x83 | 0xC0..=0xCF));
    if command.len() > 5 {
        let data = usize::from(command[4]);
        let rest = command.len() - 5;
        assert!(rest == data || rest == data + 1, "{command:02X?}");
    }
}

impl Inside {
    fn answer(&mut self, mut data: Vec<u8>) -> Vec<u8> {
        let mut sw = 0x9000u16;
        if data.len() > 256 {
            self.pending = data.split_off(256);
            sw = 0x6100 | self.pending.len().min(256) as u16 & 0xFF;
        }
        data.extend_from_slice(&sw.to_be_bytes());
        data
    }

    fn execute(&mut self, command: &[u8], edits: &Edits) -> Vec<u8> {
        let data = match command.len() {
            0..=5 => &[][..],
            n => &command[5..n.min(5 + usize::from(command[4]))],
        };
        match (command[1], command[2]) {
            (0x70, 0) => vec![1, 0x90, 0x00],
            (0xC0, _) => {
                let pending = std::mem::take(&mut self.pending);
                self.answer(pending)
            }
            (0xE2, p1) => {
                if command[3] == 0 {
                    self.chain.clear();
                }
                self.chain.extend_from_slice(data);
                if p1 & 0x80 == 0 {
                    return vec![0x90, 0x00];
                }
                let request = std::mem::take(&mut self.chain);
                let answer = self.function(&request, edits);
                self.answer(answer)
            }
            _ => vec![0x90, 0x00],
        }
    }

    fn function(&mut self, request: &[u8], edits: &Edits) -> Vec<u8> {
        let tag = parse_header(request).ok().flatten().map_or(0, |h| h.tag);
        let known = answers::FUNCTIONS.iter().find(|f| f.0 == tag);
        if tag == 0xBF36 || known.is_none() {
            if tag == 0xBF36 {
                self.loading.clear();
            }
            self.loading.extend_from_slice(request);
            if Tlv::parse(&self.loading).is_err() {
                return Vec::new();
            }
        }
        let (tag, place) = match known {
            Some(known) => *known,
            None => (0xBF36, 11),
        };
        let mut answer = answers::of_card(tag);
        edits.apply(place, &mut answer);
        self.note_success(&answer);
        answer
    }

    /// A success is what the card reports as one, in a form that can be read; or, where its result can't be read, the
    /// profile in its list.
    fn note_success(&mut self, answer: &[u8]) {
        let listed = answer.starts_with(&[0xBF, 0x2D])
            && answer.windows(10).any(|bytes| bytes == answers::ICCID);
        let result = find_result(answer);
        self.success |= listed || result;
    }
}

/// Whether a ProfileInstallationResult whose finalResult is a success is in there: the answer itself, or a notification.
fn find_result(answer: &[u8]) -> bool {
    fn inside(tlv: &Tlv<'_>, depth: usize) -> bool {
        let success = |field: &Tlv<'_>| {
            field.tag == 0xA2 && field.children().any().is_ok_and(|c| c.tag == 0xA0)
        };
        tlv.children().filter_map(Result::ok).any(|child| {
            tlv.tag == 0xBF27 && success(&child) || depth < 5 && inside(&child, depth + 1)
        })
    }
    Tlv::parse(answer).is_ok_and(|tlv| inside(&tlv, 0))
}

impl Apdu for HostileCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        check(command);
        let mut inside = self.inside.lock().expect("lock");
        inside.apdus += 1;
        assert!(inside.apdus < MAX_APDUS, "an exchange without end");
        let edits = self.edits.lock().expect("lock");
        let number = inside.apdus;
        let mut answer = inside.execute(command, &edits);
        if let Some(other) = edits.response(number) {
            answer = other.to_vec();
            inside.note_success(answer.split_at(answer.len().saturating_sub(2)).0);
        }
        if number > PATIENCE || !(2..=258).contains(&answer.len()) {
            return Err(TransportError::Length {
                address: "hostile".into(),
                got: answer.len(),
            });
        }
        Ok(answer)
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(vec![0x3B, 0])
    }
}

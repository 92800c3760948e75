//! The card's end of T=1': answers blocks, collects chains, hands whole APDUs out.
//! ISO/IEC 7816-3 §11.6, GPC_FST_172. Sans-IO: the bus gives whole blocks and takes whole blocks.

use crate::block::{Acknowledge, Block, BlockError, NAD_TO_CARD, NAD_TO_HOST, Pcb, Supervisory};
use crate::block::{ifs_bytes, ifs_from};
use crate::cip::Cip;
use alloc::vec::Vec;

/// Longest command APDU: extended, with Lc and Le.
const MAX_APDU: usize = 4 + 3 + 65_535 + 2;
/// Information field that the host takes before it says S(IFS).
const DEFAULT_IFSD: u16 = 254;

/// What the card does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this block.
    Send(Vec<u8>),
    /// Execute this APDU, then call [`Device::answer`].
    Execute(Vec<u8>),
    /// Reset the card, then send this block.
    Reset(Vec<u8>),
    /// The host has given the time that was asked for: go on executing.
    Continue,
    /// Nothing: the block was for somebody else.
    Silent,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The host sends.
    Listening,
    /// The APDU is being executed.
    Executing,
    /// S(WTX request) was sent while the APDU is being executed.
    WantsTime,
    /// The answer goes out in pieces; this is what is left after the block that was sent last.
    Answering(Vec<u8>),
}

/// The card's end.
#[derive(Debug, Clone)]
pub struct Device {
    cip: Cip,
    ifsd: u16,
    state: State,
    /// N(S) of the next I-block that is sent.
    send: u8,
    /// N(S) of the next I-block that is received.
    receive: u8,
    chain: Vec<u8>,
    /// What was sent last, to be sent again on demand.
    last: Vec<u8>,
    /// N(S) of the last I-block that was sent, while it may be asked for again.
    unacknowledged: Option<u8>,
}

impl Device {
    /// A card that has just got power.
    #[must_use]
    pub fn new(cip: Cip) -> Self {
        Self {
            cip,
            ifsd: DEFAULT_IFSD,
            state: State::Listening,
            send: 0,
            receive: 0,
            chain: Vec::new(),
            last: Vec::new(),
            unacknowledged: None,
        }
    }

    /// A block has come; `bytes` is what the bus delivered, broken or not.
    pub fn block(&mut self, bytes: &[u8]) -> Step {
        let block = match Block::decode(bytes, NAD_TO_CARD) {
            Ok(block) => block,
            Err(BlockError::Address) => return Step::Silent,
            Err(error) => return self.refuse(error),
        };
        match block.pcb {
            Pcb::S { kind, response } => self.supervise(kind, response, block.inf),
            Pcb::R { nr, .. } => self.acknowledged(nr),
            Pcb::I { ns, more } => self.piece(ns, more, block.inf),
        }
    }

    /// The answer to the APDU that was executed; the block to send.
    pub fn answer(&mut self, response: &[u8]) -> Vec<u8> {
        self.piece_out(response.to_vec())
    }

    /// The APDU needs more time: the block that asks for `multiplier` block waiting times. Its answer
    /// comes as [`Step::Continue`].
    pub fn extend(&mut self, multiplier: u8) -> Vec<u8> {
        self.state = State::WantsTime;
        self.s(Supervisory::Wtx, false, &[multiplier.max(1)])
    }

    /// Begins anew, as after power-on.
    pub fn restart(&mut self) {
        *self = Self::new(self.cip.clone());
    }

    fn supervise(&mut self, kind: Supervisory, response: bool, inf: &[u8]) -> Step {
        if response {
            return match (kind, &self.state) {
                (Supervisory::Wtx, State::WantsTime) => {
                    self.state = State::Executing;
                    Step::Continue
                }
                (Supervisory::Abort, _) => self.r(Acknowledge::Free),
                _ => self.r(Acknowledge::Other),
            };
        }
        Step::Send(match kind {
            Supervisory::Resynch => {
                // The answer to a command that is being executed is nobody's any more.
                self.synchronise();
                self.s(kind, true, &[])
            }
            Supervisory::Ifs => match ifs_from(inf) {
                Some(ifs) => {
                    self.ifsd = ifs;
                    self.s(kind, true, &ifs_bytes(ifs))
                }
                None => return self.r(Acknowledge::Other),
            },
            Supervisory::Abort => {
                self.chain.clear();
                self.state = State::Listening;
                self.unacknowledged = None;
                self.s(kind, true, &[])
            }
            Supervisory::Cip => {
                let cip = self.cip.encode();
                self.s(kind, true, &cip)
            }
            Supervisory::Release => self.s(kind, true, &[]),
            Supervisory::Swr => {
                self.restart();
                return Step::Reset(self.s(kind, true, &[]));
            }
            // Only the card asks for time.
            Supervisory::Wtx => return self.r(Acknowledge::Other),
        })
    }

    fn synchronise(&mut self) {
        (self.send, self.receive) = (0, 0);
        self.chain.clear();
        self.state = State::Listening;
        self.unacknowledged = None;
    }

    fn acknowledged(&mut self, nr: u8) -> Step {
        match (&mut self.state, self.unacknowledged) {
            // S(WTX request) got lost.
            (State::WantsTime, _) => Step::Send(self.last.clone()),
            // The I-block that was sent last is wanted again.
            (_, Some(sent)) if sent == nr => Step::Send(self.last.clone()),
            // It has arrived: the next piece.
            (State::Answering(rest), Some(_)) => {
                let rest = core::mem::take(rest);
                Step::Send(self.piece_out(rest))
            }
            // The host has heard nothing: tell what is expected from it.
            _ => self.r(Acknowledge::Free),
        }
    }

    fn piece(&mut self, ns: u8, more: bool, inf: &[u8]) -> Step {
        let busy = matches!(self.state, State::Executing | State::WantsTime);
        if busy || ns != self.receive || inf.len() > usize::from(self.cip.ifsc) {
            return self.r(Acknowledge::Other);
        }
        if self.chain.len() + inf.len() > MAX_APDU {
            self.chain.clear();
            return Step::Send(self.s(Supervisory::Abort, false, &[]));
        }
        self.receive ^= 1;
        self.unacknowledged = None;
        self.state = State::Listening;
        self.chain.extend_from_slice(inf);
        if more {
            return self.r(Acknowledge::Free);
        }
        self.state = State::Executing;
        Step::Execute(core::mem::take(&mut self.chain))
    }

    /// The next I-block with what fits of `rest`.
    fn piece_out(&mut self, mut rest: Vec<u8>) -> Vec<u8> {
        let more = rest.len() > usize::from(self.ifsd);
        let tail = rest.split_off(rest.len().min(usize::from(self.ifsd)));
        let ns = self.send;
        self.send ^= 1;
        self.unacknowledged = Some(ns);
        self.state = if more {
            State::Answering(tail)
        } else {
            State::Listening
        };
        self.remember(Pcb::I { ns, more }, &rest)
    }

    /// An R-block because of a block that could not be used.
    fn refuse(&self, error: BlockError) -> Step {
        self.r(match error {
            BlockError::Crc => Acknowledge::Crc,
            _ => Acknowledge::Other,
        })
    }

    fn r(&self, why: Acknowledge) -> Step {
        let nr = self.receive;
        let block = Block {
            pcb: Pcb::R { nr, why },
            inf: &[],
        };
        // It is not kept: an I-block before it may still be asked for.
        Step::Send(block.encode(NAD_TO_HOST))
    }

    fn s(&mut self, kind: Supervisory, response: bool, inf: &[u8]) -> Vec<u8> {
        if response {
            let pcb = Pcb::S { kind, response };
            return Block { pcb, inf }.encode(NAD_TO_HOST);
        }
        self.remember(Pcb::S { kind, response }, inf)
    }

    fn remember(&mut self, pcb: Pcb, inf: &[u8]) -> Vec<u8> {
        self.last = Block { pcb, inf }.encode(NAD_TO_HOST);
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(pcb: u8, inf: &[u8]) -> Vec<u8> {
        let pcb = Pcb::from_byte(pcb).unwrap();
        Block { pcb, inf }.encode(NAD_TO_CARD)
    }

    #[track_caller]
    fn sent(step: Step, pcb: u8, inf: &[u8]) {
        let Step::Send(bytes) = step else {
            panic!("{step:?}");
        };
        let block = Block::decode(&bytes, NAD_TO_HOST).unwrap();
        assert_eq!((block.pcb.to_byte(), block.inf), (pcb, inf));
    }

    #[test]
    fn a_chain_comes_in_and_a_chain_goes_out() {
        let mut card = Device::new(Cip::spi());
        sent(card.block(&host(0xC1, &[4])), 0xE1, &[4]);
        sent(card.block(&host(0x20, &[1, 2])), 0x90, &[]);
        // A repeated piece is not taken twice.
        sent(card.block(&host(0x20, &[1, 2])), 0x92, &[]);
        let step = card.block(&host(0x40, &[3]));
        assert_eq!(step, Step::Execute(alloc::vec![1, 2, 3]));
        let time = card.extend(2);
        sent(Step::Send(time), 0xC3, &[2]);
        // The request for time is repeated while the host has not heard it.
        sent(card.block(&host(0x82, &[])), 0xC3, &[2]);
        assert_eq!(card.block(&host(0xE3, &[2])), Step::Continue);
        let first = card.answer(&[10, 11, 12, 13, 14]);
        sent(Step::Send(first), 0x20, &[10, 11, 12, 13]);
        // Asked for again, then acknowledged.
        sent(card.block(&host(0x81, &[])), 0x20, &[10, 11, 12, 13]);
        sent(card.block(&host(0x90, &[])), 0x40, &[14]);
        sent(card.block(&host(0x92, &[])), 0x40, &[14]);
    }

    #[test]
    fn broken_and_foreign_blocks() {
        let mut card = Device::new(Cip::spi());
        let mut block = host(0x00, &[0, 0xA4, 0, 0]);
        block[5] ^= 1;
        sent(card.block(&block), 0x81, &[]);
        sent(card.block(&[]), 0x82, &[]);
        let pcb = Pcb::I { ns: 0, more: false };
        let foreign = Block { pcb, inf: &[1] }.encode(0x31);
        assert_eq!(card.block(&foreign), Step::Silent);
        sent(card.block(&host(0x40, &[1])), 0x82, &[]);
        sent(card.block(&host(0x00, &[1; 255])), 0x82, &[]);
        sent(card.block(&host(0xC3, &[1])), 0x82, &[]);
        sent(card.block(&host(0xC1, &[0])), 0x82, &[]);
    }

    #[test]
    fn both_ends_begin_anew() {
        let mut card = Device::new(Cip::i2c());
        let step = card.block(&host(0x00, &[9]));
        assert_eq!(step, Step::Execute(alloc::vec![9]));
        card.answer(&[0x90, 0]);
        sent(card.block(&host(0x60, &[1])), 0x80, &[]);
        sent(card.block(&host(0xC0, &[])), 0xE0, &[]);
        assert_eq!(card.block(&host(0x00, &[7])), Step::Execute(alloc::vec![7]));
        card.answer(&[0x90, 0]);
        let Step::Reset(block) = card.block(&host(0xCF, &[])) else {
            panic!("no reset");
        };
        sent(Step::Send(block), 0xEF, &[]);
        let cip = Cip::i2c().encode();
        sent(card.block(&host(0xC4, &[])), 0xE4, &cip);
        sent(card.block(&host(0xC6, &[])), 0xE6, &[]);
        sent(card.block(&host(0xC2, &[])), 0xE2, &[]);
    }

    #[test]
    fn a_chain_that_never_ends_is_given_up() {
        let mut card = Device::new(Cip::spi());
        let mut ns = 0;
        for _ in 0..MAX_APDU / 254 {
            sent(
                card.block(&host(0x20 | ns << 6, &[0; 254])),
                0x80 | (ns ^ 1) << 4,
                &[],
            );
            ns ^= 1;
        }
        sent(card.block(&host(0x20 | ns << 6, &[0; 254])), 0xC2, &[]);
    }
}

//! The host's end of T=1': sends an APDU in blocks, repeats what got lost, gives time when it is asked
//! for. ISO/IEC 7816-3 §11.6, GPC_FST_172. Sans-IO: bytes in, bytes out, silence is told.

use crate::block::{Acknowledge, Block, BlockError, NAD_TO_CARD, NAD_TO_HOST, Pcb, Supervisory};
use crate::block::{ifs_bytes, ifs_from};
use crate::cip::{Cip, CipError};
use alloc::vec::Vec;

/// Information field that the card takes before it has said more in S(CIP).
const DEFAULT_IFSC: u16 = 8;
/// Block waiting time before S(CIP), ms.
const DEFAULT_BWT: u16 = 300;
/// Attempts at one block before both ends begin anew.
const TRIES: u8 = 3;
/// Most times that a card wants time or another block size before it goes on with a command: 1,000
/// extensions are minutes with any block waiting time that a card needs.
const MAX_WISHES: u16 = 1000;
/// Longest response APDU.
const MAX_RESPONSE: usize = 65_536 + 2;

/// What is wanted from the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Its interface parameters; the first request after power-on.
    Parameters,
    /// The response to a command APDU.
    Apdu(&'a [u8]),
    /// That it takes answers in blocks with so many bytes of information.
    BlockSize(u16),
    /// A reset without power being cut.
    Reset,
    /// That it knows it is not needed for now.
    Release,
}

/// What the host does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this block, then wait for one.
    Send(Vec<u8>),
    /// Done: the response APDU, or what the S-block carried.
    Done(Vec<u8>),
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither repetition nor a new beginning helped.
    #[error("the card does not answer")]
    Lost,
    /// Both ends had to begin anew: whether the command was executed is not known.
    #[error("the link had to be synchronised; whether the command was executed is not known")]
    Resynchronised,
    /// The card gave the command up.
    #[error("the card has given the command up")]
    Aborted,
    /// The response is too long.
    #[error("the card's response is too long")]
    TooLong,
    /// The parameters can't be used.
    #[error(transparent)]
    Parameters(#[from] CipError),
}

impl HostError {
    /// Did the request end while the card was in the middle of it?
    const fn mid_way(self) -> bool {
        matches!(self, Self::Lost | Self::Aborted | Self::TooLong)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Pieces of the command go out.
    Sending,
    /// Pieces of the response come in.
    Receiving,
    /// An S-request waits for its response.
    Supervising(Supervisory),
    /// S(RESYNCH) after too many errors.
    Recovering,
    /// S(RESYNCH) before a command, because the last request ended in the middle.
    Realigning,
}

/// The host's end.
#[derive(Debug, Clone)]
pub struct Host {
    ifsc: u16,
    bwt: u16,
    /// Multiple of the block waiting time that the card has asked for.
    extension: u8,
    phase: Phase,
    send: u8,
    receive: u8,
    command: Vec<u8>,
    /// How much of the command has been acknowledged.
    done: usize,
    /// Bytes of the command in the block that was sent last. The card may change its block size
    /// before it acknowledges that block.
    in_flight: usize,
    response: Vec<u8>,
    /// The block that is repeated when its answer does not come.
    last: Vec<u8>,
    tries: u8,
    /// S-requests of the card since the last piece in either direction.
    wishes: u16,
    aborted: bool,
    /// The last request ended with sequence numbers that the card may not share. An R-block that
    /// asks for a piece again would then look like the acknowledgement of that piece.
    adrift: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host that knows nothing of its card.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ifsc: DEFAULT_IFSC,
            bwt: DEFAULT_BWT,
            extension: 1,
            phase: Phase::Receiving,
            send: 0,
            receive: 0,
            command: Vec::new(),
            done: 0,
            in_flight: 0,
            response: Vec::new(),
            last: Vec::new(),
            tries: 0,
            wishes: 0,
            aborted: false,
            adrift: false,
        }
    }

    /// How long the next block may take, ms.
    #[must_use]
    pub fn patience(&self) -> u32 {
        u32::from(self.bwt) * u32::from(self.extension.max(1))
    }

    /// Begins a request: the block to send.
    pub fn begin(&mut self, request: Request<'_>) -> Vec<u8> {
        (self.tries, self.extension, self.aborted) = (0, 1, false);
        self.wishes = 0;
        let (kind, inf) = match request {
            Request::Apdu(apdu) => {
                self.command = apdu.to_vec();
                self.response.clear();
                self.done = 0;
                if self.adrift {
                    return self.resynch(Phase::Realigning);
                }
                self.phase = Phase::Sending;
                return self.piece();
            }
            Request::Parameters => (Supervisory::Cip, Vec::new()),
            Request::BlockSize(size) => (Supervisory::Ifs, ifs_bytes(size)),
            Request::Reset => (Supervisory::Swr, Vec::new()),
            Request::Release => (Supervisory::Release, Vec::new()),
        };
        self.phase = Phase::Supervising(kind);
        self.keep(
            Pcb::S {
                kind,
                response: false,
            },
            &inf,
        )
    }

    /// A block has come, broken or not.
    ///
    /// # Errors
    /// [`HostError`]: the request is over.
    pub fn received(&mut self, bytes: &[u8]) -> Result<Next, HostError> {
        let next = self.understood(bytes);
        self.adrift |= next.as_ref().is_err_and(|error| error.mid_way());
        next
    }

    fn understood(&mut self, bytes: &[u8]) -> Result<Next, HostError> {
        self.extension = 1;
        let block = match Block::decode(bytes, NAD_TO_HOST) {
            Ok(block) => block,
            Err(BlockError::Crc) => return self.again(Acknowledge::Crc),
            Err(_) => return self.again(Acknowledge::Other),
        };
        match block.pcb {
            Pcb::I { ns, more } => self.piece_in(ns, more, block.inf),
            Pcb::R { nr, .. } => self.acknowledged(nr),
            Pcb::S { kind, response } => self.supervised(kind, response, block.inf),
        }
    }

    /// No block has come in time.
    ///
    /// # Errors
    /// As [`Host::received`].
    pub fn silent(&mut self) -> Result<Next, HostError> {
        self.extension = 1;
        let next = match self.aborted {
            true => Err(HostError::Aborted),
            false => self.again(Acknowledge::Other),
        };
        self.adrift |= next.as_ref().is_err_and(|error| error.mid_way());
        next
    }

    fn piece(&mut self) -> Vec<u8> {
        let rest = &self.command[self.done..];
        let len = rest.len().min(usize::from(self.ifsc));
        let inf = rest[..len].to_vec();
        let more = self.done + len < self.command.len();
        self.in_flight = len;
        self.keep(
            Pcb::I {
                ns: self.send,
                more,
            },
            &inf,
        )
    }

    fn piece_in(&mut self, ns: u8, more: bool, inf: &[u8]) -> Result<Next, HostError> {
        match self.phase {
            Phase::Sending if self.done + self.in_flight == self.command.len() => {
                if ns != self.receive {
                    return self.again(Acknowledge::Other);
                }
                // The answer begins: the command has arrived.
                self.send ^= 1;
                self.phase = Phase::Receiving;
            }
            Phase::Receiving if ns == self.receive => {}
            _ => return self.again(Acknowledge::Other),
        }
        self.receive ^= 1;
        (self.tries, self.wishes) = (0, 0);
        if self.response.len() + inf.len() > MAX_RESPONSE {
            return Err(HostError::TooLong);
        }
        self.response.extend_from_slice(inf);
        if more {
            return Ok(Next::Send(self.r(Acknowledge::Free)));
        }
        Ok(Next::Done(core::mem::take(&mut self.response)))
    }

    fn acknowledged(&mut self, nr: u8) -> Result<Next, HostError> {
        if self.aborted {
            return Err(HostError::Aborted);
        }
        match self.phase {
            Phase::Sending => {
                let last = self.done + self.in_flight == self.command.len();
                if nr != self.send && !last {
                    self.done += self.in_flight;
                    self.send ^= 1;
                    (self.tries, self.wishes) = (0, 0);
                    return Ok(Next::Send(self.piece()));
                }
                if nr == self.send {
                    // The card has not got it.
                    return self.repeat(|host| host.piece());
                }
                // It has, and its answer got lost.
                self.again(Acknowledge::Other)
            }
            Phase::Receiving => self.again(Acknowledge::Other),
            Phase::Supervising(_) | Phase::Recovering | Phase::Realigning => {
                self.repeat(|host| host.last.clone())
            }
        }
    }

    fn supervised(
        &mut self,
        kind: Supervisory,
        response: bool,
        inf: &[u8],
    ) -> Result<Next, HostError> {
        if response {
            return self.confirmed(kind, inf);
        }
        self.wishes += 1;
        if self.wishes > MAX_WISHES {
            return Err(HostError::Lost);
        }
        let answer = match kind {
            Supervisory::Wtx => {
                let [multiplier] = inf else {
                    return self.again(Acknowledge::Other);
                };
                self.extension = (*multiplier).max(1);
                inf.to_vec()
            }
            Supervisory::Ifs => match ifs_from(inf) {
                Some(ifs) => {
                    self.ifsc = ifs;
                    ifs_bytes(ifs)
                }
                None => return self.again(Acknowledge::Other),
            },
            Supervisory::Abort => {
                // Nothing more of this command; the next one begins with the number that is expected.
                self.aborted = true;
                Vec::new()
            }
            _ => return self.again(Acknowledge::Other),
        };
        self.tries = 0;
        let pcb = Pcb::S {
            kind,
            response: true,
        };
        // The request for the answer stays what it was: this block is not repeated.
        Ok(Next::Send(Block { pcb, inf: &answer }.encode(NAD_TO_CARD)))
    }

    fn confirmed(&mut self, kind: Supervisory, inf: &[u8]) -> Result<Next, HostError> {
        match self.phase {
            Phase::Recovering if kind == Supervisory::Resynch => {
                (self.send, self.receive, self.adrift) = (0, 0, false);
                Err(HostError::Resynchronised)
            }
            Phase::Realigning if kind == Supervisory::Resynch => {
                (self.send, self.receive, self.adrift) = (0, 0, false);
                (self.tries, self.phase) = (0, Phase::Sending);
                Ok(Next::Send(self.piece()))
            }
            Phase::Supervising(asked) if asked == kind => {
                match kind {
                    Supervisory::Cip => {
                        let cip = Cip::decode(inf)?;
                        (self.ifsc, self.bwt) = (cip.ifsc, cip.bwt.max(1));
                    }
                    Supervisory::Swr => {
                        (self.send, self.receive, self.adrift) = (0, 0, false);
                    }
                    _ => {}
                }
                Ok(Next::Done(inf.to_vec()))
            }
            _ => self.again(Acknowledge::Other),
        }
    }

    /// The answer was of no use, or there was none: it is asked for again.
    fn again(&mut self, why: Acknowledge) -> Result<Next, HostError> {
        match self.phase {
            Phase::Sending | Phase::Receiving => self.repeat(|host| host.r(why)),
            Phase::Supervising(_) | Phase::Recovering | Phase::Realigning => {
                self.repeat(|host| host.last.clone())
            }
        }
    }

    fn repeat(&mut self, block: impl FnOnce(&mut Self) -> Vec<u8>) -> Result<Next, HostError> {
        self.tries += 1;
        if self.tries <= TRIES {
            return Ok(Next::Send(block(self)));
        }
        if matches!(self.phase, Phase::Recovering | Phase::Realigning) {
            return Err(HostError::Lost);
        }
        self.tries = 0;
        Ok(Next::Send(self.resynch(Phase::Recovering)))
    }

    fn resynch(&mut self, phase: Phase) -> Vec<u8> {
        self.phase = phase;
        let pcb = Pcb::S {
            kind: Supervisory::Resynch,
            response: false,
        };
        self.keep(pcb, &[])
    }

    fn r(&self, why: Acknowledge) -> Vec<u8> {
        let nr = self.receive;
        let pcb = Pcb::R { nr, why };
        Block { pcb, inf: &[] }.encode(NAD_TO_CARD)
    }

    fn keep(&mut self, pcb: Pcb, inf: &[u8]) -> Vec<u8> {
        self.last = Block { pcb, inf }.encode(NAD_TO_CARD);
        self.last.clone()
    }
}

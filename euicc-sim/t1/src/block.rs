//! One block on the bus: NAD, PCB, two bytes of length, information, CRC.
//! GPC_FST_172, block frame; the PCB is that of ISO/IEC 7816-3 §11.3.2.

use crate::crc::crc16;
use alloc::vec::Vec;

/// Node address of blocks from the host device to the secure element.
pub const NAD_TO_CARD: u8 = 0x21;
/// Node address of blocks from the secure element to the host device.
pub const NAD_TO_HOST: u8 = 0x12;
/// Largest information field, bytes.
pub const MAX_IFS: u16 = 0x0FF9;

/// Bytes before the information field.
pub(crate) const PROLOGUE: usize = 4;
/// Bytes after it.
pub(crate) const EPILOGUE: usize = 2;

/// What an R-block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// Received, go on.
    Free,
    /// The CRC was wrong.
    Crc,
    /// Something else was wrong, or nothing came.
    Other,
}

/// What an S-block is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisory {
    /// Both ends begin anew.
    Resynch,
    /// Size of the information field.
    Ifs,
    /// The chain is given up.
    Abort,
    /// The card needs more time.
    Wtx,
    /// Communication Interface Parameters.
    Cip,
    /// The host needs the card no more for now.
    Release,
    /// Software reset of the card.
    Swr,
}

impl Supervisory {
    const ALL: [(Self, u8); 7] = [
        (Self::Resynch, 0x0),
        (Self::Ifs, 0x1),
        (Self::Abort, 0x2),
        (Self::Wtx, 0x3),
        (Self::Cip, 0x4),
        (Self::Release, 0x6),
        (Self::Swr, 0xF),
    ];
}

/// The protocol control byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pcb {
    /// Carries a piece of an APDU.
    I {
        /// Send sequence number N(S), 0 or 1.
        ns: u8,
        /// Another piece follows (M).
        more: bool,
    },
    /// Acknowledges or asks again.
    R {
        /// Number N(R) of the I-block that is expected.
        nr: u8,
        /// Whether it acknowledges, or what was wrong with the block.
        why: Acknowledge,
    },
    /// Controls the link.
    S {
        /// What it is about.
        kind: Supervisory,
        /// A response instead of a request.
        response: bool,
    },
}

impl Pcb {
    /// The byte.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::I { ns, more } => ns << 6 | u8::from(more) << 5,
            Self::R { nr, why } => {
                let why = match why {
                    Acknowledge::Free => 0,
                    Acknowledge::Crc => 1,
                    Acknowledge::Other => 2,
                };
                0x80 | nr << 4 | why
            }
            Self::S { kind, response } => {
                let code = Supervisory::ALL.iter().find(|(k, _)| *k == kind);
                0xC0 | u8::from(response) << 5 | code.map_or(0, |(_, code)| *code)
            }
        }
    }

    /// The byte's meaning; `None` for one that the protocol does not have.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        if byte & 0x80 == 0 {
            let known = byte & 0x1F == 0;
            return known.then_some(Self::I {
                ns: byte >> 6 & 1,
                more: byte & 0x20 != 0,
            });
        }
        if byte & 0x40 == 0 {
            let why = match byte & 0x2F {
                0 => Acknowledge::Free,
                1 => Acknowledge::Crc,
                2 => Acknowledge::Other,
                _ => return None,
            };
            let nr = byte >> 4 & 1;
            return Some(Self::R { nr, why });
        }
        let code = byte & 0x1F;
        let (kind, _) = Supervisory::ALL.iter().find(|(_, c)| *c == code)?;
        Some(Self::S {
            kind: *kind,
            response: byte & 0x20 != 0,
        })
    }
}

/// Why bytes are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Nothing came, fewer bytes than the block says, or more than fit.
    #[error("a block is incomplete or too long")]
    Length,
    /// Its check is wrong.
    #[error("the CRC of a block is wrong")]
    Crc,
    /// It is addressed to somebody else.
    #[error("a block has another node address")]
    Address,
    /// Its control byte is unknown.
    #[error("the control byte of a block is unknown")]
    Control,
}

/// A block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Control byte.
    pub pcb: Pcb,
    /// Information field, at most [`MAX_IFS`] bytes.
    pub inf: &'a [u8],
}

impl<'a> Block<'a> {
    /// The bytes on the bus. An information field beyond [`MAX_IFS`] is cut.
    #[must_use]
    pub fn encode(&self, nad: u8) -> Vec<u8> {
        let inf = &self.inf[..self.inf.len().min(usize::from(MAX_IFS))];
        let mut out = Vec::with_capacity(PROLOGUE + inf.len() + EPILOGUE);
        out.extend_from_slice(&[nad, self.pcb.to_byte()]);
        out.extend_from_slice(&(inf.len() as u16).to_be_bytes());
        out.extend_from_slice(inf);
        let crc = crc16(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Takes the bytes apart.
    ///
    /// # Errors
    /// [`BlockError`]; a wrong CRC is told before everything that it makes doubtful.
    pub fn decode(bytes: &'a [u8], nad: u8) -> Result<Self, BlockError> {
        let (body, crc) = bytes.split_last_chunk::<2>().ok_or(BlockError::Length)?;
        let (prologue, inf) = body.split_at_checked(PROLOGUE).ok_or(BlockError::Length)?;
        if crc16(body) != u16::from_be_bytes(*crc) {
            return Err(BlockError::Crc);
        }
        if usize::from(u16::from_be_bytes([prologue[2], prologue[3]])) != inf.len() {
            return Err(BlockError::Length);
        }
        if prologue[0] != nad {
            return Err(BlockError::Address);
        }
        let pcb = Pcb::from_byte(prologue[1]).ok_or(BlockError::Control)?;
        Ok(Self { pcb, inf })
    }
}

/// An IFS as S(IFS) carries it: one byte up to FE, two beyond.
pub(crate) fn ifs_bytes(ifs: u16) -> Vec<u8> {
    match u8::try_from(ifs) {
        Ok(small @ ..=0xFE) => alloc::vec![small],
        _ => ifs.to_be_bytes().to_vec(),
    }
}

/// The IFS in an S(IFS); `None` when it is out of range.
pub(crate) fn ifs_from(bytes: &[u8]) -> Option<u16> {
    let ifs = match bytes {
        [one] => u16::from(*one),
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => return None,
    };
    (1..=MAX_IFS).contains(&ifs).then_some(ifs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_have_the_values_of_the_specification() {
        let s = |kind, response| Pcb::S { kind, response }.to_byte();
        assert_eq!(s(Supervisory::Resynch, false), 0xC0);
        assert_eq!(s(Supervisory::Ifs, true), 0xE1);
        assert_eq!(s(Supervisory::Abort, false), 0xC2);
        assert_eq!(s(Supervisory::Wtx, true), 0xE3);
        assert_eq!(s(Supervisory::Cip, false), 0xC4);
        assert_eq!(s(Supervisory::Release, false), 0xC6);
        assert_eq!(s(Supervisory::Swr, true), 0xEF);
        assert_eq!(Pcb::I { ns: 1, more: true }.to_byte(), 0x60);
        let why = Acknowledge::Crc;
        assert_eq!(Pcb::R { nr: 1, why }.to_byte(), 0x91);
        let known = (0..=0xFF).filter_map(|b| Some((b, Pcb::from_byte(b)?)));
        let known: Vec<_> = known.collect();
        assert_eq!(known.len(), 4 + 6 + 14);
        for (byte, pcb) in known {
            assert_eq!(pcb.to_byte(), byte);
        }
    }

    #[test]
    fn a_changed_bit_is_noticed_wherever_it_is() {
        let pcb = Pcb::I { ns: 0, more: false };
        let inf = &[0x00, 0xA4, 0x04, 0x00];
        let block = Block { pcb, inf };
        let bytes = block.encode(NAD_TO_CARD);
        assert_eq!(bytes[..8], [0x21, 0x00, 0x00, 0x04, 0x00, 0xA4, 0x04, 0x00]);
        assert_eq!(Block::decode(&bytes, NAD_TO_CARD), Ok(block));
        assert_eq!(Block::decode(&bytes, NAD_TO_HOST), Err(BlockError::Address));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::decode(&bad, NAD_TO_CARD).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Block::decode(&bytes[..len], NAD_TO_CARD).is_err());
        }
    }

    #[test]
    fn sizes_have_one_byte_or_two() {
        assert_eq!(ifs_bytes(0xFE), [0xFE]);
        assert_eq!(ifs_bytes(0xFF), [0, 0xFF]);
        assert_eq!(ifs_from(&[0x0F, 0xF9]), Some(MAX_IFS));
        assert_eq!(ifs_from(&[0x0F, 0xFA]), None);
        assert_eq!(ifs_from(&[0]), None);
        assert_eq!(ifs_from(&[]), None);
    }
}

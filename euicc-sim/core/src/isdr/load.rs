//! The stream of a Bound Profile Package: pieces in, whole segments out, in the order of §2.5.4.
//! SGP.22 §2.5.4, §2.5.5, §5.7.6. Buffers at most one segment.

use aid_rsp::bsp::MAX_SEGMENT;
use aid_rsp::es8::tags;
use aid_rsp::es10::{BppCommandId, ErrorReason};
use aid_rsp::tlv::{Tag, Tlv, parse_header};
use alloc::vec::Vec;

/// Longest InitialiseSecureChannel request, bytes.
const MAX_INITIALISE: usize = 512;

/// Longest segment that is taken. §2.5.3 says [`MAX_SEGMENT`]; osmo-smdpp fills it before padding, and
/// sends one AES block more.
const LONGEST_SEGMENT: usize = MAX_SEGMENT + 16;

/// Why the package is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) command: BppCommandId,
    pub(super) reason: ErrorReason,
    /// EUICCResponse of SAIP.
    pub(super) sima_response: Option<Vec<u8>>,
}

impl Failure {
    pub(super) const fn new(command: BppCommandId, reason: ErrorReason) -> Self {
        Self {
            command,
            reason,
            sima_response: None,
        }
    }
}

/// What a whole data object of the stream is.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// InitialiseSecureChannel.
    Initialise(Tlv<'a>),
    /// A segment of the sequence with this tag.
    Segment(Tag, Tlv<'a>),
    /// The sequence with this tag has ended.
    End(Tag),
}

/// A package that is being loaded.
#[derive(Debug, Default)]
pub(super) struct Load {
    buffer: Vec<u8>,
    /// Bytes of the package that haven't been consumed, once its header was read.
    rest: Option<usize>,
    /// The sequence that is open, and its bytes that haven't been consumed.
    open: Option<(Tag, usize)>,
    /// The data object at the top level that came last.
    last: Tag,
    /// Segments of the open sequence that were read.
    segments: usize,
}

impl Load {
    /// Is this a piece of the package, or another function between two of its data objects?
    pub(super) fn goes_on_with(&self, piece: &[u8]) -> bool {
        let initialise = self.last == 0 && piece.starts_with(&[0xBF, 0x23]);
        !self.buffer.is_empty() || piece.first() != Some(&0xBF) || initialise
    }

    /// Has the last byte of the package been consumed?
    pub(super) fn is_complete(&self) -> bool {
        self.rest == Some(0) && self.open.is_none()
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Where in the package the stream is, for error reports. Metadata with an icon takes more than
    /// one segment 88: whatever is wrong from the second one on is storeMetadata2's.
    pub(super) const fn command(&self) -> BppCommandId {
        let tag = match self.open {
            Some((tag, _)) => tag,
            None => self.last,
        };
        match tag {
            tags::FIRST_87 => BppCommandId::ConfigureIsdp,
            tags::SEQUENCE_OF_88 if self.is_continued() => BppCommandId::StoreMetadata2,
            tags::SEQUENCE_OF_88 => BppCommandId::StoreMetadata,
            tags::SECOND_87 => BppCommandId::ReplaceSessionKeys,
            tags::SEQUENCE_OF_86 => BppCommandId::LoadProfileElements,
            _ => BppCommandId::InitialiseSecureChannel,
        }
    }

    /// Is the open sequence behind its first segment, and not at its end?
    const fn is_continued(&self) -> bool {
        matches!(self.open, Some((_, left)) if left > 0) && self.segments > 0
    }

    fn structure_error(&self) -> Failure {
        let reason = match self.last {
            0 => ErrorReason::IncorrectInputValues,
            _ => ErrorReason::Scp03tStructureError,
        };
        Failure::new(self.command(), reason)
    }

    fn consume(&mut self, n: usize) -> Vec<u8> {
        let tail = self.buffer.split_off(n);
        self.rest = self.rest.map(|rest| rest.saturating_sub(n));
        core::mem::replace(&mut self.buffer, tail)
    }

    /// Hands the next whole part to `visit`; `Ok(false)` when more bytes are needed.
    ///
    /// # Errors
    /// A structure that is no bound profile package, or what `visit` found.
    pub(super) fn next(
        &mut self,
        visit: impl FnOnce(Part<'_>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        if let Some((sequence, 0)) = self.open {
            visit(Part::End(sequence))?;
            self.open = None;
            return Ok(true);
        }
        let header = parse_header(&self.buffer).map_err(|_| self.structure_error())?;
        let Some(header) = header else {
            return Ok(false);
        };
        let total = header.header_len.saturating_add(header.value_len);
        let Some(rest) = self.rest else {
            if header.tag != tags::BPP {
                return Err(self.structure_error());
            }
            self.consume(header.header_len);
            self.rest = Some(header.value_len);
            return Ok(true);
        };
        if total > rest {
            return Err(self.structure_error());
        }
        match self.open {
            Some((sequence, left)) => {
                let expected = match sequence {
                    tags::SEQUENCE_OF_88 => tags::SEGMENT_88,
                    tags::SEQUENCE_OF_86 => tags::SEGMENT_86,
                    _ => tags::SEGMENT_87,
                };
                if header.tag != expected || total > left || total > LONGEST_SEGMENT {
                    return Err(self.structure_error());
                }
                if self.buffer.len() < total {
                    return Ok(false);
                }
                let bytes = self.consume(total);
                self.open = Some((sequence, left - total));
                self.segments += 1;
                let segment = Tlv::parse(&bytes).map_err(|_| self.structure_error())?;
                visit(Part::Segment(sequence, segment))?;
            }
            None if self.last == 0 => {
                if header.tag != 0xBF23 || total > MAX_INITIALISE {
                    return Err(self.structure_error());
                }
                if self.buffer.len() < total {
                    return Ok(false);
                }
                let bytes = self.consume(total);
                let request = Tlv::parse(&bytes).map_err(|_| self.structure_error())?;
                visit(Part::Initialise(request))?;
                self.last = header.tag;
            }
            None => {
                let in_order = match header.tag {
                    tags::FIRST_87 => self.last == 0xBF23,
                    tags::SEQUENCE_OF_88 => self.last == tags::FIRST_87,
                    tags::SECOND_87 => self.last == tags::SEQUENCE_OF_88,
                    tags::SEQUENCE_OF_86 => {
                        matches!(self.last, tags::SEQUENCE_OF_88 | tags::SECOND_87)
                    }
                    _ => false,
                };
                if !in_order {
                    return Err(self.structure_error());
                }
                self.consume(header.header_len);
                self.open = Some((header.tag, header.value_len));
                self.segments = 0;
                self.last = header.tag;
            }
        }
        Ok(true)
    }
}

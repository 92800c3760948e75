//! What every data object can do, and objects that carry the bytes a signature covers.

use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer, universal};
use alloc::vec::Vec;
use core::fmt;

/// A data object with one tag and typed content.
///
/// Unknown data objects at the end of a value are skipped (RSPDefinitions has EXTENSIBILITY IMPLIED).
pub trait DataObject: Sized {
    /// The tag.
    const TAG: Tag;

    /// Writes the data objects inside.
    fn write_value(&self, w: &mut Writer);

    /// Reads the data objects inside.
    ///
    /// # Errors
    /// The content is not of this type.
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError>;

    /// Writes the whole object.
    fn write(&self, w: &mut Writer) {
        w.constructed(Self::TAG, |w| self.write_value(w));
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// Another tag, or content that is not of this type.
    fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        if tlv.tag != Self::TAG {
            return Err(TlvError::UnexpectedTag {
                expected: Self::TAG,
                got: tlv.tag,
            });
        }
        Self::read_value(&mut tlv.children())
    }

    /// The DER bytes.
    fn to_vec(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.into_vec()
    }

    /// Reads exactly one object.
    ///
    /// # Errors
    /// Another tag, other content, bytes after it.
    fn from_slice(bytes: &[u8]) -> Result<Self, TlvError> {
        Self::read(&Tlv::parse(bytes)?)
    }
}

/// A value and the bytes that a signature covers: as received, or as written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    bytes: Vec<u8>,
}

impl<T: DataObject> Signed<T> {
    /// Encodes a value of one's own; sign [`Signed::bytes`].
    pub fn new(value: T) -> Self {
        let bytes = value.to_vec();
        Self { value, bytes }
    }

    /// Takes a received object and keeps its bytes.
    ///
    /// # Errors
    /// Not a `T`.
    pub fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            value: T::read(tlv)?,
            bytes: tlv.raw.to_vec(),
        })
    }

    /// The same from bytes that hold exactly one object.
    ///
    /// # Errors
    /// Not a `T`, or bytes after it.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, TlvError> {
        Self::read(&Tlv::parse(bytes)?)
    }
}

impl<T> Signed<T> {
    /// The value.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The bytes that are, or will be, signed: the whole data object.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }
}

/// Writes the CHOICE of a list (A0) and an error code (81) that card functions answer with.
pub(crate) fn write_list<T>(
    w: &mut Writer,
    list: Result<&[T], u8>,
    write: impl Fn(&T, &mut Writer),
) {
    match list {
        Ok(list) => w.constructed(0xA0, |w| list.iter().for_each(|entry| write(entry, w))),
        Err(code) => w.uint(0x81, u64::from(code)),
    };
}

/// Reads that CHOICE; the inner error is the code.
pub(crate) fn read_list<T>(
    r: &mut Reader<'_>,
    read: impl Fn(&Tlv<'_>) -> Result<T, TlvError>,
) -> Result<Result<Vec<T>, u64>, TlvError> {
    let tlv = r.any()?;
    match tlv.tag {
        0xA0 => {
            let mut list = Vec::new();
            let mut entries = tlv.children();
            while let Some(entry) = entries.read()? {
                list.push(read(&entry)?);
            }
            Ok(Ok(list))
        }
        0x81 => Ok(Err(tlv.uint()?)),
        got => Err(TlvError::UnexpectedTag {
            expected: 0xA0,
            got,
        }),
    }
}

/// Writes the refusal (A1) of a function that belongs to a session.
pub(crate) fn write_refusal(w: &mut Writer, id: TransactionId, code: u8) {
    w.constructed(0xA1, |w| {
        id.write(w);
        w.uint(universal::INTEGER, u64::from(code));
    });
}

/// Reads the content of that refusal.
pub(crate) fn read_refusal(r: &mut Reader<'_>) -> Result<(TransactionId, u64), TlvError> {
    let id = TransactionId::expect(r)?;
    Ok((id, r.expect(universal::INTEGER)?.uint()?))
}

/// A raw signature r‖s; 64 bytes on P-256, kept as received because a refusal must be able to say so.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// Longest signature of the curves in SGP.22, bytes, with room for wrong ones.
    pub const MAX_LEN: usize = 132;

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.primitive(super::tag::SIGNATURE, &self.0);
    }

    pub(crate) fn expect(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let tlv = r.expect(super::tag::SIGNATURE)?;
        Ok(Self(tlv.bytes(0, Self::MAX_LEN)?.to_vec()))
    }

    /// The whole data object 5F37, as `euiccSignature2` covers it of `smdpSignature2`.
    #[must_use]
    pub fn to_tlv(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.into_vec()
    }

    /// Reads a data object 5F37.
    ///
    /// # Errors
    /// Another tag, or too long.
    pub fn from_tlv(bytes: &[u8]) -> Result<Self, TlvError> {
        let mut r = Reader::new(bytes);
        let signature = Self::expect(&mut r)?;
        r.finish()?;
        Ok(signature)
    }
}

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<signature, {} bytes>", self.0.len())
    }
}

/// TransactionId of an RSP session: 1 to 16 bytes that the server chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    len: u8,
    bytes: [u8; 16],
}

impl TransactionId {
    /// Takes 1 to 16 bytes.
    #[must_use]
    pub fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let len = u8::try_from(id.len()).ok().filter(|n| *n > 0)?;
        Some(Self { len, bytes })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        Self::new(tlv.value).ok_or(TlvError::Value {
            tag: tlv.tag,
            reason: "a TransactionId has 1 to 16 bytes",
        })
    }

    pub(crate) fn expect(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Self::read(&r.expect(super::tag::TRANSACTION_ID)?)
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.primitive(super::tag::TRANSACTION_ID, self.as_bytes());
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|b| write!(f, "{b:02X}"))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

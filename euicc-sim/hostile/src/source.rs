//! Bytes as choices: what a structured target reads its steps from, and how seeds write them.
//! Fields come one after another; behind the end everything is zero.

use arbitrary::Unstructured;

/// The choices of one input.
pub(crate) struct Source<'a>(Unstructured<'a>);

impl<'a> Source<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// Is everything read?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Two bytes, the low one first.
    pub(crate) fn word(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A length in one byte, and that many bytes (fewer at the end).
    pub(crate) fn short(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    /// A length in two bytes, and that many bytes (fewer at the end).
    pub(crate) fn long(&mut self) -> &'a [u8] {
        let length = usize::from(self.word());
        self.take(length)
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let length = length.min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }
}

/// Changes `bytes` as the source says; how many edits comes first.
pub(crate) fn edit(source: &mut Source<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..source.byte() & 0x0F {
        let kind = source.byte();
        let at = usize::from(source.word()) % (bytes.len() + 1);
        match kind % 5 {
            0 => {
                let value = source.short();
                let end = bytes.len().min(at + value.len());
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
            1 => drop(bytes.splice(at..at, source.short().iter().copied())),
            2 => {
                let end = bytes.len().min(at + usize::from(source.byte()));
                bytes.drain(at..end);
            }
            3 => {
                let end = bytes.len().min(at + usize::from(source.byte()));
                bytes.extend_from_within(at..end);
            }
            _ => bytes.truncate(at),
        }
    }
}

/// Writes what a [`Source`] reads.
#[derive(Debug, Default, Clone)]
pub(crate) struct Choices(Vec<u8>);

impl Choices {
    pub(crate) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(crate) fn word(mut self, word: u16) -> Self {
        self.0.extend_from_slice(&word.to_le_bytes());
        self
    }

    pub(crate) fn short(mut self, bytes: &[u8]) -> Self {
        self.0.push(bytes.len() as u8);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn long(self, bytes: &[u8]) -> Self {
        let mut with_length = self.word(bytes.len() as u16);
        with_length.0.extend_from_slice(bytes);
        with_length
    }

    pub(crate) fn rest(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

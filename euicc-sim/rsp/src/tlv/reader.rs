//! Borrowing BER-TLV reader: X.690 §8.1, definite lengths of at most four bytes.
//! No allocation, no recursion; every slice stays inside the input.

use super::{Tag, TlvError};

/// Deepest nesting that [`validate`] accepts.
pub const MAX_DEPTH: usize = 24;

/// Tag and length of a data object whose value may not be there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The tag.
    pub tag: Tag,
    /// Bytes of tag and length together.
    pub header_len: usize,
    /// Bytes of the value.
    pub value_len: usize,
}

/// Is bit 6 of the first tag byte set: a constructed data object?
fn is_constructed(tag: Tag) -> bool {
    let bytes = tag.to_be_bytes();
    let first = bytes.iter().copied().find(|b| *b != 0).unwrap_or(0);
    first & 0x20 != 0
}

/// Reads tag and length; `Ok(None)` when more bytes are needed to know them.
///
/// # Errors
/// [`TlvError::TagTooLong`] and [`TlvError::LengthForm`].
pub fn parse_header(input: &[u8]) -> Result<Option<Header>, TlvError> {
    let Some((&first, mut rest)) = input.split_first() else {
        return Ok(None);
    };
    let mut tag = Tag::from(first);
    let mut header_len = 1;
    if first & 0x1F == 0x1F {
        loop {
            let Some((&b, tail)) = rest.split_first() else {
                return if header_len >= 3 {
                    Err(TlvError::TagTooLong)
                } else {
                    Ok(None)
                };
            };
            if header_len >= 3 {
                return Err(TlvError::TagTooLong);
            }
            tag = tag << 8 | Tag::from(b);
            header_len += 1;
            rest = tail;
            if b & 0x80 == 0 {
                break;
            }
        }
    }
    let Some((&l, rest)) = rest.split_first() else {
        return Ok(None);
    };
    header_len += 1;
    let value_len = if l < 0x80 {
        usize::from(l)
    } else {
        let n = usize::from(l & 0x7F);
        if n == 0 || n > 4 {
            return Err(TlvError::LengthForm { got: l });
        }
        let Some(bytes) = rest.get(..n) else {
            return Ok(None);
        };
        header_len += n;
        bytes
            .iter()
            .fold(0usize, |acc, b| acc << 8 | usize::from(*b))
    };
    Ok(Some(Header {
        tag,
        header_len,
        value_len,
    }))
}

/// One data object inside a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The tag.
    pub tag: Tag,
    /// The value.
    pub value: &'a [u8],
    /// Tag, length and value as received: what signatures cover.
    pub raw: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads the first data object of `input`; the second half of the pair is what follows it.
    ///
    /// # Errors
    /// When `input` doesn't start with a whole data object.
    pub fn split(input: &'a [u8]) -> Result<(Self, &'a [u8]), TlvError> {
        let Some(h) = parse_header(input)? else {
            return Err(TlvError::Truncated { needed: 1, got: 0 });
        };
        let after = input.get(h.header_len..).unwrap_or_default();
        if after.len() < h.value_len {
            return Err(TlvError::Truncated {
                needed: h.value_len,
                got: after.len(),
            });
        }
        let (value, rest) = after.split_at(h.value_len);
        let raw = &input[..h.header_len + h.value_len];
        Ok((
            Self {
                tag: h.tag,
                value,
                raw,
            },
            rest,
        ))
    }

    /// Reads `input` as exactly one data object.
    ///
    /// # Errors
    /// As [`Tlv::split`], and [`TlvError::Trailing`].
    pub fn parse(input: &'a [u8]) -> Result<Self, TlvError> {
        let (tlv, rest) = Self::split(input)?;
        if rest.is_empty() {
            Ok(tlv)
        } else {
            Err(TlvError::Trailing { count: rest.len() })
        }
    }

    /// Reads `input` as exactly one data object with this tag.
    ///
    /// # Errors
    /// As [`Tlv::parse`], and [`TlvError::UnexpectedTag`].
    pub fn parse_tag(input: &'a [u8], tag: Tag) -> Result<Self, TlvError> {
        let tlv = Self::parse(input)?;
        if tlv.tag == tag {
            Ok(tlv)
        } else {
            Err(TlvError::UnexpectedTag {
                expected: tag,
                got: tlv.tag,
            })
        }
    }

    /// A reader over the data objects inside this one.
    #[must_use]
    pub fn children(&self) -> Reader<'a> {
        Reader::new(self.value)
    }

    /// Is it a constructed data object?
    #[must_use]
    pub fn is_constructed(&self) -> bool {
        is_constructed(self.tag)
    }

    /// The value as a fixed-size array.
    ///
    /// # Errors
    /// [`TlvError::Value`] when the length differs.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], TlvError> {
        self.value.try_into().map_err(|_| TlvError::Value {
            tag: self.tag,
            reason: "wrong length",
        })
    }

    /// The value when its length is inside `min..=max`.
    ///
    /// # Errors
    /// [`TlvError::Value`] otherwise.
    pub fn bytes(&self, min: usize, max: usize) -> Result<&'a [u8], TlvError> {
        if (min..=max).contains(&self.value.len()) {
            Ok(self.value)
        } else {
            Err(TlvError::Value {
                tag: self.tag,
                reason: "length out of range",
            })
        }
    }

    /// The value as UTF-8 of at most `max` bytes.
    ///
    /// # Errors
    /// [`TlvError::Value`] otherwise.
    pub fn text(&self, max: usize) -> Result<&'a str, TlvError> {
        core::str::from_utf8(self.bytes(0, max)?).map_err(|_| TlvError::Value {
            tag: self.tag,
            reason: "not UTF-8",
        })
    }

    /// The value as a non-negative INTEGER of at most 64 bits.
    ///
    /// # Errors
    /// [`TlvError::Value`] when empty, negative or too big.
    pub fn uint(&self) -> Result<u64, TlvError> {
        super::uint_from(self.value).ok_or(TlvError::Value {
            tag: self.tag,
            reason: "not a non-negative INTEGER of at most 64 bits",
        })
    }

    /// The value as a BOOLEAN.
    ///
    /// # Errors
    /// [`TlvError::Value`] unless it is one byte.
    pub fn boolean(&self) -> Result<bool, TlvError> {
        match self.value {
            [b] => Ok(*b != 0),
            _ => Err(TlvError::Value {
                tag: self.tag,
                reason: "not a BOOLEAN",
            }),
        }
    }

    /// The value as a BIT STRING of named bits: bit 0 of the ASN.1 is bit 31 here (the most
    /// significant one). Bits above 31 are ignored (extensions).
    ///
    /// # Errors
    /// [`TlvError::Value`] when it is not a BIT STRING.
    pub fn bits(&self) -> Result<u32, TlvError> {
        super::bits_from(self.value).ok_or(TlvError::Value {
            tag: self.tag,
            reason: "not a BIT STRING",
        })
    }
}

/// Reads data objects one after another.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over a sequence of data objects.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// The bytes that are left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Is nothing left?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next tag, when there is a next data object.
    ///
    /// # Errors
    /// When the bytes that are left don't start with a tag and a length.
    pub fn peek_tag(&self) -> Result<Option<Tag>, TlvError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match parse_header(self.rest)? {
            Some(h) => Ok(Some(h.tag)),
            None => Err(TlvError::Truncated { needed: 1, got: 0 }),
        }
    }

    /// The next data object, `None` at the end.
    ///
    /// # Errors
    /// When the bytes that are left don't start with a whole data object.
    pub fn read(&mut self) -> Result<Option<Tlv<'a>>, TlvError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tlv, rest) = Tlv::split(self.rest)?;
        self.rest = rest;
        Ok(Some(tlv))
    }

    /// The next data object, which must exist.
    ///
    /// # Errors
    /// [`TlvError::Missing`] (tag 0) at the end, otherwise as [`Reader::read`].
    pub fn any(&mut self) -> Result<Tlv<'a>, TlvError> {
        self.read()?.ok_or(TlvError::Missing { expected: 0 })
    }

    /// The next data object, which must have this tag.
    ///
    /// # Errors
    /// [`TlvError::Missing`], [`TlvError::UnexpectedTag`], otherwise as [`Reader::read`].
    pub fn expect(&mut self, tag: Tag) -> Result<Tlv<'a>, TlvError> {
        let before = self.rest;
        match self.read()? {
            Some(tlv) if tlv.tag == tag => Ok(tlv),
            Some(tlv) => {
                self.rest = before;
                Err(TlvError::UnexpectedTag {
                    expected: tag,
                    got: tlv.tag,
                })
            }
            None => Err(TlvError::Missing { expected: tag }),
        }
    }

    /// The next data object when it has this tag; otherwise nothing is consumed.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Tlv<'a>>, TlvError> {
        if self.peek_tag()? == Some(tag) {
            self.read()
        } else {
            Ok(None)
        }
    }

    /// Skips data objects until one with this tag (extensibility: unknown ones are ignored).
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn find(&mut self, tag: Tag) -> Result<Option<Tlv<'a>>, TlvError> {
        while let Some(tlv) = self.read()? {
            if tlv.tag == tag {
                return Ok(Some(tlv));
            }
        }
        Ok(None)
    }

    /// Demands that nothing is left.
    ///
    /// # Errors
    /// [`TlvError::Trailing`].
    pub const fn finish(&self) -> Result<(), TlvError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(TlvError::Trailing {
                count: self.rest.len(),
            })
        }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Tlv<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(tlv) => tlv.map(Ok),
            Err(e) => {
                self.rest = &[];
                Some(Err(e))
            }
        }
    }
}

/// Checks that `input` is a sequence of data objects whose constructed ones are well-formed down
/// to the last level.
///
/// # Errors
/// The first violation, [`TlvError::TooDeep`] beyond [`MAX_DEPTH`] levels.
pub fn validate(input: &[u8]) -> Result<(), TlvError> {
    fn level(input: &[u8], depth: usize) -> Result<(), TlvError> {
        if depth > MAX_DEPTH {
            return Err(TlvError::TooDeep { max: MAX_DEPTH });
        }
        for tlv in Reader::new(input) {
            let tlv = tlv?;
            if tlv.is_constructed() {
                level(tlv.value, depth + 1)?;
            }
        }
        Ok(())
    }
    level(input, 1)
}

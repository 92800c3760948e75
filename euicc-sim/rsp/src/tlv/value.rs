//! Contents octets of INTEGER, BOOLEAN and named BIT STRING: X.690 §8.2, §8.3, §8.6, §11.2.

use alloc::vec::Vec;

/// Reads the contents of a non-negative INTEGER.
#[must_use]
pub fn uint_from(value: &[u8]) -> Option<u64> {
    let (&first, _) = value.split_first()?;
    if first & 0x80 != 0 {
        return None;
    }
    let start = value.iter().position(|b| *b != 0).unwrap_or(value.len());
    let digits = &value[start..];
    if digits.len() > 8 {
        return None;
    }
    Some(digits.iter().fold(0u64, |acc, b| acc << 8 | u64::from(*b)))
}

/// The DER contents of a non-negative INTEGER.
#[must_use]
pub fn uint_value(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let start = bytes
        .iter()
        .position(|b| *b != 0)
        .unwrap_or(bytes.len() - 1);
    let digits = &bytes[start..];
    let mut out = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_some_and(|b| b & 0x80 != 0) {
        out.push(0);
    }
    out.extend_from_slice(digits);
    out
}

/// The DER contents of a BOOLEAN.
#[must_use]
pub const fn boolean_value(value: bool) -> [u8; 1] {
    [if value { 0xFF } else { 0x00 }]
}

/// Reads the contents of a named BIT STRING: ASN.1 bit 0 becomes bit 31 of the result.
#[must_use]
pub fn bits_from(value: &[u8]) -> Option<u32> {
    let (&unused, bytes) = value.split_first()?;
    if unused > 7 || (bytes.is_empty() && unused != 0) {
        return None;
    }
    let mut out = [0u8; 4];
    for (o, b) in out.iter_mut().zip(bytes) {
        *o = *b;
    }
    if let (Some(last), true) = (out.get_mut(bytes.len().wrapping_sub(1)), bytes.len() <= 4) {
        *last &= 0xFFu8 << unused;
    }
    Some(u32::from_be_bytes(out))
}

/// The DER contents of a named BIT STRING (X.690 §11.2.2: no trailing zero bits).
#[must_use]
pub fn bits_value(bits: u32) -> Vec<u8> {
    if bits == 0 {
        return alloc::vec![0];
    }
    let used = 32 - bits.trailing_zeros() as usize;
    let bytes = used.div_ceil(8);
    let mut out = Vec::with_capacity(bytes + 1);
    out.push((bytes * 8 - used) as u8);
    out.extend_from_slice(&bits.to_be_bytes()[..bytes]);
    out
}

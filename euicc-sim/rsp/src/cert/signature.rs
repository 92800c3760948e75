//! ECDSA signatures in certificates: DER `SEQUENCE { r, s }` (RFC 3279 §2.2.3), raw r‖s elsewhere.

use crate::{
    crypto::Signature,
    tlv::{Reader, Tlv, TlvError, Writer, universal},
};

fn scalar(reader: &mut Reader<'_>, out: &mut [u8]) -> Result<(), TlvError> {
    let tlv = reader.expect(universal::INTEGER)?;
    let digits = match tlv.value {
        [0, rest @ ..] if rest.first().is_some_and(|b| b & 0x80 != 0) => rest,
        [first, ..] if (1..0x80).contains(first) => tlv.value,
        _ => &[],
    };
    if digits.is_empty() || digits.len() > out.len() {
        return Err(TlvError::Value {
            tag: tlv.tag,
            reason: "not a scalar of a signature",
        });
    }
    let at = out.len() - digits.len();
    out[at..].copy_from_slice(digits);
    Ok(())
}

/// Raw r‖s of a DER signature; nothing but DER is accepted.
///
/// # Errors
/// When it is not the DER of two positive numbers of at most 256 bits.
pub fn signature_from_der(der: &[u8]) -> Result<Signature, TlvError> {
    let sequence = Tlv::parse_tag(der, universal::SEQUENCE)?;
    let mut out = [0; 64];
    let mut fields = sequence.children();
    let (r, s) = out.split_at_mut(32);
    scalar(&mut fields, r)?;
    scalar(&mut fields, s)?;
    fields.finish()?;
    if der.len() == sequence.value.len() + 2 {
        Ok(out)
    } else {
        Err(TlvError::LengthForm { got: der[1] })
    }
}

/// The DER of a raw signature.
#[must_use]
pub fn signature_to_der(signature: &Signature) -> alloc::vec::Vec<u8> {
    let mut w = Writer::with_capacity(72);
    w.constructed(universal::SEQUENCE, |w| {
        for half in signature.chunks(32) {
            let start = half.iter().position(|b| *b != 0).unwrap_or(31);
            let digits = &half[start..];
            let pad = usize::from(digits[0] & 0x80 != 0);
            let mut value = [0; 33];
            value[pad..pad + digits.len()].copy_from_slice(digits);
            w.primitive(universal::INTEGER, &value[..pad + digits.len()]);
        }
    });
    w.into_vec()
}

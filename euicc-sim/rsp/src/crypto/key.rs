//! Keys as bytes, independent of the library that computes with them. SEC 1 §2.3, §C.4; RFC 5958.
//! Secrets are wiped when dropped and never printed.

use super::{Curve, PemError, pem::pem_blocks};
use crate::tlv::{Reader, Tlv, TlvError, Writer, universal};
use alloc::vec::Vec;
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A private key: the scalar, 32 bytes big-endian, and its curve.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey {
    scalar: [u8; 32],
    #[zeroize(skip)]
    curve: Curve,
}

/// A public key: `04‖x‖y`, 65 bytes (SGP.22 §2.6.7.1: uncompressed), and its curve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    point: [u8; 65],
    curve: Curve,
}

/// The x coordinate that ECDH yields, 32 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret([u8; 32]);

/// A private key with its public key.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The private half.
    pub private: PrivateKey,
    /// The public half.
    pub public: PublicKey,
}

impl PrivateKey {
    /// A key from its scalar.
    #[must_use]
    pub const fn from_bytes(curve: Curve, scalar: [u8; 32]) -> Self {
        Self { scalar, curve }
    }

    /// The curve that it is on.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The scalar: handle with care.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// Reads a key in DER: SEC 1 `ECPrivateKey` or PKCS #8 `PrivateKeyInfo`. A SEC 1 key that
    /// names no curve is taken as one on NIST P-256.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_der(der: &[u8]) -> Result<Self, TlvError> {
        Self::read(der, None)
    }

    /// `curve` is what surrounds the key says.
    fn read(der: &[u8], curve: Option<Curve>) -> Result<Self, TlvError> {
        let mut fields = Tlv::parse_tag(der, universal::SEQUENCE)?.children();
        fields.expect(universal::INTEGER)?;
        if fields.peek_tag()? == Some(universal::SEQUENCE) {
            let algorithm = fields.expect(universal::SEQUENCE)?;
            let curve = Curve::from_algorithm(algorithm.raw);
            let curve = curve.ok_or_else(|| unknown_curve(universal::SEQUENCE))?;
            return Self::read(fields.expect(universal::OCTET_STRING)?.value, Some(curve));
        }
        let tlv = fields.expect(universal::OCTET_STRING)?;
        // Some writers drop or add leading zero bytes.
        let digits = match tlv.value.iter().position(|b| *b != 0) {
            Some(start) => &tlv.value[start..],
            None => &[],
        };
        if digits.is_empty() || digits.len() > 32 {
            return Err(TlvError::Value {
                tag: tlv.tag,
                reason: "not a 32-byte scalar",
            });
        }
        let named = match fields.optional(0xA0)? {
            None => None,
            Some(parameters) => Some(
                Curve::from_parameters(parameters.value)
                    .filter(|named| curve.is_none_or(|c| c == *named))
                    .ok_or_else(|| unknown_curve(parameters.tag))?,
            ),
        };
        let mut scalar = [0; 32];
        scalar[32 - digits.len()..].copy_from_slice(digits);
        Ok(Self {
            scalar,
            curve: named.or(curve).unwrap_or_default(),
        })
    }

    /// Reads a key in PEM: `EC PRIVATE KEY` (an `EC PARAMETERS` block before it names the curve) or
    /// `PRIVATE KEY`.
    ///
    /// # Errors
    /// When there is no such block, or its content is not a key on a [`Curve`].
    pub fn from_pem(text: &str) -> Result<Self, PemError> {
        let mut curve = None;
        for block in pem_blocks(text) {
            let (label, der) = block?;
            let der = Zeroizing::new(der);
            match label {
                "EC PARAMETERS" => curve = Curve::from_parameters(&der),
                "EC PRIVATE KEY" | "PRIVATE KEY" => return Ok(Self::read(&der, curve)?),
                _ => {}
            }
        }
        Err(PemError::NoBlock {
            expected: "EC PRIVATE KEY or PRIVATE KEY",
        })
    }

    /// Reads a key in PEM or DER, whichever it is.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem`].
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, PemError> {
        match core::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN") => Self::from_pem(text),
            _ => Ok(Self::from_der(bytes)?),
        }
    }

    /// The key with its public half as PKCS #8 DER.
    #[must_use]
    pub fn to_pkcs8_der(&self, public: &PublicKey) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(160);
        w.constructed(universal::SEQUENCE, |w| {
            w.uint(universal::INTEGER, 0).raw(self.curve.algorithm());
            w.constructed(universal::OCTET_STRING, |w| {
                w.constructed(universal::SEQUENCE, |w| {
                    w.uint(universal::INTEGER, 1)
                        .primitive(universal::OCTET_STRING, &self.scalar);
                    w.constructed(0xA1, |w| {
                        w.primitive(universal::BIT_STRING, &public.bit_string());
                    });
                });
            });
        });
        Zeroizing::new(w.into_vec())
    }

    /// The key with its public half as PKCS #8 PEM.
    #[must_use]
    pub fn to_pkcs8_pem(&self, public: &PublicKey) -> Zeroizing<alloc::string::String> {
        Zeroizing::new(super::pem::pem_block(
            "PRIVATE KEY",
            &self.to_pkcs8_der(public),
        ))
    }
}

fn unknown_curve(tag: crate::tlv::Tag) -> TlvError {
    TlvError::Value {
        tag,
        reason: "not a key on NIST P-256 or brainpoolP256r1",
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PublicKey {
    /// A key from its uncompressed point, `04‖x‖y`. Whether the point is on the curve shows when
    /// the key is used.
    ///
    /// # Errors
    /// [`super::CryptoError::PublicKey`] for another form or length.
    pub fn from_bytes(curve: Curve, point: &[u8]) -> Result<Self, super::CryptoError> {
        match <[u8; 65]>::try_from(point) {
            Ok(point) if point[0] == 4 => Ok(Self { point, curve }),
            _ => Err(super::CryptoError::PublicKey),
        }
    }

    /// The curve that it is on.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// `04‖x‖y`.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.point
    }

    /// The contents of a BIT STRING with the point.
    #[must_use]
    pub fn bit_string(&self) -> [u8; 66] {
        let mut out = [0; 66];
        out[1..].copy_from_slice(&self.point);
        out
    }

    /// Reads a `SubjectPublicKeyInfo` (RFC 5480 §2).
    ///
    /// # Errors
    /// When it is not one of a key on a [`Curve`] with an uncompressed point.
    pub fn from_spki(spki: &[u8]) -> Result<Self, TlvError> {
        let mut fields: Reader<'_> = Tlv::parse_tag(spki, universal::SEQUENCE)?.children();
        let algorithm = fields.expect(universal::SEQUENCE)?;
        let curve = Curve::from_algorithm(algorithm.raw);
        let curve = curve.ok_or_else(|| unknown_curve(algorithm.tag))?;
        let point = fields.expect(universal::BIT_STRING)?;
        fields.finish()?;
        match point.value.split_first() {
            Some((0, point)) => Self::from_bytes(curve, point).ok(),
            _ => None,
        }
        .ok_or(TlvError::Value {
            tag: universal::BIT_STRING,
            reason: "not an uncompressed point",
        })
    }

    /// The key as `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(91);
        w.constructed(universal::SEQUENCE, |w| {
            w.raw(self.curve.algorithm())
                .primitive(universal::BIT_STRING, &self.bit_string());
        });
        w.into_vec()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        for b in &self.point[1..9] {
            write!(f, "{b:02X}")?;
        }
        f.write_str("…)")
    }
}

impl SharedSecret {
    /// A secret from the x coordinate.
    #[must_use]
    pub const fn from_bytes(x: [u8; 32]) -> Self {
        Self(x)
    }

    /// The x coordinate: handle with care.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

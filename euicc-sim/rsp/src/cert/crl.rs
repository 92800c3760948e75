//! Certificate revocation lists of a GSMA CI: X.509 v2 CRLs (RFC 5280 §5) with the extensions of
//! SGP.22 §4.6 for lists in parts and for certificates that expire.

use super::extensions::range_in;
use super::{
    Certificate, ECDSA_SHA256, KEY_USAGE_CRL_SIGN, Name, oid, signature_from_der, time_from_tlv,
};
use crate::crypto::{Crypto, Signature};
use crate::tlv::{Reader, Tlv, TlvError, universal};
use alloc::vec::Vec;
use core::ops::Range;

/// Longest list accepted in one piece, bytes; longer ones come in parts.
pub const MAX_CRL_LEN: usize = 16 * 1024;

/// reasonCode removeFromCRL: a delta list takes the certificate off the base list.
const REMOVE_FROM_CRL: &[u8] = &[0x0A, 0x01, 0x08];

/// Why a revocation list can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Longer than [`MAX_CRL_LEN`].
    #[error("revocation list has {got} bytes, at most {max} are accepted")]
    TooLong {
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The encoding is broken.
    #[error("revocation list is damaged: {0}")]
    Encoding(#[from] TlvError),
    /// It is no version 2 list with ecdsa-with-SHA256, or lacks what SGP.22 §4.6 demands.
    #[error("revocation list: {0}")]
    Form(&'static str),
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Serial number, contents octets.
    pub serial: Vec<u8>,
    /// End of validity of the certificate, unix seconds; the entry is of no use afterwards.
    pub expires: Option<u64>,
    /// In a delta list: the certificate is to come off the base list.
    pub removed: bool,
}

/// A parsed revocation list. Its signature is verified by [`RevocationList::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    tbs: Vec<u8>,
    issuer: Range<usize>,
    authority_key_id: Range<usize>,
    signature: Signature,
    /// cRLNumber: grows with every list of the CI.
    pub number: u64,
    /// BaseCRLNumber, when this is a delta list.
    pub base: Option<u64>,
    /// Number of this part from 1, and how many parts the list has.
    pub part: Option<(u32, u32)>,
    /// thisUpdate, unix seconds.
    pub this_update: u64,
    /// nextUpdate, unix seconds.
    pub next_update: Option<u64>,
    /// What is revoked.
    pub entries: Vec<Revoked>,
}

/// crlExtensions that matter here.
#[derive(Default)]
struct Known {
    authority_key_id: Option<Range<usize>>,
    number: Option<u64>,
    base: Option<u64>,
    part: Option<u64>,
    parts: Option<u64>,
}

impl RevocationList {
    /// Parses the fields of a CertificateList (what is inside its SEQUENCE).
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn from_fields(fields: &[u8]) -> Result<Self, CrlError> {
        if fields.len() > MAX_CRL_LEN {
            return Err(CrlError::TooLong {
                got: fields.len(),
                max: MAX_CRL_LEN,
            });
        }
        let mut outer = Reader::new(fields);
        let tbs = outer.expect(universal::SEQUENCE)?;
        let algorithm = outer.expect(universal::SEQUENCE)?;
        let signature = outer.expect(universal::BIT_STRING)?;
        outer.finish()?;
        let mut r = tbs.children();
        if r.expect(universal::INTEGER)?.uint()? != 1 {
            return Err(CrlError::Form("not a version 2 list"));
        }
        let inner = r.expect(universal::SEQUENCE)?;
        if algorithm.raw != ECDSA_SHA256 || inner.raw != ECDSA_SHA256 {
            return Err(CrlError::Form(
                "signature algorithm is not ecdsa-with-SHA256",
            ));
        }
        let issuer = range_in(tbs.raw, r.expect(universal::SEQUENCE)?.raw);
        let time = |tlv: &Tlv<'_>| time_from_tlv(tlv).ok_or(CrlError::Form("a date is unreadable"));
        let this_update = time(&r.any()?)?;
        let next_update = match r.peek_tag()? {
            Some(0x17 | 0x18) => Some(time(&r.any()?)?),
            _ => None,
        };
        let mut entries = Vec::new();
        if let Some(list) = r.optional(universal::SEQUENCE)? {
            for entry in list.children() {
                entries.push(revoked(&entry?)?);
            }
        }
        let known = known(tbs.raw, &r.expect(0xA0)?)?;
        r.finish()?;
        let Some((0, signature)) = signature.value.split_first() else {
            return Err(CrlError::Form("signature has unused bits"));
        };
        Ok(Self {
            issuer,
            authority_key_id: known
                .authority_key_id
                .ok_or(CrlError::Form("authorityKeyIdentifier is missing"))?,
            signature: signature_from_der(signature)?,
            number: known.number.ok_or(CrlError::Form("cRLNumber is missing"))?,
            base: known.base,
            part: part(known.part, known.parts)?,
            this_update,
            next_update,
            entries,
            tbs: tbs.raw.to_vec(),
        })
    }

    /// Parses a CertificateList in DER.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        Self::from_fields(Tlv::parse_tag(der, universal::SEQUENCE)?.value)
    }

    /// Key identifier of the CI that issued it.
    #[must_use]
    pub fn authority_key_id(&self) -> &[u8] {
        &self.tbs[self.authority_key_id.clone()]
    }

    /// May this CI sign revocation lists, and is it the issuer by name?
    #[must_use]
    pub fn is_issuer(&self, ci: &Certificate) -> bool {
        let usage = ci.key_usage().unwrap_or(0);
        usage & KEY_USAGE_CRL_SIGN != 0
            && ci.subject() == Name::from_der(&self.tbs[self.issuer.clone()])
    }

    /// Is the signature the CI's?
    #[must_use]
    pub fn verify(&self, ci: &Certificate, crypto: &dyn Crypto) -> bool {
        crypto
            .verify(ci.public_key(), &[&self.tbs], &self.signature)
            .is_ok()
    }
}

fn part(number: Option<u64>, total: Option<u64>) -> Result<Option<(u32, u32)>, CrlError> {
    let wrong = CrlError::Form("the number of the part and of all parts do not fit together");
    match (number, total) {
        (None, None) => Ok(None),
        (Some(n), Some(total)) if (1..=total).contains(&n) && total <= 1024 => {
            Ok(Some((n as u32, total as u32)))
        }
        _ => Err(wrong),
    }
}

fn revoked(entry: &Tlv<'_>) -> Result<Revoked, CrlError> {
    if entry.tag != universal::SEQUENCE {
        return Err(CrlError::Form("an entry is no SEQUENCE"));
    }
    let mut fields = entry.children();
    let serial = fields.expect(universal::INTEGER)?.bytes(1, 21)?.to_vec();
    if time_from_tlv(&fields.any()?).is_none() {
        return Err(CrlError::Form("a date is unreadable"));
    }
    let (mut expires, mut removed) = (None, false);
    if let Some(list) = fields.optional(universal::SEQUENCE)? {
        for extension in list.children() {
            let (id, critical, value) = extension_of(&extension?)?;
            match id {
                oid::RSP_EXPIRATION => {
                    let date = time_from_tlv(&Tlv::parse(value)?);
                    expires = Some(date.ok_or(CrlError::Form("a date is unreadable"))?);
                }
                oid::CRL_REASON => removed = value == REMOVE_FROM_CRL,
                _ if critical => return Err(CrlError::Form("a critical extension is unknown")),
                _ => {}
            }
        }
    }
    fields.finish()?;
    Ok(Revoked {
        serial,
        expires,
        removed,
    })
}

/// Identifier, criticality, and what the OCTET STRING holds.
fn extension_of<'a>(extension: &Tlv<'a>) -> Result<(&'a [u8], bool, &'a [u8]), CrlError> {
    let mut fields = extension.children();
    let id = fields.expect(universal::OID)?.value;
    let critical = match fields.optional(universal::BOOLEAN)? {
        Some(flag) => flag.boolean()?,
        None => false,
    };
    let value = fields.expect(universal::OCTET_STRING)?.value;
    fields.finish()?;
    Ok((id, critical, value))
}

fn known(base: &[u8], explicit: &Tlv<'_>) -> Result<Known, CrlError> {
    let mut known = Known::default();
    let integer = |value| Tlv::parse_tag(value, universal::INTEGER)?.uint();
    for extension in Tlv::parse_tag(explicit.value, universal::SEQUENCE)?.children() {
        let (id, critical, value) = extension_of(&extension?)?;
        match id {
            oid::AUTHORITY_KEY_ID => {
                let mut fields = Tlv::parse_tag(value, universal::SEQUENCE)?.children();
                if let Some(tlv) = fields.find(0x80)? {
                    known.authority_key_id = Some(range_in(base, tlv.bytes(1, 64)?));
                }
            }
            oid::CRL_NUMBER => known.number = Some(integer(value)?),
            oid::DELTA_CRL => known.base = Some(integer(value)?),
            oid::RSP_PARTIAL_CRL => known.part = Some(integer(value)?),
            oid::RSP_TOTAL_PARTIAL_CRL => known.parts = Some(integer(value)?),
            // indirectCRL [4] would name certificates of other issuers.
            oid::ISSUING_POINT => {
                for field in Tlv::parse_tag(value, universal::SEQUENCE)?.children() {
                    let field = field?;
                    if field.tag == 0x84 && field.boolean()? {
                        return Err(CrlError::Form("indirect lists are not supported"));
                    }
                }
            }
            _ if critical => return Err(CrlError::Form("a critical extension is unknown")),
            _ => {}
        }
    }
    Ok(known)
}

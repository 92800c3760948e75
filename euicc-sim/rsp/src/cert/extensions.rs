//! The extensions that RSP certificates carry (SGP.22 §4.5.2.1.0, RFC 5280 §4.2.1).

use super::{CertError, oid};
use crate::tlv::{Tlv, TlvError, universal};
use alloc::{string::String, vec::Vec};
use core::fmt::Write as _;
use core::ops::Range;

/// keyUsage bit digitalSignature.
pub const KEY_USAGE_DIGITAL_SIGNATURE: u32 = 1 << 31;
/// keyUsage bit keyCertSign.
pub const KEY_USAGE_CERT_SIGN: u32 = 1 << 26;
/// keyUsage bit cRLSign.
pub const KEY_USAGE_CRL_SIGN: u32 = 1 << 25;

/// Longest URI of a distribution point, bytes.
const MAX_URL_LEN: usize = 1024;
/// Most extensions in one certificate.
const MAX_EXTENSIONS: usize = 32;

/// What is known of the extensions; ranges point into the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) subject_key_id: Option<Range<usize>>,
    pub(super) authority_key_id: Option<Range<usize>>,
    pub(super) key_usage: Option<u32>,
    pub(super) is_ca: bool,
    pub(super) path_len: Option<u64>,
    pub(super) policies: Vec<Range<usize>>,
    pub(super) registered_id: Option<Range<usize>>,
    pub(super) dns_names: Vec<Range<usize>>,
    pub(super) name_constraints: Option<Range<usize>>,
    pub(super) permitted_eins: Option<Range<usize>>,
    pub(super) crl_urls: Vec<Range<usize>>,
}

impl Extensions {
    /// Reads `[3] { SEQUENCE OF Extension }`; `base` is the whole certificate.
    pub(super) fn parse(base: &[u8], explicit: &Tlv<'_>) -> Result<Self, CertError> {
        let list = Tlv::parse_tag(explicit.value, universal::SEQUENCE)?;
        let mut out = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        for extension in list.children() {
            let extension = extension?;
            if extension.tag != universal::SEQUENCE || seen.len() == MAX_EXTENSIONS {
                return Err(CertError::Encoding(TlvError::Value {
                    tag: extension.tag,
                    reason: "not an extension, or too many",
                }));
            }
            let mut fields = extension.children();
            let id = fields.expect(universal::OID)?.value;
            if seen.contains(&id) {
                return Err(CertError::DuplicateExtension);
            }
            seen.push(id);
            let critical = match fields.optional(universal::BOOLEAN)? {
                Some(flag) => flag.boolean()?,
                None => false,
            };
            let value = fields.expect(universal::OCTET_STRING)?.value;
            fields.finish()?;
            if !out.read(base, id, value)? && critical {
                let mut digits = String::new();
                for byte in id {
                    // Writing to a String cannot fail.
                    let _ = write!(digits, "{byte:02X}");
                }
                return Err(CertError::CriticalExtension { oid: digits });
            }
        }
        Ok(out)
    }

    /// Takes one extension in; is it one that this crate knows?
    fn read(&mut self, base: &[u8], id: &[u8], value: &[u8]) -> Result<bool, TlvError> {
        match id {
            oid::SUBJECT_KEY_ID => {
                let tlv = Tlv::parse_tag(value, universal::OCTET_STRING)?;
                self.subject_key_id = Some(range_in(base, tlv.bytes(1, 64)?));
            }
            oid::AUTHORITY_KEY_ID => {
                let mut fields = Tlv::parse_tag(value, universal::SEQUENCE)?.children();
                if let Some(tlv) = fields.find(0x80)? {
                    self.authority_key_id = Some(range_in(base, tlv.bytes(1, 64)?));
                }
            }
            oid::KEY_USAGE => {
                self.key_usage = Some(Tlv::parse_tag(value, universal::BIT_STRING)?.bits()?);
            }
            oid::BASIC_CONSTRAINTS => {
                let mut fields = Tlv::parse_tag(value, universal::SEQUENCE)?.children();
                if let Some(flag) = fields.optional(universal::BOOLEAN)? {
                    self.is_ca = flag.boolean()?;
                }
                if let Some(length) = fields.optional(universal::INTEGER)? {
                    self.path_len = Some(length.uint()?);
                }
                fields.finish()?;
            }
            oid::POLICIES => {
                for policy in Tlv::parse_tag(value, universal::SEQUENCE)?.children() {
                    let id = policy?.children().expect(universal::OID)?;
                    self.policies.push(range_in(base, id.value));
                }
            }
            oid::SUBJECT_ALT_NAME => {
                for name in Tlv::parse_tag(value, universal::SEQUENCE)?.children() {
                    let name = name?;
                    match name.tag {
                        0x88 => self.registered_id = Some(range_in(base, name.bytes(1, 64)?)),
                        0x82 => self.dns_names.push(range_in(base, name.bytes(1, 255)?)),
                        _ => {}
                    }
                }
            }
            oid::NAME_CONSTRAINTS => {
                Tlv::parse_tag(value, universal::SEQUENCE)?;
                self.name_constraints = Some(range_in(base, value));
            }
            oid::PERMITTED_EINS => {
                Tlv::parse_tag(value, universal::SEQUENCE)?;
                self.permitted_eins = Some(range_in(base, value));
            }
            oid::CRL_POINTS => {
                for point in Tlv::parse_tag(value, universal::SEQUENCE)?.children() {
                    self.read_point(base, &point?)?;
                }
            }
            oid::EXT_KEY_USAGE => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Notes the URIs of a DistributionPoint (RFC 5280 §4.2.1.13); its other names and reasons are passed over.
    fn read_point(&mut self, base: &[u8], point: &Tlv<'_>) -> Result<(), TlvError> {
        let Some(name) = point.children().find(0xA0)? else {
            return Ok(());
        };
        let Some(names) = name.children().find(0xA0)? else {
            return Ok(());
        };
        for name in names.children() {
            let name = name?;
            if name.tag == 0x86 {
                self.crl_urls
                    .push(range_in(base, name.bytes(1, MAX_URL_LEN)?));
            }
        }
        Ok(())
    }
}

/// Where `part` lies in `base`, of which it is a sub-slice.
pub(super) fn range_in(base: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(base.as_ptr() as usize);
    start..start + part.len()
}

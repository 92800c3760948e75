//! LoadCRL: SGP.22 §5.7.12.

use super::code::result_codes;
use super::object::DataObject;
use crate::tlv::{Reader, Tag, TlvError, Writer, universal};
use alloc::vec::Vec;

/// Most numbers in missingParts.
const MAX_PARTS: usize = 1024;

/// LoadCRLRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadCrlRequest {
    /// What is inside the SEQUENCE of the CertificateList (see
    /// [`crate::cert::RevocationList::from_fields`]).
    pub fields: Vec<u8>,
}

impl LoadCrlRequest {
    /// The request for a CertificateList in DER.
    ///
    /// # Errors
    /// The bytes are not one SEQUENCE.
    pub fn from_der(crl: &[u8]) -> Result<Self, TlvError> {
        let tlv = crate::tlv::Tlv::parse_tag(crl, universal::SEQUENCE)?;
        Ok(Self {
            fields: tlv.value.to_vec(),
        })
    }
}

impl DataObject for LoadCrlRequest {
    const TAG: Tag = 0xBF35;
    fn write_value(&self, w: &mut Writer) {
        // The only component gets an automatic tag in place of that of its SEQUENCE.
        w.primitive(0xA0, &self.fields);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let tlv = r.any()?;
        r.finish()?;
        // LPAs that pass a list on as it is leave the SEQUENCE in place.
        match tlv.tag {
            0xA0 | universal::SEQUENCE => Ok(Self {
                fields: tlv.value.to_vec(),
            }),
            got => Err(TlvError::UnexpectedTag {
                expected: 0xA0,
                got,
            }),
        }
    }
}

result_codes! {
    /// LoadCRLResponseError.
    LoadCrlError otherwise UndefinedError {
        /// The signature is not the CI's.
        InvalidSignature = 1 "invalidSignature",
        /// It is no revocation list of SGP.22 §4.6.
        InvalidCrlFormat = 2 "invalidCRLFormat",
        /// It doesn't fit.
        NotEnoughMemorySpace = 3 "notEnoughMemorySpace",
        /// It is of no CI that the card trusts.
        VerificationKeyNotFound = 4 "verificationKeyNotFound",
        /// The card has it, or a newer one.
        FresherCrlAlreadyLoaded = 5 "fresherCrlAlreadyLoaded",
        /// A delta list without the list that it changes.
        BaseCrlMissing = 6 "baseCrlMissing",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}

/// LoadCRLResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadCrlResponse {
    /// Stored; the numbers of the parts that are still missing.
    Ok(Vec<u64>),
    /// Not stored.
    Error(LoadCrlError),
}

impl DataObject for LoadCrlResponse {
    const TAG: Tag = 0xBF35;
    fn write_value(&self, w: &mut Writer) {
        match self {
            Self::Ok(missing) => w.constructed(0xA0, |w| {
                if !missing.is_empty() {
                    w.constructed(0xA0, |w| {
                        for part in missing {
                            w.uint(universal::INTEGER, *part);
                        }
                    });
                }
            }),
            Self::Error(code) => w.uint(0x81, u64::from(code.code())),
        };
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let tlv = r.any()?;
        match tlv.tag {
            0xA0 => {
                let mut missing = Vec::new();
                if let Some(list) = tlv.children().optional(0xA0)? {
                    let mut parts = list.children();
                    while !parts.is_empty() && missing.len() < MAX_PARTS {
                        missing.push(parts.expect(universal::INTEGER)?.uint()?);
                    }
                }
                Ok(Self::Ok(missing))
            }
            0x81 => Ok(Self::Error(LoadCrlError::from_code(tlv.uint()?))),
            got => Err(TlvError::UnexpectedTag {
                expected: 0xA0,
                got,
            }),
        }
    }
}

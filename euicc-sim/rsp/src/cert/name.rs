//! X.501 names: the raw DER decides equality, single attributes are read on demand.
//! RFC 5280 §4.1.2.4.

use super::oid;
use crate::tlv::{Reader, Tlv, TlvError, universal};

/// A distinguished name as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// A name from its DER (`SEQUENCE` included). Attributes are not checked.
    #[must_use]
    pub const fn from_der(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// The DER, `SEQUENCE` included.
    #[must_use]
    pub const fn as_der(&self) -> &'a [u8] {
        self.0
    }

    /// commonName.
    ///
    /// # Errors
    /// When the name is damaged.
    pub fn common_name(&self) -> Result<Option<&'a str>, TlvError> {
        self.attribute(oid::COMMON_NAME)
    }

    /// organizationName.
    ///
    /// # Errors
    /// When the name is damaged.
    pub fn organization(&self) -> Result<Option<&'a str>, TlvError> {
        self.attribute(oid::ORGANIZATION)
    }

    /// serialNumber (of an eUICC: the EID; of a name constraint: the IIN).
    ///
    /// # Errors
    /// When the name is damaged.
    pub fn serial_number(&self) -> Result<Option<&'a str>, TlvError> {
        self.attribute(oid::SERIAL_NUMBER)
    }

    /// The first attribute of this type. UTF8String and PrintableString are read alike.
    fn attribute(&self, kind: &[u8]) -> Result<Option<&'a str>, TlvError> {
        for set in Tlv::parse_tag(self.0, universal::SEQUENCE)?.children() {
            for pair in set?.children() {
                let mut pair: Reader<'a> = pair?.children();
                if pair.expect(universal::OID)?.value == kind {
                    return pair.any()?.text(256).map(Some);
                }
            }
        }
        Ok(None)
    }
}

//! EUICCInfo1 and EUICCInfo2: SGP.22 §5.7.8, Annex H.

use super::code::empty_request;
use super::object::DataObject;
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer, universal};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// VersionType: major, minor, revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u8; 3]);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, revision] = self.0;
        write!(f, "{major}.{minor}.{revision}")
    }
}

/// SubjectKeyIdentifier of a CI public key: SHA-1 of the key in practice, 1 to 64 bytes here.
pub type SubjectKeyIdentifier = Vec<u8>;

/// CI key ids per list, at most.
const MAX_KEY_IDS: usize = 32;

/// Bits of UICCCapability in use here (bit 0 of the ASN.1 is the most significant).
pub mod uicc_capability {
    /// USIM as defined by 3GPP.
    pub const USIM: u32 = 1 << (31 - 1);
    /// ISIM as defined by 3GPP.
    pub const ISIM: u32 = 1 << (31 - 2);
    /// Milenage as AKA algorithm.
    pub const MILENAGE: u32 = 1 << (31 - 4);
    /// TUAK with a 128-bit key.
    pub const TUAK_128: u32 = 1 << (31 - 6);
    /// csimSupport.
    pub const CSIM: u32 = 1 << (31 - 3);
    /// akaTuak256.
    pub const TUAK_256: u32 = 1 << (31 - 7);
    /// usimTestAlgorithm.
    pub const USIM_TEST_ALGORITHM: u32 = 1 << (31 - 8);
    /// multipleUsimSupport, multipleIsimSupport, multipleCsimSupport.
    pub const MULTIPLE_NAA: u32 = 0b111 << (31 - 18);
    /// berTlvFileSupport.
    pub const BER_TLV: u32 = 1 << (31 - 19);
    /// dfLinkSupport.
    pub const DF_LINK: u32 = 1 << (31 - 20);
    /// getIdentity.
    pub const GET_IDENTITY: u32 = 1 << (31 - 22);
    /// profile-a-x25519 and profile-b-p256.
    pub const SUCI_PROFILES: u32 = 0b11 << (31 - 24);
}

/// Bits of RspCapability.
pub mod rsp_capability {
    /// At least one more profile can be installed.
    pub const ADDITIONAL_PROFILE: u32 = 1 << 31;
    /// CRLs are loaded and enforced.
    pub const CRL_SUPPORT: u32 = 1 << 30;
    /// Test profiles are supported.
    pub const TEST_PROFILE_SUPPORT: u32 = 1 << 28;
    /// The extensibility of DeviceInfo is supported.
    pub const DEVICE_INFO_EXTENSIBILITY: u32 = 1 << 27;
}

empty_request!(
    /// GetEuiccInfo1Request.
    GetEuiccInfo1Request, 0xBF20
);
empty_request!(
    /// GetEuiccInfo2Request.
    GetEuiccInfo2Request, 0xBF22
);

/// EUICCInfo1: what a server needs before authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccInfo1 {
    /// SGP.22 version supported.
    pub svn: Version,
    /// CI keys for which the card verifies.
    pub ci_pkid_for_verification: Vec<SubjectKeyIdentifier>,
    /// CI keys under which the card signs.
    pub ci_pkid_for_signing: Vec<SubjectKeyIdentifier>,
}

fn write_key_ids(w: &mut Writer, tag: Tag, ids: &[SubjectKeyIdentifier]) {
    w.constructed(tag, |w| {
        for id in ids {
            w.primitive(universal::OCTET_STRING, id);
        }
    });
}

fn read_key_ids(list: &Tlv<'_>) -> Result<Vec<SubjectKeyIdentifier>, TlvError> {
    let mut ids = Vec::new();
    let mut r = list.children();
    while let Some(id) = r.read()? {
        if id.tag != universal::OCTET_STRING || ids.len() == MAX_KEY_IDS {
            return Err(TlvError::Value {
                tag: list.tag,
                reason: "not a list of at most 32 key identifiers",
            });
        }
        ids.push(id.bytes(1, 64)?.to_vec());
    }
    Ok(ids)
}

impl DataObject for EuiccInfo1 {
    const TAG: Tag = 0xBF20;

    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x82, &self.svn.0);
        write_key_ids(w, 0xA9, &self.ci_pkid_for_verification);
        write_key_ids(w, 0xAA, &self.ci_pkid_for_signing);
    }

    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            svn: Version(r.expect(0x82)?.array()?),
            ci_pkid_for_verification: read_key_ids(&r.expect(0xA9)?)?,
            ci_pkid_for_signing: read_key_ids(&r.expect(0xAA)?)?,
        })
    }
}

/// EUICCInfo2: what a server needs to judge eligibility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccInfo2 {
    /// SIMalliance profile package version supported.
    pub profile_version: Version,
    /// SGP.22 version supported.
    pub svn: Version,
    /// Firmware version.
    pub firmware: Version,
    /// Extended card resources (ETSI TS 102 226 §8.2.1.7.2): applications, free NVM, free RAM.
    pub ext_card_resource: Vec<u8>,
    /// UICCCapability, see [`uicc_capability`].
    pub uicc_capability: u32,
    /// TS 102 241 version.
    pub ts102241_version: Option<Version>,
    /// GlobalPlatform version.
    pub globalplatform_version: Option<Version>,
    /// RspCapability, see [`rsp_capability`].
    pub rsp_capability: u32,
    /// CI keys for which the card verifies.
    pub ci_pkid_for_verification: Vec<SubjectKeyIdentifier>,
    /// CI keys under which the card signs.
    pub ci_pkid_for_signing: Vec<SubjectKeyIdentifier>,
    /// euiccCategory: other 0, basic 1, medium 2, contactless 3.
    pub category: Option<u8>,
    /// Profile Policy Rules that the card forbids.
    pub forbidden_ppr: Option<u32>,
    /// Protection Profile version.
    pub pp_version: Version,
    /// SAS accreditation number, up to 64 bytes.
    pub sas_accreditation_number: String,
}

impl EuiccInfo2 {
    /// Free non-volatile memory in bytes out of the extended card resources (tag 82), where given.
    #[must_use]
    pub fn free_nvm(&self) -> Option<u64> {
        let mut r = Reader::new(&self.ext_card_resource);
        while let Ok(Some(tlv)) = r.read() {
            if tlv.tag == 0x82 && tlv.value.len() <= 8 {
                return Some(tlv.value.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
            }
        }
        None
    }
}

impl DataObject for EuiccInfo2 {
    const TAG: Tag = 0xBF22;

    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x81, &self.profile_version.0)
            .primitive(0x82, &self.svn.0)
            .primitive(0x83, &self.firmware.0)
            .primitive(0x84, &self.ext_card_resource)
            .bits(0x85, self.uicc_capability)
            .optional(0x86, self.ts102241_version.as_ref().map(|v| &v.0[..]))
            .optional(0x87, self.globalplatform_version.as_ref().map(|v| &v.0[..]))
            .bits(0x88, self.rsp_capability);
        write_key_ids(w, 0xA9, &self.ci_pkid_for_verification);
        write_key_ids(w, 0xAA, &self.ci_pkid_for_signing);
        if let Some(category) = self.category {
            w.uint(0x8B, u64::from(category));
        }
        if let Some(ppr) = self.forbidden_ppr {
            w.bits(0x99, ppr);
        }
        w.primitive(universal::OCTET_STRING, &self.pp_version.0)
            .primitive(
                universal::UTF8_STRING,
                self.sas_accreditation_number.as_bytes(),
            );
    }

    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let version = |tlv: Tlv<'_>| tlv.array().map(Version);
        Ok(Self {
            profile_version: version(r.expect(0x81)?)?,
            svn: version(r.expect(0x82)?)?,
            firmware: version(r.expect(0x83)?)?,
            ext_card_resource: r.expect(0x84)?.bytes(0, 64)?.to_vec(),
            uicc_capability: r.expect(0x85)?.bits()?,
            ts102241_version: r.optional(0x86)?.map(version).transpose()?,
            globalplatform_version: r.optional(0x87)?.map(version).transpose()?,
            rsp_capability: r.expect(0x88)?.bits()?,
            ci_pkid_for_verification: read_key_ids(&r.expect(0xA9)?)?,
            ci_pkid_for_signing: read_key_ids(&r.expect(0xAA)?)?,
            category: match r.optional(0x8B)? {
                None => None,
                Some(tlv) => Some(u8::try_from(tlv.uint()?).map_err(|_| TlvError::Value {
                    tag: 0x8B,
                    reason: "not a category",
                })?),
            },
            forbidden_ppr: r.optional(0x99)?.map(|t| t.bits()).transpose()?,
            pp_version: version(r.expect(universal::OCTET_STRING)?)?,
            sas_accreditation_number: r.expect(universal::UTF8_STRING)?.text(64)?.into(),
        })
    }
}

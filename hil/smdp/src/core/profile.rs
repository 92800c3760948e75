//! A profile of the inventory: the package and what the LPA shows of it. SGP.22 §2.5.3, §4.4.

use super::eligibility::Requirements;
use aid_rsp::es10::StoreMetadataRequest;

/// Under which keys a package travels (SGP.22 §2.5.3, docs/adr/0005).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// The session keys alone: fewest APDUs.
    #[default]
    SessionKeys,
    /// Keys of its own, which ReplaceSessionKeys hands over, as other SM-DP+ do it.
    OwnKeys,
}

/// A profile that can be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// 18 to 20 digits.
    pub iccid: String,
    /// Name of its file without the extension, or of the template that it was made from.
    pub file: String,
    /// profileType for DownloadOrder.
    pub profile_type: String,
    /// SAIP major version of the package.
    pub saip_major: u8,
    /// eUICC-Mandatory-services of the package: bit n is component n of ServicesList.
    pub services: u64,
    /// What it demands beyond that.
    pub requires: Requirements,
    /// Metadata for the card.
    pub metadata: StoreMetadataRequest,
    /// The unprotected profile package, DER.
    pub package: Vec<u8>,
    /// How it is protected.
    pub protection: Protection,
}

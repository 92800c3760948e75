//! A profile of the inventory: the package and what the LPA shows of it. SGP.22 §2.5.3, §4.4.
//! Made by `inventory`, used when an order is offered and bound.

use aid_rsp::es10::{EuiccInfo2, StoreMetadataRequest};

/// Under which keys a package travels (SGP.22 §2.5.3, docs/adr/0005).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
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
    /// profileType for DownloadOrder.
    pub profile_type: String,
    /// SAIP major version of the package.
    pub saip_major: u8,
    /// Metadata for the card.
    pub metadata: StoreMetadataRequest,
    /// The unprotected profile package, DER.
    pub package: Vec<u8>,
    /// How it is protected.
    pub protection: Protection,
}

impl Profile {
    /// Why this card can't take the profile, if so (eligibility, SGP.22 §4.5.2, Annex F).
    #[must_use]
    pub fn unsuited(&self, card: &EuiccInfo2) -> Option<String> {
        let [supported, ..] = card.profile_version.0;
        if self.saip_major > supported {
            return Some(format!(
                "profile {} is SAIP {}, the eUICC supports {}",
                self.iccid, self.saip_major, card.profile_version
            ));
        }
        let package = self.package.len() as u64;
        match card.free_nvm() {
            Some(free) if free > 0 && free < package => Some(format!(
                "profile {} has {package} bytes, the eUICC has {free} left",
                self.iccid
            )),
            _ => None,
        }
    }
}

//! Eligibility: may this profile go to this card in this device? SGP.22 §3.1.3 (step 3), §4.5.2, Annex F.
//! A refusal is 8.2.5/4.3. One row of [`RULES`] judges one thing.

use super::Profile;
use aid_rsp::es10::{DeviceInfo, EuiccInfo2, Version, uicc_capability as capability};
use serde::Deserialize;

/// What a profile demands beyond what its package and metadata say; `[requires]` of the file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Lowest version of SGP.22 that the card follows, e.g. "2.2".
    pub svn: Option<Minimum>,
    /// Lowest SAIP version of the card, e.g. "2.3.1".
    pub saip: Option<Minimum>,
    /// Lowest version of the Protection Profile.
    pub pp_version: Option<Minimum>,
    /// Lowest euiccCategory: 0 other, 1 basic, 2 medium, 3 contactless.
    pub category: Option<u8>,
    /// Free non-volatile memory of the card, bytes; without it, the length of the package.
    pub memory: Option<u64>,
    /// Networks of which the device must support at least one.
    pub device: Vec<Network>,
}

/// A version as people write it: `2`, `2.3` or `2.3.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Minimum(pub Version);

impl TryFrom<String> for Minimum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("version {text:?} is not one to three numbers, e.g. \"2.3.1\"");
        let mut version = [0; 3];
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() > version.len() {
            return Err(wrong());
        }
        for (to, part) in version.iter_mut().zip(parts) {
            *to = part.parse().map_err(|_| wrong())?;
        }
        Ok(Self(Version(version)))
    }
}

/// A component of DeviceCapabilities, in the order of its ASN.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are those of the ASN.1")]
pub enum Network {
    Gsm,
    Utran,
    Cdma2000Onex,
    Cdma2000Hrpd,
    Cdma2000Ehrpd,
    EutranEpc,
    Contactless,
    RspCrl,
    NrEpc,
    Nr5gc,
    Eutran5gc,
}

/// What the card and the device say of themselves.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// EUICCInfo2, signed by the card.
    pub card: &'a EuiccInfo2,
    /// DeviceInfo, given by the LPA and signed by the card.
    pub device: &'a DeviceInfo,
}

/// Judges one thing; the reason where the profile does not suit.
type Rule = fn(&Profile, Target<'_>) -> Option<String>;

/// Every rule; the first that objects is the answer.
const RULES: [(&str, Rule); 8] = [
    ("SAIP version", saip),
    ("SGP.22 version", svn),
    ("Profile Policy Rules", policy_rules),
    ("UICC capabilities", services),
    ("Protection Profile version", pp_version),
    ("eUICC category", category),
    ("memory", memory),
    ("device", device),
];

/// Services of a SAIP package (ServicesList, component) beside the bit of UICCCapability that says that the card has
/// them.
const SERVICES: [(u32, u32, &str); 19] = [
    (1, capability::USIM, "usim"),
    (2, capability::ISIM, "isim"),
    (3, capability::CSIM, "csim"),
    (4, capability::MILENAGE, "milenage"),
    (5, capability::TUAK_128, "tuak128"),
    (7, 1 << (31 - 10), "gba-usim"),
    (8, 1 << (31 - 11), "gba-isim"),
    (9, 1 << (31 - 12), "mbms"),
    (10, 1 << (31 - 13), "eap"),
    (11, 1 << (31 - 14), "javacard"),
    (12, 1 << (31 - 15), "multos"),
    (13, 1 << (31 - 16), "multiple-usim"),
    (14, 1 << (31 - 17), "multiple-isim"),
    (15, 1 << (31 - 18), "multiple-csim"),
    (16, capability::TUAK_256, "tuak256"),
    (17, capability::USIM_TEST_ALGORITHM, "usim-test-algorithm"),
    (18, capability::BER_TLV, "ber-tlv"),
    (19, capability::DF_LINK, "dfLink"),
    (21, capability::GET_IDENTITY, "get-identity"),
];

impl Profile {
    /// Why the profile can't go there, if so: the rule and its reason.
    #[must_use]
    pub fn unsuited(&self, target: Target<'_>) -> Option<String> {
        RULES.iter().find_map(|(rule, judge)| {
            let why = judge(self, target)?;
            Some(format!(
                "profile {} does not suit ({rule}): {why}",
                self.iccid
            ))
        })
    }
}

fn below(minimum: Option<Minimum>, has: Version) -> Option<String> {
    let Minimum(minimum) = minimum?;
    (has < minimum).then(|| format!("it needs {minimum}, the eUICC has {has}"))
}

fn saip(profile: &Profile, target: Target<'_>) -> Option<String> {
    let has = target.card.profile_version;
    let [supported, ..] = has.0;
    if profile.saip_major > supported {
        return Some(format!(
            "its package is SAIP {}, the eUICC supports {has}",
            profile.saip_major
        ));
    }
    below(profile.requires.saip, has)
}

fn svn(profile: &Profile, target: Target<'_>) -> Option<String> {
    below(profile.requires.svn, target.card.svn)
}

fn pp_version(profile: &Profile, target: Target<'_>) -> Option<String> {
    below(profile.requires.pp_version, target.card.pp_version)
}

fn policy_rules(profile: &Profile, target: Target<'_>) -> Option<String> {
    let rules = profile.metadata.policy_rules.unwrap_or(0);
    let forbidden = rules & target.card.forbidden_ppr.unwrap_or(0);
    (forbidden != 0).then(|| {
        let names = [
            (aid_rsp::es10::ppr::UPDATE_CONTROL, "pprUpdateControl"),
            (aid_rsp::es10::ppr::PPR1, "ppr1"),
            (aid_rsp::es10::ppr::PPR2, "ppr2"),
        ];
        let named = names.iter().filter(|(bit, _)| forbidden & bit != 0);
        let named: Vec<&str> = named.map(|(_, name)| *name).collect();
        format!("the eUICC forbids its {}", named.join(" and "))
    })
}

/// A card that states no capability at all is believed to have what profiles need: such cards exist, and the card
/// itself refuses a package that it can't install.
fn services(profile: &Profile, target: Target<'_>) -> Option<String> {
    let has = target.card.uicc_capability;
    if has == 0 {
        return None;
    }
    let missing = SERVICES
        .iter()
        .filter(|(service, bit, _)| profile.services >> service & 1 == 1 && has & bit == 0)
        .map(|(_, _, name)| *name)
        .collect::<Vec<_>>();
    (!missing.is_empty()).then(|| {
        format!(
            "its package mandates {}, which the eUICC does not offer",
            missing.join(", ")
        )
    })
}

fn category(profile: &Profile, target: Target<'_>) -> Option<String> {
    let minimum = profile.requires.category?;
    let has = target.card.category.unwrap_or(0);
    (has < minimum).then(|| format!("it needs category {minimum}, the eUICC is of {has}"))
}

/// Cards that don't say how much is free, or say 0, are asked by installing.
fn memory(profile: &Profile, target: Target<'_>) -> Option<String> {
    let needs = profile
        .requires
        .memory
        .unwrap_or(profile.package.len() as u64);
    let free = target.card.free_nvm().filter(|free| *free > 0)?;
    (free < needs).then(|| format!("it needs {needs} bytes, the eUICC has {free} left"))
}

fn device(profile: &Profile, target: Target<'_>) -> Option<String> {
    let wanted = &profile.requires.device;
    let has = |network: &Network| {
        let capabilities = &target.device.capabilities.0;
        capabilities
            .get(*network as usize)
            .is_some_and(Option::is_some)
    };
    (!wanted.is_empty() && !wanted.iter().any(has))
        .then(|| format!("the device supports none of {wanted:?}"))
}

#[cfg(test)]
mod tests;

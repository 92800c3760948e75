//! What a chip says about itself: EUICCInfo2 (SGP.22 §5.7.8, Annex H) and its addresses (§5.7.3), as far as readable.

use super::{Unread, bits, keep, text};
use aid_rsp::es10::{GetRatResponse, SubjectKeyIdentifier, Version};
use aid_rsp::tlv::{Tlv, TlvError};

/// Most key identifiers that are read of a list.
const MAX_KEY_IDS: usize = 64;

/// What a chip says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipInfo {
    /// 32 digits.
    pub eid: String,
    /// EUICCInfo2.
    pub info: EuiccInfo,
    /// Default SM-DP+, where set.
    pub default_smdp: Option<String>,
    /// Root SM-DS.
    pub root_smds: Option<String>,
    /// The Rules Authorisation Table; `None` where the card gives none.
    pub rules: Option<GetRatResponse>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// EUICCInfo2 field by field; `None` is absent or not readable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EuiccInfo {
    /// Version of the profile package format.
    pub profile_version: Option<Version>,
    /// Version of SGP.22.
    pub svn: Option<Version>,
    /// Firmware of the eUICC.
    pub firmware: Option<Version>,
    /// Applications installed (ETSI TS 102 226 §8.2.1.7.2).
    pub installed_applications: Option<u64>,
    /// Free non-volatile memory, bytes.
    pub free_nvm: Option<u64>,
    /// Free volatile memory, bytes.
    pub free_ram: Option<u64>,
    /// UICCCapability by bits, the ASN.1's bit 0 first.
    pub uicc_capability: Option<u32>,
    /// ETSI TS 102 241.
    pub ts102241_version: Option<Version>,
    /// GlobalPlatform.
    pub globalplatform_version: Option<Version>,
    /// RspCapability by bits.
    pub rsp_capability: Option<u32>,
    /// CI keys for which the card verifies.
    pub ci_for_verification: Vec<SubjectKeyIdentifier>,
    /// CI keys under which the card signs.
    pub ci_for_signing: Vec<SubjectKeyIdentifier>,
    /// euiccCategory: other 0, basic 1, medium 2, contactless 3.
    pub category: Option<u64>,
    /// Profile Policy Rules that the card forbids, by bits.
    pub forbidden_rules: Option<u32>,
    /// Protection Profile version.
    pub pp_version: Option<Version>,
    /// SAS accreditation number.
    pub sas_accreditation_number: Option<String>,
    /// Platform label and discovery URL (GlobalPlatform DLOA).
    pub certification: Option<(String, String)>,
}

/// Names of UICCCapability's bits.
pub(crate) const UICC_CAPABILITIES: [&str; 26] = [
    "contactlessSupport",
    "usimSupport",
    "isimSupport",
    "csimSupport",
    "akaMilenage",
    "akaCave",
    "akaTuak128",
    "akaTuak256",
    "rfu1",
    "rfu2",
    "gbaAuthenUsim",
    "gbaAuthenISim",
    "mbmsAuthenUsim",
    "eapClient",
    "javacard",
    "multos",
    "multipleUsimSupport",
    "multipleIsimSupport",
    "multipleCsimSupport",
    "berTlvFileSupport",
    "dfLinkSupport",
    "catTp",
    "getIdentity",
    "profile-a-x25519",
    "profile-b-p256",
    "suciCalculatorApi",
];
/// Names of RspCapability's bits.
pub(crate) const RSP_CAPABILITIES: [&str; 5] = [
    "additionalProfile",
    "crlSupport",
    "rpmSupport",
    "testProfileSupport",
    "deviceInfoExtensibilitySupport",
];
/// Names of PprIds' bits.
pub(crate) const POLICY_RULES: [&str; 3] = ["pprUpdateControl", "ppr1", "ppr2"];

/// Reads EUICCInfo2; fields in any order.
///
/// # Errors
/// It is no such object.
pub(crate) fn euicc_info(answer: &[u8]) -> Result<(EuiccInfo, Vec<Unread>), TlvError> {
    let object = Tlv::parse_tag(answer, 0xBF22)?;
    let mut info = EuiccInfo::default();
    let mut unread = Vec::new();
    for field in object.children() {
        match field {
            Ok(field) => read_field(&field, &mut info, &mut unread),
            Err(error) => unread.push(Unread::new("EUICCInfo2", error)),
        }
    }
    Ok((info, unread))
}

fn read_field(field: &Tlv<'_>, info: &mut EuiccInfo, unread: &mut Vec<Unread>) {
    let mut version = |name| keep(field.array().map(Version), name, unread);
    match field.tag {
        0x81 => info.profile_version = version("profileVersion"),
        0x82 => info.svn = version("svn"),
        0x83 => info.firmware = version("euiccFirmwareVer"),
        0x86 => info.ts102241_version = version("ts102241Version"),
        0x87 => info.globalplatform_version = version("globalplatformVersion"),
        0x04 => info.pp_version = version("ppVersion"),
        0x84 => resources(field, info, unread),
        0x85 => info.uicc_capability = keep(bits(field), "uiccCapability", unread),
        0x88 => info.rsp_capability = keep(bits(field), "rspCapability", unread),
        0xA9 => info.ci_for_verification = key_ids(field, "euiccCiPKIdListForVerification", unread),
        0xAA => info.ci_for_signing = key_ids(field, "euiccCiPKIdListForSigning", unread),
        0x8B => info.category = keep(field.uint(), "euiccCategory", unread),
        0x99 => info.forbidden_rules = keep(bits(field), "forbiddenProfilePolicyRules", unread),
        0x0C => {
            info.sas_accreditation_number = Some(text(field, "sasAcreditationNumber", unread));
        }
        0xAC => info.certification = certification(field, unread),
        _ => {}
    }
}

/// Extended card resources: 81 applications, 82 free NVM, 83 free RAM, as numbers of any length.
fn resources(field: &Tlv<'_>, info: &mut EuiccInfo, unread: &mut Vec<Unread>) {
    for tlv in field.children() {
        let Some(tlv) = keep(tlv, "extCardResource", unread) else {
            return;
        };
        let fits = tlv.value.len() <= 8;
        let number = fits.then(|| tlv.value.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        match tlv.tag {
            0x81 => info.installed_applications = number,
            0x82 => info.free_nvm = number,
            0x83 => info.free_ram = number,
            _ => {}
        }
    }
}

fn key_ids(
    list: &Tlv<'_>,
    name: &'static str,
    unread: &mut Vec<Unread>,
) -> Vec<SubjectKeyIdentifier> {
    let ids = list.children().take(MAX_KEY_IDS);
    let ids = ids.filter_map(|id| keep(id, name, unread));
    ids.map(|id| id.value.to_vec()).collect()
}

fn certification(field: &Tlv<'_>, unread: &mut Vec<Unread>) -> Option<(String, String)> {
    const NAME: &str = "certificationDataObject";
    let mut inside = field.children();
    let label = keep(inside.any(), NAME, unread)?;
    let url = keep(inside.any(), NAME, unread)?;
    let label = text(&label, NAME, unread);
    Some((label, text(&url, NAME, unread)))
}

/// EuiccConfiguredAddressesResponse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Addresses {
    /// Default SM-DP+, where set.
    pub(crate) default_smdp: Option<String>,
    /// Root SM-DS.
    pub(crate) root_smds: Option<String>,
    /// What could not be read.
    pub(crate) unread: Vec<Unread>,
}

/// Reads the addresses of a card.
///
/// # Errors
/// It is no such object.
pub(crate) fn addresses(answer: &[u8]) -> Result<Addresses, TlvError> {
    let object = Tlv::parse_tag(answer, 0xBF3C)?;
    let mut addresses = Addresses::default();
    for field in object.children() {
        let field = field?;
        let unread = &mut addresses.unread;
        let (name, slot) = match field.tag {
            0x80 => ("defaultDpAddress", &mut addresses.default_smdp),
            0x81 => ("rootDsAddress", &mut addresses.root_smds),
            _ => continue,
        };
        *slot = Some(text(&field, name, unread)).filter(|address| !address.is_empty());
    }
    Ok(addresses)
}

/// The names of the bits that are set; a bit without a name by its number.
pub(crate) fn bit_names(bits: u32, names: &[&str]) -> Vec<String> {
    let set = (0..32usize).filter(|n| bits & 1 << (31 - n) != 0);
    let name = |n: usize| {
        names
            .get(n)
            .map_or(format!("bit{n}"), |name| (*name).into())
    };
    set.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EUICCInfo2 with every field, as a card in the field has it.
    const REAL: &str = "BF2281C6810302010082030202008303040600840F8101008204000628248304000019228504067F36C08603090200\
        870302030088020490A916041481370F5125D0B1D408D4C3B232E6D25E795BEBFBAA16041481370F5125D0B1D408D4C3B232E6D25E795BEBFB\
        990206C004030000010C0D47492D42412D55502D30343139AC48801F312E322E3834302E313233343536372F6D79506C6174666F726D4C6162\
        656C812568747470733A2F2F6D79636F6D70616E792E636F6D2F6D79444C4F41526567697374726172";

    #[test]
    fn every_field_of_a_real_card_is_read() {
        let bytes = hex::decode(REAL.replace([' ', '\n'], "")).expect("digits");
        let (info, unread) = euicc_info(&bytes).expect("EUICCInfo2");
        assert!(unread.is_empty(), "{unread:?}");
        assert_eq!(info.profile_version, Some(Version([2, 1, 0])));
        assert_eq!(info.free_nvm, Some(403_492));
        assert_eq!(info.free_ram, Some(6434));
        assert_eq!(info.installed_applications, Some(0));
        assert_eq!(info.pp_version, Some(Version([0, 0, 1])));
        assert_eq!(
            info.sas_accreditation_number.as_deref(),
            Some("GI-BA-UP-0419")
        );
        let rsp = bit_names(
            info.rsp_capability.expect("RspCapability"),
            &RSP_CAPABILITIES,
        );
        assert_eq!(rsp, ["additionalProfile", "testProfileSupport"]);
        let forbidden = bit_names(info.forbidden_rules.expect("rules"), &POLICY_RULES);
        assert_eq!(forbidden, ["pprUpdateControl", "ppr1"]);
        let uicc = bit_names(
            info.uicc_capability.expect("UICCCapability"),
            &UICC_CAPABILITIES,
        );
        assert!(uicc.contains(&"javacard".to_owned()) && !uicc.contains(&"multos".to_owned()));
        let (label, url) = info.certification.expect("certification");
        assert!(label.ends_with("myPlatformLabel") && url.starts_with("https://"));
        assert_eq!(info.ci_for_signing, info.ci_for_verification);
    }

    #[test]
    fn fields_are_read_in_any_order_and_a_bad_one_alone_is_named() {
        let fields: [&[u8]; 4] = [
            &[0x82, 3, 2, 2, 2],
            &[0x81, 2, 2, 1],
            &[0x88, 1, 0x90],
            &[0x0C, 2, b'A', 0xFF],
        ];
        let inside = fields.concat();
        let bytes = [&[0xBF, 0x22, inside.len() as u8][..], &inside].concat();
        let (info, unread) = euicc_info(&bytes).expect("EUICCInfo2");
        assert_eq!(info.svn, Some(Version([2, 2, 2])));
        assert_eq!(info.rsp_capability, Some(0x9000_0000));
        let named: Vec<&str> = unread.iter().map(|u| u.field).collect();
        assert_eq!(named, ["profileVersion", "sasAcreditationNumber"]);
    }
}

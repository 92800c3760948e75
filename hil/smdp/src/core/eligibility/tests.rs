//! One case a row of the table, on both sides of its limit.

use super::*;
use crate::core::Protection;
use aid_rsp::es10::{DeviceCapabilities, StoreMetadataRequest, ppr};

fn card() -> EuiccInfo2 {
    EuiccInfo2 {
        profile_version: Version([2, 3, 1]),
        svn: Version([2, 4, 0]),
        firmware: Version([1, 0, 0]),
        ext_card_resource: vec![0x81, 1, 0, 0x82, 2, 0x10, 0x00],
        uicc_capability: capability::USIM | capability::MILENAGE,
        ts102241_version: None,
        globalplatform_version: None,
        rsp_capability: 0,
        ci_pkid_for_verification: Vec::new(),
        ci_pkid_for_signing: Vec::new(),
        category: Some(1),
        forbidden_ppr: Some(ppr::PPR1),
        pp_version: Version([1, 0, 0]),
        sas_accreditation_number: String::new(),
    }
}

fn handset() -> DeviceInfo {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.0[Network::EutranEpc as usize] = Some([15, 0, 0]);
    DeviceInfo {
        tac: [0; 4],
        capabilities,
        imei: None,
    }
}

fn profile() -> Profile {
    Profile {
        iccid: "8949000000000000018".into(),
        file: "op".into(),
        profile_type: "t".into(),
        saip_major: 2,
        services: 1 << 1 | 1 << 4,
        requires: Requirements::default(),
        metadata: StoreMetadataRequest {
            iccid: [0x98; 10],
            service_provider_name: String::new(),
            profile_name: String::new(),
            icon_type: None,
            icon: None,
            profile_class: aid_rsp::es10::ProfileClass::Operational,
            notifications: Vec::new(),
            profile_owner: None,
            policy_rules: Some(ppr::PPR2),
        },
        package: vec![0; 0x1000],
        protection: Protection::SessionKeys,
    }
}

/// A change of one of the three, and whether the profile still suits.
type Case = (
    &'static str,
    fn(&mut Profile, &mut EuiccInfo2, &mut DeviceInfo),
    bool,
);

fn version(text: &str) -> Option<Minimum> {
    Some(Minimum::try_from(text.to_owned()).unwrap())
}

const CASES: [Case; 25] = [
    ("SAIP version", |p, _, _| p.saip_major = 3, false),
    ("SAIP version", |_, c, _| c.profile_version.0[0] = 3, true),
    (
        "SAIP version",
        |p, _, _| p.requires.saip = version("2.3.1"),
        true,
    ),
    (
        "SAIP version",
        |p, _, _| p.requires.saip = version("2.3.2"),
        false,
    ),
    (
        "SGP.22 version",
        |p, _, _| p.requires.svn = version("2.4"),
        true,
    ),
    (
        "SGP.22 version",
        |p, _, _| p.requires.svn = version("2.5"),
        false,
    ),
    (
        "Profile Policy Rules",
        |p, _, _| p.metadata.policy_rules = Some(ppr::PPR1),
        false,
    ),
    (
        "Profile Policy Rules",
        |_, c, _| c.forbidden_ppr = Some(ppr::PPR2),
        false,
    ),
    (
        "Profile Policy Rules",
        |_, c, _| c.forbidden_ppr = None,
        true,
    ),
    (
        "Profile Policy Rules",
        |p, c, _| {
            p.metadata.policy_rules = None;
            c.forbidden_ppr = Some(u32::MAX);
        },
        true,
    ),
    ("UICC capabilities", |p, _, _| p.services |= 1 << 5, false),
    ("UICC capabilities", |p, _, _| p.services |= 1 << 11, false),
    (
        "UICC capabilities",
        |p, c, _| {
            p.services |= 1 << 5;
            c.uicc_capability |= capability::TUAK_128;
        },
        true,
    ),
    ("UICC capabilities", |_, c, _| c.uicc_capability = 0, true),
    (
        "Protection Profile version",
        |p, _, _| p.requires.pp_version = version("1"),
        true,
    ),
    (
        "Protection Profile version",
        |p, _, _| p.requires.pp_version = version("1.0.1"),
        false,
    ),
    (
        "eUICC category",
        |p, _, _| p.requires.category = Some(1),
        true,
    ),
    (
        "eUICC category",
        |p, _, _| p.requires.category = Some(2),
        false,
    ),
    (
        "eUICC category",
        |p, c, _| {
            p.requires.category = Some(1);
            c.category = None;
        },
        false,
    ),
    ("memory", |p, _, _| p.package.push(0), false),
    ("memory", |p, _, _| p.requires.memory = Some(0x1001), false),
    (
        "memory",
        |p, c, _| {
            p.package.push(0);
            c.ext_card_resource = vec![0x82, 1, 0];
        },
        true,
    ),
    (
        "device",
        |p, _, _| p.requires.device = vec![Network::Nr5gc],
        false,
    ),
    (
        "device",
        |p, _, _| p.requires.device = vec![Network::Nr5gc, Network::EutranEpc],
        true,
    ),
    (
        "device",
        |p, _, d| {
            p.requires.device = vec![Network::EutranEpc];
            d.capabilities = DeviceCapabilities::default();
        },
        false,
    ),
];

#[test]
fn every_rule_is_judged_on_both_sides_of_its_limit() {
    for (n, (rule, change, suits)) in CASES.iter().enumerate() {
        let (mut profile, mut card, mut device) = (profile(), card(), handset());
        change(&mut profile, &mut card, &mut device);
        let target = Target {
            card: &card,
            device: &device,
        };
        let verdict = profile.unsuited(target);
        assert_eq!(verdict.is_none(), *suits, "case {n}, {rule}: {verdict:?}");
        if let Some(why) = verdict {
            assert!(why.contains(&format!("({rule})")), "case {n}: {why}");
        }
    }
    for (rule, _) in RULES {
        let of_it = |suits: bool| CASES.iter().any(|(r, _, s)| *r == rule && *s == suits);
        assert!(
            of_it(true) && of_it(false),
            "{rule} has no case on each side"
        );
    }
}

#[test]
fn a_profile_that_demands_nothing_more_suits() {
    let (card, device) = (card(), handset());
    let target = Target {
        card: &card,
        device: &device,
    };
    assert_eq!(profile().unsuited(target), None);
}

#[test]
fn versions_are_read_as_people_write_them() {
    for (text, is) in [
        ("2", Some([2, 0, 0])),
        ("2.3", Some([2, 3, 0])),
        ("2.3.1", Some([2, 3, 1])),
        ("", None),
        ("2.3.1.0", None),
        ("256", None),
        ("2.x", None),
        ("-1", None),
    ] {
        let read = Minimum::try_from(text.to_owned()).ok().map(|m| m.0.0);
        assert_eq!(read, is, "{text:?}");
    }
}

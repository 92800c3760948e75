//! What the card says about itself: SGP.22 §5.7.3, §5.7.4, §5.7.7, §5.7.8, §5.7.20, §5.7.22.

use super::Rig;
use crate::rsp::findings::{Checked, hexed, must, one_of, same};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es10::{
    DataObject, EuiccInfo1, EuiccInfo2, GetEuiccChallengeRequest, GetEuiccChallengeResponse,
    GetEuiccDataRequest, GetEuiccDataResponse, GetRatRequest, GetRatResponse,
    SetDefaultDpAddressResult, eid_check_digits_fit, eid_digits,
};
use aid_rsp::tlv::Tlv;
use std::collections::BTreeSet;

table! { Rig;
    "SGP22-5.7.8/info1" [] ["4.2.13"] "SGP.22 §5.7.8" Must, always, info1,
        "EUICCInfo1 can be read, its SVN is 2.x, and both lists of CI keys have entries.";
    "SGP22-5.7.8/info2" [] ["4.2.13"] "SGP.22 §5.7.8" Must, always, info2,
        "EUICCInfo2 can be read, with free memory in extCardResource.";
    "SGP22-5.7.8/info-agree" [] [] "SGP.22 §5.7.8" Must, always, infos_agree,
        "SVN and the lists of CI keys are the same in EUICCInfo1 and EUICCInfo2.";
    "SGP22-5.7.8/svn-declared" [] [] "SGP.22 §5.7.8" Declared, has_svn, svn_declared,
        "The SVN is that of the target file.";
    "SGP22-5.7.20/eid" [] ["4.2.25"] "SGP.22 §5.7.20, SGP.29 §2.1" Must, always, eid,
        "The EID has 32 digits and right check digits.";
    "SGP22-5.7.20/eid-declared" [] [] "SGP.22 §5.7.20" Declared, has_eid, eid_declared,
        "The EID is that of the target file.";
    "SGP22-5.7.7/fresh" [] ["4.2.12"] "SGP.22 §5.7.7" Must, always, fresh,
        "Each GetEUICCChallenge yields another challenge of 16 bytes, also after a reset.";
    "SGP22-5.7.3/addresses" [] ["4.2.8"] "SGP.22 §5.7.3" Must, always, addresses,
        "GetEuiccConfiguredAddresses can be read.";
    "SGP22-5.7.4/set" [] ["4.2.9"] "SGP.22 §5.7.4" Must, always, set_address,
        "A default SM-DP+ address that was set is read back, and is gone when an empty one is set.";
    "SGP22-5.7.4/persists" [] [] "SGP.22 §5.7.4" Must, always, address_persists,
        "The default SM-DP+ address survives a reset.";
    "SGP22-5.7.22/rat" [] ["4.2.27"] "SGP.22 §5.7.22" Must, always, rat,
        "The Rules Authorisation Table can be read.";
    "SGP22-H/der" [] [] "SGP.22 Annex H" Must, always, der,
        "Responses are in DER: definite lengths in their shortest form.";
}

fn has_svn(rig: &Rig) -> Result<(), String> {
    match rig.target.svn {
        Some(_) => Ok(()),
        None => Err("[card] svn is not declared in the target file".to_owned()),
    }
}

fn has_eid(rig: &Rig) -> Result<(), String> {
    match rig.target.eid {
        Some(_) => Ok(()),
        None => Err("[card] eid is not declared in the target file".to_owned()),
    }
}

fn read_info1(rig: &mut Rig) -> Checked<EuiccInfo1> {
    let answer = rig.request("GetEUICCInfo1", &[0xBF, 0x20, 0x00])?;
    EuiccInfo1::from_slice(&answer)
        .map_err(|e| Finding::broken("EUICCInfo1 as RSPDefinitions has it", e.to_string()))
}

fn read_info2(rig: &mut Rig) -> Checked<EuiccInfo2> {
    let answer = rig.request("GetEUICCInfo2", &[0xBF, 0x22, 0x00])?;
    EuiccInfo2::from_slice(&answer)
        .map_err(|e| Finding::broken("EUICCInfo2 as RSPDefinitions has it", e.to_string()))
}

fn info1(rig: &mut Rig) -> Checked {
    let info = read_info1(rig)?;
    must(info.svn.0[0] == 2, "EUICCInfo1: svn 2.x", || {
        info.svn.to_string()
    })?;
    must(
        !info.ci_pkid_for_verification.is_empty(),
        "EUICCInfo1: at least one key in euiccCiPKIdListForVerification",
        || "an empty list".to_owned(),
    )?;
    must(
        !info.ci_pkid_for_signing.is_empty(),
        "EUICCInfo1: at least one key in euiccCiPKIdListForSigning",
        || "an empty list".to_owned(),
    )
}

fn info2(rig: &mut Rig) -> Checked {
    let info = read_info2(rig)?;
    must(
        info.free_nvm().is_some(),
        "EUICCInfo2: free non-volatile memory (tag 82) in extCardResource",
        || hexed(&info.ext_card_resource),
    )
}

fn infos_agree(rig: &mut Rig) -> Checked {
    let (one, two) = (read_info1(rig)?, read_info2(rig)?);
    same("EUICCInfo2: svn as in EUICCInfo1", &one.svn.0, &two.svn.0)?;
    same(
        "EUICCInfo2: euiccCiPKIdListForVerification as in EUICCInfo1",
        &one.ci_pkid_for_verification,
        &two.ci_pkid_for_verification,
    )?;
    same(
        "EUICCInfo2: euiccCiPKIdListForSigning as in EUICCInfo1",
        &one.ci_pkid_for_signing,
        &two.ci_pkid_for_signing,
    )
}

fn svn_declared(rig: &mut Rig) -> Checked {
    let declared = rig.target.svn.clone().unwrap_or_default();
    let svn = read_info1(rig)?.svn.to_string();
    same("svn as declared", &declared, &svn)
}

fn read_eid(rig: &mut Rig) -> Checked<[u8; 16]> {
    let answer: GetEuiccDataResponse = rig.call("GetEID", &GetEuiccDataRequest)?;
    Ok(answer.eid)
}

fn eid(rig: &mut Rig) -> Checked {
    let eid = read_eid(rig)?;
    let digits = eid_digits(&eid);
    must(
        digits.bytes().all(|b| b.is_ascii_digit()) && digits.starts_with("89"),
        "an EID of 32 decimal digits that begins with 89",
        || digits.clone(),
    )?;
    must(
        eid_check_digits_fit(&eid),
        "an EID whose number is 1 modulo 97",
        || digits.clone(),
    )
}

fn eid_declared(rig: &mut Rig) -> Checked {
    let declared = rig.target.eid.clone().unwrap_or_default();
    let seen = eid_digits(&read_eid(rig)?);
    same("EID as declared", &declared, &seen)
}

fn fresh(rig: &mut Rig) -> Checked {
    let mut seen = BTreeSet::new();
    for n in 0..8 {
        if n == 4 {
            rig.reset()?;
        }
        let answer: GetEuiccChallengeResponse =
            rig.call("GetEUICCChallenge", &GetEuiccChallengeRequest)?;
        let first = answer.challenge[0];
        must(
            answer.challenge.iter().any(|b| *b != first),
            "a random challenge",
            || hexed(&answer.challenge),
        )?;
        must(
            seen.insert(answer.challenge),
            "another challenge at each GetEUICCChallenge",
            || format!("{} again, at call {}", hexed(&answer.challenge), n + 1),
        )?;
    }
    Ok(())
}

fn addresses(rig: &mut Rig) -> Checked {
    rig.addresses().map(drop)
}

const SET: &str = "judge.smdp.example";

fn set(rig: &mut Rig, address: &str) -> Checked {
    let answer = rig.set_default_dp(address)?;
    one_of(
        "SetDefaultDpAddress",
        &[SetDefaultDpAddressResult::Ok],
        &answer.result,
    )
}

fn set_address(rig: &mut Rig) -> Checked {
    set(rig, SET)?;
    let read = rig.addresses()?.default_dp_address;
    same(
        "the default SM-DP+ address that was set",
        &Some(SET.to_owned()),
        &read,
    )?;
    set(rig, "")?;
    let read = rig.addresses()?.default_dp_address.unwrap_or_default();
    same(
        "no default SM-DP+ address after an empty one was set",
        "",
        &read,
    )
}

fn address_persists(rig: &mut Rig) -> Checked {
    set(rig, SET)?;
    rig.reset()?;
    let read = rig.addresses()?.default_dp_address;
    same(
        "the default SM-DP+ address after a reset",
        &Some(SET.to_owned()),
        &read,
    )
}

fn rat(rig: &mut Rig) -> Checked {
    let _: GetRatResponse = rig.call("GetRAT", &GetRatRequest)?;
    Ok(())
}

fn der(rig: &mut Rig) -> Checked {
    for (what, request) in [
        ("GetEUICCInfo1", &[0xBF, 0x20, 0x00][..]),
        ("GetEUICCInfo2", &[0xBF, 0x22, 0x00]),
        ("GetEuiccConfiguredAddresses", &[0xBF, 0x3C, 0x00]),
        ("GetEID", &[0xBF, 0x3E, 0x03, 0x5C, 0x01, 0x5A]),
    ] {
        let answer = rig.request(what, request)?;
        let shortest = is_der(&answer);
        must(
            shortest,
            &format!("{what}: lengths in their shortest form"),
            || hexed(&answer),
        )?;
    }
    Ok(())
}

/// Has every length here its shortest form?
fn is_der(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Ok((tlv, tail)) = Tlv::split(rest) else {
            return false;
        };
        let header = tlv.raw.len() - tlv.value.len();
        if header != aid_rsp::tlv::tlv_len(tlv.tag, tlv.value.len()) - tlv.value.len() {
            return false;
        }
        if tlv.is_constructed() && !is_der(tlv.value) {
            return false;
        }
        rest = tail;
    }
    true
}

//! ES9+.GetBoundProfilePackage: SGP.22 §2.5, §3.1.3, §5.6.2.

use super::steps::{Offered, Wish};
use super::{Rig, with_es2, with_order};
use crate::rsp::dp::other_transaction;
use crate::rsp::euicc::LONGEST_SEGMENT;
use crate::rsp::findings::{Checked, must, same};
use crate::rsp::table;
use crate::test::Finding;
use aid_rsp::crypto::KeyPair;
use aid_rsp::es9::Hex;
use aid_rsp::es10::{
    DataObject, DownloadErrorCode, EuiccSigned2, PrepareDownloadResponse, StoreMetadataRequest,
};

table! { Rig;
    "SGP22-5.6.2/opens" ["R-3.2-5", "R-4.3-10"] ["TC_SM-DP+_ES9+.GetBoundProfilePackageNIST"] "SGP.22 §2.5, §5.6.2" Must, with_order, opens,
        "The package is bound to the eUICC's one-time key, each MAC verifies, and the metadata are those that were offered.";
    "SGP22-5.6.2/segments" [] [] "SGP.22 §2.5.5" Must, with_order, segments,
        "No segment of the package is longer than 1,020 bytes.";
    "SGP22-5.6.2/unknown-transaction" [] ["TC_SM-DP+_ES9+.GetBoundProfilePackageNIST"] "SGP.22 §5.6.2" Must, with_order, unknown_transaction,
        "A transactionId that the server has not given is refused with 8.10.1/3.9.";
    "SGP22-5.6.2/flipped-signature" [] ["TC_SM-DP+_ES9+.GetBoundProfilePackageNIST"] "SGP.22 §5.6.2" Must, with_order, flipped_signature,
        "A euiccSignature2 with one bit changed is refused with 8.1/6.1.";
    "SGP22-5.6.2/off-curve" [] [] "SGP.22 §2.6.7.1" Must, with_order, off_curve,
        "A one-time key that is no point on the curve gets no package.";
    "SGP22-5.6.2/refused-download" [] [] "SGP.22 §5.6.2" Must, with_order, refused_download,
        "A downloadResponseError of the eUICC is not executed.";
    "SGP22-5.6.2/code-missing" [] ["TC_SM-DP+_ES9+.GetBoundProfilePackageNIST"] "SGP.22 §5.6.2" Must, with_es2, code_missing,
        "An order with a Confirmation Code is refused without it, with 8.2.7/2.2.";
    "SGP22-5.6.2/code-wrong" [] ["TC_SM-DP+_ES9+.GetBoundProfilePackageNIST"] "SGP.22 §5.6.2" Must, with_es2, code_wrong,
        "A wrong Confirmation Code is refused with 8.2.7/3.8.";
    "SGP22-5.6.2/code-right" [] ["TC_SM-DP+_ES9+.GetBoundProfilePackageNIST"] "SGP.22 §5.6.2" Must, with_es2, code_right,
        "The right Confirmation Code gets the package.";
}

/// The Confirmation Code of the judge's orders.
const CODE: &str = "4711";

fn bound(rig: &mut Rig, offered: &Offered, code: Option<&str>) -> Checked<(Vec<u8>, KeyPair)> {
    let key = rig.one_time_key(offered);
    let said = rig.package(offered, &key, code)?;
    let ok = said.executed("GetBoundProfilePackage of an offer")?;
    same(
        "transactionId of the answer",
        &offered.begun.ok.transaction_id,
        &ok.transaction_id,
    )?;
    Ok((ok.bound_profile_package.into_bytes(), key))
}

fn opens(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let (bpp, key) = bound(rig, &offered, None)?;
    let opened = rig
        .euicc
        .open(&bpp, offered.begun.id, &key, &offered.dppb)?;
    let shown = StoreMetadataRequest::from_slice(offered.ok.profile_metadata.as_bytes());
    let shown = shown.map_err(|e| Finding::broken("profileMetadata", e.to_string()))?;
    same(
        "StoreMetadata of the package: as profileMetadata",
        &shown,
        &opened.metadata,
    )?;
    must(
        opened.elements.first() == Some(&0xA0),
        "profile elements that begin with a ProfileHeader (A0)",
        || format!("{:02X?}", opened.elements.first()),
    )
}

fn segments(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let (bpp, key) = bound(rig, &offered, None)?;
    let opened = rig
        .euicc
        .open(&bpp, offered.begun.id, &key, &offered.dppb)?;
    must(
        opened.longest <= LONGEST_SEGMENT,
        "segments of at most 1,020 bytes with tag and length",
        || format!("one of {} bytes", opened.longest),
    )
}

fn prepared(rig: &mut Rig, offered: &Offered) -> Checked<Vec<u8>> {
    let key = rig.one_time_key(offered);
    let value = EuiccSigned2 {
        transaction_id: offered.begun.id,
        euicc_otpk: key.public.as_bytes().to_vec(),
        hash_cc: None,
    };
    let response = rig
        .euicc
        .prepare(value, offered.ok.smdp_signature2.as_bytes())?;
    Ok(response.to_vec())
}

fn unknown_transaction(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let response = prepared(rig, &offered)?;
    let other = other_transaction(offered.begun.id);
    let id = Hex::new(other.as_bytes()).ok_or_else(|| Finding::Hidden("no id".to_owned()))?;
    let said = rig.get_package(&id, &response)?;
    said.spoken.refused(
        "GetBoundProfilePackage of an unknown transactionId",
        &[("8.10.1", "3.9")],
    )
}

fn flipped_signature(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let mut response = prepared(rig, &offered)?;
    if let Some(last) = response.last_mut() {
        *last ^= 1;
    }
    let said = rig.get_package(&offered.begun.ok.transaction_id, &response)?;
    said.spoken
        .refused("a euiccSignature2 with one bit changed", &[("8.1", "6.1")])
}

fn off_curve(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let mut point = rig.one_time_key(&offered).public.as_bytes().to_vec();
    if let Some(last) = point.last_mut() {
        *last ^= 1;
    }
    let value = EuiccSigned2 {
        transaction_id: offered.begun.id,
        euicc_otpk: point,
        hash_cc: None,
    };
    let said = rig.package_of(&offered, value)?;
    said.spoken
        .refused_somehow("GetBoundProfilePackage with an otPK.EUICC.ECKA off the curve")
}

fn refused_download(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let response = PrepareDownloadResponse::Error {
        transaction_id: offered.begun.id,
        code: DownloadErrorCode::InvalidSignature,
    };
    let said = rig.get_package(&offered.begun.ok.transaction_id, &response.to_vec())?;
    said.spoken
        .refused_somehow("GetBoundProfilePackage with downloadResponseError")
}

fn with_code(rig: &mut Rig) -> Checked<Offered> {
    let wish = Wish {
        code: Some(CODE),
        ..Wish::default()
    };
    let order = rig.place(wish)?;
    rig.offer(&order.matching_id)
}

fn code_missing(rig: &mut Rig) -> Checked {
    let offered = with_code(rig)?;
    let key = rig.one_time_key(&offered);
    let said = rig.package(&offered, &key, None)?;
    said.spoken.refused(
        "an order with Confirmation Code, without it",
        &[("8.2.7", "2.2")],
    )
}

fn code_wrong(rig: &mut Rig) -> Checked {
    let offered = with_code(rig)?;
    let key = rig.one_time_key(&offered);
    let said = rig.package(&offered, &key, Some("4712"))?;
    said.spoken
        .refused("a wrong Confirmation Code", &[("8.2.7", "3.8")])
}

fn code_right(rig: &mut Rig) -> Checked {
    let offered = with_code(rig)?;
    let (bpp, key) = bound(rig, &offered, Some(CODE))?;
    rig.euicc
        .open(&bpp, offered.begun.id, &key, &offered.dppb)
        .map(drop)
}

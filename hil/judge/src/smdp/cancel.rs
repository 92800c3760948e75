//! ES9+.CancelSession: SGP.22 §3.1.3 (3.0.2), §5.6.5.

use super::steps::Offered;
use super::{Rig, with_order};
use crate::rsp::dp::other_transaction;
use crate::rsp::findings::Checked;
use crate::rsp::table;
use crate::test::Finding;
use aid_rsp::es9::Hex;
use aid_rsp::es10::{CancelSessionReason, DataObject};

table! { Rig;
    "SGP22-5.6.5/ends" [] ["TC_SM-DP+_ES9+.CancelSessionNIST"] "SGP.22 §5.6.5" Must, with_order, ends,
        "CancelSession is executed, and its session gets no package any more (8.10.1/3.9).";
    "SGP22-5.6.5/postponed" [] ["TC_SM-DP+_ES9+.CancelSessionNIST"] "SGP.22 §5.6.5" Must, with_order, postponed,
        "After postponed the order is offered again.";
    "SGP22-5.6.5/rejected" [] ["TC_SM-DP+_ES9+.CancelSessionNIST"] "SGP.22 §5.6.5" Must, with_order, rejected,
        "After endUserRejection the order is not offered any more.";
    "SGP22-5.6.5/unknown-transaction" [] ["TC_SM-DP+_ES9+.CancelSessionNIST"] "SGP.22 §5.6.5" Must, with_order, unknown_transaction,
        "A transactionId that the server has not given is refused with 8.10.1/3.9.";
    "SGP22-5.6.5/flipped-signature" [] ["TC_SM-DP+_ES9+.CancelSessionNIST"] "SGP.22 §5.6.5" Must, with_order, flipped_signature,
        "A euiccCancelSessionSignature with one bit changed is refused with 8.1/6.1.";
    "SGP22-5.6.5/other-oid" [] ["TC_SM-DP+_ES9+.CancelSessionNIST"] "SGP.22 §5.6.5" Must, with_order, other_oid,
        "The OID of another SM-DP+ is refused with 8.8/3.10.";
}

fn response(rig: &Rig, offered: &Offered, reason: CancelSessionReason) -> Checked<Vec<u8>> {
    let oid = offered.dppb.registered_id().unwrap_or_default();
    Ok(rig.euicc.cancel(offered.begun.id, oid, reason)?.to_vec())
}

fn cancelled(rig: &mut Rig, reason: CancelSessionReason) -> Checked<(Offered, String)> {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let bytes = response(rig, &offered, reason)?;
    let said = rig.cancel_session(&offered.begun.ok.transaction_id, &bytes)?;
    said.spoken.executed(&format!("CancelSession ({reason})"))?;
    Ok((offered, order.matching_id))
}

fn ends(rig: &mut Rig) -> Checked {
    let (offered, _) = cancelled(rig, CancelSessionReason::Postponed)?;
    let key = rig.one_time_key(&offered);
    let said = rig.package(&offered, &key, None)?;
    said.spoken.refused(
        "GetBoundProfilePackage after CancelSession",
        &[("8.10.1", "3.9")],
    )
}

fn postponed(rig: &mut Rig) -> Checked {
    let (_, matching_id) = cancelled(rig, CancelSessionReason::Postponed)?;
    rig.offer(&matching_id).map(drop)
}

fn rejected(rig: &mut Rig) -> Checked {
    let (_, matching_id) = cancelled(rig, CancelSessionReason::EndUserRejection)?;
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(&card, Some(&matching_id), |_| {}, |_| {})?;
    said.spoken
        .refused_somehow("an order that its user has rejected")
}

fn unknown_transaction(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let bytes = response(rig, &offered, CancelSessionReason::Postponed)?;
    let other = other_transaction(offered.begun.id);
    let id = Hex::new(other.as_bytes()).ok_or_else(|| Finding::Hidden("no id".to_owned()))?;
    let said = rig.cancel_session(&id, &bytes)?;
    said.spoken.refused(
        "CancelSession of an unknown transactionId",
        &[("8.10.1", "3.9")],
    )
}

fn flipped_signature(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let mut bytes = response(rig, &offered, CancelSessionReason::Postponed)?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let said = rig.cancel_session(&offered.begun.ok.transaction_id, &bytes)?;
    said.spoken.refused(
        "a euiccCancelSessionSignature with one bit changed",
        &[("8.1", "6.1")],
    )
}

fn other_oid(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let cancelled = rig.euicc.cancel(
        offered.begun.id,
        &[0x88, 0x37, 0x7F],
        CancelSessionReason::Postponed,
    )?;
    let said = rig.cancel_session(&offered.begun.ok.transaction_id, &cancelled.to_vec())?;
    said.spoken.refused(
        "CancelSession with the OID of another SM-DP+",
        &[("8.8", "3.10")],
    )
}

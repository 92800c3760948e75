//! ES2+: SGP.22 §5.3, §6.5.2.1 to §6.5.2.4.

use super::steps::Wish;
use super::{Rig, with_es2};
use crate::rsp::findings::{Checked, must, same};
use crate::rsp::http::Request;
use crate::rsp::table;
use crate::test::Finding;
use serde_json::json;

/// An ICCID that no server has.
const UNKNOWN: &str = "8988000000000000000";

table! { Rig;
    "SGP22-5.3/certificate" [] [] "SGP.22 §6.1" Must, with_es2, certificate,
        "ES2+ without a client certificate is refused.";
    "SGP22-5.3/header" [] [] "SGP.22 §6.2, §6.5.1" Must, with_es2, header,
        "An answer of ES2+ is JSON with X-Admin-Protocol.";
    "SGP22-5.3.1/orders" [] [] "SGP.22 §5.3.1" Must, with_es2, orders,
        "DownloadOrder reserves a profile and answers its ICCID.";
    "SGP22-5.3.1/unknown" [] [] "SGP.22 §5.3.1" Must, with_es2, order_unknown,
        "DownloadOrder of an unknown ICCID is refused with 8.2.1/3.9.";
    "SGP22-5.3.1/in-use" [] [] "SGP.22 §5.3.1" Must, with_es2, in_use,
        "DownloadOrder of a profile that is reserved is refused with 8.2.1/3.3.";
    "SGP22-5.3.1/unknown-type" [] [] "SGP.22 §5.3.1" Must, with_es2, unknown_type,
        "DownloadOrder of an unknown profileType is refused with 8.2.5/3.9.";
    "SGP22-5.3.1/repeated" [] [] "SGP.22 §5.3" Should, with_es2, repeated,
        "A repetition of DownloadOrder with the same functionCallIdentifier is answered as before.";
    "SGP22-5.3.2/confirms" [] [] "SGP.22 §5.3.2" Must, with_es2, confirms,
        "ConfirmOrder takes the operator's MatchingID, which the order is then found by.";
    "SGP22-5.3.2/unknown" [] [] "SGP.22 §5.3.2" Must, with_es2, confirm_unknown,
        "ConfirmOrder of an unknown ICCID is refused with 8.2.1/3.9.";
    "SGP22-5.3.2/other-eid" [] [] "SGP.22 §5.3.2" Must, with_es2, confirm_other_eid,
        "ConfirmOrder with another EID than DownloadOrder is refused with 8.1.1/3.10.";
    "SGP22-5.3.4/releases" [] [] "SGP.22 §5.3.4" Must, with_es2, releases,
        "ReleaseProfile lets a confirmed order be downloaded.";
    "SGP22-5.3.4/unconfirmed" [] [] "SGP.22 §5.3.4" Must, with_es2, release_unconfirmed,
        "ReleaseProfile of an order that is not confirmed is refused with 8.2.1/3.5.";
    "SGP22-5.3.4/unknown" [] [] "SGP.22 §5.3.4" Must, with_es2, release_unknown,
        "ReleaseProfile of an unknown ICCID is refused with 8.2.1/3.9.";
    "SGP22-5.3.3/cancels" [] [] "SGP.22 §5.3.3" Must, with_es2, cancels,
        "An order that was cancelled is not offered any more, and its profile can be ordered again.";
    "SGP22-5.3.3/unknown" [] [] "SGP.22 §5.3.3" Must, with_es2, cancel_unknown,
        "CancelOrder of an unknown ICCID is refused with 8.2.1/3.9.";
    "SGP22-5.3.3/matching-id" [] [] "SGP.22 §5.3.3" Must, with_es2, cancel_matching_id,
        "CancelOrder with another MatchingID is refused with 8.2.6/3.10.";
    "SGP22-5.3.3/other-eid" [] [] "SGP.22 §5.3.3" Must, with_es2, cancel_other_eid,
        "CancelOrder with another EID is refused with 8.1.1/3.10.";
}

fn certificate(rig: &mut Rig) -> Checked {
    let client = rig
        .stranger
        .clone()
        .ok_or_else(|| Finding::Lacking("no ES2+".to_owned()))?;
    // That the server can be reached is seen first.
    rig.es2_call("downloadOrder", json!({"iccid": UNKNOWN}))?;
    let request = Request {
        path: "/gsma/rsp2/es2plus/downloadOrder".to_owned(),
        headers: Rig::headers(),
        body:
            json!({"header": {"functionRequesterIdentifier": "1", "functionCallIdentifier": "1"}})
                .to_string()
                .into_bytes(),
    };
    match rig.send(true, &client, &request) {
        // TLS refuses it.
        Err(Finding::Hidden(_)) => Ok(()),
        Err(other) => Err(other),
        Ok(answer) => must(
            (400..500).contains(&answer.status),
            "ES2+ without a client certificate: TLS refuses it, or HTTP status 4xx",
            || format!("HTTP status {}", answer.status),
        ),
    }
}

fn header(rig: &mut Rig) -> Checked {
    let (client, operator) = rig.es2().map_err(Finding::Lacking)?.clone();
    let body = json!({
        "header": {"functionRequesterIdentifier": operator.requester, "functionCallIdentifier": "JUDGE-H"},
        "iccid": UNKNOWN,
    });
    let request = Request {
        path: "/gsma/rsp2/es2plus/downloadOrder".to_owned(),
        headers: Rig::headers(),
        body: body.to_string().into_bytes(),
    };
    let answer = rig.send(true, &client, &request)?;
    let version = answer.header("x-admin-protocol").unwrap_or_default();
    must(
        version.starts_with("gsma/rsp/v2."),
        "the header X-Admin-Protocol: gsma/rsp/v2.x.y",
        || format!("{version:?}"),
    )?;
    let kind = answer.header("content-type").unwrap_or_default();
    must(
        kind.starts_with("application/json"),
        "the header Content-Type: application/json",
        || format!("{kind:?}"),
    )
}

fn orders(rig: &mut Rig) -> Checked {
    let iccid = rig.reserve(None)?;
    let digits = iccid.trim_end_matches(['F', 'f']);
    must(
        digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() >= 18,
        "iccid of 18 to 20 digits",
        || iccid.clone(),
    )
}

fn order_unknown(rig: &mut Rig) -> Checked {
    let spoken = rig.es2_call("downloadOrder", json!({"iccid": UNKNOWN}))?;
    spoken.refused("DownloadOrder of an unknown ICCID", &[("8.2.1", "3.9")])
}

fn in_use(rig: &mut Rig) -> Checked {
    let iccid = rig.reserve(None)?;
    let spoken = rig.es2_call("downloadOrder", json!({"iccid": iccid}))?;
    spoken.refused("DownloadOrder of a reserved profile", &[("8.2.1", "3.3")])
}

fn unknown_type(rig: &mut Rig) -> Checked {
    let spoken = rig.es2_call(
        "downloadOrder",
        json!({"profileType": "judge no such type"}),
    )?;
    spoken.refused(
        "DownloadOrder of an unknown profileType",
        &[("8.2.5", "3.9")],
    )
}

fn repeated(rig: &mut Rig) -> Checked {
    let iccid = rig.reserve(None)?;
    rig.cancel_placed();
    let call = format!("JUDGE-AGAIN-{:08X}", rig.rng.below(u32::MAX as usize));
    let body = json!({"iccid": iccid});
    let first = rig.es2_call_as("downloadOrder", body.clone(), &call)?;
    let first = first.executed("DownloadOrder")?;
    rig.remember(&iccid, None);
    let again = rig.es2_call_as("downloadOrder", body, &call)?;
    let again = again.executed("DownloadOrder with the functionCallIdentifier of before")?;
    same("iccid of a repetition", &first["iccid"], &again["iccid"])
}

fn confirms(rig: &mut Rig) -> Checked {
    let own = format!("JUDGE-{:08X}", rig.rng.below(u32::MAX as usize));
    let order = rig.place(Wish {
        matching_id: Some(&own),
        ..Wish::default()
    })?;
    same(
        "matchingId of the operator's choice",
        &own,
        &order.matching_id,
    )?;
    rig.offer(&own).map(drop)
}

fn confirm_unknown(rig: &mut Rig) -> Checked {
    let body = json!({"iccid": UNKNOWN, "releaseFlag": true});
    let spoken = rig.es2_call("confirmOrder", body)?;
    spoken.refused("ConfirmOrder of an unknown ICCID", &[("8.2.1", "3.9")])
}

fn other_digits(eid: &str) -> String {
    let swap = |c: char| if c == '1' { '2' } else { '1' };
    let last = eid.chars().last().map(swap);
    eid.chars()
        .take(eid.len().saturating_sub(1))
        .chain(last)
        .collect()
}

fn confirm_other_eid(rig: &mut Rig) -> Checked {
    let eid = rig.eid();
    let iccid = rig.reserve(Some(&eid))?;
    let body = json!({"iccid": iccid, "eid": other_digits(&eid), "releaseFlag": true});
    let spoken = rig.es2_call("confirmOrder", body)?;
    spoken.refused("ConfirmOrder with another EID", &[("8.1.1", "3.10")])
}

fn releases(rig: &mut Rig) -> Checked {
    let order = rig.place(Wish {
        held: true,
        ..Wish::default()
    })?;
    let spoken = rig.es2_call("releaseProfile", json!({"iccid": order.iccid}))?;
    spoken.executed("ReleaseProfile of a confirmed order")?;
    rig.offer(&order.matching_id).map(drop)
}

fn release_unconfirmed(rig: &mut Rig) -> Checked {
    let iccid = rig.reserve(None)?;
    let spoken = rig.es2_call("releaseProfile", json!({"iccid": iccid}))?;
    spoken.refused("ReleaseProfile before ConfirmOrder", &[("8.2.1", "3.5")])
}

fn release_unknown(rig: &mut Rig) -> Checked {
    let spoken = rig.es2_call("releaseProfile", json!({"iccid": UNKNOWN}))?;
    spoken.refused("ReleaseProfile of an unknown ICCID", &[("8.2.1", "3.9")])
}

fn cancels(rig: &mut Rig) -> Checked {
    let order = rig.place(Wish::default())?;
    let body = json!({"iccid": order.iccid, "finalProfileStatusIndicator": "Available"});
    let spoken = rig.es2_call("cancelOrder", body)?;
    spoken.executed("CancelOrder of a released order")?;
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(&card, Some(&order.matching_id), |_| {}, |_| {})?;
    said.spoken
        .refused("an order that was cancelled", &[("8.2.6", "3.8")])?;
    let again = rig.es2_call("downloadOrder", json!({"iccid": order.iccid}))?;
    again.executed("DownloadOrder of a profile whose order was cancelled")?;
    Ok(())
}

fn cancel_unknown(rig: &mut Rig) -> Checked {
    let body = json!({"iccid": UNKNOWN, "finalProfileStatusIndicator": "Available"});
    let spoken = rig.es2_call("cancelOrder", body)?;
    spoken.refused("CancelOrder of an unknown ICCID", &[("8.2.1", "3.9")])
}

fn cancel_matching_id(rig: &mut Rig) -> Checked {
    let order = rig.place(Wish::default())?;
    let body = json!({
        "iccid": order.iccid,
        "matchingId": "JUDGE-ANOTHER",
        "finalProfileStatusIndicator": "Available",
    });
    let spoken = rig.es2_call("cancelOrder", body)?;
    spoken.refused("CancelOrder with another MatchingID", &[("8.2.6", "3.10")])
}

fn cancel_other_eid(rig: &mut Rig) -> Checked {
    let eid = rig.eid();
    let order = rig.place(Wish {
        eid: Some(&eid),
        ..Wish::default()
    })?;
    let body = json!({
        "iccid": order.iccid,
        "eid": other_digits(&eid),
        "finalProfileStatusIndicator": "Available",
    });
    let spoken = rig.es2_call("cancelOrder", body)?;
    spoken.refused("CancelOrder with another EID", &[("8.1.1", "3.10")])
}

//! ES9+.AuthenticateClient: SGP.22 §3.1.2, §5.6.3.

use super::steps::Wish;
use super::{Rig, with_es2, with_order, with_other_card};
use crate::rsp::dp::{flipped, other_transaction};
use crate::rsp::findings::{Checked, must, same};
use crate::rsp::profile::swapped;
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::cert::{Role, TrustAnchor};
use aid_rsp::crypto::Crypto as _;
use aid_rsp::es9::Hex;
use aid_rsp::es10::{
    AuthenticateErrorCode, AuthenticateServerResponse, DataObject, Signature, StoreMetadataRequest,
};
use aid_rsp::pki::{DAY, MintParams, RspPki};

table! { Rig;
    "SGP22-5.6.3/offer" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, with_order, offer,
        "A released order is offered: metadata of its profile, and smdpSigned2 of this session.";
    "SGP22-5.6.3/signature" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, with_order, signature,
        "smdpSignature2 covers smdpSigned2 and euiccSignature1, by the key of CERT.DPpb of the same SM-DP+.";
    "SGP22-5.6.3/unknown-transaction" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, unknown_transaction,
        "A transactionId that the server has not given is refused with 8.10.1/3.9.";
    "SGP22-5.6.3/foreign-transaction" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, foreign_transaction,
        "The response of one session under the transactionId of another is refused.";
    "SGP22-5.6.3/flipped-signature" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, flipped_signature,
        "A euiccSignature1 with one bit changed is refused with 8.1/6.1.";
    "SGP22-5.6.3/server-challenge" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, server_challenge,
        "A euiccSigned1 with another serverChallenge is refused with 8.1/6.1.";
    "SGP22-5.6.3/euicc-certificate" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, euicc_certificate,
        "A forged CERT.EUICC is refused with 8.1.3/6.1.";
    "SGP22-5.6.3/eum-certificate" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, eum_certificate,
        "A forged CERT.EUM is refused with 8.1.2/6.1.";
    "SGP22-5.6.3/foreign-ci" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, foreign_ci,
        "An eUICC of another CI is refused with 8.11.1/3.9.";
    "SGP22-5.6.3/refused-server" [] [] "SGP.22 §5.6.3" Must, always, refused_server,
        "An authenticateResponseError of the eUICC is not executed.";
    "SGP22-5.6.3/matching-id" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, always, matching_id,
        "A MatchingID that no order has is refused with 8.2.6/3.8.";
    "SGP22-5.6.3/repeated" [] [] "SGP.22 §5.6.3" Must, with_order, repeated,
        "A response that was used is refused, or answered as before.";
    "SGP22-5.6.3/confirmation-code" [] [] "SGP.22 §5.6.3" Must, with_es2, confirmation_code,
        "ccRequiredFlag says whether the order has a Confirmation Code.";
    "SGP22-5.6.3/not-released" [] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, with_es2, not_released,
        "An order that is not released is refused with 8.2/1.2.";
    "SGP22-5.6.3/other-eid" ["R-4.3-6"] ["TC_SM-DP+_ES9+.AuthenticateClientNIST"] "SGP.22 §5.6.3" Must, with_other_card, other_eid,
        "An order that is bound to one eUICC is refused to another with 8.1.1/3.8.";
}

/// A MatchingID that no order has.
const NO_ORDER: &str = "JUDGE-NO-SUCH-ORDER";

fn offer(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    same(
        "transactionId of the answer",
        &offered.begun.ok.transaction_id,
        &offered.ok.transaction_id,
    )?;
    same(
        "smdpSigned2: transactionId",
        &offered.begun.id,
        &offered.signed.value().transaction_id,
    )?;
    let metadata = StoreMetadataRequest::from_slice(offered.ok.profile_metadata.as_bytes());
    let metadata = metadata.map_err(|e| Finding::broken("profileMetadata", e.to_string()))?;
    if !order.iccid.is_empty() {
        let digits = order.iccid.trim_end_matches(['F', 'f']);
        same(
            "profileMetadata: the ICCID of the order",
            &swapped(digits),
            &metadata.iccid,
        )?;
    }
    Ok(())
}

fn signature(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let signature = Signature::from_tlv(offered.ok.smdp_signature2.as_bytes())
        .map_err(|e| Finding::broken("smdpSignature2 as data object 5F37", e.to_string()))?;
    let covered = offered.response.euicc_signature1.to_tlv();
    let crypto = rig.euicc.crypto.clone();
    let parts = [offered.signed.bytes(), &covered];
    let verified = crypto.verify(offered.dppb.public_key(), &parts, signature.as_bytes());
    must(
        verified.is_ok(),
        "smdpSignature2 over smdpSigned2 and euiccSignature1",
        || "a signature that does not verify".to_owned(),
    )?;
    let anchor = TrustAnchor::new(rig.ci.clone(), &crypto)
        .map_err(|e| Finding::Lacking(format!("the CI of [smdp.euicc] is none: {e}")))?;
    anchor
        .verify_leaf(&offered.dppb, Role::DpPb, &crypto, None)
        .map_err(|e| Finding::broken("smdpCertificate: CERT.DPpb under the CI", e.to_string()))?;
    let auth = aid_rsp::cert::Certificate::from_der(offered.begun.ok.server_certificate.as_bytes());
    let auth = auth.map_err(|e| Finding::broken("serverCertificate", e.to_string()))?;
    same(
        "the OID of CERT.DPpb: that of CERT.DPauth",
        &auth.registered_id(),
        &offered.dppb.registered_id(),
    )
}

fn unknown_transaction(rig: &mut Rig) -> Checked {
    let begun = rig.initiate()?;
    let card = rig.euicc.clone();
    let mut value = card.signed1(begun.signed.value(), Some(NO_ORDER));
    value.transaction_id = other_transaction(begun.id);
    let id = Hex::new(value.transaction_id.as_bytes())
        .ok_or_else(|| Finding::Hidden("no transactionId".to_owned()))?;
    let response = AuthenticateServerResponse::Ok(Box::new(card.authenticate(value)?));
    let said = rig.authenticate_client(&id, &response)?;
    said.spoken.refused(
        "AuthenticateClient of an unknown transactionId",
        &[("8.10.1", "3.9")],
    )
}

fn foreign_transaction(rig: &mut Rig) -> Checked {
    let (one, other) = (rig.initiate()?, rig.initiate()?);
    let card = rig.euicc.clone();
    let response = card.authenticate(card.signed1(one.signed.value(), Some(NO_ORDER)))?;
    let response = AuthenticateServerResponse::Ok(Box::new(response));
    let said = rig.authenticate_client(&other.ok.transaction_id, &response)?;
    let what = "the response of one session under the transactionId of another";
    said.spoken
        .refused(what, &[("8.10.1", "3.9"), ("8.1", "6.1")])
}

fn flipped_signature(rig: &mut Rig) -> Checked {
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(
        &card,
        Some(NO_ORDER),
        |_| {},
        |ok| {
            ok.euicc_signature1 = flipped(&ok.euicc_signature1);
        },
    )?;
    said.spoken
        .refused("a euiccSignature1 with one bit changed", &[("8.1", "6.1")])
}

fn server_challenge(rig: &mut Rig) -> Checked {
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(
        &card,
        Some(NO_ORDER),
        |v| v.server_challenge[0] ^= 1,
        |_| {},
    )?;
    said.spoken.refused(
        "a euiccSigned1 with another serverChallenge",
        &[("8.1", "6.1")],
    )
}

fn euicc_certificate(rig: &mut Rig) -> Checked {
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(
        &card,
        Some(NO_ORDER),
        |_| {},
        |ok| {
            if let Some(last) = ok.euicc_certificate.last_mut() {
                *last ^= 1;
            }
        },
    )?;
    said.spoken.refused(
        "a CERT.EUICC with one bit changed in its signature",
        &[("8.1.3", "6.1")],
    )
}

fn eum_certificate(rig: &mut Rig) -> Checked {
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(
        &card,
        Some(NO_ORDER),
        |_| {},
        |ok| {
            if let Some(last) = ok.eum_certificate.last_mut() {
                *last ^= 1;
            }
        },
    )?;
    said.spoken.refused(
        "a CERT.EUM with one bit changed in its signature",
        &[("8.1.2", "6.1")],
    )
}

fn foreign_ci(rig: &mut Rig) -> Checked {
    let mut card = rig.euicc.clone();
    let eid = card.eid;
    let params = MintParams {
        curve: card.identity.key.public.curve(),
        ..MintParams::loopback(&eid, DAY, 4_000_000_000)
    };
    let foreign = RspPki::mint(&params, &card.crypto, &mut rig.rng)
        .map_err(|e| Finding::Hidden(format!("no foreign PKI could be minted: {e}")))?;
    card.identity = foreign.euicc;
    card.eum = foreign.eum.certificate;
    let said = rig.authenticate_as(&card, Some(NO_ORDER), |_| {}, |_| {})?;
    said.spoken.refused(
        "an eUICC of another CI",
        &[("8.11.1", "3.9"), ("8.1.2", "6.1")],
    )
}

fn refused_server(rig: &mut Rig) -> Checked {
    let begun = rig.initiate()?;
    let response = AuthenticateServerResponse::Error {
        transaction_id: begun.id,
        code: AuthenticateErrorCode::InvalidSignature,
    };
    let said = rig.authenticate_client(&begun.ok.transaction_id, &response)?;
    said.spoken
        .refused_somehow("AuthenticateClient with authenticateResponseError")
}

fn matching_id(rig: &mut Rig) -> Checked {
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(&card, Some(NO_ORDER), |_| {}, |_| {})?;
    said.spoken
        .refused("a MatchingID that no order has", &[("8.2.6", "3.8")])
}

fn repeated(rig: &mut Rig) -> Checked {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let response = AuthenticateServerResponse::Ok(Box::new(offered.response.clone()));
    let again = rig.authenticate_client(&offered.begun.ok.transaction_id, &response)?;
    match again.output {
        None => Ok(()),
        Some(ok) => same(
            "smdpSigned2 of a repetition, as before",
            offered.ok.smdp_signed2.as_bytes(),
            ok.smdp_signed2.as_bytes(),
        ),
    }
}

fn confirmation_code(rig: &mut Rig) -> Checked {
    for code in [None, Some("12345678")] {
        let wish = Wish {
            code,
            ..Wish::default()
        };
        let order = rig.place(wish)?;
        let offered = rig.offer(&order.matching_id)?;
        let flag = offered.signed.value().cc_required;
        let what = match code {
            None => "ccRequiredFlag of an order without Confirmation Code",
            Some(_) => "ccRequiredFlag of an order with Confirmation Code",
        };
        same(what, &code.is_some(), &flag)?;
        rig.cancel_placed();
    }
    Ok(())
}

fn not_released(rig: &mut Rig) -> Checked {
    let wish = Wish {
        held: true,
        ..Wish::default()
    };
    let order = rig.place(wish)?;
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(&card, Some(&order.matching_id), |_| {}, |_| {})?;
    said.spoken.refused(
        "the order that is confirmed and not released",
        &[("8.2", "1.2")],
    )
}

fn other_eid(rig: &mut Rig) -> Checked {
    let eid = rig.eid();
    let wish = Wish {
        eid: Some(&eid),
        ..Wish::default()
    };
    let order = rig.place(wish)?;
    let other = rig.other_card().map_err(Finding::Lacking)?;
    let said = rig.authenticate_as(&other, Some(&order.matching_id), |_| {}, |_| {})?;
    said.spoken.refused(
        "another eUICC with the MatchingID of an order",
        &[("8.1.1", "3.8")],
    )?;
    // The refusal must not spend the order.
    rig.offer(&order.matching_id).map(drop)
}

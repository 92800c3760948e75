//! ES10b.PrepareDownload: SGP.22 §3.1.3, §5.7.5.

use super::installing::Authenticated;
use super::{Rig, with_server};
use crate::rsp::dp::{Dp, flipped, other_transaction};
use crate::rsp::findings::{Checked, must, one_of, same};
use crate::rsp::table;
use crate::test::Finding;
use aid_rsp::crypto::{Crypto as _, PublicKey};
use aid_rsp::es10::{
    DownloadErrorCode as Code, PrepareDownloadRequest, PrepareDownloadResponse, Signed, SmdpSigned2,
};

table! { Rig;
    "SGP22-5.7.5/signed" [] ["4.2.10"] "SGP.22 §5.7.5" Must, with_server, signed,
        "euiccSigned2 has the transactionId and a one-time key on the curve, signed together with smdpSignature2.";
    "SGP22-5.7.5/hash-cc" [] ["4.2.10"] "SGP.22 §5.7.5" Must, with_server, hash_cc,
        "hashCc of the request is returned in euiccSigned2.";
    "SGP22-5.7.5/fresh-key" [] [] "SGP.22 §5.7.5" Must, with_server, fresh_key,
        "Each session has a one-time key of its own.";
    "SGP22-5.7.5/no-session" [] ["4.2.10"] "SGP.22 §5.7.5" Must, with_server, no_session,
        "PrepareDownload without a session is refused with noSessionContext.";
    "SGP22-5.7.5/other-transaction" [] ["4.2.10"] "SGP.22 §5.7.5" Must, with_server, other,
        "smdpSigned2 of another session is refused with invalidTransactionId.";
    "SGP22-5.7.5/flipped-signature" [] ["4.2.10"] "SGP.22 §5.7.5" Must, with_server, flipped_signature,
        "A smdpSignature2 with one bit changed is refused with invalidSignature.";
    "SGP22-5.7.5/without-signature1" [] [] "SGP.22 §5.7.5" Must, with_server, without_signature1,
        "A smdpSignature2 that does not cover euiccSignature1 is refused with invalidSignature.";
    "SGP22-5.7.5/flipped-certificate" [] ["4.2.10"] "SGP.22 §5.7.5" Must, with_server, flipped_certificate,
        "A CERT.DPpb whose own signature has one bit changed is refused with invalidCertificate.";
    "SGP22-5.7.5/wrong-role" [] ["4.2.10"] "SGP.22 §4.5.2.1, §5.7.5" Must, with_server, wrong_role,
        "CERT.DPauth in the place of CERT.DPpb is refused with invalidCertificate.";
}

fn signed(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let dp = rig.dp()?;
    let request = session.prepare_request(&dp, session.id)?;
    let (signed, signature) = accepted(rig, &request)?;
    same(
        "euiccSigned2: transactionId",
        &session.id,
        &signed.value().transaction_id,
    )?;
    let curve = dp.binding.key.public.curve();
    let point = &signed.value().euicc_otpk;
    must(
        PublicKey::from_bytes(curve, point).is_ok(),
        "otPK.EUICC.ECKA: an uncompressed point on the curve of CERT.DPpb",
        || crate::rsp::findings::hexed(point),
    )?;
    let covered = request.smdp_signature2.to_tlv();
    let key = session.key()?;
    let verified = dp
        .crypto
        .verify(&key, &[signed.bytes(), &covered], signature.as_bytes());
    must(
        verified.is_ok(),
        "euiccSignature2 over euiccSigned2 and smdpSignature2",
        || "a signature that does not verify".to_owned(),
    )
}

fn accepted(
    rig: &mut Rig,
    request: &PrepareDownloadRequest,
) -> Checked<(
    Signed<aid_rsp::es10::EuiccSigned2>,
    aid_rsp::es10::Signature,
)> {
    match rig.call("PrepareDownload", request)? {
        PrepareDownloadResponse::Ok {
            euicc_signed2,
            euicc_signature2,
        } => Ok((euicc_signed2, euicc_signature2)),
        PrepareDownloadResponse::Error { code, .. } => {
            Err(Finding::broken("downloadResponseOk", code.to_string()))
        }
    }
}

fn hash_cc(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let hash: [u8; 32] = rig.rng.bytes();
    let signed = SmdpSigned2 {
        transaction_id: session.id,
        cc_required: true,
        bpp_euicc_otpk: None,
    };
    let request = rig.dp()?.prepare_download(&session.ok, signed, Some(hash));
    let (signed, _) = accepted(rig, &request.map_err(Finding::Hidden)?)?;
    same("euiccSigned2: hashCc", &Some(hash), &signed.value().hash_cc)
}

fn fresh_key(rig: &mut Rig) -> Checked {
    let mut before: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let session = Authenticated::new(rig)?;
        let prepared = session.prepared(rig)?;
        let key = prepared.value().euicc_otpk.clone();
        must(
            !before.contains(&key),
            "another otPK.EUICC.ECKA in each session",
            || "the same one again".to_owned(),
        )?;
        before.push(key);
    }
    Ok(())
}

fn refused(
    rig: &mut Rig,
    what: &str,
    request: &PrepareDownloadRequest,
    allowed: &[Code],
) -> Checked {
    match rig.call("PrepareDownload", request)? {
        PrepareDownloadResponse::Error { code, .. } => one_of(what, allowed, &code),
        PrepareDownloadResponse::Ok { .. } => {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            Err(Finding::broken(
                format!("{what}: {}", names.join(" or ")),
                "downloadResponseOk",
            ))
        }
    }
}

fn changed(
    rig: &mut Rig,
    what: &str,
    allowed: &[Code],
    change: impl FnOnce(&Dp, &Authenticated, &mut PrepareDownloadRequest) -> Checked,
) -> Checked {
    let session = Authenticated::new(rig)?;
    let dp = rig.dp()?;
    let mut request = session.prepare_request(&dp, session.id)?;
    change(&dp, &session, &mut request)?;
    refused(rig, what, &request, allowed)
}

fn no_session(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let request = session.prepare_request(&rig.dp()?, session.id)?;
    rig.reset()?;
    let what = "PrepareDownload after a reset, without AuthenticateServer";
    refused(rig, what, &request, &[Code::NoSessionContext])
}

fn other(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let request = session.prepare_request(&rig.dp()?, other_transaction(session.id))?;
    let what = "a smdpSigned2 of another transactionId";
    refused(rig, what, &request, &[Code::InvalidTransactionId])
}

fn flipped_signature(rig: &mut Rig) -> Checked {
    let what = "a smdpSignature2 with one bit changed";
    changed(rig, what, &[Code::InvalidSignature], |_, _, request| {
        request.smdp_signature2 = flipped(&request.smdp_signature2);
        Ok(())
    })
}

fn without_signature1(rig: &mut Rig) -> Checked {
    let what = "a smdpSignature2 over smdpSigned2 alone";
    changed(rig, what, &[Code::InvalidSignature], |dp, _, request| {
        let signature = dp.sign(&dp.binding, &[request.smdp_signed2.bytes()]);
        request.smdp_signature2 = signature.map_err(Finding::Hidden)?;
        Ok(())
    })
}

fn flipped_certificate(rig: &mut Rig) -> Checked {
    let what = "a CERT.DPpb with one bit changed in its signature";
    changed(rig, what, &[Code::InvalidCertificate], |_, _, request| {
        if let Some(last) = request.smdp_certificate.last_mut() {
            *last ^= 1;
        }
        Ok(())
    })
}

fn wrong_role(rig: &mut Rig) -> Checked {
    let what = "CERT.DPauth as CERT.DPpb";
    changed(
        rig,
        what,
        &[Code::InvalidCertificate],
        |dp, session, request| {
            let covered = session.ok.euicc_signature1.to_tlv();
            let parts = [request.smdp_signed2.bytes(), &covered];
            request.smdp_signature2 = dp.sign(&dp.auth, &parts).map_err(Finding::Hidden)?;
            request.smdp_certificate.clone_from(&dp.auth.certificate);
            Ok(())
        },
    )
}

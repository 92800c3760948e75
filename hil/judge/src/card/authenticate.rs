//! ES10b.AuthenticateServer: SGP.22 §3.1.2, §5.7.13.

use super::installing::{Authenticated, Challenged, MATCHING_ID};
use super::{Rig, with_server};
use crate::rsp::dp::flipped;
use crate::rsp::findings::{Checked, hexed, must, one_of, same};
use crate::rsp::table;
use crate::test::Finding;
use aid_rsp::cert::{Certificate, TrustAnchor};
use aid_rsp::crypto::Crypto as _;
use aid_rsp::es10::{
    AuthenticateErrorCode as Code, AuthenticateServerRequest, AuthenticateServerResponse,
    DataObject, EuiccInfo2, GetEuiccChallengeRequest, GetEuiccChallengeResponse,
    GetEuiccInfo2Request,
};
use aid_rsp::pki::{DAY, MintParams, RspPki};
use aid_rsp::tlv::Tlv;

table! { Rig;
    "SGP22-5.7.13/echo" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, echo,
        "euiccSigned1 has the server's transactionId, address and challenge, and ctxParams1 byte for byte.";
    "SGP22-5.7.13/signature" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, signature,
        "euiccSignature1 verifies with CERT.EUICC.ECDSA.";
    "SGP22-5.7.13/chain" [] [] "SGP.22 §4.5.2, §5.7.13" Must, with_server, chain,
        "CERT.EUICC, CERT.EUM and the CI make a valid chain, and CERT.EUICC has the card's EID.";
    "SGP22-5.7.13/info2" [] [] "SGP.22 §5.7.13" Must, with_server, info2,
        "euiccSigned1 has the EUICCInfo2 that GetEUICCInfo2 answers.";
    "SGP22-5.7.13/no-challenge" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, no_challenge,
        "AuthenticateServer without a challenge before it is refused with noSessionContext.";
    "SGP22-5.7.13/wrong-challenge" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, wrong_challenge,
        "A serverSigned1 for another challenge is refused with euiccChallengeMismatch.";
    "SGP22-5.7.13/challenge-once" [] [] "SGP.22 §5.7.7, §5.7.13" Must, with_server, challenge_once,
        "A challenge is good for one AuthenticateServer.";
    "SGP22-5.7.13/old-challenge" [] [] "SGP.22 §5.7.7" Must, with_server, old_challenge,
        "A challenge is void once another one was asked for.";
    "SGP22-5.7.13/flipped-signature" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, flipped_signature,
        "A serverSignature1 with one bit changed is refused with invalidSignature.";
    "SGP22-5.7.13/flipped-signed1" [] [] "SGP.22 §5.7.13" Must, with_server, flipped_signed1,
        "A serverSigned1 with one bit changed after signing is refused with invalidSignature.";
    "SGP22-5.7.13/flipped-certificate" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, flipped_certificate,
        "A CERT.DPauth whose own signature has one bit changed is refused with invalidCertificate.";
    "SGP22-5.7.13/foreign-certificate" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, foreign_certificate,
        "A CERT.DPauth under a CI that the card does not have is refused.";
    "SGP22-5.7.13/wrong-role" [] ["4.2.18"] "SGP.22 §4.5.2.1, §5.7.13" Must, with_server, wrong_role,
        "CERT.DPpb in the place of CERT.DPauth is refused.";
    "SGP22-5.7.13/unknown-ci" [] ["4.2.18"] "SGP.22 §5.7.13" Must, with_server, unknown_ci,
        "A euiccCiPKIdToBeUsed that the card does not have is refused with ciPKUnknown.";
    "SGP22-5.7.13/any-byte" [] [] "SGP.22 §5.7.13" Must, with_server, any_byte,
        "A request with a bit changed anywhere in what the server signed is refused.";
}

fn echo(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let sent = session.request.server_signed1.value();
    let got = session.ok.euicc_signed1.value();
    same(
        "euiccSigned1: transactionId",
        &session.id,
        &got.transaction_id,
    )?;
    same(
        "euiccSigned1: serverAddress",
        &sent.server_address,
        &got.server_address,
    )?;
    same(
        "euiccSigned1: serverChallenge",
        &sent.server_challenge,
        &got.server_challenge,
    )?;
    same(
        "euiccSigned1: ctxParams1, byte for byte",
        session.request.ctx_params1.bytes(),
        got.ctx_params1.bytes(),
    )?;
    let matching_id = got.ctx_params1.value().matching_id.as_deref();
    same("euiccSigned1: matchingId", &Some(MATCHING_ID), &matching_id)
}

fn signature(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let (dp, key, ok) = (rig.dp()?, session.key()?, &session.ok);
    let signature = ok.euicc_signature1.as_bytes();
    let verified = dp
        .crypto
        .verify(&key, &[ok.euicc_signed1.bytes()], signature);
    must(
        verified.is_ok(),
        "euiccSignature1 by the key of CERT.EUICC",
        || format!("a signature that does not verify: {}", hexed(signature)),
    )
}

fn chain(rig: &mut Rig) -> Checked {
    let session = Authenticated::new(rig)?;
    let dp = rig.dp()?;
    let read = |what: &str, der: &[u8]| {
        Certificate::from_der(der).map_err(|e| Finding::broken(what, e.to_string()))
    };
    let euicc = read("CERT.EUICC.ECDSA", &session.ok.euicc_certificate)?;
    let eum = read("CERT.EUM.ECDSA", &session.ok.eum_certificate)?;
    let ci = rig
        .ci
        .clone()
        .ok_or_else(|| Finding::Lacking("no CI".to_owned()))?;
    let anchor = TrustAnchor::new(ci, &dp.crypto)
        .map_err(|e| Finding::Lacking(format!("the CI of [card.server] is none: {e}")))?;
    // Dates are the business of whoever has a clock: published test certificates expire.
    let eid = anchor
        .verify_euicc(&eum, &euicc, &dp.crypto, None)
        .map_err(|e| {
            Finding::broken(
                "a chain of CERT.EUICC, CERT.EUM and CI (SGP.22 §4.5.2.2)",
                e.to_string(),
            )
        })?;
    same("CERT.EUICC: the card's EID", &rig.eid, &eid)
}

fn info2(rig: &mut Rig) -> Checked {
    let expected: EuiccInfo2 = rig.call("GetEUICCInfo2", &GetEuiccInfo2Request)?;
    let session = Authenticated::new(rig)?;
    let got = session.ok.euicc_signed1.value().euicc_info2.clone();
    same(
        "euiccSigned1: euiccInfo2 as GetEUICCInfo2 answers it",
        &expected,
        &got,
    )
}

fn refused(what: &str, allowed: &[Code], answer: &AuthenticateServerResponse) -> Checked {
    match answer {
        AuthenticateServerResponse::Error { code, .. } => one_of(what, allowed, code),
        AuthenticateServerResponse::Ok(_) => {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            Err(Finding::broken(
                format!("{what}: {}", names.join(" or ")),
                "authenticateResponseOk",
            ))
        }
    }
}

fn no_challenge(rig: &mut Rig) -> Checked {
    rig.reset()?;
    let challenged = Challenged::of(rig, [0x11; 16])?;
    let answer = challenged.send(rig)?;
    refused(
        "AuthenticateServer after a reset, without GetEUICCChallenge",
        &[Code::NoSessionContext],
        &answer,
    )
}

fn challenge(rig: &mut Rig) -> Checked<[u8; 16]> {
    let answer: GetEuiccChallengeResponse =
        rig.call("GetEUICCChallenge", &GetEuiccChallengeRequest)?;
    Ok(answer.challenge)
}

fn wrong_challenge(rig: &mut Rig) -> Checked {
    let mut other = challenge(rig)?;
    other[0] ^= 1;
    let answer = Challenged::of(rig, other)?.send(rig)?;
    refused(
        "AuthenticateServer for another challenge",
        &[Code::EuiccChallengeMismatch],
        &answer,
    )
}

fn challenge_once(rig: &mut Rig) -> Checked {
    let challenged = Challenged::new(rig)?;
    let first = challenged.send(rig)?;
    if let AuthenticateServerResponse::Error { code, .. } = first {
        return Err(Finding::broken("authenticateResponseOk", code.to_string()));
    }
    let answer = challenged.send(rig)?;
    refused(
        "AuthenticateServer with a challenge that was used",
        &[Code::NoSessionContext, Code::EuiccChallengeMismatch],
        &answer,
    )
}

fn old_challenge(rig: &mut Rig) -> Checked {
    let old = challenge(rig)?;
    challenge(rig)?;
    let answer = Challenged::of(rig, old)?.send(rig)?;
    refused(
        "AuthenticateServer for the challenge before the last",
        &[Code::EuiccChallengeMismatch],
        &answer,
    )
}

/// Sends a request that was changed, for a challenge of its own.
fn changed(
    rig: &mut Rig,
    what: &str,
    allowed: &[Code],
    change: impl FnOnce(&mut Rig, &mut AuthenticateServerRequest) -> Checked,
) -> Checked {
    let mut challenged = Challenged::new(rig)?;
    change(rig, &mut challenged.request)?;
    let answer = challenged.send(rig)?;
    refused(what, allowed, &answer)
}

fn flipped_signature(rig: &mut Rig) -> Checked {
    changed(
        rig,
        "a serverSignature1 with one bit changed",
        &[Code::InvalidSignature],
        |_, request| {
            request.server_signature1 = flipped(&request.server_signature1);
            Ok(())
        },
    )
}

fn flipped_signed1(rig: &mut Rig) -> Checked {
    changed(
        rig,
        "a serverSigned1 with one bit changed",
        &[Code::InvalidSignature],
        |_, request| {
            let mut value = request.server_signed1.value().clone();
            value.server_challenge[15] ^= 1;
            request.server_signed1 = aid_rsp::es10::Signed::new(value);
            Ok(())
        },
    )
}

fn flipped_certificate(rig: &mut Rig) -> Checked {
    let allowed = [Code::InvalidCertificate];
    changed(
        rig,
        "a CERT.DPauth with one bit changed in its signature",
        &allowed,
        |_, request| {
            if let Some(last) = request.server_certificate.last_mut() {
                *last ^= 1;
            }
            Ok(())
        },
    )
}

fn foreign_certificate(rig: &mut Rig) -> Checked {
    let allowed = [Code::CiPkUnknown, Code::InvalidCertificate];
    changed(
        rig,
        "a CERT.DPauth under an unknown CI",
        &allowed,
        |rig, request| {
            let dp = rig.dp()?;
            let params = MintParams {
                curve: dp.auth.key.public.curve(),
                dp_oid: &dp.oid,
                ..MintParams::loopback(&rig.eid, DAY, 4_000_000_000)
            };
            let foreign = RspPki::mint(&params, &dp.crypto, &mut rig.rng)
                .map_err(|e| Finding::Hidden(format!("no foreign PKI could be minted: {e}")))?;
            let signature = dp.sign(&foreign.dp_auth, &[request.server_signed1.bytes()]);
            request.server_signature1 = signature.map_err(Finding::Hidden)?;
            request.server_certificate = foreign.dp_auth.certificate;
            Ok(())
        },
    )
}

fn wrong_role(rig: &mut Rig) -> Checked {
    let allowed = [Code::InvalidCertificate, Code::InvalidOid];
    changed(rig, "CERT.DPpb as CERT.DPauth", &allowed, |rig, request| {
        let dp = rig.dp()?;
        let signature = dp.sign(&dp.binding, &[request.server_signed1.bytes()]);
        request.server_signature1 = signature.map_err(Finding::Hidden)?;
        request.server_certificate = dp.binding.certificate;
        Ok(())
    })
}

fn unknown_ci(rig: &mut Rig) -> Checked {
    changed(
        rig,
        "an unknown euiccCiPKIdToBeUsed",
        &[Code::CiPkUnknown],
        |_, request| {
            request.euicc_ci_pkid = vec![0x5A; 20];
            Ok(())
        },
    )
}

/// Tries some bits of a request, chosen by the seed.
fn any_byte(rig: &mut Rig) -> Checked {
    const TRIES: usize = 24;
    for _ in 0..TRIES {
        let challenged = Challenged::new(rig)?;
        let request = &challenged.request;
        let whole = request.to_vec();
        let content = Tlv::parse(&whole).map_or(0, |tlv| tlv.value.len());
        let start = whole.len() - content;
        let signed = request.server_signed1.bytes().len();
        let at = start + rig.rng.below(signed + 3 + 64);
        let mut bytes = whole;
        bytes[at] ^= 1 << rig.rng.below(8);
        let Ok(answer) = rig.try_request("AuthenticateServer", &bytes)? else {
            continue;
        };
        if let Ok(AuthenticateServerResponse::Ok(_)) =
            AuthenticateServerResponse::from_slice(&answer)
        {
            return Err(Finding::broken(
                format!("a refusal of a request whose byte {at} was changed"),
                "authenticateResponseOk",
            ));
        }
    }
    Ok(())
}

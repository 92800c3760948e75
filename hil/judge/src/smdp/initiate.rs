//! ES9+.InitiateAuthentication: SGP.22 §3.1.2, §5.6.1.

use super::Rig;
use crate::rsp::findings::{Checked, must, same};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::cert::{Certificate, Role, TrustAnchor};
use aid_rsp::crypto::Crypto as _;
use aid_rsp::es9::{Function as _, InitiateAuthenticationOk, InitiateAuthenticationRequest};
use aid_rsp::es10::{DataObject, EuiccInfo1, Signature, Version};
use aid_rsp::tlv::{Tlv, universal};
use serde_json::json;
use std::collections::BTreeSet;

table! { Rig;
    "SGP22-5.6.1/echo" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, echo,
        "serverSigned1 has the eUICC's challenge, the transactionId of the answer and the address that was asked.";
    "SGP22-5.6.1/signature" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, signature,
        "serverSignature1 verifies with CERT.DPauth, which is of this role and under the CI.";
    "SGP22-5.6.1/ci-key" [] [] "SGP.22 §5.6.1" Must, always, ci_key,
        "euiccCiPKIdToBeUsed is one of the keys under which the eUICC can sign.";
    "SGP22-5.6.1/unique" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, unique,
        "Each session has a transactionId and a server challenge of its own.";
    "SGP22-5.6.1/address" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, address,
        "Another server's smdpAddress is refused with 8.8.1/3.8.";
    "SGP22-5.6.1/svn" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, svn,
        "An eUICC of SGP.22 v1 is refused with 8.8.3/3.1.";
    "SGP22-5.6.1/signing-ci" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, signing_ci,
        "An eUICC that signs under no CI of the server's is refused with 8.8.2/3.1.";
    "SGP22-5.6.1/verification-ci" [] ["TC_SM-DP+_ES9+.InitiateAuthenticationNIST"] "SGP.22 §5.6.1" Must, always, verification_ci,
        "An eUICC that can verify none of the server's certificates is refused with 8.8.4/3.7.";
    "SGP22-5.6.1/cut-info1" [] [] "SGP.22 §5.6.1" Must, always, cut_info1,
        "A euiccInfo1 that ends too early is refused, and the server goes on.";
}

fn echo(rig: &mut Rig) -> Checked {
    let begun = rig.initiate()?;
    let value = begun.signed.value();
    same(
        "serverSigned1: euiccChallenge",
        &begun.challenge,
        &value.euicc_challenge,
    )?;
    same(
        "serverSigned1: transactionId as in the answer",
        &begun.id,
        &value.transaction_id,
    )?;
    let asked = rig.address().to_ascii_lowercase();
    let got = value.server_address.to_ascii_lowercase();
    // Some sign the host alone where a port was asked.
    let host = asked.split(':').next().unwrap_or_default();
    must(
        got == asked || got == host,
        "serverSigned1: the address that was asked",
        || got.clone(),
    )
}

fn signature(rig: &mut Rig) -> Checked {
    let begun = rig.initiate()?;
    let broken = |what: &str, e: &dyn std::fmt::Display| Finding::broken(what, e.to_string());
    let certificate = Certificate::from_der(begun.ok.server_certificate.as_bytes())
        .map_err(|e| broken("serverCertificate", &e))?;
    let signature = Signature::from_tlv(begun.ok.server_signature1.as_bytes())
        .map_err(|e| broken("serverSignature1 as data object 5F37", &e))?;
    let crypto = rig.euicc.crypto.clone();
    let parts = [begun.signed.bytes()];
    let verified = crypto.verify(certificate.public_key(), &parts, signature.as_bytes());
    must(
        verified.is_ok(),
        "serverSignature1 by the key of serverCertificate",
        || "a signature that does not verify".to_owned(),
    )?;
    let anchor = TrustAnchor::new(rig.ci.clone(), &crypto)
        .map_err(|e| Finding::Lacking(format!("the CI of [smdp.euicc] is none: {e}")))?;
    anchor
        .verify_leaf(&certificate, Role::DpAuth, &crypto, None)
        .map_err(|e| {
            broken(
                "serverCertificate: CERT.DPauth under the CI that the eUICC verifies with",
                &e,
            )
        })
}

fn ci_key(rig: &mut Rig) -> Checked {
    let begun = rig.initiate()?;
    let bytes = begun.ok.euicc_ci_pkid_to_be_used.as_bytes();
    let key = Tlv::parse_tag(bytes, universal::OCTET_STRING)
        .map_err(|e| Finding::broken("euiccCiPKIdToBeUsed as an OCTET STRING", e.to_string()))?;
    same(
        "euiccCiPKIdToBeUsed",
        rig.euicc.ci_key_id.as_slice(),
        key.value,
    )
}

fn unique(rig: &mut Rig) -> Checked {
    let (mut ids, mut challenges) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let begun = rig.initiate()?;
        must(
            ids.insert(begun.id),
            "another transactionId in each session",
            || begun.id.to_string(),
        )?;
        let challenge = begun.signed.value().server_challenge;
        must(
            challenges.insert(challenge),
            "another serverChallenge in each session",
            || format!("{challenge:02X?}"),
        )?;
    }
    Ok(())
}

fn refused(
    rig: &mut Rig,
    address: &str,
    info: &EuiccInfo1,
    what: &str,
    codes: (&str, &str),
) -> Checked {
    let (request, _) = rig.initiate_request(address, info)?;
    let said: super::said::Said<InitiateAuthenticationOk> = rig.es9_call(&request)?;
    said.spoken.refused(what, &[codes])
}

fn address(rig: &mut Rig) -> Checked {
    let info = rig.euicc.info1();
    let what = "InitiateAuthentication for another server";
    refused(rig, "other.smdp.example", &info, what, ("8.8.1", "3.8"))
}

fn svn(rig: &mut Rig) -> Checked {
    let address = rig.address();
    let info = EuiccInfo1 {
        svn: Version([1, 1, 0]),
        ..rig.euicc.info1()
    };
    refused(
        rig,
        &address,
        &info,
        "InitiateAuthentication of SVN 1.1.0",
        ("8.8.3", "3.1"),
    )
}

fn signing_ci(rig: &mut Rig) -> Checked {
    let address = rig.address();
    let info = EuiccInfo1 {
        ci_pkid_for_signing: vec![vec![0x5A; 20]],
        ..rig.euicc.info1()
    };
    let what = "InitiateAuthentication with an unknown CI for signing";
    refused(rig, &address, &info, what, ("8.8.2", "3.1"))
}

fn verification_ci(rig: &mut Rig) -> Checked {
    let address = rig.address();
    let info = EuiccInfo1 {
        ci_pkid_for_verification: vec![vec![0x5A; 20]],
        ..rig.euicc.info1()
    };
    let what = "InitiateAuthentication with an unknown CI for verification";
    refused(rig, &address, &info, what, ("8.8.4", "3.7"))
}

fn cut_info1(rig: &mut Rig) -> Checked {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let whole = rig.euicc.info1().to_vec();
    for cut in [whole.len() - 1, whole.len() / 2, 1] {
        let body = json!({
            "euiccChallenge": STANDARD.encode(rig.rng.bytes::<16>()),
            "euiccInfo1": STANDARD.encode(&whole[..cut]),
            "smdpAddress": rig.address(),
        });
        let answer = rig.es9_post(InitiateAuthenticationRequest::PATH, &body)?;
        let executed = answer.json().is_some_and(|json| {
            let status = &json["header"]["functionExecutionStatus"]["status"];
            status == "Executed-Success"
        });
        must(
            !executed,
            "a euiccInfo1 that ends too early: refused",
            || format!("Executed-Success to {cut} of {} bytes", whole.len()),
        )?;
    }
    rig.initiate().map(drop)
}

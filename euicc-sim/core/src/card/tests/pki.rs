//! Given cards and servers on both curves and under several CIs, when they meet, then certificates
//! and keys of the right CI are used, and what is not valid is refused.
use super::host::*;
use super::world::{NOT_AFTER, NOT_BEFORE, brainpool, identity, key_id};
use crate::card::Clock;
use crate::nvm::Memory;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, Curve};
use aid_rsp::es10::*;
use std::boxed::Box;
use std::vec::Vec;

/// Every pending notification verifies under the eUICC key of this server's CI.
fn verify_notifications(host: &mut Host, expected: usize) {
    let all = RetrieveNotificationsListRequest::default();
    let RetrieveNotificationsListResponse::Ok(list) = host.call(&all) else {
        panic!()
    };
    let own = Certificate::from_der(&host.server.euicc.certificate).unwrap();
    let mut verified = 0;
    for note in &list {
        let (signed, signature) = match note {
            PendingNotification::Installation(r) => (r.data.bytes(), r.signature.as_bytes()),
            PendingNotification::Other(o) => {
                let ours = o.euicc_certificate == own.as_der();
                assert_eq!(ours, o.eum_certificate == host.server.eum.certificate);
                if !ours {
                    continue;
                }
                (o.tbs.bytes(), o.signature.as_bytes())
            }
        };
        verified += usize::from(
            host.crypto
                .verify(own.public_key(), &[signed], signature)
                .is_ok(),
        );
    }
    assert_eq!(verified, expected);
}

#[test]
fn a_brainpool_card_downloads_enables_and_reports() {
    let server = brainpool();
    let mut host: Host = Host::between(server, &identity(&[server]), Memory::new());
    let info: EuiccInfo1 = host.call(&GetEuiccInfo1Request);
    assert_eq!(info.ci_pkid_for_signing, [key_id(&server.ci)]);
    assert_eq!(info.ci_pkid_for_verification, [key_id(&server.ci)]);
    host.install(1);
    let tamper = Tamper {
        own_keys: true,
        ..Tamper::default()
    };
    let result = host.download(&metadata(2), &package(2), &tamper);
    assert!(matches!(result, Ok(Some(FinalResult::Success { .. }))));
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(host.disable(1), DisableResult::Ok);
    // Two installations, two enables, one disable.
    verify_notifications(&mut host, 5);
}

// R-1.4-1
#[test]
fn a_card_of_two_cis_signs_under_the_one_that_is_asked_for() {
    let nist = &pki().0;
    let brp = brainpool();
    let identity = identity(&[nist, brp]);
    let mut host: Host = Host::between(nist, &identity, Memory::new());
    let info: EuiccInfo2 = host.call(&GetEuiccInfo2Request);
    let both = [key_id(&nist.ci), key_id(&brp.ci)];
    assert_eq!(info.ci_pkid_for_signing, both);
    assert_eq!(info.ci_pkid_for_verification, both);
    host.install(1);
    host.server = brp;
    host.install(2);
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(host.enable(2), EnableResult::Ok);
    // Enabling and disabling profile 1 is signed under NIST, where it came from; profile 2's
    // under brainpool. That goes on after a restart.
    let mut host: Host = Host::between(brp, &identity, host.card.nvm().clone());
    assert_eq!(host.disable(2), DisableResult::Ok);
    verify_notifications(&mut host, 4);
    host.server = nist;
    verify_notifications(&mut host, 4);
}

#[test]
fn the_servers_ci_and_the_cards_ci_may_differ() {
    let nist = &pki().0;
    let brp = brainpool();
    let mut host: Host = Host::between(nist, &identity(&[nist, brp]), Memory::new());
    let other = |r: &mut AuthenticateServerRequest| r.euicc_ci_pkid = key_id(&brp.ci);
    let tamper = Tamper {
        auth: Some(&other),
        ..Tamper::default()
    };
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    assert_eq!(ok.euicc_certificate, brp.euicc.certificate);
    let key = *Certificate::from_der(&ok.euicc_certificate)
        .unwrap()
        .public_key();
    assert_eq!(key.curve(), Curve::BrainpoolP256r1);
    // The one-time key is on the curve of the server's DPpb.
    let PrepareDownloadResponse::Ok { euicc_signed2, .. } = host.prepare(&ok, &Tamper::default())
    else {
        panic!()
    };
    let otpk = &euicc_signed2.value().euicc_otpk;
    let point = aid_rsp::crypto::PublicKey::from_bytes(Curve::NistP256, otpk).unwrap();
    let pair = host.crypto.generate(Curve::NistP256, &mut host.rng);
    host.crypto.ecdh(&pair.private, &point).unwrap();
}

#[test]
fn a_server_of_a_ci_that_the_card_does_not_know_is_refused() {
    let mut host = Host::new();
    host.server = brainpool();
    let code = |host: &mut Host, id: Vec<u8>| {
        let name = move |r: &mut AuthenticateServerRequest| r.euicc_ci_pkid.clone_from(&id);
        let tamper = Tamper {
            auth: Some(&name),
            ..Tamper::default()
        };
        match host.authenticate(&tamper) {
            AuthenticateServerResponse::Ok(_) => None,
            AuthenticateServerResponse::Error { code, .. } => Some(code),
        }
    };
    let own = key_id(&pki().0.ci);
    let unknown = Some(AuthenticateErrorCode::CiPkUnknown);
    assert_eq!(code(&mut host, key_id(&brainpool().ci)), unknown);
    assert_eq!(code(&mut host, own), unknown);
}

#[test]
fn validity_is_judged_when_the_time_is_known() {
    struct Unknown;
    impl Clock for Unknown {
        fn unix_seconds(&self) -> Option<u64> {
            None
        }
    }
    let refused = |clock: Box<dyn Clock>| {
        let mut host = Host::new();
        host.card.set_clock(clock);
        match host.authenticate(&Tamper::default()) {
            AuthenticateServerResponse::Ok(_) => None,
            AuthenticateServerResponse::Error { code, .. } => Some(code),
        }
    };
    let invalid = Some(AuthenticateErrorCode::InvalidCertificate);
    assert_eq!(refused(Box::new(Unknown)), None);
    assert_eq!(refused(Box::new(NOT_BEFORE)), None);
    assert_eq!(refused(Box::new(NOT_AFTER)), None);
    assert_eq!(refused(Box::new(NOT_BEFORE - 1)), invalid);
    assert_eq!(refused(Box::new(NOT_AFTER + 1)), invalid);
    // Between AuthenticateServer and PrepareDownload DPpb runs out.
    let mut host = Host::new();
    host.card.set_clock(Box::new(NOT_AFTER));
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&Tamper::default()) else {
        panic!()
    };
    host.card.set_clock(Box::new(NOT_AFTER + 1));
    assert!(matches!(
        host.prepare(&ok, &Tamper::default()),
        PrepareDownloadResponse::Error {
            code: DownloadErrorCode::InvalidCertificate,
            ..
        }
    ));
}

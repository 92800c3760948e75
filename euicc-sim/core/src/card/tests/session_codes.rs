//! Given AuthenticateServer, PrepareDownload and CancelSession, when they go wrong in each way that
//! SGP.22 knows, then the answer is the code for that way.
use super::codes::check;
use super::failing::{Failing, Operation};
use super::host::*;
use super::world::brainpool;
use aid_rsp::crypto::Curve;
use aid_rsp::es10::*;
use std::cell::RefCell;
use std::sync::Arc;
use std::vec::Vec;

fn mute(host: &mut Host) {
    host.card.crypto = Arc::new(Failing {
        inner: host.crypto.clone(),
        what: Operation::Sign,
    });
}

/// DER of a certificate on a curve that the card does not have.
fn on_another_curve(certificate: &[u8]) -> Vec<u8> {
    let mut der = certificate.to_vec();
    let name = Curve::NistP256.parameters();
    let at = der.windows(name.len()).position(|w| w == name).unwrap();
    // prime256v1 becomes prime239v3.
    der[at + name.len() - 1] = 6;
    der
}

fn authenticate(
    host: &mut Host,
    f: &dyn Fn(&mut AuthenticateServerRequest),
) -> AuthenticateErrorCode {
    let tamper = Tamper {
        auth: Some(f),
        ..Tamper::default()
    };
    match host.authenticate(&tamper) {
        AuthenticateServerResponse::Error { code, .. } => code,
        AuthenticateServerResponse::Ok(_) => panic!("accepted"),
    }
}

// R-1.4-1
#[test]
fn every_code_of_authenticate_server_is_there() {
    use AuthenticateErrorCode as Code;
    check(
        Code::ALL,
        &[
            (Code::InvalidCertificate, &|h| {
                authenticate(h, &|r| *r.server_certificate.last_mut().unwrap() ^= 1)
            }),
            (Code::InvalidSignature, &|h| {
                authenticate(h, &|r| r.server_signature1 = [1; 64].into())
            }),
            (Code::UnsupportedCurve, &|h| {
                authenticate(h, &|r| {
                    r.server_certificate = on_another_curve(&r.server_certificate);
                })
            }),
            (Code::NoSessionContext, &|h| {
                let keep = RefCell::new(None);
                let save = |r: &mut AuthenticateServerRequest| *keep.borrow_mut() = Some(r.clone());
                h.authenticate(&Tamper {
                    auth: Some(&save),
                    ..Tamper::default()
                });
                let again = h.call(keep.borrow().as_ref().unwrap());
                match again {
                    AuthenticateServerResponse::Error { code, .. } => code,
                    AuthenticateServerResponse::Ok(_) => panic!("accepted"),
                }
            }),
            (Code::InvalidOid, &|h| {
                let dppb = h.server.dp_pb.certificate.clone();
                authenticate(h, &move |r| r.server_certificate.clone_from(&dppb))
            }),
            (Code::EuiccChallengeMismatch, &|h| {
                let stale = |s: &mut ServerSigned1| s.euicc_challenge[3] ^= 1;
                let tamper = Tamper {
                    signed1: Some(&stale),
                    ..Tamper::default()
                };
                match h.authenticate(&tamper) {
                    AuthenticateServerResponse::Error { code, .. } => code,
                    AuthenticateServerResponse::Ok(_) => panic!("accepted"),
                }
            }),
            (Code::CiPkUnknown, &|h| {
                authenticate(h, &|r| r.euicc_ci_pkid[0] ^= 1)
            }),
            (Code::CiPkUnknown, &|h| {
                let other = brainpool().dp_auth.certificate.clone();
                authenticate(h, &move |r| r.server_certificate.clone_from(&other))
            }),
            (Code::UndefinedError, &|h| {
                mute(h);
                authenticate(h, &|_| ())
            }),
        ],
    );
}

fn prepare(host: &mut Host, f: &dyn Fn(&mut PrepareDownloadRequest)) -> DownloadErrorCode {
    let tamper = Tamper {
        prepare: Some(f),
        ..Tamper::default()
    };
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&Tamper::default()) else {
        panic!()
    };
    match host.prepare(&ok, &tamper) {
        PrepareDownloadResponse::Error { code, .. } => code,
        PrepareDownloadResponse::Ok { .. } => panic!("accepted"),
    }
}

#[test]
fn every_code_of_prepare_download_is_there() {
    use DownloadErrorCode as Code;
    check(
        Code::ALL,
        &[
            (Code::InvalidCertificate, &|h| {
                let auth = h.server.dp_auth.certificate.clone();
                prepare(h, &move |r| r.smdp_certificate.clone_from(&auth))
            }),
            (Code::InvalidCertificate, &|h| {
                // A DPpb of another CI, with the same OID.
                let other = brainpool().dp_pb.certificate.clone();
                prepare(h, &move |r| r.smdp_certificate.clone_from(&other))
            }),
            (Code::InvalidSignature, &|h| {
                prepare(h, &|r| r.smdp_signature2 = [1; 64].into())
            }),
            (Code::UnsupportedCurve, &|h| {
                prepare(h, &|r| {
                    r.smdp_certificate = on_another_curve(&r.smdp_certificate);
                })
            }),
            (Code::NoSessionContext, &|h| {
                let keep = RefCell::new(None);
                let save = |r: &mut PrepareDownloadRequest| *keep.borrow_mut() = Some(r.clone());
                let AuthenticateServerResponse::Ok(ok) = h.authenticate(&Tamper::default()) else {
                    panic!()
                };
                h.prepare(
                    &ok,
                    &Tamper {
                        prepare: Some(&save),
                        ..Tamper::default()
                    },
                );
                let _: GetEuiccChallengeResponse = h.call(&GetEuiccChallengeRequest);
                match h.call(keep.borrow().as_ref().unwrap()) {
                    PrepareDownloadResponse::Error { code, .. } => code,
                    PrepareDownloadResponse::Ok { .. } => panic!("accepted"),
                }
            }),
            (Code::InvalidTransactionId, &|h| {
                prepare(h, &|r| {
                    let mut signed = r.smdp_signed2.value().clone();
                    signed.transaction_id = TransactionId::new(&[1]).unwrap();
                    r.smdp_signed2 = Signed::new(signed);
                })
            }),
            (Code::UndefinedError, &|h| {
                let AuthenticateServerResponse::Ok(ok) = h.authenticate(&Tamper::default()) else {
                    panic!()
                };
                mute(h);
                match h.prepare(&ok, &Tamper::default()) {
                    PrepareDownloadResponse::Error { code, .. } => code,
                    PrepareDownloadResponse::Ok { .. } => panic!("accepted"),
                }
            }),
        ],
    );
}

#[test]
fn every_code_of_cancel_session_is_there() {
    use CancelSessionErrorCode as Code;
    let cancel = |h: &mut Host, transaction_id| {
        let request = CancelSessionRequest {
            transaction_id,
            reason: CancelSessionReason::EndUserRejection,
        };
        match h.call(&request) {
            CancelSessionResponse::Error(code) => code,
            CancelSessionResponse::Ok { .. } => panic!("accepted"),
        }
    };
    check(
        Code::ALL,
        &[
            (Code::InvalidTransactionId, &|h| {
                cancel(h, TransactionId::new(&[1]).unwrap())
            }),
            (Code::UndefinedError, &|h| {
                let AuthenticateServerResponse::Ok(ok) = h.authenticate(&Tamper::default()) else {
                    panic!()
                };
                mute(h);
                cancel(h, ok.euicc_signed1.value().transaction_id)
            }),
        ],
    );
    // Every reason comes back signed as it was given.
    for reason in CancelSessionReason::ALL {
        let mut host = Host::new();
        let AuthenticateServerResponse::Ok(ok) = host.authenticate(&Tamper::default()) else {
            panic!()
        };
        let request = CancelSessionRequest {
            transaction_id: ok.euicc_signed1.value().transaction_id,
            reason: *reason,
        };
        let CancelSessionResponse::Ok { signed, .. } = host.call(&request) else {
            panic!()
        };
        assert_eq!(signed.value().reason, *reason);
    }
}

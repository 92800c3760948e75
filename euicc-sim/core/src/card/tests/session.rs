//! Given a card, when a server or an SM-DP+ is not who it should be, then the card refuses with the
//! code of SGP.22.
use super::host::*;
use aid_rsp::es10::*;

#[test]
fn authentication_is_refused_with_the_right_code() {
    use AuthenticateErrorCode as Code;
    let code = |tamper: &Tamper<'_>| match Host::new().authenticate(tamper) {
        AuthenticateServerResponse::Ok(_) => None,
        AuthenticateServerResponse::Error { code, .. } => Some(code),
    };
    assert_eq!(code(&Tamper::default()), None);
    let auth = |f: &dyn Fn(&mut AuthenticateServerRequest)| {
        code(&Tamper {
            auth: Some(f),
            ..Tamper::default()
        })
    };
    assert_eq!(auth(&|r| r.euicc_ci_pkid[0] ^= 1), Some(Code::CiPkUnknown));
    assert_eq!(
        auth(&|r| r.server_certificate = pki().0.dp_pb.certificate.clone()),
        Some(Code::InvalidOid)
    );
    assert_eq!(
        auth(&|r| *r.server_certificate.last_mut().unwrap() ^= 1),
        Some(Code::InvalidCertificate)
    );
    assert_eq!(
        auth(&|r| r.server_signature1 = [1; 64].into()),
        Some(Code::InvalidSignature)
    );
    let stale = |s: &mut ServerSigned1| s.euicc_challenge[3] ^= 1;
    let stale = Tamper {
        signed1: Some(&stale),
        ..Tamper::default()
    };
    assert_eq!(code(&stale), Some(Code::EuiccChallengeMismatch));
    // A challenge is good for one attempt.
    let mut host = Host::new();
    let keep = std::cell::RefCell::new(None);
    let save = |r: &mut AuthenticateServerRequest| *keep.borrow_mut() = Some(r.clone());
    host.authenticate(&Tamper {
        auth: Some(&save),
        ..Tamper::default()
    });
    let again: AuthenticateServerResponse = host.call(keep.borrow().as_ref().unwrap());
    assert!(matches!(
        again,
        AuthenticateServerResponse::Error {
            code: Code::NoSessionContext,
            ..
        }
    ));
}

#[test]
fn prepare_download_is_refused_with_the_right_code() {
    use DownloadErrorCode as Code;
    let code = |f: &dyn Fn(&mut PrepareDownloadRequest)| {
        let mut host = Host::new();
        let tamper = Tamper {
            prepare: Some(f),
            ..Tamper::default()
        };
        let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
            panic!();
        };
        match host.prepare(&ok, &tamper) {
            PrepareDownloadResponse::Ok { .. } => None,
            PrepareDownloadResponse::Error { code, .. } => Some(code),
        }
    };
    assert_eq!(code(&|_| ()), None);
    assert_eq!(
        code(&|r| r.smdp_certificate = pki().0.dp_auth.certificate.clone()),
        Some(Code::InvalidCertificate)
    );
    assert_eq!(
        code(&|r| r.smdp_signature2 = [1; 64].into()),
        Some(Code::InvalidSignature)
    );
    let other = |r: &mut PrepareDownloadRequest| {
        let mut signed = r.smdp_signed2.value().clone();
        signed.transaction_id = TransactionId::new(&[1]).unwrap();
        r.smdp_signed2 = Signed::new(signed);
    };
    assert_eq!(code(&other), Some(Code::InvalidTransactionId));
    // Without a session.
    let mut host = Host::new();
    let keep = std::cell::RefCell::new(None);
    let save = |r: &mut PrepareDownloadRequest| *keep.borrow_mut() = Some(r.clone());
    let tamper = Tamper {
        prepare: Some(&save),
        ..Tamper::default()
    };
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    host.prepare(&ok, &tamper);
    let _: GetEuiccChallengeResponse = host.call(&GetEuiccChallengeRequest);
    let again: PrepareDownloadResponse = host.call(keep.borrow().as_ref().unwrap());
    assert!(matches!(
        again,
        PrepareDownloadResponse::Error {
            code: Code::NoSessionContext,
            ..
        }
    ));
}

#[test]
fn cancel_session_is_signed_once() {
    let mut host = Host::new();
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&Tamper::default()) else {
        panic!()
    };
    let request = |transaction_id| CancelSessionRequest {
        transaction_id,
        reason: CancelSessionReason::Postponed,
    };
    let id = ok.euicc_signed1.value().transaction_id;
    let wrong = host.call(&request(TransactionId::new(&[1]).unwrap()));
    assert!(matches!(
        wrong,
        CancelSessionResponse::Error(CancelSessionErrorCode::InvalidTransactionId)
    ));
    let CancelSessionResponse::Ok { signed, .. } = host.call(&request(id)) else {
        panic!()
    };
    assert_eq!(signed.value().smdp_oid, [0x88, 0x37, 0x0A]);
    let again = host.call(&request(id));
    assert!(matches!(again, CancelSessionResponse::Error(_)));
}

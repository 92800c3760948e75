//! Given a CI that revokes certificates, when its lists are loaded, then they are kept and enforced,
//! or refused with the code of SGP.22 §5.7.12.
use super::codes::Row;
use super::host::*;
use super::world::{NOT_BEFORE, brainpool};
use crate::card::Options;
use crate::nvm::{Key, Memory};
use aid_rsp::cert::{Certificate, Revoked};
use aid_rsp::es10::*;
use aid_rsp::pki::{CrlParams, Identity};
use std::boxed::Box;
use std::vec::Vec;

const BASE: CrlParams<'_> = CrlParams {
    number: 1,
    base: None,
    part: None,
    this_update: NOT_BEFORE,
    entries: &[],
};

fn entry(of: &Identity) -> Revoked {
    let certificate = Certificate::from_der(&of.certificate).unwrap();
    Revoked {
        serial: certificate.serial_number().to_vec(),
        expires: Some(certificate.not_after()),
        removed: false,
    }
}

fn request(host: &Host, params: &CrlParams<'_>) -> LoadCrlRequest {
    let crl = host
        .server
        .ci
        .revocation_list(params, &host.crypto)
        .unwrap();
    LoadCrlRequest::from_der(&crl).unwrap()
}

fn load(host: &mut Host, params: &CrlParams<'_>) -> LoadCrlResponse {
    let request = request(host, params);
    host.call(&request)
}

const OK: LoadCrlResponse = LoadCrlResponse::Ok(Vec::new());

fn authenticates(host: &mut Host) -> bool {
    match host.authenticate(&Tamper::default()) {
        AuthenticateServerResponse::Ok(_) => true,
        AuthenticateServerResponse::Error { code, .. } => {
            assert_eq!(code, AuthenticateErrorCode::InvalidCertificate);
            false
        }
    }
}

#[test]
fn a_revoked_server_is_refused_also_after_a_restart() {
    let mut host = Host::new();
    let auth = [entry(&host.server.dp_auth)];
    assert_eq!(load(&mut host, &BASE), OK);
    assert!(authenticates(&mut host));
    let revoking = CrlParams {
        number: 2,
        entries: &auth,
        ..BASE
    };
    assert_eq!(load(&mut host, &revoking), OK);
    assert!(!authenticates(&mut host));
    let mut host = Host::with(host.card.nvm().clone());
    assert!(!authenticates(&mut host));
    // A later list without the entry lifts it.
    assert_eq!(load(&mut host, &CrlParams { number: 3, ..BASE }), OK);
    assert!(authenticates(&mut host));
    // A list in place of its automatic tag, as some LPAs pass it on.
    let crl = host.server.ci.revocation_list(
        &CrlParams {
            number: 4,
            ..revoking
        },
        &host.crypto,
    );
    let answer = host.es10(&raw(0xBF35, &crl.unwrap())).unwrap();
    assert_eq!(LoadCrlResponse::from_slice(&answer), Ok(OK));
    assert!(!authenticates(&mut host));
}

#[test]
fn a_revoked_dppb_is_refused() {
    let mut host = Host::new();
    let entries = [entry(&host.server.dp_pb)];
    let params = CrlParams {
        entries: &entries,
        ..BASE
    };
    assert_eq!(load(&mut host, &params), OK);
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&Tamper::default()) else {
        panic!()
    };
    assert!(matches!(
        host.prepare(&ok, &Tamper::default()),
        PrepareDownloadResponse::Error {
            code: DownloadErrorCode::InvalidCertificate,
            ..
        }
    ));
}

#[test]
fn delta_lists_change_their_base() {
    let mut host = Host::new();
    let auth = [entry(&host.server.dp_auth)];
    let lifted = [Revoked {
        removed: true,
        ..auth[0].clone()
    }];
    let delta = |number, base, entries| CrlParams {
        number,
        base: Some(base),
        entries,
        ..BASE
    };
    let missing = LoadCrlResponse::Error(LoadCrlError::BaseCrlMissing);
    assert_eq!(load(&mut host, &delta(2, 1, &auth)), missing);
    assert_eq!(load(&mut host, &BASE), OK);
    assert_eq!(load(&mut host, &delta(3, 2, &auth)), missing);
    assert_eq!(load(&mut host, &delta(2, 1, &auth)), OK);
    assert!(!authenticates(&mut host));
    // An empty delta keeps what there is.
    assert_eq!(load(&mut host, &delta(3, 2, &[])), OK);
    assert!(!authenticates(&mut host));
    assert_eq!(load(&mut host, &delta(4, 1, &lifted)), OK);
    assert!(authenticates(&mut host));
}

#[test]
fn a_list_in_parts_counts_from_the_first_part_on() {
    let mut host = Host::new();
    let auth = [entry(&host.server.dp_auth)];
    let part = |n, entries| CrlParams {
        number: 5,
        part: Some((n, 3)),
        entries,
        ..BASE
    };
    assert_eq!(
        load(&mut host, &part(2, &auth)),
        LoadCrlResponse::Ok(std::vec![1, 3])
    );
    assert!(!authenticates(&mut host));
    assert_eq!(
        load(&mut host, &part(2, &auth)),
        LoadCrlResponse::Ok(std::vec![1, 3])
    );
    assert_eq!(
        load(&mut host, &part(3, &[])),
        LoadCrlResponse::Ok(std::vec![1])
    );
    let mut host = Host::with(host.card.nvm().clone());
    assert_eq!(load(&mut host, &part(1, &[])), OK);
    assert!(!authenticates(&mut host));
    let fresher = LoadCrlResponse::Error(LoadCrlError::FresherCrlAlreadyLoaded);
    assert_eq!(load(&mut host, &part(1, &[])), fresher);
    // A newer list that is not complete yet does not lift what the older one revokes.
    let newer = CrlParams {
        number: 6,
        part: Some((1, 2)),
        ..BASE
    };
    assert_eq!(load(&mut host, &newer), LoadCrlResponse::Ok(std::vec![2]));
    assert!(!authenticates(&mut host));
}

#[test]
fn every_code_of_load_crl_is_there() {
    use LoadCrlError as Code;
    let error = |host: &mut Host, request: &LoadCrlRequest| match host.call(request) {
        LoadCrlResponse::Error(code) => code,
        LoadCrlResponse::Ok(missing) => panic!("{missing:?}"),
    };
    let table: [Row<'_, Code>; 7] = [
        (Code::InvalidSignature, &|h| {
            let mut request = request(h, &BASE);
            *request.fields.last_mut().unwrap() ^= 1;
            error(h, &request)
        }),
        (Code::InvalidCrlFormat, &|h| {
            let mut request = request(h, &BASE);
            request.fields.pop();
            error(h, &request)
        }),
        (Code::NotEnoughMemorySpace, &|h| {
            h.card.options = Options {
                memory: 40,
                ..Options::default()
            };
            let entries = [entry(&h.server.dp_auth), entry(&h.server.dp_pb)];
            let params = CrlParams {
                entries: &entries,
                ..BASE
            };
            let request = request(h, &params);
            error(h, &request)
        }),
        (Code::VerificationKeyNotFound, &|h| {
            h.server = brainpool();
            let request = request(h, &BASE);
            error(h, &request)
        }),
        (Code::FresherCrlAlreadyLoaded, &|h| {
            assert_eq!(load(h, &CrlParams { number: 2, ..BASE }), OK);
            let request = request(h, &BASE);
            error(h, &request)
        }),
        (Code::BaseCrlMissing, &|h| {
            let delta = CrlParams {
                number: 2,
                base: Some(1),
                ..BASE
            };
            let request = request(h, &delta);
            error(h, &request)
        }),
        (Code::UndefinedError, &|h| {
            h.card.nvm().refuse_commit(0);
            let request = request(h, &BASE);
            error(h, &request)
        }),
    ];
    assert_eq!(table.len(), Code::ALL.len());
    for (code, produce) in table {
        assert_eq!(produce(&mut Host::new()), code);
    }
}

#[test]
fn lists_take_memory_and_entries_end_with_their_certificates() {
    let free = |h: &mut Host| {
        let info: EuiccInfo2 = h.call(&GetEuiccInfo2Request);
        assert_ne!(info.rsp_capability & rsp_capability::CRL_SUPPORT, 0);
        info.free_nvm().unwrap()
    };
    let mut host = Host::new();
    let before = free(&mut host);
    let entries = [entry(&host.server.dp_auth)];
    let params = CrlParams {
        entries: &entries,
        ..BASE
    };
    assert_eq!(load(&mut host, &params), OK);
    let used = before - free(&mut host);
    assert!(used > 20, "{used}");
    // With a clock an entry of an expired certificate is not kept.
    let mut host = Host::new();
    host.card
        .set_clock(Box::new(entries[0].expires.unwrap() + 1));
    assert_eq!(load(&mut host, &params), OK);
    assert!(before - free(&mut host) < used);
}

#[test]
fn lists_that_cannot_be_read_make_no_certificate_good() {
    let mut host = Host::new();
    assert_eq!(load(&mut host, &BASE), OK);
    let undefined = |answer: AuthenticateServerResponse| {
        matches!(
            answer,
            AuthenticateServerResponse::Error {
                code: AuthenticateErrorCode::UndefinedError,
                ..
            }
        )
    };
    host.card.nvm().refuse_read(Key::Revocations);
    assert!(undefined(host.authenticate(&Tamper::default())));
    assert!(authenticates(&mut host));
    let mut nvm: Memory = host.card.nvm().clone();
    use crate::nvm::{Durability, Nvm, Write};
    nvm.commit(
        &[Write::Put(Key::Revocations, &[0xFF])],
        Durability::Flushed,
    )
    .unwrap();
    let mut host = Host::with(nvm);
    assert!(undefined(host.authenticate(&Tamper::default())));
}

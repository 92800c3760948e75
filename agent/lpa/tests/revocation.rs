//! Given server certificates that name revocation lists, when a profile is downloaded, then the card has the lists before
//! it judges the certificates, and a list that can't be had keeps nothing from being installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_id::ActivationCode;
use aid_lpa::{DownloadRequest, Loaded};
use aid_rsp::es10::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use serde_json::Value;
use support::*;

const URL: &str = "http://ci.example.com/ci.crl";
const OTHER: &str = "https://ci.example.com/other.crl";

fn certificate_with(urls: &[&str]) -> Vec<u8> {
    let host = SERVER.split(':').next().unwrap();
    let mut params = CertificateParams::new(vec![host.into()]).unwrap();
    if !urls.is_empty() {
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: urls.iter().map(|url| (*url).to_owned()).collect(),
        }];
    }
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// A list that revokes this many certificates.
fn list(revoked: u64) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ci = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let revoked = (1..=revoked).map(|n| RevokedCertParams {
        serial_number: SerialNumber::from(n),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2026, 2, 1),
        crl_number: SerialNumber::from(7u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&ci).unwrap().der().to_vec()
}

/// An LPA whose server has certificates with these distribution points, and whose card takes lists.
fn world(auth: &[&str], binding: &[&str]) -> Fakes {
    let (lpa, card, server) = fakes(3000);
    let with = |mut fields: Value, name: &str, urls: &[&str]| {
        fields[name] = base64(&certificate_with(urls));
        ok(fields)
    };
    server.answer(
        "initiateAuthentication",
        with(initiate(CHALLENGE, SERVER), "serverCertificate", auth),
    );
    server.answer(
        "authenticateClient",
        with(client(&metadata(), false), "smdpCertificate", binding),
    );
    card.with(|inside| {
        let mut info = EuiccInfo2::from_slice(&inside.answers[&0xBF22]).unwrap();
        info.rsp_capability = rsp_capability::CRL_SUPPORT;
        inside.answers.insert(0xBF22, info.to_vec());
        inside
            .answers
            .insert(0xBF35, LoadCrlResponse::Ok(vec![]).to_vec());
    });
    (lpa, card, server)
}

fn serve(server: &FakeServer, url: &str, status: u16, body: Vec<u8>) {
    let mut inside = server.0.lock().unwrap();
    inside.lists.insert(url.to_owned(), (status, body));
}

fn asked(server: &FakeServer) -> Vec<String> {
    server.0.lock().unwrap().lists_asked.clone()
}

fn install(lpa: &mut aid_lpa::Lpa<FakeCard, FakeServer>) {
    let request = DownloadRequest {
        code: Some(ActivationCode::new(SERVER, "M-1", None, false).unwrap()),
        confirmation_code: None,
    };
    let done = lpa.download(&request, &mut |_| {}).expect("installed");
    assert_eq!(done.seq_number, Some(7));
}

/// The functions of the card that matter here, in order.
fn functions(card: &FakeCard) -> Vec<String> {
    let wanted = ["BF22", "BF35", "BF38", "BF21", "BF36"];
    let log = card.log().into_iter();
    log.filter(|f| wanted.contains(&f.as_str())).collect()
}

#[test]
fn the_card_has_a_list_before_it_judges_the_certificate() {
    let (mut lpa, card, server) = world(&[URL], &[URL]);
    let crl = list(2);
    serve(&server, URL, 200, crl.clone());
    install(&mut lpa);
    // Both certificates name one list: it is asked for and loaded once.
    assert_eq!(asked(&server), [URL]);
    assert_eq!(functions(&card), ["BF22", "BF35", "BF38", "BF21", "BF36"]);
    let requests = card.0.lock().unwrap().requests.clone();
    let loaded = requests
        .iter()
        .find(|r| r.starts_with(&[0xBF, 0x35]))
        .unwrap();
    let request = LoadCrlRequest::from_slice(loaded).unwrap();
    assert_eq!(request, LoadCrlRequest::from_der(&crl).unwrap());
}

#[test]
fn the_list_of_the_binding_certificate_comes_before_prepare_download() {
    let (mut lpa, card, server) = world(&["ldap://ci.example.com/cn=ci"], &[OTHER]);
    serve(&server, OTHER, 200, list(1));
    install(&mut lpa);
    assert_eq!(asked(&server), [OTHER]);
    assert_eq!(functions(&card), ["BF38", "BF22", "BF35", "BF21", "BF36"]);
}

#[test]
fn a_list_that_is_of_no_use_costs_the_card_nothing() {
    // Revokes nothing.
    let (mut lpa, card, server) = world(&[URL], &[]);
    serve(&server, URL, 200, list(0));
    install(&mut lpa);
    assert_eq!(functions(&card), ["BF38", "BF21", "BF36"]);
    // The card takes none.
    let (mut lpa, card, server) = world(&[URL], &[]);
    serve(&server, URL, 200, list(1));
    card.with(|inside| {
        let mut info = EuiccInfo2::from_slice(&inside.answers[&0xBF22]).unwrap();
        info.rsp_capability = 0;
        inside.answers.insert(0xBF22, info.to_vec());
    });
    install(&mut lpa);
    assert_eq!(functions(&card), ["BF22", "BF38", "BF21", "BF36"]);
}

#[test]
fn without_a_list_the_download_goes_on() {
    let mut cut = list(1);
    cut.pop();
    for (status, body) in [
        (404, vec![]),
        (200, vec![]),
        (200, b"<html>".to_vec()),
        (200, cut),
        (200, vec![0x30; 100_000]),
    ] {
        let (mut lpa, card, server) = world(&[URL], &[]);
        serve(&server, URL, status, body);
        install(&mut lpa);
        assert_eq!(functions(&card), ["BF38", "BF21", "BF36"]);
    }
    // Nobody answers, at four of five places: no more are asked.
    let urls: Vec<String> = (0..5).map(|n| format!("{URL}?{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (mut lpa, _, server) = world(&urls, &urls);
    install(&mut lpa);
    assert_eq!(asked(&server), urls[..4]);
    // The card refuses the list, or has a newer one, or misses parts.
    for answer in [
        LoadCrlResponse::Error(LoadCrlError::InvalidSignature),
        LoadCrlResponse::Error(LoadCrlError::FresherCrlAlreadyLoaded),
        LoadCrlResponse::Ok(vec![2]),
    ] {
        let (mut lpa, card, server) = world(&[URL], &[]);
        serve(&server, URL, 200, list(1));
        card.with(|inside| {
            inside.answers.insert(0xBF35, answer.to_vec());
        });
        install(&mut lpa);
        assert_eq!(functions(&card), ["BF22", "BF35", "BF38", "BF21", "BF36"]);
    }
}

#[test]
fn a_list_is_loaded_by_hand() {
    let (mut lpa, card, _) = world(&[], &[]);
    let crl = list(1);
    assert_eq!(lpa.load_crl(&crl).unwrap(), Loaded::Stored(vec![]));
    for (answer, expected) in [
        (
            LoadCrlResponse::Ok(vec![1, 3]),
            Some(Loaded::Stored(vec![1, 3])),
        ),
        (
            LoadCrlResponse::Error(LoadCrlError::FresherCrlAlreadyLoaded),
            Some(Loaded::Known),
        ),
        (LoadCrlResponse::Error(LoadCrlError::BaseCrlMissing), None),
    ] {
        card.with(|inside| {
            inside.answers.insert(0xBF35, answer.to_vec());
        });
        let loaded = lpa.load_crl(&crl);
        match (loaded, expected) {
            (Ok(loaded), Some(expected)) => assert_eq!(loaded, expected),
            (Err(error), None) => assert!(error.to_string().contains("baseCrlMissing"), "{error}"),
            (loaded, expected) => panic!("{loaded:?} instead of {expected:?}"),
        }
    }
    assert!(lpa.load_crl(b"no list").is_err());
}

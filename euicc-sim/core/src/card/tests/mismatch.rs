//! Given parts of a download that are right each by itself, when they don't belong together, then the
//! card refuses them.
use super::host::*;
use aid_rsp::cert::{Certificate, signature_to_der};
use aid_rsp::crypto::{Crypto, SoftwareCrypto};
use aid_rsp::es10::*;
use aid_rsp::tlv::{Tlv, Writer, universal};
use std::vec::Vec;

/// The DPpb certificate of our SM-DP+ for another SM-DP+, with another OID, of the same CI and key.
fn of_another_server() -> Vec<u8> {
    let pki = &pki().0;
    let whole = Tlv::parse(&pki.dp_pb.certificate).unwrap();
    let parts: Vec<_> = whole.children().map(Result::unwrap).collect();
    let mut tbs = parts[0].raw.to_vec();
    let oid = [0x88, 3, 0x88, 0x37, 0x0A];
    let at = tbs.windows(5).position(|w| w == oid).unwrap();
    tbs[at + 4] = 0x0B;
    let signature = SoftwareCrypto::new()
        .sign(&pki.ci.key.private, &[&tbs])
        .unwrap();
    let mut bits = std::vec![0];
    bits.extend_from_slice(&signature_to_der(&signature));
    let mut w = Writer::new();
    w.constructed(universal::SEQUENCE, |w| {
        w.raw(&tbs).raw(parts[1].raw);
        w.primitive(universal::BIT_STRING, &bits);
    });
    w.into_vec()
}

#[test]
fn a_dppb_certificate_of_another_server_is_refused() {
    let other = of_another_server();
    let certificate = Certificate::from_der(&other).unwrap();
    assert_eq!(certificate.registered_id(), Some(&[0x88, 0x37, 0x0B][..]));
    let mut host = Host::new();
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&Tamper::default()) else {
        panic!()
    };
    let swap = |r: &mut PrepareDownloadRequest| r.smdp_certificate.clone_from(&other);
    let tamper = Tamper {
        prepare: Some(&swap),
        ..Tamper::default()
    };
    let response = host.prepare(&ok, &tamper);
    let PrepareDownloadResponse::Error { code, .. } = response else {
        panic!("{response:?}")
    };
    assert_eq!(code, DownloadErrorCode::InvalidCertificate);
}

/// The ICCID stands in the metadata, in the header of the package and in EF.ICCID: all three agree.
#[test]
fn three_places_have_one_iccid() {
    let iccid = metadata(1).iccid;
    let swapped = iccid.map(|b| b.rotate_left(4));
    let package = package(1);
    let places: Vec<usize> = package
        .windows(10)
        .enumerate()
        .filter(|(_, w)| *w == iccid || *w == swapped)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 2, "header and EF.ICCID");
    for at in places {
        let mut other = package.clone();
        // Another digit in the middle.
        other[at + 5] ^= 0x01;
        let mut host = Host::new();
        let result = host.download(&metadata(1), &other, &Tamper::default());
        let Ok(Some(FinalResult::Error { reason, .. })) = &result else {
            panic!("{at}: {result:?}")
        };
        assert_eq!(*reason, ErrorReason::DataMismatch, "{at}");
        assert_eq!(host.profiles(), []);
    }
    // And the metadata against both.
    let mut host = Host::new();
    let result = host.download(&metadata(2), &package, &Tamper::default());
    let Ok(Some(FinalResult::Error { reason, .. })) = &result else {
        panic!("{result:?}")
    };
    assert_eq!(*reason, ErrorReason::DataMismatch);
}

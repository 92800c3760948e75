//! A recorded session is reproduced byte for byte; foreign packages are cut as foreign LPAs cut them.
use super::*;
use crate::bsp::{KeyAgreementParams, SessionKeys};
use crate::crypto::{Crypto, Curve, PrivateKey, PublicKey, SoftwareCrypto};
use crate::es10::{
    DataObject, FinalResult, NotificationEvent, PendingNotification, PrepareDownloadResponse,
    Signature, StoreMetadataRequest,
};
use crate::testdata;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};

#[test]
fn the_recorded_bound_profile_package_is_reproduced() {
    let file = |name: &str| testdata::bytes(&format!("data/vectors/euicc-rsp-session/{name}"));
    let Some(bpp) = file("bound-profile-package.der") else {
        return;
    };
    let crypto = SoftwareCrypto::new();
    let response = file("prepare-download-response.der").unwrap();
    let PrepareDownloadResponse::Ok { euicc_signed2, .. } =
        PrepareDownloadResponse::from_slice(&response).unwrap()
    else {
        panic!("an error response");
    };
    let euicc_otpk = &euicc_signed2.value().euicc_otpk;
    let otsk = PrivateKey::from_bytes(
        Curve::NistP256,
        file("otsk-dp.bin").unwrap().try_into().unwrap(),
    );
    let initialise =
        InitialiseSecureChannelRequest::from_slice(segments(&bpp).unwrap()[0].get(5..).unwrap())
            .unwrap();
    assert_eq!(
        initialise.smdp_otpk,
        crypto.public_key(&otsk).unwrap().as_bytes()
    );
    assert_eq!(
        initialise.transaction_id,
        euicc_signed2.value().transaction_id
    );
    let secret = crypto
        .ecdh(
            &otsk,
            &PublicKey::from_bytes(Curve::NistP256, euicc_otpk).unwrap(),
        )
        .unwrap();
    let eid = crate::es10::eid_from_digits("89049032123451234512345678901235").unwrap();
    let keys = SessionKeys::derive(
        &secret,
        KeyAgreementParams {
            host_id: &initialise.control_ref_template.host_id,
            eid: &eid,
        },
    );
    let metadata = StoreMetadataRequest::from_slice(&file("store-metadata.der").unwrap()).unwrap();
    let again = build_bpp(
        &BoundProfilePackage {
            initialise: &initialise,
            configure: &ConfigureIsdpRequest::default(),
            metadata: &metadata,
            upp: &file("upp.der").unwrap(),
            own_keys: None,
        },
        &keys,
    )
    .unwrap();
    assert_eq!(again, bpp);

    let note = PendingNotification::from_slice(&file("pending-notification.der").unwrap()).unwrap();
    assert_eq!(note.metadata().event, NotificationEvent::Install);
    assert_eq!(note.to_vec(), file("pending-notification.der").unwrap());
    let PendingNotification::Installation(result) = note else {
        panic!("an installation");
    };
    assert!(matches!(
        result.data.value().result,
        FinalResult::Success { .. }
    ));
}

#[test]
fn foreign_packages_are_cut_as_section_2_5_5_says() {
    for n in 1..=4 {
        let dir = "data/vectors/euicc-go-bpp-segmentation";
        let Some(text) = testdata::text(&format!("{dir}/bpp@{n}.txt")) else {
            return;
        };
        let joined: String = text.split_whitespace().collect();
        let bpp = BASE64_STANDARD_NO_PAD
            .decode(joined.trim_end_matches('='))
            .unwrap();
        let expected: Vec<Vec<u8>> = testdata::text(&format!("{dir}/sbpp@{n}.txt"))
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(|line| hex::decode(line.trim()).unwrap())
            .collect();
        let got = segments(&bpp).unwrap();
        assert_eq!(got.len(), expected.len(), "package {n}");
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(*got, expected, "package {n}, piece {at}");
        }
        assert_eq!(got.concat(), bpp);
    }
}

fn small_package() -> Vec<u8> {
    let initialise = InitialiseSecureChannelRequest {
        remote_op_id: REMOTE_OP_INSTALL_BPP,
        transaction_id: crate::es10::TransactionId::new(&[1, 2]).unwrap(),
        control_ref_template: ControlRefTemplate::aes128(b"host"),
        smdp_otpk: vec![4; 65],
        smdp_sign: Signature::from([5; 64]),
    };
    let metadata = StoreMetadataRequest {
        iccid: [0x98; 10],
        service_provider_name: "SP".into(),
        profile_name: "P".into(),
        icon_type: None,
        icon: None,
        profile_class: crate::es10::ProfileClass::Operational,
        notifications: Vec::new(),
        profile_owner: None,
        policy_rules: None,
    };
    build_bpp(
        &BoundProfilePackage {
            initialise: &initialise,
            configure: &ConfigureIsdpRequest::default(),
            metadata: &metadata,
            upp: &[7; 3000],
            own_keys: None,
        },
        &SessionKeys::new([1; 16], [2; 16], [3; 16]),
    )
    .unwrap()
}

#[test]
fn a_package_cut_short_anywhere_is_refused() {
    let bpp = small_package();
    assert_eq!(segments(&bpp).unwrap().len(), 8);
    for end in 0..bpp.len() {
        assert!(segments(&bpp[..end]).is_err(), "cut at {end}");
    }
}

proptest::proptest! {
    #[test]
    fn no_altered_byte_makes_the_cutter_panic_or_lose_bytes(at in 0usize..3000, value: u8) {
        let mut bpp = small_package();
        let at = at % bpp.len();
        bpp[at] = value;
        if let Ok(pieces) = segments(&bpp) {
            proptest::prop_assert_eq!(pieces.concat(), bpp);
        }
    }
}

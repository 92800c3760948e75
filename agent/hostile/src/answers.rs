//! What card and server answer before anything is edited: one download that goes well.
//! The LPA verifies no signatures, so none are made.

use aid_rsp::bsp::SessionKeys;
use aid_rsp::es8::{
    self, BoundProfilePackage, ConfigureIsdpRequest, ControlRefTemplate,
    InitialiseSecureChannelRequest, REMOTE_OP_INSTALL_BPP,
};
use aid_rsp::es10::*;
use aid_rsp::tlv::Tag;

pub(crate) const SERVER: &str = "smdp.example.com:8443";
pub(crate) const ICCID: [u8; 10] = [0x98, 0x94, 0x10, 0, 0, 0, 0, 0, 0, 0xF1];
pub(crate) const CHALLENGE: [u8; 16] = [0xC4; 16];
pub(crate) const TRANSACTION: [u8; 8] = [0xAB; 8];

pub(crate) fn transaction() -> TransactionId {
    TransactionId::new(&TRANSACTION).expect("transaction")
}

pub(crate) fn signature() -> Signature {
    Signature::from([0x5A; 64])
}

/// A DER SEQUENCE of this many bytes of content, in place of a certificate.
pub(crate) fn certificate(len: usize) -> Vec<u8> {
    let mut der = vec![0x30, 0x82, (len >> 8) as u8, len as u8];
    der.resize(len + 4, 0);
    der
}

pub(crate) fn metadata() -> StoreMetadataRequest {
    StoreMetadataRequest {
        iccid: ICCID,
        service_provider_name: "AID".into(),
        profile_name: "Test".into(),
        icon_type: None,
        icon: None,
        profile_class: ProfileClass::Operational,
        notifications: vec![],
        profile_owner: None,
        policy_rules: None,
    }
}

pub(crate) fn bpp() -> Vec<u8> {
    let initialise = InitialiseSecureChannelRequest {
        remote_op_id: REMOTE_OP_INSTALL_BPP,
        transaction_id: transaction(),
        control_ref_template: ControlRefTemplate::aes128(b"host"),
        smdp_otpk: vec![4; 65],
        smdp_sign: signature(),
    };
    let package = BoundProfilePackage {
        initialise: &initialise,
        configure: &ConfigureIsdpRequest::default(),
        metadata: &metadata(),
        upp: &[7; 700],
        own_keys: None,
    };
    es8::build_bpp(&package, &SessionKeys::new([1; 16], [2; 16], [3; 16])).expect("package")
}

pub(crate) fn server_signed1() -> Vec<u8> {
    let signed = Signed::new(ServerSigned1 {
        transaction_id: transaction(),
        euicc_challenge: CHALLENGE,
        server_address: SERVER.into(),
        server_challenge: [9; 16],
    });
    signed.bytes().to_vec()
}

pub(crate) fn smdp_signed2() -> Vec<u8> {
    let signed = Signed::new(SmdpSigned2 {
        transaction_id: transaction(),
        cc_required: false,
        bpp_euicc_otpk: None,
    });
    signed.bytes().to_vec()
}

fn notification(seq_number: u64, event: NotificationEvent) -> NotificationMetadata {
    NotificationMetadata {
        seq_number,
        event,
        address: SERVER.into(),
        iccid: Some(ICCID),
    }
}

fn installed() -> ProfileInstallationResult {
    ProfileInstallationResult {
        data: Signed::new(ProfileInstallationResultData {
            transaction_id: transaction(),
            notification: notification(7, NotificationEvent::Install),
            smdp_oid: vec![0x88, 0x37, 0x0A],
            result: FinalResult::Success {
                aid: vec![0xA0; 16],
                sima_response: vec![0x30, 0],
            },
        }),
        signature: signature(),
    }
}

fn info2() -> EuiccInfo2 {
    EuiccInfo2 {
        profile_version: Version([2, 3, 1]),
        svn: Version([2, 4, 0]),
        firmware: Version([1, 0, 0]),
        ext_card_resource: vec![0x81, 1, 0, 0x82, 2, 1, 0],
        uicc_capability: 0,
        ts102241_version: None,
        globalplatform_version: None,
        rsp_capability: 0,
        ci_pkid_for_verification: vec![vec![1; 20]],
        ci_pkid_for_signing: vec![vec![1; 20]],
        category: None,
        forbidden_ppr: None,
        pp_version: Version([1, 0, 0]),
        sas_accreditation_number: "T".into(),
    }
}

fn authenticated() -> AuthenticateServerResponse {
    AuthenticateServerResponse::Ok(Box::new(AuthenticateResponseOk {
        euicc_signed1: Signed::new(EuiccSigned1 {
            transaction_id: transaction(),
            server_address: SERVER.into(),
            server_challenge: [9; 16],
            euicc_info2: info2(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some("M-1".into()),
                device_info: aid_lpa::default_device(),
            }),
        }),
        euicc_signature1: signature(),
        euicc_certificate: certificate(520),
        eum_certificate: certificate(560),
    }))
}

fn prepared() -> PrepareDownloadResponse {
    PrepareDownloadResponse::Ok {
        euicc_signed2: Signed::new(EuiccSigned2 {
            transaction_id: transaction(),
            euicc_otpk: vec![4; 65],
            hash_cc: None,
        }),
        euicc_signature2: signature(),
    }
}

fn cancelled() -> CancelSessionResponse {
    CancelSessionResponse::Ok {
        signed: Signed::new(EuiccCancelSessionSigned {
            transaction_id: transaction(),
            smdp_oid: vec![0x88, 0x37, 0x0A],
            reason: CancelSessionReason::UndefinedReason,
        }),
        signature: signature(),
    }
}

/// The functions of the card, each with the number of its place among the edits.
pub(crate) const FUNCTIONS: [(Tag, u8); 18] = [
    (0xBF20, 0),
    (0xBF22, 1),
    (0xBF2E, 2),
    (0xBF38, 3),
    (0xBF21, 4),
    (0xBF41, 5),
    (0xBF3E, 6),
    (0xBF2D, 7),
    (0xBF43, 8),
    (0xBF30, 9),
    (0xBF31, 10),
    (0xBF36, 11),
    (0xBF3C, 12),
    (0xBF28, 13),
    (0xBF2B, 14),
    (0xBF32, 15),
    (0xBF33, 25),
    (0xBF29, 26),
];

/// The card's answer to a function.
pub(crate) fn of_card(tag: Tag) -> Vec<u8> {
    match tag {
        0xBF20 => EuiccInfo1 {
            svn: Version([2, 4, 0]),
            ci_pkid_for_verification: vec![vec![1; 20]],
            ci_pkid_for_signing: vec![vec![1; 20]],
        }
        .to_vec(),
        0xBF22 => info2().to_vec(),
        0xBF2E => GetEuiccChallengeResponse {
            challenge: CHALLENGE,
        }
        .to_vec(),
        0xBF38 => authenticated().to_vec(),
        0xBF21 => prepared().to_vec(),
        0xBF41 => cancelled().to_vec(),
        0xBF3E => GetEuiccDataResponse { eid: [0x89; 16] }.to_vec(),
        0xBF2D => ProfileInfoListResponse::Ok(vec![ProfileInfo {
            iccid: Some(ICCID),
            state: Some(ProfileState::Disabled),
            ..ProfileInfo::default()
        }])
        .to_vec(),
        0xBF43 => GetRatResponse::default().to_vec(),
        0xBF36 => installed().to_vec(),
        0xBF3C => EuiccConfiguredAddressesResponse {
            default_dp_address: Some(SERVER.into()),
            root_ds_address: "ds".into(),
        }
        .to_vec(),
        0xBF28 => {
            ListNotificationResponse::Ok(vec![notification(7, NotificationEvent::Install)]).to_vec()
        }
        0xBF2B => RetrieveNotificationsListResponse::Ok(vec![PendingNotification::Installation(
            Box::new(installed()),
        )])
        .to_vec(),
        tag => vec![0xBF, tag as u8, 3, 0x80, 1, 0],
    }
}

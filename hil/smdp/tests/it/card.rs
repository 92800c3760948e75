//! A card in a script: it signs and derives keys as SGP.22 says, and lies when a test asks it to.

use aid_rsp::bsp::{Bsp, KeyAgreementParams, SessionKeys};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, KeyPair, PublicKey, SoftwareCrypto, hash_confirmation_code};
use aid_rsp::es8::{InitialiseSecureChannelRequest, ReplaceSessionKeysRequest, tags};
use aid_rsp::es9::{
    AuthenticateClientOk, Base64, InitiateAuthenticationOk, InitiateAuthenticationRequest, Text,
};
use aid_rsp::es10::{
    AuthenticateResponseOk, AuthenticateServerResponse, CancelSessionReason, CancelSessionResponse,
    CtxParams1, DataObject, DeviceCapabilities, DeviceInfo, EuiccCancelSessionSigned, EuiccInfo1,
    EuiccInfo2, EuiccSigned1, EuiccSigned2, FinalResult, NotificationEvent, NotificationMetadata,
    OtherSignedNotification, PendingNotification, PrepareDownloadResponse,
    ProfileInstallationResult, ProfileInstallationResultData, ServerSigned1, Signature, Signed,
    SmdpSigned2, StoreMetadataRequest, TransactionId, Version,
};
use aid_rsp::pki::{Identity, RspPki};
use aid_rsp::tlv::Tlv;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

pub(crate) const CHALLENGE: [u8; 16] = [0x5A; 16];
pub(crate) const DP_OID: [u8; 3] = [0x88, 0x37, 0x0A];

pub(crate) struct Card {
    pub(crate) eid: [u8; 16],
    pub(crate) identity: Identity,
    pub(crate) eum: Vec<u8>,
    pub(crate) ci_key_id: Vec<u8>,
    pub(crate) crypto: SoftwareCrypto,
    pub(crate) profile_version: Version,
    pub(crate) otk: Option<KeyPair>,
}

/// What came out of a BPP.
pub(crate) struct Opened {
    pub(crate) metadata: StoreMetadataRequest,
    pub(crate) package: Vec<u8>,
    /// Came the profile under keys of its own?
    pub(crate) own_keys: bool,
    pub(crate) after_initialise: Vec<u8>,
}

impl Card {
    /// An eUICC of the EUM of this PKI.
    pub(crate) fn new(pki: &RspPki, eid: [u8; 16], identity: Identity) -> Self {
        let ci = Certificate::from_der(&pki.ci.certificate).unwrap();
        Self {
            eid,
            identity,
            eum: pki.eum.certificate.clone(),
            ci_key_id: ci.subject_key_id().unwrap().to_vec(),
            crypto: SoftwareCrypto::new(),
            profile_version: Version([2, 3, 1]),
            otk: None,
        }
    }

    pub(crate) fn initiate(&self, address: &str) -> InitiateAuthenticationRequest {
        let info = EuiccInfo1 {
            svn: Version([2, 4, 0]),
            ci_pkid_for_verification: vec![self.ci_key_id.clone()],
            ci_pkid_for_signing: vec![self.ci_key_id.clone()],
        };
        self.initiate_with(address, &info)
    }

    pub(crate) fn initiate_with(
        &self,
        address: &str,
        info: &EuiccInfo1,
    ) -> InitiateAuthenticationRequest {
        InitiateAuthenticationRequest {
            euicc_challenge: Base64::new(CHALLENGE.to_vec()).unwrap(),
            euicc_info1: Base64::new(info.to_vec()).unwrap(),
            smdp_address: Text::new(address).unwrap(),
        }
    }

    fn info2(&self) -> EuiccInfo2 {
        EuiccInfo2 {
            profile_version: self.profile_version,
            svn: Version([2, 4, 0]),
            firmware: Version([1, 0, 0]),
            ext_card_resource: vec![0x81, 1, 0, 0x82, 4, 0, 8, 0, 0, 0x83, 2, 4, 0],
            uicc_capability: 0,
            ts102241_version: None,
            globalplatform_version: None,
            rsp_capability: 0,
            ci_pkid_for_verification: vec![self.ci_key_id.clone()],
            ci_pkid_for_signing: vec![self.ci_key_id.clone()],
            category: None,
            forbidden_ppr: None,
            pp_version: Version([1, 0, 0]),
            sas_accreditation_number: "X".into(),
        }
    }

    fn sign(&self, parts: &[&[u8]]) -> Signature {
        let key = &self.identity.key.private;
        Signature::from(self.crypto.sign(key, parts).unwrap())
    }

    /// Checks the server as the card does, and answers with this MatchingID.
    pub(crate) fn authenticate(
        &self,
        ok: &InitiateAuthenticationOk,
        matching_id: Option<&str>,
    ) -> AuthenticateResponseOk {
        let signed: Signed<ServerSigned1> =
            Signed::from_slice(ok.server_signed1.as_bytes()).unwrap();
        let signature = Signature::from_tlv(ok.server_signature1.as_bytes()).unwrap();
        let certificate =
            aid_rsp::cert::Certificate::from_der(ok.server_certificate.as_bytes()).unwrap();
        self.crypto
            .verify(
                certificate.public_key(),
                &[signed.bytes()],
                signature.as_bytes(),
            )
            .unwrap();
        assert_eq!(signed.value().euicc_challenge, CHALLENGE);
        assert_eq!(
            signed.value().transaction_id.as_bytes(),
            ok.transaction_id.as_bytes()
        );
        let key_id = Tlv::parse_tag(ok.euicc_ci_pkid_to_be_used.as_bytes(), 0x04).unwrap();
        assert_eq!(key_id.value, self.ci_key_id);
        self.answer(EuiccSigned1 {
            transaction_id: signed.value().transaction_id,
            server_address: signed.value().server_address.clone(),
            server_challenge: signed.value().server_challenge,
            euicc_info2: self.info2(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: matching_id.map(Into::into),
                device_info: DeviceInfo {
                    tac: [0x35, 0x29, 0x06, 0x11],
                    capabilities: DeviceCapabilities::default(),
                    imei: None,
                },
            }),
        })
    }

    pub(crate) fn answer(&self, signed: EuiccSigned1) -> AuthenticateResponseOk {
        let signed = Signed::new(signed);
        AuthenticateResponseOk {
            euicc_signature1: self.sign(&[signed.bytes()]),
            euicc_signed1: signed,
            euicc_certificate: self.identity.certificate.clone(),
            eum_certificate: self.eum.clone(),
        }
    }

    /// PrepareDownload: a new one-time key, unless the server asks for the old one and it is there.
    pub(crate) fn prepare(&mut self, ok: &AuthenticateClientOk, code: Option<&str>) -> Vec<u8> {
        let signed: Signed<SmdpSigned2> = Signed::from_slice(ok.smdp_signed2.as_bytes()).unwrap();
        let asked = signed.value().bpp_euicc_otpk.as_deref();
        let kept = self.otk.as_ref().map(|k| k.public.as_bytes().to_vec());
        if asked.is_none() || asked != kept.as_deref() {
            let der = ok.smdp_certificate.as_bytes();
            let dppb = aid_rsp::cert::Certificate::from_der(der).unwrap();
            let curve = dppb.public_key().curve();
            self.otk = Some(self.crypto.generate(curve, &mut UnwrapErr(SysRng)));
        }
        let otpk = self.otk.as_ref().unwrap().public.as_bytes().to_vec();
        let id = signed.value().transaction_id;
        self.prepared(
            EuiccSigned2 {
                transaction_id: id,
                euicc_otpk: otpk,
                hash_cc: code.map(|c| hash_confirmation_code(c, id.as_bytes())),
            },
            ok.smdp_signature2.as_bytes(),
        )
    }

    pub(crate) fn prepared(&self, signed: EuiccSigned2, smdp_signature2: &[u8]) -> Vec<u8> {
        self.prepared_signed(Signed::new(signed), smdp_signature2)
    }

    pub(crate) fn prepared_signed(
        &self,
        euicc_signed2: Signed<EuiccSigned2>,
        smdp_signature2: &[u8],
    ) -> Vec<u8> {
        PrepareDownloadResponse::Ok {
            euicc_signature2: self.sign(&[euicc_signed2.bytes(), smdp_signature2]),
            euicc_signed2,
        }
        .to_vec()
    }

    /// Opens a BPP with the one-time key.
    pub(crate) fn open(&self, bpp: &[u8], dp_pb: &PublicKey) -> Opened {
        let mut parts = Tlv::parse_tag(bpp, tags::BPP).unwrap().children();
        let initialise = parts.any().unwrap();
        let request = InitialiseSecureChannelRequest::read(&initialise).unwrap();
        let otk = self.otk.as_ref().unwrap();
        self.crypto
            .verify(
                dp_pb,
                &[&request.signed_part(otk.public.as_bytes())],
                request.smdp_sign.as_bytes(),
            )
            .unwrap();
        let peer = PublicKey::from_bytes(otk.private.curve(), &request.smdp_otpk).unwrap();
        let secret = self.crypto.ecdh(&otk.private, &peer).unwrap();
        let keys = SessionKeys::derive(
            &secret,
            KeyAgreementParams {
                host_id: &request.control_ref_template.host_id,
                eid: &self.eid,
            },
        );
        let after_initialise = parts.rest().to_vec();
        let mut bsp = Bsp::new(&keys);
        let plain = |bsp: &mut Bsp, tag, parts: &mut aid_rsp::tlv::Reader<'_>| {
            let mut out = Vec::new();
            for segment in parts.expect(tag).unwrap().children() {
                let segment = segment.unwrap();
                assert!(segment.raw.len() <= aid_rsp::bsp::MAX_SEGMENT);
                if segment.tag == tags::SEGMENT_88 {
                    out.extend_from_slice(bsp.verify(&segment).unwrap());
                } else {
                    bsp.open(&segment, &mut out).unwrap();
                }
            }
            out
        };
        assert_eq!(
            plain(&mut bsp, tags::FIRST_87, &mut parts),
            [0xBF, 0x24, 0x00]
        );
        let metadata = plain(&mut bsp, tags::SEQUENCE_OF_88, &mut parts);
        let own_keys = parts.peek_tag().unwrap() == Some(tags::SECOND_87);
        if own_keys {
            let plain = plain(&mut bsp, tags::SECOND_87, &mut parts);
            let request = ReplaceSessionKeysRequest::from_slice(&plain).unwrap();
            bsp.replace_keys(&request.keys);
        }
        let package = plain(&mut bsp, tags::SEQUENCE_OF_86, &mut parts);
        parts.finish().unwrap();
        Opened {
            metadata: StoreMetadataRequest::from_slice(&metadata).unwrap(),
            package,
            own_keys,
            after_initialise,
        }
    }

    fn metadata(seq: u64, event: NotificationEvent, iccid: [u8; 10]) -> NotificationMetadata {
        NotificationMetadata {
            seq_number: seq,
            event,
            address: "localhost".into(),
            iccid: Some(iccid),
        }
    }

    pub(crate) fn installed(&self, id: TransactionId, seq: u64, iccid: [u8; 10]) -> Vec<u8> {
        let aid = vec![0xA0, 0, 0, 5, 0x59];
        let result = FinalResult::Success {
            aid,
            sima_response: vec![0x30, 0],
        };
        self.result(id, seq, iccid, result)
    }

    pub(crate) fn result(
        &self,
        id: TransactionId,
        seq: u64,
        iccid: [u8; 10],
        result: FinalResult,
    ) -> Vec<u8> {
        let data = Signed::new(ProfileInstallationResultData {
            transaction_id: id,
            notification: Self::metadata(seq, NotificationEvent::Install, iccid),
            smdp_oid: DP_OID.to_vec(),
            result,
        });
        let signature = self.sign(&[data.bytes()]);
        ProfileInstallationResult { data, signature }.to_vec()
    }

    pub(crate) fn notify(&self, seq: u64, event: NotificationEvent, iccid: [u8; 10]) -> Vec<u8> {
        let tbs = Signed::new(Self::metadata(seq, event, iccid));
        PendingNotification::Other(Box::new(OtherSignedNotification {
            signature: self.sign(&[tbs.bytes()]),
            tbs,
            euicc_certificate: self.identity.certificate.clone(),
            eum_certificate: self.eum.clone(),
        }))
        .to_vec()
    }

    pub(crate) fn cancel(
        &self,
        id: TransactionId,
        oid: &[u8],
        reason: CancelSessionReason,
    ) -> Vec<u8> {
        let signed = Signed::new(EuiccCancelSessionSigned {
            transaction_id: id,
            smdp_oid: oid.to_vec(),
            reason,
        });
        CancelSessionResponse::Ok {
            signature: self.sign(&[signed.bytes()]),
            signed,
        }
        .to_vec()
    }
}

pub(crate) fn ok_response(response: AuthenticateResponseOk) -> Vec<u8> {
    AuthenticateServerResponse::Ok(Box::new(response)).to_vec()
}

/// A BPP with zeros as smdpSign: all that repeats when a package is given out again, as no two signatures are alike.
pub(crate) fn without_signature(bpp: &[u8]) -> Vec<u8> {
    let mut parts = Tlv::parse_tag(bpp, tags::BPP).unwrap().children();
    let request = InitialiseSecureChannelRequest::read(&parts.any().unwrap()).unwrap();
    let signature = request.smdp_sign.as_bytes();
    let at = bpp.windows(signature.len()).position(|w| w == signature);
    let at = at.unwrap();
    let mut out = bpp.to_vec();
    out[at..at + signature.len()].fill(0);
    out
}

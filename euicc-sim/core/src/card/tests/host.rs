//! The other side of the card: an LPA and an SM-DP+ in one, with a minted PKI.
use super::world::key_id;
pub(super) use super::world::{EID, TestRng, pki};
use crate::card::{Card, ISDR_AID, Identity, Options};
use crate::nvm::{Memory, Nvm};
use aid_rsp::bsp::{Bsp, KeyAgreementParams, SessionKeys};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, PublicKey, SoftwareCrypto};
use aid_rsp::es8::{
    BoundProfilePackage, ConfigureIsdpRequest, ControlRefTemplate, InitialiseSecureChannelRequest,
    REMOTE_OP_INSTALL_BPP, ReplaceSessionKeysRequest, build_bpp, segments,
};
use aid_rsp::es10::*;
use aid_rsp::pki::RspPki;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use aid_rsp::tlv::Writer;
use std::sync::Arc;
use std::{boxed::Box, string::String, vec::Vec};

/// A package as the card gets it.
pub(super) type Pieces = Vec<Vec<u8>>;

/// What a test does to a download.
#[derive(Default)]
pub(super) struct Tamper<'a> {
    pub(super) signed1: Option<&'a dyn Fn(&mut ServerSigned1)>,
    pub(super) auth: Option<&'a dyn Fn(&mut AuthenticateServerRequest)>,
    pub(super) prepare: Option<&'a dyn Fn(&mut PrepareDownloadRequest)>,
    pub(super) initialise: Option<&'a dyn Fn(&mut InitialiseSecureChannelRequest)>,
    /// Before it is signed anew.
    pub(super) unsigned: Option<&'a dyn Fn(&mut InitialiseSecureChannelRequest)>,
    pub(super) segments: Option<&'a dyn Fn(&mut Pieces)>,
    pub(super) bpp_euicc_otpk: Option<Vec<u8>>,
    /// Protect the profile with keys of its own (ReplaceSessionKeys).
    pub(super) own_keys: bool,
}

pub(super) struct Host<N = Memory> {
    pub(super) card: Card<N>,
    pub(super) server: &'static RspPki,
    pub(super) crypto: SoftwareCrypto,
    pub(super) rng: TestRng,
    /// Class byte of the channel with the ISD-R.
    pub(super) cla: u8,
    pub(super) apdus: u32,
    pub(super) otpk: Vec<u8>,
}

impl Host<Memory> {
    pub(super) fn new() -> Self {
        Self::with(Memory::new())
    }

    /// A new card whose first notification has this number.
    pub(super) fn numbered_from(first_notification: u32) -> Self {
        let mut host = Self::new();
        let options = Options {
            first_notification,
            ..Options::default()
        };
        let crypto = Arc::new(host.crypto.clone());
        let rng = Box::new(TestRng(1000));
        let identity = Arc::clone(&pki().1);
        host.card = Card::new(Memory::new(), crypto, rng, identity, options).unwrap();
        host.open_isdr();
        host
    }
}

impl<N: Nvm> Host<N> {
    /// The card alone, as it is after power on.
    pub(super) fn power_on(nvm: N, crypto: &SoftwareCrypto) -> Card<N> {
        Self::made_of(&pki().1, nvm, crypto)
    }

    fn made_of(identity: &Arc<Identity>, nvm: N, crypto: &SoftwareCrypto) -> Card<N> {
        Card::new(
            nvm,
            Arc::new(crypto.clone()),
            Box::new(TestRng(1000)),
            Arc::clone(identity),
            Options::default(),
        )
        .unwrap()
    }

    pub(super) fn with(nvm: N) -> Self {
        let (server, identity) = pki();
        Self::between(server, identity, nvm)
    }

    /// A card with this identity, and a server of this PKI.
    pub(super) fn between(server: &'static RspPki, identity: &Arc<Identity>, nvm: N) -> Self {
        let crypto = SoftwareCrypto::new();
        let mut host = Self {
            card: Self::made_of(identity, nvm, &crypto),
            server,
            crypto,
            rng: TestRng(5000),
            cla: 0,
            apdus: 0,
            otpk: Vec::new(),
        };
        host.card.reset();
        host.open_isdr();
        host
    }

    pub(super) fn open_isdr(&mut self) {
        let opened = self.apdu("0070000001");
        assert_eq!(opened[1..], [0x90, 0]);
        let cla = crate::apdu::Class::interindustry(opened[0]);
        let select = std::format!("{cla:02x}a4040010{}00", hex::encode(ISDR_AID));
        let fci = self.apdu(&select);
        assert!(fci.ends_with(&[0x90, 0]), "{fci:02X?}");
        self.cla = 0x80 | cla;
    }

    pub(super) fn apdu(&mut self, apdu: &str) -> Vec<u8> {
        let apdu: String = apdu.split_whitespace().collect();
        self.card.transmit(&hex::decode(apdu).unwrap())
    }

    #[track_caller]
    pub(super) fn expect(&mut self, apdu: &str, answer: &str) {
        assert_eq!(hex::encode(self.apdu(apdu)), answer, "{apdu}");
    }

    /// One function of ES10, with STORE DATA blocks and GET RESPONSE.
    pub(super) fn es10(&mut self, request: &[u8]) -> Result<Vec<u8>, u16> {
        let mut blocks = request.chunks(255).enumerate().peekable();
        let mut data = Vec::new();
        let mut status = 0;
        while let Some((n, block)) = blocks.next() {
            let p1 = if blocks.peek().is_some() { 0x11 } else { 0x91 };
            let mut apdu = std::vec![self.cla, 0xE2, p1, n as u8, block.len() as u8];
            apdu.extend_from_slice(block);
            apdu.push(0);
            (data, status) = self.split(&apdu);
            if status & 0xFF00 == 0x9100 {
                status = 0x9000;
            }
            if status & 0xFF00 != 0x6100 && status != 0x9000 {
                return Err(status);
            }
        }
        while status & 0xFF00 == 0x6100 {
            let (more, next) = self.split(&[self.cla & 0x7F, 0xC0, 0, 0, status as u8]);
            data.extend_from_slice(&more);
            status = if next & 0xFF00 == 0x9100 {
                0x9000
            } else {
                next
            };
        }
        if status == 0x9000 {
            Ok(data)
        } else {
            Err(status)
        }
    }

    fn split(&mut self, apdu: &[u8]) -> (Vec<u8>, u16) {
        self.apdus += 1;
        let mut answer = self.card.transmit(apdu);
        assert!(answer.len() <= 258);
        let sw = answer.split_off(answer.len() - 2);
        (answer, u16::from_be_bytes([sw[0], sw[1]]))
    }

    pub(super) fn call<Q: DataObject, R: DataObject>(&mut self, request: &Q) -> R {
        let answer = self.es10(&request.to_vec()).unwrap();
        R::from_slice(&answer).unwrap_or_else(|e| panic!("{e}: {}", hex::encode(&answer)))
    }

    pub(super) fn authenticate(&mut self, tamper: &Tamper<'_>) -> AuthenticateServerResponse {
        let challenge: GetEuiccChallengeResponse = self.call(&GetEuiccChallengeRequest);
        let mut id = [0; 16];
        rand_core::Rng::fill_bytes(&mut self.rng, &mut id);
        let mut signed = ServerSigned1 {
            transaction_id: TransactionId::new(&id).unwrap(),
            euicc_challenge: challenge.challenge,
            server_address: "smdp.example.com".into(),
            server_challenge: [7; 16],
        };
        if let Some(f) = tamper.signed1 {
            f(&mut signed);
        }
        let signed = Signed::new(signed);
        let auth = &self.server.dp_auth;
        let signature = self
            .crypto
            .sign(&auth.key.private, &[signed.bytes()])
            .unwrap();
        let mut request = AuthenticateServerRequest {
            server_signed1: signed,
            server_signature1: signature.into(),
            euicc_ci_pkid: key_id(&self.server.ci),
            server_certificate: auth.certificate.clone(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some("TOKEN".into()),
                device_info: DeviceInfo {
                    tac: [0x35, 0x29, 0x06, 0x11],
                    capabilities: DeviceCapabilities::default(),
                    imei: None,
                },
            }),
        };
        if let Some(f) = tamper.auth {
            f(&mut request);
        }
        self.call(&request)
    }

    pub(super) fn prepare(
        &mut self,
        ok: &AuthenticateResponseOk,
        tamper: &Tamper<'_>,
    ) -> PrepareDownloadResponse {
        // The card is who it says.
        let euicc = Certificate::from_der(&ok.euicc_certificate).unwrap();
        self.crypto
            .verify(
                euicc.public_key(),
                &[ok.euicc_signed1.bytes()],
                ok.euicc_signature1.as_bytes(),
            )
            .unwrap();
        let signed = Signed::new(SmdpSigned2 {
            transaction_id: ok.euicc_signed1.value().transaction_id,
            cc_required: false,
            bpp_euicc_otpk: tamper.bpp_euicc_otpk.clone(),
        });
        let dppb = &self.server.dp_pb;
        let signature = self
            .crypto
            .sign(
                &dppb.key.private,
                &[signed.bytes(), &ok.euicc_signature1.to_tlv()],
            )
            .unwrap();
        let mut request = PrepareDownloadRequest {
            smdp_signed2: signed,
            smdp_signature2: signature.into(),
            hash_cc: None,
            smdp_certificate: dppb.certificate.clone(),
        };
        if let Some(f) = tamper.prepare {
            f(&mut request);
        }
        let response = self.call(&request);
        if let PrepareDownloadResponse::Ok {
            euicc_signed2,
            euicc_signature2,
        } = &response
        {
            let parts = [euicc_signed2.bytes(), &request.smdp_signature2.to_tlv()];
            self.crypto
                .verify(euicc.public_key(), &parts, euicc_signature2.as_bytes())
                .unwrap();
        }
        response
    }

    /// The package for what PrepareDownload answered, as pieces.
    pub(super) fn bpp(
        &mut self,
        prepared: &PrepareDownloadResponse,
        metadata: &StoreMetadataRequest,
        upp: &[u8],
        tamper: &Tamper<'_>,
    ) -> Vec<Vec<u8>> {
        let PrepareDownloadResponse::Ok { euicc_signed2, .. } = prepared else {
            panic!("{prepared:?}");
        };
        let otpk = &euicc_signed2.value().euicc_otpk;
        self.otpk.clone_from(otpk);
        let pair = self
            .crypto
            .generate(self.server.dp_pb.key.public.curve(), &mut self.rng);
        let mut initialise = InitialiseSecureChannelRequest {
            remote_op_id: REMOTE_OP_INSTALL_BPP,
            transaction_id: euicc_signed2.value().transaction_id,
            control_ref_template: ControlRefTemplate::aes128(b"smdp"),
            smdp_otpk: pair.public.as_bytes().to_vec(),
            smdp_sign: [0; 64].into(),
        };
        if let Some(f) = tamper.unsigned {
            f(&mut initialise);
        }
        let key = &self.server.dp_pb.key.private;
        let signed = initialise.signed_part(otpk);
        initialise.smdp_sign = self.crypto.sign(key, &[&signed]).unwrap().into();
        if let Some(f) = tamper.initialise {
            f(&mut initialise);
        }
        let public = PublicKey::from_bytes(pair.private.curve(), otpk).unwrap();
        let secret = self.crypto.ecdh(&pair.private, &public).unwrap();
        let params = KeyAgreementParams {
            host_id: b"smdp",
            eid: &EID,
        };
        let keys = SessionKeys::derive(&secret, params);
        let bpp = if tamper.own_keys {
            with_own_keys(&initialise, metadata, upp, &keys)
        } else {
            let parts = BoundProfilePackage {
                initialise: &initialise,
                configure: &ConfigureIsdpRequest::default(),
                metadata,
                upp,
                own_keys: None,
            };
            build_bpp(&parts, &keys).unwrap()
        };
        let mut pieces: Vec<Vec<u8>> = segments(&bpp)
            .unwrap()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        if let Some(f) = tamper.segments {
            f(&mut pieces);
        }
        pieces
    }

    /// Sends pieces until the card answers with a result.
    pub(super) fn load(&mut self, pieces: &[Vec<u8>]) -> Result<Option<FinalResult>, u16> {
        for piece in pieces {
            let answer = self.es10(piece)?;
            if answer.is_empty() {
                continue;
            }
            let result = ProfileInstallationResult::from_slice(&answer).unwrap();
            let euicc = Certificate::from_der(&self.server.euicc.certificate).unwrap();
            let signature = result.signature.as_bytes();
            self.crypto
                .verify(euicc.public_key(), &[result.data.bytes()], signature)
                .unwrap();
            return Ok(Some(result.data.into_value().result));
        }
        Ok(None)
    }

    /// A whole download.
    pub(super) fn download(
        &mut self,
        metadata: &StoreMetadataRequest,
        upp: &[u8],
        tamper: &Tamper<'_>,
    ) -> Result<Option<FinalResult>, u16> {
        let AuthenticateServerResponse::Ok(ok) = self.authenticate(tamper) else {
            panic!("authentication refused");
        };
        let prepared = self.prepare(&ok, tamper);
        let pieces = self.bpp(&prepared, metadata, upp, tamper);
        self.load(&pieces)
    }

    #[track_caller]
    pub(super) fn install(&mut self, n: u8) {
        let result = self.download(&metadata(n), &package(n), &Tamper::default());
        assert!(
            matches!(result, Ok(Some(FinalResult::Success { .. }))),
            "{result:?}"
        );
    }

    pub(super) fn enable(&mut self, n: u8) -> EnableResult {
        let profile = ProfileIdentifier::Iccid(metadata(n).iccid);
        let request = EnableProfileRequest {
            profile,
            refresh: true,
        };
        self.call::<_, EnableProfileResponse>(&request).result
    }

    pub(super) fn disable(&mut self, n: u8) -> DisableResult {
        let profile = ProfileIdentifier::Iccid(metadata(n).iccid);
        let request = DisableProfileRequest {
            profile,
            refresh: false,
        };
        self.call::<_, DisableProfileResponse>(&request).result
    }

    pub(super) fn delete(&mut self, n: u8) -> DeleteResult {
        let profile = ProfileIdentifier::Iccid(metadata(n).iccid);
        let request = DeleteProfileRequest { profile };
        self.call::<_, DeleteProfileResponse>(&request).result
    }

    pub(super) fn profiles(&mut self) -> Vec<ProfileInfo> {
        match self.call(&ProfileInfoListRequest::default()) {
            ProfileInfoListResponse::Ok(list) => list,
            ProfileInfoListResponse::Error(e) => panic!("{e}"),
        }
    }

    pub(super) fn notifications(&mut self) -> Vec<NotificationMetadata> {
        match self.call(&ListNotificationRequest::default()) {
            ListNotificationResponse::Ok(list) => list,
            ListNotificationResponse::Error(e) => panic!("{e}"),
        }
    }
}

/// A package in PPK mode, as other SM-DP+ make them.
fn with_own_keys(
    initialise: &InitialiseSecureChannelRequest,
    metadata: &StoreMetadataRequest,
    upp: &[u8],
    keys: &SessionKeys,
) -> Vec<u8> {
    let own = SessionKeys::new([9; 16], [8; 16], [7; 16]);
    let mut bsp = Bsp::new(keys);
    let (mut configure, mut replace) = (Vec::new(), Vec::new());
    let (mut info, mut elements) = (Vec::new(), Vec::new());
    let plain = ConfigureIsdpRequest::default().to_vec();
    bsp.protect(0x87, &plain, &mut configure).unwrap();
    // Metadata in two segments.
    let plain = metadata.to_vec();
    let (first, second) = plain.split_at(20);
    bsp.mac_only(0x88, first, &mut info).unwrap();
    bsp.mac_only(0x88, second, &mut info).unwrap();
    let plain = ReplaceSessionKeysRequest { keys: own.clone() }.to_vec();
    bsp.protect(0x87, &plain, &mut replace).unwrap();
    let mut bsp = Bsp::new(&own);
    for part in upp.chunks(500) {
        bsp.protect(0x86, part, &mut elements).unwrap();
    }
    let mut w = Writer::new();
    w.constructed(0xBF36, |w| {
        initialise.write(w);
        w.primitive(0xA0, &configure).primitive(0xA1, &info);
        w.primitive(0xA2, &replace).primitive(0xA3, &elements);
    });
    w.into_vec()
}

pub(super) fn iccid_digits(n: u8) -> String {
    std::format!("89881234567890123{n:02}1")
}

pub(super) fn imsi(n: u8) -> String {
    std::format!("0010112345678{n:02}")
}

/// Our own profile number `n`.
pub(super) fn package(n: u8) -> Vec<u8> {
    let algorithm = Algorithm::Milenage {
        k: [n; 16],
        opc: [n + 1; 16],
    };
    ProfileBuilder::new(iccid_digits(n), imsi(n), algorithm)
        .build()
        .unwrap()
}

pub(super) fn metadata(n: u8) -> StoreMetadataRequest {
    let digits = iccid_digits(n);
    let d: Vec<u8> = digits.bytes().map(|b| b - b'0').collect();
    let note = |events, address: &str| NotificationConfigurationInformation {
        events,
        address: address.into(),
    };
    StoreMetadataRequest {
        iccid: core::array::from_fn(|i| d[2 * i + 1] << 4 | d[2 * i]),
        service_provider_name: "Provider".into(),
        profile_name: std::format!("Profile {n}"),
        icon_type: None,
        icon: None,
        profile_class: ProfileClass::Operational,
        notifications: std::vec![
            note(NotificationEvent::ALL, "smdp.example.com"),
            note(NotificationEvent::Enable.bit(), "other.example.com"),
        ],
        profile_owner: Some(OperatorId {
            mcc_mnc: [0x00, 0xF1, 0x10],
            gid1: None,
            gid2: None,
        }),
        policy_rules: None,
    }
}

/// A request without types.
pub(super) fn raw(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.primitive(tag, value);
    w.into_vec()
}

//! A card's surroundings in one place: a minted PKI, the card in it, and the SM-DP+ that talks to it.
//! SGP.22 §3.1.2, §5.5.

use crate::Seeded;
use aid_euicc::card::{Card, Chain, Credentials, Identity, Options};
use aid_euicc::nvm::{Memory, Nvm};
use aid_rsp::bsp::{Bsp, KeyAgreementParams, MAX_PLAIN, MAX_PLAIN_MAC_ONLY, SessionKeys};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, KeyPair, PublicKey, SharedSecret};
use aid_rsp::es8::{
    ControlRefTemplate, InitialiseSecureChannelRequest, REMOTE_OP_INSTALL_BPP,
    ReplaceSessionKeysRequest, tags,
};
use aid_rsp::es10::{
    AuthenticateResponseOk, AuthenticateServerRequest, CtxParams1, DataObject, DeviceCapabilities,
    DeviceInfo, NotificationConfigurationInformation, NotificationEvent, OperatorId,
    PrepareDownloadRequest, PrepareDownloadResponse, ProfileClass, ServerSigned1, Signed,
    SmdpSigned2, StoreMetadataRequest, TransactionId,
};
use aid_rsp::pki::{MintParams, RspPki};
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use aid_rsp::tlv::{Tag, Writer};
use std::sync::Arc;

/// EID of the card.
pub const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

/// Host id of the SM-DP+ in the key agreement.
const HOST_ID: &[u8] = b"smdp";

/// A PKI, the identity of a card in it, and the cryptography of both.
pub struct World {
    /// The minted PKI with all its keys.
    pub pki: RspPki,
    /// The card's identity.
    pub identity: Arc<Identity>,
    /// What card and SM-DP+ compute with.
    pub crypto: Arc<dyn Crypto>,
    /// EID of the card.
    pub eid: [u8; 16],
}

/// What a package carries in the clear, each part as its bytes, so that it may be malformed.
#[derive(Debug, Clone)]
pub struct Plain {
    /// ConfigureISDPRequest.
    pub configure: Vec<u8>,
    /// StoreMetadataRequest.
    pub metadata: Vec<u8>,
    /// Profile elements.
    pub elements: Vec<u8>,
    /// Bytes of profile elements in one segment, 1 to [`MAX_PLAIN`].
    pub segment: usize,
    /// Protect the elements with keys of their own (ReplaceSessionKeys).
    pub own_keys: bool,
}

impl World {
    /// Mints a PKI. The same seed gives the same bytes when the cryptography is deterministic.
    ///
    /// # Panics
    /// When what was minted is refused: the world is broken then.
    #[must_use]
    pub fn mint(crypto: Arc<dyn Crypto>, seed: u64) -> Self {
        let params = MintParams::loopback(&EID, 1_700_000_000, 2_000_000_000);
        let pki = RspPki::mint(&params, &*crypto, &mut Seeded::new(seed)).expect("mint");
        Self::around(pki, crypto, EID)
    }

    /// The same PKI around another card, whose certificate is minted under the same EUM: `eid` must
    /// begin with the same 8 digits as [`EID`].
    ///
    /// # Panics
    /// When what was minted is refused.
    #[must_use]
    pub fn with_eid(&self, eid: [u8; 16], crypto: Arc<dyn Crypto>, seed: u64) -> Self {
        let params = MintParams::loopback(&eid, 1_700_000_000, 2_000_000_000);
        let mut pki = self.pki.clone();
        let euicc = pki.mint_euicc(&params, &*crypto, &mut Seeded::new(seed));
        pki.euicc = euicc.expect("mint");
        Self::around(pki, crypto, eid)
    }

    fn around(pki: RspPki, crypto: Arc<dyn Crypto>, eid: [u8; 16]) -> Self {
        let certificate = |der: &[u8]| Certificate::from_der(der).expect("minted certificate");
        let chain = Chain {
            euicc: certificate(&pki.euicc.certificate),
            eum: certificate(&pki.eum.certificate),
            key: pki.euicc.key.private.clone(),
        };
        let parts = Credentials {
            chains: vec![chain],
            ci: vec![certificate(&pki.ci.certificate)],
        };
        let identity = Identity::new(eid, parts, &*crypto).expect("minted identity");
        Self {
            pki,
            identity: Arc::new(identity),
            crypto,
            eid,
        }
    }

    /// A card in this world.
    ///
    /// # Panics
    /// When the memory is not that of a card: whatever a card wrote must be readable.
    pub fn card<N: Nvm>(&self, nvm: N, seed: u64, options: Options) -> Card<N> {
        Card::new(
            nvm,
            Arc::clone(&self.crypto),
            Box::new(Seeded::new(seed)),
            Arc::clone(&self.identity),
            options,
        )
        .expect("a card is made from its own memory")
    }

    /// AuthenticateServer for the card's challenge.
    ///
    /// # Panics
    /// When signing fails.
    #[must_use]
    pub fn authenticate_server(&self, challenge: [u8; 16]) -> AuthenticateServerRequest {
        let signed = Signed::new(ServerSigned1 {
            transaction_id: TransactionId::new(&[0xA1; 16]).expect("16 bytes"),
            euicc_challenge: challenge,
            server_address: "smdp.example.com".into(),
            server_challenge: [7; 16],
        });
        let signature = self
            .crypto
            .sign(&self.pki.dp_auth.key.private, &[signed.bytes()])
            .expect("a signature");
        AuthenticateServerRequest {
            server_signed1: signed,
            server_signature1: signature.into(),
            euicc_ci_pkid: self.ci_key_id(),
            server_certificate: self.pki.dp_auth.certificate.clone(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some("TOKEN".into()),
                device_info: DeviceInfo {
                    tac: [0x35, 0x29, 0x06, 0x11],
                    capabilities: DeviceCapabilities::default(),
                    imei: None,
                },
            }),
        }
    }

    fn ci_key_id(&self) -> Vec<u8> {
        let ci = Certificate::from_der(&self.pki.ci.certificate).expect("minted certificate");
        ci.subject_key_id().expect("a CI has one").to_vec()
    }

    /// PrepareDownload for the card's answer to AuthenticateServer.
    ///
    /// # Panics
    /// When signing fails.
    #[must_use]
    pub fn prepare_download(&self, ok: &AuthenticateResponseOk) -> PrepareDownloadRequest {
        let signed = Signed::new(SmdpSigned2 {
            transaction_id: ok.euicc_signed1.value().transaction_id,
            cc_required: false,
            bpp_euicc_otpk: None,
        });
        let parts = [signed.bytes(), &ok.euicc_signature1.to_tlv()];
        let signature = self.crypto.sign(&self.pki.dp_pb.key.private, &parts);
        PrepareDownloadRequest {
            smdp_signed2: signed,
            smdp_signature2: signature.expect("a signature").into(),
            hash_cc: None,
            smdp_certificate: self.pki.dp_pb.certificate.clone(),
        }
    }

    /// The package for the card's answer to PrepareDownload, bound with the SM-DP+'s one-time key.
    ///
    /// # Panics
    /// When the card refused, or a part does not fit in its segment.
    #[must_use]
    pub fn bind(
        &self,
        prepared: &PrepareDownloadResponse,
        one_time: &KeyPair,
        p: &Plain,
    ) -> Vec<u8> {
        let PrepareDownloadResponse::Ok { euicc_signed2, .. } = prepared else {
            panic!("{prepared:?}");
        };
        let euicc_otpk = &euicc_signed2.value().euicc_otpk;
        let mut initialise = InitialiseSecureChannelRequest {
            remote_op_id: REMOTE_OP_INSTALL_BPP,
            transaction_id: euicc_signed2.value().transaction_id,
            control_ref_template: ControlRefTemplate::aes128(HOST_ID),
            smdp_otpk: one_time.public.as_bytes().to_vec(),
            smdp_sign: [0; 64].into(),
        };
        let signed = initialise.signed_part(euicc_otpk);
        let signature = self.crypto.sign(&self.pki.dp_pb.key.private, &[&signed]);
        initialise.smdp_sign = signature.expect("a signature").into();
        protect(&initialise, &self.session_keys(euicc_otpk, one_time), p)
    }

    /// The keys of the channel between the SM-DP+'s one-time key and the card's.
    ///
    /// # Panics
    /// When the card's key is none.
    #[must_use]
    pub fn session_keys(&self, euicc_otpk: &[u8], one_time: &KeyPair) -> SessionKeys {
        let public = PublicKey::from_bytes(one_time.private.curve(), euicc_otpk);
        let secret = self
            .crypto
            .ecdh(&one_time.private, &public.expect("the card's key"));
        self.derive(&secret.expect("ECDH"))
    }

    /// The keys that both ends derive from their secret (SGP.22 Annex G).
    #[must_use]
    pub fn derive(&self, secret: &SharedSecret) -> SessionKeys {
        let params = KeyAgreementParams {
            host_id: HOST_ID,
            eid: &self.eid,
        };
        SessionKeys::derive(secret, params)
    }
}

/// The bound package of any plain bytes.
fn protect(initialise: &InitialiseSecureChannelRequest, keys: &SessionKeys, p: &Plain) -> Vec<u8> {
    let mut bsp = Bsp::new(keys);
    let sequence = |bsp: &mut Bsp, tag: Tag, plain: &[u8], size: usize| {
        let mut out = Vec::new();
        for part in plain.chunks(size) {
            let done = match tag {
                tags::SEGMENT_88 => bsp.mac_only(tag, part, &mut out),
                _ => bsp.protect(tag, part, &mut out),
            };
            done.expect("parts fit in segments");
        }
        out
    };
    let configure = sequence(&mut bsp, tags::SEGMENT_87, &p.configure, MAX_PLAIN);
    let metadata = sequence(&mut bsp, tags::SEGMENT_88, &p.metadata, MAX_PLAIN_MAC_ONLY);
    let own = SessionKeys::new([9; 16], [8; 16], [7; 16]);
    let replace = p.own_keys.then(|| {
        let plain = ReplaceSessionKeysRequest { keys: own.clone() }.to_vec();
        let replace = sequence(&mut bsp, tags::SEGMENT_87, &plain, MAX_PLAIN);
        bsp.replace_keys(&own);
        replace
    });
    let elements = sequence(&mut bsp, tags::SEGMENT_86, &p.elements, p.segment);
    let mut w = Writer::new();
    w.constructed(tags::BPP, |w| {
        initialise.write(w);
        w.primitive(tags::FIRST_87, &configure)
            .primitive(tags::SEQUENCE_OF_88, &metadata)
            .optional(tags::SECOND_87, replace.as_deref())
            .primitive(tags::SEQUENCE_OF_86, &elements);
    });
    w.into_vec()
}

fn digits(n: u8) -> String {
    format!("89881234567890123{n:02}1")
}

/// Our own profile number `n` (0 to 99) with Milenage keys of bytes `n` and `n + 1`.
///
/// # Panics
/// For another number.
#[must_use]
pub fn profile(n: u8) -> Vec<u8> {
    let algorithm = Algorithm::Milenage {
        k: [n; 16],
        opc: [n.wrapping_add(1); 16],
    };
    ProfileBuilder::new(digits(n), format!("0010112345678{n:02}"), algorithm)
        .build()
        .expect("our own profile")
}

/// The metadata of profile number `n`.
#[must_use]
pub fn metadata(n: u8) -> StoreMetadataRequest {
    let d: Vec<u8> = digits(n).bytes().map(|b| b - b'0').collect();
    let note = |events, address: &str| NotificationConfigurationInformation {
        events,
        address: address.into(),
    };
    StoreMetadataRequest {
        iccid: core::array::from_fn(|i| d[2 * i + 1] << 4 | d[2 * i]),
        service_provider_name: "Provider".into(),
        profile_name: format!("Profile {n}"),
        icon_type: None,
        icon: None,
        profile_class: ProfileClass::Operational,
        notifications: vec![
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

impl Plain {
    /// Profile number `n` in the largest segments.
    #[must_use]
    pub fn of(n: u8) -> Self {
        Self {
            configure: aid_rsp::es8::ConfigureIsdpRequest::default().to_vec(),
            metadata: metadata(n).to_vec(),
            elements: profile(n),
            segment: MAX_PLAIN,
            own_keys: false,
        }
    }
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// A card's memory with profiles 1 and 2, the first of them enabled.
///
/// # Panics
/// When the card refuses them.
#[must_use]
pub fn two_profiles(world: &World) -> Memory {
    let mut reader = crate::Reader::new(world.card(Memory::new(), 1, Options::default()));
    for n in [1, 2] {
        reader.download(world, &Plain::of(n));
    }
    reader.enable(1);
    reader.into_card().into_nvm()
}

//! A card and a server that do what a script says: logical channels, STORE DATA chains and GET
//! RESPONSE are real, the contents are canned. The LPA verifies no signatures, so none are made.
#![allow(dead_code, reason = "each test uses a part")]

mod server;

pub(crate) use server::*;

use aid_lpa::{Apdu, Card, ISDR_AID, Lpa, Tally, TransportError};
use aid_rsp::bsp::SessionKeys;
use aid_rsp::es8::{
    self, BoundProfilePackage, ConfigureIsdpRequest, ControlRefTemplate,
    InitialiseSecureChannelRequest, REMOTE_OP_INSTALL_BPP,
};
use aid_rsp::es10::*;
use aid_rsp::tlv::{Tag, Tlv, parse_header};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

pub(crate) const SERVER: &str = "smdp.example.com:8443";
pub(crate) const ICCID: [u8; 10] = [0x98, 0x94, 0x10, 0, 0, 0, 0, 0, 0, 0xF1];
pub(crate) const CHALLENGE: [u8; 16] = [0xC4; 16];

pub(crate) fn transaction() -> TransactionId {
    TransactionId::new(&[0xAB; 8]).expect("id")
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

pub(crate) fn bpp(metadata: &StoreMetadataRequest, profile_bytes: usize) -> Vec<u8> {
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
        metadata,
        upp: &vec![7; profile_bytes],
        own_keys: None,
    };
    es8::build_bpp(&package, &SessionKeys::new([1; 16], [2; 16], [3; 16])).expect("package")
}

pub(crate) fn notification(
    seq_number: u64,
    event: NotificationEvent,
    address: &str,
) -> NotificationMetadata {
    NotificationMetadata {
        seq_number,
        event,
        address: address.into(),
        iccid: Some(ICCID),
    }
}

pub(crate) fn installation_result(result: FinalResult) -> ProfileInstallationResult {
    ProfileInstallationResult {
        data: Signed::new(ProfileInstallationResultData {
            transaction_id: transaction(),
            notification: notification(7, NotificationEvent::Install, SERVER),
            smdp_oid: vec![0x88, 0x37, 0x0A],
            result,
        }),
        signature: signature(),
    }
}

pub(crate) fn success() -> FinalResult {
    FinalResult::Success {
        aid: vec![0xA0; 16],
        sima_response: vec![0x30, 0],
    }
}

fn euicc_info2() -> EuiccInfo2 {
    EuiccInfo2 {
        profile_version: Version([2, 3, 1]),
        svn: Version([2, 4, 0]),
        firmware: Version([1, 0, 0]),
        ext_card_resource: vec![],
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

/// What the card answers to each function; change it for the test at hand.
pub(crate) fn answers() -> BTreeMap<Tag, Vec<u8>> {
    let authenticated = AuthenticateServerResponse::Ok(Box::new(AuthenticateResponseOk {
        euicc_signed1: Signed::new(EuiccSigned1 {
            transaction_id: transaction(),
            server_address: SERVER.into(),
            server_challenge: [9; 16],
            euicc_info2: euicc_info2(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some("M-1".into()),
                device_info: aid_lpa::default_device(),
            }),
        }),
        euicc_signature1: signature(),
        euicc_certificate: certificate(520),
        eum_certificate: certificate(560),
    }));
    let prepared = PrepareDownloadResponse::Ok {
        euicc_signed2: Signed::new(EuiccSigned2 {
            transaction_id: transaction(),
            euicc_otpk: vec![4; 65],
            hash_cc: None,
        }),
        euicc_signature2: signature(),
    };
    let cancelled = CancelSessionResponse::Ok {
        signed: Signed::new(EuiccCancelSessionSigned {
            transaction_id: transaction(),
            smdp_oid: vec![0x88, 0x37, 0x0A],
            reason: CancelSessionReason::UndefinedReason,
        }),
        signature: signature(),
    };
    let info1 = EuiccInfo1 {
        svn: Version([2, 4, 0]),
        ci_pkid_for_verification: vec![vec![1; 20]],
        ci_pkid_for_signing: vec![vec![1; 20]],
    };
    let profiles = ProfileInfoListResponse::Ok(vec![ProfileInfo {
        iccid: Some(ICCID),
        state: Some(ProfileState::Disabled),
        ..ProfileInfo::default()
    }]);
    let ok = |tag| vec![0xBF, tag, 3, 0x80, 1, 0];
    BTreeMap::from([
        (0xBF20, info1.to_vec()),
        (0xBF22, euicc_info2().to_vec()),
        (
            0xBF2E,
            GetEuiccChallengeResponse {
                challenge: CHALLENGE,
            }
            .to_vec(),
        ),
        (0xBF38, authenticated.to_vec()),
        (0xBF21, prepared.to_vec()),
        (0xBF41, cancelled.to_vec()),
        (0xBF3E, GetEuiccDataResponse { eid: [0x89; 16] }.to_vec()),
        (0xBF2D, profiles.to_vec()),
        (0xBF43, GetRatResponse::default().to_vec()),
        (0xBF30, ok(0x30)),
        (0xBF31, ok(0x31)),
        (0xBF32, ok(0x32)),
        (0xBF33, ok(0x33)),
        (0xBF29, ok(0x29)),
        (0xBF34, ok(0x34)),
        (0xBF3F, ok(0x3F)),
        (0xBF36, installation_result(success()).to_vec()),
        (
            0xBF3C,
            EuiccConfiguredAddressesResponse {
                default_dp_address: None,
                root_ds_address: "ds".into(),
            }
            .to_vec(),
        ),
    ])
}

/// The card's insides, looked at by tests.
#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) answers: BTreeMap<Tag, Vec<u8>>,
    /// Names of functions and commands, in order.
    pub(crate) log: Vec<String>,
    pub(crate) channels: BTreeSet<u8>,
    pub(crate) selected: BTreeSet<u8>,
    /// Highest channel number that the card has.
    pub(crate) max_channel: u8,
    chain: Vec<u8>,
    next_block: u8,
    pending: Vec<u8>,
    /// Bytes of the package that is being loaded, as they come.
    pub(crate) loading: Vec<u8>,
    /// The result comes after this many pieces, instead of at the end.
    pub(crate) result_at: Option<usize>,
    pub(crate) pieces: usize,
    /// Status for this function instead of an answer.
    pub(crate) refuse: BTreeMap<Tag, u16>,
    /// Pending notifications.
    pub(crate) notifications: Vec<PendingNotification>,
    /// Requests as they came.
    pub(crate) requests: Vec<Vec<u8>>,
    /// The connection breaks at this C-APDU.
    pub(crate) break_at: Option<usize>,
    pub(crate) apdus: usize,
    /// Returns long answers whole, as modems do that fetch the rest themselves.
    pub(crate) whole: bool,
    /// Requests that begin with these bytes are refused with this status.
    pub(crate) refuse_form: Vec<(Vec<u8>, u16)>,
    /// Answers to ListNotification and RetrieveNotificationsList instead of those of `notifications`.
    pub(crate) raw_lists: BTreeMap<Tag, Vec<u8>>,
    /// Answer to a wrong Le with 6Cxx once.
    pub(crate) wrong_le: bool,
}

#[derive(Clone)]
pub(crate) struct FakeCard(pub(crate) Arc<Mutex<Inside>>);

impl FakeCard {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inside {
            answers: answers(),
            max_channel: 3,
            ..Inside::default()
        })))
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.0.lock().expect("lock"));
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("lock").log)
    }
}

impl Inside {
    fn function(&mut self, request: &[u8]) -> Result<Vec<u8>, u16> {
        let tag = parse_header(request).ok().flatten().map_or(0, |h| h.tag);
        self.requests.push(request.to_vec());
        if tag == 0xBF36 || !self.loading.is_empty() && tag != 0xBF41 {
            return self.load(request);
        }
        self.loading.clear();
        self.log.push(format!("{tag:X}"));
        if let Some(sw) = self.refuse.get(&tag) {
            return Err(*sw);
        }
        let refused = self.refuse_form.iter();
        if let Some((_, sw)) = refused
            .into_iter()
            .find(|(form, _)| request.starts_with(form))
        {
            return Err(*sw);
        }
        if let Some(raw) = self.raw_lists.get(&tag) {
            return Ok(raw.clone());
        }
        match tag {
            0xBF28 => {
                let list = self.notifications.iter().map(|n| n.metadata().clone());
                Ok(ListNotificationResponse::Ok(list.collect()).to_vec())
            }
            0xBF2B => {
                let request = RetrieveNotificationsListRequest::from_slice(request).expect("form");
                let n = match request.search {
                    Some(NotificationSearch::SeqNumber(n)) => Some(n),
                    None => None,
                    other => panic!("asked for {other:?}"),
                };
                let list = self
                    .notifications
                    .iter()
                    .filter(|p| n.is_none_or(|n| p.metadata().seq_number == n));
                Ok(RetrieveNotificationsListResponse::Ok(list.cloned().collect()).to_vec())
            }
            0xBF30 => {
                let request = NotificationSentRequest::from_slice(request).expect("form");
                self.notifications
                    .retain(|n| n.metadata().seq_number != request.seq_number);
                Ok(self.answers[&tag].clone())
            }
            tag => self.answers.get(&tag).cloned().ok_or(0x6A88),
        }
    }

    fn load(&mut self, piece: &[u8]) -> Result<Vec<u8>, u16> {
        if self.loading.is_empty() {
            self.log.push("BF36".into());
            self.pieces = 0;
        }
        self.pieces += 1;
        self.loading.extend_from_slice(piece);
        if let Some(sw) = self.refuse.get(&0xBF36).filter(|_| self.pieces == 3) {
            return Err(*sw);
        }
        let whole = Tlv::parse(&self.loading).is_ok();
        if whole || self.result_at == Some(self.pieces) {
            self.loading.clear();
            return Ok(self.answers[&0xBF36].clone());
        }
        Ok(vec![])
    }

    fn answer(&mut self, data: Vec<u8>) -> Vec<u8> {
        let mut data = data;
        let mut sw = 0x9000u16;
        if data.len() > 256 && !self.whole {
            self.pending = data.split_off(256);
            sw = 0x6100 | self.pending.len().min(256) as u16 & 0xFF;
        }
        data.extend_from_slice(&sw.to_be_bytes());
        data
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let status = |sw: u16| sw.to_be_bytes().to_vec();
        let [cla, ins, p1, p2] = command[..4] else {
            panic!("short command {command:02X?}");
        };
        let channel = cla & 3;
        if cla & 0x40 != 0 || channel != 0 && !self.channels.contains(&channel) {
            return status(0x6881);
        }
        let data = match command.len() {
            0..=5 => &[][..],
            n => &command[5..n.min(5 + usize::from(command[4]))],
        };
        match ins {
            0xAA => status(0x9000),
            0x70 if p1 == 0 => {
                let free = (1..=self.max_channel).find(|n| !self.channels.contains(n));
                let Some(free) = free else {
                    return status(0x6A81);
                };
                self.log.push(format!("open {free}"));
                self.channels.insert(free);
                vec![free, 0x90, 0x00]
            }
            0x70 => {
                self.log.push(format!("close {p2}"));
                self.selected.remove(&p2);
                status(if self.channels.remove(&p2) {
                    0x9000
                } else {
                    0x6881
                })
            }
            0xA4 => {
                if data != ISDR_AID {
                    return status(0x6A82);
                }
                self.selected.insert(channel);
                self.answer(vec![0x6F, 0x00])
            }
            0xC0 => {
                let pending = std::mem::take(&mut self.pending);
                self.answer(pending)
            }
            0xE2 if !self.selected.contains(&channel) => status(0x6D00),
            0xE2 => {
                if p2 == 0 {
                    self.chain.clear();
                    self.next_block = 0;
                }
                assert_eq!(p2, self.next_block, "block number");
                self.next_block = self.next_block.wrapping_add(1);
                let last = p1 == 0x91;
                assert!(last || p1 == 0x11, "P1 {p1:02X}");
                assert_eq!(command.len(), 5 + data.len() + usize::from(last), "Le");
                if last && std::mem::take(&mut self.wrong_le) {
                    self.next_block = p2;
                    return status(0x6C40);
                }
                self.chain.extend_from_slice(data);
                if !last {
                    return status(0x9000);
                }
                let request = std::mem::take(&mut self.chain);
                match self.function(&request) {
                    Ok(answer) => self.answer(answer),
                    Err(sw) => status(sw),
                }
            }
            other => panic!("instruction {other:02X}"),
        }
    }
}

impl Apdu for FakeCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut inside = self.0.lock().expect("lock");
        assert!(command.len() <= aid_lpa::MAX_COMMAND);
        inside.apdus += 1;
        if inside.break_at == Some(inside.apdus) {
            inside.channels.clear();
            inside.selected.clear();
            return Err(TransportError::Broken {
                address: "fake".into(),
                source: std::io::ErrorKind::BrokenPipe.into(),
            });
        }
        Ok(inside.transmit(command))
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.with(|inside| {
            inside.channels.clear();
            inside.selected.clear();
        });
        Ok(vec![0x3B, 0])
    }
}

pub(crate) type Fakes = (Lpa<FakeCard, FakeServer>, FakeCard, FakeServer);

/// An LPA between a card and a server with a profile of this size.
pub(crate) fn fakes(profile_bytes: usize) -> Fakes {
    let (card, server) = (FakeCard::new(), FakeServer::new(profile_bytes));
    let port = Card::new(card.clone(), Arc::new(Tally::default()));
    (Lpa::new(port, server.clone()), card, server)
}

//! An SM-DP+ with a PKI, an inventory of two profiles and a database of its own.

use crate::card::{Card, ok_response};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Curve, SoftwareCrypto};
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
};
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, Base64, GetBoundProfilePackageOk,
    GetBoundProfilePackageRequest, HandleNotificationRequest, Hex, InitiateAuthenticationOk,
    RequestHeader, Secret, Text,
};
use aid_rsp::es10::{DataObject, EuiccSigned1, TransactionId};
use aid_rsp::pki::{DAY, MintParams, RspPki};
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use aid_smdp::core::{Dp, Limits, Order, Protection, Refusal, Signer, Signers};
use aid_smdp::crypto::ServerCrypto;
use aid_smdp::service::Service;
use aid_smdp::store::Store;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::sync::Arc;

pub(crate) const NOW: u64 = 1_790_000_000;
pub(crate) const ADDRESS: &str = "localhost:8443";
pub(crate) const OPERATOR: &str = "msp";
pub(crate) const ICCID: &str = "8949000000000000018";
pub(crate) const ICCID2: &str = "8949000000000000026";
pub(crate) const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];
pub(crate) const EID_DIGITS: &str = "89049032123451234512345678901235";

pub(crate) struct Bench {
    pub(crate) pki: RspPki,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) service: Arc<Service>,
    pub(crate) package: Vec<u8>,
}

pub(crate) fn package(iccid: &str) -> Vec<u8> {
    let algorithm = Algorithm::Milenage {
        k: [1; 16],
        opc: [2; 16],
    };
    ProfileBuilder::new(iccid, "001010123456789", algorithm)
        .build()
        .unwrap()
}

pub(crate) fn mint() -> RspPki {
    mint_on(Curve::NistP256)
}

pub(crate) fn mint_on(curve: Curve) -> RspPki {
    let params = MintParams {
        curve,
        ..MintParams::loopback(&EID, NOW - DAY, NOW + 3650 * DAY)
    };
    RspPki::mint(&params, &SoftwareCrypto::new(), &mut UnwrapErr(SysRng)).unwrap()
}

pub(crate) fn dp(pki: &RspPki) -> Dp {
    dp_of(&[pki])
}

/// A server that has certificates under several CIs.
pub(crate) fn dp_of(pkis: &[&RspPki]) -> Dp {
    dp_named(pkis, ADDRESS)
}

pub(crate) fn dp_named(pkis: &[&RspPki], address: &str) -> Dp {
    let certificate = |der: &[u8]| Certificate::from_der(der).unwrap();
    let signer = |i: &aid_rsp::pki::Identity| Signer {
        certificate: certificate(&i.certificate),
        key: i.key.private.clone(),
    };
    Dp::new(
        Arc::new(ServerCrypto::new()),
        pkis.iter()
            .map(|pki| certificate(&pki.ci.certificate))
            .collect(),
        pkis.iter()
            .map(|pki| Signers {
                auth: signer(&pki.dp_auth),
                binding: signer(&pki.dp_pb),
            })
            .collect(),
        address.into(),
        NOW,
    )
    .unwrap()
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(mint(), &[], Protection::SessionKeys).await
    }

    /// A bench for cards of `pki`; the server prefers its certificates of `others`.
    pub(crate) async fn with(pki: RspPki, others: &[&RspPki], protection: Protection) -> Self {
        Self::on(tempfile::tempdir().unwrap(), pki, others, protection).await
    }

    /// One whose orders have these limits.
    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::made(folder, mint(), &[], Protection::SessionKeys, limits).await
    }

    /// The same on a folder that may have a database already.
    pub(crate) async fn on(
        folder: tempfile::TempDir,
        pki: RspPki,
        others: &[&RspPki],
        protection: Protection,
    ) -> Self {
        Self::made(folder, pki, others, protection, Limits::default()).await
    }

    async fn made(
        folder: tempfile::TempDir,
        pki: RspPki,
        others: &[&RspPki],
        protection: Protection,
        limits: Limits,
    ) -> Self {
        let profiles = folder.path().join("profiles");
        std::fs::create_dir(&profiles).unwrap();
        for iccid in [ICCID, ICCID2] {
            std::fs::write(profiles.join(format!("{iccid}.der")), package(iccid)).unwrap();
        }
        let pkis: Vec<&RspPki> = others.iter().copied().chain([&pki]).collect();
        let dp = dp_of(&pkis);
        let inventory = aid_smdp::inventory::load(&profiles, ADDRESS, protection).unwrap();
        let store = Store::open(&folder.path().join("smdp.db")).await.unwrap();
        let service = Service::start(dp, inventory, store, limits, NOW)
            .await
            .unwrap();
        Self {
            pki,
            folder,
            service: Arc::new(service),
            package: package(ICCID),
        }
    }

    pub(crate) fn card(&self) -> Card {
        Card::new(&self.pki, EID, self.pki.euicc.clone())
    }

    /// Another eUICC of the same EUM.
    pub(crate) fn other_card(&self) -> Card {
        let mut eid = EID;
        eid[15] = 0x99;
        let params = MintParams::loopback(&eid, NOW - DAY, NOW + 3650 * DAY);
        let identity = self
            .pki
            .mint_euicc(&params, &SoftwareCrypto::new(), &mut UnwrapErr(SysRng))
            .unwrap();
        Card::new(&self.pki, eid, identity)
    }

    /// Orders ICCID and releases it; the MatchingID.
    pub(crate) async fn order(&self, eid: Option<&str>, code: Option<&str>) -> String {
        let download = DownloadOrderRequest {
            eid: eid.and_then(Text::new),
            iccid: Text::new(ICCID),
            ..Default::default()
        };
        let got = self
            .service
            .download_order(&download, OPERATOR, NOW)
            .await
            .unwrap();
        let confirm = ConfirmOrderRequest {
            iccid: got.iccid,
            confirmation_code: code.and_then(Secret::new),
            release_flag: true,
            ..Default::default()
        };
        let got = self
            .service
            .confirm_order(&confirm, OPERATOR, NOW)
            .await
            .unwrap();
        assert_eq!(got.smdp_address.unwrap().as_str(), ADDRESS);
        got.matching_id.as_str().to_owned()
    }

    /// Orders ICCID for the card, to be found by its EID alone.
    pub(crate) async fn default_order(&self) {
        let s = &self.service;
        let download = DownloadOrderRequest {
            eid: Text::new(EID_DIGITS),
            iccid: Text::new(ICCID),
            ..Default::default()
        };
        let got = s.download_order(&download, OPERATOR, NOW).await.unwrap();
        let confirm = ConfirmOrderRequest {
            iccid: got.iccid,
            matching_id: Text::new(""),
            release_flag: true,
            ..Default::default()
        };
        s.confirm_order(&confirm, OPERATOR, NOW).await.unwrap();
    }

    /// Cancels the order for ICCID, so that it can be ordered again.
    pub(crate) async fn cancel(&self) {
        let order = self.stored().await;
        let request = CancelOrderRequest {
            header: RequestHeader::default(),
            eid: order.eid.and_then(Text::new),
            iccid: Text::new(ICCID).unwrap(),
            matching_id: None,
            final_profile_status_indicator: FinalProfileStatus::Available,
        };
        let done = self.service.cancel_order(&request, OPERATOR, NOW).await;
        done.unwrap();
    }

    pub(crate) async fn stored(&self) -> Order {
        let found = self.service.store().order(ICCID).await.unwrap();
        found.unwrap()
    }

    pub(crate) fn initiate(&self, card: &Card) -> InitiateAuthenticationOk {
        let request = card.initiate(ADDRESS);
        self.service.initiate_authentication(&request, NOW).unwrap()
    }

    pub(crate) async fn authenticate_client(
        &self,
        id: &[u8],
        response: Vec<u8>,
        now: u64,
    ) -> Result<AuthenticateClientOk, Refusal> {
        let request = AuthenticateClientRequest {
            transaction_id: Hex::new(id).unwrap(),
            authenticate_server_response: Base64::new(response).unwrap(),
        };
        self.service.authenticate_client(&request, now).await
    }

    /// Both halves of the authentication with this MatchingID.
    pub(crate) async fn authenticate(
        &self,
        card: &Card,
        matching_id: Option<&str>,
    ) -> Result<AuthenticateClientOk, Refusal> {
        let ok = self.initiate(card);
        let response = ok_response(card.authenticate(&ok, matching_id));
        self.authenticate_client(ok.transaction_id.as_bytes(), response, NOW)
            .await
    }

    /// The same, with a card that signs something else than it should.
    pub(crate) async fn authenticate_lying(
        &self,
        card: &Card,
        lie: impl FnOnce(&mut EuiccSigned1),
    ) -> Result<AuthenticateClientOk, Refusal> {
        let ok = self.initiate(card);
        let mut signed = card.authenticate(&ok, None).euicc_signed1.into_value();
        lie(&mut signed);
        let response = ok_response(card.answer(signed));
        self.authenticate_client(ok.transaction_id.as_bytes(), response, NOW)
            .await
    }

    pub(crate) async fn bpp(
        &self,
        id: &[u8],
        response: Vec<u8>,
    ) -> Result<GetBoundProfilePackageOk, Refusal> {
        let request = GetBoundProfilePackageRequest {
            transaction_id: Hex::new(id).unwrap(),
            prepare_download_response: Base64::new(response).unwrap(),
        };
        self.service.get_bound_profile_package(&request, NOW).await
    }

    /// Everything until the BPP; the session and the BPP.
    pub(crate) async fn download(
        &self,
        card: &mut Card,
        matching_id: &str,
    ) -> (TransactionId, Vec<u8>) {
        let offer = self.authenticate(card, Some(matching_id)).await.unwrap();
        let id = offer.transaction_id.as_bytes();
        let prepared = card.prepare(&offer, None);
        let bpp = self.bpp(id, prepared).await.unwrap();
        (
            TransactionId::new(id).unwrap(),
            bpp.bound_profile_package.into_bytes(),
        )
    }

    pub(crate) async fn notify(&self, der: Vec<u8>) -> Result<(), Refusal> {
        self.notify_at(der, NOW).await
    }

    pub(crate) async fn notify_at(&self, der: Vec<u8>, now: u64) -> Result<(), Refusal> {
        let request = HandleNotificationRequest {
            pending_notification: Base64::new(der).unwrap(),
        };
        self.service.handle_notification(&request, now).await
    }
}

/// Asserts the pair of codes.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, codes: (&str, &str)) {
    let refusal = result.expect_err("refused");
    assert_eq!((refusal.subject, refusal.reason), codes, "{refusal}");
}

/// The bytes of a data object.
pub(crate) fn der<T: DataObject>(object: &T) -> Vec<u8> {
    object.to_vec()
}

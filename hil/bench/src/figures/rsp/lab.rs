//! An SM-DP+ with a PKI and a template of its own, and the card in a script that talks to it.

use super::processor_us;
use aid_cli::cli::Failure;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto as _, PrivateKey, SoftwareCrypto};
use aid_rsp::es2::{ConfirmOrderRequest, DownloadOrderRequest};
use aid_rsp::es9::{
    AuthenticateClientRequest, Base64, CancelSessionRequest, GetBoundProfilePackageRequest,
    HandleNotificationRequest, Hex, InitiateAuthenticationOk, InitiateAuthenticationRequest, Text,
};
use aid_rsp::es10::{
    AuthenticateResponseOk, AuthenticateServerResponse, CancelSessionReason, CancelSessionResponse,
    CtxParams1, DataObject as _, DeviceCapabilities, DeviceInfo, EuiccCancelSessionSigned,
    EuiccInfo1, EuiccInfo2, EuiccSigned1, EuiccSigned2, FinalResult, NotificationEvent,
    NotificationMetadata, PrepareDownloadResponse, ProfileInstallationResult,
    ProfileInstallationResultData, ServerSigned1, Signature, Signed, TransactionId, Version,
};
use aid_rsp::pki::{DAY, Identity, MintParams, RspPki};
use aid_smdp::core::{Dp, Limits, Protection, Refusal, Signer, Signers};
use aid_smdp::crypto::ServerCrypto;
use aid_smdp::inventory::{Inventory, Side};
use aid_smdp::service::{By, Desk, Placing, Service};
use aid_smdp::store::Store;
use aid_smdp::template::{Aka, Entry, Template};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::path::Path;
use std::sync::Arc;

const ADDRESS: &str = "smdp.example";
const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];
const CHALLENGE: [u8; 16] = [0x5A; 16];

/// The server, and what the card needs.
pub(super) struct Lab {
    service: Service,
    templates: Arc<[Template]>,
    _folder: tempfile::TempDir,
    pki: RspPki,
    card: SoftwareCrypto,
    ci: Vec<u8>,
    oid: Vec<u8>,
    now: u64,
    package_bytes: usize,
}

fn refused(refusal: &Refusal) -> Failure {
    Failure::new(format!("the SM-DP+ refused: {refusal}"))
}

/// A field of a request; what is made here fits.
fn field<const MAX: usize>(bytes: Vec<u8>) -> Result<Base64<MAX>, Failure> {
    Base64::new(bytes).ok_or_else(|| Failure::new("a message is too long"))
}

fn id_of(id: &[u8]) -> Result<TransactionId, Failure> {
    TransactionId::new(id).ok_or_else(|| Failure::new("a transaction id without bytes"))
}

fn hex_of(id: &[u8]) -> Result<Hex<16>, Failure> {
    Hex::new(id).ok_or_else(|| Failure::new("a transaction id of more than 16 bytes"))
}

impl Lab {
    /// With a database in a new folder of `state`, or of the system's temporary one, and so many profiles to make.
    pub(super) async fn new(state: Option<&Path>, profiles: u32) -> Result<Self, Failure> {
        let folder = match state {
            Some(state) => tempfile::tempdir_in(state)?,
            None => tempfile::tempdir()?,
        };
        let now = aid_smdp::web::now();
        let params = MintParams::loopback(&EID, now - DAY, now + 30 * DAY);
        let software = SoftwareCrypto::new();
        let pki = RspPki::mint(&params, &software, &mut UnwrapErr(SysRng))?;
        let ci = Certificate::from_der(&pki.ci.certificate)?;
        let key_id = ci.subject_key_id().unwrap_or_default().to_vec();
        let signer = |identity: &Identity| {
            Ok::<_, Failure>(Signer {
                certificate: Certificate::from_der(&identity.certificate)?,
                key: identity.key.private.clone(),
            })
        };
        let auth = signer(&pki.dp_auth)?;
        let oid = auth
            .certificate
            .registered_id()
            .unwrap_or_default()
            .to_vec();
        let signers = vec![Signers {
            auth,
            binding: signer(&pki.dp_pb)?,
        }];
        let crypto = Arc::new(ServerCrypto::new());
        let dp = Dp::new(crypto, vec![ci], signers, ADDRESS.into(), now)?;
        let entry = Entry {
            name: "bench".into(),
            profile_type: "Bench".into(),
            iccid_first: "894901000000000000".into(),
            imsi_first: "001010000000000".into(),
            count: profiles.saturating_add(1),
            mnc_digits: 2,
            algorithm: Aka::Milenage,
            pin: "0000".into(),
            pin2: "0000".into(),
            smsp: None,
            metadata: Side::default(),
        };
        let templates = Template::all(&[entry], folder.path(), ADDRESS, Protection::default())?;
        let made = templates.first().map(|t| t.make(0, &mut UnwrapErr(SysRng)));
        let package_bytes = made
            .transpose()
            .map_err(Failure::new)?
            .map_or(0, |m| m.package.len());
        let store = Store::open(&folder.path().join("smdp.db")).await?;
        let service =
            Service::start(dp, Inventory::default(), store, Limits::default(), now).await?;
        Ok(Self {
            service: service.with_templates(templates.clone()),
            templates: templates.into(),
            _folder: folder,
            pki,
            card: software,
            ci: key_id,
            oid,
            now,
            package_bytes,
        })
    }

    /// The key that InitiateAuthentication signs with.
    pub(super) const fn signing_key(&self) -> &PrivateKey {
        &self.pki.dp_auth.key.private
    }

    /// Length of a profile package.
    pub(super) const fn package_bytes(&self) -> usize {
        self.package_bytes
    }

    pub(super) async fn stored_sessions(&self) -> Result<u64, Failure> {
        Ok(self.service.store().count_sessions().await?)
    }

    pub(super) fn initiate_request(&self) -> InitiateAuthenticationRequest {
        let info = EuiccInfo1 {
            svn: Version([2, 4, 0]),
            ci_pkid_for_verification: vec![self.ci.clone()],
            ci_pkid_for_signing: vec![self.ci.clone()],
        };
        InitiateAuthenticationRequest {
            euicc_challenge: Base64::new(CHALLENGE.to_vec()).unwrap_or_default(),
            euicc_info1: Base64::new(info.to_vec()).unwrap_or_default(),
            smdp_address: Text::new(ADDRESS).unwrap_or_default(),
        }
    }

    pub(super) fn initiate(
        &self,
        request: &InitiateAuthenticationRequest,
    ) -> Result<InitiateAuthenticationOk, Failure> {
        let begun = self.service.initiate_authentication(request, self.now);
        begun.map_err(|e| refused(&e))
    }

    /// A new order of a new profile; its MatchingID.
    pub(super) async fn order(&self) -> Result<String, Failure> {
        let desk = Desk::new(self.service.store(), Limits::default(), &self.templates);
        let placing = Placing {
            download: DownloadOrderRequest {
                profile_type: Text::new("Bench"),
                ..Default::default()
            },
            package: None,
            confirm: Some(ConfirmOrderRequest {
                release_flag: true,
                ..Default::default()
            }),
            expires_at: None,
        };
        let order = desk.place(&placing, &By::Hand(None), self.now).await?;
        Ok(order
            .result
            .map_err(|e| refused(&e))?
            .matching_id
            .unwrap_or_default())
    }

    fn sign(&self, parts: &[&[u8]]) -> Result<Signature, Failure> {
        let key = &self.pki.euicc.key.private;
        Ok(Signature::from(self.card.sign(key, parts)?))
    }

    /// AuthenticateServer: the request for AuthenticateClient.
    fn authenticate(
        &self,
        ok: &InitiateAuthenticationOk,
        matching_id: &str,
    ) -> Result<AuthenticateClientRequest, Failure> {
        let server: Signed<ServerSigned1> = Signed::from_slice(ok.server_signed1.as_bytes())?;
        let version = Version([2, 4, 0]);
        let signed = Signed::new(EuiccSigned1 {
            transaction_id: server.value().transaction_id,
            server_address: server.value().server_address.clone(),
            server_challenge: server.value().server_challenge,
            euicc_info2: EuiccInfo2 {
                profile_version: Version([2, 3, 1]),
                svn: version,
                firmware: version,
                ext_card_resource: vec![0x81, 1, 0, 0x82, 4, 0, 8, 0, 0, 0x83, 2, 4, 0],
                uicc_capability: 0,
                ts102241_version: None,
                globalplatform_version: None,
                rsp_capability: 0,
                ci_pkid_for_verification: vec![self.ci.clone()],
                ci_pkid_for_signing: vec![self.ci.clone()],
                category: None,
                forbidden_ppr: None,
                pp_version: version,
                sas_accreditation_number: "X".into(),
            },
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some(matching_id.into()),
                device_info: DeviceInfo {
                    tac: [0x35, 0x29, 0x06, 0x11],
                    capabilities: DeviceCapabilities::default(),
                    imei: None,
                },
            }),
        });
        let response = AuthenticateResponseOk {
            euicc_signature1: self.sign(&[signed.bytes()])?,
            euicc_signed1: signed,
            euicc_certificate: self.pki.euicc.certificate.clone(),
            eum_certificate: self.pki.eum.certificate.clone(),
        };
        let response = AuthenticateServerResponse::Ok(Box::new(response)).to_vec();
        Ok(AuthenticateClientRequest {
            transaction_id: ok.transaction_id.clone(),
            authenticate_server_response: field(response)?,
        })
    }

    /// A whole download of a new profile; the processor time of the server in it, microseconds.
    pub(super) async fn download(&mut self, seq_number: u64) -> Result<f64, Failure> {
        let matching_id = self.order().await?;
        let mut us = 0.0;
        let request = self.initiate_request();
        let start = processor_us();
        let ok = self.initiate(&request)?;
        us += processor_us() - start;
        let id = ok.transaction_id.as_bytes().to_vec();

        let request = self.authenticate(&ok, &matching_id)?;
        let start = processor_us();
        let offer = self.service.authenticate_client(&request, self.now).await;
        us += processor_us() - start;
        let offer = offer.map_err(|e| refused(&e))?;

        let curve = self.pki.dp_pb.key.private.curve();
        let one_time = self.card.generate(curve, &mut UnwrapErr(SysRng));
        let signed = Signed::new(EuiccSigned2 {
            transaction_id: id_of(&id)?,
            euicc_otpk: one_time.public.as_bytes().to_vec(),
            hash_cc: None,
        });
        let signature = self.sign(&[signed.bytes(), offer.smdp_signature2.as_bytes()])?;
        let prepared = PrepareDownloadResponse::Ok {
            euicc_signature2: signature,
            euicc_signed2: signed,
        };
        let request = GetBoundProfilePackageRequest {
            transaction_id: hex_of(&id)?,
            prepare_download_response: field(prepared.to_vec())?,
        };
        let start = processor_us();
        let package = self
            .service
            .get_bound_profile_package(&request, self.now)
            .await;
        us += processor_us() - start;
        package.map_err(|e| refused(&e))?;

        let data = Signed::new(ProfileInstallationResultData {
            transaction_id: id_of(&id)?,
            notification: NotificationMetadata {
                seq_number,
                event: NotificationEvent::Install,
                address: ADDRESS.into(),
                iccid: None,
            },
            smdp_oid: self.oid.clone(),
            result: FinalResult::Success {
                aid: vec![0xA0, 0, 0, 5, 0x59],
                sima_response: vec![0x30, 0],
            },
        });
        let signature = self.sign(&[data.bytes()])?;
        let report = ProfileInstallationResult { data, signature }.to_vec();
        let request = HandleNotificationRequest {
            pending_notification: field(report)?,
        };
        let start = processor_us();
        let handled = self.service.handle_notification(&request, self.now).await;
        us += processor_us() - start;
        handled.map_err(|e| refused(&e))?;
        Ok(us)
    }

    /// A session that the card cancels after the offer.
    pub(super) async fn cancelled(
        &self,
        matching_id: &str,
        reason: CancelSessionReason,
    ) -> Result<(), Failure> {
        let ok = self.initiate(&self.initiate_request())?;
        let request = self.authenticate(&ok, matching_id)?;
        let offer = self.service.authenticate_client(&request, self.now).await;
        let id = offer
            .map_err(|e| refused(&e))?
            .transaction_id
            .as_bytes()
            .to_vec();
        let signed = Signed::new(EuiccCancelSessionSigned {
            transaction_id: id_of(&id)?,
            smdp_oid: self.oid.clone(),
            reason,
        });
        let response = CancelSessionResponse::Ok {
            signature: self.sign(&[signed.bytes()])?,
            signed,
        };
        let request = CancelSessionRequest {
            transaction_id: hex_of(&id)?,
            cancel_session_response: field(response.to_vec())?,
        };
        let cancelled = self.service.cancel_session(&request, self.now).await;
        cancelled.map_err(|e| refused(&e))
    }
}

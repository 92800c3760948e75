//! The eUICC that the judge plays for an SM-DP+: it signs and derives keys as SGP.22 has it, and signs something else
//! where a test asks it to. SGP.22 §3.1.2, §3.1.3, §5.5.

use super::dp::device;
use super::findings::{Checked, must, same};
use super::seeded::Seeded;
use crate::test::Finding;
use aid_rsp::bsp::{Bsp, KeyAgreementParams, MAX_SEGMENT, SessionKeys};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, KeyPair, PublicKey, SoftwareCrypto};
use aid_rsp::es8::{ReceivedInitialise, ReplaceSessionKeysRequest, tags};
use aid_rsp::es10::{
    AuthenticateResponseOk, CancelSessionReason, CancelSessionResponse, CtxParams1, DataObject,
    EuiccCancelSessionSigned, EuiccInfo1, EuiccInfo2, EuiccSigned1, EuiccSigned2, FinalResult,
    NotificationEvent, NotificationMetadata, OtherSignedNotification, PendingNotification,
    PrepareDownloadResponse, ProfileInstallationResult, ProfileInstallationResultData,
    ServerSigned1, Signature, Signed, StoreMetadataRequest, TransactionId, Version,
};
use aid_rsp::pki::Identity;
use aid_rsp::tlv::{Tag, Tlv};

/// An eUICC of the judge.
#[derive(Debug, Clone)]
pub(crate) struct Euicc {
    /// Its EID.
    pub(crate) eid: [u8; 16],
    /// CERT.EUICC.ECDSA with its key.
    pub(crate) identity: Identity,
    /// CERT.EUM.ECDSA, DER.
    pub(crate) eum: Vec<u8>,
    /// Key identifier of its CI.
    pub(crate) ci_key_id: Vec<u8>,
    /// What it computes with.
    pub(crate) crypto: SoftwareCrypto,
}

/// What came out of a bound package.
#[derive(Debug)]
pub(crate) struct Opened {
    /// StoreMetadata.
    pub(crate) metadata: StoreMetadataRequest,
    /// Profile elements.
    pub(crate) elements: Vec<u8>,
    /// Length of its longest segment with tag and length.
    pub(crate) longest: usize,
}

impl Euicc {
    /// An eUICC with these certificates.
    ///
    /// # Errors
    /// The certificate has no EID, or the CI no key identifier.
    pub(crate) fn new(
        identity: Identity,
        eum: &Certificate,
        ci: &Certificate,
    ) -> Result<Self, String> {
        let certificate = Certificate::from_der(&identity.certificate)
            .map_err(|e| format!("CERT.EUICC cannot be read: {e}"))?;
        let eid = certificate.eid().map_err(|e| format!("CERT.EUICC: {e}"))?;
        let ci_key_id = ci.subject_key_id().ok_or("the CI has no key identifier")?;
        Ok(Self {
            eid,
            identity,
            eum: eum.as_der().to_vec(),
            ci_key_id: ci_key_id.to_vec(),
            crypto: SoftwareCrypto::new(),
        })
    }

    /// EUICCInfo1 as a card of SGP.22 v2.4 has it.
    pub(crate) fn info1(&self) -> EuiccInfo1 {
        EuiccInfo1 {
            svn: Version([2, 4, 0]),
            ci_pkid_for_verification: vec![self.ci_key_id.clone()],
            ci_pkid_for_signing: vec![self.ci_key_id.clone()],
        }
    }

    fn info2(&self) -> EuiccInfo2 {
        EuiccInfo2 {
            profile_version: Version([2, 3, 1]),
            svn: Version([2, 4, 0]),
            firmware: Version([1, 0, 0]),
            ext_card_resource: vec![0x81, 1, 0, 0x82, 4, 0, 0x10, 0, 0, 0x83, 2, 8, 0],
            // All of them, so that no profile is too demanding.
            uicc_capability: 0x7FFF_FFC0,
            ts102241_version: Some(Version([9, 2, 0])),
            globalplatform_version: Some(Version([2, 3, 0])),
            rsp_capability: 1 << 31,
            ci_pkid_for_verification: vec![self.ci_key_id.clone()],
            ci_pkid_for_signing: vec![self.ci_key_id.clone()],
            category: None,
            forbidden_ppr: None,
            pp_version: Version([1, 0, 0]),
            sas_accreditation_number: "JUDGE".into(),
        }
    }

    /// Signs with the card's key.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Checked<Signature> {
        let signed = self.crypto.sign(&self.identity.key.private, parts);
        signed
            .map(Signature::from)
            .map_err(|e| Finding::Hidden(format!("the judge's eUICC cannot sign: {e}")))
    }

    /// What the card signs for a server.
    pub(crate) fn signed1(
        &self,
        server: &ServerSigned1,
        matching_id: Option<&str>,
    ) -> EuiccSigned1 {
        EuiccSigned1 {
            transaction_id: server.transaction_id,
            server_address: server.server_address.clone(),
            server_challenge: server.server_challenge,
            euicc_info2: self.info2(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: matching_id.map(Into::into),
                device_info: device(),
            }),
        }
    }

    /// authenticateResponseOk over these values.
    pub(crate) fn authenticate(&self, value: EuiccSigned1) -> Checked<AuthenticateResponseOk> {
        let signed = Signed::new(value);
        Ok(AuthenticateResponseOk {
            euicc_signature1: self.sign(&[signed.bytes()])?,
            euicc_signed1: signed,
            euicc_certificate: self.identity.certificate.clone(),
            eum_certificate: self.eum.clone(),
        })
    }

    /// downloadResponseOk over these values.
    pub(crate) fn prepare(
        &self,
        value: EuiccSigned2,
        smdp_signature2: &[u8],
    ) -> Checked<PrepareDownloadResponse> {
        let euicc_signed2 = Signed::new(value);
        Ok(PrepareDownloadResponse::Ok {
            euicc_signature2: self.sign(&[euicc_signed2.bytes(), smdp_signature2])?,
            euicc_signed2,
        })
    }

    /// A one-time key on the curve of CERT.DPpb.
    pub(crate) fn one_time_key(&self, dppb: &Certificate, rng: &mut Seeded) -> KeyPair {
        self.crypto.generate(dppb.public_key().curve(), rng)
    }

    /// cancelSessionResponseOk.
    pub(crate) fn cancel(
        &self,
        transaction_id: TransactionId,
        smdp_oid: &[u8],
        reason: CancelSessionReason,
    ) -> Checked<CancelSessionResponse> {
        let signed = Signed::new(EuiccCancelSessionSigned {
            transaction_id,
            smdp_oid: smdp_oid.to_vec(),
            reason,
        });
        Ok(CancelSessionResponse::Ok {
            signature: self.sign(&[signed.bytes()])?,
            signed,
        })
    }

    /// ProfileInstallationResult of an installation that succeeded.
    pub(crate) fn installed(
        &self,
        transaction_id: TransactionId,
        notification: NotificationMetadata,
        smdp_oid: &[u8],
    ) -> Checked<Vec<u8>> {
        let data = Signed::new(ProfileInstallationResultData {
            transaction_id,
            notification,
            smdp_oid: smdp_oid.to_vec(),
            result: FinalResult::Success {
                aid: vec![
                    0xA0, 0, 0, 5, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 0x11, 0,
                ],
                sima_response: vec![0x30, 0x03, 0x80, 0x01, 0x00],
            },
        });
        let signature = self.sign(&[data.bytes()])?;
        Ok(ProfileInstallationResult { data, signature }.to_vec())
    }

    /// A notification of another event.
    pub(crate) fn notify(&self, metadata: NotificationMetadata) -> Checked<Vec<u8>> {
        let tbs = Signed::new(metadata);
        let notification = PendingNotification::Other(Box::new(OtherSignedNotification {
            signature: self.sign(&[tbs.bytes()])?,
            tbs,
            euicc_certificate: self.identity.certificate.clone(),
            eum_certificate: self.eum.clone(),
        }));
        Ok(notification.to_vec())
    }

    /// Opens a bound package as a card does: smdpSign, key agreement, each MAC, the order of its parts.
    pub(crate) fn open(
        &self,
        bpp: &[u8],
        id: TransactionId,
        own: &KeyPair,
        dppb: &Certificate,
    ) -> Checked<Opened> {
        let broken = |what: &str, e: &dyn std::fmt::Display| Finding::broken(what, e.to_string());
        let package = Tlv::parse_tag(bpp, tags::BPP)
            .map_err(|e| broken("a BoundProfilePackage (BF36)", &e))?;
        let mut parts = package.children();
        let first = parts
            .any()
            .map_err(|e| broken("an initialiseSecureChannelRequest (BF23)", &e))?;
        let initialise = ReceivedInitialise::read(&first)
            .map_err(|e| broken("an initialiseSecureChannelRequest (BF23)", &e))?;
        let request = &initialise.request;
        same(
            "initialiseSecureChannelRequest: transactionId",
            &id,
            &request.transaction_id,
        )?;
        let covered = initialise.signed_part(own.public.as_bytes());
        let signed =
            self.crypto
                .verify(dppb.public_key(), &[&covered], request.smdp_sign.as_bytes());
        must(
            signed.is_ok(),
            "smdpSign by the key of CERT.DPpb, over otPK.EUICC.ECKA as well",
            || "a signature that does not verify".to_owned(),
        )?;
        let peer = PublicKey::from_bytes(own.public.curve(), &request.smdp_otpk)
            .map_err(|e| broken("otPK.DP.ECKA on the curve of CERT.DPpb", &e))?;
        let secret = self
            .crypto
            .ecdh(&own.private, &peer)
            .map_err(|e| broken("otPK.DP.ECKA", &e))?;
        let params = KeyAgreementParams {
            host_id: &request.control_ref_template.host_id,
            eid: &self.eid,
        };
        let mut bsp = Bsp::new(&SessionKeys::derive(&secret, params));
        let mut longest = 0;
        let mut plain = |bsp: &mut Bsp, part: &Tlv<'_>| -> Checked<Vec<u8>> {
            let mut out = Vec::new();
            let mut segments = part.children();
            while let Some(segment) = segments
                .read()
                .map_err(|e| broken("segments of the package", &e))?
            {
                longest = longest.max(segment.raw.len());
                let done = match segment.tag {
                    tags::SEGMENT_88 => bsp
                        .verify(&segment)
                        .map(|bytes| out.extend_from_slice(bytes)),
                    _ => bsp.open(&segment, &mut out),
                };
                done.map_err(|e| broken("segments whose MAC verifies with the session keys", &e))?;
            }
            Ok(out)
        };
        let mut part = |tag: Tag| {
            parts
                .expect(tag)
                .map_err(|e| broken("the parts of a BoundProfilePackage in their order", &e))
        };
        plain(&mut bsp, &part(tags::FIRST_87)?)?;
        let metadata = plain(&mut bsp, &part(tags::SEQUENCE_OF_88)?)?;
        let metadata = StoreMetadataRequest::from_slice(&metadata)
            .map_err(|e| broken("a StoreMetadataRequest in the package", &e))?;
        let second = parts
            .optional(tags::SECOND_87)
            .map_err(|e| broken("secondSequenceOf87", &e))?;
        if let Some(second) = second {
            let request = plain(&mut bsp, &second)?;
            let request = ReplaceSessionKeysRequest::from_slice(&request)
                .map_err(|e| broken("a ReplaceSessionKeysRequest in secondSequenceOf87", &e))?;
            bsp.replace_keys(&request.keys);
        }
        let last = parts
            .expect(tags::SEQUENCE_OF_86)
            .map_err(|e| broken("sequenceOf86", &e))?;
        let elements = plain(&mut bsp, &last)?;
        Ok(Opened {
            metadata,
            elements,
            longest,
        })
    }
}

/// Metadata of a notification.
pub(crate) fn notification(
    seq_number: u64,
    event: NotificationEvent,
    address: &str,
    iccid: [u8; 10],
) -> NotificationMetadata {
    NotificationMetadata {
        seq_number,
        event,
        address: address.to_owned(),
        iccid: Some(iccid),
    }
}

/// The longest segment that SGP.22 §2.5.5 allows.
pub(crate) const LONGEST_SEGMENT: usize = MAX_SEGMENT;

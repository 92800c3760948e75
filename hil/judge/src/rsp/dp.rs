//! The SM-DP+ that the judge plays: what it signs, and the packages that it binds, right ones and wrong ones.
//! SGP.22 §3.1.2, §3.1.3, §5.5.

use super::seeded::Seeded;
use aid_rsp::bsp::{KeyAgreementParams, SessionKeys};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, PublicKey, SoftwareCrypto};
use aid_rsp::es8::{
    BoundProfilePackage, ConfigureIsdpRequest, ControlRefTemplate, InitialiseSecureChannelRequest,
    REMOTE_OP_INSTALL_BPP, build_bpp, segments,
};
use aid_rsp::es10::{
    AuthenticateResponseOk, AuthenticateServerRequest, CtxParams1, DeviceInfo, EuiccSigned2,
    PrepareDownloadRequest, ServerSigned1, Signature, Signed, SmdpSigned2, StoreMetadataRequest,
    TransactionId,
};
use aid_rsp::pki::Identity;

/// Host id of the key agreement; both ends hash it, nobody interprets it.
const HOST_ID: &[u8] = b"aid-judge";

/// An SM-DP+ of the judge.
#[derive(Debug, Clone)]
pub(crate) struct Dp {
    /// CERT.DPauth.ECDSA.
    pub(crate) auth: Identity,
    /// CERT.DPpb.ECDSA.
    pub(crate) binding: Identity,
    /// Key identifier of the CI under which the card is to sign.
    pub(crate) ci_key_id: Vec<u8>,
    /// OID of CERT.DPauth, contents octets.
    pub(crate) oid: Vec<u8>,
    /// What it computes with.
    pub(crate) crypto: SoftwareCrypto,
}

/// What is wrong with a bound package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A correct package.
    None,
    /// A bit of smdpSign.
    Signature,
    /// Another transactionId, signed.
    Transaction,
    /// A key type that SGP.22 does not have, signed.
    KeyType,
    /// Another remote operation than installBoundProfilePackage, signed.
    Operation,
    /// A bit of the MAC of the metadata.
    MetadataMac,
    /// A bit of the last segment of profile elements.
    ElementMac,
}

/// What a package carries.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Metadata of the profile.
    pub(crate) metadata: StoreMetadataRequest,
    /// SAIP profile elements, DER.
    pub(crate) elements: Vec<u8>,
    /// Protected with keys of its own (ReplaceSessionKeys).
    pub(crate) own_keys: bool,
    /// What is wrong with it.
    pub(crate) fault: Fault,
}

impl Dp {
    /// An SM-DP+ with these certificates under the CI of `ci`.
    ///
    /// # Errors
    /// A certificate lacks what an SM-DP+'s has.
    pub(crate) fn new(auth: Identity, binding: Identity, ci: &Certificate) -> Result<Self, String> {
        let certificate = Certificate::from_der(&auth.certificate)
            .map_err(|e| format!("CERT.DPauth cannot be read: {e}"))?;
        let oid = certificate.registered_id();
        Ok(Self {
            oid: oid
                .ok_or("CERT.DPauth has no OID in its subjectAltName")?
                .to_vec(),
            ci_key_id: ci
                .subject_key_id()
                .ok_or("the CI has no key identifier")?
                .to_vec(),
            auth,
            binding,
            crypto: SoftwareCrypto::new(),
        })
    }

    /// Signs with a key of the judge's.
    ///
    /// # Errors
    /// The key is out of range.
    pub(crate) fn sign(&self, with: &Identity, parts: &[&[u8]]) -> Result<Signature, String> {
        let signed = self.crypto.sign(&with.key.private, parts);
        signed
            .map(Into::into)
            .map_err(|e| format!("signing failed: {e}"))
    }

    /// AuthenticateServer for a card's challenge.
    pub(crate) fn authenticate_server(
        &self,
        signed: ServerSigned1,
        matching_id: &str,
        device_info: DeviceInfo,
    ) -> Result<AuthenticateServerRequest, String> {
        let server_signed1 = Signed::new(signed);
        Ok(AuthenticateServerRequest {
            server_signature1: self.sign(&self.auth, &[server_signed1.bytes()])?,
            server_signed1,
            euicc_ci_pkid: self.ci_key_id.clone(),
            server_certificate: self.auth.certificate.clone(),
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some(matching_id.to_owned()),
                device_info,
            }),
        })
    }

    /// PrepareDownload for a card's answer to AuthenticateServer.
    pub(crate) fn prepare_download(
        &self,
        ok: &AuthenticateResponseOk,
        signed: SmdpSigned2,
        hash_cc: Option<[u8; 32]>,
    ) -> Result<PrepareDownloadRequest, String> {
        let smdp_signed2 = Signed::new(signed);
        let signature = ok.euicc_signature1.to_tlv();
        Ok(PrepareDownloadRequest {
            smdp_signature2: self.sign(&self.binding, &[smdp_signed2.bytes(), &signature])?,
            smdp_signed2,
            hash_cc,
            smdp_certificate: self.binding.certificate.clone(),
        })
    }

    /// The bound package, as one data object.
    ///
    /// # Errors
    /// The card's one-time key is not on the curve of CERT.DPpb.
    pub(crate) fn bind(
        &self,
        prepared: &EuiccSigned2,
        eid: &[u8; 16],
        package: &Package,
        rng: &mut Seeded,
    ) -> Result<Vec<u8>, String> {
        let curve = self.binding.key.public.curve();
        let own = self.crypto.generate(curve, rng);
        let peer = PublicKey::from_bytes(curve, &prepared.euicc_otpk)
            .map_err(|e| format!("otPK.EUICC.ECKA: {e}"))?;
        let secret = self
            .crypto
            .ecdh(&own.private, &peer)
            .map_err(|e| format!("otPK.EUICC.ECKA: {e}"))?;
        let params = KeyAgreementParams {
            host_id: HOST_ID,
            eid,
        };
        let keys = SessionKeys::derive(&secret, params);
        let fault = package.fault;
        let mut crt = ControlRefTemplate::aes128(HOST_ID);
        if fault == Fault::KeyType {
            crt.key_type = 0x80;
        }
        let transaction_id = match fault {
            Fault::Transaction => other_transaction(prepared.transaction_id),
            _ => prepared.transaction_id,
        };
        let mut initialise = InitialiseSecureChannelRequest {
            remote_op_id: match fault {
                Fault::Operation => REMOTE_OP_INSTALL_BPP + 1,
                _ => REMOTE_OP_INSTALL_BPP,
            },
            transaction_id,
            control_ref_template: crt,
            smdp_otpk: own.public.as_bytes().to_vec(),
            smdp_sign: [0; 64].into(),
        };
        let covered = initialise.signed_part(&prepared.euicc_otpk);
        initialise.smdp_sign = self.sign(&self.binding, &[&covered])?;
        if fault == Fault::Signature {
            initialise.smdp_sign = flipped(&initialise.smdp_sign);
        }
        let own_keys = package
            .own_keys
            .then(|| SessionKeys::new(rng.bytes(), rng.bytes(), rng.bytes()));
        let parts = BoundProfilePackage {
            initialise: &initialise,
            configure: &ConfigureIsdpRequest::default(),
            metadata: &package.metadata,
            upp: &package.elements,
            own_keys: own_keys.as_ref(),
        };
        build_bpp(&parts, &keys).map_err(|e| format!("the package cannot be bound: {e}"))
    }
}

/// The pieces of a package as an LPA sends them, with the fault that is in one of them.
///
/// # Errors
/// It is not a bound package.
pub(crate) fn pieces(bpp: &[u8], fault: Fault) -> Result<Vec<Vec<u8>>, String> {
    let pieces = segments(bpp).map_err(|e| e.to_string())?;
    let mut pieces: Vec<Vec<u8>> = pieces.into_iter().map(<[u8]>::to_vec).collect();
    let tag = match fault {
        Fault::MetadataMac => 0x88,
        Fault::ElementMac => 0x86,
        _ => return Ok(pieces),
    };
    let piece = pieces.iter_mut().rfind(|p| p.first() == Some(&tag));
    if let Some(last) = piece.and_then(|p| p.last_mut()) {
        *last ^= 1;
    }
    Ok(pieces)
}

/// A signature with one bit changed.
pub(crate) fn flipped(signature: &Signature) -> Signature {
    let mut bytes = [0; 64];
    let given = signature.as_bytes();
    let length = given.len().min(64);
    bytes[..length].copy_from_slice(&given[..length]);
    bytes[63] ^= 1;
    bytes.into()
}

/// Another transactionId of the same length.
pub(crate) fn other_transaction(id: TransactionId) -> TransactionId {
    let mut bytes = id.as_bytes().to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x55;
    }
    TransactionId::new(&bytes).unwrap_or(id)
}

/// A device as the judge's LPA describes it: the GSMA's test TAC, LTE of release 15.
pub(crate) fn device() -> DeviceInfo {
    aid_lpa::default_device()
}

//! ES9+.GetBoundProfilePackage: binds the profile to the card's one-time key.
//! SGP.22 §3.1.3.2, §5.6.2, §2.5.4. Under the session keys, or with ReplaceSessionKeys under keys of
//! the profile ([`Protection`]); segments as long as they may be, because each costs the car APDUs.

use super::authenticate::transaction_field;
use super::{Dp, Limits, Offered, Order, OrderState, Profile, Protection, Refusal};
use aid_rsp::bsp::{KeyAgreementParams, SessionKeys};
use aid_rsp::crypto::{PublicKey, sha256};
use aid_rsp::es8::{
    BoundProfilePackage, ConfigureIsdpRequest, ControlRefTemplate, InitialiseSecureChannelRequest,
    REMOTE_OP_INSTALL_BPP, build_bpp,
};
use aid_rsp::es9::{Base64, GetBoundProfilePackageOk};
use aid_rsp::es10::{DataObject, EuiccSigned2, PrepareDownloadResponse, Signature, Signed};
use aid_rsp::tlv::{Tlv, universal};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;

/// Host id of the key derivation; it need not be secret nor different per session.
const HOST_ID: &[u8] = b"aid-smdp";

/// Bytes of one set of keys.
const KEYS_LEN: usize = 48;

/// Keys of a BPP that was given out: a card that asks again with the same one-time key gets the
/// same package (SGP.22 §3.1.3.2). Forgotten when the card has reported.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// otPK.EUICC.ECKA, 65 bytes.
    #[serde(with = "hex")]
    pub euicc_otpk: Vec<u8>,
    /// otPK.DP.ECKA, 65 bytes.
    #[serde(with = "hex")]
    pub smdp_otpk: Vec<u8>,
    /// Initial chaining value, S-ENC, S-MAC, and the same of the profile's own keys when it has
    /// some: 48 or 96 bytes, secret.
    #[serde(with = "hex")]
    keys: Vec<u8>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(…)")
    }
}

impl Binding {
    fn keys_at(&self, at: usize) -> Option<SessionKeys> {
        let keys = self.keys.get(at..at + KEYS_LEN)?;
        let mut parts = keys.chunks_exact(16).map(<[u8; 16]>::try_from);
        let (chaining, enc, mac) = (parts.next()?, parts.next()?, parts.next()?);
        Some(SessionKeys::new(chaining.ok()?, enc.ok()?, mac.ok()?))
    }

    fn session_keys(&self) -> Option<SessionKeys> {
        self.keys_at(0)
    }

    /// The profile's own keys, when it has some.
    fn own_keys(&self) -> Option<SessionKeys> {
        self.keys_at(KEYS_LEN)
    }
}

/// A card that asks for its BPP and has signed so, with the key agreement for it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// hashCc, where the user gave a Confirmation Code.
    hash_cc: Option<[u8; 32]>,
    /// hashCc was there without a byte, which is none (SGP.22 §5.7.5 has 32 bytes): worth a line in the log.
    pub has_empty_hash: bool,
    /// For a one-time key that the card has not used before.
    binding: Binding,
}

impl Dp {
    /// First part of GetBoundProfilePackage: checks the card's signature and agrees on keys. It needs nothing of the
    /// order, so that nobody waits for its cryptography while the database is being written.
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.6.2.
    pub fn prepare(
        &self,
        session: &Offered,
        protection: Protection,
        response: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Prepared, Refusal> {
        let signed = self.verify_prepared(session, response)?;
        Ok(Prepared {
            binding: self.agree(session, &signed.value().euicc_otpk, protection, rng)?,
            hash_cc: signed.value().hash_cc,
            has_empty_hash: has_empty_hash(signed.bytes()),
        })
    }

    /// Checks session and euiccSignature2.
    fn verify_prepared(
        &self,
        session: &Offered,
        response: &[u8],
    ) -> Result<Signed<EuiccSigned2>, Refusal> {
        let response = PrepareDownloadResponse::from_slice(response)
            .map_err(|e| Refusal::invalid_input(format!("prepareDownloadResponse: {e}")))?;
        let (signed, signature) = match response {
            PrepareDownloadResponse::Ok {
                euicc_signed2,
                euicc_signature2,
            } => (euicc_signed2, euicc_signature2),
            PrepareDownloadResponse::Error { code, .. } => {
                return Err(Refusal::euicc_error(format!("PrepareDownload: {code}")));
            }
        };
        if signed.value().transaction_id != session.transaction_id {
            return Err(Refusal::transaction_unknown(
                "euiccSigned2 is of another session",
            ));
        }
        self.crypto
            .verify(
                &session.euicc.public_key,
                &[signed.bytes(), &session.smdp_signature2],
                signature.as_bytes(),
            )
            .map_err(|e| Refusal::euicc_signature(format!("euiccSignature2: {e}")))?;
        Ok(signed)
    }

    /// Key agreement with a new one-time key of ours.
    fn agree(
        &self,
        session: &Offered,
        euicc_otpk: &[u8],
        protection: Protection,
        rng: &mut dyn CryptoRng,
    ) -> Result<Binding, Refusal> {
        let wrong = |e| Refusal::invalid_input(format!("otPK.EUICC.ECKA: {e}"));
        // The one-time keys are on the curve of CERT.DPpb.
        let curve = self.signers(session.signers)?.binding.key.curve();
        let peer = PublicKey::from_bytes(curve, euicc_otpk).map_err(wrong)?;
        let (own, secret) = self.crypto.agree_once(&peer, rng).map_err(wrong)?;
        let keys = SessionKeys::derive(
            &secret,
            KeyAgreementParams {
                host_id: HOST_ID,
                eid: &session.euicc.eid_bytes,
            },
        );
        let keys = [
            keys.initial_chaining(),
            keys.expose_enc(),
            keys.expose_mac(),
        ];
        let mut keys: Vec<u8> = keys.into_iter().flatten().copied().collect();
        if protection == Protection::OwnKeys {
            keys.resize(2 * KEYS_LEN, 0);
            rng.fill_bytes(&mut keys[KEYS_LEN..]);
        }
        Ok(Binding {
            euicc_otpk: euicc_otpk.to_vec(),
            smdp_otpk: own.as_bytes().to_vec(),
            keys,
        })
    }

    /// Last part of GetBoundProfilePackage: the package under the keys that the order keeps.
    ///
    /// # Errors
    /// 8.2/3.7: the profile can't be packed, or is too large.
    pub fn package(
        &self,
        session: &Offered,
        profile: &Profile,
        binding: &Binding,
    ) -> Result<GetBoundProfilePackageOk, Refusal> {
        let package = self.bound_package(session, profile, binding)?;
        Ok(GetBoundProfilePackageOk {
            transaction_id: transaction_field(&session.transaction_id)?,
            bound_profile_package: Base64::new(package).ok_or_else(|| {
                Refusal::bpp_unavailable(format!("profile {} is too large", profile.iccid))
            })?,
        })
    }

    fn bound_package(
        &self,
        session: &Offered,
        profile: &Profile,
        binding: &Binding,
    ) -> Result<Vec<u8>, Refusal> {
        let keys = binding
            .session_keys()
            .ok_or_else(|| Refusal::internal("stored session keys are damaged"))?;
        let mut initialise = InitialiseSecureChannelRequest {
            remote_op_id: REMOTE_OP_INSTALL_BPP,
            transaction_id: session.transaction_id,
            control_ref_template: ControlRefTemplate::aes128(HOST_ID),
            smdp_otpk: binding.smdp_otpk.clone(),
            smdp_sign: Signature::from([0; 64]),
        };
        let covered = initialise.signed_part(&binding.euicc_otpk);
        let signer = &self.signers(session.signers)?.binding;
        initialise.smdp_sign = self.sign(signer, &[&covered])?;
        build_bpp(
            &BoundProfilePackage {
                initialise: &initialise,
                configure: &ConfigureIsdpRequest::default(),
                metadata: &profile.metadata,
                upp: &profile.package,
                own_keys: binding.own_keys().as_ref(),
            },
            &keys,
        )
        .map_err(|e| Refusal::bpp_unavailable(e.to_string()))
    }
}

/// Has this EUICCSigned2 an empty hashCc?
fn has_empty_hash(signed: &[u8]) -> bool {
    let fields = Tlv::parse_tag(signed, universal::SEQUENCE).map(|tlv| tlv.children());
    let hash = fields.and_then(|mut fields| fields.find(universal::OCTET_STRING));
    hash.is_ok_and(|hash| hash.is_some_and(|hash| hash.value.is_empty()))
}

impl Order {
    /// Decides whether the card gets its BPP, and under which keys: a one-time key that the order knows gets the same
    /// again (SGP.22 §3.1.3.2). Also some refusals change the order (a wrong Confirmation Code counts): store it in any
    /// case, before answering. `now` in unix seconds.
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.6.2.
    pub fn bind(
        &mut self,
        session: &Offered,
        prepared: &Prepared,
        limits: &Limits,
        now: u64,
    ) -> Result<Binding, Refusal> {
        self.check_download(&session.euicc, limits, now)?;
        check_code(session, self, prepared.hash_cc.as_ref(), limits, now)?;
        let binding = match self.binding.take() {
            Some(earlier) if earlier.euicc_otpk == prepared.binding.euicc_otpk => earlier,
            _ => prepared.binding.clone(),
        };
        self.binding = Some(binding.clone());
        self.bound_by(&session.transaction_id);
        self.attempts += 1;
        self.eid = Some(session.euicc.eid.clone());
        self.enter(OrderState::Downloaded, now);
        Ok(binding)
    }
}

/// Compares hashCc in constant time; a wrong code counts, and too many end the order.
fn check_code(
    session: &Offered,
    order: &mut Order,
    given: Option<&[u8; 32]>,
    limits: &Limits,
    now: u64,
) -> Result<(), Refusal> {
    let Some(code) = &order.confirmation_code else {
        return Ok(());
    };
    let code = hex::decode(code).map_err(|e| Refusal::internal(e.to_string()))?;
    let Some(given) = given else {
        return Err(Refusal::code_missing("the order needs a Confirmation Code"));
    };
    let expected = sha256(&[&code, session.transaction_id.as_bytes()]);
    if bool::from(expected.ct_eq(given)) {
        return Ok(());
    }
    order.code_failures += 1;
    if order.code_failures >= limits.code_failures {
        order.fail("too many wrong Confirmation Codes", now);
        return Err(Refusal::code_retries("too many wrong Confirmation Codes"));
    }
    Err(Refusal::code_refused("the Confirmation Code is wrong"))
}

//! PrepareDownload: the SM-DP+ is the one that was authenticated; here is a one-time key.
//! SGP.22 §5.7.5, §2.6.2.

use super::{Outcome, Prepared};
use crate::card::Card;
use crate::nvm::{Durability, Key, Nvm, Write};
use aid_rsp::cert::{CertError, Certificate, Role};
use aid_rsp::crypto::{KeyPair, PrivateKey, PublicKey};
use aid_rsp::es10::{
    DataObject, DownloadErrorCode, EuiccSigned2, PrepareDownloadRequest, PrepareDownloadResponse,
    Signed,
};
use alloc::sync::Arc;
use zeroize::Zeroizing;

impl<N: Nvm> Card<N> {
    pub(super) fn prepare_download(&mut self, request: &PrepareDownloadRequest) -> Outcome {
        let transaction_id = request.smdp_signed2.value().transaction_id;
        let response = match self.check_download(request) {
            Ok(response) => response,
            Err(code) => PrepareDownloadResponse::Error {
                transaction_id,
                code,
            },
        };
        Ok(response.to_vec())
    }

    fn check_download(
        &mut self,
        request: &PrepareDownloadRequest,
    ) -> Result<PrepareDownloadResponse, DownloadErrorCode> {
        use DownloadErrorCode as Code;
        let signed = request.smdp_signed2.value();
        let context = self.session.context.as_ref();
        let context = context.ok_or(Code::NoSessionContext)?;
        if context.transaction_id != signed.transaction_id {
            return Err(Code::InvalidTransactionId);
        }
        let crypto = Arc::clone(&self.crypto);
        let refused = |error: CertError| match error {
            CertError::KeyAlgorithm => Code::UnsupportedCurve,
            _ => Code::InvalidCertificate,
        };
        let dppb = Certificate::from_der(&request.smdp_certificate).map_err(refused)?;
        // Both certificates are of the same SM-DP+, which is not an SM-DS, and of the same CI.
        let oid = dppb.registered_id().ok_or(Code::InvalidCertificate)?;
        if context.server.registered_id() != Some(oid) || !context.server.has_role(Role::DpAuth) {
            return Err(Code::InvalidCertificate);
        }
        let anchor = self.identity.anchors.get(context.anchor);
        anchor
            .ok_or(Code::UndefinedError)?
            .verify_leaf(&dppb, Role::DpPb, &*crypto, self.clock.unix_seconds())
            .map_err(refused)?;
        match self.is_revoked(&dppb) {
            Ok(false) => {}
            Ok(true) => return Err(Code::InvalidCertificate),
            Err(_) => return Err(Code::UndefinedError),
        }
        let context = self.session.context.as_ref();
        let context = context.ok_or(Code::NoSessionContext)?;
        crypto
            .verify(
                dppb.public_key(),
                &[
                    request.smdp_signed2.bytes(),
                    &context.euicc_signature1.to_tlv(),
                ],
                request.smdp_signature2.as_bytes(),
            )
            .map_err(|_| Code::InvalidSignature)?;
        if signed.cc_required && request.hash_cc.is_none() {
            return Err(Code::UndefinedError);
        }

        let wanted = signed.bpp_euicc_otpk.as_deref();
        let kept = wanted.and_then(|public| self.kept_one_time_key(public, &dppb));
        let one_time = match kept {
            Some(pair) => pair,
            None => {
                let curve = dppb.public_key().curve();
                let pair = self.crypto.generate(curve, &mut *self.rng);
                self.keep_one_time_key(&pair, &dppb);
                pair
            }
        };
        let euicc_signed2 = Signed::new(EuiccSigned2 {
            transaction_id: signed.transaction_id,
            euicc_otpk: one_time.public.as_bytes().to_vec(),
            hash_cc: request.hash_cc.filter(|_| signed.cc_required),
        });
        let signing_ci = self.session.context.as_ref().map(|c| &c.signing_ci);
        let euicc_signature2 = self
            .sign(
                signing_ci.ok_or(Code::NoSessionContext)?,
                &[euicc_signed2.bytes(), &request.smdp_signature2.to_tlv()],
            )
            .map_err(|_| Code::UndefinedError)?;
        if let Some(context) = &mut self.session.context {
            context.prepared = Some(Prepared { dppb, one_time });
        }
        Ok(PrepareDownloadResponse::Ok {
            euicc_signed2,
            euicc_signature2,
        })
    }

    /// The one-time key of an earlier attempt, when the SM-DP+ has bound a BPP to it already: a
    /// download that was cut off goes on with the same package.
    fn kept_one_time_key(&mut self, public: &[u8], dppb: &Certificate) -> Option<KeyPair> {
        let record = Zeroizing::new(self.store.nvm.get(Key::OneTimeKey).ok()??);
        let (private, rest) = record.split_first_chunk::<32>()?;
        let (point, oid) = rest.split_first_chunk::<65>()?;
        if point != public || dppb.registered_id() != Some(oid) {
            return None;
        }
        let curve = dppb.public_key().curve();
        Some(KeyPair {
            private: PrivateKey::from_bytes(curve, *private),
            public: PublicKey::from_bytes(curve, point).ok()?,
        })
    }

    /// Without the record a later attempt needs another package, so a failure does no harm.
    fn keep_one_time_key(&mut self, pair: &KeyPair, dppb: &Certificate) {
        let mut record = Zeroizing::new(pair.private.expose().to_vec());
        record.extend_from_slice(pair.public.as_bytes());
        record.extend_from_slice(dppb.registered_id().unwrap_or_default());
        let write = Write::Put(Key::OneTimeKey, &record);
        let _ = self.store.nvm.commit(&[write], Durability::Buffered);
    }
}

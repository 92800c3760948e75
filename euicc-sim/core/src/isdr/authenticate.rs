//! The card's half of common mutual authentication: challenge, AuthenticateServer, CancelSession.
//! SGP.22 §3.1.2, §5.7.7, §5.7.13, §5.7.14.

use super::{Context, Outcome, parse};
use crate::apdu::sw;
use crate::card::Card;
use crate::nvm::Nvm;
use aid_rsp::cert::{CertError, Certificate, Role, TrustAnchor};
use aid_rsp::es10::{
    AuthenticateErrorCode, AuthenticateResponseOk, AuthenticateServerRequest,
    AuthenticateServerResponse, CancelSessionErrorCode, CancelSessionRequest,
    CancelSessionResponse, DataObject, EuiccCancelSessionSigned, EuiccSigned1,
    GetEuiccChallengeRequest, GetEuiccChallengeResponse, Signature, Signed,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};

impl<N: Nvm> Card<N> {
    /// A new challenge ends whatever session there was.
    pub(super) fn challenge(&mut self, _: GetEuiccChallengeRequest) -> Vec<u8> {
        let mut challenge = [0; 16];
        self.rng.fill_bytes(&mut challenge);
        self.session.reset();
        self.session.challenge = Some(challenge);
        GetEuiccChallengeResponse { challenge }.to_vec()
    }

    pub(super) fn authenticate_server(&mut self, request: &[u8]) -> Outcome {
        let request: AuthenticateServerRequest = parse(request)?;
        let transaction_id = request.server_signed1.value().transaction_id;
        let challenge = self.session.challenge.take();
        self.session.reset();
        let response = match self.check_server(request, challenge) {
            Ok((context, ok)) => {
                self.session.context = Some(context);
                AuthenticateServerResponse::Ok(ok)
            }
            Err(code) => AuthenticateServerResponse::Error {
                transaction_id,
                code,
            },
        };
        Ok(response.to_vec())
    }

    fn check_server(
        &mut self,
        request: AuthenticateServerRequest,
        challenge: Option<[u8; 16]>,
    ) -> Result<(Box<Context>, Box<AuthenticateResponseOk>), AuthenticateErrorCode> {
        use AuthenticateErrorCode as Code;
        let challenge = challenge.ok_or(Code::NoSessionContext)?;
        let identity = Arc::clone(&self.identity);
        let own = identity.signing(&request.euicc_ci_pkid);
        let own = own.ok_or(Code::CiPkUnknown)?;
        let crypto = Arc::clone(&self.crypto);
        let refused = |error: CertError| match error {
            CertError::KeyAlgorithm => Code::UnsupportedCurve,
            CertError::Role { .. } => Code::InvalidOid,
            CertError::UnknownCi => Code::CiPkUnknown,
            _ => Code::InvalidCertificate,
        };
        let server = Certificate::from_der(&request.server_certificate).map_err(refused)?;
        let anchor = TrustAnchor::find(&identity.anchors, &server).map_err(refused)?;
        let role = if server.has_role(Role::DsAuth) {
            Role::DsAuth
        } else {
            Role::DpAuth
        };
        anchor
            .verify_leaf(&server, role, &*crypto, self.clock.unix_seconds())
            .map_err(refused)?;
        match self.is_revoked(&server) {
            Ok(false) => {}
            Ok(true) => return Err(Code::InvalidCertificate),
            Err(_) => return Err(Code::UndefinedError),
        }
        if server.registered_id().is_none() {
            return Err(Code::InvalidOid);
        }
        let signed = &request.server_signed1;
        crypto
            .verify(
                server.public_key(),
                &[signed.bytes()],
                request.server_signature1.as_bytes(),
            )
            .map_err(|_| Code::InvalidSignature)?;
        if signed.value().euicc_challenge != challenge {
            return Err(Code::EuiccChallengeMismatch);
        }
        let euicc_signed1 = Signed::new(EuiccSigned1 {
            transaction_id: signed.value().transaction_id,
            server_address: signed.value().server_address.clone(),
            server_challenge: signed.value().server_challenge,
            euicc_info2: self.euicc_info2(),
            ctx_params1: request.ctx_params1,
        });
        let euicc_signature1 = self
            .sign(&own.ci, &[euicc_signed1.bytes()])
            .map_err(|_| Code::UndefinedError)?;
        let position = identity.anchors.iter().position(|a| a == anchor);
        let context = Context {
            transaction_id: signed.value().transaction_id,
            server_address: signed.value().server_address.clone(),
            anchor: position.unwrap_or(0),
            signing_ci: own.ci.clone(),
            server,
            euicc_signature1: euicc_signature1.clone(),
            prepared: None,
        };
        let ok = AuthenticateResponseOk {
            euicc_signed1,
            euicc_signature1,
            euicc_certificate: own.chain.euicc.as_der().to_vec(),
            eum_certificate: own.chain.eum.as_der().to_vec(),
        };
        Ok((Box::new(context), Box::new(ok)))
    }

    /// The card's signature over the parts, with its key under the CI with this key identifier.
    ///
    /// # Errors
    /// 6F00: never with a key that [`crate::card::Identity::new`] has accepted, unless the
    /// cryptography fails.
    pub(super) fn sign(&self, ci: &[u8], parts: &[&[u8]]) -> Result<Signature, u16> {
        let own = self.identity.signing_or_first(ci).ok_or(sw::UNKNOWN)?;
        let signature = self.crypto.sign(&own.chain.key, parts);
        Ok(signature.map_err(|_| sw::UNKNOWN)?.into())
    }

    pub(super) fn cancel_session(&mut self, request: &CancelSessionRequest) -> Outcome {
        let context = self.session.context.as_ref();
        let matching = context.filter(|c| c.transaction_id == request.transaction_id);
        let Some(context) = matching else {
            let error = CancelSessionErrorCode::InvalidTransactionId;
            return Ok(CancelSessionResponse::Error(error).to_vec());
        };
        let signed = Signed::new(EuiccCancelSessionSigned {
            transaction_id: request.transaction_id,
            smdp_oid: context.server.registered_id().unwrap_or_default().to_vec(),
            reason: request.reason,
        });
        let Ok(signature) = self.sign(&context.signing_ci, &[signed.bytes()]) else {
            let error = CancelSessionErrorCode::UndefinedError;
            return Ok(CancelSessionResponse::Error(error).to_vec());
        };
        self.session.reset();
        Ok(CancelSessionResponse::Ok { signed, signature }.to_vec())
    }
}

//! Common mutual authentication, and the offer of a profile: SGP.22 §3.1.2, §3.1.3, §5.6.1, §5.6.3.
//! Called for InitiateAuthentication and AuthenticateClient.

use super::{
    Begun, Dp, Euicc, Initiated, Limits, Offered, Order, OrderState, Profile, Refusal, Target,
    TicketKey,
};
use aid_rsp::cert::{CertError, Certificate, TrustAnchor};
use aid_rsp::crypto::CryptoError;
use aid_rsp::es9::{
    AuthenticateClientOk, Base64, Hex, InitiateAuthenticationOk, InitiateAuthenticationRequest,
};
use aid_rsp::es10::{
    AuthenticateServerResponse, DataObject, DeviceInfo, EuiccInfo1, EuiccInfo2, ServerSigned1,
    Signature, Signed, SmdpSigned2, TransactionId, eid_digits,
};
use aid_rsp::tlv::{Writer, universal};
use rand_core::CryptoRng;

/// Major versions of SGP.22 that are served.
const MAJOR_VERSION: u8 = 2;

/// A card that has proved itself, and what it wants.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The session.
    pub transaction_id: TransactionId,
    /// The card.
    pub euicc: Euicc,
    /// What it can.
    pub info: EuiccInfo2,
    /// The device that it is in.
    pub device: DeviceInfo,
    /// Which of the server's certificates the session uses.
    signers: usize,
    /// MatchingID of the activation code; `None` and empty: by EID alone.
    pub matching_id: Option<String>,
    /// euiccSignature1 as data object 5F37: smdpSignature2 covers it.
    euicc_signature1: Vec<u8>,
}

/// Bytes as a JSON field; what was made here fits.
fn field<const MAX: usize>(bytes: Vec<u8>) -> Result<Base64<MAX>, Refusal> {
    Base64::new(bytes).ok_or_else(|| Refusal::internal("an answer is too long"))
}

pub(super) fn transaction_field(id: &TransactionId) -> Result<Hex<16>, Refusal> {
    Hex::new(id.as_bytes()).ok_or_else(|| Refusal::internal("transaction id"))
}

fn invalid(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::invalid_input(format!("{what}: {error}"))
}

impl Dp {
    /// ES9+.InitiateAuthentication at `now`, unix seconds. Nothing has to be kept of it: [`Self::resume`].
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.6.1.
    pub fn initiate(
        &self,
        request: &InitiateAuthenticationRequest,
        tickets: &TicketKey,
        rng: &mut dyn CryptoRng,
        now: u64,
    ) -> Result<(Initiated, InitiateAuthenticationOk), Refusal> {
        let address = request.smdp_address.as_str();
        if !self.is_own_address(address) {
            return Err(Refusal::address_refused(format!(
                "this is {}, not {address:?}",
                self.address
            )));
        }
        let euicc_challenge: [u8; 16] = request
            .euicc_challenge
            .as_bytes()
            .try_into()
            .map_err(|_| Refusal::invalid_input("euiccChallenge does not have 16 bytes"))?;
        let info = EuiccInfo1::from_slice(request.euicc_info1.as_bytes())
            .map_err(|e| invalid("euiccInfo1", e))?;
        if info.svn.0[0] != MAJOR_VERSION {
            return Err(Refusal::version_unsupported(format!(
                "the eUICC follows SGP.22 v{}, this server v{MAJOR_VERSION}",
                info.svn
            )));
        }
        let anchor = info
            .ci_pkid_for_signing
            .iter()
            .find_map(|id| self.anchors.iter().find(|a| a.key_id() == id.as_slice()))
            .ok_or_else(|| Refusal::ci_unsupported("no CI of the eUICC for signing is trusted"))?;
        let verifiable = |s: &super::Signers| {
            let ci = s.auth.certificate.authority_key_id().unwrap_or_default();
            info.ci_pkid_for_verification.iter().any(|id| id == ci)
        };
        // Of those that the card can verify, the one of the CI under which it will sign, if any.
        let of_its_ci = |s: &super::Signers| {
            verifiable(s) && s.auth.certificate.authority_key_id() == Some(anchor.key_id())
        };
        let index = self.signers.iter().position(of_its_ci);
        let index = index.or_else(|| self.signers.iter().position(verifiable));
        let index = index.ok_or_else(|| {
            Refusal::certificate_unavailable(
                "no certificate under a CI that the eUICC verifies with",
            )
        })?;
        let auth = &self.signers(index)?.auth;
        let transaction_id = tickets
            .issue(now, rng)
            .ok_or_else(|| Refusal::internal("transaction id"))?;
        let server_challenge = tickets.challenge(Begun {
            transaction_id: &transaction_id,
            server_address: address,
            ci_key_id: anchor.key_id(),
            signers: index,
        });
        let signed = Signed::new(ServerSigned1 {
            transaction_id,
            euicc_challenge,
            server_address: address.into(),
            server_challenge,
        });
        let signature = self.sign(auth, &[signed.bytes()])?;
        let mut key_id = Writer::new();
        key_id.primitive(universal::OCTET_STRING, anchor.key_id());
        let answer = InitiateAuthenticationOk {
            transaction_id: transaction_field(&transaction_id)?,
            server_signed1: field(signed.bytes().to_vec())?,
            server_signature1: field(signature.to_tlv())?,
            euicc_ci_pkid_to_be_used: field(key_id.into_vec())?,
            server_certificate: field(auth.certificate.as_der().to_vec())?,
        };
        let session = Initiated {
            transaction_id,
            server_address: address.into(),
            server_challenge,
            ci_key_id: Some(anchor.key_id().to_vec()),
            signers: index,
        };
        Ok((session, answer))
    }

    /// The session that a card answers: what its challenge was made for is found again from what the card signed.
    /// `response` is an AuthenticateServerResponse, of which nothing is verified yet.
    #[must_use]
    pub fn resume(&self, id: TransactionId, tickets: &TicketKey, response: &[u8]) -> Initiated {
        let mut session = Initiated {
            transaction_id: id,
            server_address: self.address.clone(),
            // Overwritten, or equal to no challenge that a card signs in good faith.
            server_challenge: tickets.challenge(Begun {
                transaction_id: &id,
                server_address: "",
                ci_key_id: &[],
                signers: usize::MAX,
            }),
            ci_key_id: None,
            signers: 0,
        };
        let Ok(AuthenticateServerResponse::Ok(ok)) =
            AuthenticateServerResponse::from_slice(response)
        else {
            return session;
        };
        let signed = ok.euicc_signed1.value();
        for anchor in &self.anchors {
            for signers in 0..self.signers.len() {
                let challenge = tickets.challenge(Begun {
                    transaction_id: &id,
                    server_address: &signed.server_address,
                    ci_key_id: anchor.key_id(),
                    signers,
                });
                if challenge == signed.server_challenge {
                    session.server_address.clone_from(&signed.server_address);
                    session.server_challenge = challenge;
                    session.ci_key_id = Some(anchor.key_id().to_vec());
                    session.signers = signers;
                    return session;
                }
            }
        }
        session
    }

    pub(super) fn sign(
        &self,
        signer: &super::Signer,
        parts: &[&[u8]],
    ) -> Result<Signature, Refusal> {
        self.crypto
            .sign(&signer.key, parts)
            .map(Signature::from)
            .map_err(|e| Refusal::internal(e.to_string()))
    }

    /// First half of ES9+.AuthenticateClient: is it the card that it says it is? `now` in unix
    /// seconds.
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.6.3.
    pub fn authenticate(
        &self,
        session: &Initiated,
        response: &[u8],
        now: u64,
    ) -> Result<Authenticated, Refusal> {
        let response = AuthenticateServerResponse::from_slice(response)
            .map_err(|e| invalid("authenticateServerResponse", e))?;
        let ok = match response {
            AuthenticateServerResponse::Ok(ok) => ok,
            AuthenticateServerResponse::Error { code, .. } => {
                return Err(Refusal::euicc_error(format!("AuthenticateServer: {code}")));
            }
        };
        let signed = ok.euicc_signed1.value();
        if signed.transaction_id != session.transaction_id {
            return Err(Refusal::transaction_unknown(
                "euiccSigned1 is of another session",
            ));
        }
        let euicc = self.verify_chain(
            &ok.eum_certificate,
            &ok.euicc_certificate,
            Some(session),
            now,
        )?;
        self.crypto
            .verify(
                &euicc.public_key,
                &[ok.euicc_signed1.bytes()],
                ok.euicc_signature1.as_bytes(),
            )
            .map_err(|error| match error {
                CryptoError::PublicKey => euicc_refusal(&error.into()),
                _ => Refusal::euicc_signature(format!("euiccSignature1: {error}")),
            })?;
        if signed.server_challenge != session.server_challenge
            || signed.server_address != session.server_address
        {
            return Err(Refusal::euicc_signature(
                "euiccSigned1 answers another challenge or names another server",
            ));
        }
        Ok(Authenticated {
            transaction_id: session.transaction_id,
            euicc,
            info: signed.euicc_info2.clone(),
            device: signed.ctx_params1.value().device_info.clone(),
            signers: session.signers,
            matching_id: signed.ctx_params1.value().matching_id.clone(),
            euicc_signature1: ok.euicc_signature1.to_tlv(),
        })
    }

    /// Validates CI → EUM → eUICC; the CI is the session's, or any trusted one.
    pub(super) fn verify_chain(
        &self,
        eum: &[u8],
        euicc: &[u8],
        session: Option<&Initiated>,
        now: u64,
    ) -> Result<Euicc, Refusal> {
        let eum = Certificate::from_der(eum).map_err(|e| eum_refusal(&e))?;
        let anchor = TrustAnchor::find(&self.anchors, &eum).map_err(|e| eum_refusal(&e))?;
        let ci = session.and_then(|s| s.ci_key_id.as_deref());
        if ci.is_some_and(|ci| ci != anchor.key_id()) {
            return Err(Refusal::ci_unknown("the EUM certificate is of another CI"));
        }
        let crypto = &*self.crypto;
        anchor
            .verify_eum(&eum, crypto, Some(now))
            .map_err(|e| eum_refusal(&e))?;
        // What a card reports of a download that is over counts all the same.
        if session.is_some() && self.is_revoked(&eum) {
            return Err(Refusal::eum_certificate("the EUM certificate is revoked"));
        }
        let euicc = Certificate::from_der(euicc).map_err(|e| euicc_refusal(&e))?;
        let eid =
            TrustAnchor::verify_euicc_under(&eum, &euicc, crypto, Some(now)).map_err(|error| {
                match error {
                    // The key that can't verify is that of the certificate above.
                    CertError::Signature(CryptoError::PublicKey) => eum_refusal(&error),
                    _ => euicc_refusal(&error),
                }
            })?;
        Ok(Euicc {
            eid: eid_digits(&eid),
            eid_bytes: eid,
            public_key: *euicc.public_key(),
        })
    }

    /// Second half of ES9+.AuthenticateClient: may this card have this order's profile?
    ///
    /// # Errors
    /// [`Refusal`] of SGP.22 §5.6.3.
    pub fn offer(
        &self,
        card: &Authenticated,
        order: &Order,
        profile: &Profile,
        limits: &Limits,
        now: u64,
    ) -> Result<(Offered, AuthenticateClientOk), Refusal> {
        order.check_download(&card.euicc, limits, now)?;
        let target = Target {
            card: &card.info,
            device: &card.device,
        };
        if let Some(why) = profile.unsuited(target) {
            return Err(Refusal::not_eligible(why));
        }
        let signed = Signed::new(SmdpSigned2 {
            transaction_id: card.transaction_id,
            cc_required: order.confirmation_code.is_some(),
            bpp_euicc_otpk: order.binding.as_ref().map(|b| b.euicc_otpk.clone()),
        });
        let binding = &self.signers(card.signers)?.binding;
        let signature = self.sign(binding, &[signed.bytes(), &card.euicc_signature1])?;
        let smdp_signature2 = signature.to_tlv();
        let answer = AuthenticateClientOk {
            transaction_id: transaction_field(&card.transaction_id)?,
            profile_metadata: field(profile.metadata.to_vec())?,
            smdp_signed2: field(signed.bytes().to_vec())?,
            smdp_signature2: field(smdp_signature2.clone())?,
            smdp_certificate: field(binding.certificate.as_der().to_vec())?,
        };
        let session = Offered {
            transaction_id: card.transaction_id,
            euicc: card.euicc.clone(),
            iccid: order.iccid.clone(),
            package: order.package.clone(),
            smdp_signature2,
            signers: card.signers,
            refused: false,
        };
        Ok((session, answer))
    }
}

impl Order {
    /// Of the orders for this card, the one that it gets where it names no MatchingID: a default order, which was
    /// confirmed with an empty one (SGP.22 §3.1.1.2, §5.3.2). An order with an activation code is for whoever has the
    /// code; that its EID is known does not stand for it.
    ///
    /// # Errors
    /// 8.1.1/3.8 there is none; where there is one that can't be downloaded, why not.
    pub fn waiting_for(
        card: &Euicc,
        orders: Vec<Self>,
        limits: &Limits,
        now: u64,
    ) -> Result<Self, Refusal> {
        let mut refusal = None;
        for order in orders {
            if order.matching_id.as_deref() != Some("") {
                continue;
            }
            match order.check_download(card, limits, now) {
                Ok(()) => return Ok(order),
                // An order that is over says less than one that isn't released, or has expired.
                Err(why) if why.subject != "8.2.6" => refusal = refusal.or(Some(why)),
                Err(_) => {}
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Refusal::eid_refused(format!("no default order waits for eUICC {}", card.eid))
        }))
    }

    /// May this card download the profile now?
    ///
    /// # Errors
    /// 8.1.1/3.8 another EID, 8.8.5/4.10 expired, 8.2/1.2 not released, 8.8.5/6.4 too many attempts, 8.2.6/3.8 over.
    pub fn check_download(&self, card: &Euicc, limits: &Limits, now: u64) -> Result<(), Refusal> {
        if let Some(eid) = &self.eid
            && *eid != card.eid
        {
            return Err(Refusal::eid_refused(format!(
                "the order is for another eUICC than {}",
                card.eid
            )));
        }
        if self.is_expired(now) {
            return Err(Refusal::order_expired(format!(
                "the order of profile {} has expired",
                self.iccid
            )));
        }
        match self.state {
            OrderState::Released | OrderState::Downloaded if self.attempts >= limits.attempts => {
                Err(Refusal::download_retries(format!(
                    "profile {} was downloaded {} times without success",
                    self.iccid, self.attempts
                )))
            }
            OrderState::Released | OrderState::Downloaded => Ok(()),
            OrderState::Allocated | OrderState::Linked | OrderState::Confirmed => Err(
                Refusal::not_released(format!("profile {} is not released", self.iccid)),
            ),
            OrderState::Error if self.attempts >= limits.attempts => Err(
                Refusal::download_retries(format!("profile {}: too many downloads", self.iccid)),
            ),
            OrderState::Available
            | OrderState::Installed
            | OrderState::Deleted
            | OrderState::Error
            | OrderState::Unavailable => Err(Refusal::matching_id_refused(format!(
                "profile {} is in state {}",
                self.iccid, self.state
            ))),
        }
    }
}

fn eum_refusal(error: &CertError) -> Refusal {
    let text = format!("EUM certificate: {error}");
    match error {
        CertError::Expired { .. } => Refusal::eum_expired(text),
        CertError::UnknownCi => Refusal::ci_unknown(text),
        _ => Refusal::eum_certificate(text),
    }
}

fn euicc_refusal(error: &CertError) -> Refusal {
    let text = format!("eUICC certificate: {error}");
    match error {
        CertError::Expired { .. } => Refusal::euicc_expired(text),
        _ => Refusal::euicc_certificate(text),
    }
}

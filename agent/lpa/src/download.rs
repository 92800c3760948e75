//! Profile download: common mutual authentication, download and installation, its notification. SGP.22 §3.1.2, §3.1.3.
//!
//! ```text
//! offer ──► Offer (metadata, rules, is a Confirmation Code wanted?) ──► accept ──► Downloaded
//!                                                                  └──► reject ──► session cancelled
//! ```
//! An [`Offer`] stops as long as the server keeps the session: somebody reads the metadata and decides. Whatever happens
//! after the server has opened the session and before the card has a result, the session is cancelled with its reason;
//! once the package is on the card, what counts is what the card reports, in whatever form.

use crate::Apdu;
use crate::checks::{check_name, check_oid, hash_cc, metadata_of, same_server};
use crate::error::{CardError, LpaError, ServerError};
use crate::es9::{self, Http};
use crate::lpa::{Lpa, is_authority};
use crate::policy;
use crate::read::{self, Refusal};
use crate::session::{MAX_SIGNED, Session, signed};
use aid_id::{ActivationCode, Iccid};
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, Base64, CancelSessionRequest, Function,
    GetBoundProfilePackageRequest, Hex, InitiateAuthenticationOk, InitiateAuthenticationRequest,
    Text,
};
use aid_rsp::es10::{
    AuthenticateErrorCode, AuthenticateServerRequest, CancelSessionReason, CtxParams1,
    DownloadErrorCode, PrepareDownloadRequest, Signature, Signed, SmdpSigned2,
    StoreMetadataRequest, TransactionId,
};
use aid_rsp::tlv::{Tlv, universal};
use zeroize::Zeroizing;

/// Where a download is; [`Stage::name`] is what the HMI shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Card and server prove themselves to each other.
    Authenticating,
    /// The card is ready, the server makes the package.
    Preparing,
    /// The package goes to the card: bytes done, bytes in all.
    Installing(usize, usize),
    /// The result goes to the server.
    Notifying,
}

impl Stage {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authenticating => "authenticating",
            Self::Preparing => "preparing",
            Self::Installing(..) => "installing",
            Self::Notifying => "notifying",
        }
    }
}

/// What to download.
#[derive(Debug, Clone)]
pub struct DownloadRequest {
    /// The activation code; none: whatever the card's default SM-DP+ has for this card.
    pub code: Option<ActivationCode>,
    /// The user's confirmation code.
    pub confirmation_code: Option<Zeroizing<String>>,
}

/// A profile that a server offers, before anybody has agreed to it. Accept or reject it: the server keeps the session
/// open until then.
#[derive(Debug)]
#[must_use = "accept it or reject it, or the server's session stays open"]
pub struct Offer {
    session: Session,
    client: AuthenticateClientOk,
    smdp_signed2: Signed<SmdpSigned2>,
    /// The profile.
    pub iccid: Iccid,
    /// What the server says about it. Names and addresses in it are the server's words.
    pub metadata: StoreMetadataRequest,
    /// Whether the card's Rules Authorisation Table demands that the user agrees to the Profile Policy Rules.
    pub rules_need_consent: bool,
}

impl Offer {
    /// The server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.session.server
    }

    /// Whether the user has to give a Confirmation Code.
    #[must_use]
    pub fn confirmation_code_required(&self) -> bool {
        self.smdp_signed2.value().cc_required
    }
}

/// A profile that was installed.
#[derive(Debug, Clone)]
pub struct Downloaded {
    /// The profile.
    pub iccid: Iccid,
    /// What the server said about it.
    pub metadata: StoreMetadataRequest,
    /// Sequence number of its notification; `None` where it could not be read.
    pub seq_number: Option<u64>,
    /// Why the notification still waits on the card, where it does.
    pub notification_error: Option<String>,
    /// What was odd about the card's result, where something was.
    pub remark: Option<String>,
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// Downloads and installs a profile without asking anybody, and delivers the notification about it. A notification
    /// that can't be delivered stays on the card and is no failure.
    ///
    /// # Errors
    /// As [`Lpa::offer`] and [`Lpa::accept`].
    pub fn download(
        &mut self,
        request: &DownloadRequest,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Downloaded, LpaError> {
        let offer = self.offer(request.code.as_ref(), progress)?;
        let code = request.confirmation_code.as_ref().map(|c| c.as_str());
        self.accept(offer, code, progress)
    }

    /// Asks a server for a profile, as far as the moment where the user is asked: whoever gets the offer accepts or
    /// rejects it. A matching id in small letters that the server does not know is tried in capitals.
    ///
    /// # Errors
    /// The card, the server or a rule refuses; the server's session is cancelled where that is
    /// still of use, with the reason (§5.6.5).
    pub fn offer(
        &mut self,
        code: Option<&ActivationCode>,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Offer, LpaError> {
        progress(Stage::Authenticating);
        let server = self.server(code)?;
        match self.offer_once(server.clone(), code) {
            Err(LpaError::Server(error)) if is_unknown_matching_id(&error) => {
                let Some(capitals) = code.and_then(ActivationCode::in_capitals) else {
                    return Err(error.into());
                };
                tracing::info!("the server does not know the matching id; trying it in capitals");
                self.offer_once(server, Some(&capitals))
            }
            result => result,
        }
    }

    pub(crate) fn offer_once(
        &mut self,
        server: String,
        code: Option<&ActivationCode>,
    ) -> Result<Offer, LpaError> {
        let matching_id = code.map_or("", ActivationCode::matching_id);
        let (session, ok) =
            self.initiate(server, code.and_then(ActivationCode::oid), matching_id)?;
        let client: AuthenticateClientOk =
            self.authenticate(&session, &ok, |id, response| AuthenticateClientRequest {
                transaction_id: id,
                authenticate_server_response: response,
            })?;
        match self.judge(&session, &client) {
            Ok((iccid, metadata, smdp_signed2, rules_need_consent)) => Ok(Offer {
                session,
                client,
                smdp_signed2,
                iccid,
                metadata,
                rules_need_consent,
            }),
            Err(error) => Err(self.cancel(&session, error)),
        }
    }

    /// The user, or somebody in the user's place, says no. Tells card and server why.
    ///
    /// # Errors
    /// The session could not be cancelled; the server ends it after a while.
    pub fn reject(&mut self, offer: Offer, reason: CancelSessionReason) -> Result<(), LpaError> {
        let Offer { session, .. } = offer;
        self.cancel_with(&session, reason)
    }

    /// Fetches and installs the profile of an offer, with the Confirmation Code where one is needed, and delivers the
    /// result.
    ///
    /// # Errors
    /// The card, the server or a rule refuses; the server's session is cancelled where that is
    /// still of use, with the reason (§5.6.5).
    pub fn accept(
        &mut self,
        offer: Offer,
        confirmation_code: Option<&str>,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Downloaded, LpaError> {
        progress(Stage::Preparing);
        let Offer {
            mut session,
            client,
            smdp_signed2,
            iccid,
            metadata,
            ..
        } = offer;
        self.load_lists(client.smdp_certificate.as_bytes(), &mut session.lists);
        let hash_cc = match (confirmation_code, smdp_signed2.value().cc_required) {
            (_, false) => None,
            (None, true) => return Err(self.cancel(&session, LpaError::ConfirmationCode)),
            (Some(code), true) => Some(hash_cc(code, session.id)),
        };
        let fetched = self.fetch(&session, client, smdp_signed2, hash_cc, &metadata);
        let bpp = match fetched {
            Ok(bpp) => bpp,
            // The server has ended the session itself, or keeps the package for another try.
            Err(error @ LpaError::Server(_)) => return Err(error),
            Err(error) => return Err(self.cancel(&session, error)),
        };
        let loaded = self
            .card
            .load(&bpp, |done, of| progress(Stage::Installing(done, of)));
        let answer = match loaded {
            Ok(answer) => Some(answer),
            Err(LpaError::NoResult) => None,
            // Without a card there is nothing to cancel; the same package can be fetched again.
            Err(error @ LpaError::Card(CardError::Transport(_))) => return Err(error),
            Err(error) => return Err(self.cancel(&session, error)),
        };
        progress(Stage::Notifying);
        let settled = self.settle(&session, &iccid, answer)?;
        let notification_error = self.report(&session, &settled);
        match settled.outcome.failure {
            None => Ok(Downloaded {
                iccid,
                metadata,
                seq_number: settled.outcome.notification.seq_number,
                notification_error,
                remark: settled.remark,
            }),
            Some((command, reason)) => Err(LpaError::Installation { command, reason }),
        }
    }

    fn server(&mut self, code: Option<&ActivationCode>) -> Result<String, LpaError> {
        if let Some(code) = code {
            return Ok(code.address().to_owned());
        }
        let addresses = self.card.configured_addresses()?;
        addresses
            .default_smdp
            .filter(|a| is_authority(a))
            .ok_or(LpaError::NoAddress)
    }

    /// GetEUICCInfo1, GetEUICCChallenge, ES9+.InitiateAuthentication (§3.1.2 steps 1 to 10).
    pub(crate) fn initiate(
        &mut self,
        server: String,
        oid: Option<&str>,
        matching_id: &str,
    ) -> Result<(Session, AuthenticateServerRequest), LpaError> {
        const FUNCTION: &str = "initiateAuthentication";
        let info1 = self.card.info1()?;
        let challenge = self.card.challenge()?;
        let too_long = || CardError::TooLong {
            what: "GetEUICCInfo1",
            max: 4096,
        };
        let request = InitiateAuthenticationRequest {
            euicc_challenge: Base64::new(challenge.to_vec()).ok_or_else(too_long)?,
            euicc_info1: Base64::new(info1).ok_or_else(too_long)?,
            smdp_address: Text::new(server.clone()).ok_or(LpaError::NoAddress)?,
        };
        let ok: InitiateAuthenticationOk = es9::call(&mut self.http, &server, &request)?;
        let id = TransactionId::new(ok.transaction_id.as_bytes()).ok_or(ServerError::Json {
            server: server.clone(),
            function: FUNCTION,
            what: "a transactionId of 1 to 16 bytes is missing".into(),
        })?;
        let mut session = Session {
            server,
            id,
            hex: ok.transaction_id,
            lists: Vec::new(),
        };
        let read = Signed::from_slice(ok.server_signed1.as_bytes());
        let signed: Signed<aid_rsp::es10::ServerSigned1> =
            session.object(FUNCTION, "serverSigned1", read)?;
        let value = signed.value();
        if value.transaction_id != session.id {
            return Err(session.mismatch("a transactionID"));
        }
        if value.euicc_challenge != challenge {
            return Err(session.mismatch("an eUICC challenge"));
        }
        if !same_server(&value.server_address, &session.server) {
            return Err(session.mismatch("a server address"));
        }
        let certificate = ok.server_certificate.into_bytes();
        if let Some(oid) = oid {
            check_oid(&session.server, &certificate, oid)?;
        }
        if !self.bench {
            check_name(&session.server, &certificate)?;
        }
        self.load_lists(&certificate, &mut session.lists);
        let signature = Signature::from_tlv(ok.server_signature1.as_bytes());
        let key_id = Tlv::parse_tag(
            ok.euicc_ci_pkid_to_be_used.as_bytes(),
            universal::OCTET_STRING,
        );
        let key_id = session.object(FUNCTION, "euiccCiPKIdToBeUsed", key_id)?;
        let request = AuthenticateServerRequest {
            server_signed1: signed,
            server_signature1: session.object(FUNCTION, "serverSignature1", signature)?,
            euicc_ci_pkid: key_id.value.to_vec(),
            server_certificate: certificate,
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some(matching_id.to_owned()),
                device_info: self.device.clone(),
            }),
        };
        Ok((session, request))
    }

    /// AuthenticateServer, AuthenticateClient of ES9+ or ES11 (§3.1.2 steps 11 to 17). The card's refusal goes
    /// to the server as well, which must know why.
    pub(crate) fn authenticate<F: Function>(
        &mut self,
        session: &Session,
        request: &AuthenticateServerRequest,
        client: impl FnOnce(Hex<16>, Base64<MAX_SIGNED>) -> F,
    ) -> Result<F::Output, LpaError> {
        const WHAT: &str = "AuthenticateServer";
        let answer = self.card.authenticate_server(request)?;
        let refusal = read::refusal(&answer, 0xBF38)
            .map_err(|source| CardError::Answer { what: WHAT, source })?;
        let request = client(session.hex.clone(), signed(WHAT, answer)?);
        let answered = es9::call(&mut self.http, &session.server, &request);
        if let Some(Refusal(code)) = refusal {
            let code = AuthenticateErrorCode::from_code(code);
            return Err(session.refused(WHAT, code.code(), code.name()));
        }
        Ok(answered?)
    }

    /// Reads what the server offers, and checks it against the session and the card's rules (§3.1.3 steps 1 to 3).
    #[allow(clippy::type_complexity, reason = "the parts of an offer")]
    fn judge(
        &mut self,
        session: &Session,
        client: &AuthenticateClientOk,
    ) -> Result<(Iccid, StoreMetadataRequest, Signed<SmdpSigned2>, bool), LpaError> {
        const FUNCTION: &str = "authenticateClient";
        if client.transaction_id != session.hex {
            return Err(session.mismatch("a transactionID"));
        }
        let in_metadata =
            |e: read::Unread| session.unreadable(FUNCTION, &format_args!("profileMetadata.{e}"));
        let (metadata, unread) =
            read::metadata(client.profile_metadata.as_bytes()).map_err(in_metadata)?;
        for unread in unread {
            tracing::warn!(server = %session.server, field = unread.field, reason = %unread.reason,
                "a field of the profile's metadata cannot be read");
        }
        let iccid = Iccid::from_bcd(&metadata.iccid)
            .map_err(|e| in_metadata(read::Unread::new("iccid", e)))?;
        let mut needs_consent = false;
        if let Some(rules) = metadata.policy_rules.filter(|rules| *rules != 0) {
            let table = self.card.rules()?;
            match policy::consent(&table, rules, metadata.profile_owner.as_ref()) {
                Some(needed) => needs_consent = needed,
                None => return Err(LpaError::PolicyRules { rules }),
            }
        }
        let read = Signed::from_slice(client.smdp_signed2.as_bytes());
        let signed: Signed<SmdpSigned2> = session.object(FUNCTION, "smdpSigned2", read)?;
        if signed.value().transaction_id != session.id {
            return Err(session.mismatch("a transactionID"));
        }
        Ok((iccid, metadata, signed, needs_consent))
    }

    /// PrepareDownload, ES9+.GetBoundProfilePackage (§3.1.3 steps 4 to 8); the package.
    fn fetch(
        &mut self,
        session: &Session,
        client: AuthenticateClientOk,
        smdp_signed2: Signed<SmdpSigned2>,
        hash_cc: Option<[u8; 32]>,
        metadata: &StoreMetadataRequest,
    ) -> Result<Vec<u8>, LpaError> {
        const WHAT: &str = "PrepareDownload";
        let signature = Signature::from_tlv(client.smdp_signature2.as_bytes());
        let prepare = PrepareDownloadRequest {
            smdp_signed2,
            smdp_signature2: session.object("authenticateClient", "smdpSignature2", signature)?,
            hash_cc,
            smdp_certificate: client.smdp_certificate.into_bytes(),
        };
        let answer = self.card.prepare_download(&prepare)?;
        let refusal = read::refusal(&answer, 0xBF21)
            .map_err(|source| CardError::Answer { what: WHAT, source })?;
        if let Some(Refusal(code)) = refusal {
            let code = DownloadErrorCode::from_code(code);
            return Err(session.refused(WHAT, code.code(), code.name()));
        }
        let request = GetBoundProfilePackageRequest {
            transaction_id: session.hex.clone(),
            prepare_download_response: signed(WHAT, answer)?,
        };
        let ok = es9::call(&mut self.http, &session.server, &request)?;
        if ok.transaction_id != session.hex {
            return Err(session.mismatch("a transactionID"));
        }
        let bpp = ok.bound_profile_package.into_bytes();
        if metadata_of(&bpp)?.is_some_and(|inside| inside != *metadata) {
            let server = session.server.clone();
            return Err(LpaError::Metadata { server });
        }
        Ok(bpp)
    }

    /// CancelSession at card and server (§3.1.3.1), as far as they still listen; gives the error
    /// back that was the reason.
    pub(crate) fn cancel(&mut self, session: &Session, error: LpaError) -> LpaError {
        let reason = match &error {
            LpaError::ConfirmationCode => CancelSessionReason::Postponed,
            LpaError::PolicyRules { .. } => CancelSessionReason::PprNotAllowed,
            LpaError::Metadata { .. } => CancelSessionReason::MetadataMismatch,
            // The next try may succeed: any reason but "later" ends the order at the SM-DP+ (§5.6.5),
            // and with it the code.
            passing if !passing.permanent() => CancelSessionReason::Postponed,
            LpaError::NoResult | LpaError::Package(_) | LpaError::Card(_) => {
                CancelSessionReason::LoadBppExecutionError
            }
            _ => CancelSessionReason::UndefinedReason,
        };
        if let Err(untold) = self.cancel_with(session, reason) {
            tracing::warn!(error = %untold, "the session could not be cancelled");
        }
        error
    }

    fn cancel_with(
        &mut self,
        session: &Session,
        reason: CancelSessionReason,
    ) -> Result<(), LpaError> {
        let answer = self.card.cancel_session(session.id, reason)?;
        let request = CancelSessionRequest {
            transaction_id: session.hex.clone(),
            cancel_session_response: signed("CancelSession", answer)?,
        };
        Ok(es9::tell(&mut self.http, &session.server, &request)?)
    }
}

/// The server knows no such matching id (§5.6.3: subject 8.2.6).
fn is_unknown_matching_id(error: &ServerError) -> bool {
    error
        .subject_reason()
        .is_some_and(|(subject, _)| subject == "8.2.6")
}

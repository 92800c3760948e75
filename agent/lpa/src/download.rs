//! Profile download: common mutual authentication, download and installation, its notification.
//! SGP.22 §3.1.2, §3.1.3. Called by the agent and `aid-lpa`.

use crate::error::{CardError, LpaError, ServerError};
use crate::es9::{self, Http};
use crate::lpa::{Lpa, is_authority};
use crate::policy;
use aid_id::{ActivationCode, Iccid};
use aid_port::Apdu;
use aid_rsp::cert::Certificate;
use aid_rsp::es8;
use aid_rsp::es9::{
    AuthenticateClientOk, AuthenticateClientRequest, Base64, CancelSessionRequest,
    GetBoundProfilePackageRequest, Hex, InitiateAuthenticationOk, InitiateAuthenticationRequest,
    Text,
};
use aid_rsp::es10::{
    AuthenticateServerRequest, AuthenticateServerResponse, CancelSessionReason, CtxParams1,
    DataObject as _, FinalResult, PendingNotification, PrepareDownloadRequest,
    PrepareDownloadResponse, Signature, Signed, SmdpSigned2, StoreMetadataRequest, TransactionId,
};
use aid_rsp::tlv::{Tlv, TlvError, universal};
use sha2::{Digest as _, Sha256};
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
    /// The server is told.
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

/// A profile that was installed.
#[derive(Debug, Clone)]
pub struct Downloaded {
    /// The profile.
    pub iccid: Iccid,
    /// What the server said about it.
    pub metadata: StoreMetadataRequest,
    /// Sequence number of its notification.
    pub seq_number: u64,
    /// Why the notification still waits on the card, where it does.
    pub notification_error: Option<String>,
}

/// A session that the server has opened.
struct Session {
    server: String,
    id: TransactionId,
    hex: Hex<16>,
}

impl Session {
    fn mismatch(&self, what: &'static str) -> LpaError {
        LpaError::Mismatch {
            server: self.server.clone(),
            what,
        }
    }

    /// Reads a DER object of an answer.
    fn object<T>(
        &self,
        function: &'static str,
        parsed: Result<T, TlvError>,
    ) -> Result<T, ServerError> {
        parsed.map_err(|e| ServerError::Json {
            server: self.server.clone(),
            function,
            what: e.to_string(),
        })
    }
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// Downloads and installs a profile, and delivers the notification about it. A notification
    /// that can't be delivered stays on the card and is no failure.
    ///
    /// # Errors
    /// The card, the server or a rule refuses; the server's session is cancelled where that is
    /// still of use, with the reason (§5.6.5).
    pub fn download(
        &mut self,
        request: &DownloadRequest,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Downloaded, LpaError> {
        progress(Stage::Authenticating);
        let server = self.server(request.code.as_ref())?;
        let (session, ok) = self.initiate(server, request.code.as_ref())?;
        let client = self.authenticate(&session, &ok)?;
        progress(Stage::Preparing);
        let (metadata, bpp) = match self.prepare(&session, client, request) {
            Ok(prepared) => prepared,
            // The server has ended the session itself, or keeps the package for another try.
            Err(error @ LpaError::Server(_)) => return Err(error),
            Err(error) => return Err(self.cancel(&session, error)),
        };
        let loaded = self
            .card
            .load(&bpp, |done, of| progress(Stage::Installing(done, of)));
        let (result, bytes) = match loaded {
            Ok(loaded) => loaded,
            // Without a card there is nothing to cancel; the same package can be fetched again.
            Err(error @ LpaError::Card(CardError::Transport(_))) => return Err(error),
            Err(error) => return Err(self.cancel(&session, error)),
        };
        progress(Stage::Notifying);
        let outcome = result.data.value().result.clone();
        let seq_number = result.data.value().notification.seq_number;
        // The result is the notification: no need to read it from the card again.
        let notification = PendingNotification::Installation(Box::new(result));
        let delivered = self.deliver_one(&bytes, &notification);
        let notification_error = delivered.err().map(|e| e.to_string());
        if let Some(error) = &notification_error {
            tracing::warn!(%error, seq_number, "the notification waits on the card");
        }
        match outcome {
            FinalResult::Success { .. } => Ok(Downloaded {
                iccid: iccid(&metadata)?,
                metadata,
                seq_number,
                notification_error,
            }),
            FinalResult::Error {
                command, reason, ..
            } => Err(LpaError::Installation { command, reason }),
        }
    }

    fn server(&mut self, code: Option<&ActivationCode>) -> Result<String, LpaError> {
        if let Some(code) = code {
            return Ok(code.address().to_owned());
        }
        let default = self.card.addresses()?.default_dp_address;
        default
            .filter(|a| is_authority(a))
            .ok_or(LpaError::NoAddress)
    }

    /// GetEUICCInfo1, GetEUICCChallenge, ES9+.InitiateAuthentication (§3.1.2 steps 1 to 10).
    fn initiate(
        &mut self,
        server: String,
        code: Option<&ActivationCode>,
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
            what: "a transactionID of 1 to 16 bytes is missing".into(),
        })?;
        let session = Session {
            server,
            id,
            hex: ok.transaction_id,
        };
        let read = Signed::from_slice(ok.server_signed1.as_bytes());
        let signed: Signed<aid_rsp::es10::ServerSigned1> = session.object(FUNCTION, read)?;
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
        if let Some(oid) = code.and_then(ActivationCode::oid) {
            check_oid(&session, &certificate, oid)?;
        }
        let signature = Signature::from_tlv(ok.server_signature1.as_bytes());
        let key_id = Tlv::parse_tag(
            ok.euicc_ci_pkid_to_be_used.as_bytes(),
            universal::OCTET_STRING,
        );
        let request = AuthenticateServerRequest {
            server_signed1: signed,
            server_signature1: session.object(FUNCTION, signature)?,
            euicc_ci_pkid: session.object(FUNCTION, key_id)?.value.to_vec(),
            server_certificate: certificate,
            ctx_params1: Signed::new(CtxParams1 {
                matching_id: Some(code.map_or("", ActivationCode::matching_id).to_owned()),
                device_info: self.device.clone(),
            }),
        };
        Ok((session, request))
    }

    /// AuthenticateServer, ES9+.AuthenticateClient (§3.1.2 steps 11 to 17). The card's refusal goes
    /// to the server as well, which must know why.
    fn authenticate(
        &mut self,
        session: &Session,
        request: &AuthenticateServerRequest,
    ) -> Result<AuthenticateClientOk, LpaError> {
        const WHAT: &str = "AuthenticateServer";
        let answer = self.card.authenticate_server(request)?;
        let parsed = AuthenticateServerResponse::from_slice(&answer)
            .map_err(|source| CardError::Answer { what: WHAT, source })?;
        let max = 16 * 1024;
        let response = Base64::new(answer).ok_or(CardError::TooLong { what: WHAT, max })?;
        let told = es9::call(
            &mut self.http,
            &session.server,
            &AuthenticateClientRequest {
                transaction_id: session.hex.clone(),
                authenticate_server_response: response,
            },
        );
        if let AuthenticateServerResponse::Error { code, .. } = parsed {
            return Err(LpaError::ServerRefused {
                server: session.server.clone(),
                what: WHAT,
                code: code.code(),
                name: code.name(),
            });
        }
        let ok = told?;
        if ok.transaction_id != session.hex {
            return Err(session.mismatch("a transactionID"));
        }
        Ok(ok)
    }

    /// Checks of the metadata, PrepareDownload, ES9+.GetBoundProfilePackage (§3.1.3 steps 1 to 8).
    fn prepare(
        &mut self,
        session: &Session,
        client: AuthenticateClientOk,
        request: &DownloadRequest,
    ) -> Result<(StoreMetadataRequest, Vec<u8>), LpaError> {
        const FUNCTION: &str = "authenticateClient";
        const WHAT: &str = "PrepareDownload";
        let read = StoreMetadataRequest::from_slice(client.profile_metadata.as_bytes());
        let metadata = session.object(FUNCTION, read)?;
        iccid(&metadata)?;
        if let Some(rules) = metadata.policy_rules.filter(|rules| *rules != 0)
            && !policy::allowed(&self.card.rules()?, rules, metadata.profile_owner.as_ref())
        {
            return Err(LpaError::PolicyRules { rules });
        }
        let read = Signed::from_slice(client.smdp_signed2.as_bytes());
        let signed: Signed<SmdpSigned2> = session.object(FUNCTION, read)?;
        if signed.value().transaction_id != session.id {
            return Err(session.mismatch("a transactionID"));
        }
        let hash_cc = match (&request.confirmation_code, signed.value().cc_required) {
            (_, false) => None,
            (None, true) => return Err(LpaError::ConfirmationCode),
            (Some(code), true) => Some(hash_cc(code, session.id)),
        };
        let signature = Signature::from_tlv(client.smdp_signature2.as_bytes());
        let prepare = PrepareDownloadRequest {
            smdp_signed2: signed,
            smdp_signature2: session.object(FUNCTION, signature)?,
            hash_cc,
            smdp_certificate: client.smdp_certificate.into_bytes(),
        };
        let answer = self.card.prepare_download(&prepare)?;
        let parsed = PrepareDownloadResponse::from_slice(&answer)
            .map_err(|source| CardError::Answer { what: WHAT, source })?;
        if let PrepareDownloadResponse::Error { code, .. } = parsed {
            return Err(LpaError::ServerRefused {
                server: session.server.clone(),
                what: WHAT,
                code: code.code(),
                name: code.name(),
            });
        }
        let max = 16 * 1024;
        let response = Base64::new(answer).ok_or(CardError::TooLong { what: WHAT, max })?;
        let ok = es9::call(
            &mut self.http,
            &session.server,
            &GetBoundProfilePackageRequest {
                transaction_id: session.hex.clone(),
                prepare_download_response: response,
            },
        )?;
        if ok.transaction_id != session.hex {
            return Err(session.mismatch("a transactionID"));
        }
        let bpp = ok.bound_profile_package.into_bytes();
        let announced = metadata_of(&bpp)?;
        if announced.is_some_and(|inside| inside != metadata) {
            let server = session.server.clone();
            return Err(LpaError::Metadata { server });
        }
        Ok((metadata, bpp))
    }

    /// CancelSession at card and server (§3.1.3.1), as far as they still listen; gives the error
    /// back that was the reason.
    fn cancel(&mut self, session: &Session, error: LpaError) -> LpaError {
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
        let told = self
            .card
            .cancel_session(session.id, reason)
            .map_err(LpaError::from)
            .and_then(|answer| {
                let max = 16 * 1024;
                let what = "CancelSession";
                let response = Base64::new(answer).ok_or(CardError::TooLong { what, max })?;
                let request = CancelSessionRequest {
                    transaction_id: session.hex.clone(),
                    cancel_session_response: response,
                };
                Ok(es9::call(&mut self.http, &session.server, &request)?)
            });
        if let Err(untold) = told {
            tracing::warn!(error = %untold, "the session could not be cancelled");
        }
        error
    }
}

fn iccid(metadata: &StoreMetadataRequest) -> Result<Iccid, CardError> {
    Iccid::from_bcd(&metadata.iccid).map_err(|_| CardError::Answer {
        what: "StoreMetadata",
        source: TlvError::Value {
            tag: 0x5A,
            reason: "not an ICCID",
        },
    })
}

/// The address that the server signs is the one we asked; some servers leave out the port.
fn same_server(signed: &str, asked: &str) -> bool {
    let host = asked.split_once(':').map_or(asked, |(host, _)| host);
    signed.eq_ignore_ascii_case(asked) || signed.eq_ignore_ascii_case(host)
}

/// §4.1.1: the SM-DP+ OID of the activation code is the registeredID of CERT.DPauth.
fn check_oid(session: &Session, certificate: &[u8], expected: &str) -> Result<(), LpaError> {
    let wrong = || LpaError::Oid {
        server: session.server.clone(),
        expected: expected.to_owned(),
    };
    let certificate = Certificate::from_der(certificate).map_err(|_| wrong())?;
    let wanted = oid_contents(expected).ok_or_else(wrong)?;
    if certificate.registered_id() == Some(&wanted[..]) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// Contents octets of an OID (X.690 §8.19).
fn oid_contents(text: &str) -> Option<Vec<u8>> {
    let mut arcs = text.split('.').map(|arc| arc.parse::<u64>().ok());
    let (first, second) = (arcs.next()??, arcs.next()??);
    let mut out = Vec::new();
    let mut push = |arc: u64| {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            out.push((arc >> (7 * group)) as u8 & 0x7F | more);
        }
    };
    push(first.checked_mul(40)?.checked_add(second)?);
    for arc in arcs {
        push(arc?);
    }
    Some(out)
}

/// §3.1.3: SHA-256 over the SHA-256 of the confirmation code and the TransactionID.
fn hash_cc(code: &str, id: TransactionId) -> [u8; 32] {
    let inner = Sha256::digest(code.as_bytes());
    Sha256::new()
        .chain_update(inner)
        .chain_update(id.as_bytes())
        .finalize()
        .into()
}

/// The StoreMetadata of a package: authenticated there, not encrypted (§2.5.4: segments 88).
fn metadata_of(bpp: &[u8]) -> Result<Option<StoreMetadataRequest>, LpaError> {
    /// MAC of a segment, bytes.
    const MAC: usize = 8;
    es8::segments(bpp)?;
    let wrong = |e: TlvError| LpaError::Package(e.into());
    let mut parts = Tlv::parse(bpp).map_err(wrong)?.children();
    let Some(sequence) = parts.find(es8::tags::SEQUENCE_OF_88).map_err(wrong)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    for segment in sequence.children() {
        let value = segment.map_err(wrong)?.value;
        bytes.extend_from_slice(&value[..value.len().saturating_sub(MAC)]);
    }
    // What can't be read is for the card to judge.
    Ok(StoreMetadataRequest::from_slice(&bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_are_coded_as_x690_says() {
        assert_eq!(oid_contents("2.999.10"), Some(vec![0x88, 0x37, 0x0A]));
        assert_eq!(
            oid_contents("1.3.6.1.4.1.31746"),
            Some(vec![0x2B, 6, 1, 4, 1, 0x81, 0xF8, 2])
        );
        for bad in ["", "1", "1.x", "1..2", "99999999999999999999.1"] {
            assert_eq!(oid_contents(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_confirmation_code_is_hashed_twice_with_the_transaction() {
        let id = TransactionId::new(&[1, 2, 3]).expect("id");
        let inner: [u8; 32] = Sha256::digest(b"12345678").into();
        let expected: [u8; 32] = Sha256::digest([&inner[..], &[1, 2, 3]].concat()).into();
        assert_eq!(hash_cc("12345678", id), expected);
    }

    #[test]
    fn servers_are_compared_with_or_without_port() {
        assert!(same_server("LocalHost:443", "localhost:443"));
        assert!(same_server("localhost", "localhost:8443"));
        assert!(!same_server("localhost:8444", "localhost:8443"));
        assert!(!same_server("", "localhost"));
    }
}

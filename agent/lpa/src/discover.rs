//! Discovery: what waits for this card at its default SM-DP+ (an empty matching id, SGP.22 §3.1.2) or at an SM-DS (ES11,
//! §3.6.2, §5.8).

use crate::Apdu;
use crate::download::{Offer, Stage};
use crate::error::{LpaError, ServerError};
use crate::es9::Http;
use crate::lpa::{Lpa, is_authority};
use aid_rsp::es9::{AuthenticateClientRequest, Base64, Function, Hex, Text};
use aid_rsp::es10::CancelSessionReason;
use serde::{Deserialize, Serialize};

/// Events of an SM-DS that are read of one answer.
const MAX_EVENTS: usize = 256;

/// Something that waits for this card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// FQDN of the SM-DP+ that has it; the SM-DS's word.
    pub server: String,
    /// Its event id: the matching id to download it with.
    pub event_id: String,
}

/// ES11.AuthenticateClient (§5.8.2): as that of ES9+, on the same path, with another output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct AskForEvents(AuthenticateClientRequest);

impl Function for AskForEvents {
    const PATH: &'static str = AuthenticateClientRequest::PATH;
    type Output = Events;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Events {
    #[serde(default)]
    event_entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    event_id: Text<255>,
    rsp_server_address: Text<255>,
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// What an SM-DP+ offers this card without an activation code; the default one where no server is named. `None` when
    /// nothing waits there. Accept the offer or reject it, with `postponed` where only a look was wanted.
    ///
    /// # Errors
    /// The card or the server can't do it.
    pub fn discover_smdp(
        &mut self,
        server: Option<&str>,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Option<Offer>, LpaError> {
        let result = match server {
            None => self.offer(None, progress),
            Some(server) if is_authority(server) => {
                progress(Stage::Authenticating);
                self.offer_once(server.to_owned(), None)
            }
            Some(_) => return Err(LpaError::NoAddress),
        };
        match result {
            Ok(offer) => Ok(Some(offer)),
            Err(LpaError::Server(error)) if is_nothing_there(&error) => {
                tracing::info!(%error, "nothing waits");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a look at an offer and leaves it where it is.
    pub fn postpone(&mut self, offer: Offer) {
        if let Err(error) = self.reject(offer, CancelSessionReason::Postponed) {
            tracing::warn!(%error, "the session could not be cancelled");
        }
    }

    /// The events that an SM-DS holds for this card.
    ///
    /// # Errors
    /// The card or the server can't do it.
    pub fn discover_smds(
        &mut self,
        server: &str,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Event>, LpaError> {
        if !is_authority(server) {
            return Err(LpaError::NoAddress);
        }
        progress(Stage::Authenticating);
        let (session, request) = self.initiate(server.to_owned(), None, "")?;
        let ask = |transaction_id: Hex<16>, response: Base64<{ 16 * 1024 }>| {
            AskForEvents(AuthenticateClientRequest {
                transaction_id,
                authenticate_server_response: response,
            })
        };
        let events: Events = match self.authenticate(&session, &request, ask) {
            Ok(events) => events,
            Err(LpaError::Server(error)) if is_nothing_there(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let entries = events.event_entries.into_iter().take(MAX_EVENTS);
        Ok(entries
            .map(|entry| Event {
                server: entry.rsp_server_address.as_str().to_owned(),
                event_id: entry.event_id.as_str().to_owned(),
            })
            .collect())
    }
}

/// The server knows the card, and has nothing for it: no such matching id (8.2.6), event (8.9.5), or profile for this EID
/// (8.1.1), none pending (8.2, 3.7).
fn is_nothing_there(error: &ServerError) -> bool {
    matches!(
        error.subject_reason(),
        Some(("8.2.6" | "8.1.1" | "8.9.5", "3.8" | "3.9" | "1.1")) | Some(("8.2" | "8.2.5", "3.7"))
    )
}

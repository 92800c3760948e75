//! Notifications of the card on their way to their SM-DP+. SGP.22 §3.5, §5.6.4, §5.7.9 to §5.7.11.
//!
//! A notification goes as the card gave it, and is removed after its server has accepted it, never before.

use crate::Apdu;
use crate::error::{CardError, LpaError, ServerError};
use crate::es9::{self, Http};
use crate::lpa::{Lpa, is_authority};
use crate::read::ListedNotification;
use aid_rsp::es9::{Base64, HandleNotificationRequest};

/// What became of the pending notifications.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Sequence numbers that a server accepted and the card removed.
    pub accepted: Vec<u64>,
    /// Sequence numbers that stay on the card, and why. A server's later notifications wait for
    /// its earlier ones.
    pub waiting: Vec<(u64, String)>,
    /// Entries of the card's list without a number that could be read, and why. They stay.
    pub unreadable: Vec<String>,
    /// The first failure of all.
    pub error: Option<LpaError>,
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// Pending notifications, ascending sequence numbers; those without a number first.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn notifications(&mut self) -> Result<Vec<ListedNotification>, CardError> {
        self.card.notification_list()
    }

    /// Removes a notification that nobody has got. Its server will not know what happened.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn remove_notification(&mut self, seq_number: u64) -> Result<(), CardError> {
        self.card.remove_notification(seq_number)
    }

    /// The notification with this number as the card gives it (PendingNotification, DER), to be kept or sent again.
    /// `None` when there is none.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn notification(&mut self, seq_number: u64) -> Result<Option<Vec<u8>>, CardError> {
        self.card.notification_bytes(seq_number)
    }

    /// Delivers all pending notifications, or the one with this number, in sequence order, and
    /// removes each after its server has accepted it. A server that fails gets no
    /// later ones; other servers get theirs. What can't be read of one holds up no other.
    ///
    /// # Errors
    /// The card can't be reached or gives no list; failures of servers, and of single notifications, are in
    /// [`Delivered`].
    pub fn deliver(&mut self, only: Option<u64>) -> Result<Delivered, CardError> {
        let mut result = Delivered::default();
        let mut failed: Vec<String> = Vec::new();
        for entry in self.card.notification_list()? {
            let Some(number) = entry.seq_number else {
                let reasons: Vec<String> = entry.unread.iter().map(ToString::to_string).collect();
                result.unreadable.push(reasons.join("; "));
                continue;
            };
            if only.is_some_and(|only| only != number) {
                continue;
            }
            let Some(address) = entry.address else {
                let why = "notificationAddress: missing";
                result.waiting.push((number, why.into()));
                continue;
            };
            if failed.contains(&address) {
                let why = format!("{address} has not accepted an earlier one");
                result.waiting.push((number, why));
                continue;
            }
            let bytes = match self.card.notification_bytes(number) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error @ CardError::Transport(_)) => return Err(error),
                Err(error) => {
                    result.waiting.push((number, error.to_string()));
                    result.error.get_or_insert(error.into());
                    continue;
                }
            };
            match self.deliver_one(&address, &bytes, Some(number)) {
                Ok(()) => result.accepted.push(number),
                Err(LpaError::Card(error @ CardError::Transport(_))) => return Err(error),
                Err(error) => {
                    // A card that keeps what was accepted says nothing against the server.
                    if !matches!(error, LpaError::Card(_)) {
                        failed.push(address);
                    }
                    result.waiting.push((number, error.to_string()));
                    result.error.get_or_insert(error);
                }
            }
        }
        for reasons in &result.unreadable {
            tracing::warn!(%reasons, "a notification on the card cannot be read; it stays");
        }
        Ok(result)
    }

    /// Delivers a notification with these bytes, then removes the one with this number.
    pub(crate) fn deliver_one(
        &mut self,
        server: &str,
        bytes: &[u8],
        number: Option<u64>,
    ) -> Result<(), LpaError> {
        send(&mut self.http, server, bytes)?;
        tracing::info!(number, %server, "notification accepted");
        if let Some(number) = number {
            self.card.remove_notification(number)?;
        }
        Ok(())
    }
}

/// Sends a notification to a server.
pub(crate) fn send(
    http: &mut dyn Http,
    server: &str,
    notification: &[u8],
) -> Result<(), ServerError> {
    let wrong = |what: String| ServerError::Json {
        server: server.to_owned(),
        function: "handleNotification",
        what,
    };
    let length = notification.len();
    let pending_notification = Base64::new(notification.to_vec())
        .ok_or_else(|| wrong(format!("a notification of {length} bytes is too long")))?;
    if !is_authority(server) {
        return Err(wrong(
            "the notification's address is not a host name".into(),
        ));
    }
    let request = HandleNotificationRequest {
        pending_notification,
    };
    es9::tell(http, server, &request)
}

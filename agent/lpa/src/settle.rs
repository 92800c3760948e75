//! What became of a profile package that went to the card (SGP.22 §2.5.6, §3.1.3 steps 6 to 10), in whatever form the
//! card says it; and the delivery of the result.

use crate::Apdu;
use crate::error::{CardError, LpaError};
use crate::es9::Http;
use crate::lpa::Lpa;
use crate::read::{self, Outcome};
use crate::session::Session;
use aid_id::Iccid;
use aid_rsp::es10::NotificationEvent;

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// What became of a package that went to the card. Where the card's own answer does not say it, the notification
    /// that it keeps does, and at last its list of profiles.
    pub(crate) fn settle(
        &mut self,
        session: &Session,
        iccid: &Iccid,
        answer: Option<Vec<u8>>,
    ) -> Result<Settled, LpaError> {
        const WHAT: &str = "LoadBoundProfilePackage";
        let unread = match answer {
            None => None,
            Some(bytes) => match read::installation(&bytes) {
                Ok(outcome) => return Ok(Settled::new(outcome, Some(bytes), None)),
                Err(source) => Some(source),
            },
        };
        if let Some((outcome, bytes)) = self.kept_result(session, iccid)? {
            let remark =
                "the card's answer could not be read; the result is that of its notification";
            return Ok(Settled::new(outcome, Some(bytes), Some(remark)));
        }
        let Some(source) = unread else {
            return Err(self.cancel(session, LpaError::NoResult));
        };
        // The session is not cancelled: the card may well have installed the profile.
        let bcd = iccid.to_bcd();
        if self
            .card
            .profile_list()?
            .iter()
            .any(|p| bcd.is_some() && p.info.iccid == bcd)
        {
            let outcome = Outcome {
                failure: None,
                transaction_id: None,
                notification: read::ListedNotification::default(),
            };
            let remark = format!(
                "the card's result cannot be read ({source}), but the profile is on the card"
            );
            return Ok(Settled::new(outcome, None, Some(&remark)));
        }
        Err(CardError::Answer { what: WHAT, source }.into())
    }

    /// The result of this session among the card's notifications, newest first.
    fn kept_result(
        &mut self,
        session: &Session,
        iccid: &Iccid,
    ) -> Result<Option<(Outcome, Vec<u8>)>, CardError> {
        /// Notifications that are looked at.
        const NEWEST: usize = 4;
        let list = match self.card.notification_list() {
            Ok(list) => list,
            Err(error @ CardError::Transport(_)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let bcd = iccid.to_bcd();
        let may_be = |n: &&read::ListedNotification| {
            n.event.is_none_or(|e| e == NotificationEvent::Install)
                && (n.iccid.is_none() || n.iccid == bcd)
        };
        let numbers = list
            .iter()
            .rev()
            .filter(may_be)
            .filter_map(|n| n.seq_number);
        for number in numbers.take(NEWEST) {
            let bytes = match self.card.notification_bytes(number) {
                Ok(Some(bytes)) => bytes,
                Err(error @ CardError::Transport(_)) => return Err(error),
                Ok(None) | Err(_) => continue,
            };
            if let Ok(outcome) = read::installation(&bytes)
                && outcome.transaction_id.as_deref() == Some(session.id.as_bytes())
            {
                return Ok(Some((outcome, bytes)));
            }
        }
        Ok(None)
    }

    /// Delivers the result at once; where that fails it stays on the card, for a later delivery. The reason then.
    pub(crate) fn report(&mut self, session: &Session, settled: &Settled) -> Option<String> {
        let notification = &settled.outcome.notification;
        let number = notification.seq_number;
        let Some(bytes) = &settled.bytes else {
            return Some(
                "the card's result cannot be read; its notification waits on the card".into(),
            );
        };
        let server = notification.address.as_deref().unwrap_or(&session.server);
        let error = self.deliver_one(server, bytes, number).err()?.to_string();
        tracing::warn!(%error, number, "the notification waits on the card");
        Some(error)
    }
}

/// The result of an installation with the bytes that the server gets.
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    bytes: Option<Vec<u8>>,
    pub(crate) remark: Option<String>,
}

impl Settled {
    fn new(outcome: Outcome, bytes: Option<Vec<u8>>, remark: Option<&str>) -> Self {
        if let Some(remark) = remark {
            tracing::warn!(remark, "odd installation result");
        }
        Self {
            outcome,
            bytes,
            remark: remark.map(str::to_owned),
        }
    }
}

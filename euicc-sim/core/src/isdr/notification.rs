//! Notifications: made with every change that a profile wants to be reported, kept until removed.
//! SGP.22 §3.5, §5.7.9 to §5.7.11.

use super::Outcome;
use crate::apdu::sw;
use crate::card::{Card, MAX_NOTIFICATIONS, Profile, State};
use crate::nvm::{Key, Nvm, Write};
use aid_rsp::es10::{
    DataObject, ListNotificationRequest, ListNotificationResponse, NotificationEvent,
    NotificationMetadata, NotificationSearch, NotificationSentRequest, NotificationSentResponse,
    NotificationSentStatus, OtherSignedNotification, PendingNotification,
    ProfileInstallationResult, RetrieveNotificationsListRequest, RetrieveNotificationsListResponse,
    Signature, Signed,
};
use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};

/// noResultAvailable of RetrieveNotificationsListResponse.
const NO_RESULT: u8 = 1;
/// undefinedError of both lists.
const UNDEFINED: u8 = 127;

/// A notification that waits for its commit.
#[derive(Debug)]
pub(super) struct Notice {
    sequence: u32,
    address: alloc::string::String,
    stored: Stored,
}

/// What NVM keeps of a notification; the card's certificates are added when it is read.
#[derive(Debug, Serialize, Deserialize)]
enum Stored {
    /// A whole ProfileInstallationResult.
    Installation(Vec<u8>),
    /// NotificationMetadata, the signature as its data object, the CI under which it was signed.
    Other(Vec<u8>, Vec<u8>, Vec<u8>),
}

impl Notice {
    pub(super) fn installation(sequence: u32, result: ProfileInstallationResult) -> Self {
        Self {
            sequence,
            stored: Stored::Installation(result.to_vec()),
            address: result.data.into_value().notification.address,
        }
    }

    /// Who is to get it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl State {
    /// The next sequence number; the notification with it is pending from the commit on.
    pub(super) fn take_sequence(&mut self) -> u32 {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        self.notifications.push(sequence);
        sequence
    }
}

impl<N: Nvm> Card<N> {
    /// A notification of one event to one address, signed under the CI with which the profile was
    /// downloaded (§3.5).
    pub(super) fn notice(
        &self,
        next: &mut State,
        event: NotificationEvent,
        address: &str,
        (iccid, ci): ([u8; 10], &[u8]),
    ) -> Result<Notice, u16> {
        let sequence = next.take_sequence();
        let tbs = Signed::new(NotificationMetadata {
            seq_number: sequence.into(),
            event,
            address: address.into(),
            iccid: Some(iccid),
        });
        let signature = self.sign(ci, &[tbs.bytes()])?;
        Ok(Notice {
            sequence,
            address: address.into(),
            stored: Stored::Other(tbs.bytes().to_vec(), signature.to_tlv(), ci.to_vec()),
        })
    }

    /// The notifications of an event that the profile is configured for.
    pub(super) fn notices(
        &self,
        next: &mut State,
        event: NotificationEvent,
        profile: &Profile,
        to: &mut Vec<Notice>,
    ) -> Result<(), u16> {
        let configured = profile.metadata.iter().flat_map(|m| &m.notifications);
        for info in configured.filter(|info| info.events & event.bit() != 0) {
            to.push(self.notice(next, event, &info.address, (profile.iccid(), &profile.ci))?);
        }
        Ok(())
    }

    /// Commits a state with its notifications and other writes in one batch.
    pub(super) fn commit_with(
        &mut self,
        mut next: State,
        notices: &[Notice],
        writes: &[Write<'_>],
    ) -> Result<(), u16> {
        let records: Vec<(Key, Vec<u8>)> = notices
            .iter()
            .map(|n| {
                let bytes = postcard::to_allocvec(&n.stored).unwrap_or_default();
                (Key::Notification(n.sequence), bytes)
            })
            .collect();
        let mut batch = writes.to_vec();
        batch.extend(records.iter().map(|(key, bytes)| Write::Put(*key, bytes)));
        let lost = self.surplus(&next.notifications)?;
        next.notifications.retain(|n| !lost.contains(n));
        batch.extend(lost.iter().map(|n| Write::Delete(Key::Notification(*n))));
        self.commit(next, &batch)?;
        self.lost_notifications += lost.len() as u64;
        Ok(())
    }

    /// What has to go of a list that is too long (see [`MAX_NOTIFICATIONS`]).
    fn surplus(&mut self, pending: &[u32]) -> Result<Vec<u32>, u16> {
        let count = pending.len().saturating_sub(MAX_NOTIFICATIONS);
        let mut lost = Vec::with_capacity(count);
        if count == 0 {
            return Ok(lost);
        }
        // Those of this operation are in no memory yet, and are the newest.
        for sequence in pending {
            let Some(notification) = self.pending(*sequence)? else {
                continue;
            };
            let event = notification.metadata().event;
            if matches!(
                event,
                NotificationEvent::Enable | NotificationEvent::Disable
            ) {
                lost.push(*sequence);
            }
            if lost.len() == count {
                return Ok(lost);
            }
        }
        let others = pending.iter().filter(|n| !lost.contains(n));
        let others: Vec<u32> = others.take(count - lost.len()).copied().collect();
        lost.extend(others);
        Ok(lost)
    }

    fn pending(&mut self, sequence: u32) -> Result<Option<PendingNotification>, u16> {
        let record = self.store.nvm.get(Key::Notification(sequence));
        let record = record.map_err(|error| self.memory_failed(&error))?;
        Ok(record.and_then(|r| self.decode(&r)))
    }

    fn decode(&self, record: &[u8]) -> Option<PendingNotification> {
        match postcard::from_bytes(record).ok()? {
            Stored::Installation(bytes) => PendingNotification::from_slice(&bytes).ok(),
            Stored::Other(tbs, signature, ci) => {
                let own = &self.identity.signing_or_first(&ci)?.chain;
                Some(PendingNotification::Other(Box::new(
                    OtherSignedNotification {
                        tbs: Signed::from_slice(&tbs).ok()?,
                        signature: Signature::from_tlv(&signature).ok()?,
                        euicc_certificate: own.euicc.as_der().to_vec(),
                        eum_certificate: own.eum.as_der().to_vec(),
                    },
                )))
            }
        }
    }

    /// The pending notifications that a filter takes.
    fn matching(
        &mut self,
        wanted: impl Fn(&NotificationMetadata) -> bool,
    ) -> Result<Vec<PendingNotification>, u16> {
        let mut found = Vec::new();
        for sequence in self.store.state().notifications.clone() {
            found.extend(self.pending(sequence)?.filter(|n| wanted(n.metadata())));
        }
        Ok(found)
    }

    pub(super) fn list_notification(&mut self, request: &ListNotificationRequest) -> Outcome {
        let events = request.events.unwrap_or(NotificationEvent::ALL);
        let found = self.matching(|m| m.event.bit() & events != 0);
        let list = found.map(|f| f.iter().map(|n| n.metadata().clone()).collect());
        let response = list.map(ListNotificationResponse::Ok);
        let response = self.or_undefined(response, ListNotificationResponse::Error(UNDEFINED))?;
        Ok(response.to_vec())
    }

    pub(super) fn retrieve_notifications(
        &mut self,
        request: &RetrieveNotificationsListRequest,
    ) -> Outcome {
        let undefined = RetrieveNotificationsListResponse::Error(UNDEFINED);
        let response = self.retrieve(request.search);
        Ok(self.or_undefined(response, undefined)?.to_vec())
    }

    fn retrieve(
        &mut self,
        search: Option<NotificationSearch>,
    ) -> Result<RetrieveNotificationsListResponse, u16> {
        let found = match search {
            None => self.matching(|_| true)?,
            Some(NotificationSearch::Events(events)) => {
                self.matching(|m| m.event.bit() & events != 0)?
            }
            Some(NotificationSearch::SeqNumber(n)) => {
                let pending = &self.store.state().notifications;
                let known = u32::try_from(n).ok().filter(|n| pending.contains(n));
                let Some(sequence) = known else {
                    return Ok(RetrieveNotificationsListResponse::Error(NO_RESULT));
                };
                let found = self.pending(sequence)?;
                alloc::vec![found.ok_or(sw::MEMORY_FAILURE)?]
            }
        };
        Ok(RetrieveNotificationsListResponse::Ok(found))
    }

    pub(super) fn remove_notification(&mut self, request: &NotificationSentRequest) -> Outcome {
        let status = self.remove_pending(request.seq_number);
        let status = self.or_undefined(status, NotificationSentStatus::UndefinedError)?;
        Ok(NotificationSentResponse { status }.to_vec())
    }

    fn remove_pending(&mut self, number: u64) -> Result<NotificationSentStatus, u16> {
        let mut next = self.store.state().clone();
        let mut pending = next.notifications.iter();
        let Some(position) = pending.position(|n| u64::from(*n) == number) else {
            return Ok(NotificationSentStatus::NothingToDelete);
        };
        let sequence = next.notifications.remove(position);
        self.commit(next, &[Write::Delete(Key::Notification(sequence))])?;
        Ok(NotificationSentStatus::Ok)
    }
}

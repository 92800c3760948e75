//! ES9+.HandleNotification: SGP.22 §3.5, §5.6.4, §2.5.6. A notification counts once, and only when
//! the card's signature verifies; it is acknowledged in any case, or the card would keep it for ever.

use super::{Change, Decided, Dp, Order, OrderState};
use aid_rsp::crypto::{PublicKey, sha256};
use aid_rsp::es10::{
    ErrorReason, FinalResult, NotificationEvent, NotificationMetadata, OtherSignedNotification,
    PendingNotification, ProfileInstallationResult, TransactionId,
};

/// The eUICC that a BPP was given to: an installation result carries no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundTo {
    /// 32 digits.
    pub eid: String,
    /// Its key.
    pub public_key: PublicKey,
    /// The profile.
    pub iccid: String,
}

/// A notification that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who says so, 32 digits.
    pub eid: String,
    /// Counts the card's notifications.
    pub seq_number: u64,
    /// SHA-256 of the signed data: tells a repetition from a card that was reset.
    pub digest: [u8; 32],
    /// What happened.
    pub event: NotificationEvent,
    /// The profile, digits.
    pub iccid: Option<String>,
    /// The session whose BPP an installation result is about; other notifications name none.
    pub session: Option<TransactionId>,
    /// What it means for the order.
    pub outcome: Outcome,
}

/// What a notification says of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Installed.
    Installed,
    /// Not installed.
    Failed {
        /// ErrorReason of the card.
        reason: ErrorReason,
        /// The whole error, for people.
        text: String,
    },
    /// Enabled.
    Enabled,
    /// Disabled.
    Disabled,
    /// Deleted.
    Deleted,
}

impl Outcome {
    /// For people and for `notification list`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Installed => "installed".into(),
            Self::Failed { text, .. } => text.clone(),
            Self::Enabled => "enabled".into(),
            Self::Disabled => "disabled".into(),
            Self::Deleted => "deleted".into(),
        }
    }
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// It was not known before.
    pub is_new: bool,
    /// The order's state, where the notification changed the order.
    pub state: Option<OrderState>,
}

impl Notice {
    /// Decides what a notification changes: nothing where it is known already. `order` is that of the profile, if there
    /// is one; `der` is the notification as it came, `now` in unix seconds.
    pub fn received(
        self,
        is_known: bool,
        order: Option<Order>,
        der: Vec<u8>,
        now: u64,
    ) -> Decided<Received> {
        if is_known {
            return Decided::unchanged(Ok(Received {
                is_new: false,
                state: None,
            }));
        }
        let changed = order.and_then(|mut order| order.noticed(&self, now).then_some(order));
        let state = changed.as_ref().map(|order| order.state);
        let mut changes = vec![Change::Notification {
            notice: self,
            der,
            received_at: now,
        }];
        changes.extend(changed.map(|order| Change::Order(Box::new(order))));
        Decided {
            changes,
            result: Ok(Received {
                is_new: true,
                state,
            }),
        }
    }
}

/// Why a notification does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// The signature, or the chain, is wrong.
    #[error("{0}")]
    Unverified(String),
    /// No BPP was given out in this session.
    #[error("no BPP was given out in session {0}")]
    UnknownSession(String),
    /// It is for another SM-DP+.
    #[error("it names another SM-DP+")]
    OtherServer,
    /// An installation result whose event is not installation, or the other way round.
    #[error("event and kind do not fit")]
    Event,
}

/// ICCID digits of a data object (swapped BCD).
fn iccid_digits(swapped: &[u8; 10]) -> String {
    swapped
        .iter()
        .flat_map(|b| [b & 15, b >> 4])
        .filter_map(|d| char::from_digit(u32::from(d), 10))
        .collect()
}

impl Dp {
    /// Verifies a notification. `bound_to` looks up the session of an installation result; `now`
    /// in unix seconds.
    ///
    /// # Errors
    /// [`NotCounted`].
    pub fn notice(
        &self,
        notification: &PendingNotification,
        bound_to: Option<&BoundTo>,
        now: u64,
    ) -> Result<Notice, NotCounted> {
        match notification {
            PendingNotification::Installation(result) => self.installation(result, bound_to),
            PendingNotification::Other(other) => self.other(other, now),
        }
    }

    fn installation(
        &self,
        result: &ProfileInstallationResult,
        bound_to: Option<&BoundTo>,
    ) -> Result<Notice, NotCounted> {
        let data = result.data.value();
        let bound_to =
            bound_to.ok_or_else(|| NotCounted::UnknownSession(data.transaction_id.to_string()))?;
        self.crypto
            .verify(
                &bound_to.public_key,
                &[result.data.bytes()],
                result.signature.as_bytes(),
            )
            .map_err(|e| NotCounted::Unverified(format!("euiccSignPIR: {e}")))?;
        if data.smdp_oid != self.oid() {
            return Err(NotCounted::OtherServer);
        }
        if data.notification.event != NotificationEvent::Install {
            return Err(NotCounted::Event);
        }
        let outcome = match &data.result {
            FinalResult::Success { .. } => Outcome::Installed,
            FinalResult::Error {
                command, reason, ..
            } => Outcome::Failed {
                reason: *reason,
                text: format!("{reason} in {command}"),
            },
        };
        let mut notice = notice(
            &bound_to.eid,
            &data.notification,
            result.data.bytes(),
            outcome,
        );
        // The session, not the card's metadata, says which profile it was.
        notice.iccid = Some(bound_to.iccid.clone());
        notice.session = Some(data.transaction_id);
        Ok(notice)
    }

    fn other(&self, other: &OtherSignedNotification, now: u64) -> Result<Notice, NotCounted> {
        let euicc = self
            .verify_chain(&other.eum_certificate, &other.euicc_certificate, None, now)
            .map_err(|r| NotCounted::Unverified(r.message))?;
        self.crypto
            .verify(
                &euicc.public_key,
                &[other.tbs.bytes()],
                other.signature.as_bytes(),
            )
            .map_err(|e| NotCounted::Unverified(format!("euiccNotificationSignature: {e}")))?;
        let metadata = other.tbs.value();
        let outcome = match metadata.event {
            NotificationEvent::Install => return Err(NotCounted::Event),
            NotificationEvent::Enable => Outcome::Enabled,
            NotificationEvent::Disable => Outcome::Disabled,
            NotificationEvent::Delete => Outcome::Deleted,
        };
        Ok(notice(&euicc.eid, metadata, other.tbs.bytes(), outcome))
    }
}

fn notice(eid: &str, metadata: &NotificationMetadata, signed: &[u8], outcome: Outcome) -> Notice {
    Notice {
        eid: eid.into(),
        seq_number: metadata.seq_number,
        digest: sha256(&[signed]),
        event: metadata.event,
        iccid: metadata.iccid.as_ref().map(iccid_digits),
        session: None,
        outcome,
    }
}

/// [`Order::life`] of the first order of a profile.
const FIRST_LIFE: u64 = 1;

impl Order {
    /// Applies what the card said to the order; whether it changed.
    ///
    /// Cards report late, in any order, and more than once, also what happened under an earlier
    /// order of the same profile. So only the eUICC that the order is bound to counts, an
    /// installation result only for a session that gave out a BPP of this very order, and a
    /// deletion only with a higher seqNumber than that installation's (SGP.22 §3.5), or of a profile that was never
    /// ordered before: the result is the same in whatever order they arrive.
    ///
    /// Lack of memory and an interruption leave the order open for another try; any other failure
    /// of the newest BPP is for the operator.
    pub fn noticed(&mut self, notice: &Notice, now: u64) -> bool {
        if self.eid.as_ref() != Some(&notice.eid) {
            return false;
        }
        let before = (self.state, self.installed_seq, self.deleted_seq);
        let is_own = notice.session.is_some_and(|id| self.is_bound_by(&id));
        match &notice.outcome {
            Outcome::Installed if is_own => {
                self.installed_seq = self.installed_seq.max(Some(notice.seq_number));
                self.settle(now);
            }
            Outcome::Failed { reason, text } if is_own => {
                self.failed_on_card(notice, *reason, text, now);
            }
            Outcome::Deleted if self.may_be_on_card() => {
                self.deleted_seq = self.deleted_seq.max(Some(notice.seq_number));
                self.settle(now);
            }
            _ => {}
        }
        before != (self.state, self.installed_seq, self.deleted_seq)
    }

    /// Is an installation result of this eUICC about this very order?
    #[must_use]
    pub fn is_about(&self, notice: &Notice) -> bool {
        self.eid.as_ref() == Some(&notice.eid)
            && notice.session.is_some_and(|id| self.is_bound_by(&id))
    }

    /// Was a BPP of this order given out?
    fn may_be_on_card(&self) -> bool {
        self.sessions.as_ref().map_or_else(
            || matches!(self.state, OrderState::Downloaded | OrderState::Installed),
            |sessions| !sessions.is_empty(),
        )
    }

    /// Installed or deleted, whichever the card did last. Where the profile was ordered before, neither until it reported
    /// an installation: its deletion may be that of an earlier order.
    fn settle(&mut self, now: u64) {
        let is_deleted = match (self.installed_seq, self.deleted_seq) {
            (Some(installed), Some(deleted)) => deleted > installed,
            (Some(_), None) => false,
            // An installation that an earlier version noted without its number.
            (None, Some(_)) if self.sessions.is_none() => true,
            // What was never ordered before can't have been deleted under an earlier order.
            (None, Some(_)) if self.life <= FIRST_LIFE => true,
            (None, _) => return,
        };
        let state = match is_deleted {
            true => OrderState::Deleted,
            false => OrderState::Installed,
        };
        if self.state != state {
            self.binding = None;
            self.last_error = None;
            self.enter(state, now);
        }
    }

    /// A BPP was not installed. Only the newest one decides: the report of an earlier, interrupted
    /// try may come after the next has begun.
    fn failed_on_card(&mut self, notice: &Notice, reason: ErrorReason, text: &str, now: u64) {
        let id = notice.session.map(|id| id.to_string());
        let is_newest = self.sessions.is_none() || self.newest_session() == id.as_deref();
        if self.state != OrderState::Downloaded || !is_newest {
            return;
        }
        match reason {
            ErrorReason::InsufficientMemory | ErrorReason::Interruption => {
                self.binding = None;
                self.last_error = Some(text.into());
                self.enter(OrderState::Released, now);
            }
            _ => self.fail(text, now),
        }
    }
}

#[cfg(test)]
mod tests;

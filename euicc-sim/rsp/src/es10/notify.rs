//! Notifications: SGP.22 §3.5, §5.7.9 to §5.7.11.

use super::code::{code_response, result_codes};
use super::event::NotificationMetadata;
use super::install::ProfileInstallationResult;
use super::object::{DataObject, Signature, Signed, read_list, write_list};
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer, universal};
use alloc::{boxed::Box, vec::Vec};

/// OtherSignedNotification: enable, disable or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSignedNotification {
    /// Signed by the card.
    pub tbs: Signed<NotificationMetadata>,
    /// Its signature.
    pub signature: Signature,
    /// CERT.EUICC.ECDSA, DER.
    pub euicc_certificate: Vec<u8>,
    /// CERT.EUM.ECDSA, DER.
    pub eum_certificate: Vec<u8>,
}

impl DataObject for OtherSignedNotification {
    const TAG: Tag = universal::SEQUENCE;
    fn write_value(&self, w: &mut Writer) {
        w.raw(self.tbs.bytes());
        self.signature.write(w);
        w.raw(&self.euicc_certificate).raw(&self.eum_certificate);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            tbs: Signed::read(&r.any()?)?,
            signature: Signature::expect(r)?,
            euicc_certificate: r.expect(universal::SEQUENCE)?.raw.to_vec(),
            eum_certificate: r.expect(universal::SEQUENCE)?.raw.to_vec(),
        })
    }
}

/// PendingNotification, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingNotification {
    /// Of an installation.
    Installation(Box<ProfileInstallationResult>),
    /// Of anything else.
    Other(Box<OtherSignedNotification>),
}

impl PendingNotification {
    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &NotificationMetadata {
        match self {
            Self::Installation(result) => &result.data.value().notification,
            Self::Other(other) => other.tbs.value(),
        }
    }

    /// Reads either kind.
    ///
    /// # Errors
    /// Neither.
    pub fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        match tlv.tag {
            ProfileInstallationResult::TAG => Ok(Self::Installation(Box::new(
                ProfileInstallationResult::read(tlv)?,
            ))),
            _ => Ok(Self::Other(Box::new(OtherSignedNotification::read(tlv)?))),
        }
    }

    /// The same from bytes.
    ///
    /// # Errors
    /// Neither kind, or bytes after it.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, TlvError> {
        Self::read(&Tlv::parse(bytes)?)
    }

    /// Writes it; signed parts as they came.
    pub fn write(&self, w: &mut Writer) {
        match self {
            Self::Installation(result) => result.write(w),
            Self::Other(other) => other.write(w),
        }
    }

    /// The DER bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.into_vec()
    }
}

/// ListNotificationRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListNotificationRequest {
    /// Only these events (bits of [`NotificationEvent`](super::NotificationEvent)).
    pub events: Option<u32>,
}

impl DataObject for ListNotificationRequest {
    const TAG: Tag = 0xBF28;
    fn write_value(&self, w: &mut Writer) {
        if let Some(events) = self.events {
            w.bits(0x81, events);
        }
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            events: r.optional(0x81)?.map(|t| t.bits()).transpose()?,
        })
    }
}

/// ListNotificationResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListNotificationResponse {
    /// Ascending sequence numbers.
    Ok(Vec<NotificationMetadata>),
    /// listNotificationsResultError.
    Error(u8),
}

impl DataObject for ListNotificationResponse {
    const TAG: Tag = 0xBF28;
    fn write_value(&self, w: &mut Writer) {
        let list = match self {
            Self::Ok(list) => Ok(&list[..]),
            Self::Error(code) => Err(*code),
        };
        write_list(w, list, NotificationMetadata::write);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(match read_list(r, NotificationMetadata::read)? {
            Ok(list) => Self::Ok(list),
            Err(code) => Self::Error(code.min(255) as u8),
        })
    }
}

/// Which notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationSearch {
    /// The one with this number.
    SeqNumber(u64),
    /// Those of these events (bits of [`NotificationEvent`](super::NotificationEvent)).
    Events(u32),
}

/// RetrieveNotificationsListRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetrieveNotificationsListRequest {
    /// All, or some.
    pub search: Option<NotificationSearch>,
}

impl DataObject for RetrieveNotificationsListRequest {
    const TAG: Tag = 0xBF2B;
    fn write_value(&self, w: &mut Writer) {
        // An untagged CHOICE under AUTOMATIC TAGS gets an explicit [0].
        match self.search {
            None => {}
            Some(NotificationSearch::SeqNumber(n)) => {
                w.constructed(0xA0, |w| {
                    w.uint(0x80, n);
                });
            }
            Some(NotificationSearch::Events(bits)) => {
                w.constructed(0xA0, |w| {
                    w.bits(0x81, bits);
                });
            }
        }
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let Some(choice) = r.optional(0xA0)? else {
            return Ok(Self { search: None });
        };
        let tlv = choice.children().any()?;
        let search = match tlv.tag {
            0x80 => NotificationSearch::SeqNumber(tlv.uint()?),
            0x81 => NotificationSearch::Events(tlv.bits()?),
            got => {
                return Err(TlvError::UnexpectedTag {
                    expected: 0x80,
                    got,
                });
            }
        };
        Ok(Self {
            search: Some(search),
        })
    }
}

/// RetrieveNotificationsListResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetrieveNotificationsListResponse {
    /// Ascending sequence numbers.
    Ok(Vec<PendingNotification>),
    /// noResultAvailable (1) or undefinedError (127).
    Error(u8),
}

impl DataObject for RetrieveNotificationsListResponse {
    const TAG: Tag = 0xBF2B;
    fn write_value(&self, w: &mut Writer) {
        let list = match self {
            Self::Ok(list) => Ok(&list[..]),
            Self::Error(code) => Err(*code),
        };
        write_list(w, list, PendingNotification::write);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(match read_list(r, PendingNotification::read)? {
            Ok(list) => Self::Ok(list),
            Err(code) => Self::Error(code.min(255) as u8),
        })
    }
}

/// NotificationSentRequest: remove a notification that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationSentRequest {
    /// Its number.
    pub seq_number: u64,
}

impl DataObject for NotificationSentRequest {
    const TAG: Tag = 0xBF30;
    fn write_value(&self, w: &mut Writer) {
        w.uint(0x80, self.seq_number);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            seq_number: r.expect(0x80)?.uint()?,
        })
    }
}

result_codes! {
    /// deleteNotificationStatus.
    NotificationSentStatus otherwise UndefinedError {
        /// Removed.
        Ok = 0 "ok",
        /// There was none.
        NothingToDelete = 1 "nothingToDelete",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}

code_response!(
    /// NotificationSentResponse.
    NotificationSentResponse, 0xBF30, status: NotificationSentStatus
);

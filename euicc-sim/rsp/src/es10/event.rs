//! What a notification is about: SGP.22 §3.5, NotificationMetadata.

use super::object::DataObject;
use super::tag;
use crate::tlv::{Reader, Tag, TlvError, Writer, universal};
use alloc::string::String;

/// NotificationEvent: what happened to a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotificationEvent {
    /// notificationInstall.
    Install,
    /// notificationEnable.
    Enable,
    /// notificationDisable.
    Disable,
    /// notificationDelete.
    Delete,
}

impl NotificationEvent {
    /// All events as bits.
    pub const ALL: u32 = 0xF000_0000;

    /// The event as a bit of the BIT STRING.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::Install => 1 << 31,
            Self::Enable => 1 << 30,
            Self::Disable => 1 << 29,
            Self::Delete => 1 << 28,
        }
    }

    /// The event of a BIT STRING with exactly one known bit.
    #[must_use]
    pub fn from_bits(bits: u32) -> Option<Self> {
        [Self::Install, Self::Enable, Self::Disable, Self::Delete]
            .into_iter()
            .find(|event| event.bit() == bits)
    }
}

/// NotificationMetadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationMetadata {
    /// Counts the card's notifications; 0 is legal.
    pub seq_number: u64,
    /// What happened.
    pub event: NotificationEvent,
    /// FQDN that wants to know.
    pub address: String,
    /// The profile, swapped BCD.
    pub iccid: Option<[u8; 10]>,
}

impl DataObject for NotificationMetadata {
    const TAG: Tag = 0xBF2F;
    fn write_value(&self, w: &mut Writer) {
        w.uint(0x80, self.seq_number)
            .bits(0x81, self.event.bit())
            .primitive(universal::UTF8_STRING, self.address.as_bytes())
            .optional(tag::ICCID, self.iccid.as_ref().map(|i| &i[..]));
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            seq_number: r.expect(0x80)?.uint()?,
            event: NotificationEvent::from_bits(r.expect(0x81)?.bits()?).ok_or(
                TlvError::Value {
                    tag: 0x81,
                    reason: "a notification is of exactly one event",
                },
            )?,
            address: r.expect(universal::UTF8_STRING)?.text(255)?.into(),
            iccid: r.optional(tag::ICCID)?.map(|t| t.array()).transpose()?,
        })
    }
}

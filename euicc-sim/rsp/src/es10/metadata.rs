//! Profile metadata: StoreMetadata (ES8+) and UpdateMetadata (ES6). SGP.22 §5.5.3, §2.4.

use super::code::result_codes;
use super::event::NotificationEvent;
use super::object::DataObject;
use super::tag;
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer, universal};
use alloc::{string::String, vec::Vec};

/// Notification configurations per profile, at most.
const MAX_NOTIFICATIONS: usize = 16;

/// Profile Policy Rules as bits of PprIds.
pub mod ppr {
    /// How PPRs may be updated.
    pub const UPDATE_CONTROL: u32 = 1 << 31;
    /// PPR1: this profile can't be disabled.
    pub const PPR1: u32 = 1 << 30;
    /// PPR2: this profile can't be deleted.
    pub const PPR2: u32 = 1 << 29;
}

result_codes! {
    /// ProfileClass; anything unknown counts as operational, the default of the ASN.1.
    ProfileClass otherwise Operational {
        /// For tests.
        Test = 0 "test",
        /// For provisioning.
        Provisioning = 1 "provisioning",
        /// A subscription.
        Operational = 2 "operational",
    }
}

result_codes! {
    /// IconType.
    IconType otherwise Png {
        /// JPEG.
        Jpg = 0 "jpg",
        /// PNG.
        Png = 1 "png",
    }
}

/// OperatorId.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorId {
    /// MCC and MNC as TS 24.008 codes them.
    pub mcc_mnc: [u8; 3],
    /// EF GID1, where it matters.
    pub gid1: Option<Vec<u8>>,
    /// EF GID2, where it matters.
    pub gid2: Option<Vec<u8>>,
}

impl OperatorId {
    /// The operator with this MCC and MNC: 5 or 6 characters, digits or `E` for any (wildcards are
    /// for the Rules Authorisation Table), coded as TS 24.008 §10.5.1.3 has it.
    #[must_use]
    pub fn from_digits(digits: &str) -> Option<Self> {
        let d = digits.chars().map(|c| match c {
            '0'..='9' | 'E' => c.to_digit(16).map(|d| d as u8),
            _ => None,
        });
        let d: Vec<u8> = d.collect::<Option<_>>()?;
        let mcc_mnc = match d[..] {
            [a, b, c, x, y] => [b << 4 | a, 0xF0 | c, y << 4 | x],
            [a, b, c, x, y, z] => [b << 4 | a, z << 4 | c, y << 4 | x],
            _ => return None,
        };
        Some(Self {
            mcc_mnc,
            gid1: None,
            gid2: None,
        })
    }

    pub(crate) fn write(&self, w: &mut Writer, tag: Tag) {
        w.constructed(tag, |w| {
            w.primitive(0x80, &self.mcc_mnc)
                .optional(0x81, self.gid1.as_deref())
                .optional(0x82, self.gid2.as_deref());
        });
    }

    pub(crate) fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        let mut r = tlv.children();
        let owned =
            |tlv: Option<Tlv<'_>>| tlv.map(|t| t.bytes(0, 255).map(<[u8]>::to_vec)).transpose();
        Ok(Self {
            mcc_mnc: r.expect(0x80)?.array()?,
            gid1: owned(r.optional(0x81)?)?,
            gid2: owned(r.optional(0x82)?)?,
        })
    }
}

/// NotificationConfigurationInformation: where which notifications go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationConfigurationInformation {
    /// Bits of [`NotificationEvent`].
    pub events: u32,
    /// FQDN that wants them, up to 255 bytes.
    pub address: String,
}

pub(crate) fn write_notifications(w: &mut Writer, list: &[NotificationConfigurationInformation]) {
    if list.is_empty() {
        return;
    }
    w.constructed(0xB6, |w| {
        for info in list {
            w.constructed(universal::SEQUENCE, |w| {
                w.bits(0x80, info.events)
                    .primitive(0x81, info.address.as_bytes());
            });
        }
    });
}

pub(crate) fn read_notifications(
    list: Option<Tlv<'_>>,
) -> Result<Vec<NotificationConfigurationInformation>, TlvError> {
    let mut out = Vec::new();
    let Some(list) = list else { return Ok(out) };
    let mut r = list.children();
    while !r.is_empty() {
        let mut inside = r.expect(universal::SEQUENCE)?.children();
        if out.len() == MAX_NOTIFICATIONS {
            return Err(TlvError::Value {
                tag: 0xB6,
                reason: "more than 16 notification configurations",
            });
        }
        out.push(NotificationConfigurationInformation {
            events: inside.expect(0x80)?.bits()? & NotificationEvent::ALL,
            address: inside.expect(0x81)?.text(255)?.into(),
        });
    }
    Ok(out)
}

/// StoreMetadataRequest: the metadata of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreMetadataRequest {
    /// ICCID as in EF ICCID (swapped BCD).
    pub iccid: [u8; 10],
    /// Up to 32 bytes.
    pub service_provider_name: String,
    /// Up to 64 bytes.
    pub profile_name: String,
    /// Type of the icon.
    pub icon_type: Option<IconType>,
    /// The icon, up to 1024 bytes.
    pub icon: Option<Vec<u8>>,
    /// Its class.
    pub profile_class: ProfileClass,
    /// Who is notified of what.
    pub notifications: Vec<NotificationConfigurationInformation>,
    /// The operator.
    pub profile_owner: Option<OperatorId>,
    /// Profile Policy Rules, see [`ppr`].
    pub policy_rules: Option<u32>,
}

impl DataObject for StoreMetadataRequest {
    const TAG: Tag = 0xBF25;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(tag::ICCID, &self.iccid)
            .primitive(0x91, self.service_provider_name.as_bytes())
            .primitive(0x92, self.profile_name.as_bytes());
        if let Some(kind) = self.icon_type {
            w.uint(0x93, u64::from(kind.code()));
        }
        w.optional(0x94, self.icon.as_deref());
        if self.profile_class != ProfileClass::Operational {
            w.uint(0x95, u64::from(self.profile_class.code()));
        }
        write_notifications(w, &self.notifications);
        if let Some(owner) = &self.profile_owner {
            owner.write(w, 0xB7);
        }
        if let Some(rules) = self.policy_rules {
            w.bits(0x99, rules);
        }
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            iccid: r.expect(tag::ICCID)?.array()?,
            service_provider_name: r.expect(0x91)?.text(32)?.into(),
            profile_name: r.expect(0x92)?.text(64)?.into(),
            icon_type: match r.optional(0x93)? {
                None => None,
                Some(t) => Some(IconType::from_code(t.uint()?)),
            },
            icon: match r.optional(0x94)? {
                None => None,
                Some(t) => Some(t.bytes(0, 1024)?.to_vec()),
            },
            profile_class: match r.optional(0x95)? {
                None => ProfileClass::Operational,
                Some(t) => ProfileClass::from_code(t.uint()?),
            },
            notifications: read_notifications(r.optional(0xB6)?)?,
            profile_owner: r
                .optional(0xB7)?
                .map(|t| OperatorId::read(&t))
                .transpose()?,
            policy_rules: r.optional(0x99)?.map(|t| t.bits()).transpose()?,
        })
    }
}

impl StoreMetadataRequest {
    /// The same without the icon, which is the largest part; its type stays.
    #[must_use]
    pub fn without_icon(mut self) -> Self {
        self.icon = None;
        self
    }
}

/// UpdateMetadataRequest: the parts that the operator changes later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateMetadataRequest {
    /// Up to 32 bytes.
    pub service_provider_name: Option<String>,
    /// Up to 64 bytes.
    pub profile_name: Option<String>,
    /// Type of the icon.
    pub icon_type: Option<IconType>,
    /// The icon, up to 1024 bytes; empty removes it.
    pub icon: Option<Vec<u8>>,
    /// Profile Policy Rules.
    pub policy_rules: Option<u32>,
}

impl DataObject for UpdateMetadataRequest {
    const TAG: Tag = 0xBF2A;
    fn write_value(&self, w: &mut Writer) {
        w.optional(
            0x91,
            self.service_provider_name.as_ref().map(|t| t.as_bytes()),
        )
        .optional(0x92, self.profile_name.as_ref().map(|t| t.as_bytes()));
        if let Some(kind) = self.icon_type {
            w.uint(0x93, u64::from(kind.code()));
        }
        w.optional(0x94, self.icon.as_deref());
        if let Some(rules) = self.policy_rules {
            w.bits(0x99, rules);
        }
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let text = |tlv: Option<Tlv<'_>>, max| tlv.map(|t| t.text(max).map(Into::into)).transpose();
        Ok(Self {
            service_provider_name: text(r.optional(0x91)?, 32)?,
            profile_name: text(r.optional(0x92)?, 64)?,
            icon_type: match r.optional(0x93)? {
                None => None,
                Some(t) => Some(IconType::from_code(t.uint()?)),
            },
            icon: match r.optional(0x94)? {
                None => None,
                Some(t) => Some(t.bytes(0, 1024)?.to_vec()),
            },
            policy_rules: r.optional(0x99)?.map(|t| t.bits()).transpose()?,
        })
    }
}

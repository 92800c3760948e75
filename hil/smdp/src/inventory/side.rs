//! The file beside a package: what its metadata say, and what it demands of a card.

use super::MAX_ICON;
use crate::core::{Protection, Requirements};
use aid_cli::config;
use aid_rsp::es10::{
    IconType, NotificationConfigurationInformation, NotificationEvent, OperatorId, ProfileClass,
    StoreMetadataRequest, ppr,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What a `.toml` beside a package, or a template, says of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Side {
    /// Profile name, up to 64 bytes; without it the package's profileType.
    pub name: Option<String>,
    /// Service provider name, up to 32 bytes; without it the profile name.
    pub service_provider: Option<String>,
    /// Class of the profile.
    pub class: Class,
    /// profileType for DownloadOrder; without it the package's.
    pub profile_type: Option<String>,
    /// Events that the card reports to this server; all without it.
    pub notifications: Option<Vec<Event>>,
    /// Further addresses that the card reports to.
    pub notify: Vec<Notify>,
    /// Profile Policy Rules.
    pub policy_rules: Vec<Rule>,
    /// MCC and MNC of the profile owner, 5 or 6 digits.
    pub mcc_mnc: Option<String>,
    /// PNG or JPEG of at most 1024 bytes, relative to this file.
    pub icon: Option<PathBuf>,
    /// Under which keys the package travels.
    pub protection: Option<Protection>,
    /// What the profile demands of card and device.
    pub requires: Requirements,
}

/// `[[notify]]`: the card also reports there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// FQDN, and port where it is not 443.
    pub address: String,
    /// What it reports.
    pub events: Vec<Event>,
}

/// ProfileClass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of SGP.22")]
pub enum Class {
    Test,
    Provisioning,
    #[default]
    Operational,
}

/// NotificationEvent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of SGP.22")]
pub enum Event {
    Install,
    Enable,
    Disable,
    Delete,
}

/// A Profile Policy Rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of SGP.22")]
pub enum Rule {
    Ppr1,
    Ppr2,
}

impl Side {
    /// The icon, where there is one. `file`: the file that names it.
    ///
    /// # Errors
    /// Unreadable, too large, or neither PNG nor JPEG.
    pub fn icon(&self, file: &Path) -> Result<Option<(IconType, Vec<u8>)>, String> {
        let Some(icon) = &self.icon else {
            return Ok(None);
        };
        let path = config::beside(file, icon);
        let bytes = config::read(&path, MAX_ICON, "icon").map_err(|e| e.text)?;
        let kind = if bytes.starts_with(b"\x89PNG") {
            IconType::Png
        } else if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            IconType::Jpg
        } else {
            return Err(format!("icon {} is neither PNG nor JPEG", path.display()));
        };
        Ok(Some((kind, bytes)))
    }

    /// The metadata of a profile. `iccid` in the order of EF.ICCID, `address` where this server's notifications go.
    ///
    /// # Errors
    /// For people: what can't be.
    pub fn metadata(
        &self,
        iccid: [u8; 10],
        name: &str,
        address: &str,
        icon: Option<(IconType, Vec<u8>)>,
    ) -> Result<StoreMetadataRequest, String> {
        let (icon_type, icon) = icon.unzip();
        let provider = self.service_provider.as_deref().unwrap_or(name);
        let owner = self.mcc_mnc.as_deref().map(operator).transpose()?;
        let rules = self.policy_rules.iter().fold(0, |rules, rule| {
            rules
                | match rule {
                    Rule::Ppr1 => ppr::PPR1,
                    Rule::Ppr2 => ppr::PPR2,
                }
        });
        if rules != 0 && owner.is_none() {
            return Err("policy_rules need mcc_mnc (the profile owner), e.g. \"26201\"".into());
        }
        if self.notify.len() > MAX_NOTIFY {
            return Err(format!("more than {MAX_NOTIFY} [[notify]]"));
        }
        let own = self
            .notifications
            .as_deref()
            .map_or(NotificationEvent::ALL, bits);
        let own = std::iter::once((own, address));
        let further = self
            .notify
            .iter()
            .map(|n| (bits(&n.events), n.address.as_str()));
        let notifications = own
            .chain(further)
            .filter(|(events, _)| *events != 0)
            .map(|(events, address)| NotificationConfigurationInformation {
                events,
                address: address.into(),
            })
            .collect();
        Ok(StoreMetadataRequest {
            iccid,
            service_provider_name: truncated(provider, 32),
            profile_name: truncated(name, 64),
            icon_type,
            icon,
            profile_class: match self.class {
                Class::Test => ProfileClass::Test,
                Class::Provisioning => ProfileClass::Provisioning,
                Class::Operational => ProfileClass::Operational,
            },
            notifications,
            profile_owner: owner,
            policy_rules: (rules != 0).then_some(rules),
        })
    }
}

/// Further addresses per profile, at most.
const MAX_NOTIFY: usize = 8;

/// NotificationEvent as bits.
fn bits(events: &[Event]) -> u32 {
    events.iter().fold(0, |bits, event| {
        bits | match event {
            Event::Install => NotificationEvent::Install.bit(),
            Event::Enable => NotificationEvent::Enable.bit(),
            Event::Disable => NotificationEvent::Disable.bit(),
            Event::Delete => NotificationEvent::Delete.bit(),
        }
    })
}

/// At most `max` bytes, whole characters.
fn truncated(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// The operator of a side file.
fn operator(digits: &str) -> Result<OperatorId, String> {
    let operator = OperatorId::from_digits(digits).filter(|_| !digits.contains('E'));
    operator.ok_or_else(|| format!("mcc_mnc {digits:?} does not have 5 or 6 digits"))
}

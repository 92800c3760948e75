//! The inventory: a folder of unprotected SAIP packages, read once at the start.
//! A file that is no profile stops the program, before anybody can order it.

use crate::core::{Profile, Protection};
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_rsp::es10::{
    NotificationConfigurationInformation, NotificationEvent, OperatorId, ProfileClass,
    StoreMetadataRequest, ppr,
};
use aid_rsp::saip::{self, ProfileHeader};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest package, bytes: its BPP must fit in an answer of ES9+.
pub const MAX_PACKAGE: u64 = 900 * 1024;
/// profileType of packages that name none.
pub const DEFAULT_TYPE: &str = "default";

/// Profiles by ICCID.
pub type Inventory = BTreeMap<String, Profile>;

/// What a `.toml` beside a package may say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Side {
    name: Option<String>,
    service_provider: Option<String>,
    class: Class,
    profile_type: Option<String>,
    notifications: Option<Vec<Event>>,
    policy_rules: Vec<Rule>,
    mcc_mnc: Option<String>,
    protection: Option<Protection>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Class {
    Test,
    Provisioning,
    #[default]
    Operational,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Event {
    Install,
    Enable,
    Disable,
    Delete,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Ppr1,
    Ppr2,
}

/// Reads all packages of a folder; `address` is where cards send their notifications, `protection`
/// that of packages whose file says nothing else.
///
/// # Errors
/// The folder or a file is unreadable, a `.der` file is no SAIP package, or two have one ICCID.
pub fn load(folder: &Path, address: &str, protection: Protection) -> Result<Inventory, Failure> {
    let name = folder.display();
    let wrong = |e| {
        Failure::new(format!(
            "cannot read the inventory {name}: {e}; give a folder with SAIP packages (.der)"
        ))
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("der") => files.push(path),
            Some("toml" | "txt" | "md") => {}
            _ => {
                tracing::warn!(file = %path.display(), "not a .der file, left out of the inventory");
            }
        }
    }
    files.sort();
    let mut out = Inventory::new();
    let mut origin: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        let profile = profile(&file, address, protection)?;
        if let Some(other) = origin.insert(profile.iccid.clone(), file.clone()) {
            return Err(Failure::new(format!(
                "{} and {} both have ICCID {}; remove one of them",
                other.display(),
                file.display(),
                profile.iccid
            )));
        }
        out.insert(profile.iccid.clone(), profile);
    }
    Ok(out)
}

/// Reads one package and the file beside it.
fn profile(file: &Path, address: &str, protection: Protection) -> Result<Profile, Failure> {
    let package = config::read(file, MAX_PACKAGE, "profile package")?;
    let not_saip = |e| {
        Failure::new(format!(
            "{}: {e}; give an unprotected SAIP package in DER, or remove the file",
            file.display()
        ))
    };
    saip::elements(&package).map_err(not_saip)?;
    let header = ProfileHeader::of_package(&package).map_err(not_saip)?;
    let side_file = file.with_extension("toml");
    let side: Side = if side_file.exists() {
        config::load(&side_file)?
    } else {
        Side::default()
    };
    let wrong = |what: String| Failure::new(format!("{}: {what}", side_file.display()));
    let name = side
        .name
        .clone()
        .or_else(|| header.profile_type.clone())
        .unwrap_or_else(|| "aid".into());
    Ok(Profile {
        iccid: header.iccid_digits(),
        profile_type: side
            .profile_type
            .clone()
            .or_else(|| header.profile_type.clone())
            .unwrap_or_else(|| DEFAULT_TYPE.into()),
        saip_major: header.major,
        metadata: side.metadata(&header, &name, address).map_err(wrong)?,
        package,
        protection: side.protection.unwrap_or(protection),
    })
}

impl Side {
    fn metadata(
        &self,
        header: &ProfileHeader,
        name: &str,
        address: &str,
    ) -> Result<StoreMetadataRequest, String> {
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
        let events = match &self.notifications {
            None => NotificationEvent::ALL,
            Some(list) => list.iter().fold(0, |bits, event| {
                bits | match event {
                    Event::Install => NotificationEvent::Install.bit(),
                    Event::Enable => NotificationEvent::Enable.bit(),
                    Event::Disable => NotificationEvent::Disable.bit(),
                    Event::Delete => NotificationEvent::Delete.bit(),
                }
            }),
        };
        let notifications = if events == 0 {
            Vec::new()
        } else {
            vec![NotificationConfigurationInformation {
                events,
                address: address.into(),
            }]
        };
        Ok(StoreMetadataRequest {
            iccid: header.iccid_swapped(),
            service_provider_name: truncated(provider, 32),
            profile_name: truncated(name, 64),
            icon_type: None,
            icon: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};

    fn package(iccid: &str) -> Vec<u8> {
        let algorithm = Algorithm::UsimTest { k: [1; 16] };
        ProfileBuilder::new(iccid, "001010123456789", algorithm)
            .build()
            .unwrap()
    }

    #[test]
    fn a_folder_of_packages_is_an_inventory() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.der"), package("8949000000000000018")).unwrap();
        std::fs::write(path("b.der"), package("8949000000000000026")).unwrap();
        std::fs::write(
            path("b.toml"),
            "name = \"B\"\nclass = \"test\"\nprofile_type = \"special\"\nnotifications = [\"delete\"]\npolicy_rules = [\"ppr2\"]\nmcc_mnc = \"26201\"\nprotection = \"own-keys\"\n",
        )
        .unwrap();
        let inventory = load(folder.path(), "smdp.example", Protection::SessionKeys).unwrap();
        let a = &inventory["8949000000000000018"];
        assert_eq!(a.metadata.profile_class, ProfileClass::Operational);
        assert_eq!(a.metadata.notifications[0].address, "smdp.example");
        assert_eq!(a.metadata.iccid[0], 0x98);
        let b = &inventory["8949000000000000026"];
        assert_eq!(b.profile_type, "special");
        assert_eq!(a.protection, Protection::SessionKeys);
        assert_eq!(b.protection, Protection::OwnKeys);
        assert_eq!(b.metadata.profile_name, "B");
        assert_eq!(b.metadata.policy_rules, Some(ppr::PPR2));
        assert_eq!(
            b.metadata.profile_owner.as_ref().unwrap().mcc_mnc,
            [0x62, 0xF2, 0x10]
        );
    }

    #[test]
    fn what_is_no_profile_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let error = || {
            load(folder.path(), "x", Protection::default())
                .unwrap_err()
                .text
        };
        std::fs::write(path("bad.der"), b"not a profile").unwrap();
        assert!(error().contains("bad.der"), "{}", error());
        let mut cut = package("8949000000000000018");
        cut.truncate(cut.len() - 1);
        std::fs::write(path("bad.der"), cut).unwrap();
        assert!(error().contains("bad.der"), "{}", error());
        std::fs::write(path("bad.der"), package("8949000000000000018")).unwrap();
        std::fs::write(path("twin.der"), package("8949000000000000018")).unwrap();
        assert!(error().contains("twin.der") && error().contains("8949000000000000018"));
        std::fs::remove_file(path("twin.der")).unwrap();
        std::fs::write(path("bad.toml"), "colour = 1").unwrap();
        assert!(error().contains("bad.toml"), "{}", error());
    }
}

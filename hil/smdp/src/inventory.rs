//! The inventory: a folder of unprotected SAIP packages. It is read at the start and whenever something in it changes;
//! a file that is no profile is reported and left out, and keeps none of the others from being served.

mod side;
mod watch;

pub use side::{Class, Event, Notify, Rule, Side};
pub use watch::watch;

use crate::core::{Profile, Protection, Stock};
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_rsp::saip::{self, ProfileHeader};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Largest package, bytes: its BPP must fit in an answer of ES9+.
pub const MAX_PACKAGE: u64 = 900 * 1024;
/// Largest icon, bytes (SGP.22 §5.5.3).
pub const MAX_ICON: u64 = 1024;
/// profileType of packages that name none.
pub const DEFAULT_TYPE: &str = "default";

/// Profiles by ICCID; several packages may have one, in the order of their files.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    profiles: BTreeMap<String, Vec<Arc<Profile>>>,
    /// What is wrong with files that were left out.
    broken: Vec<String>,
}

impl Inventory {
    /// A package: the first of its ICCID, or the one of this file.
    #[must_use]
    pub fn get(&self, iccid: &str, file: Option<&str>) -> Option<&Arc<Profile>> {
        let packages = self.profiles.get(iccid)?;
        match file {
            None => packages.first(),
            Some(file) => packages.iter().find(|p| p.file == file),
        }
    }

    /// What there is to order.
    #[must_use]
    pub fn stock(&self) -> Vec<Stock> {
        let all = self.profiles.values().flatten();
        let stock = all.map(|profile| Stock {
            iccid: profile.iccid.clone(),
            file: profile.file.clone(),
            profile_type: profile.profile_type.clone(),
            name: profile.metadata.profile_name.clone(),
        });
        stock.collect()
    }

    /// How many packages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.profiles.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// Leaves out the packages with these ICCIDs, which profiles have that were made from a template.
    pub fn leave_out(&mut self, iccids: &BTreeSet<String>) {
        for iccid in iccids {
            for package in self.profiles.remove(iccid).unwrap_or_default() {
                self.broken.push(format!(
                    "{}.der: a template has made a profile with its ICCID {iccid}; remove the file, or give the package \
                     another ICCID",
                    package.file
                ));
            }
        }
    }

    /// What is wrong with files that were left out, one sentence each.
    #[must_use]
    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

/// Length and time of a file: a file with the same is not read again.
type Stamp = Option<(u64, Option<SystemTime>)>;

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.len(), found.modified().ok()))
}

/// A file as it was read.
#[derive(Debug, Clone)]
struct Seen {
    /// Of the package, of the file beside it, and of the icon.
    stamps: [Stamp; 3],
    icon: Option<PathBuf>,
    profile: Result<Arc<Profile>, String>,
}

impl Seen {
    fn is_current(&self, file: &Path) -> bool {
        let icon = self.icon.as_deref().and_then(stamp);
        self.stamps == [stamp(file), stamp(&file.with_extension("toml")), icon]
    }
}

/// Reads a folder, again and again, and each file of it only when it has changed.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    address: String,
    protection: Protection,
    seen: BTreeMap<PathBuf, Seen>,
}

impl Reader {
    /// `address` is where cards send their notifications, `protection` that of packages whose file says nothing else.
    #[must_use]
    pub fn new(folder: &Path, address: &str, protection: Protection) -> Self {
        Self {
            folder: folder.to_owned(),
            address: address.to_owned(),
            protection,
            seen: BTreeMap::new(),
        }
    }

    /// Reads what has changed. The second value says whether anything has.
    ///
    /// # Errors
    /// The folder is unreadable.
    pub fn read(&mut self) -> Result<(Inventory, bool), Failure> {
        let name = self.folder.display();
        let wrong = |e| {
            Failure::new(format!(
                "cannot read the inventory {name}: {e}; give a folder with SAIP packages (.der)"
            ))
        };
        let mut seen = BTreeMap::new();
        let mut changed = false;
        for entry in std::fs::read_dir(&self.folder).map_err(wrong)? {
            let file = entry.map_err(wrong)?.path();
            if file.extension().and_then(|e| e.to_str()) != Some("der") {
                continue;
            }
            let known = self
                .seen
                .remove(&file)
                .filter(|known| known.is_current(&file));
            let now = known.unwrap_or_else(|| {
                changed = true;
                self.look(&file)
            });
            seen.insert(file, now);
        }
        // What is left was there before, and is not now.
        changed |= !self.seen.is_empty();
        self.seen = seen;
        let mut inventory = Inventory::default();
        for found in self.seen.values() {
            match &found.profile {
                Ok(profile) => {
                    let packages = inventory.profiles.entry(profile.iccid.clone());
                    packages.or_default().push(Arc::clone(profile));
                }
                Err(why) => inventory.broken.push(why.clone()),
            }
        }
        Ok((inventory, changed))
    }

    fn look(&self, file: &Path) -> Seen {
        let side = file.with_extension("toml");
        // Before they are read: what is written meanwhile is read again.
        let stamps = [stamp(file), stamp(&side)];
        let mut icon = None;
        let profile = self.profile(file, &side, &mut icon);
        Seen {
            stamps: [stamps[0], stamps[1], icon.as_deref().and_then(stamp)],
            icon,
            profile: profile.map(Arc::new).map_err(|e| e.text),
        }
    }

    /// Reads one package and the file beside it; notes which file is its icon.
    fn profile(
        &self,
        file: &Path,
        side_file: &Path,
        icon: &mut Option<PathBuf>,
    ) -> Result<Profile, Failure> {
        let package = config::read(file, MAX_PACKAGE, "profile package")?;
        let not_saip = |e| {
            Failure::new(format!(
                "{}: {e}; give an unprotected SAIP package in DER, or remove the file",
                file.display()
            ))
        };
        saip::elements(&package).map_err(not_saip)?;
        let header = ProfileHeader::of_package(&package).map_err(not_saip)?;
        let side: Side = if side_file.exists() {
            config::load(side_file)?
        } else {
            Side::default()
        };
        *icon = side
            .icon
            .as_ref()
            .map(|icon| config::beside(side_file, icon));
        let wrong = |what: String| Failure::new(format!("{}: {what}", side_file.display()));
        let name = side.name.clone().or_else(|| header.profile_type.clone());
        let name = name.unwrap_or_else(|| "aid".into());
        let picture = side.icon(side_file).map_err(wrong)?;
        let metadata = side.metadata(header.iccid_swapped(), &name, &self.address, picture);
        let profile_type = side.profile_type.or_else(|| header.profile_type.clone());
        Ok(Profile {
            iccid: header.iccid_digits(),
            file: file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            profile_type: profile_type.unwrap_or_else(|| DEFAULT_TYPE.into()),
            saip_major: header.major,
            services: header.services,
            requires: side.requires,
            metadata: metadata.map_err(wrong)?,
            package,
            protection: side.protection.unwrap_or(self.protection),
        })
    }
}

/// Reads a folder once.
///
/// # Errors
/// The folder is unreadable.
pub fn load(folder: &Path, address: &str, protection: Protection) -> Result<Inventory, Failure> {
    Reader::new(folder, address, protection)
        .read()
        .map(|(inventory, _)| inventory)
}

#[cfg(test)]
mod tests;

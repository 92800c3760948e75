//! Revocation lists (CRL) of the certificate issuers: read from files, served to LPAs, and applied to EUM certificates.
//! SGP.22 §4.6.
//!
//! A list is data that its CI signed, so that it is served to anybody, and no list is served that the CI did not sign.

use crate::core::Dp;
use crate::service::Service;
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_cli::signal::Stop;
use aid_rsp::cert::{MAX_CRL_LEN, RevocationList};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// What is around the fields of a list, bytes at most.
const HEAD: u64 = 4;

/// The lists that are served, by the names of their files.
#[derive(Debug, Clone, Default)]
pub struct Lists(BTreeMap<String, Arc<[u8]>>);

impl Lists {
    /// The list in the file of this name, DER.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.0.get(name).cloned()
    }
}

/// A file that changes only when its length or time does.
type Stamp = (u64, Option<SystemTime>);

/// The files with revocation lists.
#[derive(Debug, Clone, Default)]
pub struct Files {
    files: Vec<PathBuf>,
    read: BTreeMap<PathBuf, (Stamp, Arc<[u8]>, RevocationList)>,
}

/// The last part of a path, which is the last part of the list's URL too.
fn name_of(file: &Path) -> Option<&str> {
    file.file_name().and_then(|name| name.to_str())
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

impl Files {
    /// Reads all files.
    ///
    /// # Errors
    /// Two have one name, or one can't be read or is not a list of a CI that `dp` trusts.
    pub fn open(files: &[PathBuf], dp: &Dp) -> Result<Self, Failure> {
        let mut names: Vec<_> = files.iter().filter_map(|file| name_of(file)).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != files.len() {
            return Err(Failure::new(
                "crl: each file needs a name of its own, because the lists are served under their names",
            ));
        }
        let mut all = Self {
            files: files.to_vec(),
            read: BTreeMap::new(),
        };
        for file in files {
            let read = Self::read(file, dp)?;
            all.read.insert(file.clone(), read);
        }
        Ok(all)
    }

    fn read(file: &Path, dp: &Dp) -> Result<(Stamp, Arc<[u8]>, RevocationList), Failure> {
        // First, so that what changes meanwhile is read again.
        let stamp = stamp(file).unwrap_or_default();
        let der = config::read(file, MAX_CRL_LEN as u64 + HEAD, "revocation list")?;
        let list = RevocationList::from_der(&der).map_err(|e| {
            let file = file.display();
            Failure::new(format!(
                "{file} is not a revocation list of SGP.22 §4.6: {e}; give it in DER"
            ))
        })?;
        if !dp.is_of_trusted_issuer(&list) {
            let file = file.display();
            return Err(Failure::new(format!(
                "{file} is not signed by an issuer in `ci`; give a list of one of these issuers"
            )));
        }
        Ok((stamp, der.into(), list))
    }

    /// Reads what has changed; true when something has. A file that can't be used keeps the list that it had.
    pub fn refresh(&mut self, dp: &Dp) -> bool {
        let mut changed = false;
        for file in &self.files {
            let now = stamp(file);
            let known = self.read.get(file);
            if now.is_none() || now == known.map(|(stamp, ..)| *stamp) {
                continue;
            }
            match Self::read(file, dp) {
                Ok(read) => {
                    tracing::info!(file = %file.display(), number = read.2.number, revoked = read.2.entries.len(),
                        "revocation list read");
                    self.read.insert(file.clone(), read);
                    changed = true;
                }
                Err(failure) => {
                    tracing::error!(error = failure.text, "the revocation list stays as it was");
                    // Not again until it changes once more.
                    if let (Some((stamp, ..)), Some(now)) = (self.read.get_mut(file), now) {
                        *stamp = now;
                    }
                }
            }
        }
        changed
    }

    /// What is served.
    #[must_use]
    pub fn served(&self) -> Lists {
        let named = self.read.iter();
        let named = named
            .filter_map(|(file, (_, der, _))| Some((name_of(file)?.to_owned(), Arc::clone(der))));
        Lists(named.collect())
    }

    /// The lists themselves.
    pub fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        self.read.values().map(|(_, _, list)| list)
    }
}

/// Follows the files until the program ends.
pub async fn watch(service: Arc<Service>, mut files: Files, stop: Stop) {
    if files.files.is_empty() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.clone().wait() => return,
        }
        let looking = Arc::clone(&service);
        let looked = tokio::task::spawn_blocking(move || {
            let changed = files.refresh(looking.dp());
            (files, changed)
        });
        let Ok((same, changed)) = looked.await else {
            return;
        };
        files = same;
        if changed {
            service.revoke(&files);
        }
    }
}

//! Certificate and key of the car on disk, and the steps of their renewal. The files are the journal of it: each step is one
//! write, rename or removal, and whatever is found after a power cut says which step is next ([`Credentials::settle`]).
//!
//! | file | meaning |
//! |---|---|
//! | `KEY.new` | the next key (in a token: one more key under the label) |
//! | `CERT.request` | the name of the request, and the request, which may have been sent |
//! | `CERT.new` | the certificate that came |
//! | `KEY.old`, `CERT.old` | what was in use before |

use crate::keys::{Disk, KeyError, KeyStore, Slot, not_written};
use aid_agent_core::Id;
use aid_cli::certificate::{common_name, public_key, request_key};
use aid_cli::tls;
use aid_cli::validity::{Dates, Verdict};
use rustls::RootCertStore;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Most certificates of a chain.
const MAX_CHAIN: usize = 4;
/// Longest file of a request, bytes: its name, and the request.
const MAX_REQUEST: u64 = 16 + 2048;

/// How far a renewal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    /// None has begun.
    None,
    /// This request may have been sent.
    Requested {
        /// Its name.
        id: Id,
        /// PKCS#10, DER.
        request: Vec<u8>,
    },
    /// The certificate is here, and was not used yet.
    Issued,
}

/// A certificate and its keys.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) cert: PathBuf,
    pub(crate) keys: KeyStore,
}

fn first(file: &Path) -> Option<CertificateDer<'static>> {
    tls::certificates(file).ok()?.into_iter().next()
}

fn pem(chain: &[Vec<u8>]) -> String {
    use base64::Engine as _;
    let mut out = String::new();
    for certificate in chain {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        // 48 bytes are 64 characters, the line of RFC 7468.
        for line in certificate.chunks(48) {
            let line = base64::engine::general_purpose::STANDARD.encode(line);
            // A String takes everything.
            let _ = writeln!(out, "{line}");
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

impl Credentials {
    pub(crate) fn new(cert: &Path, keys: KeyStore) -> Self {
        let cert = cert.to_owned();
        Self { cert, keys }
    }

    fn request_file(&self) -> PathBuf {
        let mut name = self.cert.as_os_str().to_owned();
        name.push(".request");
        name.into()
    }

    fn cert_file(&self, slot: Slot) -> PathBuf {
        slot.beside(&self.cert)
    }

    /// Whether there is a next key, as far as files say.
    fn has_next_key(&self) -> bool {
        self.keys.file(Slot::Next).is_none_or(|file| file.exists())
    }

    /// The certificate file that belongs to a key: after a power cut between the two renames of [`Self::promote`], that of
    /// the key in use is still beside it.
    pub(crate) fn certificate(&self, slot: Slot) -> PathBuf {
        let (own, next) = (self.cert_file(slot), self.cert_file(Slot::Next));
        if slot == Slot::Current && !self.has_next_key() && next.exists() {
            let fits = first(&next).is_some_and(|c| self.keys.signer(slot, &c).is_ok());
            if fits {
                return next;
            }
        }
        own
    }

    /// Certificate and key for TLS.
    ///
    /// # Errors
    /// They can't be used, or don't belong together.
    pub(crate) fn resolver(&self, slot: Slot) -> Result<Arc<dyn ResolvesClientCert>, KeyError> {
        let file = self.certificate(slot);
        let chain = tls::certificates(&file).map_err(|f| KeyError(f.text))?;
        tls::check_version(&file, &chain).map_err(|f| KeyError(f.text))?;
        let own = chain
            .first()
            .ok_or_else(|| KeyError(format!("{} has no certificate", file.display())))?;
        let signer = self.keys.signer(slot, own);
        let signer =
            signer.map_err(|e| KeyError(format!("certificate {}: {e}", file.display())))?;
        Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
            chain, signer,
        ))))
    }

    /// When the certificate is valid.
    pub(crate) fn dates(&self, slot: Slot) -> Option<Dates> {
        Dates::of(&first(&self.certificate(slot))?)
    }

    fn read_request(&self) -> Option<(Id, Vec<u8>)> {
        let bytes = aid_cli::config::read(&self.request_file(), MAX_REQUEST, "request").ok()?;
        let (id, request) = bytes.split_first_chunk()?;
        Some((*id, request.to_vec()))
    }

    /// Destroys the keys, then removes the certificates: of now, of the next and of the last renewal, and its request. For
    /// a factory reset.
    ///
    /// # Errors
    /// One of them is still there, in one sentence.
    pub(crate) fn destroy(&self) -> Result<(), String> {
        self.keys.destroy().map_err(|error| error.0)?;
        crate::erase::file(&self.request_file())?;
        // The one in use last: without it the car counts as reset.
        let slots = [Slot::Next, Slot::Previous, Slot::Current];
        slots
            .into_iter()
            .try_for_each(|slot| crate::erase::file(&self.cert_file(slot)))
    }

    /// Finds out how far a renewal is, and ends what a power cut left half done.
    ///
    /// # Errors
    /// A file can't be changed.
    pub(crate) fn settle(&self, disk: &mut dyn Disk) -> Result<Pending, KeyError> {
        let next = self.cert_file(Slot::Next);
        let request = self.read_request();
        let asked = request.as_ref().and_then(|(_, r)| request_key(r));
        if let Some(issued) = first(&next) {
            if !self.has_next_key() {
                // Cut between the two renames.
                if self.keys.signer(Slot::Current, &issued).is_ok() {
                    self.rename(disk, &next, &self.cert)?;
                    self.remove(disk, &self.request_file())?;
                    return Ok(Pending::None);
                }
            } else if asked.is_some() && public_key(&issued) == asked {
                return Ok(Pending::Issued);
            }
            self.discard(disk)?;
            return Ok(Pending::None);
        }
        let current = first(&self.cert);
        match &request {
            Some(_) if asked.is_some() && current.as_deref().and_then(public_key) == asked => {
                // It is in use: only this was left to do.
                self.remove(disk, &self.request_file())?;
                Ok(Pending::None)
            }
            Some((id, request)) if asked.is_some() && self.has_next_key() => {
                Ok(Pending::Requested {
                    id: *id,
                    request: request.clone(),
                })
            }
            _ => {
                self.discard(disk)?;
                Ok(Pending::None)
            }
        }
    }

    fn rename(&self, disk: &mut dyn Disk, from: &Path, to: &Path) -> Result<(), KeyError> {
        disk.rename(from, to).map_err(|e| not_written(to, &e))
    }

    fn remove(&self, disk: &mut dyn Disk, file: &Path) -> Result<(), KeyError> {
        match file.exists() {
            true => disk.remove(file).map_err(|e| not_written(file, &e)),
            false => Ok(()),
        }
    }

    /// Gives a renewal up: the next key and what was asked for it go.
    ///
    /// # Errors
    /// A file can't be changed.
    pub(crate) fn discard(&self, disk: &mut dyn Disk) -> Result<(), KeyError> {
        self.remove(disk, &self.cert_file(Slot::Next))?;
        self.remove(disk, &self.request_file())?;
        match self.keys.file(Slot::Next) {
            Some(file) => self.remove(disk, &file),
            // Keys in a token that belong to no certificate go when the next one is generated.
            None => Ok(()),
        }
    }

    /// Begins a renewal: makes the next key, and writes the request down under this name before anybody sends it.
    ///
    /// # Errors
    /// The key can't be made, or a file not be written.
    pub(crate) fn begin(
        &self,
        disk: &mut dyn Disk,
        (eid, id): (&str, Id),
        others: &[PathBuf],
    ) -> Result<Pending, KeyError> {
        let own = [Slot::Current, Slot::Previous].map(|slot| self.cert_file(slot));
        let kept = own.iter().chain(others);
        let keep: Vec<Vec<u8>> = kept
            .filter_map(|file| public_key(&first(file)?).map(<[u8]>::to_vec))
            .collect();
        let request = self.keys.request(disk, eid, &keep)?;
        let file = self.request_file();
        let written = disk.write(&file, &[id.as_slice(), &request].concat());
        written.map_err(|e| not_written(&file, &e))?;
        Ok(Pending::Requested { id, request })
    }

    /// Takes the certificate of the request, if it is what was asked for: this car's, for the next key, issued by the
    /// chain's own issuer, and valid at `now`, unix seconds. A clock that stands before the certificate's time judges no
    /// dates.
    ///
    /// # Errors
    /// What is wrong with it; nothing was changed then.
    pub(crate) fn accept(
        &self,
        disk: &mut dyn Disk,
        (eid, request): (&str, &[u8]),
        chain: &[Vec<u8>],
        now: i64,
    ) -> Result<(), KeyError> {
        check(eid, request, chain, now).map_err(|what| {
            KeyError(format!("the certificate from the CMP is not used: {what}"))
        })?;
        let file = self.cert_file(Slot::Next);
        let written = disk.write(&file, pem(chain).as_bytes());
        written.map_err(|e| not_written(&file, &e))
    }

    /// Puts the new certificate and key in the place of those in use, which stay beside them.
    ///
    /// # Errors
    /// A file can't be changed; [`Self::settle`] goes on from there.
    pub(crate) fn promote(&self, disk: &mut dyn Disk) -> Result<(), KeyError> {
        let copy = |disk: &mut dyn Disk, from: &Path, to: &Path| {
            let bytes = std::fs::read(from).map_err(|e| not_written(from, &e))?;
            disk.write(to, &bytes).map_err(|e| not_written(to, &e))
        };
        let file = |slot| self.keys.file(slot);
        if let (Some(current), Some(previous)) = (file(Slot::Current), file(Slot::Previous)) {
            copy(disk, &current, &previous)?;
        }
        copy(disk, &self.cert, &self.cert_file(Slot::Previous))?;
        if let (Some(current), Some(next)) = (file(Slot::Current), file(Slot::Next)) {
            self.rename(disk, &next, &current)?;
        }
        self.rename(disk, &self.cert_file(Slot::Next), &self.cert)?;
        self.remove(disk, &self.request_file())
    }
}

fn check(eid: &str, request: &[u8], chain: &[Vec<u8>], now: i64) -> Result<(), String> {
    let [own, issuers @ ..] = chain else {
        return Err("there is none".into());
    };
    if chain.len() > MAX_CHAIN {
        return Err(format!("its chain has more than {MAX_CHAIN} certificates"));
    }
    let name = common_name(own).unwrap_or_default();
    if name != eid {
        return Err(format!("it names {name:?}, not {eid}"));
    }
    if public_key(own).is_none() || public_key(own) != request_key(request) {
        return Err("it is for another key than that of the request".into());
    }
    let dates = Dates::of(own).ok_or("its dates can't be read")?;
    if dates.judge(now) == Verdict::Expired {
        return Err("it has expired already".into());
    }
    let Some((root, between)) = issuers.split_last() else {
        // The CMP, which TLS has verified, vouches for it.
        return Ok(());
    };
    let mut roots = RootCertStore::empty();
    let anchor = CertificateDer::from(root.as_slice());
    roots.add(anchor).map_err(|e| format!("its issuer: {e}"))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider());
    let verifier = verifier.build().map_err(|e| format!("its issuer: {e}"))?;
    let between: Vec<_> = between
        .iter()
        .map(|c| CertificateDer::from(c.as_slice()))
        .collect();
    let at = u64::try_from(now.max(dates.not_before)).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let own = CertificateDer::from(own.as_slice());
    let verified = verifier.verify_client_cert(&own, &between, at);
    verified.map(drop).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;

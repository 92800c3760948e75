//! The car's keys: in files or in a token behind PKCS#11 ([`KeyName`] says where), and what is done with them: signing in
//! TLS, generating the next one, requesting a certificate for it (PKCS#10), destroying all of them.
//!
//! A renewal has up to three keys: the one in use, the next one, and the one before. Files have a suffix for each
//! ([`Slot`]). In a token they share the label, and a certificate says by its public key which of them is meant.

mod disk;
#[cfg(feature = "pkcs11")]
mod token;
mod uri;

pub(crate) use disk::{Disk, RealDisk};
pub use uri::{TokenUri, UriError};

use crate::erase;
use aid_cli::certificate::public_key;
use aid_cli::tls;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Where a key is: the path of a file, or a `pkcs11:` URI (RFC 7512).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyName {
    /// A file, PEM or DER.
    File(PathBuf),
    /// A key of a token.
    Token(TokenUri),
}

impl FromStr for KeyName {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        match text.strip_prefix("pkcs11:") {
            Some(rest) => Ok(Self::Token(TokenUri::parse(rest)?)),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl TryFrom<String> for KeyName {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Token(uri) => uri.fmt(f),
        }
    }
}

impl KeyName {
    /// Makes relative paths relative to the folder of this file.
    pub(crate) fn resolve(&mut self, beside: &Path) {
        let path = match self {
            Self::File(file) => file,
            Self::Token(uri) => match &mut uri.pin_source {
                Some(file) => file,
                None => return,
            },
        };
        *path = aid_cli::config::beside(beside, path);
    }

    /// The file with the secret: the key, or the PIN of the token.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Token(uri) => uri.pin_source.as_deref(),
        }
    }
}

/// Which of the keys of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// In use.
    Current,
    /// Generated for the next certificate.
    Next,
    /// In use before.
    Previous,
}

impl Slot {
    /// The end of its files' names.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Current => "",
            Self::Next => ".new",
            Self::Previous => ".old",
        }
    }

    /// Its file beside this one.
    #[must_use]
    pub fn beside(self, file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(self.suffix());
        name.into()
    }
}

/// Why a key can't be used, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub(crate) String);

impl KeyError {
    fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

/// The keys of the car under one name.
#[derive(Debug, Clone)]
pub struct KeyStore {
    name: KeyName,
}

impl KeyStore {
    /// The keys under this name; nothing is opened yet.
    #[must_use]
    pub fn new(name: KeyName) -> Self {
        Self { name }
    }

    /// The file of a key; none in a token.
    pub(crate) fn file(&self, slot: Slot) -> Option<PathBuf> {
        match &self.name {
            KeyName::File(file) => Some(slot.beside(file)),
            KeyName::Token(_) => None,
        }
    }

    /// The key that belongs to this certificate, for TLS.
    ///
    /// # Errors
    /// The key can't be reached, or it belongs to another certificate.
    pub fn signer(
        &self,
        slot: Slot,
        certificate: &CertificateDer<'_>,
    ) -> Result<Arc<dyn SigningKey>, KeyError> {
        let own = public_key(certificate)
            .ok_or_else(|| KeyError::new("the certificate has no public key that can be read"))?;
        let signer = match &self.name {
            KeyName::File(file) => {
                let key = tls::private_key(&slot.beside(file)).map_err(|f| KeyError(f.text))?;
                any_supported_type(&key).map_err(KeyError::new)?
            }
            #[cfg(feature = "pkcs11")]
            KeyName::Token(uri) => token::signer(uri, own)?,
            #[cfg(not(feature = "pkcs11"))]
            KeyName::Token(_) => return Err(without_feature()),
        };
        match signer.public_key() {
            Some(key) if key.as_ref() != own => Err(KeyError(format!(
                "the key {} belongs to another certificate; give the pair",
                self.name
            ))),
            _ => Ok(signer),
        }
    }

    /// Generates the next key (ECDSA P-256), and yields the request for its certificate (PKCS#10, DER) in the name of this
    /// EID. `keep` are the public keys (SubjectPublicKeyInfo) of certificates whose keys stay; others under this name in a
    /// token are left over from renewals that were cut short, and are destroyed.
    ///
    /// # Errors
    /// The key can't be made or stored.
    pub(crate) fn request(
        &self,
        disk: &mut dyn Disk,
        eid: &str,
        keep: &[Vec<u8>],
    ) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, eid);
        match &self.name {
            KeyName::File(file) => {
                let key = KeyPair::generate().map_err(KeyError::new)?;
                let file = Slot::Next.beside(file);
                let write = disk.write(&file, key.serialize_pem().as_bytes());
                write.map_err(|e| not_written(&file, &e))?;
                let request = params.serialize_request(&key).map_err(KeyError::new)?;
                let _ = keep;
                Ok(request.der().to_vec())
            }
            #[cfg(feature = "pkcs11")]
            KeyName::Token(uri) => {
                let key = token::generate(uri, keep)?;
                let request = params.serialize_request(&key).map_err(KeyError::new)?;
                Ok(request.der().to_vec())
            }
            #[cfg(not(feature = "pkcs11"))]
            KeyName::Token(_) => Err(without_feature()),
        }
    }

    /// Destroys all keys of the car under this name: the one in use, the next, the one before. For a factory reset: there
    /// is no way back.
    ///
    /// # Errors
    /// One of them could not be destroyed; the others are.
    pub fn destroy(&self) -> Result<(), KeyError> {
        match &self.name {
            KeyName::File(file) => {
                let all = [Slot::Current, Slot::Next, Slot::Previous];
                let results = all.map(|slot| erase::file(&slot.beside(file)));
                results
                    .into_iter()
                    .collect::<Result<(), String>>()
                    .map_err(KeyError)
            }
            #[cfg(feature = "pkcs11")]
            KeyName::Token(uri) => token::destroy(uri),
            #[cfg(not(feature = "pkcs11"))]
            KeyName::Token(_) => Err(without_feature()),
        }
    }
}

#[cfg(not(feature = "pkcs11"))]
fn without_feature() -> KeyError {
    KeyError::new(
        "this build has no PKCS#11; build it with the feature pkcs11, or name the file of a key",
    )
}

pub(crate) fn not_written(file: &Path, error: &io::Error) -> KeyError {
    KeyError(format!(
        "{} can't be written: {error}; certificate and key have to be in a folder that the agent may write, \
         e.g. /var/lib/aid-agent",
        file.display()
    ))
}

#[cfg(test)]
mod tests;

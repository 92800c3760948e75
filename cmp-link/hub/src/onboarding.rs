//! How a party is described by its operator, in a file or to the API, and the record that becomes of it.

use std::path::{Path, PathBuf};

use aid_aid1::agreed::{self, Several};
use aid_aid1::headers::PartyId;
use aid_cli::cli::Failure;
use aid_cli::{config, tls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use crate::carriers::own_roots;
use crate::core::party::{PartyRecord, Role};
use crate::core::proof::Proof;

/// Length of an API key that the hub makes.
const KEY: usize = 40;

/// The description of a party: TOML in a file, JSON to the API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// Its `client-id`.
    pub(crate) id: PartyId,
    /// msp or cmp.
    pub(crate) role: Role,
    /// Name for people; the `client-id` if absent.
    name: Option<String>,
    /// Further `client-id`s that its certificate speaks for.
    #[serde(default)]
    client_ids: Vec<PartyId>,
    /// `https://` address of its logo.
    logo: Option<String>,
    /// Base of its AID1 operations.
    url: String,
    /// The same for sandbox pairs.
    sandbox_url: Option<String>,
    /// CA of its server certificate: a file beside the description.
    ca: Option<PathBuf>,
    /// The same as PEM.
    ca_pem: Option<String>,
    /// Common names of its client certificates.
    #[serde(default)]
    common_name: Several,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    certificate_sha256: Several,
    /// A client certificate: a file beside the description.
    certificate: Option<PathBuf>,
    /// The same as PEM.
    certificate_pem: Option<String>,
    /// API keys that it calls with; one is made if there are no credentials.
    #[serde(default)]
    api_key_in: Several,
    /// `user:password` that it calls with.
    #[serde(default)]
    basic_in: Several,
    /// API key that the hub calls it with; one is made if there are no credentials.
    api_key_out: Option<String>,
    /// `user:password` that the hub calls it with.
    basic_out: Option<String>,
    /// Page where browsers enter.
    touchpoint: Option<String>,
    /// Hosts of its touchpoint and of the pages that browsers come back to.
    #[serde(default)]
    redirect_domains: Vec<String>,
    /// Whom it may call and be called by: `"all"`, or client-ids.
    #[serde(default)]
    pub(crate) pairs: Pairs,
}

/// With whom a new party is paired.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged, expecting = "\"all\", or a list of client-ids")]
pub(crate) enum Pairs {
    /// These.
    These(Vec<PartyId>),
    /// Everybody of the other role that is there now.
    All(All),
    /// Nobody.
    #[default]
    #[serde(skip)]
    None,
}

/// The word `all`.
#[derive(Debug, Deserialize)]
pub(crate) enum All {
    #[serde(rename = "all")]
    All,
}

/// A record, and the keys that were made for it: they are shown once.
#[derive(Debug)]
pub(crate) struct Onboarded {
    pub(crate) record: PartyRecord,
    pub(crate) pairs: Pairs,
    /// API key that the party calls with.
    pub(crate) made_in: Option<String>,
    /// API key that the hub calls the party with.
    pub(crate) made_out: Option<String>,
}

/// A new API key: letters and digits (AID.02 §5.1).
///
/// # Errors
/// There is no randomness.
pub(crate) fn new_key() -> Result<String, Failure> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut key = String::with_capacity(KEY);
    while key.len() < KEY {
        let mut bytes = [0; KEY];
        getrandom::fill(&mut bytes)
            .map_err(|e| Failure::new(format!("the system gives no randomness: {e}")))?;
        // 248 is the largest multiple of 62 in a byte: with the rest some letters would come more often.
        let usable = bytes.iter().filter(|byte| **byte < 248);
        key.extend(
            usable
                .map(|byte| char::from(LETTERS[usize::from(byte % 62)]))
                .take(KEY - key.len()),
        );
    }
    Ok(key)
}

/// SHA-256 of a certificate, hexadecimal.
#[must_use]
pub(crate) fn sha256(certificate: &CertificateDer<'_>) -> String {
    let hash = aid_serve::peer::fingerprint(certificate);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of the first certificate of a file.
///
/// # Errors
/// It is not readable, or no certificate.
pub(crate) fn sha256_of(file: &Path) -> Result<String, Failure> {
    let chain = tls::certificates(file)?;
    chain
        .first()
        .map(sha256)
        .ok_or_else(|| Failure::new(format!("{} has no certificate", file.display())))
}

impl Description {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not readable, or a value is not usable.
    pub(crate) fn read(file: &Path) -> Result<Onboarded, Failure> {
        let remedy = "docs/hub.md describes it";
        let mut description: Self = config::load_as(file, "description of a party", remedy)?;
        if let Some(ca) = description.ca.take() {
            let ca = config::beside(file, &ca);
            tls::roots(&[&ca])?;
            let pem = config::read(&ca, config::MAX_CONFIG, "CA certificate")?;
            let pem = String::from_utf8(pem)
                .map_err(|_| Failure::new(format!("{} must be PEM", ca.display())))?;
            description.ca_pem = Some(pem);
        }
        if let Some(certificate) = description.certificate.take() {
            let hash = sha256_of(&config::beside(file, &certificate))?;
            description.add_hash(hash);
        }
        description.onboard()
    }

    fn add_hash(&mut self, hash: String) {
        let mut all = vec![hash];
        all.extend(self.certificate_sha256.iter().map(str::to_owned));
        self.certificate_sha256 = Several::from(all);
    }

    /// The record of it. Files are not read: a description that comes over the network names none of ours.
    ///
    /// # Errors
    /// A value is not usable.
    pub(crate) fn onboard(mut self) -> Result<Onboarded, Failure> {
        let id = self.id.clone();
        let wrong = |what: String| Failure::new(format!("party {id}: {what}"));
        if self.ca.is_some() || self.certificate.is_some() {
            let text = "give ca_pem and certificate_pem, the texts themselves, instead of files";
            return Err(wrong(text.into()));
        }
        if let Some(pem) = &self.ca_pem {
            own_roots(pem).map_err(|e| wrong(format!("ca_pem: {e}")))?;
        }
        if let Some(pem) = self.certificate_pem.take() {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|e| wrong(format!("certificate_pem: {e}")))?;
            self.add_hash(sha256(&certificate));
        }
        let (mut made_in, mut made_out) = (None, None);
        if self.api_key_in.is_empty() && self.basic_in.is_empty() {
            let key = new_key()?;
            self.api_key_in = Several::from(vec![key.clone()]);
            made_in = Some(key);
        }
        if self.api_key_out.is_none() && self.basic_out.is_none() {
            let key = new_key()?;
            self.api_key_out = Some(key.clone());
            made_out = Some(key);
        }
        let credentials =
            agreed::credentials_in(&self.api_key_in, &self.basic_in).map_err(wrong)?;
        let texts = |list: &Several| list.iter().map(str::to_owned).collect();
        let record = PartyRecord {
            name: self.name.unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            role: self.role,
            client_ids: self.client_ids,
            logo: self.logo,
            url: self.url.trim_end_matches('/').to_owned(),
            sandbox_url: self.sandbox_url,
            ca: self.ca_pem,
            common_name: texts(&self.common_name),
            certificate_sha256: texts(&self.certificate_sha256),
            proofs: credentials
                .iter()
                .map(|c| Proof::of(c).to_string())
                .collect(),
            api_key_out: self.api_key_out,
            basic_out: self.basic_out,
            api_key_next: None,
            touchpoint: self.touchpoint,
            redirect_domains: self.redirect_domains,
            suspended: None,
        };
        Ok(Onboarded {
            record,
            pairs: self.pairs,
            made_in,
            made_out,
        })
    }
}

//! A party: an MSP or a CMP that is connected to the hub, as it is stored and as it is used.

use aid_aid1::agreed::{self, Several};
use aid_aid1::headers::{Credentials, PartyId};
use aid_id::partner::{Certificate, MAX_VALUES};
use serde::{Deserialize, Serialize};

use super::proof::Proof;

/// Most further client-ids, redirect domains, or keys of a party.
const MAX_LIST: usize = 32;
/// Longest text of a party, characters.
const MAX_TEXT: usize = 500;

/// What a party is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Mobile Service Provider.
    Msp,
    /// Car Mobility Provider.
    Cmp,
}

impl Role {
    /// Its word.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Msp => "msp",
            Self::Cmp => "cmp",
        }
    }
}

/// A party as it is stored. What the hub has to send is there as it is, what it only has to recognise as a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartyRecord {
    /// Its `client-id`.
    pub(crate) id: PartyId,
    /// MSP or CMP.
    pub(crate) role: Role,
    /// Name for people.
    pub(crate) name: String,
    /// Further `client-id`s that its certificate speaks for, such as brands.
    #[serde(default)]
    pub(crate) client_ids: Vec<PartyId>,
    /// `https://` address of its logo.
    #[serde(default)]
    pub(crate) logo: Option<String>,
    /// Base of its AID1 operations.
    pub(crate) url: String,
    /// The same for sandbox pairs; `url` if absent.
    #[serde(default)]
    pub(crate) sandbox_url: Option<String>,
    /// CA of its server certificate, PEM; that of the configuration if absent.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// Common names of its client certificates.
    #[serde(default)]
    pub(crate) common_name: Vec<String>,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    pub(crate) certificate_sha256: Vec<String>,
    /// Hashes of what it proves itself with, the newest first.
    #[serde(default)]
    pub(crate) proofs: Vec<String>,
    /// API key that the hub sends.
    #[serde(default)]
    pub(crate) api_key_out: Option<String>,
    /// `user:password` that the hub sends instead.
    #[serde(default)]
    pub(crate) basic_out: Option<String>,
    /// API key that the hub sends once its rotation is finished.
    #[serde(default)]
    pub(crate) api_key_next: Option<String>,
    /// Page where browsers enter (§7.1).
    #[serde(default)]
    pub(crate) touchpoint: Option<String>,
    /// Hosts of its touchpoint and of the pages that browsers come back to.
    #[serde(default)]
    pub(crate) redirect_domains: Vec<String>,
    /// Why it is suspended; none: it is not.
    #[serde(default)]
    pub(crate) suspended: Option<String>,
}

/// A party, ready to use.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    /// As it is stored.
    pub(crate) record: PartyRecord,
    /// Its client certificates.
    pub(crate) certificates: Vec<Certificate>,
    /// What it proves itself with.
    pub(crate) proofs: Vec<Proof>,
    /// What the hub proves itself with there.
    pub(crate) credentials_out: Credentials,
}

/// A host name in lower case, without port.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Host of an `https://` address, in lower case and without port.
fn host(url: &str) -> Option<String> {
    let uri = url.parse::<http::Uri>().ok()?;
    Some(uri.host()?.to_ascii_lowercase())
}

impl Party {
    /// Checks a record, and makes it ready.
    ///
    /// # Errors
    /// Which value is not usable, and how to write it.
    pub(crate) fn new(record: PartyRecord) -> Result<Self, String> {
        let id = record.id.clone();
        Self::read(record).map_err(|e| format!("party {id}: {e}"))
    }

    fn read(record: PartyRecord) -> Result<Self, String> {
        let bounded = |what: &str, text: &str| {
            let length = text.chars().count();
            match (1..=MAX_TEXT).contains(&length) && !text.chars().any(char::is_control) {
                true => Ok(()),
                false => Err(format!(
                    "{what} must have 1 to {MAX_TEXT} printable characters"
                )),
            }
        };
        bounded("name", &record.name)?;
        for (what, list) in [
            ("client_ids", record.client_ids.len()),
            ("redirect_domains", record.redirect_domains.len()),
        ] {
            if list > MAX_LIST {
                return Err(format!("{what} has more than {MAX_LIST} values"));
            }
        }
        for (what, list) in [
            ("common_name", record.common_name.len()),
            ("certificate_sha256", record.certificate_sha256.len()),
            ("keys", record.proofs.len()),
        ] {
            if list > MAX_VALUES {
                return Err(format!(
                    "{what} has more than {MAX_VALUES} values; end the old ones with `party rotate --only`"
                ));
            }
        }
        let base = |key: &str, url: &str| {
            bounded(key, url)?;
            agreed::page(key, url)?;
            match url.contains('?') {
                true => Err(format!("{key} {url:?} must have no query")),
                false => Ok(()),
            }
        };
        base("url", &record.url)?;
        if let Some(url) = &record.sandbox_url {
            base("sandbox_url", url)?;
        }
        if let Some(logo) = &record.logo {
            bounded("logo", logo)?;
            agreed::page("logo", logo)?;
        }
        if let Some(wrong) = record.redirect_domains.iter().find(|d| !is_domain(d)) {
            return Err(format!(
                "redirect_domains: {wrong:?} must be a host name in lower case, without port and path"
            ));
        }
        if let Some(touchpoint) = &record.touchpoint {
            bounded("touchpoint", touchpoint)?;
            agreed::page("touchpoint", touchpoint)?;
            let host = host(touchpoint);
            if !host.is_some_and(|host| record.redirect_domains.contains(&host)) {
                return Err(format!(
                    "the host of touchpoint {touchpoint:?} must be one of redirect_domains"
                ));
            }
        }
        let names = Several::from(record.common_name.clone());
        let hashes = Several::from(record.certificate_sha256.clone());
        let certificates = agreed::certificates(&names, &hashes)?;
        let proofs = record.proofs.iter().map(|text| Proof::from_hex(text));
        let proofs: Option<Vec<_>> = proofs.collect();
        let proofs = proofs.filter(|proofs| !proofs.is_empty()).ok_or(
            "it needs api_key_in or basic_in: without one nobody could call (AID.02 §5.1)",
        )?;
        let credentials_out =
            agreed::credentials_out(record.api_key_out.as_deref(), record.basic_out.as_deref())?;
        Ok(Self {
            record,
            certificates,
            proofs,
            credentials_out,
        })
    }

    /// Its `client-id`.
    #[must_use]
    pub(crate) fn id(&self) -> &PartyId {
        &self.record.id
    }

    /// All names that it may call itself.
    pub(crate) fn client_ids(&self) -> impl Iterator<Item = &PartyId> {
        std::iter::once(&self.record.id).chain(&self.record.client_ids)
    }

    /// Whether these credentials are its own. All are compared, so that time does not say which.
    #[must_use]
    pub(crate) fn is_proven(&self, given: &Credentials) -> bool {
        let given = Proof::of(given);
        self.proofs
            .iter()
            .filter(|proof| proof.matches(&given))
            .count()
            > 0
    }
}

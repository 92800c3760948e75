//! Revocation lists (CRL): fetched from where a server's certificate says that they are, and loaded into the card, which
//! judges the certificate by them. SGP.22 §4.6, §5.7.12.
//!
//! The card verifies a list's signature, so that it does not matter how a list comes. A list that can't be had does not
//! keep a profile from being downloaded: whoever can hide a list could otherwise end all downloads.

use crate::Apdu;
use crate::card::Card;
use crate::error::CardError;
use crate::es9::{Http, HttpError};
use crate::lpa::Lpa;
use crate::read;
use aid_rsp::cert::{Certificate, CrlError, MAX_CRL_LEN, RevocationList};
use aid_rsp::es10::{
    DataObject as _, GetEuiccInfo2Request, LoadCrlError, LoadCrlRequest, LoadCrlResponse,
    rsp_capability,
};
use aid_rsp::tlv::TlvError;

/// Distribution points of a session that are asked, at most.
const MAX_LISTS: usize = 4;
/// Longest list with its tag and length, bytes.
const MAX_DER: usize = MAX_CRL_LEN + 4;

/// Why a list was not loaded.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the server answered with HTTP status {0}")]
    Status(u16),
    #[error("{0}")]
    List(#[from] CrlError),
    #[error("{0}")]
    Encoding(#[from] TlvError),
    #[error("{0}")]
    Card(#[from] CardError),
}

/// What became of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// The card has stored it; the numbers of the parts of the list that the card still misses.
    Stored(Vec<u64>),
    /// The card has this list already, or a newer one.
    Known,
}

/// A list on its way to the card.
enum Fetched {
    Loaded(Loaded),
    /// It revokes nothing, so that the card is spared the commands.
    Empty,
    /// The card says that it takes no lists.
    Unsupported,
}

impl<A: Apdu> Card<A> {
    /// ES10b.LoadCRL of a CertificateList in DER.
    ///
    /// # Errors
    /// [`CardError`]; [`CardError::Refused`] with the result of SGP.22 §5.7.12.
    pub(crate) fn load_crl(&mut self, list: &[u8]) -> Result<Loaded, CardError> {
        const WHAT: &str = "LoadCRL";
        let unreadable = |source| CardError::Answer { what: WHAT, source };
        let request = LoadCrlRequest::from_der(list).map_err(unreadable)?;
        match self.call(WHAT, &request)? {
            LoadCrlResponse::Ok(missing) => Ok(Loaded::Stored(missing)),
            LoadCrlResponse::Error(LoadCrlError::FresherCrlAlreadyLoaded) => Ok(Loaded::Known),
            LoadCrlResponse::Error(code) => Err(CardError::Refused {
                what: WHAT,
                code: code.code(),
                name: code.name(),
            }),
        }
    }

    /// Whether the card says that it takes and applies revocation lists.
    fn takes_lists(&mut self) -> Result<bool, CardError> {
        const WHAT: &str = "GetEUICCInfo2";
        let answer = self.request(WHAT, &GetEuiccInfo2Request.to_vec())?;
        let (info, _) =
            read::euicc_info(&answer).map_err(|source| CardError::Answer { what: WHAT, source })?;
        let capability = info.rsp_capability.unwrap_or_default();
        Ok(capability & rsp_capability::CRL_SUPPORT != 0)
    }
}

impl<A: Apdu, H: Http> Lpa<A, H> {
    /// Loads a revocation list, DER, into the card.
    ///
    /// # Errors
    /// [`CardError`]; [`CardError::Refused`] with the result of SGP.22 §5.7.12.
    pub fn load_crl(&mut self, list: &[u8]) -> Result<Loaded, CardError> {
        self.card.load_crl(list)
    }

    /// Loads the lists that a server's certificate names, except those of `asked`, which were asked for in this session;
    /// those that are asked for now join them. What fails is logged.
    pub(crate) fn load_lists(&mut self, certificate: &[u8], asked: &mut Vec<String>) {
        // One that can't be read is for the card to judge.
        let Ok(certificate) = Certificate::from_der(certificate) else {
            return;
        };
        for url in certificate.crl_urls() {
            // ldap is a way, too, and not ours.
            let is_http = ["http://", "https://"].iter().any(|scheme| {
                url.get(..scheme.len())
                    .is_some_and(|s| s.eq_ignore_ascii_case(scheme))
            });
            if !is_http || asked.len() == MAX_LISTS || asked.iter().any(|u| u == url) {
                continue;
            }
            asked.push(url.to_owned());
            match self.fetch_list(url) {
                Ok(Fetched::Loaded(Loaded::Stored(missing))) if missing.is_empty() => {
                    tracing::info!(url, "revocation list loaded");
                }
                Ok(Fetched::Loaded(Loaded::Stored(missing))) => {
                    tracing::warn!(
                        url,
                        ?missing,
                        "revocation list loaded; parts of it are missing"
                    );
                }
                Ok(Fetched::Loaded(Loaded::Known)) => {
                    tracing::debug!(url, "the card has this revocation list");
                }
                Ok(Fetched::Empty) => tracing::debug!(url, "the revocation list is empty"),
                Ok(Fetched::Unsupported) => {
                    tracing::debug!(url, "the card takes no revocation lists");
                }
                Err(error) => {
                    tracing::warn!(url, %error, "the revocation list could not be loaded");
                }
            }
        }
    }

    fn fetch_list(&mut self, url: &str) -> Result<Fetched, ListError> {
        let answer = self.http.get(url, MAX_DER)?;
        if answer.status != 200 {
            return Err(ListError::Status(answer.status));
        }
        let list = RevocationList::from_der(&answer.body)?;
        if list.entries.is_empty() && list.part.is_none() {
            return Ok(Fetched::Empty);
        }
        if !self.card.takes_lists()? {
            return Ok(Fetched::Unsupported);
        }
        Ok(Fetched::Loaded(self.card.load_crl(&answer.body)?))
    }
}

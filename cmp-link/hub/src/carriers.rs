//! How the hub calls the parties: one client for each address, with the hub's own certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aid_aid1::body::Iccids;
use aid_aid1::client::{CallError, Carried, Carrier, Settings};
use aid_aid1::deviation::Deviations;
use aid_aid1::headers::PartyId;
use aid_cli::cli::Failure;
use aid_cli::tls;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::Client;
use crate::core::answer::{Answer, Outcome};
use crate::core::party::Party;

/// Limit of a call whose caller sets none.
const LIMIT: Duration = Duration::from_secs(30);

/// What the hub shows the parties, and whom it trusts where a party brings no CA of its own.
#[derive(Debug)]
pub(crate) struct OwnTls {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
}

impl OwnTls {
    /// Reads the files.
    ///
    /// # Errors
    /// One is not usable, or key and certificate do not fit.
    pub(crate) fn read(client: &Client) -> Result<Self, Failure> {
        // That says what is wrong with the files, by their names.
        tls::client_config(&client.ca, Some((&client.cert, &client.key)))?;
        Ok(Self {
            chain: tls::certificates(&client.cert)?,
            key: tls::private_key(&client.key)?,
            roots: tls::roots(&[&client.ca])?,
        })
    }

    /// A client that trusts a party's own CA, or that of the configuration.
    fn config(&self, party: &Party) -> Result<ClientConfig, Failure> {
        let roots = match &party.record.ca {
            None => self.roots.clone(),
            Some(pem) => own_roots(pem)
                .map_err(|e| Failure::new(format!("party {}: ca: {e}", party.id())))?,
        };
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(builder.with_client_auth_cert(self.chain.clone(), self.key.clone_key())?)
    }
}

/// Trust anchors of a party.
///
/// # Errors
/// It has none, or one that cannot be an anchor.
pub(crate) fn own_roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| format!("it is damaged PEM: {e}"))?;
        roots
            .add(certificate)
            .map_err(|e| format!("it is no CA certificate: {e}"))?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate; give one in PEM".into()),
        false => Ok(roots),
    }
}

/// What a client was made of: it is used on while nothing of it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    url: String,
    ca: Option<String>,
    api_key_out: Option<String>,
    basic_out: Option<String>,
}

/// A client for each address of each party.
#[derive(Debug)]
pub(crate) struct Carriers {
    own: Arc<OwnTls>,
    /// By party, and whether it is its sandbox.
    all: BTreeMap<(PartyId, bool), (Origin, Carrier)>,
}

impl Carriers {
    /// Clients of these parties. Those of `before` whose origin is the same go on, with their connections.
    ///
    /// # Errors
    /// A CA or an address is not usable.
    pub(crate) fn new(
        parties: &[Party],
        own: &Arc<OwnTls>,
        before: Option<&Self>,
    ) -> Result<Self, Failure> {
        let before = before.filter(|before| before.are_of(own));
        let mut all = BTreeMap::new();
        for party in parties {
            let record = &party.record;
            for sandbox in [false, true] {
                let url = match sandbox {
                    true => record.sandbox_url.as_ref().unwrap_or(&record.url),
                    false => &record.url,
                };
                let origin = Origin {
                    url: url.clone(),
                    ca: record.ca.clone(),
                    api_key_out: record.api_key_out.clone(),
                    basic_out: record.basic_out.clone(),
                };
                let key = (record.id.clone(), sandbox);
                let same = before.and_then(|b| b.all.get(&key));
                let carrier = match same.filter(|(had, _)| *had == origin) {
                    Some((_, carrier)) => carrier.clone(),
                    None => carrier(party, url, own)?,
                };
                all.insert(key, (origin, carrier));
            }
        }
        let own = Arc::clone(own);
        Ok(Self { own, all })
    }

    /// Whether they show this certificate.
    #[must_use]
    pub(crate) fn are_of(&self, own: &Arc<OwnTls>) -> bool {
        Arc::ptr_eq(&self.own, own)
    }

    /// Carries a call to a party once.
    pub(crate) async fn carry(&self, to: &PartyId, sandbox: bool, carried: Carried) -> Outcome {
        let Some((_, carrier)) = self.all.get(&(to.clone(), sandbox)) else {
            return Outcome::Unreachable(format!("{to} is not a party any more"));
        };
        match carrier.carry(carried).await {
            Ok(received) => {
                let answer = Answer {
                    status: received.status(),
                    kind: received.kind().to_owned(),
                    retry_after: received.retry_after().map(|wait| wait.as_secs()),
                    body: received.into_body(),
                };
                match answer.is_of_aid1() {
                    true => Outcome::Answered(answer),
                    false => Outcome::Strange(format!(
                        "{to} answered with {} and {} bytes of {:?}",
                        answer.status,
                        answer.body.len(),
                        answer.kind
                    )),
                }
            }
            Err(error @ (CallError::Connect { .. } | CallError::Settings(_))) => {
                Outcome::Unreachable(error.to_string())
            }
            Err(error @ (CallError::Timeout { .. } | CallError::Broken { .. })) => {
                Outcome::Silent(error.to_string())
            }
            Err(error @ (CallError::Contract { .. } | CallError::Refused { .. })) => {
                Outcome::Strange(error.to_string())
            }
        }
    }
}

fn carrier(party: &Party, url: &str, own: &OwnTls) -> Result<Carrier, Failure> {
    let settings = Settings {
        base_url: url.to_owned(),
        tls: own.config(party)?,
        own_id: party.id().clone(),
        target_id: party.id().clone(),
        credentials: party.credentials_out.clone(),
        timeout: LIMIT,
        deviations: Deviations::default(),
        iccids: Iccids::Standard,
    };
    Carrier::new(settings).map_err(|e| Failure::new(format!("party {}: {e}", party.id())))
}

//! Tells operators of their downloads: ES2+.HandleDownloadProgressInfo over mutual TLS (SGP.22 §5.3.5, §6.5.2.5), out of
//! the outbox that the decisions fill. What can't be delivered is tried again, for a week.

use crate::store::{Due, Store};
use aid_cli::cli::Failure;
use aid_cli::signal::Stop;
use aid_cli::{config, tls};
use aid_rsp::es2::HandleDownloadProgressInfoRequest;
use aid_rsp::es9::{ADMIN_PROTOCOL, CONTENT_TYPE, Function, Text};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked for what is due.
const EVERY: Duration = Duration::from_secs(1);
/// Time limit of one call.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest pause between two tries, seconds.
const MAX_PAUSE: u64 = 3600;
/// For how long it is tried, seconds.
const PATIENCE: u64 = 7 * 86_400;

/// `[progress]`: how this server calls its operators.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// CA of the operators' servers, PEM or DER.
    pub ca: PathBuf,
    /// Client certificate, PEM or DER.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// functionRequesterIdentifier of the calls.
    pub requester: String,
    /// Base URL of each operator that is told, by its name: `https://HOST:PORT`.
    pub operators: BTreeMap<String, String>,
}

impl Config {
    /// Makes the paths relative to the configuration.
    pub(crate) fn resolve(&mut self, file: &Path) {
        for path in [&mut self.ca, &mut self.cert, &mut self.key] {
            *path = config::beside(file, path);
        }
    }
}

/// The operators that are told, and the connection to them.
#[derive(Debug, Clone)]
pub struct Operators {
    client: reqwest::Client,
    requester: Text<128>,
    urls: Arc<BTreeMap<String, String>>,
}

impl Operators {
    /// A client; it connects when something is due.
    ///
    /// # Errors
    /// A certificate or a URL is not usable.
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(format!("[progress] {why}"));
        let tls = tls::client_config(&config.ca, Some((&config.cert, &config.key)))?;
        let mut urls = BTreeMap::new();
        for (name, url) in &config.operators {
            let is_https = reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https");
            if !is_https {
                return Err(wrong(format!(
                    "operators: {name:?} has URL {url:?}; write https://host:port"
                )));
            }
            urls.insert(name.clone(), url.trim_end_matches('/').to_owned());
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .build()?;
        let requester = Text::new(&config.requester)
            .ok_or_else(|| wrong("requester has more than 128 characters".into()))?;
        Ok(Self {
            client,
            requester,
            urls: Arc::new(urls),
        })
    }

    /// Whether anybody of this name is told.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.urls.contains_key(name)
    }

    async fn send(&self, due: &Due) -> Result<(), String> {
        let Some(url) = self.urls.get(&due.operator) else {
            return Err("the configuration has no URL for it any more".into());
        };
        let mut request = due.request.clone();
        request.header.function_requester_identifier = self.requester.clone();
        // The same for each try, so that the operator recognises a repetition.
        let call = format!("{}-{}", due.created_at, due.id);
        request.header.function_call_identifier = Text::new(&call).unwrap_or_default();
        let url = format!("{url}{}", HandleDownloadProgressInfoRequest::PATH);
        let body = serde_json::to_vec(&request).map_err(|e| e.to_string())?;
        let sent = self
            .client
            .post(url)
            .header("x-admin-protocol", ADMIN_PROTOCOL)
            .header("content-type", CONTENT_TYPE)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(error) => Err(error.without_url().to_string()),
        }
    }

    /// Tells what is due at `now`, unix seconds; how much was delivered. Operators don't wait for each other.
    ///
    /// # Errors
    /// The database.
    pub async fn deliver(
        &self,
        store: &Store,
        now: u64,
    ) -> Result<usize, crate::store::StoreError> {
        let mut calls = tokio::task::JoinSet::new();
        for due in store.due(now).await? {
            let operators = self.clone();
            calls.spawn(async move {
                let sent = operators.send(&due).await;
                (due, sent)
            });
        }
        let mut delivered = 0;
        while let Some(Ok((due, sent))) = calls.join_next().await {
            match sent {
                Ok(()) => {
                    store.done(due.id).await?;
                    delivered += 1;
                }
                Err(why) if now.saturating_sub(due.created_at) > PATIENCE => {
                    tracing::warn!(
                        operator = due.operator,
                        why,
                        "a download's progress is given up"
                    );
                    store.done(due.id).await?;
                }
                Err(why) => {
                    let pause = 1_u64
                        .checked_shl(due.attempts)
                        .map_or(MAX_PAUSE, |p| p.min(MAX_PAUSE));
                    tracing::warn!(
                        operator = due.operator,
                        why,
                        pause,
                        "a download's progress is not delivered"
                    );
                    store.later(due.id, now.saturating_add(pause)).await?;
                }
            }
        }
        Ok(delivered)
    }
}

/// Delivers until the program ends.
pub async fn work(operators: Option<Operators>, store: Store, stop: Stop) {
    let Some(operators) = operators else {
        return;
    };
    loop {
        if let Err(error) = operators.deliver(&store, crate::web::now()).await {
            tracing::warn!(%error, "the outbox of operators can't be read");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.clone().wait() => return,
        }
    }
}

//! Sign-in with another identity provider, such as the car maker's (OpenID Connect Core 1.0, Discovery 1.0): code flow with
//! PKCE (RFC 7636), state and nonce. We are the relying party; what the provider says is checked and bounded.

mod token;

use aid_cli::config::beside;
use aid_cli::{cli::Failure, tls};
use aid_id::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use token::{Claims, Key, TokenError, verify};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Longest answer of a provider, bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Longest wait for one.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for one where a page only mentions the provider.
const GLANCE: Duration = Duration::from_secs(2);
/// How long what a provider says about itself is believed.
const FRESH: Duration = Duration::from_secs(3600);
/// Shortest time between two looks at its keys: unknown ones may come from anybody.
const AGAIN: Duration = Duration::from_secs(10);

/// `[portal.openid]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `https://...`, exactly as the provider calls itself.
    pub issuer: String,
    /// What the button says: "Sign in with …".
    pub name: String,
    /// What the provider calls us.
    pub client_id: String,
    /// Our secret there; absent: a public client, which PKCE alone proves.
    pub client_secret: Option<Secret>,
    /// CA of the provider's server certificate; `/etc/ssl/certs/ca-certificates.crt` has those of the public ones.
    pub ca: PathBuf,
    /// Whether the first sign-in of somebody makes an account.
    #[serde(default)]
    pub register: bool,
}

impl Config {
    /// Makes the path relative to the file that names it.
    pub fn resolve(&mut self, file: &Path) {
        self.ca = beside(file, &self.ca);
    }

    /// The provider, which is not asked yet.
    ///
    /// # Errors
    /// A value is not usable.
    pub fn provider(&self, base_url: &str) -> Result<Provider, Failure> {
        let issuer = &self.issuer;
        if !is_url(issuer) || issuer.contains(['?', '#']) {
            return Err(Failure::new(format!(
                "portal.openid.issuer {issuer:?} must be an https:// URL without query, as the provider calls itself"
            )));
        }
        if self.client_id.is_empty() || !crate::names::is_plain(&self.name) {
            return Err(Failure::new(
                "portal.openid needs client_id and name, the text of the button",
            ));
        }
        let tls = tls::client_config(&self.ca, None)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|e| Failure::new(format!("portal.openid: {e}")))?;
        Ok(Provider {
            config: self.clone(),
            redirect_uri: format!("{base_url}/openid/return"),
            client,
            known: Mutex::new(None),
        })
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    !rest.is_empty() && !rest.starts_with('/') && text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// Why a sign-in with the provider did not work; for the log, users see one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached, or answers something else.
    #[error("{0}")]
    Provider(String),
    /// What it vouches for is not acceptable.
    #[error("ID token: {0}")]
    Token(#[from] TokenError),
}

/// What a provider says about itself (Discovery 1.0 §3), as far as we need it.
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Known {
    metadata: Metadata,
    keys: Vec<Key>,
    at: Instant,
}

/// An identity provider.
#[derive(Debug)]
pub struct Provider {
    config: Config,
    redirect_uri: String,
    client: reqwest::Client,
    known: Mutex<Option<Arc<Known>>>,
}

/// The secrets of one sign-in: they follow from the cookie of its browser, so nothing has to be kept for it, and no other
/// browser can end it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Comes back in the address.
    pub state: String,
    nonce: String,
    verifier: String,
}

impl Attempt {
    /// Those under this cookie; `next` is what follows the sign-in, and is in the state.
    #[must_use]
    pub fn new(key: &[u8; 32], cookie: &str, next: &str) -> Self {
        let derive = |what: &str, more: &str| {
            let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
                Ok(mac) => mac,
                // A key of 32 bytes is one.
                Err(_) => return String::new(),
            };
            for part in [what, "\n", cookie, "\n", more] {
                mac.update(part.as_bytes());
            }
            hex::encode(mac.finalize().into_bytes())
        };
        Self {
            state: format!(
                "{}.{}",
                derive("openid state", next),
                URL_SAFE_NO_PAD.encode(next)
            ),
            nonce: derive("openid nonce", ""),
            verifier: derive("openid verifier", ""),
        }
    }

    /// The one whose state came back to the browser with this cookie, and what follows it; none if it is not of this browser.
    #[must_use]
    pub fn returned(key: &[u8; 32], cookie: &str, state: &str) -> Option<(Self, String)> {
        use subtle::ConstantTimeEq as _;
        let (_, next) = state.split_once('.')?;
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        let attempt = Self::new(key, cookie, &next);
        let fits = bool::from(attempt.state.as_bytes().ct_eq(state.as_bytes()));
        fits.then_some((attempt, next))
    }
}

impl Provider {
    /// What its button says.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether the first sign-in of somebody makes an account.
    #[must_use]
    pub const fn registers(&self) -> bool {
        self.config.register
    }

    /// The origin of the page where users sign in; none while the provider can't be reached.
    pub async fn origin(&self) -> Option<String> {
        // A page does not wait long for somebody else's server.
        let known = timeout(GLANCE, self.known(FRESH)).await.ok()?;
        let known = known.inspect_err(|error| tracing::warn!(%error, "OpenID Connect"));
        let endpoint = known.ok()?.metadata.authorization_endpoint.clone();
        Some(aid_serve::page::origin(&endpoint))
    }

    /// Where a browser is sent to sign in (Core §3.1.2.1).
    ///
    /// # Errors
    /// The provider does not say where.
    pub async fn authorize(&self, attempt: &Attempt) -> Result<String, Error> {
        let known = self.known(FRESH).await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier.as_bytes()));
        let endpoint = &known.metadata.authorization_endpoint;
        let mut url = format!(
            "{endpoint}{}",
            if endpoint.contains('?') { '&' } else { '?' }
        );
        let members = [
            ("response_type", "code"),
            ("scope", "openid profile"),
            ("client_id", &self.config.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let encode = aid_aid1::redirect::percent_encode;
        let members = members.map(|(name, value)| format!("{name}={}", encode(value)));
        url.push_str(&members.join("&"));
        Ok(url)
    }

    /// Whom the provider vouches for with this code (Core §3.1.3). `now` in seconds since 1970.
    ///
    /// # Errors
    /// The code is not taken, or what comes for it is not acceptable.
    pub async fn redeem(&self, attempt: &Attempt, code: &str, now: u64) -> Result<Claims, Error> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        let known = self.known(FRESH).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &attempt.verifier),
            ("client_id", &self.config.client_id),
        ];
        let request = self.client.post(&known.metadata.token_endpoint);
        let methods = known
            .metadata
            .token_endpoint_auth_methods_supported
            .as_ref();
        let in_form = methods.is_some_and(|m| !m.iter().any(|m| m == "client_secret_basic"));
        let request = match &self.config.client_secret {
            Some(secret) if in_form => {
                form.push(("client_secret", secret.expose()));
                request
            }
            Some(secret) => {
                // Both are form-encoded first (RFC 6749 §2.3.1).
                let encode = aid_aid1::redirect::percent_encode;
                let (id, secret) = (encode(&self.config.client_id), encode(secret.expose()));
                request.basic_auth(id, Some(secret))
            }
            None => request,
        };
        let tokens: Tokens = answer(request.form(&form), "the token endpoint").await?;
        let check = |known: &Known| {
            let expected = token::Expected {
                issuer: &self.config.issuer,
                client_id: &self.config.client_id,
                nonce: &attempt.nonce,
                now,
            };
            verify(&tokens.id_token, &known.keys, &expected)
        };
        match check(&known) {
            // It may have changed its keys.
            Err(TokenError::UnknownKey) => Ok(check(&*self.known(AGAIN).await?)?),
            checked => Ok(checked?),
        }
    }

    /// What is known of the provider, at most this old.
    async fn known(&self, age: Duration) -> Result<Arc<Known>, Error> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < age) {
            return Ok(Arc::clone(known));
        }
        let issuer = self.config.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let metadata: Metadata = answer(self.client.get(url), "the provider's description").await?;
        if metadata.issuer != self.config.issuer {
            return Err(Error::Provider(format!(
                "the provider calls itself {:?}, not {:?}: portal.openid.issuer must be the same",
                metadata.issuer, self.config.issuer
            )));
        }
        for url in [
            &metadata.authorization_endpoint,
            &metadata.token_endpoint,
            &metadata.jwks_uri,
        ] {
            if !is_url(url) {
                return Err(Error::Provider(format!("{url:?} is not an https:// URL")));
            }
        }
        let keys: KeySet =
            answer(self.client.get(&metadata.jwks_uri), "the provider's keys").await?;
        let new = Arc::new(Known {
            metadata,
            keys: keys.keys,
            at: Instant::now(),
        });
        *known = Some(Arc::clone(&new));
        Ok(new)
    }
}

/// The answer to a request as JSON.
async fn answer<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    what: &str,
) -> Result<T, Error> {
    let wrong = |e: &dyn std::fmt::Display| Error::Provider(format!("{what}: {e}"));
    let mut response = request.send().await.map_err(|e| wrong(&e.without_url()))?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|e| wrong(&e.without_url()))?
    {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(wrong(&"the answer is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(wrong(&format!("status {status}")));
    }
    serde_json::from_slice(&bytes).map_err(|e| wrong(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_belongs_to_one_browser_and_one_way_on() {
        let (key, a, b) = ([7; 32], "a".repeat(64), "b".repeat(64));
        let attempt = Attempt::new(&key, &a, "/settings");
        let returned = Attempt::returned(&key, &a, &attempt.state);
        assert_eq!(returned.map(|(_, next)| next).as_deref(), Some("/settings"));
        assert!(Attempt::returned(&key, &b, &attempt.state).is_none());
        assert!(Attempt::returned(&[8; 32], &a, &attempt.state).is_none());
        let (mac, _) = attempt.state.split_once('.').unwrap_or_default();
        let other = format!("{mac}.{}", URL_SAFE_NO_PAD.encode("https://evil.example"));
        for bad in ["", ".", "x.y", &other] {
            assert!(Attempt::returned(&key, &a, bad).is_none(), "{bad}");
        }
        assert!(
            (43..=128).contains(&attempt.verifier.len()),
            "RFC 7636 §4.1"
        );
        assert_ne!(attempt.nonce, attempt.verifier);
    }
}

//! The control API of `aid-msp` (docs/msp-control.md): what the MSP does next, right or wrong, without a
//! process for each word and without its outbox having to notice by itself.
//! Used by the scenarios about misbehaviour.

use crate::site::Site;
use crate::story::PATIENCE;
use aid_cli::cli::Failure;
use aid_cli::tls;
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::Value;

pub(super) struct Control {
    client: Client,
    base: String,
}

impl Control {
    /// The API at this address.
    pub(super) fn new(site: &Site, address: &str) -> Result<Self, Failure> {
        // Plain HTTP; the client wants to know all the same whom it would trust.
        let config = tls::client_config(&site.path("pki/aid/ca.pem"), None)?;
        let client = Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .timeout(PATIENCE)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            base: format!("http://{address}/v1"),
        })
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let what = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}/{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send()?;
        let (status, text) = (answer.status(), answer.text()?);
        if !status.is_success() {
            return Err(Failure::new(format!("{what}: {status} {text}")));
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Something that the MSP knows.
    pub(super) fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        match self.call(Method::GET, path, None)? {
            Value::Array(list) => Ok(list),
            other => Err(Failure::new(format!("{path} is no list: {other}"))),
        }
    }

    /// Has the MSP do something.
    pub(super) fn act(&self, path: &str, body: &Value) -> Result<(), Failure> {
        self.call(Method::POST, path, Some(body)).map(drop)
    }

    /// Asks for a misbehaviour.
    pub(super) fn misbehave(&self, wish: &Value) -> Result<(), Failure> {
        self.act("misbehaviours", wish)
    }

    /// From now on it behaves.
    pub(super) fn behave(&self) -> Result<(), Failure> {
        self.call(Method::DELETE, "misbehaviours", None).map(drop)
    }
}

//! A user's browser at the portals of the CMPs and the touchpoints of the MSPs (AID.02 §4.1).

use crate::set_up::{Network, PASSWORD};
use aid_cli::tls;
use reqwest::header::LOCATION;

/// Cookies, trust in the CA of the set-up, no redirects by itself.
pub(crate) struct Browser(reqwest::Client);

/// The value of a form field of a page.
fn field(page: &str, name: &str) -> String {
    let named = format!("name=\"{name}\"");
    let mut tags = page.split('<').filter(|tag| tag.contains(&named));
    let value = tags.find_map(|tag| tag.split_once("value=\"")?.1.split_once('"'));
    value
        .map(|(value, _)| value.to_owned())
        .unwrap_or_else(|| panic!("no field {name} in {page}"))
}

fn absolute(base: &str, location: &str) -> String {
    match location.starts_with('/') {
        true => format!("{base}{location}"),
        false => location.to_owned(),
    }
}

impl Browser {
    pub(crate) fn new(network: &Network) -> Self {
        let config = tls::client_config(&network.pki("ca.pem"), None).unwrap();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config.as_ref().clone())
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        Self(client.unwrap())
    }

    /// A page, wherever redirects of this site lead.
    pub(crate) async fn page(&self, base: &str, url: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..5 {
            let answer = self.0.get(&url).send().await.unwrap();
            let (status, next) = (answer.status(), location(&answer));
            match next {
                Some(next) if status.is_redirection() => url = absolute(base, &next),
                _ => {
                    let text = answer.text().await.unwrap();
                    assert!(status.is_success(), "{url}: {status} {text}");
                    return text;
                }
            }
        }
        panic!("too many redirects: {url}");
    }

    /// Sends a form; yields where the browser is sent.
    async fn submit(&self, base: &str, path: &str, form: &[(&str, &str)]) -> String {
        let url = format!("{base}{path}");
        let answer = self.0.post(&url).form(form).send().await.unwrap();
        let (status, next) = (answer.status(), location(&answer));
        let text = answer.text().await.unwrap();
        let next = next.unwrap_or_else(|| panic!("{url}: {status} {text}"));
        absolute(base, &next)
    }

    /// Signs in at a CMP and asks for a link with this MSP; yields where the CMP sends the browser.
    pub(crate) async fn ask_for_link(&self, portal: &str, user: &str, msp: &str) -> String {
        let page = self.page(portal, &format!("{portal}/login")).await;
        let csrf = field(&page, "csrf");
        let form = [
            ("csrf", csrf.as_str()),
            ("next", "/"),
            ("name", user),
            ("password", PASSWORD),
        ];
        self.submit(portal, "/login", &form).await;
        let page = self.page(portal, &format!("{portal}/link?msp={msp}")).await;
        let (csrf, sid) = (field(&page, "csrf"), field(&page, "sid"));
        let form = [("csrf", csrf.as_str()), ("msp", msp), ("sid", &sid)];
        self.submit(portal, "/link", &form).await
    }

    /// Signs in at an MSP where a CMP has sent the browser, and agrees; yields where the MSP sends it.
    pub(crate) async fn agree(
        &self,
        touchpoint: &str,
        arrival: &str,
        (user, password): (&str, &str),
    ) -> String {
        assert!(arrival.starts_with(touchpoint), "{arrival}");
        let page = self.page(touchpoint, arrival).await;
        let csrf = field(&page, "csrf");
        let form = [
            ("csrf", csrf.as_str()),
            ("user", user),
            ("password", password),
        ];
        let consent = self.submit(touchpoint, "/login", &form).await;
        let page = self.page(touchpoint, &consent).await;
        let csrf = field(&page, "csrf");
        let form = [("csrf", csrf.as_str()), ("decision", "allow")];
        self.submit(touchpoint, "/consent", &form).await
    }
}

fn location(answer: &reqwest::Response) -> Option<String> {
    let value = answer.headers().get(LOCATION)?;
    value.to_str().ok().map(str::to_owned)
}

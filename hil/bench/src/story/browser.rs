//! The driver's browser: portal of the CMP, touchpoint of the MSP and back (docs/wire/touchpoint.md).

use super::PATIENCE;
use crate::site::{Driver, Site};
use aid_cli::cli::Failure;
use aid_cli::tls;
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::LOCATION;

/// Links a driver's account at the CMP with the subscription at the MSP.
pub(crate) fn onboard(site: &Site, driver: &Driver) -> Result<(), Failure> {
    let (browser, back) = agree(site, driver)?;
    let portal = portal(site);
    if !back.starts_with(&portal) || back.contains("error=") {
        return Err(Failure::new(format!(
            "the MSP sent the driver to {back} instead of back to the CMP with success"
        )));
    }
    browser.follow(&portal, &back).map(drop)
}

/// The same, begun at the MSP (§4.2): there the driver signs in and chooses the CMP, is sent to it and back with an account
/// id, and agrees. Says each step to `step`.
pub(crate) fn onboard_at_msp(
    site: &Site,
    driver: &Driver,
    step: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let browser = Browser::new(site)?;
    let (portal, msp) = (
        portal(site),
        format!("https://localhost:{}", site.ports.touchpoint),
    );
    let is_at = |url: &str, base: &str, what: &str| match url.starts_with(base) {
        true => Ok(()),
        false => Err(Failure::new(format!("{what}: {}", without_query(url)))),
    };
    let page = browser.page(&format!("{msp}/login"))?;
    let csrf = field(&page, "csrf")?;
    let form = [
        ("csrf", csrf.as_str()),
        ("user", driver.msp_user),
        ("password", &driver.msp_password),
    ];
    browser.submit(&format!("{msp}/login"), &form)?;
    let page = browser.page(&format!("{msp}/"))?;
    let (csrf, cmp) = (field(&page, "csrf")?, field(&page, "cmp")?);
    step("the driver signed in at the MSP and chose the CMP");
    let form = [("csrf", csrf.as_str()), ("cmp", cmp.as_str())];
    let to_cmp = browser.submit(&format!("{msp}/connect"), &form)?;
    is_at(
        &to_cmp,
        &format!("{portal}/touchpoint?redirect_uri="),
        "the MSP sent the driver to",
    )?;
    // Without a session at the CMP there is no account id, but the way to its login.
    let to_login = browser.sent(&to_cmp)?;
    let to_login = absolute(&portal, &to_login);
    is_at(
        &to_login,
        &format!("{portal}/login?next="),
        "the CMP sent a stranger to",
    )?;
    step("the CMP wants a login before it says anything");
    let page = browser.page(&to_login)?;
    let (csrf, next) = (field(&page, "csrf")?, field(&page, "next")?);
    let form = [
        ("csrf", csrf.as_str()),
        ("next", &next),
        ("name", driver.name),
        ("password", &driver.password),
    ];
    let asked = absolute(&portal, &browser.submit(&format!("{portal}/login"), &form)?);
    let page = browser.page(&asked)?;
    let (csrf, uri) = (field(&page, "csrf")?, field(&page, "redirect_uri")?);
    let form = [
        ("csrf", csrf.as_str()),
        ("redirect_uri", uri.as_str()),
        ("decision", "allow"),
    ];
    let back = browser.submit(&format!("{portal}/touchpoint"), &form)?;
    is_at(
        &back,
        &format!("{msp}/return?state="),
        "the CMP sent the driver to",
    )?;
    if !back.contains("&id=ey") {
        return Err(Failure::new(
            "the CMP sent the driver back without an account id",
        ));
    }
    step("the CMP sent the driver back with an account id");
    let page = browser.follow(&msp, &back)?;
    let csrf = field(&page, "csrf")?;
    let form = [("csrf", csrf.as_str()), ("decision", "allow")];
    let end = browser.submit(&format!("{msp}/consent"), &form)?;
    // R-4.2-10: the driver stays at the MSP.
    is_at(
        &absolute(&msp, &end),
        &msp,
        "the MSP sent the driver away, to",
    )?;
    let page = browser.follow(&msp, &absolute(&msp, &end))?;
    match page.contains("Your subscription is connected") {
        true => Ok(()),
        false => Err(Failure::new(
            "the MSP's page does not say that the subscription is connected",
        )),
    }
}

/// The same, wherever the MSP sends the browser at the end; the CMP's page, if it is sent there.
pub(crate) fn come_back(site: &Site, driver: &Driver) -> Result<Option<String>, Failure> {
    let (browser, back) = agree(site, driver)?;
    let portal = portal(site);
    let ours = back.starts_with(&portal);
    ours.then(|| browser.follow(&portal, &back)).transpose()
}

/// The heading of a page.
pub(crate) fn heading(page: &str) -> &str {
    let after = page.split_once("<h1>").map_or("", |(_, rest)| rest);
    after.split('<').next().unwrap_or_default()
}

fn portal(site: &Site) -> String {
    format!("https://localhost:{}", site.ports.portal)
}

/// Onboarding up to the driver's yes; the browser, and where the MSP sends it then.
fn agree(site: &Site, driver: &Driver) -> Result<(Browser, String), Failure> {
    let browser = Browser::new(site)?;
    let portal = portal(site);
    let page = browser.page(&format!("{portal}/login"))?;
    let csrf = field(&page, "csrf")?;
    let form = [
        ("csrf", csrf.as_str()),
        ("next", "/"),
        ("name", driver.name),
        ("password", &driver.password),
    ];
    browser.submit(&format!("{portal}/login"), &form)?;
    let page = browser.page(&format!("{portal}/subscriptions"))?;
    let csrf = field(&page, "csrf")?;
    let msp = field(&page, "msp")?;
    let form = [("csrf", csrf.as_str()), ("msp", msp.as_str())];
    let touchpoint = browser.submit(&format!("{portal}/link"), &form)?;

    let msp = format!("https://localhost:{}", site.ports.touchpoint);
    let page = browser.follow(&msp, &touchpoint)?;
    let csrf = field(&page, "csrf")?;
    let form = [
        ("csrf", csrf.as_str()),
        ("user", driver.msp_user),
        ("password", &driver.msp_password),
    ];
    let consent = absolute(&msp, &browser.submit(&format!("{msp}/login"), &form)?);
    let page = browser.page(&consent)?;
    let csrf = field(&page, "csrf")?;
    let form = [("csrf", csrf.as_str()), ("decision", "allow")];
    let back = browser.submit(&format!("{msp}/consent"), &form)?;
    Ok((browser, back))
}

fn absolute(base: &str, location: &str) -> String {
    if location.starts_with('/') {
        format!("{base}{location}")
    } else {
        location.to_owned()
    }
}

/// The value of a form field of a page.
pub(crate) fn field(page: &str, name: &str) -> Result<String, Failure> {
    let named = format!("name=\"{name}\"");
    page.split('<')
        .filter(|tag| tag.contains(&named))
        .find_map(|tag| tag.split_once("value=\"")?.1.split_once('"'))
        .map(|(value, _)| value.to_owned())
        .ok_or_else(|| Failure::new(format!("the page has no field {name}")))
}

/// Cookies, no redirects by itself, trust in the set-up's CA.
pub(crate) struct Browser {
    client: Client,
}

impl Browser {
    pub(crate) fn new(site: &Site) -> Result<Self, Failure> {
        let config = tls::client_config(&site.path("pki/aid/ca.pem"), None)?;
        let client = Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .build()?;
        Ok(Self { client })
    }

    fn get(&self, url: &str) -> Result<Response, Failure> {
        let wrong = |e: reqwest::Error| Failure::new(format!("GET {}: {e}", without_query(url)));
        self.client.get(url).send().map_err(wrong)
    }

    /// A page.
    pub(crate) fn page(&self, url: &str) -> Result<String, Failure> {
        let answer = self.get(url)?;
        let status = answer.status();
        let text = answer.text()?;
        if status == StatusCode::OK {
            Ok(text)
        } else {
            Err(refused("GET", url, status, &text))
        }
    }

    /// Where a page sends the browser.
    fn sent(&self, url: &str) -> Result<String, Failure> {
        let answer = self.get(url)?;
        let status = answer.status();
        match location(&answer) {
            Some(location) if status.is_redirection() => Ok(location),
            _ => Err(refused("GET", url, status, &answer.text()?)),
        }
    }

    /// A form; the answer is where the browser is sent.
    pub(crate) fn submit(&self, url: &str, form: &[(&str, &str)]) -> Result<String, Failure> {
        let wrong = |e: reqwest::Error| Failure::new(format!("POST {url}: {e}"));
        let answer = self.client.post(url).form(form).send().map_err(wrong)?;
        let status = answer.status();
        match location(&answer) {
            Some(location) if status == StatusCode::SEE_OTHER => Ok(location),
            _ => Err(refused("POST", url, status, &answer.text()?)),
        }
    }

    /// A form, and the page that comes of it.
    pub(crate) fn send(
        &self,
        base: &str,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let wrong = |e: reqwest::Error| Failure::new(format!("POST {url}: {e}"));
        let answer = self.client.post(url).form(form).send().map_err(wrong)?;
        let status = answer.status();
        match location(&answer) {
            Some(next) if status.is_redirection() => {
                // What is elsewhere is somebody else's page.
                let next = absolute(base, &next);
                if next.starts_with(base) {
                    self.follow(base, &next)
                } else {
                    Ok(String::new())
                }
            }
            _ if status == StatusCode::OK => Ok(answer.text()?),
            _ => Err(refused("POST", url, status, &answer.text()?)),
        }
    }

    /// A page with up to four redirects before it.
    pub(crate) fn follow(&self, base: &str, url: &str) -> Result<String, Failure> {
        let mut url = url.to_owned();
        for _ in 0..4 {
            let answer = self.get(&url)?;
            let status = answer.status();
            match location(&answer) {
                Some(next) if status.is_redirection() => url = absolute(base, &next),
                _ if status == StatusCode::OK => return Ok(answer.text()?),
                _ => return Err(refused("GET", &url, status, &answer.text()?)),
            }
        }
        Err(Failure::new(format!(
            "more than four redirects from {}",
            without_query(&url)
        )))
    }
}

fn location(answer: &Response) -> Option<String> {
    let value = answer.headers().get(LOCATION)?;
    value.to_str().ok().map(str::to_owned)
}

/// A URL without what may be secret in it.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

fn refused(method: &str, url: &str, status: StatusCode, page: &str) -> Failure {
    let text: String = page.chars().take(300).collect();
    let url = without_query(url);
    Failure::new(format!("{method} {url} was answered {status}: {text}"))
}

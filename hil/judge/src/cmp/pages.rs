//! The redirects between the touchpoints (AID.02 §7.1, §7.2).

use super::Cmp;
use super::rig::{Done, needs_portal};
use crate::aid1::{Outcome, masked, query_of};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use reqwest::Url;

const TO_MSP: &str = "AID.02 §7.1 (first)";
const TO_CMP: &str = "AID.02 §7.1 (second)";
const BACK: &str = "AID.02 §7.2";

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-7.1a-1",
        &["R-7.1a-1", "R-4.1-7"],
        TO_MSP,
        "the user is redirected to the MSP's touchpoint with id and redirect_uri, once each",
        to_msp,
    )
    .when(needs_portal),
    Test::must(
        "R-7.1a-3",
        &["R-7.1a-3"],
        TO_MSP,
        "redirect_uri is an encrypted URL, percent-encoded once",
        return_url,
    )
    .when(needs_portal),
    Test::must(
        "R-7.1b-5",
        &["R-7.1b-5"],
        TO_CMP,
        "without a redirect_uri nobody is redirected",
        no_uri,
    )
    .when(needs_touchpoint),
    Test::must(
        "R-7.1b-4",
        &["R-7.1b-4", "R-7.2.2-3"],
        TO_CMP,
        "nobody is redirected to a URL that was not agreed",
        not_agreed,
    )
    .when(needs_touchpoint),
    Test::must(
        "R-7.2.1-1",
        &["R-7.2.1-1", "R-7.2-1", "R-7.1b-1", "R-4.2-6"],
        BACK,
        "a user who agrees returns to the MSP with an account id",
        success,
    )
    .when(needs_touchpoint),
    Test::must(
        "R-7.1b-3",
        &["R-7.1b-3"],
        TO_CMP,
        "parameters of redirect_uri come back unchanged",
        parameters,
    )
    .when(needs_touchpoint),
    Test::must(
        "R-7.2.2-1",
        &["R-7.2.2-1", "R-7.2.2-2"],
        BACK,
        "a user who says no returns with code and error",
        decline,
    )
    .when(needs_decline),
];

fn needs_touchpoint(cmp: &Cmp) -> Result<(), String> {
    let portal = cmp.portal.as_ref();
    let steps = portal.is_some_and(|p| p.touchpoint.is_some() && !p.arrive.is_empty());
    match steps && cmp.msp_return.is_some() {
        true => Ok(()),
        false => Err("portal.touchpoint, portal.arrive and msp_return are not declared".into()),
    }
}

fn needs_decline(cmp: &Cmp) -> Result<(), String> {
    needs_touchpoint(cmp)?;
    match cmp.portal.as_ref().is_some_and(|p| !p.decline.is_empty()) {
        true => Ok(()),
        false => Err("portal.decline is not declared".into()),
    }
}

fn to_msp(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let way = cmp.way(evidence)?;
    let touchpoint = cmp.msp_touchpoint.clone().unwrap_or_default();
    if way.url.split('?').next() != Some(touchpoint.as_str()) {
        return Err(Finding::broken(
            format!("a redirect to {touchpoint}"),
            format!("to {}", masked(&way.url)),
        ));
    }
    if !matches!(way.status, 302 | 303 | 307) {
        return Err(Finding::broken(
            "a redirect that a browser follows once (302, 303 or 307)",
            way.status.to_string(),
        ));
    }
    let query = query_of(&way.url);
    for name in ["id", "redirect_uri"] {
        let count = query
            .iter()
            .filter(|(n, v)| n == name && !v.is_empty())
            .count();
        if count != 1 {
            return Err(Finding::broken(
                format!("the parameter {name} once"),
                format!("{count} times in {}", masked(&way.url)),
            ));
        }
    }
    Ok(())
}

fn return_url(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let way = cmp.way(evidence)?;
    let raw = way
        .url
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("redirect_uri="));
    let raw = raw.unwrap_or_default();
    let query = query_of(&way.url);
    let uri = query.iter().find(|(name, _)| name == "redirect_uri");
    let uri = uri.map(|(_, value)| value.as_str()).unwrap_or_default();
    let good = Url::parse(uri).is_ok_and(|url| url.scheme() == "https" && url.host().is_some());
    if !good {
        return Err(Finding::broken(
            "a redirect_uri that is an https URL once it is decoded",
            masked(raw),
        ));
    }
    match raw.contains("://") || raw.contains('?') {
        true => Err(Finding::broken(
            "a percent-encoded redirect_uri",
            masked(raw),
        )),
        false => Ok(()),
    }
}

fn touchpoint(cmp: &Cmp, uri: Option<&str>) -> String {
    let portal = cmp.portal.as_ref();
    let base = portal
        .and_then(|p| p.touchpoint.clone())
        .unwrap_or_default();
    match (uri, Url::parse(&base)) {
        (Some(uri), Ok(mut url)) => {
            url.query_pairs_mut().append_pair("redirect_uri", uri);
            url.to_string()
        }
        _ => base,
    }
}

/// Arrives at the CMP's touchpoint with this return URL, and fills in what it asks.
fn arrive(
    cmp: &mut Cmp,
    uri: Option<&str>,
    yes: bool,
    evidence: &mut Evidence,
) -> Result<Outcome, Finding> {
    let url = touchpoint(cmp, uri);
    let Some(portal) = cmp.portal.clone() else {
        return Err(Finding::Lacking("no portal is declared".to_owned()));
    };
    let Some(browser) = cmp.browser.as_mut() else {
        return Err(Finding::Lacking("no portal is declared".to_owned()));
    };
    let first = browser.open(&url, evidence)?;
    if matches!(first, Outcome::Away { .. }) {
        return Ok(first);
    }
    let steps = if yes { &portal.arrive } else { &portal.decline };
    browser.walk(steps, evidence)
}

/// Nobody may be redirected to where the query says.
fn stays(cmp: &mut Cmp, uri: Option<&str>, evidence: &mut Evidence) -> Done {
    let url = touchpoint(cmp, uri);
    let Some(portal) = cmp.portal.clone() else {
        return Err(Finding::Lacking("no portal is declared".to_owned()));
    };
    let Some(browser) = cmp.browser.as_mut() else {
        return Err(Finding::Lacking("no portal is declared".to_owned()));
    };
    let away = |outcome: &Outcome| match outcome {
        Outcome::Away { url, .. } => Some(url.clone()),
        Outcome::Page { .. } => None,
    };
    let mut outcome = browser.open(&url, evidence)?;
    if away(&outcome).is_none() {
        // The login comes first at some; what follows it counts, and a page without a form is the end.
        match browser.walk(&portal.arrive, evidence) {
            Ok(next) => outcome = next,
            Err(Finding::Hidden(_)) => {}
            Err(other) => return Err(other),
        }
    }
    match away(&outcome) {
        None => Ok(()),
        Some(url) => Err(Finding::broken(
            format!("no redirect for redirect_uri {}", uri.unwrap_or("(absent)")),
            format!("a redirect to {}", masked(&url)),
        )),
    }
}

fn no_uri(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    stays(cmp, None, evidence)?;
    stays(cmp, Some(""), evidence)
}

fn not_agreed(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let good = cmp.msp_return.clone().unwrap_or_default();
    let host = Url::parse(&good)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    for bad in [
        "https://evil.example/".to_owned(),
        good.replacen("https://", "http://", 1),
        good.replacen(&host, &format!("{host}.evil.example"), 1),
        good.replacen("https://", &format!("https://{host}@evil.example/"), 1),
        format!("https://evil.example/{good}"),
        "javascript:alert(1)".to_owned(),
        "//evil.example/".to_owned(),
    ] {
        stays(cmp, Some(&bad), evidence)?;
        evidence.step(format!("no redirect to {bad}"), &[]);
    }
    Ok(())
}

/// The URL to which a user who agrees is redirected.
fn agreed(cmp: &mut Cmp, uri: &str, evidence: &mut Evidence) -> Result<String, Finding> {
    match arrive(cmp, Some(uri), true, evidence)? {
        Outcome::Away { url, .. } => Ok(url),
        Outcome::Page { status, url, .. } => Err(Finding::broken(
            format!("a redirect to {uri}"),
            format!("a page ({status}) at {}", masked(&url)),
        )),
    }
}

fn success(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let uri = cmp.msp_return.clone().unwrap_or_default();
    let url = agreed(cmp, &uri, evidence)?;
    let query = query_of(&url);
    let ids = query.iter().filter(|(name, _)| name == "id");
    let ids: Vec<_> = ids.map(|(_, value)| value.clone()).collect();
    let [id] = ids.as_slice() else {
        return Err(Finding::broken("id once in the URL", masked(&url)));
    };
    if !url.starts_with(&uri)
        || query
            .iter()
            .any(|(name, _)| name == "code" || name == "error")
    {
        return Err(Finding::broken(
            format!("{uri} with id appended and without code"),
            masked(&url),
        ));
    }
    crate::aid1::Token::read(id)
        .map(drop)
        .map_err(|why| Finding::broken("an account id in id", why))
}

fn parameters(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let base = cmp.msp_return.clone().unwrap_or_default();
    let join = if base.contains('?') { '&' } else { '?' };
    let uri = format!("{base}{join}foo=bar&state=a%20b");
    let url = agreed(cmp, &uri, evidence)?;
    match url.starts_with(&format!("{uri}&")) {
        true => Ok(()),
        false => Err(Finding::broken(
            format!("{uri} as it was, with id after it"),
            masked(&url),
        )),
    }
}

fn decline(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let uri = cmp.msp_return.clone().unwrap_or_default();
    let outcome = arrive(cmp, Some(&uri), false, evidence)?;
    let Outcome::Away { url, .. } = outcome else {
        return Err(Finding::broken(
            format!("a redirect to {uri} with code"),
            "a page",
        ));
    };
    let query = query_of(&url);
    let value = |name: &str| {
        let mut named = query.iter().filter(|(n, _)| n == name);
        named
            .next()
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    };
    let code: u16 = value("code").parse().unwrap_or_default();
    let known = (100..=103).contains(&code) || (200..=300).contains(&code);
    let error = value("error");
    let fits = known && !error.is_empty() && !error.starts_with('"') && value("id").is_empty();
    match url.starts_with(&uri) && fits {
        true => Ok(()),
        false => Err(Finding::broken(
            format!("{uri} with code (100 to 103) and error, without quotes"),
            masked(&url),
        )),
    }
}

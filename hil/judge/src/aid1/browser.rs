//! The judge as a person with a browser at the target's pages (AID5, AID6). The pages are everybody's own, so the target
//! file says which form of which page is filled in with what; hidden fields, cookies and redirects the browser does itself.

use super::mask;
use crate::evidence::Evidence;
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_report::{Message, Protocol};
use reqwest::Url;
use reqwest::blocking::{Client, Response};
use reqwest::header::LOCATION;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Redirects in a row that are followed.
const MAX_REDIRECTS: usize = 10;
/// Longest page that is read, characters.
const MAX_PAGE: usize = 1 << 20;

/// The target's pages, as the target file has them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortalTarget {
    /// CA of the pages' server.
    pub(crate) ca: PathBuf,
    /// How the user signs in.
    #[serde(default)]
    pub(crate) login: Vec<Step>,
    /// From there, how the user begins what the judge needs: the way to the other party.
    #[serde(default)]
    pub(crate) begin: Vec<Step>,
    /// Where the other party sends its users: without a query.
    pub(crate) touchpoint: Option<String>,
    /// What the user fills in on the pages that follow from there, the login among them.
    #[serde(default)]
    pub(crate) arrive: Vec<Step>,
    /// The same for a user who says no.
    #[serde(default)]
    pub(crate) decline: Vec<Step>,
    /// How the user ends the link (§4.4), signed in.
    #[serde(default)]
    pub(crate) withdraw: Vec<Step>,
}

/// One form or one link of one page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// The page; absent: the one that came last.
    pub(crate) open: Option<String>,
    /// The form's action begins so, path only; absent: the first form that has all fields of `fill`.
    pub(crate) form: Option<String>,
    /// In place of a form: the first link of the page whose address begins so (`/unlink?`) is followed.
    pub(crate) link: Option<String>,
    /// Fields and buttons.
    #[serde(default)]
    pub(crate) fill: BTreeMap<String, String>,
    /// A page without this form or link is passed over.
    #[serde(default)]
    pub(crate) optional: bool,
}

/// Where the steps led.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// To a page of the target.
    Page {
        /// HTTP status.
        status: u16,
        /// Where it is.
        url: String,
    },
    /// Away from the target's pages, to this URL, by this status.
    Away {
        /// The `Location`.
        url: String,
        /// HTTP status of the redirect.
        status: u16,
    },
}

/// A browser with its cookies.
pub(crate) struct Browser {
    client: Client,
    /// The party whose pages these are.
    peer: &'static str,
    last: Option<(String, String)>,
}

impl Browser {
    /// Trusts `ca` alone.
    pub(crate) fn new(ca: &Path, peer: &'static str, patience: Duration) -> Result<Self, Failure> {
        let config = tls::client_config(ca, None)?;
        let client = Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(patience)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            peer,
            last: None,
        })
    }

    /// Walks through the steps; the outcome of the last one.
    pub(crate) fn walk(
        &mut self,
        steps: &[Step],
        evidence: &mut Evidence,
    ) -> Result<Outcome, Finding> {
        let mut outcome = None;
        for step in steps {
            if let Some(Outcome::Away { .. }) = outcome {
                break;
            }
            if let Some(url) = &step.open {
                outcome = Some(self.open(url, evidence)?);
            }
            if let Some(start) = &step.link {
                match self.follow(start, evidence)? {
                    Some(next) => outcome = Some(next),
                    None if step.optional => continue,
                    None => {
                        return Err(Finding::Hidden(format!(
                            "the page {} has no link that begins with {start}; see the steps of the target file",
                            self.place()
                        )));
                    }
                }
                if step.form.is_none() && step.fill.is_empty() {
                    continue;
                }
            }
            match self.submit(step, evidence)? {
                Some(next) => outcome = Some(next),
                None if step.optional => {}
                None if step.form.is_none() && step.fill.is_empty() => {}
                None => {
                    return Err(Finding::Hidden(format!(
                        "the page {} has no form {}with the fields {:?}; see the steps of the target file",
                        self.place(),
                        step.form
                            .as_ref()
                            .map_or(String::new(), |form| format!("{form} ")),
                        step.fill.keys().collect::<Vec<_>>()
                    )));
                }
            }
        }
        outcome.ok_or_else(|| {
            Finding::Lacking("the target file has no steps for this page".to_owned())
        })
    }

    /// Opens a page, and follows redirects within its origin.
    pub(crate) fn open(&mut self, url: &str, evidence: &mut Evidence) -> Result<Outcome, Finding> {
        let answer = self.client.get(url).send();
        self.arrive("GET", url, answer, evidence)
    }

    /// The page that came last, as a finding names it.
    fn place(&self) -> &str {
        let last = self.last.as_ref();
        last.map_or("(none was opened)", |(url, _)| without_query(url))
    }

    /// Follows the first link of the page that came last whose address begins so; links to other servers are none.
    fn follow(&mut self, start: &str, evidence: &mut Evidence) -> Result<Option<Outcome>, Finding> {
        let Some((at, html)) = self.last.clone() else {
            return Ok(None);
        };
        let base = Url::parse(&at).map_err(|e| Finding::Hidden(format!("{at}: {e}")))?;
        let of_start = |link: &String| {
            let url = base.join(link).ok()?;
            let query = url
                .query()
                .map_or(String::new(), |query| format!("?{query}"));
            let path = format!("{}{query}", url.path());
            let begins = path.starts_with(start) || link.starts_with(start);
            (begins && url.origin() == base.origin()).then_some(url)
        };
        match links(&html).iter().find_map(of_start) {
            Some(url) => self.open(url.as_str(), evidence).map(Some),
            None => Ok(None),
        }
    }

    fn submit(&mut self, step: &Step, evidence: &mut Evidence) -> Result<Option<Outcome>, Finding> {
        let Some((at, html)) = self.last.clone() else {
            return Ok(None);
        };
        let forms = forms(&html);
        let fits = |form: &&Form| match &step.form {
            Some(action) => form
                .action
                .split('?')
                .next()
                .is_some_and(|a| a == action || a.ends_with(action.as_str())),
            None => !step.fill.is_empty() && step.fill.keys().all(|name| form.has(name)),
        };
        let Some(form) = forms.iter().find(fits) else {
            return Ok(None);
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value, button) in &form.fields {
            let given = step.fill.get(name);
            let sent = match (given, button) {
                (Some(given), _) => given,
                (None, false) => value,
                (None, true) => continue,
            };
            if !fields.iter().any(|(n, _)| n == name) {
                fields.push((name.clone(), sent.clone()));
            }
        }
        for (name, value) in &step.fill {
            if !fields.iter().any(|(n, _)| n == name) {
                fields.push((name.clone(), value.clone()));
            }
        }
        let base = Url::parse(&at).map_err(|e| Finding::Hidden(format!("{at}: {e}")))?;
        let mut url = base
            .join(&form.action)
            .map_err(|e| Finding::Hidden(format!("the form's action {:?}: {e}", form.action)))?;
        let outcome = if form.post {
            let answer = self.client.post(url.clone()).form(&fields).send();
            self.arrive("POST", url.as_str(), answer, evidence)?
        } else {
            url.query_pairs_mut().clear().extend_pairs(&fields);
            let answer = self.client.get(url.clone()).send();
            self.arrive("GET", url.as_str(), answer, evidence)?
        };
        Ok(Some(outcome))
    }

    fn arrive(
        &mut self,
        method: &str,
        url: &str,
        answer: reqwest::Result<Response>,
        evidence: &mut Evidence,
    ) -> Result<Outcome, Finding> {
        let mut method = method;
        let mut url = Url::parse(url).map_err(|e| Finding::Hidden(format!("{url}: {e}")))?;
        let mut answer = answer;
        for _ in 0..MAX_REDIRECTS {
            let got = answer.map_err(|e| {
                Finding::Hidden(format!(
                    "the page {} can't be read: {}",
                    without_query(url.as_str()),
                    reason(&e)
                ))
            })?;
            let status = got.status().as_u16();
            let location = got.headers().get(LOCATION);
            let location = location
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            self.note(method, &url, status, location.as_deref(), evidence);
            let Some(location) = location.filter(|_| (300..400).contains(&status)) else {
                let mut html = got.text().unwrap_or_default();
                if html.len() > MAX_PAGE {
                    html = html.chars().take(MAX_PAGE).collect();
                }
                let url = url.to_string();
                self.last = Some((url.clone(), html));
                return Ok(Outcome::Page { status, url });
            };
            let next = match url.join(&location) {
                Ok(next) if next.origin() == url.origin() && next.scheme() == "https" => next,
                // As it was written: what is judged is the text.
                _ => {
                    return Ok(Outcome::Away {
                        url: location,
                        status,
                    });
                }
            };
            method = "GET";
            url = next;
            answer = self.client.get(url.clone()).send();
        }
        Err(Finding::Hidden(format!(
            "more than {MAX_REDIRECTS} redirects in a row from {}",
            without_query(url.as_str())
        )))
    }

    fn note(
        &self,
        method: &str,
        url: &Url,
        status: u16,
        location: Option<&str>,
        evidence: &mut Evidence,
    ) {
        let title = match location {
            Some(_) => format!("{method} {}: {status} and away", url.path()),
            None => format!("{method} {}: {status}", url.path()),
        };
        let text = match location {
            Some(location) => format!("{method} {url}\n{status}\nlocation: {location}\n"),
            None => format!("{method} {url}\n{status}\n"),
        };
        let text = mask::text(&text);
        evidence.message(Message {
            at_us: evidence.now_us(),
            from: "driver".to_owned(),
            to: self.peer.to_owned(),
            protocol: Protocol::Page,
            title,
            fields: Vec::new(),
            length: text.len() as u64,
            bytes: Some(text),
            correlation: None,
        });
    }
}

/// The whole chain of what went wrong.
fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

/// A URL without what may be secret in it.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// The members of a URL's query, decoded; as they stand, with repetitions.
pub(crate) fn query_of(url: &str) -> Vec<(String, String)> {
    let pairs = |url: Url| {
        url.query_pairs()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    };
    Url::parse(url).map_or_else(|_| Vec::new(), pairs)
}

/// A form of a page.
#[derive(Debug, Default)]
struct Form {
    action: String,
    post: bool,
    /// Name, value, and whether it is a button, which counts only when it is pressed.
    fields: Vec<(String, String, bool)>,
}

impl Form {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, _, _)| n == name)
    }
}

/// The forms of a page, read as browsers read well-formed pages.
fn forms(html: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut open: Option<Form> = None;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let (tag, attributes, after) = tag(rest);
        rest = after;
        let value = |name: &str| {
            let mut named = attributes.iter().filter(|(n, _)| n == name);
            named.next().map(|(_, value)| value.clone())
        };
        let kind = value("type").unwrap_or_default().to_ascii_lowercase();
        match (tag.as_str(), &mut open) {
            ("form", open) => {
                forms.extend(open.take());
                *open = Some(Form {
                    action: value("action").unwrap_or_default(),
                    post: value("method").is_some_and(|m| m.eq_ignore_ascii_case("post")),
                    fields: Vec::new(),
                });
            }
            ("/form", open) => forms.extend(open.take()),
            ("input" | "button" | "select" | "textarea", Some(form)) => {
                let Some(name) = value("name") else { continue };
                let button = tag == "button" || matches!(kind.as_str(), "submit" | "image");
                let unchecked =
                    matches!(kind.as_str(), "radio" | "checkbox") && value("checked").is_none();
                let value = value("value").unwrap_or_default();
                form.fields.push((name, value, button || unchecked));
            }
            _ => {}
        }
    }
    forms.extend(open);
    forms
}

/// The addresses of a page's links, in their order.
fn links(html: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let (tag, attributes, after) = tag(rest);
        rest = after;
        if tag == "a" {
            let mut named = attributes.into_iter().filter(|(name, _)| name == "href");
            links.extend(named.next().map(|(_, value)| value));
        }
    }
    links
}

/// Name and attributes of a tag whose `<` was read, and what follows it.
fn tag(text: &str) -> (String, Vec<(String, String)>, &str) {
    let end = text
        .find(|c: char| c.is_ascii_whitespace() || c == '>')
        .unwrap_or(text.len());
    let name = text[..end].trim_end_matches('/').to_ascii_lowercase();
    let mut attributes = Vec::new();
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (name, attributes, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (name, attributes, after);
        }
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>'))
            .unwrap_or(rest.len());
        let attribute = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (text, next) = match quote {
                Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                None => {
                    let end = after.find(|c: char| c.is_ascii_whitespace() || c == '>');
                    after.split_at(end.unwrap_or(after.len()))
                }
            };
            value = text;
            rest = next;
        } else if end == 0 {
            // No attribute at all: step over the character.
            let width = rest.chars().next().map_or(0, char::len_utf8);
            rest = &rest[width..];
            continue;
        }
        attributes.push((attribute, unescaped(value)));
    }
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (escape, plain) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escape, plain);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_read_them() {
        let html = "<!-- <form action='/no'> --><FORM method=POST action=\"/a?x=1&amp;y=2\">\
            <input type=hidden name=\"csrf\" value='a&quot;b'><input name=user>\
            <button name=decision value=allow>Yes</button><button name=decision value=deny>No</button>\
            </form><p><form action=/b><select name='c'></select></form><form action=\"/open\"";
        let forms = forms(html);
        assert_eq!(forms.len(), 3);
        assert_eq!(
            (forms[0].action.as_str(), forms[0].post),
            ("/a?x=1&y=2", true)
        );
        assert_eq!(forms[0].fields[0], ("csrf".into(), "a\"b".into(), false));
        assert!(forms[0].has("decision") && forms[0].fields[2].2);
        assert_eq!((forms[1].action.as_str(), forms[1].post), ("/b", false));
        let html = "<!-- <a href='/no'> --><a name=x>1</a><A class=b HREF='/unlink?a=1&amp;b=2'>2</A><a href=/c>3</a>";
        assert_eq!(links(html), ["/unlink?a=1&b=2", "/c"]);
        for broken in [
            "<",
            "<form",
            "<a href",
            "<a href=\"",
            "<form a=\"",
            "<é é=é",
            "<form =>",
            "<!--",
        ] {
            let _ = (super::forms(broken), links(broken));
        }
    }
}

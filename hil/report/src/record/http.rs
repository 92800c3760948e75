//! HTTP: AID1, ES2+, ES9+, AID4 and pages.

use super::fields::Fields;
use super::{MAX_BYTES, Recorder, Route, clip};
use crate::mask::{MASK, Mask, basic_password};
use crate::message::Protocol;
use crate::node::Node;
use aid_cli::printable::printable_lines;
use std::fmt::Write as _;

/// Largest body that is decoded, bytes; of a larger one the length is shown.
const MAX_DECODED: usize = 512 * 1024;
/// The shortest segment of a path that may be a token, characters: an MSP token is a UUID, names of operations are shorter.
const TOKEN: usize = 32;

/// An HTTP request as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Names and values, in the order of the wire.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body, without transfer coding.
    pub body: &'a [u8],
}

/// An HTTP response as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Names and values, in the order of the wire.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body, without transfer coding.
    pub body: &'a [u8],
}

impl Recorder {
    /// Records a request.
    pub fn request(&mut self, route: &Route<'_>, request: &Request<'_>) {
        let mut fields = Fields::new(&mut self.mask);
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target, None),
        };
        let path = shown_path(fields.mask, path, route.protocol);
        let mut line = format!("{} {path}", request.method);
        if let Some(query) = query {
            line.push('?');
            line.push_str(&parameters(&mut fields, query));
        }
        let title = match route.protocol {
            Protocol::Es2 | Protocol::Es9 => {
                let name = path.rsplit('/').next().unwrap_or_default();
                let interface = if route.protocol == Protocol::Es2 {
                    "ES2+"
                } else {
                    "ES9+"
                };
                format!("{interface}.{name}")
            }
            _ => format!("{} {path}", request.method),
        };
        let seen = headers_and_body(&mut fields, &line, request.headers, request.body);
        let fields = fields.finish();
        let length = request.method.len() + request.target.len() + 12 + seen.length;
        self.push(
            route,
            &title,
            fields,
            Some(seen.text),
            length,
            seen.correlation,
        );
    }

    /// Records a response.
    pub fn response(&mut self, route: &Route<'_>, response: &Response<'_>) {
        let mut fields = Fields::new(&mut self.mask);
        let line = response.status.to_string();
        let seen = headers_and_body(&mut fields, &line, response.headers, response.body);
        let fields = fields.finish();
        let value = |name: &str| {
            let field = fields.iter().find(|field| field.name.ends_with(name));
            field.map(|field| field.value.clone())
        };
        let mut title = line;
        if let Some(status) = value("functionExecutionStatus.status") {
            let _ = write!(title, " {status}");
            let subject = value("statusCodeData.subjectCode");
            if let (Some(subject), Some(reason)) = (subject, value("statusCodeData.reasonCode")) {
                let _ = write!(title, " {subject}/{reason}");
            }
        }
        self.push(
            route,
            &title,
            fields,
            Some(seen.text),
            15 + seen.length,
            seen.correlation,
        );
    }
}

/// What headers and body came to.
struct Seen {
    /// The whole message as text.
    text: String,
    /// Bytes of headers and body.
    length: usize,
    correlation: Option<String>,
}

fn headers_and_body(
    fields: &mut Fields<'_>,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Seen {
    let mut text = format!("{line}\n");
    let mut length = body.len() + 2;
    let (mut correlation, mut kind) = (None, String::new());
    for &(name, value) in headers {
        length += name.len() + value.len() + 4;
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "correlation-id" => correlation = Some(value.to_owned()),
            "content-type" => kind = value.to_ascii_lowercase(),
            "authorization" => {
                if let Some(password) = basic_password(value) {
                    fields.mask.learn(&password);
                }
                if let Some((_, credentials)) = value.split_once(' ') {
                    fields.mask.learn(credentials);
                }
            }
            "cookie" | "set-cookie" => {
                for cookie in value.split(';') {
                    if let Some((_, value)) = cookie.split_once('=') {
                        learn_cookie(fields.mask, cookie, value);
                    }
                }
            }
            // Where a page leads, with its parameters.
            "location" | "referer" => {
                if let Some((_, query)) = value.split_once('?') {
                    learn_parameters(fields.mask, query);
                }
            }
            _ => {}
        }
        let shown = fields.mask.field(name, value);
        fields.masked(name, &shown);
        let _ = writeln!(text, "{name}: {shown}");
    }
    if !body.is_empty() {
        text.push('\n');
        text.push_str(&shown_body(fields, &kind, body));
    }
    if correlation.is_none() {
        let id = |name: &str| name == "transactionId" || name.ends_with(".transactionId");
        correlation = fields.value(id);
    }
    let text = clip(&printable_lines(&text), MAX_BYTES);
    Seen {
        text,
        length,
        correlation,
    }
}

/// Attributes of a cookie are no secrets.
fn learn_cookie(mask: &mut Mask, cookie: &str, value: &str) {
    let name = cookie.split('=').next().unwrap_or_default().trim();
    let attributes = ["path", "domain", "max-age", "expires", "samesite"];
    if !attributes.contains(&name.to_ascii_lowercase().as_str()) {
        mask.learn(value);
    }
}

/// Decodes a body into fields; the text as it may be shown.
fn shown_body(fields: &mut Fields<'_>, kind: &str, body: &[u8]) -> String {
    if body.len() > MAX_DECODED {
        return format!("({} bytes)", body.len());
    }
    if kind.starts_with("application/x-www-form-urlencoded")
        && let Ok(text) = std::str::from_utf8(body)
    {
        return parameters(fields, text);
    }
    if let Some(node) = Node::parse(body) {
        let masked = fields.node("", &node);
        return json_text(fields.mask, &node, &masked, body);
    }
    match std::str::from_utf8(body) {
        Ok(text) => {
            if kind.starts_with("text/html") {
                learn_inputs(fields.mask, text);
                if let Some(title) = between(text, "<title>", "</title>") {
                    fields.text("title", title);
                }
            }
            fields.mask.text(text)
        }
        Err(_) => {
            let most = body.len().min(MAX_BYTES / 2);
            fields.mask.text(&hex::encode_upper(&body[..most]))
        }
    }
}

/// The body as it came, secrets masked by value; where that leaves one under its name (it was spelt another way, or is
/// too short to be looked for), as it was decoded.
fn json_text(mask: &mut Mask, node: &Node, masked: &Node, body: &[u8]) -> String {
    if let Ok(raw) = std::str::from_utf8(body) {
        let text = mask.text(raw);
        let clean = Node::parse(text.as_bytes()).is_some_and(|again| again == *masked);
        if clean || node == masked {
            return text;
        }
    }
    let mut text = String::new();
    masked.write(&mut text);
    mask.text(&text)
}

/// Decodes a query or a form into fields; the same with secrets masked.
fn parameters(fields: &mut Fields<'_>, text: &str) -> String {
    learn_parameters(fields.mask, text);
    let mut shown = Vec::new();
    for (name, value) in pairs(text) {
        let value = match is_secret_parameter(&name) {
            true if !value.is_empty() => MASK.to_owned(),
            _ => fields.mask.text(&value),
        };
        fields.masked(&name, &value);
        shown.push(format!("{name}={value}"));
    }
    shown.join("&")
}

fn learn_parameters(mask: &mut Mask, text: &str) {
    for (name, value) in pairs(text) {
        if is_secret_parameter(&name) {
            mask.learn(&value);
        }
    }
}

/// In a query or a form, `code` and `state` are those of OAuth, and let their bearer go on in somebody's name.
fn is_secret_parameter(name: &str) -> bool {
    Mask::is_secret(name) || matches!(name, "code" | "state" | "ver")
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let parts = text.split('&').filter(|part| !part.is_empty()).take(500);
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    })
}

/// Undoes percent-encoding; malformed escapes stay.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let rest = bytes.as_slice();
                let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                    Some(value) => {
                        out.push(value);
                        bytes.nth(1);
                    }
                    None => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A path whose segments that may be tokens are masked.
fn shown_path(mask: &mut Mask, path: &str, protocol: Protocol) -> String {
    let segment = |segment: &str| {
        if segment.len() < TOKEN || matches!(protocol, Protocol::Es2 | Protocol::Es9) {
            return mask.text(segment);
        }
        if protocol == Protocol::Aid1 {
            mask.learn(&decoded(segment));
        }
        MASK.to_owned()
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Remembers the values of a page's inputs whose names say that they are secret, hidden ones among them.
fn learn_inputs(mask: &mut Mask, page: &str) {
    for (start, _) in page.match_indices("<input") {
        let rest = &page[start..];
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        if let (Some(name), Some(value)) = (
            between(tag, "name=\"", "\""),
            between(tag, "value=\"", "\""),
        ) && is_secret_parameter(name)
        {
            mask.learn(value);
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.find(after).map(|end| &rest[..end])
}

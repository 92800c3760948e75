//! Takes secrets out of what is shown: keys and passwords, the ends of MSP tokens, signatures of account ids, matching ids
//! of activation codes. What stays is enough to tell two of them apart.

use serde_json::Value;

/// In the place of what is hidden.
const HIDDEN: &str = "***";

/// Headers whose values are secrets.
const SECRET_HEADERS: [&str; 5] = [
    "api-key",
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authorization",
];

/// Members of bodies whose values are secrets.
const SECRET_MEMBERS: [&str; 3] = ["password", "pin", "api_key"];

/// An MSP token of which the first eight characters are left.
pub(crate) fn token(token: &str) -> String {
    let head: String = token.chars().take(8).collect();
    format!("{head}-{HIDDEN}")
}

/// A whole HTTP message as text.
pub(crate) fn message(head: &str, body: &[u8]) -> String {
    let mut text = String::new();
    for line in head.split("\r\n") {
        let secret = line.split_once(':').filter(|(name, _)| {
            SECRET_HEADERS
                .iter()
                .any(|s| name.trim().eq_ignore_ascii_case(s))
        });
        match secret {
            Some((name, _)) => {
                text.push_str(name);
                text.push_str(": ");
                text.push_str(HIDDEN);
            }
            None => text.push_str(&self::text(line)),
        }
        text.push('\n');
    }
    text.push('\n');
    match serde_json::from_slice::<Value>(body) {
        // The bytes stay as they came where nothing in them is secret by its name.
        Ok(value) if has_secret(&value) => text.push_str(&value_text(value)),
        _ => text.push_str(&self::text(&String::from_utf8_lossy(body))),
    }
    text
}

fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| SECRET_MEMBERS.contains(&name.as_str()) || has_secret(value)),
        Value::Array(list) => list.iter().any(has_secret),
        _ => false,
    }
}

fn value_text(mut value: Value) -> String {
    hide(&mut value);
    text(&value.to_string())
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match SECRET_MEMBERS.contains(&name.as_str()) {
                    true => *value = HIDDEN.into(),
                    false => hide(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hide),
        _ => {}
    }
}

/// A text: what looks like a token, an account id or an activation code in it is hidden in part. Ids of requests and
/// transactions are UUIDs too, and stay: a token is one that a path or the member `msp_token` names.
pub(crate) fn text(text: &str) -> String {
    matching_ids(&tokens(&signatures(text)))
}

/// `eyJ….….signature`
fn signatures(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let (before, jwt) = rest.split_at(at);
        out.push_str(before);
        let end = jwt
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(jwt.len());
        let (jwt, after) = jwt.split_at(end);
        match jwt.rsplit_once('.') {
            Some((signed, _)) if signed.contains('.') => {
                out.push_str(signed);
                out.push('.');
                out.push_str(HIDDEN);
            }
            _ => out.push_str(jwt),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What stands before a token in paths and bodies.
const BEFORE_TOKENS: [&str; 7] = [
    "/users/",
    "/subscriptions/",
    "/activation-codes/",
    "/activation-code-requests/",
    "/statuses/",
    "/status/",
    "\"msp_token\"",
];

fn tokens(text: &str) -> String {
    let mut out = text.to_owned();
    for before in BEFORE_TOKENS {
        let mut done = String::new();
        let mut rest = out.as_str();
        while let Some(at) = rest.find(before) {
            let (head, tail) = rest.split_at(at + before.len());
            done.push_str(head);
            let start = tail.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(0);
            let near = start <= 4 && tail.is_char_boundary(start);
            let (gap, value) = tail.split_at(if near { start } else { 0 });
            let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
            let end = value.find(|c| !is_id(c)).unwrap_or(value.len());
            done.push_str(gap);
            if end == 36 {
                done.push_str(&token(&value[..end]));
                rest = &value[end..];
            } else {
                rest = value;
            }
        }
        done.push_str(rest);
        out = done;
    }
    out
}

/// `1$host$MATCHING-ID`
fn matching_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("1$") {
        let (before, code) = rest.split_at(at + 2);
        out.push_str(before);
        let part = |text: &str| {
            text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_')))
                .unwrap_or(text.len())
        };
        let (host, after) = code.split_at(part(code));
        out.push_str(host);
        rest = match after.strip_prefix('$') {
            Some(id) if part(id) > 0 => {
                out.push('$');
                out.push_str(HIDDEN);
                &id[part(id)..]
            }
            _ => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        let head = "POST /cesim/msp/v1/users/eyJhbGciOiJIUzI1NiJ9.eyJzaWQiOiJ4In0.c2lnbmF0dXJl HTTP/1.1\r\nAPI-Key: abc\r\nclient-id: me";
        let body = br#"{"msp_token": "d534080b-9794-4351-88e7-8af9e079ca1e", "activationCodeRequestID":"77096b5d-0f42-4c35-9102-3b3a8d7d57e7","activationCode":"1$smdp.example$SECRET-7"}"#;
        let text = message(head, body);
        for hidden in ["c2lnbmF0dXJl", "abc", "9794-4351", "SECRET-7"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
        for kept in [
            "eyJzaWQiOiJ4In0.***",
            "client-id: me",
            "\"msp_token\": \"d534080b-***\"",
            "77096b5d-0f42-4c35-9102-3b3a8d7d57e7",
            "1$smdp.example$***",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        let path = "GET /v1/profiles/status/d534080b-9794-4351-88e7-8af9e079ca1e?iccid=1 HTTP/1.1";
        assert_eq!(
            super::text(path),
            "GET /v1/profiles/status/d534080b-***?iccid=1 HTTP/1.1"
        );
        assert_eq!(
            super::text("/users/d534080b-9794-4351-88e7-8af9e079ca1e/invalidate"),
            "/users/d534080b-***/invalidate"
        );
        assert!(!message("POST / HTTP/1.1", br#"{"a":[{"pin":"1234"}]}"#).contains("1234"));
        for odd in [
            "1$",
            "eyJ",
            "/users/",
            "\"msp_token\"é",
            "1$é$é",
            "eyJa.b.é",
        ] {
            assert!(!super::text(odd).is_empty());
        }
    }
}

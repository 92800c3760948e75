//! What is secret, in one place: by the name of a field, and by the value once it was seen under such a name.
//!
//! A secret must not reach a report in any spelling: as text, in hexadecimal (APDUs), in base64 at any offset (objects
//! inside ES9+ messages), percent-encoded (forms) or escaped as JSON writes it.

use crate::{Case, Message, Report};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Match, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::BTreeSet;
use std::fmt;

/// What stands in place of a secret.
pub const MASK: &str = "[masked]";

/// Names of fields, headers and parameters whose values are secret: lower case, letters and digits only. A name of the
/// wire is brought into this form before it is looked up, so `msp_token`, `mspToken` and `MSP-Token` are one.
const NAMES: &[&str] = &[
    // What a person knows.
    "pin",
    "pin1",
    "pin2",
    "puk",
    "puk1",
    "puk2",
    "oldpin",
    "newpin",
    "password",
    "oldpassword",
    "newpassword",
    "passphrase",
    "confirmationcode",
    "checkcode",
    "logincode",
    "usercode",
    "phonenumber",
    "msisdn",
    // What lets its bearer act.
    "activationcode",
    "matchingid",
    "hashcc",
    "msptoken",
    "accountid",
    "token",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "csrf",
    "csrftoken",
    "sessionid",
    "authorization",
    "proxyauthorization",
    "cookie",
    "setcookie",
    "apikey",
    "xapikey",
    "clientsecret",
    "secret",
    "devicecode",
    // Keys, and what is made with them.
    "key",
    "privatekey",
    "k",
    "op",
    "opc",
    "topc",
    "ck",
    "ik",
    "kic",
    "kid",
    "adm",
    "adm1",
    "iv",
];

/// Shorter values are not looked for elsewhere: they would hide half of a report.
const SHORTEST: usize = 3;
/// Shorter values are found only where no letter or digit stands beside them: a PIN is no part of an ICCID.
const ANYWHERE: usize = 8;
/// Base64 is looked for from this many characters on that depend on the secret alone.
const SHORTEST_BASE64: usize = 8;
/// Longest value that is looked for, bytes; of longer ones the beginning is.
const LONGEST: usize = 8_192;
/// Most values that are remembered.
const MOST: usize = 10_000;
/// Values that stand under a secret's name and say nothing.
const EMPTY: &[&str] = &["null", "none", "true", "false", "undefined", MASK];

/// Knows the secrets of a run, and replaces them by [`MASK`].
#[derive(Default)]
pub struct Mask {
    values: BTreeSet<String>,
    /// Finds all spellings of all values; none while a value was added that it does not know.
    finder: Option<Finder>,
}

struct Finder {
    /// None where there are too many spellings to search for: every text is masked as a whole then.
    search: Option<AhoCorasick>,
    /// Per pattern: is it found inside of words, too?
    anywhere: Vec<bool>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} values)", self.values.len())
    }
}

impl Mask {
    /// Knows no value yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Is the value of a field of this name secret? Of a name with dots, the last part counts.
    #[must_use]
    pub fn is_secret(name: &str) -> bool {
        let last = name.rsplit(['.', '[']).next().unwrap_or(name);
        let letters = last.chars().filter(char::is_ascii_alphanumeric);
        let letters: String = letters.map(|c| c.to_ascii_lowercase()).collect();
        NAMES.contains(&letters.as_str())
    }

    /// Remembers a secret: it is masked wherever it occurs from now on, and in what [`Self::report`] goes through. Of an
    /// activation code (SGP.22 §4.1) the matchingID is remembered, too.
    pub fn learn(&mut self, value: &str) {
        let value = value.trim();
        if value.len() < SHORTEST || says_nothing(value) || self.values.len() >= MOST {
            return;
        }
        let mut end = value.len().min(LONGEST);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        if self.values.insert(value[..end].to_owned()) {
            self.finder = None;
        }
        for code in activation_codes(value) {
            if code != value {
                self.learn(code);
            }
        }
    }

    /// The value of a field as a report may show it; remembers it if its name says that it is secret.
    pub fn field(&mut self, name: &str, value: &str) -> String {
        if Self::is_secret(name) || is_code(name, value) {
            self.learn(value);
            return if value.is_empty() || says_nothing(value) {
                value.to_owned()
            } else {
                MASK.to_owned()
            };
        }
        self.text(value)
    }

    /// The text without the secrets that are known, and without matchingIDs of activation codes in it.
    pub fn text(&mut self, text: &str) -> String {
        let codes: Vec<&str> = activation_codes(text).collect();
        for code in codes {
            self.learn(code);
        }
        if self.values.is_empty() {
            return text.to_owned();
        }
        let values = &self.values;
        let finder = self.finder.get_or_insert_with(|| Finder::of(values));
        finder.mask(text)
    }

    /// Masks what is known by now in a message that was made before.
    pub fn message(&mut self, message: &mut Message) {
        self.replace(&mut message.from);
        self.replace(&mut message.to);
        self.replace(&mut message.title);
        for field in &mut message.fields {
            self.replace(&mut field.name);
            field.value = self.field(&field.name, &field.value);
        }
        self.replace_option(&mut message.bytes);
        self.replace_option(&mut message.correlation);
    }

    /// Masks what is known by now in every text of a report.
    pub fn report(&mut self, report: &mut Report) {
        self.replace(&mut report.subject);
        self.replace(&mut report.command);
        let laboratory = &mut report.laboratory;
        for text in [
            &mut laboratory.name,
            &mut laboratory.operator,
            &mut laboratory.device,
            &mut laboratory.versions,
            &mut laboratory.remarks,
        ] {
            self.replace(text);
        }
        for version in &mut report.versions {
            self.replace(&mut version.version);
        }
        for case in &mut report.cases {
            self.case(case);
        }
    }

    fn case(&mut self, case: &mut Case) {
        self.replace(&mut case.name);
        self.replace(&mut case.about);
        self.replace_option(&mut case.reason);
        if let Some(failure) = &mut case.failure {
            self.replace(&mut failure.expected);
            self.replace(&mut failure.seen);
            self.replace(&mut failure.repeat);
        }
        for step in &mut case.steps {
            self.replace(&mut step.title);
            self.replace_option(&mut step.reason);
        }
        for message in &mut case.messages {
            self.message(message);
        }
    }

    fn replace(&mut self, text: &mut String) {
        *text = self.text(text);
    }

    fn replace_option(&mut self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.replace(text);
        }
    }
}

impl Finder {
    fn of(values: &BTreeSet<String>) -> Self {
        let (mut patterns, mut anywhere) = (Vec::new(), Vec::new());
        for value in values {
            for (pattern, inside) in spellings(value) {
                patterns.push(pattern);
                anywhere.push(inside);
            }
        }
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            // A DFA of a few long secrets has hundreds of megabytes.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(patterns)
            .ok();
        Self { search, anywhere }
    }

    fn mask(&self, text: &str) -> String {
        let Some(search) = &self.search else {
            return MASK.to_owned();
        };
        let is_secret = |found: &Match| {
            self.anywhere.get(found.pattern().as_usize()) == Some(&true)
                || stands_alone(text, found.start(), found.end())
        };
        let all = search.find_overlapping_iter(text).filter(is_secret);
        let mut all: Vec<(usize, usize)> = all.map(|found| (found.start(), found.end())).collect();
        all.sort_unstable();
        let (mut out, mut done) = (String::new(), 0);
        for (start, end) in all {
            if start >= done {
                out.push_str(text.get(done..start).unwrap_or_default());
                out.push_str(MASK);
            }
            done = done.max(end);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }
}

/// No secret: a placeholder, or the length that one of our programs traces in its place.
fn says_nothing(value: &str) -> bool {
    let is_length = |open: char, close: &str| {
        let digits = value.strip_prefix(open).and_then(|v| v.strip_suffix(close));
        digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    };
    EMPTY.contains(&value) || is_length('<', " characters>") || is_length('(', " characters)")
}

/// Is it a code that a person copies, under a name that errors use, too: `{"code":"BDFH-JKLM"}`?
fn is_code(name: &str, value: &str) -> bool {
    let groups: Vec<&str> = value.split('-').collect();
    let is_group = |group: &&str| {
        (3..=8).contains(&group.len())
            && group
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    (name == "code" || name.ends_with(".code"))
        && (2..=4).contains(&groups.len())
        && groups.iter().all(is_group)
}

/// Does no letter or digit stand before or after this part of the text?
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|t| t.chars().next_back());
    let after = text.get(end..).and_then(|t| t.chars().next());
    ![before, after]
        .into_iter()
        .flatten()
        .any(char::is_alphanumeric)
}

/// The spellings of a secret, and whether each is found inside of words.
fn spellings(value: &str) -> Vec<(String, bool)> {
    let inside = value.len() >= ANYWHERE;
    let mut all = vec![(value.to_owned(), inside)];
    let json = serde_json::Value::from(value).to_string();
    all.push((json.trim_matches('"').to_owned(), inside));
    all.push((aid_cli::printable::printable(value).into_owned(), inside));
    for encoded in [percent(value, "%20"), percent(value, "+")] {
        all.push((encoded.clone(), inside));
        all.push((encoded.to_lowercase(), inside));
    }
    // A card's PIN block, or a text inside a data object.
    let hexadecimal = hex::encode(value);
    if hexadecimal.len() >= ANYWHERE {
        all.push((hexadecimal.to_uppercase(), true));
        all.push((hexadecimal, true));
    }
    all.extend(base64(value).into_iter().map(|text| (text, true)));
    all.sort_unstable();
    all.dedup();
    all.retain(|(text, _)| !text.is_empty());
    all
}

fn percent(value: &str, space: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b' ' => out.push_str(space),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The characters of base64 that depend on the secret alone, for each of the three offsets that it can have.
fn base64(value: &str) -> Vec<String> {
    let mut all = Vec::new();
    for offset in 0..3_usize {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(value.as_bytes());
        let first = (offset * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            if let Some(stable) = encoded.get(first..last)
                && stable.len() >= SHORTEST_BASE64
            {
                all.push(stable.to_owned());
            }
        }
    }
    all
}

/// The matchingIDs of all activation codes in a text: `1$smdp.example$MATCHING-ID`, with or without `LPA:` (SGP.22 §4.1).
fn activation_codes(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("1$").filter_map(|(start, found)| {
        let rest = text.get(start + found.len()..)?;
        let (address, rest) = rest.split_once('$')?;
        let ends = |c: char| c.is_whitespace() || matches!(c, '$' | '"' | '<' | '\'' | '\\' | '&');
        let id = rest.split(ends).next().unwrap_or_default();
        let is_address = !address.is_empty()
            && address.len() <= 255
            && address
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.:_[]".contains(&b));
        (is_address && id.len() >= SHORTEST).then_some(id)
    })
}

/// The password of `Authorization: Basic`, to be remembered beside the header's value.
pub(crate) fn basic_password(header: &str) -> Option<String> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

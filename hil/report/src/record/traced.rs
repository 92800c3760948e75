//! Messages that one of our programs has shown in its trace: JSON, `{name=value other={..}}`, or the text of a Rust value.

use super::fields::Fields;
use super::{Recorder, Route};
use crate::node::Node;

impl Recorder {
    /// Records a message by its trace: `content` is what the program shows of it, secrets as lengths already.
    pub fn traced(&mut self, route: &Route<'_>, title: &str, content: &str, length: u64) {
        let mut fields = Fields::new(&mut self.mask);
        match Node::parse(content.as_bytes()) {
            Some(node) => drop(fields.node("", &node)),
            None => members(content, &mut fields),
        }
        let correlation = fields.value(|name| {
            let last = name.rsplit('.').next().unwrap_or(name);
            matches!(
                last,
                "transactionId" | "activationCodeRequestID" | "request_id" | "login_id"
            )
        });
        let fields = fields.finish();
        let bytes = (!content.is_empty()).then(|| self.mask.text(content));
        let bytes = bytes.map(|text| aid_cli::printable::printable(&text).into_owned());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.push(route, title, fields, bytes, length, correlation);
    }
}

/// Deepest nesting that is taken apart.
const MAX_DEPTH: usize = 8;

/// Adds what is inside the outermost braces.
fn members(content: &str, fields: &mut Fields<'_>) {
    let inside = content.find('{').zip(content.rfind('}'));
    if let Some((begin, end)) = inside.filter(|(begin, end)| begin < end) {
        parts(&content[begin + 1..end], "", 0, fields);
    }
}

/// `a=1 b={c=2}` of AID1, and `a: 1, b: C { d: 2 }` of Rust values.
fn parts(text: &str, path: &str, depth: usize, fields: &mut Fields<'_>) {
    for part in split(text) {
        let Some(at) = part.find(['=', ':']) else {
            continue;
        };
        let (name, value) = (part[..at].trim(), part[at + 1..].trim());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let name = match path {
            "" => name.to_owned(),
            _ => format!("{path}.{name}"),
        };
        match (value.find('{'), value.strip_suffix('}')) {
            (Some(open), Some(inner)) if depth < MAX_DEPTH && open < inner.len() => {
                let variant = value[..open].trim();
                if !variant.is_empty() {
                    fields.text(&name, variant);
                }
                parts(&inner[open + 1..], &name, depth + 1, fields);
            }
            _ => match id(value) {
                Some(id) => fields.text(&name, &id),
                None => fields.text(&name, value.trim_matches('"')),
            },
        }
    }
}

/// Sixteen bytes as Rust shows an array of them.
fn id(value: &str) -> Option<String> {
    let numbers = value.strip_prefix('[')?.strip_suffix(']')?.split(", ");
    let bytes: Option<Vec<u8>> = numbers.map(|number| number.parse().ok()).collect();
    uuid::Uuid::from_slice(&bytes?)
        .ok()
        .map(|id| id.to_string())
}

/// Splits at commas and at blanks before a `name=`, outside of braces, brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let rust = text
        .find(['=', ':'])
        .is_none_or(|at| text[at..].starts_with(':'));
    let (mut parts, mut begin, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' | '(' | '<' if !quoted => depth += 1,
            '}' | ']' | ')' | '>' if !quoted => depth = depth.saturating_sub(1),
            ',' if rust && depth == 0 && !quoted => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            ' ' if !rust && depth == 0 && !quoted && is_member(&text[at + 1..]) => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

fn is_member(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    end.is_some_and(|end| end > 0 && text[end..].starts_with('='))
}

#[cfg(test)]
mod tests {
    use crate::{MASK, Message, Protocol, Recorder, Route};

    fn traced(content: &str) -> Message {
        let mut recorder = Recorder::new();
        let route = Route {
            at_us: 1,
            from: "a",
            to: "b",
            protocol: Protocol::Aid2,
        };
        recorder.traced(&route, "x", content, 3);
        recorder.take().remove(0)
    }

    fn shown(message: &Message) -> Vec<String> {
        let fields = message.fields.iter();
        fields.map(|f| format!("{}={}", f.name, f.value)).collect()
    }

    #[test]
    fn all_three_forms_become_fields() {
        let json = traced(r#"{"transactionId":"0A","a":{"b":1}}"#);
        assert_eq!(shown(&json), ["transactionId=0A", "a.b=1"]);
        assert_eq!(json.correlation.as_deref(), Some("0A"));
        let aid1 = traced(
            "{a=(41 characters) header={status={x=Executed-Success}} name=of two words iccid=89}",
        );
        assert_eq!(
            shown(&aid1),
            [
                "a=(41 characters)",
                "header.status.x=Executed-Success",
                "name=of two words",
                "iccid=89"
            ]
        );
        let rust = traced(
            "Login { login_id: [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], way: Pin { user: \"a, b\", n: None } }, 70 bytes",
        );
        assert_eq!(
            shown(&rust),
            [
                "login_id=05050505-0505-0505-0505-050505050505",
                "way=Pin",
                "way.user=a, b",
                "way.n=None"
            ]
        );
    }

    #[test]
    fn secrets_are_masked_by_name_and_anything_is_taken() {
        let message = traced("{pin=123456 other=123456}");
        assert_eq!(
            shown(&message),
            [format!("pin={MASK}"), format!("other={MASK}")]
        );
        for odd in [
            "",
            "{",
            "}",
            "}{",
            "{{{{{{{{{{{{{",
            "{=}",
            "{a=}",
            "a: }",
            "{a:{b:{",
            "é=é",
            "{é: é}",
        ] {
            traced(odd);
        }
    }
}

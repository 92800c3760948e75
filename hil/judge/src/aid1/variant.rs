//! Broken variants of a correct peer, for `--self-test`: each breaks one rule between the target and the judge, and a named
//! test has to find it. Legal habits of peers are among them, where nothing may be found.

use super::call::Call;
use super::wire::{Answer, Headers, Request, Trouble, Wire};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// One broken rule.
pub(crate) struct Variant {
    /// One word.
    pub(crate) name: &'static str,
    /// What it does, one line.
    pub(crate) about: &'static str,
    /// The test that has to find it.
    pub(crate) finds: &'static str,
    /// Changes what the judge sends, such as mending what the target would refuse.
    pub(crate) call: fn(&mut Call),
    /// Changes what the target answers.
    pub(crate) answer: fn(&Call, &mut Answer),
    /// Changes what the target calls.
    pub(crate) got: fn(&mut Request),
}

impl Variant {
    const fn new(name: &'static str, finds: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            finds,
            call: |_| (),
            answer: |_, _| (),
            got: |_| (),
        }
    }

    /// Of the judge's calls.
    pub(crate) const fn call(
        name: &'static str,
        finds: &'static str,
        about: &'static str,
        call: fn(&mut Call),
    ) -> Self {
        let mut variant = Self::new(name, finds, about);
        variant.call = call;
        variant
    }

    /// Of the target's answers.
    pub(crate) const fn answer(
        name: &'static str,
        finds: &'static str,
        about: &'static str,
        answer: fn(&Call, &mut Answer),
    ) -> Self {
        let mut variant = Self::new(name, finds, about);
        variant.answer = answer;
        variant
    }

    /// Of the target's calls.
    pub(crate) const fn got(
        name: &'static str,
        finds: &'static str,
        about: &'static str,
        got: fn(&mut Request),
    ) -> Self {
        let mut variant = Self::new(name, finds, about);
        variant.got = got;
        variant
    }
}

/// The call with a valid UUID in this header, where it has none, or more than one.
pub(crate) fn mended(call: &mut Call, name: &str) {
    let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
    let mut values = call.headers.iter().filter(named);
    let is_uuid = |text: &str| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    let valid = values.next().is_some_and(|(_, value)| is_uuid(value));
    if !valid || values.next().is_some() {
        let mut bytes = [0; 16];
        // Without random numbers the variant is refused, and missed: the self-test says so.
        let _ = getrandom::fill(&mut bytes);
        *call = call.clone().set(name, super::uuid(bytes).to_string());
    }
}

/// An answer without a body under this status.
pub(crate) fn bare(answer: &mut Answer, status: u16) {
    answer.status = status;
    answer.body.clear();
}

/// Changes a JSON body.
pub(crate) fn json(body: &mut Vec<u8>, change: impl FnOnce(&mut Value)) {
    if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
        change(&mut value);
        *body = value.to_string().into_bytes();
    }
}

/// A JSON body, or null.
pub(crate) fn body_of(call: &Call) -> Value {
    let body = call.body.as_deref().unwrap_or_default();
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// The answer as a correct peer with unusual habits sends it: interim answers, names of headers in another case and order,
/// chunks with extensions and trailers, blanks and escapes in JSON, further members, pieces of one byte.
pub(crate) fn unusual(answer: &Answer) -> Result<Answer, Trouble> {
    let began = Instant::now();
    let mut text = String::from("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    text.push_str(&format!(
        "HTTP/1.1 {} Whatever It Is\r\nX-Served-By:judge\r\n",
        answer.status
    ));
    for (name, value) in answer.headers.0.iter().rev() {
        let framing = ["content-length", "transfer-encoding", "connection"];
        if framing.iter().any(|f| name.eq_ignore_ascii_case(f)) {
            continue;
        }
        let value = match name.eq_ignore_ascii_case("content-type") && value == super::JSON {
            true => "Application/JSON;charset=UTF-8",
            false => value,
        };
        text.push_str(&format!("{}:\t{value}  \r\n", name.to_ascii_uppercase()));
    }
    let mut bytes = text.into_bytes();
    if answer.status == 204 {
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    } else if answer.body.is_empty() {
        bytes.extend_from_slice(b"Content-Length: 0\r\nConnection: close\r\n\r\n");
    } else {
        let body = odd(&answer.body);
        bytes.extend_from_slice(b"Transfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n");
        for chunk in body.chunks(7) {
            bytes.extend_from_slice(format!("{:X} ;a=\"b\"\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\n");
    }
    let wrong = |e: std::io::Error| Trouble::Connect(e.to_string());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    let sender = std::thread::spawn(move || {
        let Ok((mut socket, _)) = listener.accept() else {
            return;
        };
        let _ = socket.set_nodelay(true);
        let (first, rest) = bytes.split_at(bytes.len().min(200));
        for byte in first {
            if socket.write_all(&[*byte]).is_err() {
                return;
            }
        }
        let _ = socket.write_all(rest);
    });
    let socket = TcpStream::connect(address).map_err(wrong)?;
    let other = socket.try_clone().map_err(wrong)?;
    let mut read = Wire::new(socket, other, Duration::from_secs(30)).answer(began)?;
    let _ = sender.join();
    read.took = answer.took;
    Ok(read)
}

/// A call as a correct peer with unusual habits makes it.
pub(crate) fn unusual_call(request: &mut Request) {
    let mut headers: Vec<_> = std::mem::take(&mut request.headers).0;
    headers.reverse();
    for (name, value) in &mut headers {
        *name = name.to_ascii_uppercase();
        if name == "CONTENT-TYPE" {
            "Application/JSON;charset=UTF-8".clone_into(value);
        }
    }
    headers.push(("X-Forwarded-For".to_owned(), "192.0.2.1".to_owned()));
    request.headers = Headers(headers);
    if !request.body.is_empty() {
        request.body = odd(&request.body);
    }
}

/// A JSON object in other words: a further member, blanks around everything, members in another order, an escape.
fn odd(body: &[u8]) -> Vec<u8> {
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else {
        return body.to_vec();
    };
    let mut text = String::from(" \t{\r\n \"x-peer\" : { \"more\" : [ ] } ");
    for (name, value) in members.iter().rev() {
        let first = name.chars().next().map_or(0, u32::from);
        let rest: String = name.chars().skip(1).collect();
        text.push_str(&format!(" ,\n \"\\u{first:04x}{rest}\" : {value} "));
    }
    text.push_str("}\r\n");
    text.into_bytes()
}

/// The legal habits, as a variant that nothing finds.
pub(crate) const HABITS: Variant = Variant {
    got: unusual_call,
    answer: |_, answer| {
        // What can't be read is the judge's own mistake, and is found as one.
        *answer = unusual(answer).unwrap_or_else(|_| Answer {
            status: 599,
            ..answer.clone()
        });
    },
    ..Variant::new(
        "habits",
        "",
        "interim answers, chunks, blanks, escapes, other cases and orders",
    )
};

/// A refusal, as if the target had one.
pub(crate) fn refusal(answer: &mut Answer, status: u16, code: &str, error: &str) {
    answer.status = status;
    answer.body = json!({"code": code, "error": error})
        .to_string()
        .into_bytes();
    let named = |(name, _): &(String, String)| !name.eq_ignore_ascii_case("content-type");
    answer.headers.0.retain(named);
    let pair = ("content-type".to_owned(), super::JSON.to_owned());
    answer.headers.0.push(pair);
}

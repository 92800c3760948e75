//! Lines of the parts' `--trace` as messages between parties. Each message is taken from one of its two ends, the one that
//! decodes it: APDUs from the card, AID2 from the agent, ES9+ from the SM-DP+, ES2+ from the MSP, AID1 from the caller,
//! pages from their server. The parts mask secrets before they trace; what they show is masked by name once more.

use aid_report::{Protocol, Recorder, Route};
use std::collections::BTreeSet;

/// Reads lines; knows which pages are being answered.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Program, method and path of page requests without a response yet.
    pages: BTreeSet<(String, String)>,
}

/// What a line says, before it is recorded.
struct Seen<'a> {
    from: &'a str,
    to: &'a str,
    protocol: Protocol,
    title: String,
    content: &'a str,
    length: u64,
}

impl Lines {
    /// Records the message of a line of this program, if it has one; true if it has.
    pub(super) fn read(
        &mut self,
        recorder: &mut Recorder,
        at_us: u64,
        program: &str,
        line: &str,
    ) -> bool {
        let Some((_, event)) = line.split_once(" TRACE ") else {
            return false;
        };
        let Some((_, text)) = event.split_once("trace: ") else {
            return false;
        };
        let (out, text) = match (text.strip_prefix("-> "), text.strip_prefix("<- ")) {
            (Some(text), _) => (true, text),
            (_, Some(text)) => (false, text),
            _ => return false,
        };
        let Some(seen) = self.seen(program, out, text) else {
            return false;
        };
        let route = Route {
            at_us,
            from: seen.from,
            to: seen.to,
            protocol: seen.protocol,
        };
        recorder.traced(&route, &seen.title, seen.content, seen.length);
        true
    }

    fn seen<'a>(&mut self, program: &str, out: bool, text: &'a str) -> Option<Seen<'a>> {
        match program {
            "euicc-sim" => apdu(out, text),
            "aid-agent" => aid2(out, text),
            "aid-smdp" => es9(out, text),
            "aid-msp" if text.starts_with("ES2+ ") => es2(out, text),
            "aid-cmp" | "aid-msp" if text.starts_with("AID1 ") => aid1(program, out, text),
            "aid-cmp" | "aid-msp" if text.starts_with("HTTP ") => self.page(program, out, text),
            _ => None,
        }
    }

    /// `<- HTTP GET /login 0 bytes ` and `-> HTTP 200 GET /login 805 bytes`. A caller with a certificate is no browser.
    fn page<'a>(&mut self, program: &str, out: bool, text: &'a str) -> Option<Seen<'a>> {
        let server = party(program);
        let words: Vec<&str> = text.split(' ').collect();
        if out {
            let ["HTTP", status, method, path, bytes, "bytes"] = words[..] else {
                return None;
            };
            let page = (program.to_owned(), format!("{method} {path}"));
            return self.pages.remove(&page).then(|| Seen {
                from: server,
                to: "driver",
                protocol: Protocol::Page,
                title: format!("{status} {path}"),
                content: "",
                length: bytes.parse().unwrap_or(0),
            });
        }
        let ["HTTP", method, path, bytes, "bytes", ""] = words[..] else {
            return None;
        };
        // Bounded: a page that is never answered must not stay for ever.
        if self.pages.len() < 1_000 {
            self.pages
                .insert((program.to_owned(), format!("{method} {path}")));
        }
        Some(Seen {
            from: "driver",
            to: server,
            protocol: Protocol::Page,
            title: format!("{method} {path}"),
            content: "",
            length: bytes.parse().unwrap_or(0),
        })
    }
}

fn party(program: &str) -> &'static str {
    match program {
        "aid-cmp" => "cmp",
        "aid-msp" => "msp",
        "aid-smdp" => "smdp",
        _ => "bench",
    }
}

/// `APDU ch 1 STORE DATA GetEID block 0, last [P1 91 P2 00, 6 bytes]`, `APDU 9000 ok, 0 bytes`.
fn apdu(out: bool, text: &str) -> Option<Seen<'_>> {
    let text = text.strip_prefix("APDU ")?;
    let title = text.split(" [").next().unwrap_or(text);
    let title = match title.rsplit_once(", ") {
        Some((title, length)) if length.ends_with(" bytes") => title,
        _ => title,
    };
    let (from, to) = if out {
        ("card-1", "car-1")
    } else {
        ("car-1", "card-1")
    };
    Some(Seen {
        from,
        to,
        protocol: Protocol::Apdu,
        title: title.to_owned(),
        content: text,
        length: length_before(text, " bytes"),
    })
}

/// `MQTT Hello { .. }, 60 bytes`.
fn aid2(out: bool, text: &str) -> Option<Seen<'_>> {
    let text = text.strip_prefix("MQTT ")?;
    let end = text.find([' ', ',']).unwrap_or(text.len());
    let (from, to) = if out {
        ("car-1", "cmp")
    } else {
        ("cmp", "car-1")
    };
    Some(Seen {
        from,
        to,
        protocol: Protocol::Aid2,
        title: text[..end].to_owned(),
        content: text,
        length: length_before(text, " bytes"),
    })
}

/// `/gsma/rsp2/es9plus/initiateAuthentication {..}`, and the same with the status of the execution at last.
fn es9(out: bool, text: &str) -> Option<Seen<'_>> {
    let (path, content) = text.split_once(' ')?;
    let function = path.strip_prefix("/gsma/rsp2/es9plus/")?;
    let (from, to) = if out {
        ("smdp", "car-1")
    } else {
        ("car-1", "smdp")
    };
    let title = match content.starts_with('{') {
        true if !out => format!("ES9+.{function}"),
        true => format!("{function}: output"),
        false => format!("{function}: {content}"),
    };
    Some(Seen {
        from,
        to,
        protocol: Protocol::Es9,
        title,
        content,
        length: content.len() as u64,
    })
}

/// `ES2+ downloadOrder {..}`, `ES2+ downloadOrder 200 OK {..}`.
fn es2(out: bool, text: &str) -> Option<Seen<'_>> {
    let text = text.strip_prefix("ES2+ ")?;
    let (head, content) = head_and_content(text);
    let (from, to) = if out {
        ("msp", "smdp")
    } else {
        ("smdp", "msp")
    };
    Some(Seen {
        from,
        to,
        protocol: Protocol::Es2,
        title: format!("ES2+.{head}"),
        content,
        length: content.len() as u64,
    })
}

/// The caller's lines: `AID1 Request Activation Code to mspExample request .. {..}`, and the answer with `from`.
fn aid1<'a>(program: &str, out: bool, text: &'a str) -> Option<Seen<'a>> {
    let text = text.strip_prefix("AID1 ")?;
    let (head, content) = head_and_content(text);
    let (own, other) = match program {
        "aid-cmp" => ("cmp", "msp"),
        _ => ("msp", "cmp"),
    };
    let (title, peer) = head.split_once(if out { " to " } else { " from " })?;
    // The server's own lines name no request.
    if !peer.contains(" request ") {
        return None;
    }
    let (from, to) = if out { (own, other) } else { (other, own) };
    Some(Seen {
        from,
        to,
        protocol: Protocol::Aid1,
        title: title.to_owned(),
        content,
        length: content.len() as u64,
    })
}

fn head_and_content(text: &str) -> (&str, &str) {
    let at = text.find('{').unwrap_or(text.len());
    (text[..at].trim_end(), &text[at..])
}

/// The number before the last ` bytes`.
fn length_before(text: &str, unit: &str) -> u64 {
    let Some(at) = text.rfind(unit) else {
        return 0;
    };
    let digits = text[..at].rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_report::Message;

    fn read(lines: &[(&str, &str)]) -> Vec<Message> {
        let (mut reader, mut recorder) = (Lines::default(), Recorder::new());
        for (n, (program, line)) in lines.iter().enumerate() {
            let line = format!("2026-11-30T18:29:14.766923Z TRACE trace: {line}");
            reader.read(&mut recorder, n as u64, program, &line);
        }
        recorder.take()
    }

    fn shown(message: &Message) -> String {
        format!(
            "{} -> {}: {}, {}",
            message.from, message.to, message.title, message.length
        )
    }

    #[test]
    fn each_message_is_read_from_one_of_its_ends() {
        let messages = read(&[
            (
                "aid-agent",
                "-> MQTT Hello { software: \"aid\", profiles: [] }, 60 bytes",
            ),
            (
                "aid-cmp",
                "<- MQTT 8904 60 bytes #1 Hello { software: \"aid\" }",
            ),
            (
                "aid-cmp",
                "-> AID1 Request Activation Code to mspExample request 01 correlation 02 {eid=8904 deviceType=tcu}",
            ),
            (
                "aid-msp",
                "<- HTTP POST /v1/activation-code-requests/<36 characters> 181 bytes cmp",
            ),
            (
                "aid-msp",
                "<- AID1 RequestActivationCode from cmpAid {eid=8904}",
            ),
            ("aid-msp", "-> ES2+ downloadOrder {eid=8904}"),
            (
                "aid-smdp",
                "<- /gsma/rsp2/es2plus/downloadOrder {\"eid\":\"8904\"}",
            ),
            ("aid-msp", "<- ES2+ downloadOrder 200 OK {iccid=8988}"),
            ("aid-msp", "-> AID1 200 OK {activationCode=(41 characters)}"),
            (
                "aid-msp",
                "-> HTTP 200 POST /v1/activation-code-requests/<36 characters> 137 bytes",
            ),
            (
                "aid-cmp",
                "<- AID1 Request Activation Code 200 OK from mspExample request 01 {iccid=8988}",
            ),
            (
                "aid-smdp",
                "<- /gsma/rsp2/es9plus/initiateAuthentication {\"smdpAddress\":\"x\"}",
            ),
            (
                "aid-smdp",
                "-> /gsma/rsp2/es9plus/initiateAuthentication Executed-Success",
            ),
            (
                "euicc-sim",
                "<- APDU ch 1 STORE DATA GetEID block 0, last [P1 91 P2 00, 6 bytes]",
            ),
            ("euicc-sim", "-> APDU 9000 ok GetEID, 21 bytes"),
            ("aid-cmp", "<- HTTP GET /login 0 bytes "),
            ("aid-cmp", "-> HTTP 200 GET /login 805 bytes"),
            ("aid-cmp", "-> HTTP 200 GET /healthz 5 bytes"),
        ]);
        let all: Vec<String> = messages.iter().map(shown).collect();
        assert_eq!(
            all,
            [
                "car-1 -> cmp: Hello, 60",
                "cmp -> msp: Request Activation Code, 25",
                "msp -> smdp: ES2+.downloadOrder, 10",
                "smdp -> msp: ES2+.downloadOrder 200 OK, 12",
                "msp -> cmp: Request Activation Code 200 OK, 12",
                "car-1 -> smdp: ES9+.initiateAuthentication, 19",
                "smdp -> car-1: initiateAuthentication: Executed-Success, 16",
                "car-1 -> card-1: ch 1 STORE DATA GetEID block 0, last, 6",
                "card-1 -> car-1: 9000 ok GetEID, 21",
                "driver -> cmp: GET /login, 0",
                "cmp -> driver: 200 /login, 805",
            ]
        );
        assert_eq!(messages[1].fields[1].name, "deviceType");
        assert_eq!(messages[1].fields[1].value, "tcu");
    }

    #[test]
    fn lines_that_are_no_messages_are_left_alone() {
        let (mut reader, mut recorder) = (Lines::default(), Recorder::new());
        for line in [
            "",
            "2026 INFO aid: -> MQTT x",
            " TRACE trace: ",
            " TRACE trace: -> ",
            " TRACE trace: -> MQTT ",
            " TRACE trace: <- HTTP é",
            " TRACE trace: -> AID1 {",
        ] {
            for program in [
                "aid-cmp",
                "aid-msp",
                "aid-smdp",
                "aid-agent",
                "euicc-sim",
                "x",
            ] {
                reader.read(&mut recorder, 0, program, line);
            }
        }
        // An MQTT line without a name is a message without a title.
        assert!(recorder.take().len() <= 1);
    }
}

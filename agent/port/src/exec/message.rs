//! lpac's JSON lines, as lpac itself speaks them to its driver. docs/wire/lpac-stdio.md.

use crate::apdu::{MAX_CHANNEL, MAX_RESPONSE};
use serde::{Deserialize, Serialize};

/// Longest line of a helper, bytes: the longest R-APDU in hexadecimal digits, and what is around it.
pub const MAX_LINE: usize = 2 * MAX_RESPONSE + 1024;

/// What a helper is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Connect to the card.
    Connect,
    /// Open a logical channel with this application selected.
    Open(&'a [u8]),
    /// Pass this C-APDU on; its class byte names the channel.
    Transmit(&'a [u8]),
    /// Close this channel.
    Close(u8),
    /// Disconnect from the card.
    Disconnect,
}

/// What a helper answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It could not.
    Failed(i64),
    /// Done.
    Done,
    /// The channel that was opened.
    Channel(u8),
    /// The R-APDU.
    Apdu(Vec<u8>),
}

/// Why a line is not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not a JSON object with a type.
    #[error("a line is not a JSON object with a \"type\"")]
    Json,
    /// No `ecode`, or `data` that is not hexadecimal digits.
    #[error("the payload has no ecode, or data other than hexadecimal digits")]
    Payload,
    /// A channel number that does not exist.
    #[error("the channel is not 1 to {MAX_CHANNEL}")]
    Channel,
    /// An R-APDU of other than 2 to 65,538 bytes.
    #[error("the R-APDU does not have 2 to {MAX_RESPONSE} bytes")]
    Length,
}

#[derive(Serialize)]
struct Out<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: OutPayload<'a>,
}

#[derive(Serialize)]
struct OutPayload<'a> {
    func: &'a str,
    param: Option<String>,
}

#[derive(Deserialize)]
struct In<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    payload: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct InPayload {
    ecode: i64,
    #[serde(default)]
    data: Option<String>,
}

impl Request<'_> {
    /// The function's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Open(_) => "logic_channel_open",
            Self::Transmit(_) => "transmit",
            Self::Close(_) => "logic_channel_close",
            Self::Disconnect => "disconnect",
        }
    }

    /// The line to send, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        let param = match self {
            Self::Connect | Self::Disconnect => None,
            Self::Open(bytes) | Self::Transmit(bytes) => Some(hex::encode_upper(bytes)),
            Self::Close(channel) => Some(hex::encode_upper([*channel])),
        };
        let func = self.name();
        let message = Out {
            kind: "apdu",
            payload: OutPayload { func, param },
        };
        // Strings alone: nothing that could fail.
        let mut line = serde_json::to_string(&message).unwrap_or_default();
        line.push('\n');
        line
    }

    /// The answer in a line; `None`: the line is for somebody else (lpac's `lpa` and `progress`).
    ///
    /// # Errors
    /// [`MessageError`]: what follows can't be trusted either.
    pub fn answer(&self, line: &str) -> Result<Option<Answer>, MessageError> {
        let read: In<'_> = serde_json::from_str(line).map_err(|_| MessageError::Json)?;
        if read.kind != "apdu" {
            return Ok(None);
        }
        let payload = read.payload.map_or("null", |p| p.get());
        let payload: InPayload =
            serde_json::from_str(payload).map_err(|_| MessageError::Payload)?;
        if payload.ecode < 0 {
            return Ok(Some(Answer::Failed(payload.ecode)));
        }
        let answer = match self {
            Self::Open(_) => {
                let channel = u8::try_from(payload.ecode).ok();
                let channel = channel.filter(|c| (1..=MAX_CHANNEL).contains(c));
                Answer::Channel(channel.ok_or(MessageError::Channel)?)
            }
            _ if payload.ecode != 0 => Answer::Failed(payload.ecode),
            Self::Transmit(_) => {
                let data = payload.data.unwrap_or_default();
                let bytes = hex::decode(data).map_err(|_| MessageError::Payload)?;
                match bytes.len() {
                    2..=MAX_RESPONSE => Answer::Apdu(bytes),
                    _ => return Err(MessageError::Length),
                }
            }
            _ => Answer::Done,
        };
        Ok(Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_lpacs() {
        let cases: [(Request<'_>, &str); 5] = [
            (Request::Connect, r#"{"func":"connect","param":null}"#),
            (
                Request::Open(&[0xA0, 0]),
                r#"{"func":"logic_channel_open","param":"A000"}"#,
            ),
            (
                Request::Transmit(&[0x81, 0xE2]),
                r#"{"func":"transmit","param":"81E2"}"#,
            ),
            (
                Request::Close(2),
                r#"{"func":"logic_channel_close","param":"02"}"#,
            ),
            (Request::Disconnect, r#"{"func":"disconnect","param":null}"#),
        ];
        for (request, payload) in cases {
            let expected = format!("{{\"type\":\"apdu\",\"payload\":{payload}}}\n");
            assert_eq!(request.line(), expected);
        }
    }

    #[test]
    fn answers_belong_to_their_request() {
        let apdu = |payload: &str| format!(r#"{{"type":"apdu","payload":{payload}}}"#);
        let ok = |request: Request<'_>, payload: &str| request.answer(&apdu(payload));
        let open = Request::Open(&[]);
        let transmit = Request::Transmit(&[]);
        assert_eq!(ok(open, r#"{"ecode":3}"#), Ok(Some(Answer::Channel(3))));
        assert_eq!(
            ok(open, r#"{"ecode":-1,"data":null}"#),
            Ok(Some(Answer::Failed(-1)))
        );
        for bad in [0, 20, 300] {
            let payload = format!("{{\"ecode\":{bad}}}");
            assert_eq!(ok(open, &payload), Err(MessageError::Channel));
        }
        let answer = Answer::Apdu(vec![0x90, 0]);
        assert_eq!(
            ok(transmit, r#"{"ecode":0,"data":"9000"}"#),
            Ok(Some(answer))
        );
        assert_eq!(
            ok(transmit, r#"{"ecode":1,"data":"9000"}"#),
            Ok(Some(Answer::Failed(1)))
        );
        assert_eq!(
            ok(transmit, r#"{"ecode":0,"data":"90"}"#),
            Err(MessageError::Length)
        );
        assert_eq!(
            ok(transmit, r#"{"ecode":0,"data":"9x"}"#),
            Err(MessageError::Payload)
        );
        assert_eq!(
            ok(transmit, r#"{"data":"9000"}"#),
            Err(MessageError::Payload)
        );
        assert_eq!(ok(transmit, "null"), Err(MessageError::Payload));
        assert_eq!(
            ok(Request::Connect, r#"{"ecode":0}"#),
            Ok(Some(Answer::Done))
        );
        let other = r#"{"type":"progress","payload":{"message":"x"}}"#;
        assert_eq!(transmit.answer(other), Ok(None));
        assert_eq!(transmit.answer("hello"), Err(MessageError::Json));
        let longest = hex::encode(vec![0; MAX_RESPONSE]);
        let line = apdu(&format!(r#"{{"ecode":0,"data":"{longest}"}}"#));
        assert!(line.len() <= MAX_LINE && transmit.answer(&line).is_ok());
    }

    proptest! {
        #[test]
        fn any_line_is_an_answer_or_an_error(line in "\\PC{0,60}") {
            let _ = Request::Transmit(&[]).answer(&line);
        }
    }
}

//! What each line of a modem is. ITU-T V.250 §5.7; 3GPP TS 27.007 §9.2.

use crate::apdu::MAX_RESPONSE;

/// Longest line that is kept, bytes: an R-APDU in hexadecimal digits with what is around it.
pub(super) const MAX_LINE: usize = 2 * MAX_RESPONSE + 64;
/// Longest piece of a modem's text in an error, characters.
const MAX_TEXT: usize = 80;

/// A reason for which a modem refused a command: a final result code other than OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Number of +CME ERROR (TS 27.007 §9.2), where the modem gave one.
    pub code: Option<u16>,
    /// The line as it came, shortened, without control characters.
    pub text: String,
}

impl Cause {
    fn new(line: &str, code: Option<u16>) -> Self {
        let text = line.chars().filter(|c| !c.is_control()).take(MAX_TEXT);
        Self {
            code,
            text: text.collect(),
        }
    }

    fn is(&self, code: u16, text: &str) -> bool {
        self.code == Some(code) || self.code.is_none() && self.text.to_lowercase().contains(text)
    }

    /// The same command may succeed soon: SIM busy, or (u-blox) initialisation in progress.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is(14, "busy") || self.is(515, "please wait")
    }

    /// The modem does not have this session (any more).
    pub(super) fn is_unknown_session(&self) -> bool {
        self.text == "ERROR"
            || self.is(3, "not allowed")
            || self.is(21, "invalid index")
            || self.is(50, "incorrect parameters")
            || self.is(50, "invalid parameter")
    }

    /// What a person does about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match () {
            () if self.is(10, "not inserted") => "; is a card in the slot, and the slot selected?",
            () if self.is(11, "pin required") => {
                "; the SIM's PIN is locked: enter it (AT+CPIN) or disable it"
            }
            () if self.is(12, "puk required") => {
                "; the SIM's PIN is blocked: unblock it with its PUK"
            }
            () if self.is(3, "not allowed") || self.is(4, "not supported") => {
                "; this AT port may not have SIM commands: try another one of the modem"
            }
            () => "",
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.code {
            Some(3) => " (operation not allowed)",
            Some(4) => " (operation not supported)",
            Some(10) => " (SIM not inserted)",
            Some(11) => " (SIM PIN required)",
            Some(12) => " (SIM PUK required)",
            Some(13) => " (SIM failure)",
            Some(14) => " (SIM busy)",
            Some(15) => " (SIM wrong)",
            Some(50) => " (incorrect parameters)",
            _ => "",
        };
        write!(f, "{}{name}{}", self.text, self.hint())
    }
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A final result code.
    Final(Result<(), Cause>),
    /// `+NAME: rest`: information or an unsolicited result code.
    Info(&'a str, &'a str),
    /// Anything else.
    Text(&'a str),
}

/// Final result codes without a colon, beside OK.
const REFUSALS: [&str; 8] = [
    "ERROR",
    "NO CARRIER",
    "NO DIALTONE",
    "NO ANSWER",
    "BUSY",
    "ABORTED",
    "COMMAND NOT SUPPORT",
    "COMMAND NOT SUPPORTED",
];

impl<'a> Line<'a> {
    pub(super) fn read(line: &'a str) -> Self {
        if line == "OK" {
            return Self::Final(Ok(()));
        }
        if REFUSALS.contains(&line) {
            return Self::Final(Err(Cause::new(line, None)));
        }
        let Some((name, rest)) = line.split_once(':') else {
            return Self::Text(line);
        };
        let rest = rest.trim();
        match name {
            "+CME ERROR" => Self::Final(Err(Cause::new(line, rest.parse().ok()))),
            "+CMS ERROR" => Self::Final(Err(Cause::new(line, None))),
            name if name.starts_with(['+', '^', '#', '$', '%', '*']) => Self::Info(name, rest),
            _ => Self::Text(line),
        }
    }
}

/// The R-APDU in `length,"hex"`. Some modems count bytes instead of digits, or leave the quotation marks out.
pub(super) fn answer(rest: &str) -> Option<Vec<u8>> {
    let (length, digits) = rest.split_once(',')?;
    let length: usize = length.trim().parse().ok()?;
    let digits = digits.trim().trim_matches('"');
    let bytes = hex::decode(digits).ok()?;
    (length == digits.len() || length == bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lines_are() {
        let refused = |line| match Line::read(line) {
            Line::Final(Err(cause)) => cause,
            other => panic!("{other:?}"),
        };
        assert!(refused("+CME ERROR: 14").is_busy());
        assert!(refused("+CME ERROR: SIM busy").is_busy());
        assert!(!refused("ERROR").is_busy());
        assert!(refused("+CME ERROR: Incorrect parameters").is_unknown_session());
        assert_eq!(refused("COMMAND NOT SUPPORT").code, None);
        assert!(refused("+CME ERROR: 11").to_string().contains("AT+CPIN"));
        assert_eq!(Line::read("+CCHO: 1"), Line::Info("+CCHO", "1"));
        assert_eq!(
            Line::read("+CGLA:4,\"9000\""),
            Line::Info("+CGLA", "4,\"9000\"")
        );
        assert_eq!(Line::read("RDY"), Line::Text("RDY"));
    }

    #[test]
    fn answers_of_modems() {
        for good in ["4,\"9000\"", "4,9000", "2,\"9000\"", " 4 , \"9000\""] {
            assert_eq!(answer(good), Some(vec![0x90, 0]), "{good}");
        }
        for bad in [
            "",
            "4",
            "4,\"900\"",
            "6,\"9000\"",
            "x,\"9000\"",
            "4,\"90 0\"",
            "4,\"90é\"",
        ] {
            assert_eq!(answer(bad), None, "{bad}");
        }
    }
}

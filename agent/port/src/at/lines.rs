//! A modem's bytes as lines, and what each of them is. ITU-T V.250 §5.7; 3GPP TS 27.007 §9.2.

use crate::apdu::MAX_RESPONSE;

/// Longest line that is kept, bytes: an R-APDU in hexadecimal digits with what is around it.
pub(super) const MAX_LINE: usize = 2 * MAX_RESPONSE + 64;
/// Longest piece of a modem's text in an error, characters.
const MAX_TEXT: usize = 80;

/// Cuts bytes into lines. CR and LF both end a line; empty lines are left out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// The line became too long: the rest of it is dropped.
    overlong: bool,
}

impl Lines {
    /// Takes bytes; calls `each` with every line that ends in them. An overlong line is `None`.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Option<&str>)) {
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    if std::mem::take(&mut self.overlong) {
                        each(None);
                    } else {
                        let text = String::from_utf8_lossy(&self.line);
                        let text = text.trim();
                        if !text.is_empty() {
                            each(Some(text));
                        }
                    }
                    self.line.clear();
                }
                _ if self.line.len() == MAX_LINE => self.overlong = true,
                byte => self.line.push(*byte),
            }
        }
    }

    /// Forgets an unfinished line.
    pub(super) fn clear(&mut self) {
        self.line = Vec::new();
        self.overlong = false;
    }
}

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
    let bytes = unhex(digits)?;
    (length == digits.len() || length == bytes.len()).then_some(bytes)
}

/// Bytes of hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|d| d as u8);
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?))
        .collect()
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| DIGITS[usize::from(n & 15)] as char;
    let digits = bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]);
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Option<String>> {
        let (mut cutter, mut seen) = (Lines::default(), Vec::new());
        for chunk in chunks {
            cutter.push(chunk, |line| seen.push(line.map(str::to_owned)));
        }
        seen
    }

    #[test]
    fn an_overlong_line_is_reported_and_the_next_one_read() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let seen = lines(&[&long, b"OK\r\nOK\r\n"]);
        assert_eq!(seen, [None, Some("OK".into())]);
    }

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

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[ -~\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(lines(&pieces), lines(&[text.as_bytes()]));
        }

        #[test]
        fn hex_there_and_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        }
    }
}

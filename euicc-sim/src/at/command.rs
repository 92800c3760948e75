//! One AT command taken apart: its name, what is asked, its parameters.
//! ITU-T V.250 §5.2.1, §5.3, §5.4; 3GPP TS 27.007 §4.

use super::error::Cme;

/// What a command wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    /// `AT+X`
    Run,
    /// `AT+X?`
    Read,
    /// `AT+X=?`
    Test,
    /// `AT+X=...`
    Set(&'a str),
}

/// A command of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// Name in capitals: `+` and letters of an extended one, one letter (after `&` two characters) of a
    /// basic one, `S` and the number without leading zeros of an S-parameter.
    pub(super) name: String,
    /// What is wanted.
    pub(super) ask: Ask<'a>,
}

/// The commands of a line after its `AT`. Basic ones follow each other, extended ones end with a semicolon
/// or the line; a dial string takes the rest of the line. Spaces between the parts count for nothing.
pub(super) fn commands(mut line: &str) -> Vec<Command<'_>> {
    let mut out = Vec::new();
    loop {
        line = line.trim_start_matches([' ', ';']);
        let (command, rest) = match line.chars().next() {
            None => return out,
            Some('+' | '^' | '$' | '*' | '%' | '#') => {
                let (text, rest) = line.split_at(semicolon(line));
                (extended(text), rest)
            }
            Some('S' | 's') => parameter(&line[1..]),
            Some('D' | 'd') => {
                let name = "D".to_owned();
                let ask = Ask::Set(line[1..].trim());
                (Command { name, ask }, "")
            }
            Some(first) => basic(first, &line[first.len_utf8()..]),
        };
        out.push(command);
        line = rest;
    }
}

/// `<letter>[<number>]` and `&<letter>[<number>]` (§5.3.1): the command, and what comes after it. Whatever
/// else stands behind it makes it another command, which nobody knows.
fn basic(first: char, rest: &str) -> (Command<'_>, &str) {
    let mut name = String::from(first);
    let mut rest = rest;
    if first == '&' {
        rest = rest.trim_start();
        if let Some(letter) = rest.chars().next() {
            name.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    let (digits, mut rest) = digits(rest);
    if let Some(odd) = rest.chars().next().filter(|c| matches!(c, '=' | '?')) {
        name.push(odd);
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || "=? ".contains(c));
    }
    let ask = match digits {
        "" => Ask::Run,
        digits => Ask::Set(digits),
    };
    name.make_ascii_uppercase();
    (Command { name, ask }, rest)
}

/// `S<number>?` and `S<number>=[<value>]` (§5.3.2); a value that is left out is 0.
fn parameter(rest: &str) -> (Command<'_>, &str) {
    let (number, rest) = digits(rest);
    let number = match number.trim_start_matches('0') {
        "" if number.is_empty() => "",
        "" => "0",
        number => number,
    };
    let name = format!("S{number}");
    if let Some(rest) = rest.strip_prefix('?') {
        return (
            Command {
                name,
                ask: Ask::Read,
            },
            rest,
        );
    }
    let Some(rest) = rest.strip_prefix('=') else {
        return (
            Command {
                name,
                ask: Ask::Run,
            },
            rest,
        );
    };
    if let Some(rest) = rest.trim_start().strip_prefix('?') {
        return (
            Command {
                name,
                ask: Ask::Test,
            },
            rest,
        );
    }
    let (value, rest) = digits(rest);
    let ask = Ask::Set(if value.is_empty() { "0" } else { value });
    (Command { name, ask }, rest)
}

/// Decimal digits at the beginning, spaces around them left out.
fn digits(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    (digits, rest.trim_start())
}

/// Where the next semicolon outside of quotation marks is.
fn semicolon(line: &str) -> usize {
    let mut quoted = false;
    let found = line.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == ';' && !quoted
    });
    found.map_or(line.len(), |(at, _)| at)
}

/// `+NAME`, `+NAME?`, `+NAME=?`, `+NAME=<parameters>` (§5.4).
fn extended(text: &str) -> Command<'_> {
    let (name, rest) = text.split_at(text.find(['=', '?']).unwrap_or(text.len()));
    let ask = match rest.strip_prefix('=').map(str::trim) {
        Some("?") => Ask::Test,
        Some(parameters) => Ask::Set(parameters),
        None if rest.is_empty() => Ask::Run,
        None if rest.trim() == "?" => Ask::Read,
        // Something behind the question mark: no command.
        None => {
            return Command {
                name: text.to_ascii_uppercase(),
                ask: Ask::Run,
            };
        }
    };
    let mut name: String = name.chars().filter(|c| *c != ' ').collect();
    name.make_ascii_uppercase();
    Command { name, ask }
}

/// Parameters between commas (§5.4.2): numbers as they are; strings without their quotation marks, with
/// characters that are written as a backslash and two hexadecimal digits.
pub(super) struct Params(Vec<Result<String, Cme>>);

impl Params {
    pub(super) fn new(text: &str) -> Self {
        let mut quoted = false;
        let parts = text.split(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        Self(parts.map(|part| constant(part.trim())).collect())
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// A string, with or without quotation marks.
    pub(super) fn string(&self, at: usize) -> Result<&str, Cme> {
        match self.0.get(at) {
            Some(Ok(text)) => Ok(text),
            _ => Err(Cme::WrongParameters),
        }
    }

    /// A string that may be left out.
    pub(super) fn optional(&self, at: usize) -> Option<&str> {
        self.string(at).ok().filter(|text| !text.is_empty())
    }

    /// A number up to `max`.
    pub(super) fn number(&self, at: usize, max: u32) -> Result<u32, Cme> {
        let number: Option<u32> = self.string(at)?.parse().ok();
        number.filter(|n| *n <= max).ok_or(Cme::WrongParameters)
    }

    /// Hexadecimal digits.
    pub(super) fn bytes(&self, at: usize) -> Result<Vec<u8>, Cme> {
        hex::decode(self.string(at)?).map_err(|_| Cme::WrongParameters)
    }

    /// A command APDU with its number of digits before it.
    pub(super) fn apdu(&self, length: usize) -> Result<Vec<u8>, Cme> {
        let digits = self.number(length, 1 << 17)? as usize;
        let apdu = self.bytes(length + 1)?;
        let right = apdu.len() * 2 == digits && apdu.len() >= 4;
        right.then_some(apdu).ok_or(Cme::WrongParameters)
    }
}

/// One parameter: what is between its quotation marks, or itself when it has none.
fn constant(text: &str) -> Result<String, Cme> {
    if !text.contains('"') {
        return Ok(text.to_owned());
    }
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let inner = inner
        .filter(|t| !t.contains('"'))
        .ok_or(Cme::WrongParameters)?;
    let mut parts = inner.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(Cme::WrongParameters)?;
        let code = u8::from_str_radix(digits, 16).map_err(|_| Cme::WrongParameters)?;
        out.push(char::from(code));
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Vec<(String, Ask<'_>)> {
        commands(line)
            .into_iter()
            .map(|c| (c.name, c.ask))
            .collect()
    }

    #[test]
    fn lines_are_taken_apart() {
        assert_eq!(parse(""), []);
        let name = |n: &str| n.to_owned();
        assert_eq!(
            parse("e0v1+cmee=1;+CPIN?;I"),
            [
                (name("E"), Ask::Set("0")),
                (name("V"), Ask::Set("1")),
                (name("+CMEE"), Ask::Set("1")),
                (name("+CPIN"), Ask::Read),
                (name("I"), Ask::Run),
            ]
        );
        assert_eq!(
            parse("+CSIM=10,\"00;4\";&F0Z"),
            [
                (name("+CSIM"), Ask::Set("10,\"00;4\"")),
                (name("&F"), Ask::Set("0")),
                (name("Z"), Ask::Run),
            ]
        );
        assert_eq!(parse("+CCHO=?"), [(name("+CCHO"), Ask::Test)]);
        assert_eq!(parse("é").len(), 1);
    }

    #[test]
    fn basic_commands_have_the_syntax_of_v_250() {
        let name = |n: &str| n.to_owned();
        let zero = || Ask::Set("0");
        // S-parameters: number, value, nothing for 0, leading zeros; others directly behind them.
        for line in [
            "S0=0", "s0=0", "S 0 = 0", "S00=0", "S0=", " S0 = ", ";S0=0;",
        ] {
            assert_eq!(parse(line), [(name("S0"), zero())], "{line}");
        }
        assert_eq!(
            parse("s3=13s4?S5=?E1&c1 V 0 S0=1+CMEE=1;S0?Q"),
            [
                (name("S3"), Ask::Set("13")),
                (name("S4"), Ask::Read),
                (name("S5"), Ask::Test),
                (name("E"), Ask::Set("1")),
                (name("&C"), Ask::Set("1")),
                (name("V"), Ask::Set("0")),
                (name("S0"), Ask::Set("1")),
                (name("+CMEE"), Ask::Set("1")),
                (name("S0"), Ask::Read),
                (name("Q"), Ask::Run),
            ]
        );
        assert_eq!(parse("S"), [(name("S"), Ask::Run)]);
        assert_eq!(parse("S007"), [(name("S7"), Ask::Run)]);
        // A dial string is the rest of the line, semicolons and letters included.
        assert_eq!(
            parse("E0D +49 (30) 1;E1"),
            [
                (name("E"), Ask::Set("0")),
                (name("D"), Ask::Set("+49 (30) 1;E1"))
            ]
        );
        // No syntax of a basic command.
        for odd in ["E=1", "E?", "&"] {
            assert!(
                parse(odd)[0].0.len() != 1 || parse(odd)[0].0 == "&",
                "{odd}"
            );
        }
    }

    #[test]
    fn extended_commands_ignore_case_and_spaces() {
        for line in ["+CFUN=1,1", " +cfun = 1,1 ", "+Cfun=1,1;", "+C FUN=1,1;;"] {
            assert_eq!(
                parse(line),
                [("+CFUN".to_owned(), Ask::Set("1,1"))],
                "{line}"
            );
        }
        assert_eq!(parse("+CFUN = ?"), [("+CFUN".to_owned(), Ask::Test)]);
        assert_eq!(parse("+CFUN ?"), [("+CFUN".to_owned(), Ask::Read)]);
        assert_eq!(parse("+CFUN?1")[0].0, "+CFUN?1");
    }

    #[test]
    fn string_constants_have_escapes_and_both_marks() {
        let p = Params::new("\"a\\22b\\5C\",\"x;,y\",\"open");
        assert_eq!(p.string(0), Ok("a\"b\\"));
        assert_eq!(p.string(1), Ok("x;,y"));
        assert_eq!(p.string(2), Err(Cme::WrongParameters));
        for wrong in ["\"", "\"\\2\"", "\"\\GG\"", "x\"y\"", "\"a\"b"] {
            assert_eq!(
                Params::new(wrong).string(0),
                Err(Cme::WrongParameters),
                "{wrong}"
            );
        }
    }

    #[test]
    fn parameters_are_typed() {
        let p = Params::new("1, \"A0,00\" ,,\"\"");
        assert_eq!(p.number(0, 9), Ok(1));
        assert_eq!(p.string(1), Ok("A0,00"));
        assert_eq!(
            (p.optional(2), p.optional(3), p.optional(4)),
            (None, None, None)
        );
        assert_eq!(
            Params::new("8,\"00A4000c\"").apdu(0),
            Ok(vec![0, 0xA4, 0, 0x0C])
        );
        for wrong in ["9,00A4000C", "10,00A4000C", "8,00A4000G", "8", "4,00A4"] {
            assert_eq!(Params::new(wrong).apdu(0), Err(Cme::WrongParameters));
        }
    }
}

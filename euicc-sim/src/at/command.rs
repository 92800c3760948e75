//! One AT command taken apart: its name, what is asked, its parameters.
//! ITU-T V.250 §5.4, 3GPP TS 27.007 §4. Called by [`super::modem`].

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
    /// Name in capitals, `+` included; a basic command has one letter.
    pub(super) name: String,
    /// What is wanted.
    pub(super) ask: Ask<'a>,
}

/// The commands of a line after its `AT`: basic ones follow each other, extended ones have a
/// semicolon between them.
pub(super) fn commands(mut line: &str) -> Vec<Command<'_>> {
    let mut out = Vec::new();
    loop {
        line = line.trim_start_matches([' ', ';']);
        if line.is_empty() {
            return out;
        }
        let extended = line.starts_with(['+', '^', '$', '*', '%', '#']);
        let end = if extended {
            semicolon(line)
        } else {
            // A letter (or & and a letter) with digits, =, ? or nothing behind it.
            let name = if line.starts_with('&') { 2 } else { 1 };
            let rest = line.char_indices().skip(name);
            let more = rest.take_while(|(_, c)| c.is_ascii_digit() || "=?".contains(*c));
            more.last().map_or_else(
                || {
                    line.char_indices()
                        .nth(name)
                        .map_or(line.len(), |(at, _)| at)
                },
                |(at, c)| at + c.len_utf8(),
            )
        };
        out.push(one(&line[..end], extended));
        line = &line[end..];
    }
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

fn one(text: &str, extended: bool) -> Command<'_> {
    let name_end = if extended {
        text.find(['=', '?']).unwrap_or(text.len())
    } else {
        let digit = |c: char| c.is_ascii_digit() || "=?".contains(c);
        text.find(digit).unwrap_or(text.len())
    };
    let (name, rest) = text.split_at(name_end);
    let ask = match rest.trim() {
        "" => Ask::Run,
        "?" => Ask::Read,
        "=?" => Ask::Test,
        rest => Ask::Set(rest.strip_prefix('=').unwrap_or(rest)),
    };
    Command {
        name: name.trim().to_ascii_uppercase(),
        ask,
    }
}

/// Parameters between commas, those in quotation marks without them.
pub(super) struct Params<'a>(Vec<&'a str>);

impl<'a> Params<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut quoted = false;
        let parts = text.split(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        Self(parts.map(str::trim).collect())
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// A string, with or without quotation marks.
    pub(super) fn string(&self, at: usize) -> Result<&'a str, Cme> {
        let text = self.0.get(at).ok_or(Cme::WrongParameters)?;
        let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        Ok(inner.unwrap_or(text))
    }

    /// A string that may be left out.
    pub(super) fn optional(&self, at: usize) -> Option<&'a str> {
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

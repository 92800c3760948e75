//! Activation codes as people paste them: out of a mail, a web page, a shell or a link (SGP.22 §4.1).
//!
//! Everything whose meaning is clear is read: the prefix `LPA:` in any case, blanks and line breaks, quotes, percent
//! encoding, a code inside a link, a scheme before the address, dashes that a word processor has exchanged, small letters
//! in the matching id (the server decides about them), and the fields that later versions of SGP.22 add at the end.
//! Whoever makes or passes codes on uses the strict [`FromStr`](core::str::FromStr) of [`ActivationCode`].

use crate::activation_code::{ActivationCode, ActivationCodeError, MAX_ACTIVATION_CODE, is_oid};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// Longest text that is looked at, bytes: a code whose every character is percent-encoded, and a link around it.
const MAX_PASTED: usize = 4 * MAX_ACTIVATION_CODE;
/// Fields that versions up to 3 of SGP.22 have at most, the format included.
const MAX_FIELDS: usize = 8;

impl ActivationCode {
    /// Reads a code as people paste it. The matching id may have any visible characters of ASCII, the address may be an
    /// IPv4 address or have a port: whether such an address is reached is for the caller.
    ///
    /// # Errors
    /// What is missing or not clear.
    pub fn from_pasted(text: &str) -> Result<Self, ActivationCodeError> {
        if text.len() > MAX_PASTED {
            return Err(ActivationCodeError::TooLong(text.chars().count()));
        }
        let plain = without_ornaments(text);
        let decoded = match plain.contains('%') {
            true => without_ornaments(&percent_decoded(&plain)),
            false => plain,
        };
        let code = after_prefix(&decoded);
        if code.len() > MAX_ACTIVATION_CODE {
            return Err(ActivationCodeError::TooLong(code.len()));
        }
        let body = code.strip_prefix("1$").ok_or(ActivationCodeError::Format)?;
        let fields: Vec<&str> = body.split('$').collect();
        let count = fields.len() + 1;
        let (Some(address), Some(matching_id)) = (fields.first(), fields.get(1)) else {
            return Err(ActivationCodeError::Fields(count));
        };
        if count > MAX_FIELDS {
            return Err(ActivationCodeError::Fields(count));
        }
        let address = address_of(address).ok_or(ActivationCodeError::Address)?;
        if !matching_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ActivationCodeError::MatchingId);
        }
        let oid = fields.get(2).copied().filter(|oid| !oid.is_empty());
        if oid.is_some_and(|oid| !is_oid(oid)) {
            return Err(ActivationCodeError::Oid);
        }
        let confirmation_code = match fields.get(3) {
            None | Some(&"" | &"0") => false,
            Some(&"1") => true,
            Some(_) => return Err(ActivationCodeError::Flag),
        };
        Ok(Self {
            address,
            matching_id: (*matching_id).to_string(),
            oid: oid.map(Into::into),
            confirmation_code,
        })
    }
}

/// Takes away what surrounds a code or got into it on its way: white space, characters without width, quotes and angle
/// brackets, the backslash of a shell before `$`; makes one dash of all dashes and one dollar sign of all.
fn without_ornaments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_whitespace() || c.is_control() => {}
            '"' | '\'' | '`' | '<' | '>' | '\\' => {}
            // Quotes of word processors; marks without width.
            '\u{2018}'..='\u{201F}' | '\u{AB}' | '\u{BB}' | '\u{2039}' | '\u{203A}' => {}
            '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' => {}
            '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE63}' | '\u{FF0D}' => out.push('-'),
            '\u{FE69}' | '\u{FF04}' => out.push('$'),
            c => out.push(c),
        }
    }
    out
}

/// Decodes `%24` and the like; a percent sign that begins no such triple stays. Bytes that are no ASCII are left out: no
/// field has any.
fn percent_decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let digits = tail
            .get(1..3)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                if byte.is_ascii() {
                    out.push(char::from(byte));
                }
                rest = &tail[3..];
            }
            None => {
                out.push('%');
                rest = &tail[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// What follows the last `LPA:`, in any case; all of the text where there is none. What precedes it is a link, such as
/// `https://…/?carddata=`, and what follows `&` another parameter of that link.
fn after_prefix(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    match lower.rfind("lpa:") {
        None => text,
        Some(at) => {
            let code = text[at + 4..].trim_start_matches('/');
            match at {
                0 => code,
                _ => code.split('&').next().unwrap_or(code),
            }
        }
    }
}

/// The host with its port, without a scheme before and a slash or dot after it.
fn address_of(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let skip = ["https://", "http://"]
        .iter()
        .find(|scheme| lower.starts_with(**scheme))
        .map_or(0, |scheme| scheme.len());
    let text = text[skip..].trim_end_matches('/');
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host = host.trim_end_matches('.');
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let number =
        |p: &str| p.bytes().all(|b| b.is_ascii_digit()) && matches!(p.parse::<u16>(), Ok(1..));
    if host.len() > 253 || !host.split('.').all(label) || !port.is_none_or(number) {
        return None;
    }
    Some(match port {
        None => host.to_string(),
        Some(port) => alloc::format!("{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ActivationCode {
        ActivationCode::from_pasted(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
    }

    #[test]
    fn ornaments_change_nothing() {
        let plain = "1$smdp.example.com$ABC-123$1.3.6.1$1";
        let expected: ActivationCode = plain.parse().expect("strict");
        let encoded: String = plain.bytes().map(|b| alloc::format!("%{b:02x}")).collect();
        let escaped = plain.replace('$', "\\$");
        let dashed = plain.replace('-', "\u{2013}");
        let texts = [
            plain.to_string(),
            alloc::format!("LPA:{plain}"),
            alloc::format!("lpa:{plain}"),
            alloc::format!("Lpa://{plain}"),
            alloc::format!("  lPa: {plain} \r\n"),
            alloc::format!("\"LPA:{plain}\""),
            alloc::format!("\u{201C}{plain}\u{201D}"),
            alloc::format!("<{plain}>"),
            alloc::format!("\u{FEFF}{plain}\n"),
            alloc::format!("LPA:{}", plain.replace('$', "$\n  ")),
            alloc::format!("LPA%3A{}", plain.replace('$', "%24")),
            encoded,
            escaped,
            dashed,
            alloc::format!(
                "https://esimsetup.example/esim_qrcode_provisioning?carddata=LPA:{plain}&x=1"
            ),
            alloc::format!(
                "https://esim.example/?carddata=LPA%3A{}&x=1",
                plain.replace('$', "%24")
            ),
            plain.replace("smdp.example.com", "https://smdp.example.com/"),
            plain.replace("smdp.example.com", "smdp.example.com."),
            alloc::format!("{plain}$"),
            alloc::format!("{plain}$81370F5125D0B1D408D4C3B232E6D25E795BEBFB"),
            alloc::format!("{plain}$81370F5125D0B1D408D4C3B232E6D25E795BEBFB$1"),
        ];
        for text in texts {
            assert_eq!(read(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn corners_of_the_fields() {
        let code = read("1$smdp.example.com$abc_1$$1");
        assert_eq!(code.matching_id(), "abc_1");
        assert!(code.oid().is_none() && code.confirmation_code_required());
        assert_eq!(code.in_capitals().expect("other").matching_id(), "ABC_1");
        assert!(read("1$smdp.example.com$ABC").in_capitals().is_none());
        assert!(!read("1$smdp.example.com$A$$0").confirmation_code_required());
        assert_eq!(read("1$smdp.example.com$").matching_id(), "");
        assert_eq!(read("1$127.0.0.1:8443$A").address(), "127.0.0.1:8443");
        assert_eq!(read("1$smdp.example.com$100%").matching_id(), "100%");
    }

    #[test]
    fn what_is_not_clear_is_refused_by_name() {
        use ActivationCodeError as E;
        let long = alloc::format!("1$a.example${}", "A".repeat(300));
        for (text, expected) in [
            ("", E::Format),
            ("hello", E::Format),
            ("2$a.example$A", E::Format),
            ("1$a.example", E::Fields(2)),
            ("1$a.example$A$1.2$1$$$$$", E::Fields(10)),
            ("1$$A", E::Address),
            ("1$user@a.example$A", E::Address),
            ("1$a.example/path$A", E::Address),
            ("1$a.example:0$A", E::Address),
            ("1$a.example:+1$A", E::Address),
            ("1$a.example$\u{e9}", E::MatchingId),
            ("1$a.example$A$x", E::Oid),
            ("1$a.example$A$$2", E::Flag),
            (&long, E::TooLong(312)),
        ] {
            assert_eq!(ActivationCode::from_pasted(text), Err(expected), "{text:?}");
        }
    }
}

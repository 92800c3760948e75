//! `pkcs11:` URIs (RFC 7512), as far as a key needs them.

use std::fmt;
use std::path::PathBuf;

/// A key of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUri {
    /// Label of the token (`token`).
    pub token: Option<String>,
    /// Serial number of the token (`serial`).
    pub serial: Option<String>,
    /// Label of the key (`object`).
    pub object: String,
    /// File with the PIN, in its first line (`pin-source`); none: the token needs no login.
    pub pin_source: Option<PathBuf>,
    /// The library (`module-path`).
    pub module_path: PathBuf,
}

/// What is wrong with a `pkcs11:` URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pkcs11 URI: {0}")]
pub struct UriError(String);

/// Decodes %XX (RFC 3986 §2.1).
fn decoded(name: &str, text: &str) -> Result<String, UriError> {
    let wrong = || UriError(format!("{name} has a malformed %-escape"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| UriError(format!("{name} is not UTF-8")))
}

impl TokenUri {
    /// Reads what is behind `pkcs11:`.
    ///
    /// # Errors
    /// Names the attribute that is malformed, unknown, given twice or missing.
    pub fn parse(rest: &str) -> Result<Self, UriError> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut serial, mut object) = (None, None, None);
        let (mut pin_source, mut module_path) = (None, None);
        let parts = path.split(';').map(|p| (p, true));
        let parts = parts.chain(query.split('&').map(|p| (p, false)));
        for (part, in_path) in parts.filter(|(p, _)| !p.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| UriError(format!("{part:?} is no name=value")))?;
            let value = decoded(name, value)?;
            let place = match (name, in_path) {
                ("token", true) => &mut token,
                ("serial", true) => &mut serial,
                ("object", true) => &mut object,
                ("type", true) if value == "private" => continue,
                ("type", true) => return Err(UriError("type must be private".into())),
                ("pin-source", false) => &mut pin_source,
                ("module-path", false) => &mut module_path,
                ("pin-value", _) => {
                    let text = "pin-value would show the PIN to whoever sees the configuration; write it into a file \
                                of mode 0600 and give pin-source=FILE";
                    return Err(UriError(text.into()));
                }
                ("token" | "serial" | "object" | "type", false)
                | ("pin-source" | "module-path", true) => {
                    let text = "token, serial, object and type stand before the ?, pin-source and module-path \
                                behind it";
                    return Err(UriError(format!("{name} is in the wrong place: {text}")));
                }
                _ => return Err(UriError(format!("unknown attribute {name:?}"))),
            };
            if place.replace(value).is_some() {
                return Err(UriError(format!("{name} is given twice")));
            }
        }
        let missing = |name| UriError(format!("{name} is missing"));
        if token.is_none() && serial.is_none() {
            return Err(missing("token (or serial)"));
        }
        // `file:` is the form of RFC 7512 §2.4.
        let pin_source =
            pin_source.map(|p| PathBuf::from(p.strip_prefix("file:").unwrap_or(p.as_str())));
        Ok(Self {
            token,
            serial,
            object: object.ok_or_else(|| missing("object (the key's label)"))?,
            pin_source,
            module_path: module_path
                .ok_or_else(|| missing("module-path (the token's library)"))?
                .into(),
        })
    }
}

/// As people recognise it: nothing of it is secret.
impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        if let Some(token) = &self.token {
            write!(f, "token={token};")?;
        }
        if let Some(serial) = &self.serial {
            write!(f, "serial={serial};")?;
        }
        write!(f, "object={}", self.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_read_and_decoded() {
        let uri = "token=TCU%201;object=vehicle;type=private?pin-source=file:/etc/aid/pin&module-path=/lib/t.so";
        let uri = TokenUri::parse(uri).expect("valid");
        assert_eq!(uri.token.as_deref(), Some("TCU 1"));
        assert_eq!(uri.object, "vehicle");
        assert_eq!(uri.pin_source, Some("/etc/aid/pin".into()));
        assert_eq!(uri.module_path, PathBuf::from("/lib/t.so"));
        assert_eq!(uri.to_string(), "pkcs11:token=TCU 1;object=vehicle");
        let serial = TokenUri::parse("serial=1;object=v?module-path=t.so").expect("valid");
        assert_eq!((serial.token, serial.pin_source), (None, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("object=v?module-path=t.so", "token (or serial) is missing"),
            ("token=t?module-path=t.so", "object"),
            ("token=t;object=v", "module-path"),
            (
                "token=t;token=u;object=v?module-path=t.so",
                "token is given twice",
            ),
            (
                "token=%4;object=v?module-path=t.so",
                "token has a malformed",
            ),
            (
                "token=%zz;object=v?module-path=t.so",
                "token has a malformed",
            ),
            (
                "token=%+1;object=v?module-path=t.so",
                "token has a malformed",
            ),
            ("token=%ff;object=v?module-path=t.so", "token is not UTF-8"),
            (
                "token=t;object=v?module-path=t.so&pin-value=1234",
                "pin-source=FILE",
            ),
            ("token=t;object=v;module-path=t.so", "wrong place"),
            ("token=t;object=v?module-path=t.so&token=u", "wrong place"),
            (
                "token=t;object=v;type=public?module-path=t.so",
                "type must be private",
            ),
            ("token=t;object=v;slot-id=1?module-path=t.so", "slot-id"),
            ("token", "no name=value"),
        ] {
            let error = TokenUri::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
    }
}

//! The syntax of `[euicc] port` and `--euicc`: one text that says how the card is reached.

use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Speed of a modem's serial line where none is given, bit/s. A USB modem ignores it.
pub const DEFAULT_BAUD: u32 = 115_200;
/// Clock of an SPI bus where none is given, Hz.
pub const DEFAULT_SPI_HZ: u32 = 1_000_000;
/// Longest text of an address, bytes.
pub const MAX_ADDRESS: usize = 4096;

/// The syntax, for help texts and errors.
pub const SYNTAX: &str = "socket:HOST:PORT or socket:PATH, at:TTY[:BAUD], pcsc[:READER], \
     spi:DEVICE[,HZ], i2c:DEVICE,ADDRESS, exec:COMMAND";

/// How a card is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// HOST:PORT or the path of a unix socket, in vpcd's framing (docs/wire/apdu-socket.md).
    Socket(String),
    /// A modem's AT port.
    At {
        /// The tty, e.g. `/dev/ttyUSB2`.
        tty: PathBuf,
        /// Speed of the line, bit/s.
        baud: u32,
    },
    /// A reader of the PC/SC daemon.
    Pcsc {
        /// Its name, or a part of it that no other reader has; without it the only reader with a card.
        reader: Option<String>,
    },
    /// A soldered eUICC on SPI (GPC_FST_172).
    Spi {
        /// The spidev, e.g. `/dev/spidev0.0`.
        device: PathBuf,
        /// Clock of the bus, Hz.
        hertz: u32,
    },
    /// A soldered eUICC on I2C (GPC_FST_172).
    I2c {
        /// The bus, e.g. `/dev/i2c-1`.
        device: PathBuf,
        /// 7-bit address, 08 to 77.
        address: u8,
    },
    /// A helper program that speaks lpac's JSON lines (docs/wire/lpac-stdio.md).
    Exec(Vec<String>),
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No known scheme before the first colon.
    #[error("{0:?} does not say how the card is reached; the syntax is {SYNTAX}{1}")]
    Scheme(String, String),
    /// Something of the scheme is missing or malformed.
    #[error("{text:?}: {what}; the syntax is {syntax}")]
    Part {
        /// The whole text.
        text: String,
        /// The problem.
        what: &'static str,
        /// Syntax of this scheme with an example.
        syntax: &'static str,
    },
}

const AT: &str = "at:TTY[:BAUD], e.g. at:/dev/ttyUSB2:115200";
const SPI: &str = "spi:DEVICE[,HZ], e.g. spi:/dev/spidev0.0,1000000";
const I2C: &str = "i2c:DEVICE,ADDRESS, e.g. i2c:/dev/i2c-1,0x48";
const SOCKET: &str = "socket:HOST:PORT or socket:PATH, e.g. socket:127.0.0.1:7816";
const EXEC: &str = "exec:COMMAND, e.g. exec:/usr/libexec/aid-qmi --device /dev/cdc-wdm0";
const PCSC: &str = "pcsc[:READER], e.g. pcsc:Alcor";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let short: String = text.chars().take(200).collect();
        let part = |what, syntax| AddressError::Part {
            text: short.clone(),
            what,
            syntax,
        };
        if text.len() > MAX_ADDRESS {
            return Err(part("the address is too long", SYNTAX));
        }
        if text == "pcsc" {
            return Ok(Self::Pcsc { reader: None });
        }
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        match scheme {
            "socket" => match rest {
                "" => Err(part("HOST:PORT or the path is missing", SOCKET)),
                rest => Ok(Self::Socket(rest.to_owned())),
            },
            "at" => at(rest).map_err(|what| part(what, AT)),
            "pcsc" => match rest.trim() {
                "" => Err(part(
                    "the reader's name is missing; leave out the colon for any",
                    PCSC,
                )),
                reader => Ok(Self::Pcsc {
                    reader: Some(reader.to_owned()),
                }),
            },
            "spi" => spi(rest).map_err(|what| part(what, SPI)),
            "i2c" => i2c(rest).map_err(|what| part(what, I2C)),
            "exec" => match words(rest) {
                Some(words) if !words.is_empty() => Ok(Self::Exec(words)),
                Some(_) => Err(part("the command is missing", EXEC)),
                None => Err(part("a quotation mark is not closed", EXEC)),
            },
            _ => Err(AddressError::Scheme(short.clone(), meant(&short))),
        }
    }
}

/// A hint for texts in the form that older configurations had, or of a plain device.
fn meant(text: &str) -> String {
    let scheme = match text {
        t if t.starts_with("/dev/tty") || t.starts_with("/dev/serial") => "at",
        t if t.starts_with("/dev/cdc-wdm") => {
            return "; a QMI or MBIM port needs a helper program: exec:COMMAND".into();
        }
        t if t.starts_with("/dev/spidev") => "spi",
        t if t.starts_with("/dev/i2c") => "i2c",
        t if t.contains('/') => "socket",
        t => match t.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => "socket",
            _ => return String::new(),
        },
    };
    format!("; did you mean {scheme}:{text}?")
}

fn at(rest: &str) -> Result<Address, &'static str> {
    // Names below /dev/serial/by-path have colons, too; only digits behind the last one are a speed.
    let (tty, baud) = match rest.rsplit_once(':') {
        Some((tty, baud)) if baud.is_empty() || baud.bytes().all(|b| b.is_ascii_digit()) => {
            let baud = baud.parse().ok().filter(|b| (300..=4_000_000).contains(b));
            (tty, baud.ok_or("the speed must be 300 to 4000000 bit/s")?)
        }
        _ => (rest, DEFAULT_BAUD),
    };
    if tty.is_empty() {
        return Err("the tty is missing");
    }
    Ok(Address::At {
        tty: tty.into(),
        baud,
    })
}

fn spi(rest: &str) -> Result<Address, &'static str> {
    let (device, hertz) = match rest.split_once(',') {
        Some((device, hertz)) => {
            let hertz = hertz.parse().ok();
            let hertz = hertz.filter(|hz| (10_000..=50_000_000).contains(hz));
            (
                device,
                hertz.ok_or("the clock must be 10000 to 50000000 Hz")?,
            )
        }
        None => (rest, DEFAULT_SPI_HZ),
    };
    if device.is_empty() {
        return Err("the device is missing");
    }
    Ok(Address::Spi {
        device: device.into(),
        hertz,
    })
}

fn i2c(rest: &str) -> Result<Address, &'static str> {
    let (device, address) = rest
        .split_once(',')
        .ok_or("the card's address is missing")?;
    if device.is_empty() {
        return Err("the device is missing");
    }
    let number = match address.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => address.parse(),
    };
    // The others are reserved (I2C specification §3.1.12).
    let number = number.ok().filter(|n| (0x08..=0x77).contains(n));
    Ok(Address::I2c {
        device: device.into(),
        address: number.ok_or("the card's address must be 0x08 to 0x77")?,
    })
}

/// Cuts a command line into words: spaces separate, quotation marks of both kinds hold together, a
/// backslash outside of single ones takes the next character as it is. No shell is involved.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(to) => write!(f, "socket:{to}"),
            Self::At { tty, baud } if *baud == DEFAULT_BAUD => write!(f, "at:{}", tty.display()),
            Self::At { tty, baud } => write!(f, "at:{}:{baud}", tty.display()),
            Self::Pcsc { reader: None } => f.write_str("pcsc"),
            Self::Pcsc { reader: Some(name) } => write!(f, "pcsc:{name}"),
            Self::Spi { device, hertz } if *hertz == DEFAULT_SPI_HZ => {
                write!(f, "spi:{}", device.display())
            }
            Self::Spi { device, hertz } => write!(f, "spi:{},{hertz}", device.display()),
            Self::I2c { device, address } => write!(f, "i2c:{},0x{address:02x}", device.display()),
            Self::Exec(words) => {
                f.write_str("exec:")?;
                for (n, word) in words.iter().enumerate() {
                    let space = if n == 0 { "" } else { " " };
                    write!(f, "{space}{}", quoted(word))?;
                }
                Ok(())
            }
        }
    }
}

/// A word of a command line so that [`words`] reads it again.
fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

impl Address {
    /// Makes the path of a socket or a tty relative to a folder: that of the configuration file.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Socket(to) if socket_is_path(&to) => {
                Self::Socket(folder.join(&to).to_string_lossy().into_owned())
            }
            Self::At { tty, baud } => Self::At {
                tty: folder.join(tty),
                baud,
            },
            other => other,
        }
    }
}

/// A path has a slash or no port; anything else is HOST:PORT.
pub(crate) fn socket_is_path(address: &str) -> bool {
    address.contains('/') || !address.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(tty: &str, baud: u32) -> Address {
        let tty = tty.into();
        Address::At { tty, baud }
    }

    #[test]
    fn every_scheme_is_read_and_written() {
        let exec = |words: &[&str]| Address::Exec(words.iter().map(|w| (*w).to_owned()).collect());
        let i2c = |address| Address::I2c {
            device: "/dev/i2c-1".into(),
            address,
        };
        let spi = |hertz| Address::Spi {
            device: "/dev/spidev0.0".into(),
            hertz,
        };
        let pcsc = |name: Option<&str>| Address::Pcsc {
            reader: name.map(Into::into),
        };
        for (text, expected) in [
            (
                "socket:127.0.0.1:7816",
                Address::Socket("127.0.0.1:7816".into()),
            ),
            ("socket:[::1]:7816", Address::Socket("[::1]:7816".into())),
            ("socket:/run/card", Address::Socket("/run/card".into())),
            ("at:/dev/ttyUSB2", at("/dev/ttyUSB2", DEFAULT_BAUD)),
            ("at:/dev/ttyUSB2:9600", at("/dev/ttyUSB2", 9600)),
            (
                "at:/dev/serial/by-path/pci-0000:00:14.0-port0",
                at("/dev/serial/by-path/pci-0000:00:14.0-port0", DEFAULT_BAUD),
            ),
            ("pcsc", pcsc(None)),
            ("pcsc:Virtual PCD 00 00", pcsc(Some("Virtual PCD 00 00"))),
            ("spi:/dev/spidev0.0", spi(DEFAULT_SPI_HZ)),
            ("spi:/dev/spidev0.0,500000", spi(500_000)),
            ("i2c:/dev/i2c-1,0x48", i2c(0x48)),
            (
                "exec:qmi --device /dev/cdc-wdm0",
                exec(&["qmi", "--device", "/dev/cdc-wdm0"]),
            ),
            ("exec:\"a b\" \"c\\\"d\" \"\"", exec(&["a b", "c\"d", ""])),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address, expected, "{text}");
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("i2c:/dev/i2c-1,72".parse(), Ok(i2c(72)));
        assert_eq!("exec:a 'b \\c'".parse(), Ok(exec(&["a", "b \\c"])));
    }

    #[test]
    fn errors_say_what_the_syntax_is() {
        for (text, expected) in [
            ("", "at:TTY[:BAUD]"),
            ("127.0.0.1:7816", "did you mean socket:127.0.0.1:7816?"),
            ("/run/card.sock", "did you mean socket:/run/card.sock?"),
            ("/dev/ttyUSB2", "did you mean at:/dev/ttyUSB2?"),
            ("/dev/cdc-wdm0", "helper program"),
            ("qmi:/dev/cdc-wdm0", "exec:COMMAND"),
            ("SOCKET:a:1", "socket:HOST:PORT"),
            ("socket:", "socket:127.0.0.1:7816"),
            ("at:", "e.g. at:/dev/ttyUSB2"),
            ("at::9600", "the tty is missing"),
            ("at:/dev/ttyUSB2:", "300 to 4000000"),
            ("at:/dev/ttyUSB2:1", "300 to 4000000"),
            ("pcsc:", "leave out the colon"),
            ("spi:", "spi:DEVICE[,HZ]"),
            ("spi:/dev/spidev0.0,fast", "Hz"),
            ("i2c:/dev/i2c-1", "address is missing"),
            ("i2c:/dev/i2c-1,0x78", "0x08 to 0x77"),
            ("i2c:,0x48", "device is missing"),
            ("exec:", "exec:COMMAND"),
            ("exec:  ", "command is missing"),
            ("exec:a \"b", "not closed"),
            ("exec:a \\", "not closed"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let long = "x".repeat(MAX_ADDRESS + 1);
        let error = long.parse::<Address>().expect_err("long").to_string();
        assert!(error.len() < 600 && error.contains("too long"), "{error}");
    }

    #[test]
    fn paths_are_relative_to_the_configuration() {
        let folder = Path::new("/etc/aid");
        for (text, expected) in [
            ("socket:card.sock", "socket:/etc/aid/card.sock"),
            ("socket:127.0.0.1:1", "socket:127.0.0.1:1"),
            ("at:modem", "at:/etc/aid/modem"),
            ("at:/dev/ttyUSB2", "at:/dev/ttyUSB2"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.relative_to(folder).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "(socket|at|pcsc|spi|i2c|exec):[ -~]{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }

        #[test]
        fn words_survive_quoting(list in proptest::collection::vec(".{0,8}", 1..5)) {
            let line: Vec<String> = list.iter().map(|w| quoted(w)).collect();
            prop_assert_eq!(words(&line.join(" ")), Some(list));
        }
    }
}

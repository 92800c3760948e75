//! A card that scripts are played to: behind a socket, or behind the AT commands of a modem.

use crate::frame;
use aid_cli::cli::Failure;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

/// A card somewhere.
pub(super) enum RemoteCard {
    /// `euicc-sim serve --socket`.
    Socket(Box<dyn frame::Connection>),
    /// AT+CSIM on a tty.
    Modem(BufReader<File>),
}

impl RemoteCard {
    /// Connects to a served card.
    pub(super) fn socket(address: &str) -> Result<Self, Failure> {
        frame::connect(address).map(Self::Socket)
    }

    /// Opens a modem's tty.
    pub(super) fn modem(tty: &Path) -> Result<Self, Failure> {
        let opened = || -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open(tty)?;
            let mut settings = tcgetattr(&file)?;
            settings.make_raw();
            tcsetattr(&file, OptionalActions::Flush, &settings)?;
            Ok(Self::Modem(BufReader::new(file)))
        };
        let mut card = opened().map_err(|e| {
            let tty = tty.display();
            Failure::new(format!(
                "cannot use the modem {tty}: {e}; give the tty of its AT commands"
            ))
        })?;
        card.at("ATE0")
            .map_err(|e| Failure::new(format!("the modem does not answer: {e}")))?;
        Ok(card)
    }

    /// Sends one APDU.
    pub(super) fn transmit(&mut self, apdu: &[u8]) -> io::Result<Vec<u8>> {
        if let Self::Socket(stream) = self {
            frame::write(stream, apdu)?;
            return frame::read(stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
        let digits = hex::encode_upper(apdu);
        let lines = self.at(&format!("AT+CSIM={},\"{digits}\"", digits.len()))?;
        let line = lines.iter().find_map(|l| l.strip_prefix("+CSIM:"));
        let answer = line.and_then(|l| l.split_once(',')).map(|(_, hex)| hex);
        let answer = answer.map(|text| text.trim().trim_matches('"'));
        answer
            .and_then(|digits| hex::decode(digits).ok())
            .ok_or_else(|| io::Error::other(format!("the modem says {lines:?}")))
    }

    /// Resets the card.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        if let Self::Socket(stream) = self {
            return frame::write(stream, &[frame::RESET]);
        }
        self.at("AT+CFUN=0")?;
        self.at("AT+CFUN=1").map(drop)
    }

    /// The answer to reset; a modem does not tell it.
    pub(super) fn atr(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Socket(stream) => {
                frame::write(stream, &[frame::ATR])?;
                let atr = frame::read(stream)?;
                atr.map(Some)
                    .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            Self::Modem(_) => Ok(None),
        }
    }

    /// One AT command: the lines before OK.
    fn at(&mut self, command: &str) -> io::Result<Vec<String>> {
        let Self::Modem(tty) = self else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut out = tty.get_ref();
        out.write_all(format!("{command}\r").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if tty.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim() {
                "" => {}
                "OK" => return Ok(lines),
                error if error == "ERROR" || error.starts_with("+CME ERROR") => {
                    return Err(io::Error::other(format!("{command}: {error}")));
                }
                line => lines.push(line.to_owned()),
            }
        }
    }
}

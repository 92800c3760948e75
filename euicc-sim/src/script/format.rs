//! The file of an APDU script: TOML, read into types, written in the order of the session.

use super::pattern::Pattern;
use aid_cli::cli::Failure;
use aid_cli::config;
use serde::{Deserialize, Deserializer};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Most steps of a script.
const MAX_STEPS: usize = 100_000;

/// A recorded session.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// What happens in it.
    pub(super) title: String,
    /// Scripts that are played before it, beside this one.
    #[serde(default)]
    pub(super) needs: Vec<PathBuf>,
    /// The session.
    #[serde(rename = "step")]
    pub(super) steps: Vec<Step>,
}

/// A command and its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// What it is, for people.
    #[serde(default)]
    pub(super) note: String,
    /// The command.
    pub(super) send: Send,
    /// What the answer looks like; none: it is not compared.
    #[serde(default)]
    pub(super) expect: Option<Pattern>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Send {
    /// The card is reset.
    Reset,
    /// The answer to reset is read.
    Atr,
    /// A command APDU.
    Apdu(Vec<u8>),
}

impl Send {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Reset => "reset".into(),
            Self::Atr => "atr".into(),
            Self::Apdu(apdu) => hex::encode_upper(apdu),
        }
    }
}

impl<'de> Deserialize<'de> for Send {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Ok(match text.as_str() {
            "reset" => Self::Reset,
            "atr" => Self::Atr,
            digits => {
                let digits: String = digits.split([' ', '\n']).collect();
                let apdu = hex::decode(&digits).map_err(serde::de::Error::custom)?;
                if !(4..=0xFFFF).contains(&apdu.len()) {
                    return Err(serde::de::Error::custom("an APDU has at least 4 bytes"));
                }
                Self::Apdu(apdu)
            }
        })
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads a script.
pub(super) fn load(file: &Path) -> Result<Script, Failure> {
    let remedy = "docs/wire/apdu-script.md describes scripts";
    let script: Script = config::load_as(file, "script", remedy)?;
    if script.steps.len() > MAX_STEPS {
        let text = format!("{}: more than {MAX_STEPS} steps", file.display());
        return Err(Failure::new(text));
    }
    Ok(script)
}

/// Writes a recorded session.
pub(super) fn write(title: &str, needs: &[String], steps: &[(Send, String, Vec<u8>)]) -> String {
    let mut out = String::from(
        "# An APDU script; docs/wire/apdu-script.md has the format, `euicc-sim replay` plays it.\n",
    );
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    let needs: Vec<String> = needs.iter().map(|n| quoted(n)).collect();
    let _ = writeln!(out, "title = {}", quoted(title));
    let _ = writeln!(out, "needs = [{}]", needs.join(", "));
    for (send, note, answer) in steps {
        let _ = writeln!(out, "\n[[step]]\nnote = {}", quoted(note));
        let _ = writeln!(out, "send = \"{}\"", send.text());
        if *send != Send::Reset {
            let _ = writeln!(out, "expect = \"{}\"", hex::encode_upper(answer));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let steps = [
            (Send::Reset, "reset".into(), vec![]),
            (Send::Atr, "the \"ATR\"".into(), vec![0x3B]),
            (
                Send::Apdu(vec![0, 0xA4, 0, 0]),
                "select".into(),
                vec![0x90, 0],
            ),
        ];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(&file, write("a session", &["b.toml".into()], &steps)).unwrap();
        let script = load(&file).unwrap();
        assert_eq!(script.title, "a session");
        assert_eq!(script.needs, [PathBuf::from("b.toml")]);
        assert_eq!(script.steps.len(), 3);
        for (step, (send, note, answer)) in script.steps.iter().zip(&steps) {
            assert_eq!((&step.send, &step.note), (send, note));
            assert!(step.expect.as_ref().is_none_or(|e| e.matches(answer)));
        }
        std::fs::write(&file, "title = \"x\"\n[[step]]\nsend = \"00A4\"\n").unwrap();
        let error = load(&file).unwrap_err().text;
        assert!(
            error.contains("line 3") && error.contains("4 bytes"),
            "{error}"
        );
        assert!(error.contains("apdu-script.md"), "{error}");
        let missing = load(&folder.path().join("none.toml")).unwrap_err().text;
        assert!(missing.contains("the script") && missing.contains("none.toml"));
    }
}

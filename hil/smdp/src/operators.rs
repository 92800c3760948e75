//! The operators that may call ES2+ (SGP.22 §5.3, §6.5): each is known by its client certificates, and touches its own
//! orders only.

use crate::core::Refusal;
use aid_cli::cli::Failure;
use aid_rsp::es9::RequestHeader;
use aid_serve::http::Peer;
use aid_serve::peer::{Certificate, Several, admits, certificates, in_common};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Longest name of an operator, characters.
const MAX_NAME: usize = 128;

/// `[[operator]]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What its orders are kept under. Absent: the last of its common names, or of its hashes.
    pub name: Option<String>,
    /// Common names of its client certificates.
    #[serde(default)]
    pub common_name: Several,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    pub certificate_sha256: Several,
    /// functionRequesterIdentifiers of its calls. Absent: any.
    #[serde(default)]
    pub requester: Several,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What its orders are kept under.
    pub name: String,
    certificates: Vec<Certificate>,
    requesters: Vec<String>,
}

impl Operator {
    fn new(entry: &Entry) -> Result<Self, String> {
        let certificates = certificates(&entry.common_name, &entry.certificate_sha256)?;
        // The oldest: it is there before, during and after the new one is added, until the rotation is over.
        let oldest = entry.common_name.iter().last();
        let oldest = oldest.or_else(|| entry.certificate_sha256.iter().last());
        let Some(oldest) = oldest else {
            return Err(
                "give common_name or certificate_sha256 of its client certificate: nobody could call otherwise"
                    .into(),
            );
        };
        let name = entry.name.as_deref().unwrap_or(oldest);
        if name.trim().is_empty()
            || name.chars().count() > MAX_NAME
            || name.chars().any(char::is_control)
        {
            return Err(format!(
                "name {name:?} must be 1 to {MAX_NAME} printable characters"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            certificates,
            requesters: entry.requester.iter().map(str::to_owned).collect(),
        })
    }

    /// Its name, if a call in its name bears one of its identifiers.
    ///
    /// # Errors
    /// 1.1/1.2: the functionRequesterIdentifier is another's.
    pub fn requests(&self, header: &RequestHeader) -> Result<&str, Refusal> {
        let given = header.function_requester_identifier.as_str();
        if self.requesters.is_empty() || self.requesters.iter().any(|own| own == given) {
            return Ok(&self.name);
        }
        Err(Refusal::requester_not_allowed(format!(
            "functionRequesterIdentifier {given:?} is not one of operator {:?}",
            self.name
        )))
    }
}

/// All operators; nobody else may call.
#[derive(Debug, Clone, Default)]
pub struct Operators(Vec<Operator>);

impl Operators {
    /// Checks the entries.
    ///
    /// # Errors
    /// An entry that names nobody, a malformed hash, or two entries that one certificate could be taken for.
    pub fn new(entries: &[Entry]) -> Result<Self, Failure> {
        let mut all: Vec<Operator> = Vec::new();
        let mut names = BTreeSet::new();
        for (n, entry) in entries.iter().enumerate() {
            let at = |e: String| {
                let name = entry.name.as_deref().or(entry.common_name.iter().last());
                let name = name.map_or(format!("number {}", n + 1), |name| format!("{name:?}"));
                Failure::new(format!("[[operator]] {name}: {e}"))
            };
            let operator = Operator::new(entry).map_err(at)?;
            for other in &all {
                if let Some(what) = in_common(&operator.certificates, &other.certificates) {
                    return Err(at(format!(
                        "{what} is one of operator {:?} too; a certificate says alone whose an order is",
                        other.name
                    )));
                }
            }
            if !names.insert(operator.name.clone()) {
                return Err(at(format!(
                    "another operator has the name {:?}; choose one that differs",
                    operator.name
                )));
            }
            all.push(operator);
        }
        Ok(Self(all))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|operator| operator.name.as_str())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: nobody may call then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose certificate a peer has; none where no operator has it, or more than one.
    #[must_use]
    pub fn of(&self, peer: &Peer) -> Option<&Operator> {
        let mut found = self
            .0
            .iter()
            .filter(|o| peer.is_certified() && admits(&o.certificates, peer.shown()));
        found.next().filter(|_| found.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        #[derive(Deserialize)]
        struct All {
            #[serde(default)]
            operator: Vec<Entry>,
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("operators.toml");
        std::fs::write(&file, text).unwrap();
        aid_cli::config::load::<All>(&file).unwrap().operator
    }

    fn peer(common_name: Option<&str>, byte: u8) -> Peer {
        Peer {
            common_name: common_name.map(Into::into),
            fingerprint: [byte; 32],
            addr: ([127, 0, 0, 1], 1).into(),
        }
    }

    #[test]
    fn an_operator_is_who_its_certificate_says() {
        let text = format!(
            "[[operator]]\nname = \"One\"\ncommon_name = [\"new\", \"old\"]\nrequester = \"1.2.3\"\n\
             [[operator]]\ncommon_name = \"two\"\ncertificate_sha256 = \"{}\"\n\
             [[operator]]\ncertificate_sha256 = \"{}\"\n",
            "02".repeat(32),
            "03".repeat(32)
        );
        let all = Operators::new(&entries(&text)).unwrap();
        let of = |name: Option<&str>, byte| all.of(&peer(name, byte)).map(|o| o.name.clone());
        assert_eq!(of(Some("new"), 1).as_deref(), Some("One"));
        assert_eq!(of(Some("old"), 1).as_deref(), Some("One"));
        assert_eq!(of(Some("two"), 2).as_deref(), Some("two"));
        assert_eq!(of(Some("two"), 9), None, "the name alone");
        assert_eq!(of(Some("server"), 2), None, "the hash alone");
        assert_eq!(of(None, 3), Some("03".repeat(32)));
        // Fits two entries, which no list can tell apart.
        assert_eq!(of(Some("old"), 3), None);
        // Without TLS there is no certificate, whatever else is said.
        assert_eq!(of(Some("old"), 0), None);
        assert_eq!(of(None, 1), None);
        assert!(Operators::default().of(&peer(Some("old"), 1)).is_none());

        let header = |id: &str| RequestHeader {
            function_requester_identifier: aid_rsp::es9::Text::new(id).unwrap(),
            ..RequestHeader::default()
        };
        let one = all.of(&peer(Some("old"), 1)).unwrap();
        assert_eq!(one.requests(&header("1.2.3")).unwrap(), "One");
        for other in ["", "1.2.3.4", "1.2"] {
            let refusal = one.requests(&header(other)).unwrap_err();
            assert_eq!((refusal.subject, refusal.reason), ("1.1", "1.2"));
        }
        let two = all.of(&peer(Some("two"), 2)).unwrap();
        assert_eq!(two.requests(&header("1.2.3")).unwrap(), "two");
    }

    #[test]
    fn entries_that_name_nobody_or_two_are_reported() {
        let hash = "02".repeat(32);
        for (text, says) in [
            ("[[operator]]\n".to_owned(), "number 1"),
            ("[[operator]]\nname = \"One\"\n".into(), "\"One\""),
            ("[[operator]]\ncommon_name = \"\"\n".into(), "common_name"),
            ("[[operator]]\ncommon_name = \" msp\"\n".into(), "common_name"),
            ("[[operator]]\nname = \" \"\ncommon_name = \"a\"\n".into(), "name"),
            ("[[operator]]\ncertificate_sha256 = \"xyz\"\n".into(), "certificate_sha256"),
            (
                format!("[[operator]]\ncertificate_sha256 = \"{}\"\n", "0".repeat(64)),
                "certificate_sha256",
            ),
            (
                "[[operator]]\ncommon_name = [\"x\", \"a\"]\n[[operator]]\nname = \"B\"\ncommon_name = \"a\"\n".into(),
                "common_name \"a\"",
            ),
            (
                format!(
                    "[[operator]]\ncommon_name = \"a\"\ncertificate_sha256 = \"{hash}\"\n[[operator]]\n\
                     common_name = \"b\"\ncertificate_sha256 = \"{hash}\"\n"
                ),
                "0202",
            ),
            (
                "[[operator]]\nname = \"a\"\ncommon_name = \"b\"\n[[operator]]\ncommon_name = \"a\"\n".into(),
                "the name \"a\"",
            ),
        ] {
            let error = Operators::new(&entries(&text)).unwrap_err().text;
            assert!(error.contains(says) && error.contains("[[operator]]"), "{error}");
        }
        assert!(Operators::new(&[]).unwrap().is_empty());
    }
}

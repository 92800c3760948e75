//! Counts the cryptographic operations of the first provisioning out of the parts' logs.

use crate::site::Site;
use aid_cli::cli::Failure;
use serde::Serialize;
use std::fmt;
use std::time::SystemTime;
use time::OffsetDateTime;

/// Operations on P-256, and TLS handshakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// ECDSA signatures.
    pub(crate) sign: u64,
    /// ECDSA verifications.
    pub(crate) verify: u64,
    /// Key agreements.
    pub(crate) ecdh: u64,
    /// Key pairs made.
    pub(crate) keygen: u64,
    /// TLS handshakes with a client certificate.
    pub(crate) mutual_tls: u64,
    /// TLS handshakes without.
    pub(crate) tls: u64,
}

impl Counts {
    /// Reads the logs of a story that has ended; only lines between these two times count.
    pub(crate) fn between(site: &Site, from: SystemTime, to: SystemTime) -> Result<Self, Failure> {
        let (from, to) = (timestamp(from), timestamp(to));
        let mut counts = Self::default();
        for program in ["euicc-sim", "aid-smdp", "aid-msp", "aid-cmp"] {
            let file = site.path(&format!("logs/{program}.log"));
            let log = std::fs::read_to_string(&file)
                .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?;
            for line in log.lines() {
                if line >= from.as_str() && line <= to.as_str() {
                    counts.line(line);
                }
            }
        }
        if counts.sign == 0 || counts.verify == 0 || counts.tls == 0 {
            return Err(Failure::new(format!(
                "the logs show {counts}, which can't be a provisioning; are figures logged?"
            )));
        }
        Ok(counts)
    }

    fn line(&mut self, line: &str) {
        if !line.contains(" figures: ") {
            return;
        }
        if field(line, "handshake=").is_some() {
            match field(line, "mutual=") {
                Some("true") => self.mutual_tls += 1,
                _ => self.tls += 1,
            }
        }
        let number = |key| field(line, key).and_then(|n| n.parse().ok()).unwrap_or(0);
        self.sign += number("sign=");
        self.verify += number("verify=");
        self.ecdh += number("ecdh=");
        self.keygen += number("keygen=");
    }
}

/// As the logs write it, so that lines compare as texts: RFC 3339, UTC, microseconds.
fn timestamp(time: SystemTime) -> String {
    let t = OffsetDateTime::from(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.microsecond()
    )
}

fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key))
        .map(|value| value.trim_matches('"'))
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} signatures, {} verifications, {} key agreements, {} key pairs, {} mutual and {} other TLS handshakes",
            self.sign, self.verify, self.ecdh, self.keygen, self.mutual_tls, self.tls
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_figures_count() {
        let mut counts = Counts::default();
        for line in [
            "2026-11-24T23:00:00Z DEBUG figures: cryptography sign=1 verify=2 ecdh=0 keygen=0",
            "2026-11-24T23:00:00Z DEBUG figures: cryptography sign=1 verify=2 ecdh=1 keygen=1",
            "2026-11-24T23:00:00Z DEBUG figures: TLS connection handshake=1 mutual=false",
            "2026-11-24T23:00:00Z DEBUG figures: TLS connection handshake=1 mutual=true",
            "2026-11-24T23:00:00Z DEBUG other: cryptography sign=9",
        ] {
            counts.line(line);
        }
        let expected = Counts {
            sign: 2,
            verify: 4,
            ecdh: 1,
            keygen: 1,
            mutual_tls: 1,
            tls: 1,
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_timestamp_is_what_logs_have() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_795_561_200_000_042);
        assert_eq!(timestamp(time), "2026-11-24T23:00:00.000042Z");
    }
}

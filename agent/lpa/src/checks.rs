//! What the LPA checks of a server's answers, and what it computes for them: addresses, names and OID of the SM-DP+
//! (SGP.22 §4.1), the hash of the Confirmation Code (§3.1.3), the metadata inside a package (§2.5.4).

use crate::error::LpaError;
use crate::read;
use aid_rsp::cert::Certificate;
use aid_rsp::es8;
use aid_rsp::es10::{StoreMetadataRequest, TransactionId};
use aid_rsp::tlv::{Tlv, TlvError};
use sha2::{Digest as _, Sha256};

/// The host of an address, without its port.
fn host(address: &str) -> &str {
    address.split_once(':').map_or(address, |(host, _)| host)
}

/// The address that the server signs is the one we asked; some servers leave out the port.
pub(crate) fn same_server(signed: &str, asked: &str) -> bool {
    signed.eq_ignore_ascii_case(asked) || signed.eq_ignore_ascii_case(host(asked))
}

/// §4.1: where CERT.DPauth names hosts, the one that was asked is among them. One that can't be read is for the card
/// to judge.
pub(crate) fn check_name(server: &str, certificate: &[u8]) -> Result<(), LpaError> {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return Ok(());
    };
    let names: Vec<&str> = certificate.dns_names().collect();
    let asked = |name: &&str| name.eq_ignore_ascii_case(host(server));
    if names.is_empty() || names.iter().any(asked) {
        return Ok(());
    }
    Err(LpaError::ServerName {
        server: server.to_owned(),
        names: names.join(", "),
    })
}

/// §4.1.1: the SM-DP+ OID of the activation code is the registeredID of CERT.DPauth.
pub(crate) fn check_oid(server: &str, certificate: &[u8], expected: &str) -> Result<(), LpaError> {
    let wrong = || LpaError::Oid {
        server: server.to_owned(),
        expected: expected.to_owned(),
    };
    let certificate = Certificate::from_der(certificate).map_err(|_| wrong())?;
    let wanted = oid_contents(expected).ok_or_else(wrong)?;
    if certificate.registered_id() == Some(&wanted[..]) {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// Contents octets of an OID (X.690 §8.19).
fn oid_contents(text: &str) -> Option<Vec<u8>> {
    let mut arcs = text.split('.').map(|arc| arc.parse::<u64>().ok());
    let (first, second) = (arcs.next()??, arcs.next()??);
    let mut out = Vec::new();
    let mut push = |arc: u64| {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            out.push((arc >> (7 * group)) as u8 & 0x7F | more);
        }
    };
    push(first.checked_mul(40)?.checked_add(second)?);
    for arc in arcs {
        push(arc?);
    }
    Some(out)
}

/// §3.1.3: SHA-256 over the SHA-256 of the confirmation code and the TransactionID.
pub(crate) fn hash_cc(code: &str, id: TransactionId) -> [u8; 32] {
    let inner = Sha256::digest(code.as_bytes());
    Sha256::new()
        .chain_update(inner)
        .chain_update(id.as_bytes())
        .finalize()
        .into()
}

/// The StoreMetadata of a package: authenticated there, not encrypted (§2.5.4: segments 88).
pub(crate) fn metadata_of(bpp: &[u8]) -> Result<Option<StoreMetadataRequest>, LpaError> {
    /// MAC of a segment, bytes.
    const MAC: usize = 8;
    es8::segments(bpp)?;
    let wrong = |e: TlvError| LpaError::Package(e.into());
    let mut parts = Tlv::parse(bpp).map_err(wrong)?.children();
    let Some(sequence) = parts.find(es8::tags::SEQUENCE_OF_88).map_err(wrong)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    for segment in sequence.children() {
        let value = segment.map_err(wrong)?.value;
        bytes.extend_from_slice(&value[..value.len().saturating_sub(MAC)]);
    }
    // What can't be read is for the card to judge.
    Ok(read::metadata(&bytes).ok().map(|(metadata, _)| metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_are_coded_as_x690_says() {
        assert_eq!(oid_contents("2.999.10"), Some(vec![0x88, 0x37, 0x0A]));
        assert_eq!(
            oid_contents("1.3.6.1.4.1.31746"),
            Some(vec![0x2B, 6, 1, 4, 1, 0x81, 0xF8, 2])
        );
        for bad in ["", "1", "1.x", "1..2", "99999999999999999999.1"] {
            assert_eq!(oid_contents(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_confirmation_code_is_hashed_twice_with_the_transaction() {
        let id = TransactionId::new(&[1, 2, 3]).expect("id");
        let inner: [u8; 32] = Sha256::digest(b"12345678").into();
        let expected: [u8; 32] = Sha256::digest([&inner[..], &[1, 2, 3]].concat()).into();
        assert_eq!(hash_cc("12345678", id), expected);
    }

    #[test]
    fn servers_are_compared_with_or_without_port() {
        assert!(same_server("LocalHost:443", "localhost:443"));
        assert!(same_server("localhost", "localhost:8443"));
        assert!(!same_server("localhost:8444", "localhost:8443"));
        assert!(!same_server("", "localhost"));
    }

    // SGP.22 §4.1
    #[test]
    fn a_certificate_that_names_hosts_names_the_one_that_was_asked() {
        let issued = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let key = rcgen::KeyPair::generate().expect("key");
            let params = rcgen::CertificateParams::new(names).expect("params");
            let certificate = params.self_signed(&key).expect("certificate");
            certificate.der().to_vec()
        };
        let one = issued(&["smdp.example.com", "other.example.com"]);
        assert!(check_name("SMDP.example.com", &one).is_ok());
        assert!(check_name("other.example.com:8443", &one).is_ok());
        let error = check_name("evil.example.com", &one).expect_err("another");
        let text = error.to_string();
        assert!(
            text.contains("smdp.example.com, other.example.com"),
            "{text}"
        );
        assert!(!error.permanent());
        assert!(check_name("evil.example.com", &issued(&[])).is_ok());
        assert!(check_name("evil.example.com", &[0x30, 0]).is_ok());
    }
}

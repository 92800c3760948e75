//! Reads the outermost fields of X.509 certificates (RFC 5280 §4.1). Verifies nothing: TLS has checked the signature of a
//! peer's certificate before.

/// OID 2.5.4.3 id-at-commonName, DER content.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Reads one DER element: tag, content, rest. Lengths up to 65,535.
pub(crate) fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (
            usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?),
            rest.get(2..)?,
        ),
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// Content of the element that must have this tag, and the rest.
pub(crate) fn expect(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (got, content, rest) = element(input)?;
    (got == tag).then_some((content, rest))
}

/// The certificate from its subject on.
fn from_subject(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(certificate, 0x30)?;
    let (mut rest, _) = expect(certificate, 0x30)?;
    if let Some((_, after)) = expect(rest, 0xA0) {
        rest = after;
    }
    // serialNumber, signature, issuer, validity
    for tag in [0x02, 0x30, 0x30, 0x30] {
        (_, rest) = expect(rest, tag)?;
    }
    Some(rest)
}

/// The public key: the DER of SubjectPublicKeyInfo.
#[must_use]
pub fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, rest) = expect(from_subject(certificate)?, 0x30)?;
    let (_, after) = expect(rest, 0x30)?;
    rest.get(..rest.len() - after.len())
}

/// The public key of a certificate request (RFC 2986): the DER of SubjectPublicKeyInfo.
#[must_use]
pub fn request_key(request: &[u8]) -> Option<&[u8]> {
    let (request, _) = expect(request, 0x30)?;
    let (rest, _) = expect(request, 0x30)?;
    // version, subject
    let (_, rest) = expect(rest, 0x02)?;
    let (_, rest) = expect(rest, 0x30)?;
    let (_, after) = expect(rest, 0x30)?;
    rest.get(..rest.len() - after.len())
}

/// The subject's only common name; none when absent, repeated or not text.
#[must_use]
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let (mut subject, _) = expect(from_subject(certificate)?, 0x30)?;
    let mut found = None;
    while !subject.is_empty() {
        let (mut set, after) = expect(subject, 0x31)?;
        subject = after;
        while !set.is_empty() {
            let (attribute, after) = expect(set, 0x30)?;
            set = after;
            let (oid, value) = expect(attribute, 0x06)?;
            if oid != COMMON_NAME {
                continue;
            }
            let (tag, text, _) = element(value)?;
            // UTF8String, PrintableString, IA5String
            if found.is_some() || !matches!(tag, 0x0C | 0x13 | 0x16) {
                return None;
            }
            found = Some(String::from_utf8(text.to_vec()).ok()?);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("params");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, text) in names {
            params.distinguished_name.push(kind.clone(), *text);
        }
        let key = KeyPair::generate().expect("key");
        params
            .self_signed(&key)
            .expect("certificate")
            .der()
            .to_vec()
    }

    #[test]
    fn the_common_name_is_found_among_others() {
        let names = [
            (DnType::OrganizationName, "OEM"),
            (DnType::CommonName, "89049032000000000000000000000001"),
        ];
        let der = certificate(&names);
        let got = common_name(&der);
        assert_eq!(got.as_deref(), Some("89049032000000000000000000000001"));
        assert_eq!(
            common_name(&certificate(&[(DnType::OrganizationName, "OEM")])),
            None
        );
    }

    #[test]
    fn the_public_key_is_that_of_the_pair() {
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(vec!["localhost".into()]).expect("params");
        let expected = rcgen::PublicKeyData::subject_public_key_info(&key);
        let request = params.serialize_request(&key).expect("request");
        assert_eq!(request_key(request.der()), Some(expected.as_slice()));
        let certificate = params.self_signed(&key).expect("certificate");
        assert_eq!(public_key(certificate.der()), Some(expected.as_slice()));
        for end in 0..certificate.der().len() {
            let _ = public_key(&certificate.der()[..end]);
            let _ = request_key(&request.der()[..end.min(request.der().len())]);
        }
    }

    #[test]
    fn any_damage_is_no_name_and_no_panic() {
        let der = certificate(&[(DnType::CommonName, "cmp")]);
        for end in 0..der.len() {
            let _ = common_name(&der[..end]);
            let mut damaged = der.clone();
            damaged[end] ^= 0xFF;
            let _ = common_name(&damaged);
        }
    }
}

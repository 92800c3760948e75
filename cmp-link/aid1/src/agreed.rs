//! What two parties agreed about calling each other, as their configuration files have it: keys,
//! passwords, certificates and secrets, each of which may be there twice while it is replaced.
//!
//! To replace one: add the new value as the first of a list; have the other party change; remove the
//! old value. Of what we send or sign with, the first is used.

use aid_id::partner;
pub use aid_id::partner::{MAX_VALUES, Several};

use crate::account_id::Secret;
use crate::headers::Credentials;
use crate::operation::Api;
use crate::phone::PhoneKey;
use crate::server::Certificate;

/// What a party may prove itself with here: API keys and `user:password` pairs (AID.02 §5.1, §6).
///
/// # Errors
/// Which key of the configuration is wrong, and how.
pub fn credentials_in(
    api_key_in: &Several,
    basic_in: &Several,
) -> Result<Vec<Credentials>, String> {
    let keys = api_key_in
        .iter()
        .map(|key| Credentials::api_key(key).map_err(|e| format!("api_key_in: {e}")));
    let pairs = basic_in.iter().map(|pair| basic("basic_in", pair));
    let all = keys.chain(pairs).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err("give api_key_in, basic_in or both: nobody could call otherwise".into());
    }
    Ok(all)
}

/// What we prove ourselves with there: an API key or a `user:password` pair.
///
/// # Errors
/// As [`credentials_in`]; both or none are given.
pub fn credentials_out(
    api_key_out: Option<&str>,
    basic_out: Option<&str>,
) -> Result<Credentials, String> {
    match (api_key_out, basic_out) {
        (Some(key), None) => Credentials::api_key(key).map_err(|e| format!("api_key_out: {e}")),
        (None, Some(pair)) => basic("basic_out", pair),
        _ => Err("give api_key_out or basic_out, one of the two (AID.02 §5.1)".into()),
    }
}

fn basic(key: &str, pair: &str) -> Result<Credentials, String> {
    let (user, password) = pair
        .split_once(':')
        .ok_or_else(|| format!("{key}: write user:password"))?;
    Credentials::basic(user, password).map_err(|e| format!("{key}: {e}"))
}

/// Whether a text is the address of a web page: `https://HOST[:PORT]`, with a path and a query if there are some.
/// `key` names it.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn page(key: &str, url: &str) -> Result<(), String> {
    let plain = url
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\' | b'<' | b'>' | b'"'));
    let host = url.parse::<http::Uri>().ok().and_then(|uri| {
        let authority = uri.authority()?;
        // A user before the host makes this something else, and what is behind it is a port.
        let port = authority.as_str().strip_prefix(authority.host())?;
        let good = port.is_empty() || authority.port_u16().is_some();
        (good && uri.scheme_str() == Some("https")).then(|| authority.host().to_owned())
    });
    if plain && host.is_some_and(|host| !host.is_empty()) {
        Ok(())
    } else {
        Err(format!(
            "{key} {url:?} must be https://HOST[:PORT]/PATH, without user and fragment (AID.02 §6)"
        ))
    }
}

/// The client certificates of a party: by common name, by SHA-256 of the whole (hexadecimal, colons allowed), or by
/// both, which then must both fit. One of the two must be there, so that no party's certificate serves another
/// (R-5.1-5).
///
/// # Errors
/// As [`credentials_in`].
pub fn certificates(
    common_name: &Several,
    certificate_sha256: &Several,
) -> Result<Vec<Certificate>, String> {
    let all = partner::certificates(common_name, certificate_sha256)?;
    if all.is_empty() {
        return Err(
            "give common_name or certificate_sha256 of its client certificate: without one, any \
             certificate of client_ca would do (AID.02 §6)"
                .into(),
        );
    }
    Ok(all)
}

/// Whether each party has certificates of its own; `parties` are names with certificates, and whether the party is reached
/// through an aggregation layer (AID.02 §1.1), whose one certificate then stands for all parties behind it. Two other
/// parties with one certificate are told apart by `client-id` and credentials alone, which is half of what R-5.1-5 wants:
/// the operator should know.
///
/// # Errors
/// The two parties, and what they have in common.
pub fn certificates_apart<'a>(
    parties: impl IntoIterator<Item = (&'a str, &'a [Certificate], bool)>,
) -> Result<(), String> {
    let mut seen: Vec<(&str, &[Certificate], bool)> = Vec::new();
    for (name, certificates, hub) in parties {
        for (other, theirs, other_hub) in &seen {
            if hub && *other_hub {
                continue;
            }
            if let Some(what) = partner::in_common(certificates, theirs) {
                return Err(format!(
                    "{what} is there for {other:?} and for {name:?}; each has its own certificate (AID.02 §5.1), or \
                     hub = true where both are behind one aggregation layer"
                ));
            }
        }
        seen.push((name, certificates, hub));
    }
    Ok(())
}

/// The operations of our API that a party may call, by their `operationId` (AID.02 §5.1: credentials decide which resources
/// and procedures may be used). Absent: all.
///
/// # Errors
/// A name that is no operation of ours.
pub fn operations<A: Api>(names: Option<&[String]>) -> Result<Option<Vec<String>>, String> {
    let Some(names) = names else {
        return Ok(None);
    };
    let ids = || A::ALL.iter().map(|operation| operation.contract().id);
    match names
        .iter()
        .find(|name| ids().all(|id| id != name.as_str()))
    {
        None => Ok(Some(names.to_vec())),
        Some(unknown) => Err(format!(
            "operations: {unknown:?} is not one of {}",
            ids().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The secrets of account ids (§5.2); the first signs, all verify.
///
/// # Errors
/// As [`credentials_in`].
pub fn secrets(account_id_secret: &Several) -> Result<Vec<Secret>, String> {
    account_id_secret
        .iter()
        .map(|text| text.parse().map_err(|e| format!("{e}")))
        .collect()
}

/// The keys of the phone number (§7.3); the first encrypts, all decrypt.
///
/// # Errors
/// As [`credentials_in`].
pub fn phone_key(phone_key: &Several) -> Result<PhoneKey, String> {
    PhoneKey::several(phone_key.iter()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(texts: &[&str]) -> Several {
        Several::from(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
    }

    // R-5.1-3, R-5.1-4, R-6-2, R-6-3: keys, passwords or both, two at once while they are replaced.
    #[test]
    fn credentials_may_overlap() {
        let all = credentials_in(&several(&["new1", "old1"]), &several(&["user:pa:ss"])).unwrap();
        assert_eq!(all.len(), 3);
        assert!(all[2].matches(&Credentials::basic("user", "pa:ss").unwrap()));
        for (keys, pairs, says) in [
            (several(&[]), several(&[]), "api_key_in"),
            (several(&["a-b"]), several(&[]), "api_key_in"),
            (several(&[]), several(&["nopassword"]), "basic_in"),
            (several(&[]), several(&["user:"]), "basic_in"),
        ] {
            assert!(credentials_in(&keys, &pairs).unwrap_err().contains(says));
        }
        assert!(credentials_out(Some("key1"), None).is_ok());
        assert!(credentials_out(None, Some("user:pw")).is_ok());
        assert!(credentials_out(None, None).is_err());
        assert!(credentials_out(Some("key1"), Some("user:pw")).is_err());
    }

    // R-6-5, R-6-6
    #[test]
    fn certificates_are_named_by_name_or_print() {
        let print = "AB:".repeat(31) + "ab";
        let all = certificates(&several(&["msp"]), &several(&[&print])).unwrap();
        assert_eq!(all[1], Certificate::Sha256([0xAB; 32]));
        assert!(certificates(&several(&[]), &several(&[])).is_err());
        assert!(certificates(&several(&[" "]), &several(&[])).is_err());
        for bad in ["", "ab", &"zz".repeat(32), &"é".repeat(32)] {
            assert!(
                certificates(&several(&[]), &several(&[bad])).is_err(),
                "{bad}"
            );
        }
    }

    // R-5.1-5, R-1.1-1, R-1.1-2
    #[test]
    fn parties_share_a_certificate_only_behind_an_aggregation_layer() {
        let hub = certificates(&several(&["hub"]), &several(&[])).unwrap();
        let own = certificates(&several(&["own"]), &several(&[])).unwrap();
        let judge = |first: bool, second: bool| {
            certificates_apart([
                ("a", hub.as_slice(), first),
                ("b", own.as_slice(), false),
                ("c", hub.as_slice(), second),
            ])
        };
        assert_eq!(judge(true, true), Ok(()));
        for (first, second) in [(false, false), (true, false), (false, true)] {
            let wrong = judge(first, second).unwrap_err();
            assert!(
                wrong.contains("\"a\"") && wrong.contains("\"c\""),
                "{wrong}"
            );
            assert!(wrong.contains("hub = true"), "{wrong}");
        }
    }

    // R-6-7
    #[test]
    fn pages_are_https_and_complete() {
        for good in [
            "https://localhost:1",
            "https://msp.example/authorize?a=b",
            "https://[::1]:8443/x",
        ] {
            assert_eq!(page("touchpoint", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "https://",
            "http://msp.example",
            "javascript:alert(1)",
            "https://user@msp.example",
            "https://msp.example:99999",
            "https://msp.example:",
            "https://msp.example/a#b",
            "https://ms p.example",
            "https://\u{e4}.example",
            "/authorize",
        ] {
            let wrong = page("touchpoint", bad).unwrap_err();
            assert!(wrong.starts_with("touchpoint"), "{bad}: {wrong}");
        }
    }

    #[test]
    fn secrets_and_keys_are_long_enough() {
        assert!(
            secrets(&several(&["short"]))
                .unwrap_err()
                .contains("account_id_secret")
        );
        assert!(
            phone_key(&several(&["short"]))
                .unwrap_err()
                .contains("phone_key")
        );
    }
}

//! What both AID1 servers do with a request before anything else: who calls, and may they (AID.02 §5.1, §6).
//!
//! Free of any web framework: it takes the headers and what TLS knows about the peer, and yields a [`Caller`].

use aid_id::MspToken;
use aid_id::partner::admits;
pub use aid_id::partner::{Certificate, Shown};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::contract::Contract;
use crate::error_code::{ApiError, ErrorCode};
use crate::headers::{
    CORRELATION_ID, Credentials, Headers, PartyId, REQUEST_ID, credentials, uuid,
};

/// Longest path with query, in characters; longer ones are answered with 414.
pub const MAX_PATH: usize = 8 * 1024;

/// A party that may call.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its `client-id`.
    pub client_id: PartyId,
    /// What it proves itself with; more than one while they are replaced.
    pub credentials: Vec<Credentials>,
    /// Accepted client certificates; several during a rotation. An empty list admits no one.
    pub certificates: Vec<Certificate>,
    /// What it calls us: the `target-id` that was agreed with it, not one of another party. None: any.
    pub target_id: Option<PartyId>,
    /// The `operationId`s that were agreed with it (§5.1). None: all.
    pub operations: Option<Vec<String>>,
}

/// The parties that may call.
#[derive(Clone, Debug)]
pub struct Gate {
    parties: Vec<Party>,
}

/// A request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its headers; `client_id` is proven.
    pub headers: Headers,
    /// Position of the party in the list that the gate was made with.
    pub party: usize,
}

impl Gate {
    /// A gate for these parties.
    #[must_use]
    pub fn new(parties: Vec<Party>) -> Self {
        Self { parties }
    }

    /// Whether a party that was let in may call an operation.
    ///
    /// # Errors
    /// 403 with 104; the operation's [`refusal`](Contract::refusal) makes it 401 where it has no 403.
    pub fn permit(&self, caller: &Caller, operation: &Contract) -> Result<(), ApiError> {
        let agreed = self.parties.get(caller.party).map(|p| &p.operations);
        match agreed {
            Some(None) => Ok(()),
            Some(Some(list)) if list.iter().any(|id| id == operation.id) => Ok(()),
            _ => {
                let text = "this operation was not agreed";
                let refusal = ApiError::because(ErrorCode::Unauthorized, text);
                Err(refusal.with_status(StatusCode::FORBIDDEN))
            }
        }
    }

    /// The certificates of each party, in the order of the parties.
    pub fn certificates(&self) -> impl Iterator<Item = &[Certificate]> {
        self.parties
            .iter()
            .map(|party| party.certificates.as_slice())
    }

    /// Whether any party has this certificate: for what every party may read, whoever it is.
    ///
    /// # Errors
    /// 401 with 104.
    pub fn check_known(&self, shown: Shown<'_>) -> Result<(), ApiError> {
        if self.parties.iter().any(|p| admits(&p.certificates, shown)) {
            Ok(())
        } else {
            Err(ApiError::new(ErrorCode::Unauthorized))
        }
    }

    /// Decides about a request of whoever showed this certificate.
    ///
    /// # Errors
    /// 401 with 104 (credentials or certificate) or 93 (unknown caller), 403 with 104 (another target; the operation's
    /// [`refusal`](crate::contract::Contract::refusal) makes it 401 where it has no 403), 422 with 91 (bad header).
    pub fn admit(&self, map: &HeaderMap, shown: Shown<'_>) -> Result<Caller, ApiError> {
        let given = credentials(map)?;
        let headers = Headers::parse(map)?;
        let Some(party) = self
            .parties
            .iter()
            .position(|party| party.client_id == headers.client_id)
        else {
            return Err(ApiError::naming(
                ErrorCode::PartyNotFound,
                &[&headers.client_id],
            ));
        };
        let known = &self.parties[party];
        // One party's credentials or certificate never open the door for another (R-5.1-5).
        let proven = known
            .credentials
            .iter()
            .filter(|expected| expected.matches(&given))
            .count()
            > 0;
        let certified = admits(&known.certificates, shown);
        if !proven || !certified {
            return Err(ApiError::new(ErrorCode::Unauthorized));
        }
        let agreed = known.target_id.as_ref();
        if agreed.is_some_and(|target| *target != headers.target_id) {
            let refusal =
                ApiError::because(ErrorCode::Unauthorized, "the target-id names another party");
            return Err(refusal.with_status(StatusCode::FORBIDDEN));
        }
        Ok(Caller { headers, party })
    }
}

/// Demands `application/json` for a body; parameters such as a charset are fine (AID.02 §6). A request without any body
/// and without a type is let through: what it lacks is its body, and that is what its sender should hear.
///
/// # Errors
/// 415 with 91.
pub fn check_content_type(map: &HeaderMap, empty: bool) -> Result<(), ApiError> {
    if empty && !map.contains_key(CONTENT_TYPE) {
        return Ok(());
    }
    let mut values = map.get_all(CONTENT_TYPE).iter();
    let text = values
        .next()
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") && values.next().is_none() {
        Ok(())
    } else {
        let refusal = ApiError::because(
            ErrorCode::Syntax,
            "the content type must be application/json",
        );
        Err(refusal.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    }
}

/// The two ids of a request as its answer gives them back, so that a caller's proxy can tell answers apart (R-5.1-8).
/// Only UUIDs come back: nothing else that a caller wrote is reflected (R-5.5-6).
pub fn ids(map: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    [REQUEST_ID, CORRELATION_ID]
        .map(|name| {
            let value = map.get(&name)?;
            uuid(value.to_str().ok()?)?;
            Some((name, value.clone()))
        })
        .into_iter()
        .flatten()
}

/// The msp_token of a path.
///
/// # Errors
/// 422 with 91 (R-7.6-5).
pub fn path_token(segment: &str) -> Result<MspToken, ApiError> {
    segment.parse().map_err(|_| {
        ApiError::because(ErrorCode::Syntax, "the msp_token in the path is not a UUID")
    })
}

/// The body of §5.5 for what the HTTP layer refuses by itself, as JSON: a head that can't be read, a
/// request that takes too long, a handler that failed.
#[must_use]
pub fn refusal_body(status: StatusCode) -> String {
    let error = match status {
        StatusCode::REQUEST_TIMEOUT => {
            ApiError::because(ErrorCode::Syntax, "the request did not arrive in time")
        }
        StatusCode::URI_TOO_LONG => ApiError::because(ErrorCode::Syntax, "the path is too long"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ApiError::because(ErrorCode::Syntax, "the headers are too large")
        }
        status if status.is_server_error() => ApiError::new(ErrorCode::Internal),
        _ => ApiError::because(ErrorCode::Syntax, "this is not HTTP/1.1"),
    };
    // Two texts always serialise.
    serde_json::to_string(&error.body()).unwrap_or_default()
}

/// The refusal of a caller that calls too often (R-B-7).
#[must_use]
pub fn too_many() -> ApiError {
    ApiError::because(ErrorCode::Internal, "too many requests; see Retry-After")
        .with_status(StatusCode::TOO_MANY_REQUESTS)
}

/// The refusal for a path that is no operation. A 404 carries one of the codes that say that something was not found
/// (R-5.5-5), and of those this one fits best.
#[must_use]
pub fn not_found() -> ApiError {
    ApiError::because(
        ErrorCode::TokenOrProfileNotFound,
        "there is no such operation",
    )
}

/// The refusal for a method that the path does not have.
#[must_use]
pub fn method_not_allowed() -> ApiError {
    ApiError::because(ErrorCode::Syntax, "the path has no such method")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Api, CmpOperation, MspOperation};
    use uuid::Uuid;

    fn gate() -> Gate {
        let party = |name: &str, key: &str, target: &str| Party {
            client_id: name.parse().unwrap(),
            credentials: vec![Credentials::api_key(key).unwrap()],
            certificates: vec![Certificate::CommonName(name.to_lowercase())],
            target_id: Some(target.parse().unwrap()),
            operations: None,
        };
        Gate::new(vec![
            party("CmpOne", "key1", "Other"),
            party("CmpTwo", "key2", "Msp"),
        ])
    }

    fn request(client: &str, target: &str, key: &str) -> HeaderMap {
        let headers = Headers {
            request_id: Uuid::from_u128(1),
            correlation_id: Uuid::from_u128(2),
            client_id: client.parse().unwrap(),
            target_id: target.parse().unwrap(),
        };
        headers.to_map(&Credentials::api_key(key).unwrap())
    }

    fn named(common_name: Option<&str>) -> Shown<'_> {
        let sha256 = [0; 32];
        Shown {
            common_name,
            sha256,
        }
    }

    // R-5.1-8, R-5.5-6
    #[test]
    fn only_uuids_are_given_back() {
        let mut map = HeaderMap::new();
        let text = "d534080b-9794-4351-88e7-8af9e079ca1e";
        map.insert(REQUEST_ID, text.parse().unwrap());
        map.insert(CORRELATION_ID, "<script>".parse().unwrap());
        let back: Vec<_> = ids(&map).collect();
        assert_eq!(back, [(REQUEST_ID, HeaderValue::from_static(text))]);
    }

    // R-5.5-1, R-5.5-5
    #[test]
    fn no_operation_has_a_code_of_not_found() {
        let refusal = not_found();
        assert_eq!((refusal.status.as_u16(), refusal.code.number()), (404, 65));
    }

    // R-5.5-1, R-5.5-2
    #[test]
    fn what_http_refuses_has_the_body_of_the_contract() {
        for (status, code) in [
            (400, "91"),
            (408, "91"),
            (414, "91"),
            (431, "91"),
            (500, "90"),
            (503, "90"),
        ] {
            let body = refusal_body(StatusCode::from_u16(status).unwrap());
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["code"], code);
            assert!(body["error"].is_string());
        }
    }

    // R-5.1-5, R-5.1-6, R-6-2, R-6-5
    #[test]
    fn only_the_right_party_gets_in() {
        let caller = gate()
            .admit(&request("CmpTwo", "Msp", "key2"), named(Some("cmptwo")))
            .unwrap();
        assert_eq!(
            (caller.party, caller.headers.client_id.as_str()),
            (1, "CmpTwo")
        );
        let refused = |client, target, key, cn| {
            let refusal = gate()
                .admit(&request(client, target, key), named(cn))
                .unwrap_err();
            (refusal.status.as_u16(), refusal.code.number())
        };
        assert_eq!(refused("CmpSix", "Msp", "key2", Some("cmptwo")), (401, 93));
        assert_eq!(refused("CmpTwo", "Msp", "key1", Some("cmptwo")), (401, 104));
        assert_eq!(refused("CmpTwo", "Msp", "key2", Some("cmpone")), (401, 104));
        assert_eq!(refused("CmpTwo", "Msp", "key2", None), (401, 104));
        // A name that was agreed with somebody else is as wrong as one that nobody knows.
        for target in ["Other", "Nobody"] {
            assert_eq!(
                refused("CmpTwo", target, "key2", Some("cmptwo")),
                (403, 104)
            );
        }
        assert_eq!(refused("cmptwo", "Msp", "key2", Some("cmptwo")), (401, 93));
        assert_eq!(
            gate()
                .admit(&HeaderMap::new(), named(None))
                .unwrap_err()
                .status,
            401
        );
    }

    // R-5.1-9: an operation that was not agreed is refused, with 403 where it has that status, else with 401.
    #[test]
    fn only_what_was_agreed_may_be_called() {
        fn check<A: Api>(without_403: &[&str]) {
            let all = || A::ALL.iter().map(|operation| operation.contract());
            let caller = Caller {
                headers: Headers {
                    request_id: Uuid::from_u128(1),
                    correlation_id: Uuid::from_u128(2),
                    client_id: "Own".parse().unwrap(),
                    target_id: "Msp".parse().unwrap(),
                },
                party: 0,
            };
            let gate = |operations| {
                Gate::new(vec![Party {
                    client_id: "Own".parse().unwrap(),
                    credentials: Vec::new(),
                    certificates: Vec::new(),
                    target_id: None,
                    operations,
                }])
            };
            for agreed in all() {
                let gate = gate(Some(vec![agreed.id.to_owned()]));
                for asked in all() {
                    let permitted = gate.permit(&caller, asked);
                    if asked == agreed {
                        assert_eq!(permitted, Ok(()));
                        continue;
                    }
                    let refusal = asked.refusal(permitted.unwrap_err());
                    let status = if without_403.contains(&asked.id) {
                        401
                    } else {
                        403
                    };
                    let got = (refusal.status.as_u16(), refusal.code.number());
                    assert_eq!(got, (status, 104), "{}", asked.id);
                }
            }
            assert!(all().all(|o| gate(None).permit(&caller, o).is_ok()));
            assert!(all().all(|o| gate(Some(Vec::new())).permit(&caller, o).is_err()));
            // A caller that the gate does not know has no agreement.
            let stranger = Caller { party: 7, ..caller };
            assert!(all().all(|o| gate(None).permit(&stranger, o).is_err()));
        }
        check::<CmpOperation>(&["submitActivationCode", "notifyMspTokenInvalid"]);
        let msp = MspOperation::ALL.iter().map(|o| o.contract().id);
        check::<MspOperation>(&msp.collect::<Vec<_>>());
    }

    // R-5.1-5, R-6-5, R-6-6: a party's certificate is judged by all that its configuration says of it.
    #[test]
    fn a_certificate_must_fit_by_name_and_by_hash() {
        let name = |name: &str| Certificate::CommonName(name.into());
        let hash = |byte| Certificate::Sha256([byte; 32]);
        let table: &[(&[Certificate], Option<&str>, u8, bool)] = &[
            (&[], Some("msp"), 1, false),
            (&[name("msp")], Some("msp"), 9, true),
            (
                &[name("msp")],
                Some("89049032000001000000000831934057"),
                1,
                false,
            ),
            (&[name("msp")], Some("server"), 1, false),
            (&[name("msp")], None, 1, false),
            (&[hash(1)], Some("whoever"), 1, true),
            (&[hash(1)], Some("msp"), 2, false),
            (&[name("msp"), hash(1)], Some("msp"), 1, true),
            // Of another CA of the file.
            (&[name("msp"), hash(1)], Some("msp"), 2, false),
            (&[name("msp"), hash(1)], Some("server"), 1, false),
            (&[name("msp"), hash(1)], None, 1, false),
            // A rotation: old and new, then the new one alone.
            (
                &[name("new"), name("msp"), hash(2), hash(1)],
                Some("msp"),
                1,
                true,
            ),
            (
                &[name("new"), name("msp"), hash(2), hash(1)],
                Some("new"),
                2,
                true,
            ),
            (&[name("new"), hash(2)], Some("msp"), 1, false),
        ];
        for (certificates, common_name, byte, expected) in table {
            let party = |client: &str, certificates: &[Certificate]| Party {
                client_id: client.parse().unwrap(),
                credentials: vec![Credentials::api_key("key1").unwrap()],
                certificates: certificates.to_vec(),
                target_id: None,
                operations: None,
            };
            // What another party may do opens no door here.
            let gate = Gate::new(vec![
                party("Own", certificates),
                party("Other", &[hash(1), name("msp")]),
            ]);
            let shown = Shown {
                common_name: *common_name,
                sha256: [*byte; 32],
            };
            let got = gate.admit(&request("Own", "Msp", "key1"), shown);
            assert_eq!(got.is_ok(), *expected, "{certificates:?} {shown:?}");
            if let Err(refusal) = got {
                assert_eq!((refusal.status.as_u16(), refusal.code.number()), (401, 104));
            }
            let alone = Gate::new(vec![party("Own", certificates)]);
            assert_eq!(alone.check_known(shown).is_ok(), *expected);
        }
    }

    // R-6-1
    #[test]
    fn content_type_is_json() {
        let check = |text: &str| {
            let mut map = HeaderMap::new();
            map.insert(CONTENT_TYPE, text.parse().unwrap());
            check_content_type(&map, true)
        };
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
        ] {
            assert!(check(good).is_ok());
        }
        for bad in [
            "text/plain",
            "",
            "application/jsonx",
            "application/merge-patch+json",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(check(bad).unwrap_err().status, 415);
        }
        assert_eq!(
            check_content_type(&HeaderMap::new(), false)
                .unwrap_err()
                .code,
            ErrorCode::Syntax
        );
        assert!(check_content_type(&HeaderMap::new(), true).is_ok());
    }
}

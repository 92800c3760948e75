//! ES9+ over an HTTP port: JSON functions of SGP.22 §5.6, bindings of §6.2, §6.5.
//!
//! A refusal is one wherever it stands, and a function that was executed is one whatever surrounds its output; what can't
//! be read is reported by the field's name.

use crate::error::ServerError;
use crate::trace;
use aid_rsp::es9::{ExecutionStatus, Function, MAX_RESPONSE, ResponseHeader};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What an HTTP server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status.
    pub status: u16,
    /// Body, at most [`MAX_RESPONSE`] bytes.
    pub body: Vec<u8>,
}

/// Why no HTTP response came.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or a broken one.
    #[error("cannot reach {server}: {what}")]
    Unreachable {
        /// FQDN.
        server: String,
        /// The reason, for a person.
        what: String,
    },
    /// TLS failed, mostly because of the server's certificate.
    #[error(
        "no TLS connection to {server}: {what}; its certificate must be of a configured issuer and \
         name the server"
    )]
    Tls {
        /// FQDN.
        server: String,
        /// The reason, for a person.
        what: String,
    },
    /// The server asked for a pause (Retry-After) that is not over.
    #[error("{server} asks to be called again in {seconds} s")]
    Later {
        /// FQDN.
        server: String,
        /// What is left of the pause.
        seconds: u64,
    },
    /// The body has no end.
    #[error("{server} answered more than {max} bytes")]
    TooLong {
        /// FQDN.
        server: String,
        /// Limit.
        max: usize,
    },
}

/// A port to HTTPS servers. Calls block; connections may be kept for the next call.
pub trait Http {
    /// POSTs JSON to `https://{server}{path}` with the headers of SGP.22 §6.2.
    ///
    /// # Errors
    /// No response of at most [`MAX_RESPONSE`] bytes.
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError>;

    /// GETs a revocation list from an `http:` or `https:` URL that a certificate names.
    ///
    /// # Errors
    /// No response of at most `max` bytes.
    fn get(&mut self, url: &str, max: usize) -> Result<HttpAnswer, HttpError>;
}

impl<H: Http + ?Sized> Http for Box<H> {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        (**self).post(server, path, body)
    }

    fn get(&mut self, url: &str, max: usize) -> Result<HttpAnswer, HttpError> {
        (**self).get(url, max)
    }
}

/// The last part of a path: the function's name.
fn name<F: Function>() -> &'static str {
    F::PATH.rsplit('/').next().unwrap_or(F::PATH)
}

fn post<F: Function>(
    http: &mut dyn Http,
    server: &str,
    request: &F,
) -> Result<HttpAnswer, ServerError> {
    let function = name::<F>();
    let body = serde_json::to_vec(request).map_err(|e| json::<F>(server, &e))?;
    trace::request(function, server, body.len());
    let answer = http.post(server, F::PATH, &body)?;
    trace::response(function, answer.status, answer.body.len());
    if answer.body.len() > MAX_RESPONSE {
        return Err(json::<F>(
            server,
            &format_args!("more than {MAX_RESPONSE} bytes"),
        ));
    }
    Ok(answer)
}

fn json<F: Function>(server: &str, what: &dyn std::fmt::Display) -> ServerError {
    ServerError::Json {
        server: server.to_owned(),
        function: name::<F>(),
        what: what.to_string(),
    }
}

/// What every answer begins with.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    header: Option<ResponseHeader>,
}

/// Reads an object of JSON; the error begins with the name of the field that it is about.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            // A field that is missing is named by the message.
            "." | "?" => error.into_inner().to_string(),
            _ => format!("{path}: {}", error.into_inner()),
        }
    })?;
    deserializer.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// The refusal that an answer holds.
fn refused<F: Function>(server: &str, header: Option<ResponseHeader>) -> Result<(), ServerError> {
    match header {
        Some(header) if !header.is_executed() => Err(ServerError::Failed {
            server: server.to_owned(),
            function: name::<F>(),
            status: Box::new(header.function_execution_status),
        }),
        _ => Ok(()),
    }
}

/// An answer with another status than 2xx. It is a refusal where it says so with its codes; otherwise it may be a
/// proxy's.
fn status<F: Function>(server: &str, answer: &HttpAnswer) -> ServerError {
    let head = read::<Head>(&answer.body).ok().and_then(|h| h.header);
    let with_codes = head.filter(|header| {
        let status = &header.function_execution_status;
        let codes = status.status_code_data.as_ref();
        status.status == ExecutionStatus::Failed
            && codes.is_some_and(|c| {
                !c.subject_code.as_str().is_empty() && !c.reason_code.as_str().is_empty()
            })
    });
    match refused::<F>(server, with_codes) {
        Err(refusal) => refusal,
        Ok(()) => ServerError::Status {
            server: server.to_owned(),
            function: name::<F>(),
            status: answer.status,
        },
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// Calls a function and returns its output (§6.5.1.4: HTTP 200, also for a function that failed).
pub(crate) fn call<F: Function>(
    http: &mut dyn Http,
    server: &str,
    request: &F,
) -> Result<F::Output, ServerError> {
    let answer = post(http, server, request)?;
    if !is_success(answer.status) {
        return Err(status::<F>(server, &answer));
    }
    let head: Head = read(&answer.body).map_err(|e| json::<F>(server, &e))?;
    let no_header = head.header.is_none();
    refused::<F>(server, head.header)?;
    match read(&answer.body) {
        Ok(output) => {
            if no_header {
                tracing::info!(%server, function = name::<F>(), "the answer has no header");
            }
            Ok(output)
        }
        Err(_) if no_header => Err(json::<F>(server, &"missing field `header`")),
        Err(e) => Err(json::<F>(server, &e)),
    }
}

/// Calls a function whose answer is nothing but an acknowledgement (HandleNotification, §5.6.4; CancelSession, §5.6.5):
/// every 2xx is one, unless its header says otherwise.
pub(crate) fn tell<F: Function>(
    http: &mut dyn Http,
    server: &str,
    request: &F,
) -> Result<(), ServerError> {
    let answer = post(http, server, request)?;
    if !is_success(answer.status) {
        return Err(status::<F>(server, &answer));
    }
    if answer.body.is_empty() {
        return Ok(());
    }
    match read::<Head>(&answer.body) {
        Ok(head) => refused::<F>(server, head.header),
        Err(error) => {
            let function = name::<F>();
            tracing::info!(%server, function, status = answer.status, %error, "accepted, with an odd answer");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_rsp::es9::{Base64, Hex, InitiateAuthenticationRequest, Text};
    use aid_rsp::es9::{CancelSessionRequest, HandleNotificationRequest};
    use serde_json::{Value, json};

    /// A server with one answer.
    struct Fixed(u16, Vec<u8>);

    impl Http for Fixed {
        fn post(&mut self, _: &str, _: &str, _: &[u8]) -> Result<HttpAnswer, HttpError> {
            Ok(HttpAnswer {
                status: self.0,
                body: self.1.clone(),
            })
        }

        fn get(&mut self, _: &str, _: usize) -> Result<HttpAnswer, HttpError> {
            self.post("", "", b"")
        }
    }

    fn initiate(status: u16, body: &[u8]) -> Result<(), ServerError> {
        let request = InitiateAuthenticationRequest {
            euicc_challenge: Base64::new(vec![0; 16]).expect("challenge"),
            euicc_info1: Base64::new(vec![]).expect("info"),
            smdp_address: Text::new("s").expect("address"),
        };
        call(&mut Fixed(status, body.to_vec()), "s", &request).map(drop)
    }

    fn notify(status: u16, body: &[u8]) -> Result<(), ServerError> {
        let pending_notification = Base64::new(vec![1]).expect("bytes");
        let request = HandleNotificationRequest {
            pending_notification,
        };
        tell(&mut Fixed(status, body.to_vec()), "s", &request)
    }

    fn good() -> Value {
        json!({
            "header": {"functionExecutionStatus": {"status": "Executed-Success"}},
            "transactionId": "AB",
            "serverSigned1": "AQ==",
            "serverSignature1": "Ag==",
            "euiccCiPKIdToBeUsed": "Aw==",
            "serverCertificate": "BA==",
        })
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(initiate(200, good().to_string().as_bytes()).is_ok());
        let fields = [
            "transactionId",
            "serverSigned1",
            "serverSignature1",
            "euiccCiPKIdToBeUsed",
            "serverCertificate",
        ];
        for field in fields {
            for bad in [
                json!(7),
                json!("*"),
                json!(null),
                json!({"a": 1}),
                Value::Null,
            ] {
                let mut value = good();
                value[field] = bad.clone();
                let error = initiate(200, value.to_string().as_bytes()).expect_err(field);
                assert!(error.to_string().contains(field), "{error}");
            }
            let mut value = good();
            value.as_object_mut().expect("object").remove(field);
            let error = initiate(200, value.to_string().as_bytes()).expect_err(field);
            assert!(error.to_string().contains(field), "{error}");
        }
        let mut value = good();
        value["header"]["functionExecutionStatus"]["status"] = json!("Whatever");
        let error = initiate(200, value.to_string().as_bytes()).expect_err("status");
        assert!(
            error
                .to_string()
                .contains("header.functionExecutionStatus.status"),
            "{error}"
        );
    }

    #[test]
    fn an_output_counts_whatever_surrounds_it() {
        let mut extra = good();
        extra["unknown"] = json!({"deep": [1, 2, {"a": null}]});
        let mut bare = good();
        bare.as_object_mut().expect("object").remove("header");
        for value in [good(), extra, bare] {
            let text = value.to_string();
            for body in [
                text.clone(),
                format!("\u{FEFF}{text}"),
                format!(" \r\n{text}\n\n"),
                serde_json::to_string_pretty(&value).expect("JSON"),
            ] {
                for status in [200, 201, 202] {
                    assert!(initiate(status, body.as_bytes()).is_ok(), "{status} {body}");
                }
            }
        }
    }

    #[test]
    fn a_refusal_is_one_whatever_the_status() {
        let body = json!({"header": {"functionExecutionStatus": {"status": "failed", "statusCodeData": {
            "subjectCode": "8.2.6", "reasonCode": "3.8", "message": "line\nbreak", "subjectIdentifier": 7}}}});
        for status in [200, 201, 400, 403, 404, 500, 503] {
            for result in [
                initiate(status, body.to_string().as_bytes()),
                notify(status, body.to_string().as_bytes()),
            ] {
                let error = result.expect_err("refused");
                assert_eq!(error.subject_reason(), Some(("8.2.6", "3.8")), "{status}");
            }
        }
        // Without codes the status stays what it is.
        let vague = json!({"header": {"functionExecutionStatus": {"status": "Failed"}}});
        let error = initiate(502, vague.to_string().as_bytes()).expect_err("status");
        assert!(matches!(error, ServerError::Status { status: 502, .. }));
    }

    #[test]
    fn every_2xx_acknowledges() {
        for status in [200, 201, 202, 204, 206] {
            for body in ["", "{}", "OK", "<html>", "null", "[]", "{\"header\":null}"] {
                assert!(notify(status, body.as_bytes()).is_ok(), "{status} {body}");
            }
        }
        for status in [100, 301, 302, 400, 404, 429, 500] {
            assert!(notify(status, b"").is_err(), "{status}");
        }
        let request = CancelSessionRequest {
            transaction_id: Hex::new(&[1]).expect("id"),
            cancel_session_response: Base64::new(vec![]).expect("bytes"),
        };
        assert!(tell(&mut Fixed(204, vec![]), "s", &request).is_ok());
    }
}

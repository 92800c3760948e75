//! ES9+ over an HTTP port: JSON functions of SGP.22 §5.6, bindings of §6.2, §6.5.
//! Called by the download and by the delivery of notifications.

use crate::error::ServerError;
use crate::trace;
use aid_rsp::es9::{Function, HandleNotificationRequest, MAX_RESPONSE, Response};

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
        /// Why.
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
        /// Why.
        what: String,
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
}

impl<H: Http + ?Sized> Http for Box<H> {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        (**self).post(server, path, body)
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

fn parse<F: Function>(server: &str, body: &[u8]) -> Result<Option<F::Output>, ServerError> {
    let response: Response<F::Output> =
        serde_json::from_slice(body).map_err(|e| json::<F>(server, &e))?;
    if response.header.is_executed() {
        return Ok(response.output);
    }
    Err(ServerError::Failed {
        server: server.to_owned(),
        function: name::<F>(),
        status: Box::new(response.header.function_execution_status),
    })
}

fn status<F: Function>(server: &str, status: u16) -> ServerError {
    ServerError::Status {
        server: server.to_owned(),
        function: name::<F>(),
        status,
    }
}

/// Calls a function and returns its output (§6.5.1.4: HTTP 200, also for a function that failed).
pub(crate) fn call<F: Function>(
    http: &mut dyn Http,
    server: &str,
    request: &F,
) -> Result<F::Output, ServerError> {
    let answer = post(http, server, request)?;
    if answer.status != 200 {
        return Err(status::<F>(server, answer.status));
    }
    parse::<F>(server, &answer.body)?
        .ok_or_else(|| json::<F>(server, &"a field is missing, too long or of another type"))
}

/// HandleNotification: accepted is 204 (§5.6.4), or 200 with a header that does not say otherwise.
pub(crate) fn notify(
    http: &mut dyn Http,
    server: &str,
    request: &HandleNotificationRequest,
) -> Result<(), ServerError> {
    let answer = post(http, server, request)?;
    match answer.status {
        204 => Ok(()),
        200 if answer.body.is_empty() => Ok(()),
        200 => parse::<HandleNotificationRequest>(server, &answer.body).map(|_| ()),
        other => Err(status::<HandleNotificationRequest>(server, other)),
    }
}

//! The admin API over HTTP: finds the operation, admits the key, judges its role, and answers in JSON; errors are problem
//! details (RFC 9457). The order of the checks is: key, rate, path, method, role, form; only then anything that belongs to
//! somebody. Lists come in pages; deeds have a reason, and can be repeated under an `Idempotency-Key`.

mod problem;

use super::body::Members;
use super::operation::{Found, Operation, find};
use super::{Desk, OPENAPI};
use crate::operator::{
    Because, Binding, Calls, Listed, NewUser, Once, Operator, OrderWhat, Orders, Refusal, TOKEN,
    Trail, hash_of_key, issue,
};
use crate::service::now;
use aid_cli::tls;
use aid_cmp_core::model::{ApiKey, CallState, Role};
use aid_id::Eid;
use aid_serve::http::{self, Peer};
use aid_serve::metrics::Counter;
use aid_serve::slots::network;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use clap::ValueEnum as _;
use problem::Refused;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Largest JSON body, bytes.
const MAX_BODY: usize = 64 * 1024;
/// Largest file of vehicles, bytes.
const MAX_FILE: usize = 1 << 20;
/// Rows of a page where the request does not say.
const PAGE: u32 = 100;
/// Rows of a page at most.
const MAX_PAGE: u32 = 500;
/// Longest Idempotency-Key, bytes.
const MAX_ONCE: usize = 128;

static REQUESTS: Counter = Counter::new(
    "aid_cmp_api_requests",
    "Requests of the admin API by operation and status",
);

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/openapi.json", any(document))
        .route("/v1", any(handle))
        .route("/v1/", any(handle))
        .route("/v1/{*path}", any(handle))
        .with_state(desk)
}

async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn handle(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let found = find(request.method(), request.uri().path());
    let name = match &found {
        Found::Operation(operation, ..) => format!("{operation:?}"),
        _ => "none".to_owned(),
    };
    let done = operate(&desk, &peer, found, request).await;
    let mut answer = match done {
        Ok(value) => problem::answer(StatusCode::OK, "application/json", &value),
        Err(refused) => problem::refusal(&refused),
    };
    let status = answer.status().as_u16().to_string();
    REQUESTS.add(&[("operation", &name), ("status", &status)]);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Whose key it is. Wrong ones cost the address its tokens, and without one no key is looked up, not even the right one.
async fn admit(desk: &Desk, peer: &Peer, headers: &HeaderMap) -> Result<ApiKey, Refused> {
    let from = network(peer.addr.ip());
    let open = desk
        .wrong
        .attempt(&from, Instant::now(), || Ok::<_, ()>(()));
    open.map_err(Refused::Rate)?.map_err(|()| Refused::Key)?;
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let key = given.next().and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.split_once(' '));
    let key = key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let found = match (key, given.next()) {
        (Some((_, key)), None) => {
            let hash = hash_of_key(key.trim());
            let look = desk
                .service
                .store
                .read(async move |tx| tx.api_key(&hash).await);
            look.await.map_err(Refusal::from)?
        }
        _ => None,
    };
    if let Some(key) = found {
        return desk
            .keys
            .take(&key.id, Instant::now())
            .map(|()| key)
            .map_err(Refused::Rate);
    }
    tracing::warn!(%from, "a request of the admin API without a key that opens anything was refused");
    desk.wrong
        .take(&from, Instant::now())
        .map_err(Refused::Rate)?;
    Err(Refused::Key)
}

async fn operate(
    desk: &Desk,
    peer: &Peer,
    found: Found,
    request: Request,
) -> Result<Value, Refused> {
    let (parts, body) = request.into_parts();
    let key = admit(desk, peer, &parts.headers).await?;
    let (operation, least, variable) = match found {
        Found::Operation(operation, least, variable) => (operation, least, variable),
        Found::Method(allowed) => return Err(Refused::Method(allowed)),
        Found::Nothing => return Err(Refused::Path),
    };
    if key.role < least {
        return Err(Refused::Role(least));
    }
    let mut operator = desk.operator(format!("api/{}", key.name));
    let query = Members::of_query(parts.uri.query().unwrap_or_default())?;
    if parts.method == Method::GET {
        return Ok(ask(desk, &operator, operation, &variable, query).await?);
    }
    let is_file = operation == Operation::ImportVehicles;
    let body = read(&parts.headers, body, is_file).await?;
    operator.once = once(&key, &parts.headers, &parts.uri.to_string(), &body)?;
    if operator.once.is_some() {
        repeatable(operation)?;
    }
    if is_file {
        return Ok(import(&operator, query, &body, key.role).await?);
    }
    query.end()?;
    let body = Members::of_body(&body)?;
    if operation == Operation::EnrolVehicle {
        return Ok(enrol(desk, &operator, body, key.role).await?);
    }
    Ok(act(&operator, operation, &variable, body).await?)
}

/// The body of a deed.
async fn read(headers: &HeaderMap, body: Body, is_file: bool) -> Result<Vec<u8>, Refused> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let (wanted, most) = match is_file {
        true => ("text/csv", MAX_FILE),
        false => ("application/json", MAX_BODY),
    };
    if body.is_end_stream() || !kind.eq_ignore_ascii_case(wanted) {
        return Err(Refused::Body(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    http::whole(body, most).await.map_err(|error| {
        Refused::Body(match error {
            http::BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            http::BodyError::Broken => StatusCode::BAD_REQUEST,
        })
    })
}

/// Refuses the name of a deed whose secrets are not to be remembered.
fn repeatable(operation: Operation) -> Result<(), Refusal> {
    match operation {
        // The key of the signatures is said once, and nothing that could say it again is kept.
        Operation::AddWebhook => Err(Refusal::invalid(
            "a new webhook takes no Idempotency-Key: its secret is never shown again; look at the list, and remove \
             what is there twice",
        )),
        // A plain hash of the request would let somebody who reads the database guess password and PIN.
        Operation::AddUser => Err(Refusal::invalid(
            "a new user takes no Idempotency-Key: a name is taken once, and a repetition is refused",
        )),
        _ => Ok(()),
    }
}

/// The name of the deed, where the request has an `Idempotency-Key`.
fn once(
    key: &ApiKey,
    headers: &HeaderMap,
    uri: &str,
    body: &[u8],
) -> Result<Option<Once>, Refusal> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(name) = given.next() else {
        return Ok(None);
    };
    let name = name.as_bytes();
    if given.next().is_some() || name.is_empty() || name.len() > MAX_ONCE {
        return Err(Refusal::invalid(format!(
            "Idempotency-Key must be there once, with 1 to {MAX_ONCE} characters"
        )));
    }
    let whole: [u8; 32] = Sha256::digest(name).into();
    let mut id = [0; 16];
    id.copy_from_slice(&whole[..16]);
    let mut digest = Sha256::new();
    digest.update(uri.as_bytes());
    digest.update([0]);
    digest.update(body);
    Ok(Some(Once {
        client: format!("api/{}", Uuid::from_bytes(key.id)),
        id,
        digest: hex::encode(digest.finalize()),
    }))
}

/// A page of a list, and where the next one begins.
fn page(rows: Vec<Listed>, limit: u32) -> Value {
    let full = rows.len() >= limit as usize;
    let next = rows.last().filter(|_| full).map(|(place, _)| place.clone());
    let next = next.filter(|place| !place.is_empty());
    let items: Vec<Value> = rows.into_iter().filter_map(|(_, row)| row).collect();
    json!({"items": items, "next": next})
}

fn whole(items: &[Value]) -> Value {
    json!({"items": items, "next": null})
}

fn uuid(text: &str) -> Result<Uuid, Refusal> {
    text.parse()
        .map_err(|_| Refusal::invalid(format!("{text:?} is no UUID")))
}

/// Answers a question.
async fn ask(
    desk: &Desk,
    operator: &Operator<'_>,
    operation: Operation,
    variable: &str,
    mut query: Members,
) -> Result<Value, Refusal> {
    let limit = query.number("limit", MAX_PAGE)?.unwrap_or(PAGE);
    let after = query.maybe("after")?;
    let value = match operation {
        Operation::Vehicles => match query.maybe("search")? {
            Some(text) => whole(&operator.search_vehicles(&text, limit).await?),
            None => page(operator.vehicles(after, limit).await?, limit),
        },
        Operation::Users => page(operator.users(after, limit).await?, limit),
        Operation::Links => {
            let mut rows = operator.federations(after, limit).await?;
            for (_, row) in &mut rows {
                // Whoever reads it could call an MSP for that user.
                if let Some(row) = row.as_mut().and_then(Value::as_object_mut) {
                    row.remove(TOKEN);
                }
            }
            page(rows, limit)
        }
        Operation::Profiles => {
            let vehicle = query.maybe("vehicle")?;
            let rows = operator.profiles(vehicle.as_deref(), after, limit).await?;
            page(rows, limit)
        }
        Operation::Orders => {
            let orders = Orders {
                overdue: query.flag("overdue")?,
                open: query.flag("open")?,
                vehicle: query.maybe("vehicle")?,
            };
            page(operator.orders(&orders, after, limit).await?, limit)
        }
        Operation::Calls => {
            let state = query.word("state", CallState::from_text)?;
            page(operator.outbox(Calls { state }, after, limit).await?, limit)
        }
        Operation::Audit => {
            let trail = Trail {
                days: query.number("days", 36_500)?.unwrap_or(30),
                actor: query.maybe("actor")?,
                about: query.maybe("about")?,
            };
            page(operator.audit(&trail, after, limit).await?, limit)
        }
        Operation::Summary => operator.summary().await?,
        Operation::Problems => whole(&operator.problems(desk.certificates.clone()).await?),
        Operation::Msps => whole(&operator.msps().await?),
        Operation::Webhooks => whole(&operator.webhooks().await?),
        Operation::Vehicle => operator.show_vehicle(variable).await?,
        Operation::User => operator.show_user(variable).await?,
        Operation::Order => operator.show_order(uuid(variable)?).await?,
        Operation::Call => operator.show_call(uuid(variable)?).await?,
        Operation::Correlation => operator.correlation(uuid(variable)?).await?,
        other => return Err(Refusal::invalid(format!("{other:?} is no question"))),
    };
    query.end()?;
    Ok(value)
}

/// Does a deed. The members are all read before anything is done.
async fn act(
    operator: &Operator<'_>,
    operation: Operation,
    variable: &str,
    mut body: Members,
) -> Result<Value, Refusal> {
    match operation {
        Operation::AddVehicle => {
            let (eid, vin) = (body.text("eid")?, body.maybe("vin")?);
            body.end()?;
            operator.add_vehicle(&eid, vin).await
        }
        Operation::ClearVehicle => {
            let because = |word: &str| Because::from_str(word, false).ok();
            let because = body.word("because", because)?;
            let because = because.ok_or_else(|| Refusal::invalid("because is missing"))?;
            let reason = body.reason()?;
            body.end()?;
            operator
                .clear_vehicle(variable, because, Some(reason))
                .await
        }
        Operation::ExchangeVehicle => {
            let (new, reason) = (body.text("new")?, body.reason()?);
            body.end()?;
            operator.exchange_vehicle(variable, &new, reason).await
        }
        Operation::AddUser => {
            let password = body.maybe_secret("password")?;
            let user = NewUser {
                name: body.text("name")?,
                display_name: body.maybe("display_name")?,
                password: password.ok_or_else(|| Refusal::invalid("password is missing"))?,
                pin: body.maybe_secret("pin")?,
            };
            body.end()?;
            operator.add_user(user).await
        }
        Operation::AddOrder => {
            let eid = body.text("eid")?;
            let what = match body.text("kind")?.as_str() {
                "delete" => OrderWhat::Delete(body.text("iccid")?),
                "disable" => OrderWhat::Disable(body.text("iccid")?),
                "logout" => OrderWhat::Logout(body.text("user")?),
                "delete-all" => OrderWhat::DeleteAll,
                "factory-reset" => OrderWhat::FactoryReset,
                other => return Err(Refusal::invalid(format!("kind can't be {other:?}"))),
            };
            let reason = body.reason()?;
            body.end()?;
            operator.add_order(&eid, what, reason).await
        }
        Operation::AddWebhook => {
            let url = body.text("url")?;
            body.end()?;
            operator.add_webhook(&url).await
        }
        Operation::RemoveWebhook => {
            body.end()?;
            operator.remove_webhook(uuid(variable)?).await
        }
        _ => {
            let reason = body.reason()?;
            body.end()?;
            with_reason(operator, operation, variable, reason).await
        }
    }
}

/// The deeds that need a reason and nothing else.
async fn with_reason(
    operator: &Operator<'_>,
    operation: Operation,
    variable: &str,
    reason: String,
) -> Result<Value, Refusal> {
    match operation {
        Operation::RetireVehicle => operator.retire_vehicle(variable, reason).await,
        Operation::UnlockUser => operator.unlock_user(variable, reason).await,
        Operation::EraseUser => operator.erase_user(variable, reason).await,
        Operation::WithdrawLink => operator.withdraw(uuid(variable)?, reason).await,
        Operation::DeleteProfile => operator.delete_profile(variable, reason).await,
        Operation::ReplayOrder => operator.replay_order(uuid(variable)?, reason).await,
        Operation::CloseOrder => operator.close_order(uuid(variable)?, reason).await,
        Operation::ReplayCall => operator.replay_call(uuid(variable)?, reason).await,
        Operation::DropCall => operator.drop_call(uuid(variable)?, reason).await,
        other => Err(Refusal::invalid(format!("{other:?} is no deed"))),
    }
}

/// A vehicle with its certificate, or at the end of the assembly line with its request for one. Only an admin replaces what
/// is bound.
async fn enrol(
    desk: &Desk,
    operator: &Operator<'_>,
    mut body: Members,
    role: Role,
) -> Result<Value, Refusal> {
    let text = body.text("eid")?;
    let eid: Eid = text
        .parse()
        .map_err(|e| Refusal::invalid(format!("{text:?} is no EID: {e}")))?;
    let vin = body.maybe("vin")?;
    let vin = vin.as_deref().map(crate::operator::vin).transpose()?;
    let (certificate, request) = (body.maybe("certificate")?, body.maybe("request")?);
    let exchange = body.maybe("exchange")?;
    let exchange = exchange.as_deref().map(super::body::checked_reason);
    let exchange = exchange.transpose()?;
    body.end()?;
    let (pem, issued) = match (certificate, request) {
        (Some(pem), None) => (pem, None),
        (None, Some(request)) => {
            let pem = issued(desk, request.as_bytes(), eid)?;
            (pem.clone(), Some(pem))
        }
        _ => return Err(Refusal::invalid("give certificate or request, one of them")),
    };
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| Refusal::invalid(format!("the certificate is no PEM: {e}")))?;
    let mut binding = Binding::of(eid, vin, &der)
        .map_err(|e| Refusal::invalid(format!("the certificate {e}")))?;
    binding.exchange = exchange;
    binding.only_new = role < Role::Admin;
    let issued = operator.enrol_issued(binding, issued).await?;
    let mut row = operator.show_vehicle(eid.as_str()).await?;
    if let Some(issued) = issued {
        row["issued"] = issued.into();
    }
    Ok(row)
}

/// The certificate of a request, issued by the CA of `[enrolment]`.
fn issued(desk: &Desk, request: &[u8], eid: Eid) -> Result<String, Refusal> {
    let Some(ca) = &desk.service.config.file.enrolment else {
        return Err(Refusal::conflict(
            "no certificate is issued here: the configuration has no [enrolment]",
        ));
    };
    let failed = |error: String| {
        tracing::error!(%error, "[enrolment] can't issue certificates");
        Refusal::conflict("no certificate is issued here: the CA can't be used; see the log")
    };
    let chain = tls::certificates(&ca.ca_cert).map_err(|e| failed(e.text))?;
    let first = chain
        .first()
        .ok_or_else(|| failed("no CA certificate".into()))?;
    let key = std::fs::read_to_string(&ca.ca_key).map_err(|e| failed(e.to_string()))?;
    issue(request, first, &key, eid, ca.days).map_err(Refusal::invalid)
}

/// A file of vehicles.
async fn import(
    operator: &Operator<'_>,
    mut query: Members,
    body: &[u8],
    role: Role,
) -> Result<Value, Refusal> {
    if operator.once.is_some() {
        // Batches of it are deeds of their own, and a line that is done already changes nothing.
        return Err(Refusal::invalid(
            "an import takes no Idempotency-Key: the same file again changes nothing more",
        ));
    }
    let dry_run = query.flag("dry_run")?;
    query.end()?;
    let lines = operator
        .import_vehicles(body, dry_run, role < Role::Admin)
        .await?;
    Ok(json!({"lines": lines, "stored": !dry_run, "at": crate::operator::time(now())}))
}

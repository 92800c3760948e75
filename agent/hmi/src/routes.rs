//! The requests of the page: each POST is one deed and leads back to a page, each GET shows what is.

use crate::agent::{Agent, AgentError};
use crate::config::{Config, Theme};
use crate::door::{self, Door, Visitor};
use crate::language::{Language, fill};
use crate::page::{self, View};
use crate::session::{MAX_NAME, MIN_PIN, PinKey, Session, Sessions};
use aid_cli::private;
use axum::body::Bytes;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroize as _;

/// Largest form, bytes.
pub(crate) const MAX_FORM: usize = 4096;
/// How often the page counts on while nothing happens.
const TICK: Duration = Duration::from_secs(10);

/// Everything that the page is made of.
#[derive(Debug, Clone)]
pub(crate) struct Hmi {
    agent: Arc<Agent>,
    sessions: Arc<Mutex<Sessions>>,
    pub(crate) door: Door,
    pub(crate) language: Option<Language>,
    theme: Theme,
    start_page: Option<PathBuf>,
}

impl Hmi {
    pub(crate) fn new(agent: Arc<Agent>, sessions: Sessions, door: Door, config: &Config) -> Self {
        Self {
            agent,
            sessions: Arc::new(Mutex::new(sessions)),
            door,
            language: config.language,
            theme: config.theme,
            start_page: config.start_page.clone(),
        }
    }

    /// Who was let in. Not held across a wait.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file that leads a browser to the address with the unused token, for its owner alone.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn start_page(&self) -> Result<(), aid_cli::cli::Failure> {
        let address = self.door.address(self.sessions().token());
        let (Some(file), Some(address)) = (&self.start_page, address) else {
            return Ok(());
        };
        let html = page::start(&address);
        private::write(file, html.as_bytes()).map_err(|e| {
            let file = file.display();
            aid_cli::cli::Failure::new(format!(
                "cannot write the start page {file}: {e}; choose another start_page"
            ))
        })
    }

    /// The same, where a failure ends nothing: who has the page keeps it.
    pub(crate) fn write_start_page(&self) {
        if let Err(failure) = self.start_page() {
            tracing::error!(%failure, "the next browser can't be let in");
        }
    }

    /// Does something with the session of who asks, which the door has found just now.
    fn with<T>(
        &self,
        visitor: &Visitor,
        f: impl FnOnce(&mut Session, Instant) -> T,
    ) -> Result<T, Refused> {
        let now = Instant::now();
        let mut sessions = self.sessions();
        sessions
            .of(&visitor.0, now)
            .map(|s| f(s, now))
            .ok_or(Refused::Gone)
    }

    /// Shows a page.
    fn show(
        &self,
        visitor: &Visitor,
        headers: &HeaderMap,
        page: impl FnOnce(&View<'_>) -> String,
    ) -> Result<Response, Refused> {
        let (now, state) = (Instant::now(), self.agent.state());
        let mut sessions = self.sessions();
        let login = state.status.as_ref().and_then(|s| s.login.as_ref());
        if let Some(login) = login.filter(|login| login.state == "accepted") {
            sessions.accepted(&login.login_id);
        }
        let names: Vec<String> = sessions.names().map(str::to_owned).collect();
        let session = sessions.of(&visitor.0, now).ok_or(Refused::Gone)?;
        let language = session
            .language
            .unwrap_or_else(|| door::language(self, headers));
        let view = View {
            language,
            texts: language.texts(),
            theme: session.theme.unwrap_or(self.theme),
            state: &state,
            session,
            names: &names,
            now,
        };
        Ok(Html(page(&view)).into_response())
    }
}

/// Why a request came to nothing.
#[derive(Debug)]
enum Refused {
    /// The session was ended meanwhile.
    Gone,
    /// The form is malformed.
    Form,
    /// The agent says no, or is away.
    Agent(AgentError),
}

impl From<FormRejection> for Refused {
    fn from(_: FormRejection) -> Self {
        Self::Form
    }
}

impl From<AgentError> for Refused {
    fn from(error: AgentError) -> Self {
        Self::Agent(error)
    }
}

impl IntoResponse for Refused {
    /// For programs; people get [`explained`].
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Gone => (StatusCode::FORBIDDEN, "this session is over".to_owned()),
            Self::Form => (StatusCode::BAD_REQUEST, "this form is malformed".to_owned()),
            Self::Agent(error) => (StatusCode::CONFLICT, error.to_string()),
        };
        (status, text).into_response()
    }
}

type Answer = Result<Response, Refused>;

/// Makes the router.
pub(crate) fn router(hmi: Hmi) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/name", get(name).post(type_name))
        .route("/pin", get(pin).post(type_pin))
        .route("/code", post(code))
        .route("/logout", post(log_out))
        .route("/delete", get(ask_delete).post(delete))
        .route("/provision", post(provision))
        .route("/look", post(look))
        .route("/dismiss", post(dismiss))
        .route("/events", get(events))
        .route("/style.css", get(style))
        .route("/hmi.js", get(script))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn_with_state(hmi.clone(), door::guard))
        .with_state(hmi)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")];
    (headers, Bytes::from_static(text.as_bytes())).into_response()
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../assets/hmi.css"))
}

async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../assets/hmi.js"),
    )
}

fn see_other(to: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

/// Shows what the agent refuses, in words.
fn explained(hmi: &Hmi, visitor: &Visitor, headers: &HeaderMap, error: &AgentError) -> Answer {
    tracing::info!(%error, "the agent did not do what the page asked");
    let mut response = match error {
        AgentError::Away { .. } => return Ok(see_other("/")),
        AgentError::Refused(text) => hmi.show(visitor, headers, |view| {
            let text = fill(view.texts.refused_request, &[("text", text)]);
            page::message(view, &text)
        })?,
    };
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

async fn nothing(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    let mut response = hmi.show(&visitor, &headers, |view| {
        page::message(view, view.texts.no_page)
    })?;
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

async fn home(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    hmi.show(&visitor, &headers, page::home)
}

async fn name(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    hmi.show(&visitor, &headers, page::name)
}

#[derive(Deserialize)]
struct NameForm {
    /// What stands in the field.
    #[serde(default)]
    user: String,
    /// A key of the keyboard on the screen: a character, `space`, `back` or `go`.
    #[serde(default)]
    key: String,
    /// A name that logged in before.
    #[serde(default)]
    known: String,
}

/// Whether the agent would take it as a part of a name.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

async fn type_name(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    form: Result<Form<NameForm>, FormRejection>,
) -> Answer {
    let Form(NameForm {
        mut user,
        key,
        known,
    }) = form?;
    if hmi.agent.state().is_moving() {
        hmi.with(&visitor, |session, _| session.forget())?;
        return Ok(see_other("/name"));
    }
    let mut on = key == "go" || key.is_empty();
    match key.as_str() {
        "go" | "" => {}
        "space" => user.push(' '),
        "back" => drop(user.pop()),
        key if key.chars().count() == 1 => user.push_str(key),
        _ => return Err(Refused::Form),
    }
    if !known.is_empty() {
        (user, on) = (known, true);
    }
    if on {
        user = user.trim().to_owned();
    }
    if !is_name(&user) {
        return Err(Refused::Form);
    }
    on &= !user.is_empty();
    hmi.with(&visitor, |session, now| {
        session.touch(now);
        session.name = user;
    })?;
    Ok(see_other(if on { "/pin" } else { "/name" }))
}

async fn pin(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    if hmi.with(&visitor, |session, _| session.name.is_empty())? {
        return Ok(see_other("/name"));
    }
    hmi.show(&visitor, &headers, page::pin)
}

#[derive(Deserialize)]
struct PinForm {
    /// A digit, `back` or `go`.
    key: String,
}

async fn type_pin(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    form: Result<Form<PinForm>, FormRejection>,
) -> Answer {
    let Form(PinForm { key }) = form?;
    if hmi.agent.state().is_moving() {
        hmi.with(&visitor, |session, _| session.forget())?;
        return Ok(see_other("/name"));
    }
    if key != "go" {
        let key = PinKey::parse(&key).ok_or(Refused::Form)?;
        hmi.with(&visitor, |session, now| session.press(key, now))?;
        return Ok(see_other("/pin"));
    }
    let typed = hmi.with(&visitor, |session, _| {
        let whole = session.digits() >= MIN_PIN && !session.name.is_empty();
        whole.then(|| (session.name.clone(), session.take_pin()))
    })?;
    let Some((name, pin)) = typed else {
        return Ok(see_other("/pin"));
    };
    let body = serde_json::json!({"user": name, "pin": pin.as_str()});
    let mut text = body.to_string();
    let begun = hmi.agent.post("/v1/login", text.clone()).await;
    text.zeroize();
    match begun {
        Ok(begun) => {
            let id = begun["login_id"].as_str().unwrap_or_default();
            hmi.sessions().begun(id, name);
            hmi.with(&visitor, |session, _| session.forget())?;
            Ok(see_other("/"))
        }
        Err(error) => explained(&hmi, &visitor, &headers, &error),
    }
}

/// Asks the agent for something, and goes home.
async fn deed(hmi: &Hmi, visitor: &Visitor, headers: &HeaderMap, path: &str) -> Answer {
    match hmi.agent.post(path, String::new()).await {
        Ok(_) => Ok(see_other("/")),
        Err(error) => explained(hmi, visitor, headers, &error),
    }
}

async fn code(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    deed(&hmi, &visitor, &headers, "/v1/login-code").await
}

async fn log_out(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    hmi.with(&visitor, |session, _| session.forget())?;
    deed(&hmi, &visitor, &headers, "/v1/logout").await
}

async fn provision(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    deed(&hmi, &visitor, &headers, "/v1/provision").await
}

async fn ask_delete(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    hmi.show(&visitor, &headers, page::delete)
}

/// Deletes all profiles of who is logged in; there is one, as a rule.
async fn delete(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Answer {
    let state = hmi.agent.state();
    for profile in state.own_profiles() {
        // It goes into a path.
        if profile.iccid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let path = format!("/v1/profiles/{}/delete", profile.iccid);
            if let Err(error) = hmi.agent.post(&path, String::new()).await {
                return explained(&hmi, &visitor, &headers, &error);
            }
        }
    }
    Ok(see_other("/"))
}

#[derive(Deserialize)]
struct LookForm {
    #[serde(default)]
    language: String,
    #[serde(default)]
    theme: String,
}

async fn look(
    State(hmi): State<Hmi>,
    Extension(visitor): Extension<Visitor>,
    form: Result<Form<LookForm>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    hmi.with(&visitor, |session, _| {
        session.language = Language::from_tag(&form.language).or(session.language);
        session.theme = match form.theme.as_str() {
            "day" => Some(Theme::Day),
            "night" => Some(Theme::Night),
            _ => session.theme,
        };
    })?;
    Ok(see_other("/"))
}

async fn dismiss(State(hmi): State<Hmi>, Extension(visitor): Extension<Visitor>) -> Answer {
    let state = hmi.agent.state();
    let login = state.status.as_ref().and_then(|s| s.login.as_ref());
    let id = login.map(|login| login.login_id.clone());
    hmi.with(&visitor, |session, _| session.dismissed = id)?;
    Ok(see_other("/"))
}

/// Says that the page may have changed: at once, at each change, and every ten seconds, because it counts down.
async fn events(State(hmi): State<Hmi>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = hmi.agent.changes();
    let events = stream::unfold((changes, true), |(mut changes, first)| async move {
        if !first {
            // Its sender lives as long as the program.
            let _ = tokio::time::timeout(TICK, changes.changed()).await;
        }
        changes.mark_unchanged();
        Some((Ok(Event::default().data("changed")), (changes, false)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

//! `aid-hil demo --watch`: one live page on loopback. The address has a token that is good once: who opens it gets a
//! cookie, and nobody else can open it later. The page works without scripts (it loads itself again), and runs one small
//! script of its own otherwise, which adds what server-sent events bring.

mod lines;
mod page;
mod recording;

pub(crate) use recording::Recording;

use aid_cli::cli::{self, Failure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use recording::Changed;
use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::broadcast;

/// What the person in front of the terminal or the browser did.
enum Sign {
    Opened,
    Enter,
    /// Stdin ended: nobody is there.
    Gone,
}

/// The page while it is served; it ends with this.
pub(crate) struct Watch {
    address: String,
    signs: mpsc::Receiver<Sign>,
    attended: bool,
}

struct Place {
    recording: Recording,
    port: u16,
    token: String,
    session: String,
    used: AtomicBool,
    signs: mpsc::Sender<Sign>,
}

fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Watch {
    /// Serves the page of a recording.
    pub(crate) fn serve(recording: Recording) -> Result<Self, Failure> {
        let wrong = |e: std::io::Error| Failure::new(format!("cannot serve the live page: {e}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let port = listener.local_addr().map_err(wrong)?.port();
        let (signs, received) = mpsc::channel();
        let place = Arc::new(Place {
            recording,
            port,
            token: random(),
            session: random(),
            used: AtomicBool::new(false),
            signs: signs.clone(),
        });
        let address = format!("http://127.0.0.1:{port}/?token={}", place.token);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(wrong)?;
        let serve = move || {
            // The program's end ends it: what it serves is gone then, too.
            runtime.block_on(async move {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    let _ = axum::serve(listener, router(place)).await;
                }
            });
        };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        named("live page").spawn(serve).map_err(wrong)?;
        let read = move || {
            for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
                let _ = signs.send(Sign::Enter);
            }
            let _ = signs.send(Sign::Gone);
        };
        named("stdin").spawn(read).map_err(wrong)?;
        Ok(Self {
            address,
            signs: received,
            attended: true,
        })
    }

    /// Says the address, and waits until the page is open, Enter is pressed, or stdin ends.
    pub(crate) fn wait_for_viewer(&mut self) {
        cli::line_to_stderr(&format!("Watch at {}", self.address));
        cli::line_to_stderr("The demo begins when the page is open, or with Enter.");
        if let Ok(Sign::Gone) | Err(_) = self.signs.recv() {
            self.attended = false;
        }
    }

    /// Leaves the page until Enter is pressed or stdin ends.
    pub(crate) fn wait_for_end(self) {
        if !self.attended {
            return;
        }
        cli::line_to_stderr("The page stays until Enter is pressed.");
        while let Ok(Sign::Opened) = self.signs.recv() {}
    }
}

fn router(place: Arc<Place>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/events", get(events))
        .route("/style.css", get(style))
        .route("/live.js", get(script))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page.") })
        .layer(middleware::from_fn_with_state(Arc::clone(&place), guard))
        .with_state(place)
}

impl Place {
    fn cookie(&self) -> String {
        // Cookies know no ports: two demos at once have two names.
        format!("aid_watch_{}", self.port)
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let wanted = format!("{}={}", self.cookie(), self.session);
        let cookies = headers.get_all(header::COOKIE).into_iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .any(|cookie| cookie.trim() == wanted)
    }
}

/// Refuses requests under other names (DNS rebinding) and of strangers, and adds the protective headers.
async fn guard(State(place): State<Arc<Place>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let names = [
        format!("127.0.0.1:{}", place.port),
        format!("localhost:{}", place.port),
    ];
    let mut response = if !names.iter().any(|name| name == host) {
        (
            StatusCode::MISDIRECTED_REQUEST,
            "This page is served on loopback only.",
        )
            .into_response()
    } else if request.uri().path() != "/" && !place.is_known(request.headers()) {
        stranger()
    } else {
        next.run(request).await
    };
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                  form-action 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn stranger() -> Response {
    let text = "This address was opened before, or its token is wrong. Only the browser that opened it first sees the demo; \
                start the demo again for another.";
    (StatusCode::FORBIDDEN, text).into_response()
}

async fn front(
    State(place): State<Arc<Place>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if place.is_known(&headers) {
        let shown = place.recording.shown();
        let page = page::document(&shown);
        drop(shown);
        let _ = place.signs.send(Sign::Opened);
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    }
    if query.get("token") != Some(&place.token) || place.used.swap(true, Ordering::Relaxed) {
        return stranger();
    }
    let cookie = format!(
        "{}={}; HttpOnly; SameSite=Strict; Path=/",
        place.cookie(),
        place.session
    );
    let to = [
        (header::LOCATION, "/".to_owned()),
        (header::SET_COOKIE, cookie),
    ];
    (StatusCode::SEE_OTHER, to).into_response()
}

async fn style() -> Response {
    let text = format!("{}{}", aid_report::STYLE, page::STYLE);
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], text).into_response()
}

async fn script() -> Response {
    let kind = (header::CONTENT_TYPE, "text/javascript; charset=utf-8");
    ([kind], page::SCRIPT).into_response()
}

/// What a stream of events has sent so far.
struct Sent {
    place: Arc<Place>,
    changes: broadcast::Receiver<Changed>,
    messages: usize,
    over: bool,
}

/// Server-sent events: `row` for each message after the last one that the reader has, `state`, and `end`.
async fn events(
    State(place): State<Arc<Place>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let number = |text: &str| text.parse::<usize>().ok();
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let after = last
        .and_then(number)
        .or_else(|| query.get("after").and_then(|v| number(v)));
    let sent = Sent {
        changes: place.recording.changes(),
        place,
        messages: after.unwrap_or(0),
        over: false,
    };
    let events = stream::unfold(sent, |mut sent| async move {
        if sent.over {
            return None;
        }
        let text = sent.next().await;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), sent))
    });
    let kind = (header::CONTENT_TYPE, "text/event-stream");
    ([kind], Body::from_stream(events)).into_response()
}

impl Sent {
    /// What is new, once something is.
    async fn next(&mut self) -> String {
        loop {
            let (text, over) = {
                let shown = self.place.recording.shown();
                let mut text = String::new();
                for (n, message) in shown.messages.iter().enumerate().skip(self.messages) {
                    text.push_str(&event("row", Some(n + 1), &page::row(message)));
                }
                self.messages = self.messages.max(shown.messages.len());
                if !text.is_empty() || shown.over {
                    text.push_str(&event("state", None, &page::state(&shown)));
                }
                if shown.over {
                    text.push_str(&event("end", None, "over"));
                }
                (text, shown.over)
            };
            self.over = over;
            if !text.is_empty() {
                return text;
            }
            match self.changes.recv().await {
                Ok(Changed::State) => {
                    let shown = self.place.recording.shown();
                    return event("state", None, &page::state(&shown));
                }
                Ok(Changed::Message | Changed::Over)
                | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => self.over = true,
            }
            if self.over {
                return event("end", None, "over");
            }
        }
    }
}

fn event(name: &str, id: Option<usize>, data: &str) -> String {
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        text.push_str(&format!("id: {id}\n"));
    }
    for line in data.split('\n') {
        text.push_str(&format!("data: {line}\n"));
    }
    text.push('\n');
    text
}

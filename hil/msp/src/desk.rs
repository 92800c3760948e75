//! The operator's console on the admin listener, at `/console`: what waits or failed, customers, subscriptions, links,
//! orders, calls and profiles with a page each, a time line per correlation-id. No scripts are needed. Whoever is signed
//! in does what their role may, with a reason; what can't be taken back is typed once more. Every form has a token;
//! cookies are `__Host-`.

mod deed;
mod list;
mod sign_in;
mod subject;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use aid_aid1::redirect::percent_encode;
use aid_cli::cli::Failure;
use aid_serve::console::{Cells, token, way};
use aid_serve::limit::{Limiter, Rate};
use aid_serve::page::colour::Colour;
use aid_serve::page::theme::Theme;
use aid_serve::page::{self, Item, Language, Page, Site, hidden};
use axum::Router;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::attempts::Attempts;
use crate::core::desk::{By, Member, Role};
use crate::msp::{Msp, now_ms};
use crate::store::{StoreError, Tx};

/// Largest form, bytes.
const MAX_FORM: usize = 16 * 1024;
/// Cookie of a session. Another name than that of aid-cmp's console, which may be on the same host.
const SESSION: &str = "__Host-aid-msp-desk";
/// Cookie of the sign-in page, so that nobody else signs a browser in.
const LOGIN: &str = "__Host-aid-msp-desk-login";

static PAGES: LazyLock<Site> = LazyLock::new(|| {
    Site::new(
        Theme::plain("aid-msp", Colour([0x6a, 0x1b, 0x4d])),
        ["", ""],
    )
});

/// The navigation.
const NAV: [(&str, &str); 9] = [
    ("/console", "Overview"),
    ("/console/customers", "Customers"),
    ("/console/subscriptions", "Subscriptions"),
    ("/console/links", "Links"),
    ("/console/orders", "Orders"),
    ("/console/calls", "Calls"),
    ("/console/profiles", "Profiles"),
    ("/console/cmps", "CMPs"),
    ("/console/audit", "Audit"),
];

/// What the console works with.
struct Desk {
    msp: Msp,
    /// For the tokens of forms; another one after each start.
    key: [u8; 32],
    /// Sign-ins from one address.
    addresses: Limiter<IpAddr>,
    /// Wrong passwords of one name.
    attempts: Attempts,
}

type At = State<Arc<Desk>>;
type Answer = Result<Response, Trouble>;

/// A page instead of an answer, for whatever goes wrong.
#[derive(Debug)]
enum Trouble {
    /// Nobody is signed in.
    SignIn,
    /// A sentence under a status.
    Said(StatusCode, String),
    /// The database does not answer.
    Store(StoreError),
}

impl Trouble {
    fn said(status: StatusCode, text: &str) -> Self {
        Self::Said(status, text.to_owned())
    }

    /// There is nothing of this name.
    fn unknown(what: &str, id: &str) -> Self {
        Self::Said(
            StatusCode::NOT_FOUND,
            format!("There is no {what} {id:?}. The search on the overview finds what there is."),
        )
    }

    fn too_old() -> Self {
        Self::said(
            StatusCode::FORBIDDEN,
            "The page was too old. Load it again.",
        )
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a deed or a question was refused with.
impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Said(StatusCode::UNPROCESSABLE_ENTITY, failure.text)
    }
}

impl From<FormRejection> for Trouble {
    fn from(_: FormRejection) -> Self {
        Self::said(StatusCode::BAD_REQUEST, "The form was not complete.")
    }
}

impl From<QueryRejection> for Trouble {
    fn from(_: QueryRejection) -> Self {
        Self::said(StatusCode::BAD_REQUEST, "The address is not complete.")
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::SignIn => return page::see_other(way::SIGN_IN),
            Self::Said(status, text) => (status, text),
            Self::Store(error) => {
                tracing::error!(%error, "a page of the console failed");
                let text = "The database does not answer. Try again in a moment.";
                (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
            }
        };
        let content = html! {
            p.note.bad { (text) }
            p { a href="/console" { "To the overview" } }
        };
        let page = Page {
            title: "Not done",
            content,
            narrow: true,
            ..Page::default()
        };
        page::answer(status, document(&page), &[])
    }
}

/// Unix milliseconds as pages have them.
fn now() -> u64 {
    u64::try_from(now_ms()).unwrap_or_default()
}

fn document(page: &Page<'_>) -> String {
    PAGES.document(PAGES.words_in(Language::English, now()), page)
}

/// Rows as they are shown now.
fn cells() -> Cells<'static> {
    Cells {
        words: PAGES.words_in(Language::English, now()),
        target,
    }
}

/// Where a member of a row leads.
fn target(name: &str, text: &str) -> Option<String> {
    let path = match name {
        "user" => "customers",
        "subscription" => "subscriptions",
        "msp_token" => "links",
        "request_id" | "order" => "orders",
        "call" => "calls",
        "iccid" | "replace_iccid" | "swapped_iccid" => "profiles",
        "correlation_id" => "correlations",
        _ => return None,
    };
    (!text.is_empty()).then(|| format!("/console/{path}/{}", percent_encode(text)))
}

/// The console's paths; `login` is the rate of sign-ins from one address.
///
/// # Errors
/// The machine has no randomness.
pub(crate) fn router(msp: Msp, login: Rate) -> Result<Router, Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| Failure::new(format!("no randomness: {e}")))?;
    let desk = Arc::new(Desk {
        msp,
        key,
        addresses: Limiter::new(login),
        attempts: Attempts::default(),
    });
    let router = Router::new()
        .route("/", get(|| async { page::see_other("/console") }))
        .route("/console", get(list::overview))
        .route("/console/", get(|| async { page::see_other("/console") }))
        .route("/console/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/console/logout", post(sign_in::sign_out))
        .route("/console/find", get(subject::find))
        .route("/console/{noun}", get(list::list))
        .route("/console/{noun}/{id}", get(subject::subject))
        .route("/console/do/{deed}/{id}", get(deed::ask).post(deed::act))
        .layer(from_fn(way::remembered))
        .layer(from_fn(without_nul))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .merge(PAGES.assets())
        .with_state(desk);
    Ok(router)
}

/// Refuses U+0000 in an address: no text has it.
async fn without_nul(request: Request, next: Next) -> Response {
    if request.uri().to_string().contains("%00") {
        let text = "The address has a character that is not allowed.";
        return Trouble::said(StatusCode::BAD_REQUEST, text).into_response();
    }
    next.run(request).await
}

/// Somebody who is signed in.
struct Seat {
    member: Member,
    /// The token of their forms.
    csrf: String,
}

impl Seat {
    /// Who sent this request.
    async fn of(desk: &Desk, headers: &HeaderMap) -> Result<Self, Trouble> {
        let cookie = token::read(headers, SESSION).ok_or(Trouble::SignIn)?;
        let hash = token::hash(&cookie);
        let look = async move |tx: Tx<'_>| tx.signed_in(&hash, now_ms()).await;
        let member = desk.msp.store.read(look).await?;
        Ok(Self {
            member: member.ok_or(Trouble::SignIn)?,
            csrf: token::token(&desk.key, &cookie),
        })
    }

    /// Who sent this form, after its token was checked.
    async fn sent(desk: &Desk, headers: &HeaderMap, csrf: &str) -> Result<Self, Trouble> {
        let seat = Self::of(desk, headers).await?;
        let cookie = token::read(headers, SESSION).unwrap_or_default();
        match token::token_fits(&desk.key, &cookie, csrf) {
            true => Ok(seat),
            false => Err(Trouble::too_old()),
        }
    }

    /// Whether they may do what this role may.
    fn may(&self, least: Role) -> bool {
        self.member.role >= least
    }

    /// Who does something, and why.
    fn by(&self, reason: &str) -> By {
        By {
            who: self.member.name.clone(),
            reason: Some(reason.to_owned()),
        }
    }

    /// A page of the console; `path` says which entry of the navigation it is under.
    fn page(&self, path: &str, title: &str, content: Markup) -> Response {
        let current = |href: &str| match href {
            "/console" => path == href,
            _ => path.starts_with(href),
        };
        let nav = NAV.map(|(href, label)| Item {
            href,
            label,
            current: current(href),
        });
        let corner = html! {
            form method="post" action="/console/logout" {
                (hidden("csrf", &self.csrf))
                span.quiet { (self.member.name) ", " (self.member.role.as_str()) " " }
                button { "Sign out" }
            }
        };
        let page = Page {
            title,
            nav: &nav,
            corner: Some(corner),
            content,
            ..Page::default()
        };
        page::answer(StatusCode::OK, document(&page), &[])
    }
}

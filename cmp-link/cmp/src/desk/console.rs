//! The operator's console: what is wrong now, and a page for each vehicle, order, call, user, MSP and transaction, without
//! scripts. Whoever is signed in does what their role may, with a reason; what can't be taken back is typed once more.
//! Every form has a token; cookies are `__Host-`.

mod deed;
mod list;
mod sign_in;
mod subject;

use super::Desk;
use crate::operator::{Operator, Refusal};
use crate::service::now;
use crate::store::StoreError;
use aid_aid1::redirect::percent_encode;
use aid_cmp_core::model::{Member, Role};
use aid_serve::console::{Cells, token, way};
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
use std::sync::{Arc, LazyLock};

/// Largest form, bytes.
const MAX_FORM: usize = 16 * 1024;

static PAGES: LazyLock<Site> = LazyLock::new(|| {
    Site::new(
        Theme::plain("aid-cmp", Colour([0x1f, 0x3a, 0x5f])),
        ["", ""],
    )
});

/// The navigation.
const NAV: [(&str, &str); 7] = [
    ("/console", "Problems"),
    ("/console/vehicles", "Vehicles"),
    ("/console/orders", "Orders"),
    ("/console/calls", "Calls"),
    ("/console/users", "Users"),
    ("/console/msps", "MSPs"),
    ("/console/audit", "Audit"),
];

type At = State<Arc<Desk>>;
type Answer = Result<Response, Trouble>;

/// A page instead of an answer, for whatever goes wrong.
enum Trouble {
    /// Nobody is signed in.
    SignIn,
    /// What the operator's deed or question came to.
    Refused(Refusal),
    /// A sentence under a status.
    Said(StatusCode, &'static str),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refusal::Store(error))
    }
}

impl From<FormRejection> for Trouble {
    fn from(_: FormRejection) -> Self {
        Self::Said(StatusCode::BAD_REQUEST, "The form was not complete.")
    }
}

impl From<QueryRejection> for Trouble {
    fn from(_: QueryRejection) -> Self {
        Self::Said(StatusCode::BAD_REQUEST, "The address is not complete.")
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::SignIn => return page::see_other(way::SIGN_IN),
            Self::Said(status, text) => (status, text.to_owned()),
            Self::Refused(Refusal::Unknown(text)) => (StatusCode::NOT_FOUND, text),
            Self::Refused(Refusal::Conflict(text)) => (StatusCode::CONFLICT, text),
            Self::Refused(Refusal::Forbidden(text)) => (StatusCode::FORBIDDEN, text),
            Self::Refused(Refusal::Invalid(text)) => (StatusCode::UNPROCESSABLE_ENTITY, text),
            Self::Refused(Refusal::Lines(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Lines are wrong.".to_owned(),
            ),
            Self::Refused(Refusal::Store(error)) => {
                tracing::error!(%error, "a page of the console failed");
                let text = "The database does not answer. Try again in a moment.";
                (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
            }
        };
        let content = html! {
            p.note.bad { (text) }
            p { a href="/console" { "To the problems" } }
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

/// Cookie of a session.
const SESSION: &str = "__Host-aid-desk";
/// Cookie of the sign-in page, so that nobody else signs a browser in.
const LOGIN: &str = "__Host-aid-desk-login";

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
        "eid" | "replaced_by" | "vehicles" => "vehicles",
        "order" => "orders",
        "call" => "calls",
        "correlation_id" => "correlations",
        "user" | "users" => "users",
        _ => return None,
    };
    Some(format!("/console/{path}/{}", percent_encode(text)))
}

fn document(page: &Page<'_>) -> String {
    PAGES.document(PAGES.words_in(Language::English, now()), page)
}

/// The console's paths.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    let nothing = || async { Trouble::Said(StatusCode::NOT_FOUND, "There is no such page.") };
    Router::new()
        .route("/", get(|| async { page::see_other("/console") }))
        .route("/console", get(list::problems))
        .route("/console/", get(|| async { page::see_other("/console") }))
        .route("/console/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/console/logout", post(sign_in::sign_out))
        .route("/console/find", get(subject::find))
        .route("/console/vehicles", get(list::vehicles))
        .route("/console/orders", get(list::orders))
        .route("/console/calls", get(list::calls))
        .route("/console/users", get(list::users))
        .route("/console/msps", get(list::msps))
        .route("/console/audit", get(list::audit))
        .route("/console/vehicles/{id}", get(subject::vehicle))
        .route("/console/orders/{id}", get(subject::order))
        .route("/console/calls/{id}", get(subject::call))
        .route("/console/users/{id}", get(subject::user))
        .route("/console/correlations/{id}", get(subject::correlation))
        .route("/console/do/{deed}/{id}", get(deed::ask).post(deed::act))
        .route("/console/{*other}", get(nothing))
        .layer(from_fn(way::remembered))
        .layer(from_fn(without_nul))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .merge(PAGES.assets())
        .with_state(desk)
}

/// Refuses U+0000 in an address: no text has it, and not every database stores it.
async fn without_nul(request: Request, next: Next) -> Response {
    if request.uri().to_string().contains("%00") {
        let text = "The address has a character that is not allowed.";
        return Trouble::Said(StatusCode::BAD_REQUEST, text).into_response();
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
        let member = desk.service.at_desk(&cookie).await?;
        Ok(Self {
            member: member.ok_or(Trouble::SignIn)?,
            csrf: token::token(&desk.service.config.pin_key, &cookie),
        })
    }

    /// Who sent this form, after its token was checked.
    async fn sent(desk: &Desk, headers: &HeaderMap, csrf: &str) -> Result<Self, Trouble> {
        let seat = Self::of(desk, headers).await?;
        let cookie = token::read(headers, SESSION).unwrap_or_default();
        match token::token_fits(&desk.service.config.pin_key, &cookie, csrf) {
            true => Ok(seat),
            false => Err(Trouble::Said(
                StatusCode::FORBIDDEN,
                "The page was too old. Load it again.",
            )),
        }
    }

    /// Whether they may do what this role may.
    fn may(&self, least: Role) -> bool {
        self.member.role >= least
    }

    fn operator<'a>(&self, desk: &'a Desk) -> Operator<'a> {
        desk.operator(self.member.name.clone())
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

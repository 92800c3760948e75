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
use aid_serve::console::{self, Cells, Console, Member, Once, Staff, Trouble, token};
use aid_serve::limit::{Limiter, Rate};
use aid_serve::page::Site;
use aid_serve::page::colour::Colour;
use aid_serve::page::theme::Theme;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::admin::Refusal;
use crate::attempts::Attempts;
use crate::core::desk::{Role, end_session};
use crate::msp::{Msp, now_ms};
use crate::store::Tx;

/// Its pages and names. The cookies have other names than those of aid-cmp's console, which may be on the same host.
static CONSOLE: LazyLock<Console> = LazyLock::new(|| Console {
    pages: Site::new(
        Theme::plain("aid-msp", Colour([0x6a, 0x1b, 0x4d])),
        ["", ""],
    ),
    nav: &NAV,
    home: "To the overview",
    session: "__Host-aid-msp-desk",
    login: "__Host-aid-msp-desk-login",
    access: "aid-msp member add NAME --role ROLE",
    target,
    now: || u64::try_from(now_ms()).unwrap_or_default(),
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
    /// Forms that were sent.
    once: Once,
}

type At = State<Arc<Desk>>;
type Seat = console::Seat<Role>;

impl Staff for Desk {
    type Role = Role;

    fn console(&self) -> &'static Console {
        &CONSOLE
    }

    fn key(&self) -> &[u8; 32] {
        &self.key
    }

    fn once(&self) -> &Once {
        &self.once
    }

    async fn member(&self, cookie: &str) -> Result<Option<Member<Role>>, Trouble> {
        let hash = token::hash(cookie);
        let look = async move |tx: Tx<'_>| tx.signed_in(&hash, now_ms()).await;
        let member = self.msp.store.read(look).await.map_err(Trouble::database)?;
        Ok(member.map(|member| Member {
            name: member.name,
            role: member.role,
            word: member.role.as_str(),
        }))
    }

    async fn leave(&self, cookie: &str) -> Result<(), Trouble> {
        let ended = end_session(&token::hash(cookie));
        self.msp.store.put(ended).await.map_err(Trouble::database)
    }
}

/// What a deed or a question came to.
impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Said(failure) => Self::Said(StatusCode::UNPROCESSABLE_ENTITY, failure.text),
            Refusal::Store(error) => Self::database(error),
        }
    }
}

/// There is nothing of this name.
fn unknown(what: &str, id: &str) -> Trouble {
    let text =
        format!("There is no {what} {id:?}. The search on the overview finds what there is.");
    Trouble::said(StatusCode::NOT_FOUND, text)
}

/// Rows as they are shown now.
fn cells() -> Cells<'static> {
    CONSOLE.cells()
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
        once: Once::default(),
    });
    let own = Router::new()
        .route("/console", get(list::overview))
        .route("/console/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/console/logout", post(console::sign_in::sign_out::<Desk>))
        .route("/console/find", get(subject::find))
        .route("/console/{noun}", get(list::list))
        .route("/console/{noun}/{id}", get(subject::subject))
        .route(
            "/console/do/{deed}/{id}",
            get(console::deed::ask::<Desk, deed::Deed>)
                .post(console::deed::act::<Desk, deed::Deed>),
        );
    Ok(CONSOLE.routes(own).with_state(desk))
}

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
use aid_aid1::redirect::percent_encode;
use aid_cmp_core::model::Role;
use aid_serve::console::{self, Cells, Console, Member, Once, Staff, Trouble};
use aid_serve::page::Site;
use aid_serve::page::colour::Colour;
use aid_serve::page::theme::Theme;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::sync::{Arc, LazyLock};

/// Its pages and names.
static CONSOLE: LazyLock<Console> = LazyLock::new(|| Console {
    pages: Site::new(
        Theme::plain("aid-cmp", Colour([0x1f, 0x3a, 0x5f])),
        ["", ""],
    ),
    nav: &NAV,
    home: "To the problems",
    session: "__Host-aid-desk",
    login: "__Host-aid-desk-login",
    access: "aid-cmp member add NAME --role ROLE",
    target,
    now,
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
type Seat = console::Seat<Role>;

impl Staff for Desk {
    type Role = Role;

    fn console(&self) -> &'static Console {
        &CONSOLE
    }

    fn key(&self) -> &[u8; 32] {
        &self.service.config.pin_key
    }

    fn once(&self) -> &Once {
        &self.once
    }

    async fn member(&self, cookie: &str) -> Result<Option<Member<Role>>, Trouble> {
        let member = self.service.at_desk(cookie).await;
        Ok(member.map_err(Trouble::database)?.map(|member| Member {
            name: member.name,
            role: member.role,
            word: member.role.as_str(),
        }))
    }

    async fn leave(&self, cookie: &str) -> Result<(), Trouble> {
        let left = self.service.leave_desk(cookie).await;
        left.map_err(Trouble::database)
    }
}

/// What the operator's deed or question came to.
impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let (status, text) = match refusal {
            Refusal::Unknown(text) => (StatusCode::NOT_FOUND, text),
            Refusal::Conflict(text) => (StatusCode::CONFLICT, text),
            Refusal::Forbidden(text) => (StatusCode::FORBIDDEN, text),
            Refusal::Invalid(text) => (StatusCode::UNPROCESSABLE_ENTITY, text),
            Refusal::Lines(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Lines are wrong.".to_owned(),
            ),
            Refusal::Store(error) => return Self::database(error),
        };
        Self::Said(status, text)
    }
}

/// What this person asks and does.
fn operator<'a>(desk: &'a Desk, seat: &Seat) -> Operator<'a> {
    desk.operator(seat.member.name.clone())
}

/// Rows as they are shown now.
fn cells() -> Cells<'static> {
    CONSOLE.cells()
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

/// The console's paths.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    let nothing = || async { Trouble::said(StatusCode::NOT_FOUND, "There is no such page.") };
    let own = Router::new()
        .route("/console", get(list::problems))
        .route("/console/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/console/logout", post(console::sign_in::sign_out::<Desk>))
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
        .route(
            "/console/do/{deed}/{id}",
            get(console::deed::ask::<Desk, deed::Deed>)
                .post(console::deed::act::<Desk, deed::Deed>),
        )
        .route("/console/{*other}", get(nothing));
    CONSOLE.routes(own).with_state(desk)
}

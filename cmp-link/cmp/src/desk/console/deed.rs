//! What is done at the console: each deed has a page that says what it does and asks for the reason; one that can't be
//! taken back wants its subject typed once more.

use super::{Answer, At, Seat, Trouble};
use crate::operator::{Because, Operator, Refusal};
use aid_aid1::redirect::percent_encode;
use aid_cmp_core::model::Role;
use aid_serve::console::form::typed;
use aid_serve::page::{self, Field, hidden};
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    ClearVehicle,
    RetireVehicle,
    ExchangeVehicle,
    DeleteProfile,
    UnlockUser,
    EraseUser,
    WithdrawLink,
    ReplayOrder,
    CloseOrder,
    ReplayCall,
    DropCall,
}

use Deed as D;

/// What a page says of a deed.
struct About {
    /// Its word in the address.
    word: &'static str,
    /// Who may do it.
    least: Role,
    /// Whether it can't be taken back.
    is_final: bool,
    label: &'static str,
    /// What it does.
    text: &'static str,
    /// Where its subject is shown afterwards.
    path: &'static str,
}

const ALL: [D; 11] = [
    D::ClearVehicle,
    D::RetireVehicle,
    D::ExchangeVehicle,
    D::DeleteProfile,
    D::UnlockUser,
    D::EraseUser,
    D::WithdrawLink,
    D::ReplayOrder,
    D::CloseOrder,
    D::ReplayCall,
    D::DropCall,
];

impl Deed {
    fn about(self) -> About {
        let about = |word, least, is_final, label, text, path| About {
            word,
            least,
            is_final,
            label,
            text,
            path,
        };
        let (operator, admin) = (Role::Operator, Role::Admin);
        match self {
            D::ClearVehicle => about(
                "clear-vehicle",
                operator,
                true,
                "Clear the vehicle",
                "The rental ended: its users are logged out, and its profiles are deleted.",
                "vehicles",
            ),
            D::RetireVehicle => about(
                "retire-vehicle",
                admin,
                true,
                "Retire the vehicle",
                "The vehicle is cut off now and for good: open orders are closed, and its profiles count as lost.",
                "vehicles",
            ),
            D::ExchangeVehicle => about(
                "exchange-vehicle",
                admin,
                true,
                "Exchange the unit",
                "The unit with the eUICC was exchanged: the old one is cut off for good, and the new one takes its place.",
                "vehicles",
            ),
            D::DeleteProfile => about(
                "delete-profile",
                operator,
                true,
                "Delete the profile",
                "The vehicle deletes the profile as soon as it has a connection.",
                "",
            ),
            D::UnlockUser => about(
                "unlock-user",
                operator,
                false,
                "Unlock the user",
                "What was counted of wrong passwords, PINs and codes is taken back; the user may try at once.",
                "users",
            ),
            D::EraseUser => about(
                "erase-user",
                admin,
                true,
                "Erase the user",
                "The user is forgotten: links end, profiles are deleted, name and secrets go at once.",
                "",
            ),
            D::WithdrawLink => about(
                "withdraw-link",
                admin,
                true,
                "End the link",
                "The link between the user and the MSP ends, and its profiles are deleted.",
                "",
            ),
            D::ReplayOrder => about(
                "replay-order",
                operator,
                false,
                "Give the order again",
                "The same order is given under a new name.",
                "orders",
            ),
            D::CloseOrder => about(
                "close-order",
                operator,
                true,
                "Close the order",
                "The order is closed without a result; the vehicle need not carry it out any more.",
                "orders",
            ),
            D::ReplayCall => about(
                "replay-call",
                operator,
                false,
                "Call now",
                "The call to the MSP is made now.",
                "calls",
            ),
            D::DropCall => about(
                "drop-call",
                operator,
                true,
                "Drop the call",
                "The call is closed without an answer; those behind it go on.",
                "calls",
            ),
        }
    }

    fn of(word: &str) -> Result<Self, Trouble> {
        let found = ALL.into_iter().find(|deed| deed.about().word == word);
        found.ok_or(Trouble::Said(
            StatusCode::NOT_FOUND,
            "There is no such deed.",
        ))
    }

    async fn act(self, operator: &Operator<'_>, id: &str, form: &Done) -> Result<Value, Refusal> {
        let uuid = || {
            id.parse::<Uuid>()
                .map_err(|_| Refusal::unknown(format!("nothing is called {id:?}")))
        };
        let reason = super::super::body::checked_reason(&form.reason)?;
        match self {
            D::ClearVehicle => {
                operator
                    .clear_vehicle(id, Because::RentalEnd, Some(reason))
                    .await
            }
            D::RetireVehicle => operator.retire_vehicle(id, reason).await,
            D::ExchangeVehicle => operator.exchange_vehicle(id, form.new.trim(), reason).await,
            D::DeleteProfile => operator.delete_profile(id, reason).await,
            D::UnlockUser => operator.unlock_user(id, reason).await,
            D::EraseUser => operator.erase_user(id, reason).await,
            D::WithdrawLink => operator.withdraw(uuid()?, reason).await,
            D::ReplayOrder => operator.replay_order(uuid()?, reason).await,
            D::CloseOrder => operator.close_order(uuid()?, reason).await,
            D::ReplayCall => operator.replay_call(uuid()?, reason).await,
            D::DropCall => operator.drop_call(uuid()?, reason).await,
        }
    }
}

fn address(about: &About, id: &str) -> String {
    format!("/console/do/{}/{}", about.word, percent_encode(id))
}

/// The deeds that this person may do about a subject.
pub(super) fn actions(seat: &Seat, deeds: &[Deed], id: &str) -> Markup {
    let may = |deed: &&Deed| seat.may(deed.about().least);
    html! {
        div.actions {
            @for deed in deeds.iter().filter(may) {
                @let about = deed.about();
                a.button.danger[about.is_final] href=(address(&about, id)) {
                    (about.label)
                    // Two profiles have a button each.
                    @if about.path.is_empty() { " " (id) }
                }
            }
        }
    }
}

/// What the form of a deed says.
#[derive(Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    confirm: String,
    #[serde(default)]
    new: String,
}

fn form(seat: &Seat, deed: Deed, id: &str, before: &Done, problem: Option<&str>) -> Response {
    let about = deed.about();
    let wanted = typed(id);
    let label = format!("Type {wanted} to confirm: this can't be taken back");
    let mut reason = Field::new("reason", "Reason, for the audit trail");
    reason.value = &before.reason;
    reason.max = 255;
    let mut confirm = Field::new("confirm", &label);
    let wrong = format!("Type {wanted} here.");
    confirm.error = problem.map(|_| wrong.as_str());
    let mut new = Field::new("new", "EID of the new eUICC");
    new.value = &before.new;
    let content = html! {
        @if let Some(problem) = problem { p.note.bad role="alert" { (problem) } }
        p.note.warn[about.is_final] { (about.text) }
        p { (id) }
        form.card method="post" action=(address(&about, id)) {
            (hidden("csrf", &seat.csrf))
            @if deed == Deed::ExchangeVehicle { (new.render()) }
            (reason.render())
            @if about.is_final { (confirm.render()) }
            div.actions {
                button.main[!about.is_final].danger[about.is_final] { (about.label) }
                a.button href="/console" { "Cancel" }
            }
        }
    };
    seat.page("/console/", about.label, content)
}

/// The deed's page and subject, for who may do it.
async fn admitted(seat: &Seat, word: &str) -> Result<Deed, Trouble> {
    let deed = Deed::of(word)?;
    match seat.may(deed.about().least) {
        true => Ok(deed),
        false => Err(Trouble::Said(
            StatusCode::FORBIDDEN,
            "Your role does not suffice for this.",
        )),
    }
}

pub(super) async fn ask(
    State(desk): At,
    headers: HeaderMap,
    Path((word, id)): Path<(String, String)>,
) -> Answer {
    let seat = Seat::of(&desk, &headers).await?;
    let deed = admitted(&seat, &word).await?;
    Ok(form(&seat, deed, &id, &Done::default(), None))
}

pub(super) async fn act(
    State(desk): At,
    headers: HeaderMap,
    Path((word, id)): Path<(String, String)>,
    done: Result<Form<Done>, FormRejection>,
) -> Answer {
    let Form(done) = done?;
    let seat = Seat::sent(&desk, &headers, &done.csrf).await?;
    let deed = admitted(&seat, &word).await?;
    let about = deed.about();
    if about.is_final && done.confirm.trim() != typed(&id) {
        let problem = "Nothing was done: what was typed is not what the deed is about.";
        let mut answer = form(&seat, deed, &id, &done, Some(problem));
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(answer);
    }
    let row = deed.act(&seat.operator(&desk), &id, &done).await?;
    // What came of it may have another name.
    let shown = match deed {
        Deed::ReplayOrder => row["order"].as_str().unwrap_or(&id),
        Deed::ExchangeVehicle => row["eid"].as_str().unwrap_or(&id),
        _ => &id,
    };
    Ok(match (about.path, row["eid"].as_str()) {
        ("", Some(eid)) => page::see_other(&format!("/console/vehicles/{eid}")),
        ("", None) => page::see_other("/console"),
        (path, _) => page::see_other(&format!("/console/{path}/{}", percent_encode(shown))),
    })
}

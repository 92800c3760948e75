//! What is done at the console: each deed has a page that says what it does and asks for the reason; one that can't be
//! taken back wants its subject typed once more.

use aid_aid1::body::MAX_TEXT;
use aid_aid1::redirect::percent_encode;
use aid_cli::printable::is_unprintable;
use aid_id::Iccid;
use aid_serve::console::form::typed;
use aid_serve::page::{self, Field, hidden};
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Answer, At, Desk, Seat, Trouble};
use crate::admin;
use crate::core::desk::{By, Role};
use crate::store::Target;

/// A deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A subscription is blocked for a time.
    Suspend,
    /// The block ends.
    Resume,
    /// The links of a subscription end.
    Withdraw,
    /// A subscription ends.
    End,
    /// All links of a customer end.
    WithdrawCustomer,
    /// A profile is blocked for a time.
    SuspendProfile,
    /// The block ends.
    ResumeProfile,
    /// A profile is dead for good.
    Defect,
    /// A call is made now.
    Retry,
    /// A call is given up.
    Drop,
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

const ALL: [D; 10] = [
    D::Suspend,
    D::Resume,
    D::Withdraw,
    D::End,
    D::WithdrawCustomer,
    D::SuspendProfile,
    D::ResumeProfile,
    D::Defect,
    D::Retry,
    D::Drop,
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
            D::Suspend => about(
                "suspend",
                operator,
                false,
                "Suspend the subscription",
                "Its profiles lose the network, no activation codes are given, and the CMPs are informed.",
                "subscriptions",
            ),
            D::Resume => about(
                "resume",
                operator,
                false,
                "Resume the subscription",
                "Its profiles have the network again, and the CMPs are informed.",
                "subscriptions",
            ),
            D::Withdraw => about(
                "withdraw",
                admin,
                true,
                "End the links of the subscription",
                "Its profiles leave the network, and the CMPs delete them. The contract goes on.",
                "subscriptions",
            ),
            D::End => about(
                "end",
                admin,
                true,
                "End the subscription",
                "The contract and its links end, its profiles leave the network, and the CMPs delete them.",
                "subscriptions",
            ),
            D::WithdrawCustomer => about(
                "withdraw-customer",
                admin,
                true,
                "End all links of the customer",
                "The profiles of all subscriptions leave the network, and the CMPs delete them. The contracts go on.",
                "customers",
            ),
            D::SuspendProfile => about(
                "suspend-profile",
                operator,
                false,
                "Suspend the profile",
                "The profile loses the network, and the CMP is informed.",
                "profiles",
            ),
            D::ResumeProfile => about(
                "resume-profile",
                operator,
                false,
                "Resume the profile",
                "The profile has the network again, and the CMP is informed.",
                "profiles",
            ),
            D::Defect => about(
                "defect",
                admin,
                true,
                "Declare the profile invalid",
                "The profile leaves the network for good, and the CMP deletes it.",
                "profiles",
            ),
            D::Retry => about(
                "retry",
                operator,
                false,
                "Call now",
                "The call is made now, also one that was given up.",
                "calls",
            ),
            D::Drop => about(
                "drop",
                admin,
                true,
                "Give the call up",
                "The call is not made any more. What it should have told, the other side never learns.",
                "calls",
            ),
        }
    }

    fn of(word: &str) -> Result<Self, Trouble> {
        let found = ALL.into_iter().find(|deed| deed.about().word == word);
        found.ok_or_else(|| Trouble::said(StatusCode::NOT_FOUND, "There is no such deed."))
    }

    async fn act(self, desk: &Desk, id: &str, by: &By) -> Result<(), Trouble> {
        let msp = &desk.msp;
        let iccid = || {
            id.parse::<Iccid>()
                .map_err(|_| Trouble::unknown("profile", id))
        };
        let number = || id.parse::<i64>().map_err(|_| Trouble::unknown("call", id));
        match self {
            D::Suspend => admin::block(msp, id, true, by).await?,
            D::Resume => admin::block(msp, id, false, by).await?,
            D::Withdraw => {
                admin::withdraw(msp, Target::Subscription(id.to_owned()), None, by).await?
            }
            D::End => admin::end_subscription(msp, id, by).await?,
            D::WithdrawCustomer => {
                admin::withdraw(msp, Target::User(id.to_owned()), None, by).await?
            }
            D::SuspendProfile => admin::fate(msp, &iccid()?, "suspend", by).await?,
            D::ResumeProfile => admin::fate(msp, &iccid()?, "resume", by).await?,
            D::Defect => admin::fate(msp, &iccid()?, "defect", by).await?,
            D::Retry => admin::put_outbox(msp, number()?, false, by).await?,
            D::Drop => admin::put_outbox(msp, number()?, true, by).await?,
        };
        // What has to be sent is sent now.
        msp.outbox.notify_one();
        Ok(())
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
                a.button.danger[about.is_final] href=(address(&about, id)) { (about.label) }
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
}

/// What is wrong with a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Reason,
    Confirm,
}

/// A reason as the audit trail and AID1 take it.
fn checked_reason(text: &str) -> Option<&str> {
    let text = text.trim();
    let fits = (1..=MAX_TEXT).contains(&text.chars().count()) && !text.contains(is_unprintable);
    fits.then_some(text)
}

fn form(seat: &Seat, deed: Deed, id: &str, before: &Done, wrong: Option<Wrong>) -> Response {
    let about = deed.about();
    let wanted = typed(id);
    let label = format!("Type {wanted} to confirm: this can't be taken back");
    let mut reason = Field::new("reason", "Reason");
    reason.hint = "For the audit trail, and for customer care at the CMP where it is informed.";
    reason.value = &before.reason;
    reason.max = MAX_TEXT;
    let short = format!("Write 1 to {MAX_TEXT} printable characters.");
    reason.error = (wrong == Some(Wrong::Reason)).then_some(short.as_str());
    let mut confirm = Field::new("confirm", &label);
    let mistyped = format!("Type {wanted} here.");
    confirm.error = (wrong == Some(Wrong::Confirm)).then_some(mistyped.as_str());
    let content = html! {
        @if wrong.is_some() { p.note.bad role="alert" { "Nothing was done. See below." } }
        p.note.warn[about.is_final] { (about.text) }
        p { (id) }
        form.card method="post" action=(address(&about, id)) {
            (hidden("csrf", &seat.csrf))
            (reason.render())
            @if about.is_final { (confirm.render()) }
            div.actions {
                button.main[!about.is_final].danger[about.is_final] { (about.label) }
                a.button href=(format!("/console/{}/{}", about.path, percent_encode(id))) { "Cancel" }
            }
        }
    };
    seat.page("/console/do", about.label, content)
}

/// The deed, for who may do it.
fn admitted(seat: &Seat, word: &str) -> Result<Deed, Trouble> {
    let deed = Deed::of(word)?;
    match seat.may(deed.about().least) {
        true => Ok(deed),
        false => Err(Trouble::said(
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
    let deed = admitted(&seat, &word)?;
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
    let deed = admitted(&seat, &word)?;
    let about = deed.about();
    let reason = checked_reason(&done.reason);
    let wrong = if about.is_final && done.confirm.trim() != typed(&id) {
        Some(Wrong::Confirm)
    } else {
        reason.is_none().then_some(Wrong::Reason)
    };
    let (Some(reason), None) = (reason, wrong) else {
        let mut answer = form(&seat, deed, &id, &done, wrong);
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(answer);
    };
    deed.act(&desk, &id, &seat.by(reason)).await?;
    let to = format!("/console/{}/{}", about.path, percent_encode(&id));
    Ok(page::see_other(&to))
}

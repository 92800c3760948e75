//! What is done at a console: each deed has a page that says what it does and asks for the reason; one that can't be taken
//! back wants its subject typed once more.

use super::form::typed;
use super::way::{HOME, segment};
use super::{Answer, Seat, Staff, Trouble, token};
use crate::page::{self, Field, hidden};
use aid_cli::printable::is_unprintable;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Longest reason, characters: that of AID1 (AID.02 §7).
pub const MAX_REASON: usize = 255;

/// What a page says of a deed.
#[derive(Debug, Clone, Copy)]
pub struct About<R> {
    /// Its word in the address.
    pub word: &'static str,
    /// Who may do it.
    pub least: R,
    /// Whether it can't be taken back.
    pub is_final: bool,
    /// Its button.
    pub label: &'static str,
    /// What it does.
    pub text: &'static str,
    /// Below which address of the console its subject is shown; empty where the subject has no page of its own.
    pub path: &'static str,
    /// Label of what else has to be filled in.
    pub new: Option<&'static str>,
}

/// A deed that was asked for, after the form was checked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who does it.
    pub who: String,
    /// Its subject, as it stood in the address.
    pub id: String,
    /// Why: 1 to [`MAX_REASON`] printable characters.
    pub reason: String,
    /// What else was filled in.
    pub new: String,
}

/// The deeds of a server.
pub trait Deed<D: Staff>: Copy + Send + Sync + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// What its page says.
    fn about(self) -> About<D::Role>;

    /// Does it; yields the address where what came of it is shown.
    fn act(
        self,
        desk: Arc<D>,
        asked: Asked,
    ) -> impl Future<Output = Result<String, Trouble>> + Send + 'static;
}

fn address<R>(about: &About<R>, id: &str) -> String {
    format!("/console/do/{}/{}", about.word, segment(id))
}

/// The page of a deed's subject.
#[must_use]
pub fn subject<R>(about: &About<R>, id: &str) -> String {
    match about.path {
        "" => HOME.to_owned(),
        path => format!("/console/{path}/{}", segment(id)),
    }
}

/// The deeds that this person may do about a subject.
pub fn actions<D: Staff>(seat: &Seat<D::Role>, deeds: &[impl Deed<D>], id: &str) -> Markup {
    let abouts = deeds.iter().map(|deed| deed.about());
    html! {
        div.actions {
            @for about in abouts.filter(|about| seat.may(about.least)) {
                a.button.danger[about.is_final] href=(address(&about, id)) {
                    (about.label)
                    // Two subjects on a page have a button each.
                    @if about.path.is_empty() { " " (id) }
                }
            }
        }
    }
}

/// What the form of a deed says.
#[derive(Debug, Default, Deserialize)]
pub struct Done {
    #[serde(default)]
    csrf: String,
    /// The name of the form, for [`super::Once`].
    #[serde(default)]
    once: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    confirm: String,
    #[serde(default)]
    new: String,
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
    let fits = (1..=MAX_REASON).contains(&text.chars().count()) && !text.contains(is_unprintable);
    fits.then_some(text)
}

fn form<R: Copy + PartialOrd>(
    seat: &Seat<R>,
    about: &About<R>,
    id: &str,
    (before, wrong): (&Done, Option<Wrong>),
) -> Answer {
    let once = super::sign_in::random()?;
    let wanted = typed(id);
    let label = format!("Type {wanted} to confirm: this can't be taken back");
    let mut reason = Field::new("reason", "Reason");
    reason.hint =
        "For the audit trail, and for customer care of the other company where it is informed.";
    reason.value = &before.reason;
    reason.max = MAX_REASON;
    let short = format!("Write 1 to {MAX_REASON} printable characters.");
    reason.error = (wrong == Some(Wrong::Reason)).then_some(short.as_str());
    let mut confirm = Field::new("confirm", &label);
    let mistyped = format!("Type {wanted} here.");
    confirm.error = (wrong == Some(Wrong::Confirm)).then_some(mistyped.as_str());
    let new = about.new.map(|label| Field {
        value: &before.new,
        ..Field::new("new", label)
    });
    let content = html! {
        @if wrong.is_some() { p.note.bad role="alert" { "Nothing was done. See below." } }
        p.note.warn[about.is_final] { (about.text) }
        p { (id) }
        form.card method="post" action=(address(about, id)) {
            (hidden("csrf", &seat.csrf)) (hidden("once", &once))
            @if let Some(new) = new { (new.render()) }
            (reason.render())
            @if about.is_final { (confirm.render()) }
            div.actions {
                button.main[!about.is_final].danger[about.is_final] { (about.label) }
                a.button href=(subject(about, id)) { "Cancel" }
            }
        }
    };
    let mut answer = seat.page("/console/do", about.label, content);
    if wrong.is_some() {
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(answer)
}

/// The deed, for who may do it.
fn admitted<D: Staff, E: Deed<D>>(seat: &Seat<D::Role>, word: &str) -> Result<E, Trouble> {
    let found = E::ALL.iter().find(|deed| deed.about().word == word);
    let deed =
        found.ok_or_else(|| Trouble::said(StatusCode::NOT_FOUND, "There is no such deed."))?;
    match seat.may(deed.about().least) {
        true => Ok(*deed),
        false => Err(Trouble::forbidden()),
    }
}

/// The page of a deed.
///
/// # Errors
/// Nobody is signed in, they may not do it, or there is no such deed.
pub async fn ask<D: Staff, E: Deed<D>>(
    State(desk): State<Arc<D>>,
    headers: HeaderMap,
    Path((word, id)): Path<(String, String)>,
) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let deed: E = admitted(&seat, &word)?;
    form(&seat, &deed.about(), &id, (&Done::default(), None))
}

/// Does a deed.
///
/// # Errors
/// As [`ask`], and those of the deed.
pub async fn act<D: Staff, E: Deed<D>>(
    State(desk): State<Arc<D>>,
    headers: HeaderMap,
    Path((word, id)): Path<(String, String)>,
    done: Result<Form<Done>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(done) = done?;
    let seat = Seat::sent(&*desk, &headers, &done.csrf).await?;
    let deed: E = admitted(&seat, &word)?;
    let about = deed.about();
    let reason = checked_reason(&done.reason);
    let wrong = if about.is_final && done.confirm.trim() != typed(&id) {
        Some(Wrong::Confirm)
    } else {
        reason.is_none().then_some(Wrong::Reason)
    };
    let (Some(reason), None) = (reason, wrong) else {
        return form(&seat, &about, &id, (&done, wrong));
    };
    let key = token::hash(&format!("{} {} {word} {id}", done.csrf, done.once));
    let asked = Asked {
        who: seat.member.name,
        id,
        reason: reason.to_owned(),
        new: done.new.trim().to_owned(),
    };
    let deed = deed.act(Arc::clone(&desk), asked);
    let to = match done.once.as_str() {
        // The form of a program, or of an earlier version: what is repeated is done again.
        "" => deed.await?,
        _ => desk.once().run(key, deed).await?,
    };
    Ok(page::see_other(&to))
}

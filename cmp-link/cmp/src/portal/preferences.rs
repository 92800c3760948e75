//! Preferences of the AID User Profile, which every car gets at the login (R-2-9): real controls for those that many cars
//! know, and name and value for any other.

use super::frame::{Inside, Tab, Visit, wrong};
use super::settings::{Problem, answered};
use super::{Cmp, Page, Refusal, login_first, sender, visitor};
use crate::service::{Changed, Preferred};
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;

/// The preferences that have a control of their own, with what can be chosen; the texts are `pref-NAME` and
/// `pref-NAME-VALUE` with dashes for dots.
const CONTROLS: [(&str, &[&str]); 5] = [
    ("language", &["en", "de"]),
    ("units", &["metric", "imperial"]),
    (
        "climate.temperature",
        &["18", "19", "20", "21", "22", "23", "24"],
    ),
    ("seat.position", &["1", "2", "3", "4", "5"]),
    ("mirrors.fold", &["on", "off"]),
];

fn text_id(name: &str) -> String {
    format!("pref-{}", name.replace(['.', '_'], "-"))
}

/// A preference in words where it has a control, else as it is stored.
pub(super) fn preference_name(visit: &Visit<'_>, name: &str) -> String {
    match CONTROLS.iter().any(|(n, _)| *n == name) {
        true => visit.say(&text_id(name)),
        false => name.to_owned(),
    }
}

pub(super) fn preference_value(visit: &Visit<'_>, name: &str, value: &str) -> String {
    let known = CONTROLS
        .iter()
        .any(|(n, values)| *n == name && values.contains(&value));
    let id = format!("{}-{value}", text_id(name));
    match known && visit.words.has(&id) {
        true => visit.say(&id),
        false => value.to_owned(),
    }
}

/// What was typed into the fields for any preference.
type Typed<'a> = (&'a str, &'a str);

fn preference_page(
    visit: &Visit<'_>,
    preferences: &[(String, String)],
    typed: Typed<'_>,
    problem: &Problem,
) -> (String, Markup) {
    let present = |name: &str| {
        let found = preferences.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    };
    let (label, value_label) = (visit.say("preference-name"), visit.say("preference-value"));
    let hint = visit.say("preference-name-hint");
    let others = preferences
        .iter()
        .filter(|(name, _)| CONTROLS.iter().all(|(n, _)| n != name));
    let content = html! {
        (wrong(problem.whole.as_deref()))
        p { (visit.say("preferences-hint")) }
        form method="post" action="/preferences" {
            (visit.token())
            @for (name, values) in CONTROLS {
                @let id = text_id(name);
                label for=(id) { (visit.say(&id)) }
                select id=(id) name=(name) {
                    option value="" selected[present(name).is_none()] { (visit.say("pref-none")) }
                    @if let Some(own) = present(name) && !values.contains(&own) {
                        option value=(own) selected { (own) }
                    }
                    @for value in values {
                        option value=(value) selected[present(name) == Some(value)] { (preference_value(visit, name, value)) }
                    }
                }
            }
            p.actions {
                button.main { (visit.say("save-preferences")) }
                a.button href="/settings" { (visit.say("cancel")) }
            }
        }
        details id="more-preferences" open[problem.new.is_some()] {
            summary { (visit.say("preferences-more")) }
            ul.plain {
                @for (name, value) in others {
                    li {
                        form.row method="post" action="/preference" {
                            (visit.token()) (hidden("name", name))
                            span { (name) ": " strong { (value) } }
                            button { (visit.words.with("remove-preference", &[("name", name.as_str().into())])) }
                        }
                    }
                }
            }
            form method="post" action="/preference" {
                (visit.token())
                (Field { hint: &hint, error: problem.new.as_deref(), value: typed.0, max: 64, ..Field::new("name", &label) }.render())
                (Field { value: typed.1, ..Field::new("value", &value_label) }.render())
                p.actions { button { (visit.say("save-preference")) } }
            }
        }
    };
    (visit.say("settings-preferences"), content)
}

pub(super) async fn form(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/preference");
    };
    let preferences = service.preferences(&visit.account).await?;
    let (title, content) = preference_page(&visit, &preferences, ("", ""), &Problem::default());
    Ok(visit.show(&Inside::form(Tab::Settings, &title, content)))
}

#[derive(Deserialize)]
pub(super) struct PreferenceForm {
    csrf: String,
    name: String,
    /// Empty: it is removed.
    #[serde(default)]
    value: String,
}

/// Sets or removes one preference of the AID User Profile, which every car gets at the login (R-2-9).
async fn prefer(visit: &Visit<'_>, name: &str, value: &str) -> Result<Changed, Refusal> {
    let wanted = Some(value.trim()).filter(|v| !v.is_empty());
    let name = name.trim().to_lowercase();
    let preferred = visit.service.prefer(&visit.account, &name, wanted);
    Ok(match preferred.await? {
        Preferred::Done => Changed::Done,
        Preferred::Malformed => Changed::Unusable("wrong-preference"),
        Preferred::Gone => Changed::Unusable("wrong-account-gone"),
        Preferred::TooMany => Changed::Unusable("wrong-preferences"),
    })
}

pub(super) async fn one(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<PreferenceForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let changed = prefer(&visit, &form.name, &form.value).await?;
    let preferences = service.preferences(&visit.account).await?;
    answered(&visit, changed, "preference", |problem| {
        preference_page(&visit, &preferences, (&form.name, &form.value), &problem)
    })
}

/// All preferences that have a control: those that changed are stored.
pub(super) async fn all(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let value = |name: &str| {
        let found = form.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    };
    let visit = sender(&service, &headers, value("csrf").unwrap_or_default()).await?;
    let before = service.preferences(&visit.account).await?;
    let mut changed = Changed::Done;
    for (name, _) in CONTROLS {
        let old = before
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str());
        let Some(new) = value(name).filter(|new| *new != old.unwrap_or_default()) else {
            continue;
        };
        changed = prefer(&visit, name, new).await?;
        if changed != Changed::Done {
            break;
        }
    }
    answered(&visit, changed, "preference", |problem| {
        preference_page(&visit, &before, ("", ""), &problem)
    })
}

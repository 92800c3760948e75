//! Settings: sections, each with what is set and one "Change"; name, password, PIN and preferences are changed here.

use super::frame::{Inside, Tab, Visit, wrong};
use super::{
    Cmp, Done, Page, Refusal, device, done_line, login_first, see_other, sender, try_again, visitor,
};
use crate::service::{Changed, Preferred};
use aid_id::Secret;
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;
use std::time::Duration;

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

pub(super) async fn overview(State(service): Cmp, headers: HeaderMap, done: Done) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/settings");
    };
    let sessions = service.own_sessions(&visit.account, &visit.cookie).await?;
    let preferences = service.preferences(&visit.account).await?;
    let identities = service.identities(visit.account.id).await?;
    let account = &visit.account;
    let section = |title: &str, href: &str, change: &str, content: Markup| {
        html! {
            section.card {
                h2 { (visit.say(title)) }
                (content)
                p.actions { a.button href=(href) { (visit.say(change)) } }
            }
        }
    };
    let is_without = crate::password::is_none(&account.password);
    let pin = if account.pin_mac.is_some() {
        "pin-there"
    } else {
        "pin-none"
    };
    let this = sessions.iter().find(|(_, this)| *this);
    let browser = this
        .and_then(|(row, _)| row.browser.clone())
        .unwrap_or_default();
    let content = html! {
        div.cards {
            (section("settings-name", "/name", "change-name", html! {
                dl {
                    dt { (visit.say("shown-name")) } dd { (account.display_name) }
                    dt { (visit.say("sign-in-name")) } dd { (account.name) }
                }
            }))
            (section("settings-preferences", "/preference", "change-preferences", html! {
                @if preferences.is_empty() { p.quiet { (visit.say("preferences-none")) } }
                @else { dl { @for (name, value) in &preferences {
                    dt { (preference_name(&visit, name)) } dd { (preference_value(&visit, name, value)) }
                } } }
            }))
            (section("settings-pin", "/pin", "change-pin", html! { p { (visit.say(pin)) } }))
            @if !is_without {
                (section("settings-password", "/password", "change-password", html! { p.quiet { (visit.say("password-there")) } }))
            }
            (section("settings-sessions", "/sessions", "change-sessions", html! {
                p { (visit.words.with("sessions-count", &[("count", sessions.len().into())])) }
                p.quiet { (browser_words(&visit, &browser)) " · " (visit.say("session-this")) }
            }))
            @if let Some(provider) = &service.config.openid {
                (super::openid::section(&visit, provider, &identities).await)
            }
            (section("settings-export", "/export", "export", html! { p.quiet { (visit.say("export-hint")) } }))
            (section("settings-delete", "/delete-account", "delete-account", html! { p.quiet { (visit.say("delete-account-hint")) } }))
        }
    };
    let targets = super::openid::targets(&visit).await;
    Ok(visit.show(&Inside {
        done: done_line(done),
        targets: &targets,
        ..Inside::new(Tab::Settings, &visit.say("nav-settings"), content)
    }))
}

/// What a browser is, in words.
pub(super) fn browser_words(visit: &Visit<'_>, agent: &str) -> String {
    match device::describe(agent) {
        Some((browser, "")) => browser.to_owned(),
        Some((browser, system)) => visit.words.with(
            "browser-on",
            &[("browser", browser.into()), ("system", system.into())],
        ),
        None => visit.say("browser-unknown"),
    }
}

fn text_id(name: &str) -> String {
    format!("pref-{}", name.replace(['.', '_'], "-"))
}

/// A preference in words where it has a control, else as it is stored.
fn preference_name(visit: &Visit<'_>, name: &str) -> String {
    match CONTROLS.iter().any(|(n, _)| *n == name) {
        true => visit.say(&text_id(name)),
        false => name.to_owned(),
    }
}

fn preference_value(visit: &Visit<'_>, name: &str, value: &str) -> String {
    let known = CONTROLS
        .iter()
        .any(|(n, values)| *n == name && values.contains(&value));
    let id = format!("{}-{value}", text_id(name));
    match known && visit.words.has(&id) {
        true => visit.say(&id),
        false => value.to_owned(),
    }
}

/// Back to the settings with what was done, or the page again with what is wrong; `page` makes it with the id of a text, or
/// the text, for the first field.
fn answered(
    visit: &Visit<'_>,
    changed: Changed,
    word: &str,
    page: impl FnOnce(Problem) -> (String, Markup),
) -> Page {
    let (status, problem, wait) = match changed {
        Changed::Done => return see_other(&format!("/settings?done={word}")),
        Changed::Wrong => (
            StatusCode::UNAUTHORIZED,
            Problem::present(visit.say("wrong-present-password")),
            None,
        ),
        Changed::Locked(minutes) => {
            let text = visit.words.with("locked", &[("minutes", minutes.into())]);
            let wait = Duration::from_secs(minutes.saturating_mul(60));
            (
                StatusCode::TOO_MANY_REQUESTS,
                Problem::whole(text),
                Some(wait),
            )
        }
        Changed::Unusable(why) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Problem::new(visit.say(why)),
            None,
        ),
        Changed::Busy(busy) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Problem::whole(visit.say("busy")),
            Some(busy.retry_after),
        ),
        Changed::Full(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Problem::whole(visit.say("busy")),
            None,
        ),
    };
    let (title, content) = page(problem);
    let answer = visit.show(&Inside {
        status,
        ..Inside::form(Tab::Settings, &title, content)
    });
    Ok(match wait {
        Some(wait) => try_again(answer, wait),
        None => answer,
    })
}

/// What is wrong with a form, and where.
#[derive(Debug, Default)]
pub(super) struct Problem {
    /// With the form as a whole.
    whole: Option<String>,
    /// With the password that proves who asks.
    present: Option<String>,
    /// With the new value.
    new: Option<String>,
}

impl Problem {
    fn whole(text: String) -> Self {
        Self {
            whole: Some(text),
            ..Self::default()
        }
    }

    fn present(text: String) -> Self {
        Self {
            present: Some(text),
            ..Self::default()
        }
    }

    fn new(text: String) -> Self {
        Self {
            new: Some(text),
            ..Self::default()
        }
    }
}

/// A form with its fields, and the two ways on.
fn form_of(
    visit: &Visit<'_>,
    action: &str,
    problem: &Problem,
    button: &str,
    fields: &Markup,
) -> Markup {
    html! {
        (wrong(problem.whole.as_deref()))
        form method="post" action=(action) {
            (visit.token())
            (fields)
            p.actions {
                button.main { (visit.say(button)) }
                a.button href="/settings" { (visit.say("cancel")) }
            }
        }
    }
}

fn name_page(visit: &Visit<'_>, value: &str, problem: &Problem) -> (String, Markup) {
    let (label, hint) = (visit.say("shown-name"), visit.say("shown-name-hint"));
    let field = Field {
        hint: &hint,
        error: problem.new.as_deref(),
        value,
        autocomplete: "nickname",
        max: 64,
        ..Field::new("display_name", &label)
    };
    let content = form_of(visit, "/name", problem, "change-name", &field.render());
    (visit.say("settings-name"), content)
}

pub(super) async fn name_form(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/name");
    };
    let (title, content) = name_page(&visit, &visit.account.display_name, &Problem::default());
    Ok(visit.show(&Inside::form(Tab::Settings, &title, content)))
}

#[derive(Deserialize)]
pub(super) struct NameForm {
    csrf: String,
    display_name: String,
}

pub(super) async fn name(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<NameForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let changed = service.rename(&visit.account, &form.display_name).await?;
    answered(&visit, changed, "name", |problem| {
        name_page(&visit, &form.display_name, &problem)
    })
}

fn password_page(visit: &Visit<'_>, problem: &Problem) -> (String, Markup) {
    let (old, new, again) = (
        visit.say("present-password"),
        visit.say("new-password"),
        visit.say("new-password-again"),
    );
    let hint = visit.say("password-hint");
    let fields = html! {
        (Field { error: problem.present.as_deref(), ..Field::password("old", &old, "current-password") }.render())
        (Field { hint: &hint, error: problem.new.as_deref(), ..Field::password("new", &new, "new-password") }.render())
        (Field::password("again", &again, "new-password").render())
        p.quiet { (visit.say("password-effect")) }
    };
    let content = form_of(visit, "/password", problem, "change-password", &fields);
    (visit.say("settings-password"), content)
}

pub(super) async fn password_form(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/password");
    };
    let (title, content) = password_page(&visit, &Problem::default());
    Ok(visit.show(&Inside::form(Tab::Settings, &title, content)))
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    csrf: String,
    old: Secret,
    new: Secret,
    again: Secret,
}

pub(super) async fn password(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<PasswordForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let changed = if form.new.expose() == form.again.expose() {
        service
            .change_password(&visit.account, &visit.cookie, &form.old, &form.new)
            .await?
    } else {
        Changed::Unusable("wrong-passwords-differ")
    };
    answered(&visit, changed, "password", |problem| {
        password_page(&visit, &problem)
    })
}

fn pin_page(visit: &Visit<'_>, problem: &Problem) -> (String, Markup) {
    let (password, pin) = (visit.say("password"), visit.say("new-pin"));
    let hint = visit.say("pin-hint");
    let fields = html! {
        p { (visit.say(if visit.account.pin_mac.is_some() { "pin-there" } else { "pin-none" })) }
        @if !crate::password::is_none(&visit.account.password) {
            (Field { error: problem.present.as_deref(), ..Field::password("password", &password, "current-password") }.render())
        } @else { (hidden("password", "")) }
        (Field {
            hint: &hint, error: problem.new.as_deref(), required: false, numeric: true, max: 16,
            ..Field::password("pin", &pin, "off")
        }.render())
    };
    let content = form_of(visit, "/pin", problem, "change-pin", &fields);
    (visit.say("settings-pin"), content)
}

pub(super) async fn pin_form(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/pin");
    };
    let (title, content) = pin_page(&visit, &Problem::default());
    Ok(visit.show(&Inside::form(Tab::Settings, &title, content)))
}

#[derive(Deserialize)]
pub(super) struct PinForm {
    csrf: String,
    password: Secret,
    /// Empty: no PIN.
    pin: Secret,
}

pub(super) async fn pin(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<PinForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let pin = Some(&form.pin).filter(|pin| !pin.expose().is_empty());
    let changed = service
        .change_pin(&visit.account, &form.password, pin)
        .await?;
    answered(&visit, changed, "pin", |problem| pin_page(&visit, &problem))
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

pub(super) async fn preference_form(State(service): Cmp, headers: HeaderMap) -> Page {
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

pub(super) async fn preference(
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
pub(super) async fn preferences(
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

//! The portal's pages as HTML, readable on a phone and without scripts. Text is escaped by the templates.
//! Used by the portal's handlers.

mod account;
mod ask;

use super::SITE;
use crate::store::SessionRow;
use aid_cmp_core::model::Account;
use aid_serve::page::colour::Colour;
use aid_serve::page::theme::Theme;
use aid_serve::page::{Language, Page, Site, hidden, utc as time};
use maud::{Markup, html};
use std::sync::LazyLock;

pub(super) use account::{AccountView, account};
pub(super) use ask::{
    LinkQuestion, ask_car, ask_code, ask_delete, ask_link, ask_return, ask_unlink,
};

static PAGES: LazyLock<Site> =
    LazyLock::new(|| Site::new(Theme::plain(SITE, Colour([0x0b, 0x57, 0xd0])), ["", ""]));

/// The files that pages load.
pub(super) fn assets<S: Clone + Send + Sync + 'static>() -> axum::Router<S> {
    PAGES.assets()
}

fn document(_site: &str, title: &str, corner: &Markup, content: &Markup) -> String {
    let page = Page {
        title,
        corner: Some(corner.clone()),
        content: content.clone(),
        narrow: true,
        ..Page::default()
    };
    PAGES.document(
        PAGES.words_in(Language::English, crate::service::now()),
        &page,
    )
}

/// One sentence and the way back.
pub(super) fn message(title: &str, text: &str) -> String {
    let content = html! {
        p { (text) }
        p { a href="/" { "My account" } }
    };
    document(SITE, title, &html! {}, &content)
}

/// A page of somebody who is signed in.
pub(super) fn inside(title: &str, csrf: &str, content: &Markup) -> String {
    let corner = html! {
        form method="post" action="/logout" { (hidden("csrf", csrf)) button { "Sign out" } }
    };
    document(SITE, title, &corner, content)
}

fn wrong(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.wrong role="alert" { (text) } } }
}

fn done(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.done role="status" { (text) } } }
}

/// Sign in.
pub(super) fn login(csrf: &str, next: &str, problem: Option<&str>, open: bool) -> String {
    let content = html! {
        (wrong(problem))
        form method="post" action="/login" {
            (hidden("csrf", csrf)) (hidden("next", next))
            label for="name" { "Name" }
            input id="name" name="name" autocomplete="username" autocapitalize="none" maxlength="128" required;
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" maxlength="256" required;
            button.main { "Sign in" }
        }
        @if open { a.button href="/register" { "Make an account" } }
        // A visitor whom an MSP sent here can return to it (AID.02 §7.2.2).
        @if let Some(query) = next.strip_prefix("/touchpoint?") {
            a.button href=(format!("/touchpoint/leave?{query}")) { "Go back without signing in" }
        }
    };
    document(SITE, "Sign in", &html! {}, &content)
}

/// Make an account.
pub(super) fn register(csrf: &str, problem: Option<&str>) -> String {
    let content = html! {
        (wrong(problem))
        form method="post" action="/register" {
            (hidden("csrf", csrf))
            label for="name" { "Name to sign in with" }
            input id="name" name="name" autocomplete="username" autocapitalize="none" maxlength="128" required;
            label for="display_name" { "What your cars call you" }
            input id="display_name" name="display_name" autocomplete="nickname" maxlength="64" required;
            label for="password" { "Password, at least 8 characters" }
            input id="password" name="password" type="password" autocomplete="new-password" minlength="8" maxlength="256" required;
            button.main { "Make the account" }
        }
        a.button href="/login" { "I have one already" }
    };
    document(SITE, "Make an account", &html! {}, &content)
}

/// What the settings page shows.
pub(super) struct SettingsView<'a> {
    pub(super) account: &'a Account,
    /// Each with whether it is this one.
    pub(super) sessions: &'a [(SessionRow, bool)],
    /// Name and value.
    pub(super) preferences: &'a [(String, String)],
    pub(super) csrf: &'a str,
    pub(super) done: Option<&'a str>,
    pub(super) wrong: Option<&'a str>,
}

/// The user's preferences, which each of his cars gets.
fn preferences(view: &SettingsView<'_>) -> Markup {
    html! {
        section.card {
            h2 { "Preferences in cars" }
            p.quiet { "Every car that you log in to gets these; what it makes of them is the car's." }
            @for (name, value) in view.preferences {
                form.row method="post" action="/preference" {
                    (hidden("csrf", view.csrf)) (hidden("name", name))
                    span { (name) ": " strong { (value) } }
                    button aria-label={ "Remove " (name) } { "Remove" }
                }
            }
            form method="post" action="/preference" {
                (hidden("csrf", view.csrf))
                label for="preference" { "Name, such as language" }
                input id="preference" name="name" autocapitalize="none" autocomplete="off" pattern="[A-Za-z0-9._\\-]{1,64}" maxlength="64" required;
                label for="value" { "Value" }
                input id="value" name="value" autocomplete="off" maxlength="128" required;
                button.main { "Save the preference" }
            }
        }
    }
}

/// Password, PIN, preferences, sessions.
pub(super) fn settings(view: &SettingsView<'_>) -> Markup {
    let SettingsView {
        account,
        sessions,
        csrf,
        ..
    } = view;
    let password = |id: &str, name: &str, label: &str, kind: &str| {
        html! {
            label for=(id) { (label) }
            input id=(id) name=(name) type="password" autocomplete=(kind) maxlength="256" required;
        }
    };
    html! {
        (done(view.done)) (wrong(view.wrong))
        p { "You are signed in as " strong { (account.display_name) } " (" (account.name) ")." }
        section.card {
            h2 { "Change the password" }
            form method="post" action="/password" {
                (hidden("csrf", csrf))
                (password("old", "old", "Present password", "current-password"))
                (password("new", "new", "New password, at least 8 characters", "new-password"))
                (password("again", "again", "New password again", "new-password"))
                button.main { "Change the password" }
            }
        }
        section.card {
            h2 { "PIN for cars" }
            p.quiet {
                @if account.pin_mac.is_some() { "You have a PIN." } @else { "You have no PIN: cars log you in with a code only." }
            }
            form method="post" action="/pin" {
                (hidden("csrf", csrf))
                (password("pin-password", "password", "Password", "current-password"))
                label for="pin" { "New PIN, 4 to 16 digits; empty for none" }
                input id="pin" name="pin" type="password" inputmode="numeric" autocomplete="off" pattern="[0-9]{4,16}";
                button.main { "Change the PIN" }
            }
        }
        (preferences(view))
        section.card {
            h2 { "Sessions" }
            ul.plain {
                @for (session, this) in *sessions {
                    li {
                        (session.browser.as_deref().filter(|b| !b.is_empty()).unwrap_or("a browser without a name"))
                        br;
                        span.quiet {
                            @if session.created_at > 0 { "since " (time(session.created_at)) }
                            @if *this { " – this one" }
                        }
                    }
                }
            }
            @if sessions.len() > 1 {
                form method="post" action="/sessions" { (hidden("csrf", csrf)) button { "End all other sessions" } }
            }
        }
        a.button href="/" { "My account" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_id::{AccountRef, Secret};

    #[test]
    fn markup_of_others_is_text() {
        let attack = "\"'><script>alert(1)</script>&";
        let account = Account {
            id: AccountRef([0; 16]),
            name: attack.into(),
            display_name: attack.into(),
            password: Secret::new(String::new()),
            pin_mac: None,
            created_at: 0,
        };
        let row = SessionRow {
            token_hash: attack.into(),
            created_at: 1,
            expires_at: 2,
            browser: Some(attack.into()),
        };
        let sessions = [(row, true)];
        let inner = settings(&SettingsView {
            account: &account,
            sessions: &sessions,
            preferences: &[(attack.into(), attack.into())],
            csrf: attack,
            done: Some(attack),
            wrong: Some(attack),
        });
        for page in [
            message(attack, attack),
            login(attack, attack, Some(attack), true),
            register(attack, Some(attack)),
            inside(attack, attack, &inner),
            inside("x", attack, &ask_code(attack, Some(attack))),
            ask_return(&account, (attack, Some(attack)), attack, attack),
        ] {
            assert!(
                !page.contains("<script>") && !page.contains("\"'>"),
                "{page}"
            );
            assert!(page.contains("viewport") && page.contains("&lt;script&gt;"));
        }
    }
}

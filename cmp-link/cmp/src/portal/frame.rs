//! The frame of the portal's pages, and what several of them have.

use super::{Page, Refusal};
use crate::service::Service;
use aid_cmp_core::model::Account;
use aid_serve::page::live::digest;
use aid_serve::page::{self, Item, Words, hidden};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;

/// Whose page it is.
pub(super) struct Visit<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) words: Words<'a>,
    pub(super) account: Account,
    /// Value of the session's cookie.
    pub(super) cookie: String,
    /// Token of the page's forms.
    pub(super) csrf: String,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Home,
    Cars,
    Subscriptions,
    Settings,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Home, "/", "nav-home"),
        (Self::Cars, "/cars", "nav-cars"),
        (Self::Subscriptions, "/subscriptions", "nav-subscriptions"),
        (Self::Settings, "/settings", "nav-settings"),
    ];
}

/// A page of somebody who is signed in.
pub(super) struct Inside<'a> {
    pub(super) tab: Tab,
    pub(super) title: &'a str,
    pub(super) content: Markup,
    /// What was done just before: the id of a text.
    pub(super) done: Option<&'static str>,
    /// Name of the page for live updates.
    pub(super) live: Option<&'a str>,
    pub(super) narrow: bool,
    pub(super) status: StatusCode,
    /// Origins besides ours that a form of the page ends at.
    pub(super) targets: &'a [String],
}

impl<'a> Inside<'a> {
    /// A page that is there to be read, and changes by itself.
    pub(super) fn new(tab: Tab, title: &'a str, content: Markup) -> Self {
        Self {
            tab,
            title,
            content,
            done: None,
            live: None,
            narrow: false,
            status: StatusCode::OK,
            targets: &[],
        }
    }

    /// A page with a form or a few sentences.
    pub(super) fn form(tab: Tab, title: &'a str, content: Markup) -> Self {
        Self {
            narrow: true,
            ..Self::new(tab, title, content)
        }
    }
}

impl Visit<'_> {
    /// The page as an answer.
    pub(super) fn show(&self, inside: &Inside<'_>) -> Response {
        let words = self.words;
        let labels = Tab::ALL.map(|(tab, href, id)| (tab, href, words.say(id)));
        let nav = labels.each_ref().map(|(tab, href, label)| Item {
            href,
            label,
            current: *tab == inside.tab,
        });
        let live = inside.live.map(|name| {
            let digest = digest(&inside.content.0);
            format!("/events?page={name}&of={digest}")
        });
        let html = self.service.config.site.document(
            words,
            &page::Page {
                title: inside.title,
                nav: &nav,
                corner: Some(html! {
                    form method="post" action="/logout" { (self.token()) button { (words.say("sign-out")) } }
                }),
                content: html! { (done(words, inside.done)) (inside.content) },
                live,
                narrow: inside.narrow,
            },
        );
        page::answer(inside.status, html, inside.targets)
    }

    /// The hidden field with the token of forms.
    pub(super) fn token(&self) -> Markup {
        hidden("csrf", &self.csrf)
    }

    /// A text.
    pub(super) fn say(&self, id: &str) -> String {
        self.words.say(id)
    }

    /// One sentence and the way back, for somebody who is signed in.
    pub(super) fn message(&self, tab: Tab, title: &str, text: &str) -> Page {
        let content = html! {
            p { (text) }
            p.actions { a.button.main href="/" { (self.say("to-home")) } }
        };
        Ok(self.show(&Inside::form(tab, &self.say(title), content)))
    }
}

/// What was done just before.
fn done(words: Words<'_>, id: Option<&str>) -> Markup {
    html! { @if let Some(id) = id { div.note.good role="status" { p { (words.say(id)) } } } }
}

/// What is wrong with a form as a whole.
pub(super) fn wrong(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { div.note.bad role="alert" { p { (text) } } } }
}

/// A page of nobody in particular.
pub(super) fn outside(service: &Service, words: Words<'_>, title: &str, content: Markup) -> String {
    let page = page::Page {
        title,
        content,
        narrow: true,
        ..page::Page::default()
    };
    service.config.site.document(words, &page)
}

/// One sentence and the way back.
pub(super) fn message(service: &Service, words: Words<'_>, title: &str, text: &str) -> String {
    let content = html! {
        p { (text) }
        p.actions { a.button href="/" { (words.say("to-home")) } }
    };
    outside(service, words, title, content)
}

/// The session of whoever sent a form had ended: to the sign-in, and on with `next`.
pub(super) fn session_over(service: &Service, words: Words<'_>, next: &str) -> String {
    let next = aid_aid1::redirect::percent_encode(next);
    let content = html! {
        p { (words.say("refused-session")) }
        p.actions { a.button.main href=(format!("/login?next={next}")) { (words.say("sign-in")) } }
    };
    outside(service, words, &words.say("session-over"), content)
}

/// A refusal for something of a user that they do not have.
pub(super) const fn not_found(id: &'static str) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, id)
}

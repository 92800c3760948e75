//! The page, drawn on the server: what is on the screen for each state of the agent.

mod home;
mod keys;
mod qr;

pub(crate) use home::{delete, home};
pub(crate) use keys::{name, pin};

use crate::config::Theme;
use crate::language::{Language, Texts, fill};
use crate::session::Session;
use crate::state::State;
use maud::{DOCTYPE, Markup, html};
use std::time::Instant;

/// Seconds after which a browser without scripts loads the page again.
const RELOAD: &str = "5";

/// What a page is drawn from.
pub(crate) struct View<'a> {
    pub(crate) language: Language,
    pub(crate) texts: &'static Texts,
    pub(crate) theme: Theme,
    pub(crate) state: &'a State,
    pub(crate) session: &'a Session,
    /// User names that logged in here before.
    pub(crate) names: &'a [String],
    pub(crate) now: Instant,
}

impl View<'_> {
    /// A time of so many seconds in words, rounded up.
    fn time(&self, seconds: u64) -> String {
        let (text, count) = match seconds {
            0..120 => (self.texts.in_seconds, seconds),
            120..7200 => (self.texts.in_minutes, seconds.div_ceil(60)),
            _ => (self.texts.in_hours, seconds.div_ceil(3600)),
        };
        fill(text, &[("count", &count.to_string())])
    }
}

/// A whole page. `reload`: it may change while somebody only looks.
fn document(view: &View<'_>, reload: bool, class: &str, content: &Markup) -> String {
    let texts = view.texts;
    let theme = match view.theme {
        Theme::Auto => "",
        Theme::Day => "day",
        Theme::Night => "night",
    };
    html! {
        (DOCTYPE)
        html lang=(view.language.tag()) class=(theme) {
            head {
                (head(texts.title))
                @if reload {
                    noscript { meta http-equiv="refresh" content=(RELOAD); }
                }
                script src="/hmi.js" defer {}
            }
            body {
                div #screen {
                    header {
                        p { (texts.title) }
                        form method="post" action="/look" {
                            @if view.theme == Theme::Night {
                                button #theme name="theme" value="day" { (texts.day) }
                            } @else {
                                button #theme name="theme" value="night" { (texts.night) }
                            }
                            @let other = view.language.other();
                            button #language name="language" value=(other.tag()) lang=(other.tag()) {
                                (texts.language_other)
                            }
                        }
                    }
                    p #lost .note role="status" hidden { (texts.lost) }
                    main class=(class) { (content) }
                }
            }
        }
    }
    .into_string()
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="robots" content="noindex";
        title { (title) }
        link rel="stylesheet" href="/style.css";
    }
}

/// A page for who has no session.
fn plain(language: Language, refresh: Option<&str>, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                (head(language.texts().title))
                @if let Some(to) = refresh {
                    meta http-equiv="refresh" content=(format!("0;url={to}"));
                }
            }
            body { div #screen { main.one { section { (content) } } } }
        }
    }
    .into_string()
}

/// The page of a browser that was let in just now; it goes on to the first page by itself.
pub(crate) fn entered(language: Language) -> String {
    let texts = language.texts();
    let content = html! { h1 { (texts.title) } a.button.main href="/" { (texts.next) } };
    plain(language, Some("/"), &content)
}

/// The page of a browser that is not let in.
pub(crate) fn door(language: Language, why: &str) -> String {
    let texts = language.texts();
    let content = html! { h1 { (texts.door_title) } p { (why) } p.soft { (texts.door_text) } };
    plain(language, None, &content)
}

/// The start page, a file: leads to the address with the token.
pub(crate) fn start(address: &str) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="referrer" content="no-referrer";
                meta http-equiv="refresh" content=(format!("0;url={address}"));
                title { "aid-hmi" }
            }
            body { p { a href=(address) rel="noreferrer" { "aid-hmi" } } }
        }
    }
    .into_string()
}

/// A page with one sentence.
pub(crate) fn message(view: &View<'_>, text: &str) -> String {
    let content = html! {
        section { h1 { (text) } a.button.main href="/" { (view.texts.back) } }
    };
    document(view, false, "one", &content)
}

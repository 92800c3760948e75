//! The first page: who is logged in, whose number is active, what is under way, what went wrong and what to do.

use super::qr::qr;
use super::{View, document};
use crate::language::fill;
use crate::state::{Fault, Login, Session, Status};
use maud::{Markup, html};

/// The page for the present state.
pub(crate) fn home(view: &View<'_>) -> String {
    let texts = view.texts;
    let (class, content) = match &view.state.status {
        None => ("one", trouble(texts.away, texts.away_text)),
        Some(status) => match (&status.session, &status.login) {
            _ if status.journal.state == "failed" || status.phase == "stopped" => {
                let text = fill(texts.stopped_text, &[("text", &status.journal.error)]);
                ("one", trouble(texts.stopped, &text))
            }
            (_, Some(login)) if status.phase == "logging_in" => logging_in(view, login),
            (None, _) => ("", guest(view, status)),
            (Some(session), _) => ("", user(view, status, session)),
        },
    };
    document(view, true, class, &content)
}

fn trouble(title: &str, text: &str) -> Markup {
    html! { section { h1 { (title) } p { (text) } } }
}

fn note(text: &str) -> Markup {
    html! { p.note role="status" { (text) } }
}

// ---- nobody is logged in ----------------------------------------------------------------------

fn guest(view: &View<'_>, status: &Status) -> Markup {
    let texts = view.texts;
    html! {
        section {
            h1 { (texts.guest) }
            p { (texts.guest_text) }
            p.soft { (texts.own_connection) }
            (card(view, status))
            @if status.waits_for_call { (note(texts.wait_call)) }
            @if status.link == "down" { (note(texts.no_link_guest)) }
        }
        section {
            (last_login(view, status))
            @if view.state.is_moving() {
                p { (texts.moving_title) }
            } @else {
                a.button.main href="/name" { (texts.by_pin) }
            }
            form method="post" action="/code" {
                button class=(if view.state.is_moving() { "main" } else { "" }) { (texts.by_phone) }
            }
        }
    }
}

/// Why the last login failed, until somebody has read it.
fn last_login(view: &View<'_>, status: &Status) -> Markup {
    let texts = view.texts;
    let failed = status.login.as_ref().filter(|login| {
        let read = view.session.dismissed.as_ref() == Some(&login.login_id);
        login.state == "refused" && login.cause != "replaced" && !read
    });
    let text = failed.map(|login| match login.cause.as_str() {
        "no_answer" => texts.no_answer.to_owned(),
        "journal_failed" => texts.journal_failed.to_owned(),
        _ => fill(texts.refused, &[("reason", &login.reason)]),
    });
    html! {
        @if let Some(text) = text {
            div.note role="alert" {
                p { (text) }
                form method="post" action="/dismiss" { button { (texts.understood) } }
            }
        }
    }
}

/// The card, where it is not as it should be.
fn card(view: &View<'_>, status: &Status) -> Markup {
    let texts = view.texts;
    match status.card.state.as_str() {
        "missing" => {
            let text = fill(texts.card_missing_text, &[("text", &status.card.error)]);
            html! { div.note role="status" { p { strong { (texts.card_missing) } } p { (text) } } }
        }
        "starting" => {
            html! { p.note role="status" { (texts.starting) ": " (texts.starting_text) } }
        }
        _ => html! {},
    }
}

// ---- somebody logs in -------------------------------------------------------------------------

fn logging_in(view: &View<'_>, login: &Login) -> (&'static str, Markup) {
    let texts = view.texts;
    let cancel = html! {
        form method="post" action="/logout" { button { (texts.cancel) } }
    };
    if login.state != "code" {
        let no_link = view.state.status.as_ref().is_some_and(|s| s.link == "down");
        let content = html! {
            section {
                h1 { (texts.checking) }
                p { (texts.checking_text) }
                progress aria-label=(texts.checking) {}
                @if no_link { (note(texts.no_link_guest)) }
                (cancel)
            }
        };
        return ("one", content);
    }
    let left = view.state.code_left(view.now);
    let Some(left) = left else {
        let content = html! {
            section {
                h1 { (texts.phone_over) }
                form method="post" action="/code" { button.main { (texts.phone_new) } }
                (cancel)
            }
        };
        return ("one", content);
    };
    let valid = fill(texts.phone_left, &[("time", &view.time(left.as_secs()))]);
    let content = html! {
        section {
            h1 { (texts.phone_title) }
            p { (fill(texts.phone_text, &[("url", &login.url)])) }
            p.code { (login.code) }
            p.soft { (valid) }
            (cancel)
        }
        @if let Some(picture) = qr(&address(login), texts.phone_qr) { section { (picture) } }
    };
    ("wide", content)
}

/// The address of the page with the code filled in. That page asks before it lets anybody in.
fn address(login: &Login) -> String {
    // What is no letter, digit or hyphen is in no code.
    let code: String = login
        .code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let sign = if login.url.contains('?') { '&' } else { '?' };
    if login.url.contains("code=") {
        login.url.clone()
    } else {
        format!("{}{sign}code={code}", login.url)
    }
}

// ---- somebody is logged in --------------------------------------------------------------------

fn user(view: &View<'_>, status: &Status, session: &Session) -> Markup {
    let texts = view.texts;
    let own = view.state.own_profiles();
    let active = own.iter().any(|p| p.state == "enabled");
    let link = match (status.link.as_str(), active) {
        ("down", true) => Some(texts.no_link_active),
        ("down", false) => Some(texts.no_link_user),
        _ => None,
    };
    let parked = status
        .logout_in_s
        .map(|left| fill(texts.parked, &[("time", &view.time(left))]));
    html! {
        section {
            h1 { (fill(texts.hello, &[("name", &session.display_name)])) }
            (progress(view, status, session, active))
            (card(view, status))
            @if status.waits_for_call { (note(texts.wait_call)) }
            @if let Some(text) = link { (note(text)) }
            @if let Some(text) = parked { (note(&text)) }
            @if session.offline { p.soft { (texts.offline_session) } }
        }
        section {
            (fault(view, status))
            form method="post" action="/logout" { button.main { (texts.log_out) } }
            @if !own.is_empty() { a.button.danger href="/delete" { (texts.delete) } }
        }
    }
}

/// How far the user's profile is.
fn progress(view: &View<'_>, status: &Status, session: &Session, active: bool) -> Markup {
    let texts = view.texts;
    if session.asking {
        return html! {
            p.who { strong { (texts.ask_title) } }
            p { (texts.ask_text) }
            form method="post" action="/provision" { button.main { (texts.ask_yes) } }
        };
    }
    if active {
        let values = [
            ("number", session.masked_number.as_str()),
            ("operator", session.msp_name.as_str()),
        ];
        let known = values.iter().all(|(_, value)| !value.is_empty());
        let text = if known {
            fill(texts.active, &values)
        } else {
            texts.active_unknown.to_owned()
        };
        return html! { p.who { (text) } };
    }
    match status.phase.as_str() {
        "awaiting_code" => html! {
            p.who { strong { (texts.preparing) } }
            p { (texts.preparing_text) }
            progress aria-label=(texts.preparing) {}
        },
        "downloading" => download(view),
        "switching" => html! {
            p.who { strong { (texts.switching) } }
            p { (texts.switching_text) }
            progress aria-label=(texts.switching) {}
        },
        "starting" => html! { p { (texts.starting_text) } },
        _ => html! { p.who { strong { (texts.no_profile) } } p { (texts.no_profile_text) } },
    }
}

/// The download as a bar with words.
fn download(view: &View<'_>) -> Markup {
    let texts = view.texts;
    let step = match view.state.stage.as_deref() {
        Some("authenticating") => Some((15, texts.stage_authenticating)),
        Some("preparing") => Some((35, texts.stage_preparing)),
        Some("installing") => Some((65, texts.stage_installing)),
        Some("notifying") => Some((90, texts.stage_notifying)),
        _ => None,
    };
    html! {
        p.who { strong { (texts.downloading) } }
        @match step {
            Some((percent, words)) => {
                progress max="100" value=(percent) aria-label=(words) {}
                p role="status" { (words) }
            }
            None => progress aria-label=(texts.downloading) {},
        }
    }
}

/// What went wrong, and what to do.
fn fault(view: &View<'_>, status: &Status) -> Markup {
    let texts = view.texts;
    if let Some(waiting) = &status.waiting {
        let time = view.time(waiting.next_try_in_s);
        let values = [
            ("cause", waiting.cause.trim_end_matches('.')),
            ("time", &time),
        ];
        return note(&fill(texts.waiting, &values));
    }
    let text = match &view.state.fault {
        None => return html! {},
        Some(Fault::Installation(text)) => fill(texts.fault_installation, &[("text", text)]),
        Some(Fault::Code(text)) => fill(texts.fault_code, &[("text", text)]),
        Some(Fault::CardFull) => texts.fault_card_full.to_owned(),
        Some(Fault::Other(text)) => fill(texts.fault_other, &[("text", text)]),
    };
    html! { p.note role="alert" { (text) } }
}

/// The page before a deletion.
pub(crate) fn delete(view: &View<'_>) -> String {
    let texts = view.texts;
    if view.state.own_profiles().is_empty() {
        return super::message(view, texts.delete_none);
    }
    let content = html! {
        section { h1 { (texts.delete_title) } p { (texts.delete_text) } }
        section {
            a.button.main href="/" { (texts.back) }
            form method="post" action="/delete" { button.danger { (texts.delete_yes) } }
        }
    };
    document(view, false, "", &content)
}

//! Pages that ask before something is done.

use super::account::state;
use super::{inside, wrong};
use crate::service::{CarLogin, Subscription};
use aid_cmp_core::model::{Account, Profile};
use aid_serve::page::hidden;
use maud::{Markup, html};
use uuid::Uuid;

/// Whether a subscription shall be linked with this account.
pub(in crate::portal) struct LinkQuestion<'a> {
    pub(in crate::portal) account: &'a Account,
    pub(in crate::portal) msp: &'a str,
    /// What the MSP asks about the user (§5.2).
    pub(in crate::portal) ver: Option<&'a str>,
    pub(in crate::portal) sid: Uuid,
    pub(in crate::portal) code: &'a str,
    pub(in crate::portal) csrf: &'a str,
}

/// The field for what the MSP asks about the user.
fn knowledge(ver: Option<&str>) -> Markup {
    html! {
        @if let Some(question) = ver {
            label for="ver" { "The operator asks: " (question) }
            input id="ver" name="ver" autocomplete="off" maxlength="64" required;
        }
    }
}

/// Before a user leaves for the MSP.
pub(in crate::portal) fn ask_link(question: &LinkQuestion<'_>) -> String {
    let LinkQuestion { account, msp, .. } = question;
    let content = html! {
        p { "You will go to " strong { (msp) } ", log in there, and choose a subscription. It will be linked with this account:" }
        dl {
            dt { "Account" } dd { (account.display_name) " (" (account.name) ")" }
            dt { "Check code" } dd.code { (question.code) }
        }
        p.quiet { "If " (msp) " shows a check code, it must be this one. Go on there only if you began this here yourself." }
        form method="post" action="/link" {
            (hidden("csrf", question.csrf)) (hidden("msp", msp)) (hidden("sid", &question.sid.to_string()))
            (knowledge(question.ver))
            button.main { "Go to " (msp) }
        }
        a.button href="/" { "Not now" }
    };
    inside("Link a subscription", question.csrf, &content)
}

/// Before an account id goes to an MSP where the user began (§4.2).
pub(in crate::portal) fn ask_return(
    account: &Account,
    (msp, ver): (&str, Option<&str>),
    uri: &str,
    csrf: &str,
) -> String {
    let content = html! {
        p { strong { (msp) } " wants to link your subscription there with this account:" }
        dl { dt { "Account" } dd { (account.display_name) " (" (account.name) ")" } }
        p { "Agree only if you began this yourself, at " (msp) ", just now." }
        form method="post" action="/touchpoint" {
            (hidden("csrf", csrf)) (hidden("redirect_uri", uri))
            (knowledge(ver))
            button.main name="decision" value="allow" { "Agree and go back to " (msp) }
            button name="decision" value="deny" formnovalidate { "Do not agree" }
        }
    };
    inside(&format!("Link with {msp}"), csrf, &content)
}

/// Before a link is ended.
pub(in crate::portal) fn ask_unlink(subscription: &Subscription, csrf: &str) -> Markup {
    let federation = &subscription.federation;
    html! {
        p { "Please confirm: end the link with " strong { (federation.msp) } ", number " (subscription.masked) "?" }
        p { "Its profiles are removed from your cars. Your contract goes on; it can be cancelled at the operator only." }
        form method="post" action="/unlink" {
            (hidden("csrf", csrf)) (hidden("federation", &Uuid::from_bytes(federation.id).to_string()))
            (hidden("confirmed", "yes"))
            button.danger { "Unlink" }
        }
        a.button href="/" { "Keep it" }
    }
}

/// Before a profile is removed from a car.
pub(in crate::portal) fn ask_delete(profile: &Profile, csrf: &str) -> Markup {
    html! {
        p { "Please confirm: remove this profile from its car?" }
        dl {
            dt { "Car" } dd { "eUICC " (profile.eid) }
            dt { "Profile" } dd { (profile.iccid) }
            dt { "State" } dd { (state(profile)) }
        }
        form method="post" action="/delete" {
            (hidden("csrf", csrf)) (hidden("iccid", profile.iccid.as_str())) (hidden("eid", profile.eid.as_str()))
            (hidden("confirmed", "yes"))
            button.danger { "Remove it" }
        }
        a.button href="/" { "Keep it" }
    }
}

/// Asks for the code that a car shows. The field is empty whatever the address of the page says: who types the code stands
/// before the car, who follows a link of somebody else does not (RFC 8628 §5.4).
pub(in crate::portal) fn ask_code(csrf: &str, problem: Option<&str>) -> Markup {
    html! {
        (wrong(problem))
        p { "Type the code that the car shows. Do this only for a car that you are in." }
        form method="post" action="/car" {
            (hidden("csrf", csrf))
            label for="code" { "Code" }
            input.code id="code" name="code" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false" maxlength="20" required;
            button.main { "Go on" }
        }
        a.button href="/" { "My account" }
    }
}

/// Names the car before the login is approved.
pub(in crate::portal) fn ask_car(account: &Account, car: &CarLogin, csrf: &str) -> Markup {
    html! {
        p { "Please confirm: log in " strong { (account.display_name) } " to this car?" }
        dl {
            dt { "Code" } dd.code { (car.code) }
            @match &car.vin {
                Some(vin) => { dt { "Car" } dd { (vin) } }
                None => { dt { "Car" } dd { "eUICC " (car.eid) } }
            }
            dt { "Asked" } dd { (super::time(car.since)) }
        }
        p.quiet {
            "If somebody gave you this code, or you are not in the car, say no. You can log out of a car on your account "
            "page at any time."
        }
        form method="post" action="/car" {
            (hidden("csrf", csrf)) (hidden("code", &car.code))
            button.main name="decision" value="approve" { "Log me in" }
            button name="decision" value="deny" { "No" }
        }
    }
}

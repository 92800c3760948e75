//! The account page: notices, subscriptions, cars with their profiles, and what can be linked.

use super::{done, inside};
use crate::service::{Overview, Subscription};
use aid_cmp_core::model::{Account, MspVerdict, NoticeKind, Profile, ProfileStatus, UserNotice};
use aid_id::{Eid, Id};
use aid_serve::page::hidden;
use maud::{Markup, html};

/// What the account page shows.
pub(in crate::portal) struct AccountView<'a> {
    pub(in crate::portal) account: &'a Account,
    pub(in crate::portal) overview: &'a Overview,
    /// The subscription that the user chose for his cars.
    pub(in crate::portal) chosen: Option<Id>,
    /// Cars where he removed his profile and said nothing since.
    pub(in crate::portal) held: &'a [Eid],
    pub(in crate::portal) notices: &'a [UserNotice],
    pub(in crate::portal) done: Option<&'static str>,
    pub(in crate::portal) csrf: &'a str,
}

fn notice(notice: &UserNotice, csrf: &str) -> Markup {
    let text = match notice.kind {
        NoticeKind::UnlinkedByMsp => "The operator ended the link of a subscription.",
        NoticeKind::Suspended => "The operator has blocked a profile for the time being.",
        NoticeKind::Resumed => "The operator has lifted the block of a profile.",
        NoticeKind::Invalid => "The operator declared a profile dead. It is removed from its car.",
        NoticeKind::CardFull => "A profile made place for another user's in a car.",
        NoticeKind::CarCleared => "The profiles of a car were removed.",
        NoticeKind::Doubtful => {
            "The operator does not recognise the link of a subscription any more. We are asking."
        }
    };
    html! {
        section.card role="status" {
            p { (text) }
            p.quiet { (super::time(notice.at)) @if !notice.detail.is_empty() { " – " (notice.detail) } }
            form method="post" action="/dismiss" {
                (hidden("csrf", csrf)) (hidden("notice", &uuid::Uuid::from_bytes(notice.id).to_string()))
                button { "I have read it" }
            }
        }
    }
}

/// What a user calls the state of a profile.
pub(super) fn state(profile: &Profile) -> &'static str {
    match (profile.verdict, profile.status) {
        (MspVerdict::Suspended, s) if s.may_be_on_card() => {
            "blocked by the operator for the time being"
        }
        (MspVerdict::Invalid | MspVerdict::Swapped, s) if s.may_be_on_card() => "being removed",
        (_, ProfileStatus::Prepared) => "being installed",
        (_, ProfileStatus::Installed | ProfileStatus::Disabled) => "ready",
        (_, ProfileStatus::Enabled) => "in use",
        (_, ProfileStatus::Failed) => "could not be installed",
        (_, ProfileStatus::Deleted) => "removed",
        (_, ProfileStatus::Lost) => "gone with the car's old unit",
    }
}

fn profile(profile: &Profile, view: &AccountView<'_>) -> Markup {
    let (held, csrf) = (view.held, view.csrf);
    html! {
        li {
            dl {
                @match view.overview.vins.get(&profile.eid) {
                    Some(vin) => { dt { "Car" } dd { (vin) } }
                    None => { dt { "Car with eUICC" } dd { (profile.eid) } }
                }
                dt { "Profile" } dd { (profile.iccid) }
                dt { "State" } dd { (state(profile)) }
            }
            @if profile.status.may_be_on_card() {
                form method="post" action="/delete" {
                    (hidden("csrf", csrf)) (hidden("iccid", profile.iccid.as_str())) (hidden("eid", profile.eid.as_str()))
                    button { "Remove from this car" }
                }
            } @else if held.contains(&profile.eid) {
                p.quiet { "You removed it. It is not loaded again at your next login." }
                form method="post" action="/again" {
                    (hidden("csrf", csrf)) (hidden("eid", profile.eid.as_str()))
                    button { "Load it again at the next login" }
                }
            }
        }
    }
}

fn subscription(one: &Subscription, view: &AccountView<'_>, several: bool, serves: bool) -> Markup {
    let federation = &one.federation;
    let id = uuid::Uuid::from_bytes(federation.id).to_string();
    let ended = federation.ended_at.is_some();
    html! {
        section.card {
            h2 { (federation.msp) }
            dl {
                dt { "Number" } dd { (one.masked) }
                dt { "Kind" } dd { (federation.kind) }
                @if let Some(ended_at) = federation.ended_at {
                    dt { "Link" } dd { "This link has ended, " (super::time(ended_at)) "." }
                } @else if several {
                    dt { "Cars" }
                    dd { @if serves { "Serves you in cars" } @else { "Does not serve at present" } }
                }
            }
            @if several && !ended && !serves {
                form method="post" action="/serve" {
                    (hidden("csrf", view.csrf)) (hidden("federation", &id))
                    button { "Use this one in cars" }
                }
            }
            @if one.profiles.is_empty() {
                @if !ended { p.quiet { "No car has a profile yet. Log in to a car, and it is loaded." } }
            } @else {
                h3 { "Cars and their profiles" }
                ul.plain { @for p in &one.profiles { (profile(p, view)) } }
            }
            @if !ended {
                form method="post" action="/unlink" {
                    (hidden("csrf", view.csrf)) (hidden("federation", &id))
                    button.danger { "Unlink" }
                }
                p.quiet {
                    "Unlinking removes the profiles from your cars. Your contract with the operator goes on; it can be "
                    "cancelled at the operator only."
                }
            }
        }
    }
}

/// A car in which the user is logged in.
fn car(eid: aid_id::Eid, view: &AccountView<'_>) -> Markup {
    html! {
        li {
            p {
                @match view.overview.vins.get(&eid) {
                    Some(vin) => { (vin) }
                    None => { "eUICC " (eid) }
                }
            }
            form method="post" action="/car/logout" {
                (hidden("csrf", view.csrf)) (hidden("eid", eid.as_str()))
                button { "Log out of this car" }
            }
        }
    }
}

/// The account page.
pub(in crate::portal) fn account(view: &AccountView<'_>) -> String {
    let active = || {
        let all = view.overview.subscriptions.iter();
        all.filter(|s| s.federation.ended_at.is_none())
    };
    let several = active().count() > 1;
    // The choice if it lives, else the oldest (R-4.3-5).
    let chosen = active().find(|s| Some(s.federation.id) == view.chosen);
    let serving = chosen.or_else(|| active().next()).map(|s| s.federation.id);
    let content = html! {
        (done(view.done))
        p { "Hello " (view.account.display_name) "." }
        @for one in view.notices { (notice(one, view.csrf)) }
        a.button.main href="/car" { "Log in to a car that shows a code" }
        @if !view.overview.cars.is_empty() {
            h2 { "Cars in which I am logged in" }
            ul.plain { @for eid in &view.overview.cars { (car(*eid, view)) } }
        }
        h2 { "My subscriptions" }
        @if view.overview.subscriptions.is_empty() { p { "No subscription is linked yet." } }
        @for one in &view.overview.subscriptions {
            (subscription(one, view, several, Some(one.federation.id) == serving))
        }
        h2 { "Link a subscription" }
        @if view.overview.msps.is_empty() { p { "No operator is offered at present." } }
        @for msp in &view.overview.msps {
            form method="get" action="/link" {
                (hidden("msp", msp))
                button { "Link " (msp) }
            }
        }
        h2 { "My account" }
        a.button href="/settings" { "Password, PIN, preferences and sessions" }
    };
    inside("My account", view.csrf, &content)
}

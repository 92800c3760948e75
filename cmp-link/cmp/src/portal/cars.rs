//! Cars: what each has of the user, what is pending, and what the user can do: name it, log out, remove a profile, have one
//! loaded again (§4.5).

use super::frame::{Inside, Tab, Visit, not_found};
use super::{Cmp, Done, Page, Refusal, done_line, login_first, see_other, sender, visitor};
use crate::service::{Car, CarProfile, Failure, Named, Standing};
use aid_id::{Eid, Iccid};
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::{FormRejection, PathRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

/// What a car is called on a page: the user's own name, or the end of its number.
pub(super) fn car_title(visit: &Visit<'_>, car: &Car) -> String {
    match &car.name {
        Some(name) => name.clone(),
        None => visit
            .words
            .with("car-unnamed", &[("end", car.short().to_owned().into())]),
    }
}

/// Whether it is connected, or when it was.
fn presence(visit: &Visit<'_>, car: &Car) -> Markup {
    html! {
        @if car.online {
            span.chip.good.dot.on { (visit.say("car-online")) }
        } @else if let Some(seen) = car.last_seen {
            span.chip.dot { (visit.words.rich("car-last-seen", &[("when", visit.words.ago(seen))])) }
        } @else {
            span.chip.dot { (visit.say("car-never-seen")) }
        }
    }
}

/// The state of a profile, as a chip.
fn chip(visit: &Visit<'_>, standing: Standing) -> Markup {
    let (class, id) = match standing {
        Standing::Loading => ("chip", "state-loading"),
        Standing::Ready => ("chip good", "state-ready"),
        Standing::InUse => ("chip good", "state-in-use"),
        Standing::Blocked => ("chip warn", "state-blocked"),
        Standing::Removal(_) => ("chip warn", "state-removal"),
        Standing::Removing => ("chip warn", "state-removing"),
        Standing::Removed => ("chip", "state-removed"),
        Standing::Held => ("chip", "state-held"),
        Standing::Failed => ("chip bad", "state-failed"),
        Standing::Lost => ("chip", "state-lost"),
    };
    html! { span class=(class) { (visit.say(id)) } }
}

/// What waits for the car, each with since when.
fn pending(visit: &Visit<'_>, car: &Car) -> Markup {
    let waits = |id: &str, since: u64| {
        html! { p.waits { span { (visit.words.rich(id, &[("when", visit.words.ago(since))])) } } }
    };
    html! {
        @for one in &car.profiles {
            @if let Standing::Removal(since) = one.standing {
                (waits(if car.online { "pending-removal-online" } else { "pending-removal" }, since))
            }
        }
        @if let Some(since) = car.logout { (waits("pending-logout", since)) }
        @if let Some(since) = car.asked { (waits("pending-profile", since)) }
    }
}

/// Why no profile came, in words for a driver.
fn failure(visit: &Visit<'_>, failure: &Failure) -> Markup {
    let id = match failure.code {
        _ if failure.silent => "failure-silent",
        Some(20 | 21 | 24 | 29) => "failure-link",
        Some(44 | 47 | 48) => "failure-code",
        Some(50 | 51 | 59) => "failure-type",
        Some(49 | 61..=65) => "failure-none",
        Some(90..=94 | 104) => "failure-theirs",
        _ => "failure-other",
    };
    let operator = [("operator", failure.msp.clone().into())];
    html! {
        div.note.bad {
            p { strong { (visit.say("failure-title")) } }
            p { (visit.words.with(id, &operator)) }
            @if !failure.reason.is_empty() {
                p.quiet { (visit.words.with("failure-words", &[("reason", failure.reason.clone().into())])) }
            }
            p.quiet {
                (visit.words.ago(failure.at))
                @if let Some(code) = failure.code {
                    " · " (visit.words.with("failure-code-number", &[("code", code.to_string().into())]))
                }
            }
        }
    }
}

/// The card of a car on Home and in the list.
pub(super) fn card(visit: &Visit<'_>, car: &Car) -> Markup {
    let present: Vec<&CarProfile> = car
        .profiles
        .iter()
        .filter(|p| p.standing.is_present())
        .collect();
    html! {
        article.card {
            header {
                h3 { a href={ "/cars/" (car.eid) } { (car_title(visit, car)) } }
                (presence(visit, car))
            }
            @if car.name.is_some() {
                p.quiet { (visit.words.with("car-ends", &[("end", car.short().to_owned().into())])) }
            }
            @for one in &present {
                p { (chip(visit, one.standing)) " " strong { (one.msp) } " " span.quiet { (one.masked) } }
            }
            @if present.is_empty() {
                @match car.profiles.iter().find(|p| p.standing == Standing::Held) {
                    Some(_) => p { (chip(visit, Standing::Held)) }
                    None => p.quiet { (visit.say("car-empty")) }
                }
            }
            (pending(visit, car))
            @if car.logged_in {
                p { (visit.say("car-logged-in")) }
                p.actions {
                    a.button href={ "/car/logout?eid=" (car.eid) } {
                        (visit.words.with("car-log-out-of", &[("car", car_title(visit, car).into())]))
                    }
                }
            }
            @if car.failure.is_some() { p { span.chip.bad { (visit.say("failure-title")) } } }
            (details(visit, car))
        }
    }
}

/// Technical numbers, folded away.
fn details(visit: &Visit<'_>, car: &Car) -> Markup {
    html! {
        details id={ "details-" (car.eid) } {
            summary { (visit.say("details")) }
            dl {
                @if let Some(vin) = &car.vin { dt { (visit.say("vin")) } dd { (vin) } }
                dt { "EID" } dd { (car.eid) }
                @for one in &car.profiles {
                    dt { (visit.say("profile-number")) }
                    dd { (one.profile.iccid) " " span.quiet { (visit.say(word(one.standing))) } }
                }
                @if let Some(software) = &car.software { dt { (visit.say("software")) } dd { (software) } }
                @if let Some(seen) = car.last_seen { dt { (visit.say("last-message")) } dd { (visit.words.date(seen)) } }
            }
        }
    }
}

/// The state of a profile that is not shown as a chip.
const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Removed => "state-removed",
        Standing::Lost => "state-lost",
        Standing::Failed => "state-failed",
        _ => "state-present",
    }
}

pub(super) async fn list(State(service): Cmp, headers: HeaderMap, done: Done) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/cars");
    };
    let content = all(&visit).await?;
    Ok(visit.show(&Inside {
        done: done_line(done),
        live: Some("cars"),
        ..Inside::new(Tab::Cars, &visit.say("nav-cars"), content)
    }))
}

/// What the list says.
pub(super) async fn all(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let garage = visit.service.garage(&visit.account).await?;
    let (current, other): (Vec<&Car>, Vec<&Car>) = garage.iter().partition(|car| car.is_current());
    Ok(html! {
        @if current.is_empty() { p { (visit.say("cars-none")) } }
        ul.cards { @for car in current { li { (card(visit, car)) } } }
        p.actions { a.button.main href="/car" { (visit.say("to-code")) } }
        @if !other.is_empty() {
            details id="other-cars" {
                summary { (visit.words.with("cars-other", &[("count", other.len().into())])) }
                ul.cards { @for car in other { li { (card(visit, car)) } } }
            }
        }
    })
}

pub(super) async fn one(
    State(service): Cmp,
    headers: HeaderMap,
    path: Result<Path<Eid>, PathRejection>,
    done: Done,
) -> Page {
    let Path(eid) = path?;
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first(&format!("/cars/{eid}"));
    };
    let (title, content) = content(&visit, eid).await?;
    Ok(visit.show(&Inside {
        done: done_line(done),
        live: Some(eid.as_str()),
        ..Inside::new(Tab::Cars, &title, content)
    }))
}

/// The car of this user with this EID.
async fn own_car(visit: &Visit<'_>, eid: Eid) -> Result<Car, Refusal> {
    let garage = visit.service.garage(&visit.account).await?;
    let car = garage.into_iter().find(|car| car.eid == eid);
    car.ok_or(not_found("refused-car"))
}

/// Heading and content of a car's page.
pub(super) async fn content(visit: &Visit<'_>, eid: Eid) -> Result<(String, Markup), Refusal> {
    let car = own_car(visit, eid).await?;
    let title = car_title(visit, &car);
    Ok((title, whole(visit, &car, None)))
}

/// The page of a car; `named` is a name that can't be one.
fn whole(visit: &Visit<'_>, car: &Car, named: Option<&str>) -> Markup {
    let (error, label) = (visit.say("wrong-car-name"), visit.say("car-name"));
    let hint = visit.say("car-name-hint");
    let field = Field {
        hint: &hint,
        error: named.map(|_| error.as_str()),
        value: named.or(car.name.as_deref()).unwrap_or_default(),
        max: 64,
        required: false,
        ..Field::new("name", &label)
    };
    html! {
        p { (presence(visit, car)) }
        (pending(visit, car))
        @if let Some(one) = &car.failure { (failure(visit, one)) }
        h2 { (visit.say("car-subscription")) }
        @if car.profiles.is_empty() { p.quiet { (visit.say("car-empty")) } }
        @for one in &car.profiles { @if one.standing.is_present() || one.standing == Standing::Held || one.standing == Standing::Failed {
            (profile(visit, car, one))
        } }
        @if car.logged_in {
            section.card {
                h2 { (visit.say("car-session")) }
                p { (visit.say("car-logged-in")) }
                p.actions { a.button href={ "/car/logout?eid=" (car.eid) } { (visit.say("car-log-out")) } }
            }
        }
        section.card {
            h2 { (visit.say("car-name-title")) }
            form method="post" action="/cars/name" {
                (visit.token()) (hidden("eid", car.eid.as_str()))
                (field.render())
                p.actions { button { (visit.say("save-name")) } }
            }
        }
        (details(visit, car))
    }
}

fn profile(visit: &Visit<'_>, car: &Car, one: &CarProfile) -> Markup {
    let (iccid, link) = (one.profile.iccid.as_str(), one.msp.as_str());
    html! {
        section.card {
            header { h3 { (link) } (chip(visit, one.standing)) }
            p.quiet { (one.masked) @if one.ended { " · " (visit.say("link-ended")) } }
            @if one.standing.is_removable() {
                p.actions {
                    a.button href={ "/delete?iccid=" (iccid) "&eid=" (car.eid) } {
                        (visit.words.with("remove-profile", &[("operator", link.into())]))
                    }
                }
            } @else if one.standing == Standing::Held {
                p { (visit.say("held")) }
                form.actions method="post" action="/again" {
                    (visit.token()) (hidden("eid", car.eid.as_str()))
                    button { (visit.words.with("load-again", &[("operator", link.into())])) }
                }
            } @else if one.standing == Standing::Failed {
                p { (visit.say("failed-again")) }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct NameForm {
    csrf: String,
    eid: Eid,
    /// Empty: the car has none.
    #[serde(default)]
    name: String,
}

pub(super) async fn name(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<NameForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    match service
        .name_car(visit.account.id, form.eid, &form.name)
        .await?
    {
        Named::Done => see_other(&format!("/cars/{}?done=car", form.eid)),
        Named::Unknown => Err(not_found("refused-car")),
        Named::Unusable => {
            let car = own_car(&visit, form.eid).await?;
            let content = whole(&visit, &car, Some(&form.name));
            Ok(visit.show(&Inside {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                ..Inside::new(Tab::Cars, &car_title(&visit, &car), content)
            }))
        }
    }
}

/// A profile in a car. The car is the one that the page named; a form that was put together otherwise is refused (R-4.5-3).
#[derive(Deserialize)]
pub(super) struct Which {
    iccid: Iccid,
    eid: Option<Eid>,
}

impl Which {
    /// It, if it is the user's own.
    async fn own(&self, visit: &Visit<'_>) -> Result<(Car, CarProfile), Refusal> {
        let garage = visit.service.garage(&visit.account).await?;
        for car in garage {
            let fits = |p: &&CarProfile| {
                p.profile.iccid == self.iccid && self.eid.is_none_or(|eid| eid == car.eid)
            };
            if let Some(profile) = car.profiles.iter().find(fits).cloned() {
                return Ok((car, profile));
            }
        }
        Err(not_found("refused-profile"))
    }
}

/// Asks before a profile is removed from a car.
pub(super) async fn ask_delete(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<Which>, QueryRejection>,
) -> Page {
    let Query(which) = query?;
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/cars");
    };
    let (car, one) = which.own(&visit).await?;
    let content = html! {
        p { (visit.say("delete-question")) }
        dl {
            dt { (visit.say("car")) } dd { (car_title(&visit, &car)) }
            dt { (visit.say("subscription")) } dd { (one.msp) " " (one.masked) }
            dt { (visit.say("state")) } dd { (chip(&visit, one.standing)) }
        }
        p.quiet { (visit.say(if car.online { "delete-soon" } else { "delete-later" })) }
        form method="post" action="/delete" {
            (visit.token()) (hidden("iccid", one.profile.iccid.as_str())) (hidden("eid", car.eid.as_str()))
            (hidden("confirmed", "yes"))
            p.actions {
                button.danger { (visit.say("delete-yes")) }
                a.button href={ "/cars/" (car.eid) } { (visit.say("keep")) }
            }
        }
    };
    Ok(visit.show(&Inside::form(
        Tab::Cars,
        &visit.say("delete-title"),
        content,
    )))
}

#[derive(Deserialize)]
pub(super) struct DeleteForm {
    csrf: String,
    iccid: Iccid,
    eid: Option<Eid>,
    /// `yes` on the page that asks.
    #[serde(default)]
    confirmed: String,
}

pub(super) async fn delete(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<DeleteForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let which = Which {
        iccid: form.iccid,
        eid: form.eid,
    };
    let (car, _) = which.own(&visit).await?;
    if form.confirmed != "yes" {
        return see_other(&format!("/delete?iccid={}&eid={}", which.iccid, car.eid));
    }
    match service.delete_profile(&visit.account, &which.iccid).await? {
        true => see_other("/?done=deleted"),
        false => Err(not_found("refused-profile")),
    }
}

#[derive(Deserialize)]
pub(super) struct CarForm {
    csrf: String,
    eid: Eid,
}

/// A profile may be loaded again in a car where it was removed (R-4.5-10).
pub(super) async fn again(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<CarForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    match service.allow_again(visit.account.id, form.eid).await? {
        true => see_other("/?done=again"),
        false => Err(not_found("refused-again")),
    }
}

/// The car that is meant.
#[derive(Deserialize)]
pub(super) struct WhichCar {
    eid: Eid,
}

/// Asks before the user's session in a car ends.
pub(super) async fn ask_log_out(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<WhichCar>, QueryRejection>,
) -> Page {
    let Query(WhichCar { eid }) = query?;
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/cars");
    };
    let car = own_car(&visit, eid).await?;
    if !car.logged_in {
        return Err(not_found("refused-not-in-car"));
    }
    let text = [("car", car_title(&visit, &car).into())];
    let content = html! {
        p { (visit.words.with("log-out-question", &text)) }
        p.quiet { (visit.say(if car.online { "log-out-soon" } else { "log-out-later" })) }
        form method="post" action="/car/logout" {
            (visit.token()) (hidden("eid", eid.as_str()))
            p.actions {
                button.main { (visit.say("car-log-out")) }
                a.button href={ "/cars/" (eid) } { (visit.say("stay")) }
            }
        }
    };
    Ok(visit.show(&Inside::form(
        Tab::Cars,
        &visit.say("log-out-title"),
        content,
    )))
}

/// Ends the user's session in a car.
pub(super) async fn log_out(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<CarForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    match service.log_out_of_car(visit.account.id, form.eid).await? {
        true => see_other("/?done=logged-out"),
        false => Err(not_found("refused-not-in-car")),
    }
}

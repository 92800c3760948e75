//! The pages of the touchpoint: plain HTML that a phone and a screen reader can read, without scripts.

use aid_id::MspToken;
use aid_serve::page::colour::Colour;
use aid_serve::page::theme::Theme;
use aid_serve::page::{Language, Page, Site, hidden};
use maud::{Markup, html};
use std::sync::LazyLock;

use crate::core::model::{OnboardingState, Profile, ProfilePhase, Subscription, SubscriptionState};

static PAGES: LazyLock<Site> = LazyLock::new(|| {
    Site::new(
        Theme::plain("Mobile account", Colour([0x8a, 0x1c, 0x5b])),
        ["", ""],
    )
});

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
    let now = u64::try_from(crate::msp::now_ms()).unwrap_or_default();
    PAGES.document(PAGES.words_in(Language::English, now), &page)
}

pub(super) fn message(text: &str) -> String {
    let content = html! {
        p { (text) }
        p { a href="/" { "My account" } }
    };
    document("Mobile account", "Car connection", &html! {}, &content)
}

/// The login page; `cmp` is who sent the customer.
pub(super) fn login(msp: &str, cmp: Option<&str>, csrf: &str, hint: Option<&str>) -> String {
    let content = html! {
        @if let Some(cmp) = cmp {
            p {
                strong { (cmp) } " wants to connect your car with your mobile subscription. Log in to see what that means; "
                "nothing is connected yet."
            }
        } @else {
            p { "Log in to see which cars use your subscription." }
        }
        @if let Some(hint) = hint { p.wrong role="alert" { (hint) } }
        form method="post" action="/login" {
            (hidden("csrf", csrf))
            label for="user" { "User name" }
            input id="user" name="user" autocomplete="username" autocapitalize="none" required maxlength="100";
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" required maxlength="200";
            button.main { "Log in" }
        }
    };
    document(msp, &format!("Log in to {msp}"), &html! {}, &content)
}

/// What a customer is asked before accounts are linked.
pub(super) struct Question<'a> {
    pub(super) msp: &'a str,
    pub(super) cmp: &'a str,
    pub(super) user: &'a str,
    /// Check code of the account id.
    pub(super) code: &'a str,
    pub(super) choices: &'a [Subscription],
    pub(super) csrf: &'a str,
}

fn kind(subscription: &Subscription) -> &'static str {
    match subscription.kind {
        aid_aid1::body::SubscriptionType::Private => "private",
        aid_aid1::body::SubscriptionType::Business => "business",
        aid_aid1::body::SubscriptionType::Unknown => "no kind given",
    }
}

fn choice(question: &Question<'_>, subscription: &Subscription, first: bool) -> Markup {
    let name = subscription.label.as_deref().unwrap_or(question.msp);
    html! {
        label.choice {
            input type="radio" name="subscription" value=(subscription.id) checked[first] required;
            span {
                strong { (name) } ", " (kind(subscription)) br;
                (subscription.masked()) br;
                span.quiet { (subscription.fee.as_deref().unwrap_or("No extra fee")) }
            }
        }
    }
}

pub(super) fn consent(question: &Question<'_>) -> String {
    let cmp = question.cmp;
    let content = html! {
        p { "You are logged in as " strong { (question.user) } "." }
        @if question.choices.is_empty() {
            p.wrong { "None of your subscriptions can be used in a car. Please ask our customer care." }
            form method="post" action="/consent" {
                (hidden("csrf", question.csrf))
                button name="decision" value="deny" { "Go back" }
            }
        } @else {
            p { "Do you want to connect a subscription with your account at " strong { (cmp) } "?" }
            p { "The account there has this check code:" }
            p.code { (question.code) }
            p.quiet {
                "If the page of " (cmp) " showed another code, or if you did not come from there just now, somebody else wants "
                "to use your subscription: do not connect."
            }
            form method="post" action="/consent" {
                (hidden("csrf", question.csrf))
                @for (at, subscription) in question.choices.iter().enumerate() {
                    (choice(question, subscription, at == 0))
                }
                p {
                    (cmp) " will see this number and can load a profile of this subscription into each of its cars that you log "
                    "in to. You can end the connection at any time, here or at " (cmp) "."
                }
                button.main name="decision" value="allow" { "Connect" }
                button name="decision" value="deny" { "Do not connect" }
            }
        }
    };
    document(question.msp, "Connect your car", &html! {}, &content)
}

/// A link of a subscription.
pub(super) struct Connection {
    pub(super) cmp: String,
    pub(super) token: MspToken,
    pub(super) state: OnboardingState,
    pub(super) profiles: Vec<Profile>,
}

/// A customer's page.
pub(super) struct Overview<'a> {
    pub(super) msp: &'a str,
    pub(super) user: &'a str,
    pub(super) cards: &'a [(Subscription, Vec<Connection>)],
    /// client-id and name of the CMPs that can be chosen.
    pub(super) cmps: &'a [(&'a str, &'a str)],
    pub(super) done: Option<&'static str>,
    pub(super) csrf: &'a str,
}

fn connection(connection: &Connection) -> Markup {
    let state = match connection.state {
        OnboardingState::Active => "connected",
        OnboardingState::Pending => "waiting for the car's portal",
        OnboardingState::Refused => "not connected",
        OnboardingState::Invalidated => "ended",
    };
    let in_use = connection
        .profiles
        .iter()
        .filter(|p| p.phase.is_listed() && p.network);
    html! {
        li {
            h3 { (connection.cmp) }
            p.quiet { (state) ", " (in_use.count()) " profiles in use" }
            ul {
                @for profile in connection.profiles.iter().filter(|p| p.phase.is_listed()) {
                    li {
                        "Profile " (profile.iccid) ", "
                        @match (profile.network, profile.phase) {
                            (false, _) => "blocked",
                            (true, ProfilePhase::Prepared) => "ordered",
                            (true, _) => "in a car",
                        }
                    }
                }
            }
            @if connection.state != OnboardingState::Invalidated {
                a.button href=(format!("/end?token={}", connection.token)) { "End this connection" }
            }
        }
    }
}

pub(super) fn overview(overview: &Overview<'_>) -> String {
    let corner = html! {
        form method="post" action="/logout" { (hidden("csrf", overview.csrf)) button { "Log out" } }
    };
    let content = html! {
        @if let Some(done) = overview.done { p.done role="status" { (done) } }
        p { "You are logged in as " strong { (overview.user) } "." }
        @if overview.cards.is_empty() { p { "You have no subscription yet." } }
        @for (subscription, connections) in overview.cards {
            section.card {
                h2 { (subscription.label.as_deref().unwrap_or(overview.msp)) }
                dl {
                    dt { "Number" } dd { (subscription.masked()) }
                    dt { "Kind" } dd { (kind(subscription)) }
                    dt { "State" }
                    dd {
                        @match subscription.state {
                            SubscriptionState::Active => "active",
                            SubscriptionState::Suspended => "blocked for the time being",
                            SubscriptionState::Ended => "cancelled",
                        }
                    }
                }
                @if connections.is_empty() {
                    p.quiet { "Not connected with any car brand." }
                } @else {
                    ul.plain { @for one in connections { (connection(one)) } }
                }
            }
        }
        @if !overview.cmps.is_empty() {
            h2 { "Connect with a car brand" }
            @for (id, name) in overview.cmps {
                form method="post" action="/connect" {
                    (hidden("csrf", overview.csrf)) (hidden("cmp", id))
                    button { "Connect with " (name) }
                }
            }
        }
    };
    document(overview.msp, "My subscriptions", &corner, &content)
}

pub(super) fn ask_end(msp: &str, cmp: &str, token: MspToken, csrf: &str) -> String {
    let content = html! {
        p { "Do you want to end the connection with " strong { (cmp) } "?" }
        p {
            "Your profiles in its cars are switched off at once, and deleted as soon as each car has a connection. Your "
            "subscription goes on."
        }
        form method="post" action="/end" {
            (hidden("csrf", csrf)) (hidden("token", &token.to_string()))
            button.danger { "End the connection" }
        }
        a.button href="/" { "Keep it" }
    };
    document(msp, "End a connection", &html! {}, &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::SwapPolicy;

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let attack = "\"><script>x</script>";
        let subscription = Subscription {
            id: attack.into(),
            user: attack.into(),
            label: Some(attack.into()),
            msisdn: "4915112345678".into(),
            kind: aid_aid1::body::SubscriptionType::Business,
            customer_group: None,
            max_profiles: 1,
            swap: SwapPolicy::Candidate,
            fee: Some(attack.into()),
            eligible: true,
            state: SubscriptionState::Active,
        };
        let question = Question {
            msp: attack,
            cmp: attack,
            user: attack,
            code: attack,
            choices: std::slice::from_ref(&subscription),
            csrf: attack,
        };
        let cards = [(
            subscription.clone(),
            vec![Connection {
                cmp: attack.into(),
                token: MspToken::from_bytes([1; 16]),
                state: OnboardingState::Active,
                profiles: Vec::new(),
            }],
        )];
        let overview_of = Overview {
            msp: attack,
            user: attack,
            cards: &cards,
            cmps: &[(attack, attack)],
            done: None,
            csrf: attack,
        };
        for html in [
            login(attack, Some(attack), attack, Some(attack)),
            consent(&question),
            overview(&overview_of),
            ask_end(attack, attack, MspToken::from_bytes([1; 16]), attack),
            message(attack),
        ] {
            assert!(
                !html.contains("<script>") && html.contains("viewport"),
                "{html}"
            );
            assert!(!html.contains("4915112345678"), "the number is masked");
        }
    }
}

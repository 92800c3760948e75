//! The pages of the touchpoint: HTML that a phone and a screen reader can read, with and without scripts.

use aid_id::MspToken;
use aid_serve::page::{self, Field, Site, Words, hidden};
use maud::{Markup, html};

use crate::core::model::{OnboardingState, Profile, ProfilePhase, Subscription, SubscriptionState};

/// The texts of the pages, in the order of `Language::ALL`.
pub(crate) const TABLES: [&str; 2] = [include_str!("en.ftl"), include_str!("de.ftl")];

/// What all pages for one reader have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front<'a> {
    pub(super) site: &'a Site,
    pub(super) words: Words<'a>,
    /// Token of forms of a customer who is signed in; none for anybody else.
    pub(super) csrf: Option<&'a str>,
}

impl Front<'_> {
    /// Whose pages these are.
    pub(super) fn name(&self) -> &str {
        self.site.name()
    }

    pub(super) fn say(&self, id: &str) -> String {
        self.words.say(id)
    }

    fn about(&self, id: &str, cmp: &str) -> String {
        self.words.with(id, &[("cmp", cmp.into())])
    }

    /// The hidden field with the token of forms.
    fn token(&self) -> Markup {
        hidden("csrf", self.csrf.unwrap_or_default())
    }

    /// A whole page; who is signed in can sign out on each.
    fn page(&self, title: &str, narrow: bool, content: Markup) -> String {
        let corner = self.csrf.map(|_| {
            html! { form method="post" action="/logout" { (self.token()) button { (self.say("sign-out")) } } }
        });
        let page = page::Page {
            title,
            corner,
            content,
            narrow,
            ..page::Page::default()
        };
        self.site.document(self.words, &page)
    }
}

/// One sentence, and the way to the customer's own page.
pub(super) fn message(front: &Front<'_>, title: &str, text: &str) -> String {
    let content = html! {
        p { (text) }
        p.actions { a.button href="/" { (front.say("to-home")) } }
    };
    front.page(title, true, content)
}

/// The CMP does not answer: once more, with the same form.
pub(super) fn down(front: &Front<'_>, cmp: (&str, &str)) -> String {
    let (id, name) = cmp;
    let content = html! {
        p { (front.about("down", name)) }
        form.actions method="post" action="/connect" {
            (front.token()) (hidden("cmp", id))
            button.main { (front.say("try-again")) }
            a.button href="/" { (front.say("to-home")) }
        }
    };
    front.page(&front.about("down-title", name), true, content)
}

/// The CMP where the customer came from does not answer: later, at `back`.
pub(super) fn down_pending(front: &Front<'_>, cmp: &str, back: &str) -> String {
    let content = html! {
        p { (front.about("down-pending", cmp)) }
        p.actions {
            a.button.main href=(back) rel="noreferrer" { (front.about("down-back", cmp)) }
        }
    };
    front.page(&front.about("down-title", cmp), true, content)
}

/// The page to sign in; `cmp` is who sent the customer, `user` what was typed before.
pub(super) fn login(
    front: &Front<'_>,
    cmp: Option<&str>,
    csrf: &str,
    user: &str,
    wrong: Option<(Where, &str)>,
) -> String {
    let (name, password) = (front.say("user-name"), front.say("password"));
    let at = |place: Where| wrong.filter(|(w, _)| *w == place).map(|(_, text)| text);
    let content = html! {
        @if let Some(text) = at(Where::Form) { div.note.bad role="alert" { p { (text) } } }
        @match cmp {
            Some(cmp) => p { (front.about("sign-in-for", cmp)) }
            None => p { (front.say("sign-in-why")) }
        }
        form method="post" action="/login" {
            (hidden("csrf", csrf))
            (Field { value: user, autocomplete: "username", max: 100, ..Field::new("user", &name) }.render())
            (Field { error: at(Where::Password), max: 200, ..Field::password("password", &password, "current-password") }.render())
            p.actions { button.main { (front.say("sign-in")) } }
        }
    };
    let title = front
        .words
        .with("sign-in-to", &[("msp", front.name().to_owned().into())]);
    front.page(&title, true, content)
}

/// Where an error of the sign-in stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// Above the form.
    Form,
    /// At the password.
    Password,
}

/// What a customer is asked before accounts are linked.
pub(super) struct Question<'a> {
    pub(super) cmp: &'a str,
    pub(super) user: &'a str,
    /// Check code of the account id, where the CMP has shown it: not where the onboarding began here (§4.2).
    pub(super) code: Option<&'a str>,
    pub(super) choices: &'a [Subscription],
}

fn kind(front: &Front<'_>, subscription: &Subscription) -> String {
    front.say(match subscription.kind {
        aid_aid1::body::SubscriptionType::Private => "kind-private",
        aid_aid1::body::SubscriptionType::Business => "kind-business",
        aid_aid1::body::SubscriptionType::Unknown => "kind-unknown",
    })
}

fn fee(front: &Front<'_>, subscription: &Subscription) -> String {
    let fee = subscription.fee.clone();
    fee.unwrap_or_else(|| front.say("no-fee"))
}

fn choice(front: &Front<'_>, subscription: &Subscription, first: bool) -> Markup {
    let name = subscription.label.as_deref().unwrap_or(front.name());
    html! {
        label.choice {
            input type="radio" name="subscription" value=(subscription.id) checked[first] required;
            span {
                strong { (name) } ", " (kind(front, subscription)) br;
                (subscription.masked()) br;
                strong { (fee(front, subscription)) }
            }
        }
    }
}

pub(super) fn consent(front: &Front<'_>, question: &Question<'_>) -> String {
    let cmp = question.cmp;
    let user = [("user", question.user.to_owned().into())];
    let content = html! {
        p.quiet { (front.words.with("signed-in-as", &user)) }
        @if question.choices.is_empty() {
            div.note.bad { p { (front.say("consent-none")) } }
            form.actions method="post" action="/consent" {
                (front.token())
                button name="decision" value="deny" { (front.say("go-back")) }
            }
        } @else {
            p { (front.about("consent-question", cmp)) }
            @if let Some(code) = question.code {
                section.card {
                    dl { dt { (front.say("check-code")) } dd.code { (code) } }
                    p.quiet { (front.about("check-code-hint", cmp)) }
                }
            }
            form method="post" action="/consent" {
                (front.token())
                fieldset {
                    legend { (front.say("choose")) }
                    @for (at, subscription) in question.choices.iter().enumerate() {
                        (choice(front, subscription, at == 0))
                    }
                }
                h2 { (front.say("cost-title")) }
                p { (front.say("cost-each")) }
                h2 { (front.about("sees-title", cmp)) }
                ul {
                    @for id in ["sees-number", "sees-kind", "sees-nothing"] { li { (front.say(id)) } }
                }
                p { (front.about("effect", cmp)) }
                p.actions {
                    button.main name="decision" value="allow" { (front.say("connect-yes")) }
                    button name="decision" value="deny" formnovalidate { (front.say("connect-no")) }
                }
            }
        }
    };
    front.page(&front.say("consent-title"), true, content)
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
    pub(super) user: &'a str,
    pub(super) cards: &'a [(Subscription, Vec<Connection>)],
    /// client-id and name of the CMPs that can be chosen.
    pub(super) cmps: &'a [(&'a str, &'a str)],
    /// What was done just before: the id of a text.
    pub(super) done: Option<&'static str>,
}

fn connection(front: &Front<'_>, connection: &Connection) -> Markup {
    let (class, state) = match connection.state {
        OnboardingState::Active => ("chip good", "connection-active"),
        OnboardingState::Pending => ("chip warn", "connection-pending"),
        OnboardingState::Refused => ("chip", "connection-refused"),
        OnboardingState::Invalidated => ("chip", "connection-ended"),
    };
    let listed = || connection.profiles.iter().filter(|p| p.phase.is_listed());
    let in_use = listed().filter(|p| p.network).count();
    html! {
        div.row { h3 { (connection.cmp) } span class=(class) { (front.say(state)) } }
        p.quiet { (front.words.with("profiles-in-use", &[("count", in_use.into())])) }
        @if listed().next().is_some() {
            ul {
                @for profile in listed() {
                    @let id = match (profile.network, profile.phase) {
                        (false, _) => "profile-blocked",
                        (true, ProfilePhase::Prepared) => "profile-ordered",
                        (true, _) => "profile-in-car",
                    };
                    li { (front.words.with(id, &[("iccid", profile.iccid.to_string().into())])) }
                }
            }
        }
        @if connection.state != OnboardingState::Invalidated {
            p.actions { a.button href=(format!("/end?token={}", connection.token)) { (front.about("end-with", &connection.cmp)) } }
        }
    }
}

fn card(front: &Front<'_>, subscription: &Subscription, connections: &[Connection]) -> Markup {
    let state = match subscription.state {
        SubscriptionState::Active => "state-active",
        SubscriptionState::Suspended => "state-suspended",
        SubscriptionState::Ended => "state-ended",
    };
    let is_over = |c: &&Connection| c.state == OnboardingState::Invalidated;
    let (ended, living): (Vec<_>, Vec<_>) = connections.iter().partition(is_over);
    html! {
        section.card {
            h2 { (subscription.label.as_deref().unwrap_or(front.name())) }
            dl {
                dt { (front.say("number")) } dd { (subscription.masked()) }
                dt { (front.say("kind")) } dd { (kind(front, subscription)) }
                dt { (front.say("state")) } dd { (front.say(state)) }
                dt { (front.say("connect-cost")) } dd { (fee(front, subscription)) }
            }
            @if living.is_empty() { p.quiet { (front.say("connected-none")) } }
            @else { ul.plain { @for one in living { li { (connection(front, one)) } } } }
            @if !ended.is_empty() {
                details {
                    summary { (front.words.with("connections-ended", &[("count", ended.len().into())])) }
                    ul.plain { @for one in ended { li { (connection(front, one)) } } }
                }
            }
        }
    }
}

pub(super) fn overview(front: &Front<'_>, overview: &Overview<'_>) -> String {
    let user = [("user", overview.user.to_owned().into())];
    let content = html! {
        @if let Some(id) = overview.done { div.note.good role="status" { p { (front.say(id)) } } }
        p.quiet { (front.words.with("signed-in-as", &user)) }
        @if overview.cards.is_empty() { p { (front.say("subscriptions-none")) } }
        @for (subscription, connections) in overview.cards { (card(front, subscription, connections)) }
        @if !overview.cmps.is_empty() {
            h2 { (front.say("connect-title")) }
            div.actions {
                @for (id, name) in overview.cmps {
                    form method="post" action="/connect" {
                        (front.token()) (hidden("cmp", id))
                        button.main { (front.about("connect-with", name)) }
                    }
                }
            }
        }
    };
    front.page(&front.say("home"), false, content)
}

pub(super) fn ask_end(front: &Front<'_>, cmp: &str, token: MspToken) -> String {
    let content = html! {
        p { (front.about("end-question", cmp)) }
        p { (front.say("end-effect")) }
        form method="post" action="/end" {
            (front.token()) (hidden("token", &token.to_string()))
            p.actions {
                button.danger { (front.say("end-yes")) }
                a.button href="/" { (front.say("keep")) }
            }
        }
    };
    front.page(&front.say("end-title"), true, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::SwapPolicy;
    use aid_serve::page::colour::Colour;
    use aid_serve::page::theme::Theme;
    use aid_serve::page::{Language, Texts};

    #[test]
    fn both_languages_have_every_text() {
        assert_eq!(Texts::problems(TABLES), Vec::<String>::new());
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let attack = "\"><script>x</script>";
        let site = Site::new(Theme::plain(attack, Colour([0; 3])), TABLES);
        let front = Front {
            words: site.words_in(Language::English, 0),
            site: &site,
            csrf: Some(attack),
        };
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
            cmp: attack,
            user: attack,
            code: Some(attack),
            choices: std::slice::from_ref(&subscription),
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
            user: attack,
            cards: &cards,
            cmps: &[(attack, attack)],
            done: None,
        };
        for html in [
            login(
                &front,
                Some(attack),
                attack,
                attack,
                Some((Where::Form, attack)),
            ),
            consent(&front, &question),
            overview(&front, &overview_of),
            ask_end(&front, attack, MspToken::from_bytes([1; 16])),
            message(&front, attack, attack),
            down(&front, (attack, attack)),
            down_pending(&front, attack, attack),
        ] {
            assert!(
                !html.contains("<script>") && html.contains("viewport"),
                "{html}"
            );
            assert!(!html.contains("4915112345678"), "the number is masked");
        }
    }
}

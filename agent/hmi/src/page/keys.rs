//! Where somebody types: the user name with a keyboard on the screen, the PIN with a pad. Not while the car moves.

use super::{View, document};
use crate::language::fill;
use crate::session::MIN_PIN;
use maud::{Markup, html};

/// The keyboard. Names of users have letters, digits and these signs, as a rule; what else there is can be typed with a
/// keyboard that is plugged in.
const KEYS: &str = "1234567890qwertzuiopasdfghjklyxcvbnm@.-_";

/// In place of keys while the car moves.
fn moving(view: &View<'_>) -> String {
    let texts = view.texts;
    let content = html! {
        section { h1 { (texts.moving_title) } p { (texts.moving_text) } }
        section {
            form method="post" action="/code" { button.main { (texts.by_phone) } }
            a.button href="/" { (texts.back) }
        }
    };
    document(view, true, "", &content)
}

/// The page for the user name.
pub(crate) fn name(view: &View<'_>) -> String {
    if view.state.is_moving() {
        return moving(view);
    }
    let texts = view.texts;
    let content = html! {
        section {
            h1 { label for="user" { (texts.name_title) } }
            @if !view.names.is_empty() {
                p.soft { (texts.name_known) }
                form.known method="post" action="/name" {
                    @for name in view.names { button name="known" value=(name) { (name) } }
                }
            }
            form method="post" action="/name" {
                // The first button of a form is what Enter presses.
                div.entry {
                    input #user name="user" value=(view.session.name) maxlength="128" autocomplete="off"
                        autocapitalize="none" spellcheck="false";
                    button.main name="key" value="go" { (texts.next) }
                    a.button href="/" { (texts.cancel) }
                }
                div.keys {
                    @for key in KEYS.chars() { button name="key" value=(key) { (key) } }
                    button.two name="key" value="space" { (texts.space_key) }
                    button.two name="key" value="back" { (texts.delete_key) }
                }
            }
        }
    };
    document(view, false, "one", &content)
}

/// The page for the PIN. Its digits stay in the HMI: the page shows how many there are.
pub(crate) fn pin(view: &View<'_>) -> String {
    if view.state.is_moving() {
        return moving(view);
    }
    let texts = view.texts;
    let count = view.session.digits();
    let typed = fill(texts.pin_typed, &[("count", &count.to_string())]);
    let content = html! {
        section {
            h1 { (fill(texts.pin_title, &[("name", &view.session.name)])) }
            p.dots aria-hidden="true" { ("•".repeat(count)) }
            p.soft role="status" { @if count == 0 { (texts.pin_none) } @else { (typed) } }
            form method="post" action="/pin" {
                button.main name="key" value="go" disabled[count < MIN_PIN] { (texts.log_in) }
            }
            a.button href="/" { (texts.cancel) }
        }
        section {
            form.pad method="post" action="/pin" {
                @for digit in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] { (key(digit)) }
                (key("0"))
                button #back .two name="key" value="back" { (texts.delete_key) }
            }
        }
    };
    document(view, false, "", &content)
}

fn key(digit: &str) -> Markup {
    html! { button id=(format!("key{digit}")) name="key" value=(digit) { (digit) } }
}

//! Fields of filters, and what is typed to confirm a deed.

use crate::page::Field;
use maud::{Markup, html};

/// A text field of a filter, which may stay empty.
#[must_use]
pub fn text(name: &str, label: &str, value: &str) -> Markup {
    let mut field = Field::new(name, label);
    field.value = value;
    field.required = false;
    field.render()
}

/// A choice of a filter; the first is none.
#[must_use]
pub fn choice(name: &str, label: &str, value: &str, choices: &[(&str, &str)]) -> Markup {
    html! {
        label for=(name) { (label) }
        select id=(name) name=(name) {
            @for (word, text) in choices {
                option value=(word) selected[*word == value] { (text) }
            }
        }
    }
}

/// What has to be typed for a deed that can't be taken back: the end of an id, or a whole name.
#[must_use]
pub fn typed(id: &str) -> String {
    let letters: Vec<char> = id.chars().collect();
    match letters.len() {
        0..=16 => id.to_owned(),
        n => letters.iter().skip(n - 6).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_typed_whole_and_long_ids_by_their_end() {
        assert_eq!(typed("alice"), "alice");
        assert_eq!(typed("89049032000001000000000831934057"), "934057");
    }
}

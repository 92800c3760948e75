//! Languages of the page: one table of texts each. A language that lacks a text does not compile.

mod de;
mod en;

use serde::Deserialize;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// English.
    En,
    /// German.
    De,
}

macro_rules! texts {
    ($($name:ident),* $(,)?) => {
        /// The texts of a language. `{name}` in a text is a place for a value, see [`fill`].
        #[derive(Debug)]
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str,)*
        }

        #[cfg(test)]
        impl Texts {
            /// Name and text of each.
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

texts! {
    title, language_other, day, night, lost,
    guest, guest_text, by_pin, by_phone, own_connection,
    name_title, name_known, next, space_key, delete_key, cancel, back,
    pin_title, pin_typed, pin_none, log_in,
    moving_title, moving_text,
    checking, checking_text,
    phone_title, phone_text, phone_left, phone_qr, phone_new, phone_over,
    hello, active, active_unknown, offline_session,
    preparing, preparing_text, downloading, stage_authenticating, stage_preparing, stage_installing,
    stage_notifying, switching, switching_text,
    no_profile, no_profile_text, ask_title, ask_text, ask_yes,
    wait_call, waiting, in_seconds, in_minutes, in_hours, parked,
    no_link_active, no_link_user, no_link_guest,
    log_out, delete, delete_title, delete_text, delete_yes, delete_none,
    refused, no_answer, journal_failed, understood,
    fault_installation, fault_code, fault_card_full, fault_other,
    stopped, stopped_text, card_missing, card_missing_text, starting, starting_text,
    away, away_text, refused_request, no_page,
    door_title, door_text, door_used,
}

impl Language {
    /// Its texts.
    pub(crate) const fn texts(self) -> &'static Texts {
        match self {
            Self::En => &en::TEXTS,
            Self::De => &de::TEXTS,
        }
    }

    /// As HTML and HTTP write it.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// The other one of the two.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::En => Self::De,
            Self::De => Self::En,
        }
    }

    /// The language with this tag.
    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let main = tag.split('-').next().unwrap_or_default();
        let all = [Self::En, Self::De];
        all.into_iter().find(|l| main.eq_ignore_ascii_case(l.tag()))
    }

    /// The first one of an `Accept-Language` header that the page has; English where there is none. Browsers write them
    /// in the order of preference.
    pub(crate) fn accepted(header: &str) -> Self {
        let tags = header.split(',').take(16);
        let tags = tags.map(|tag| tag.split(';').next().unwrap_or_default().trim());
        tags.filter_map(Self::from_tag).next().unwrap_or(Self::En)
    }
}

/// Puts values into the places of a text.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            return out;
        };
        let value = values.iter().find(|(own, _)| *own == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<&str> = text
            .split('{')
            .skip(1)
            .filter_map(|part| part.split_once('}').map(|(name, _)| name))
            .collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn every_language_says_the_same_with_the_same_values() {
        let (en, de) = (en::TEXTS.all(), de::TEXTS.all());
        for ((name, en), (_, de)) in en.into_iter().zip(de) {
            assert!(!en.trim().is_empty() && !de.trim().is_empty(), "{name}");
            assert_eq!(places(en), places(de), "{name}");
        }
    }

    #[test]
    fn values_are_put_in_once_and_not_read_again() {
        let values = [("a", "{b}"), ("b", "B")];
        assert_eq!(fill("{a} and {b}{c}", &values), "{b} and B");
        assert_eq!(fill("no places", &values), "no places");
        assert_eq!(fill("open {a", &values), "open ");
    }

    #[test]
    fn the_first_language_that_there_is_counts() {
        for (header, expected) in [
            ("", Language::En),
            ("de", Language::De),
            ("de-AT,en;q=0.7", Language::De),
            ("fr-FR, DE;q=0.8, en;q=0.7", Language::De),
            ("en-GB,de", Language::En),
            ("*", Language::En),
            ("deutsch", Language::En),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header}");
        }
    }
}

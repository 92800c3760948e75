//! Texts of pages in several languages: one Fluent table for each language, chosen by `Accept-Language` (RFC 9110 §12.5.4).
//! A sentence is one message of the table; no sentence is put together from parts.

use axum::http::{HeaderMap, header};
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use maud::{Markup, PreEscaped, Render as _};
use unic_langid::LanguageIdentifier;

pub use fluent_bundle::FluentValue as Value;

/// A language that pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// `en`, also where a browser wants another language.
    #[default]
    English,
    /// `de`
    German,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its tag, for `lang` and `Content-Language`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language that a browser likes best; English where it names none of ours.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let ranges = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|l| l.split(','));
        let mut best = (Self::English, 0.0_f32);
        for range in ranges.take(32) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            let primary = tag.split('-').next().unwrap_or_default();
            let known = Self::ALL.into_iter().find(|l| l.tag() == primary);
            let wanted = known.or_else(|| (tag == "*").then_some(Self::English));
            if let Some(language) = wanted
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }

    const fn index(self) -> usize {
        self as usize
    }

    /// For the rules of plurals.
    fn identifier(self) -> LanguageIdentifier {
        self.tag().parse().unwrap_or_default()
    }
}

/// The tables of what all servers share.
const COMMON: [&str; 2] = [include_str!("en.ftl"), include_str!("de.ftl")];

/// The texts of a server in all languages.
pub struct Texts {
    bundles: Vec<FluentBundle<FluentResource>>,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

impl Texts {
    /// The texts of these Fluent tables, in the order of [`Language::ALL`], and those that all servers share. An entry that
    /// can't be read is left out; [`Texts::problems`] names it, for a test.
    #[must_use]
    pub fn new(tables: [&str; 2]) -> Self {
        let bundle = |language: Language| {
            let mut bundle = FluentBundle::new_concurrent(vec![language.identifier()]);
            // Marks around values would end up in attributes and in what people copy.
            bundle.set_use_isolating(false);
            for text in [COMMON[language.index()], tables[language.index()]] {
                let resource = match FluentResource::try_new(text.to_owned()) {
                    Ok(resource) => resource,
                    Err((readable, errors)) => {
                        tracing::error!(language = language.tag(), ?errors, "texts");
                        readable
                    }
                };
                if let Err(errors) = bundle.add_resource(resource) {
                    tracing::error!(language = language.tag(), ?errors, "texts");
                }
            }
            bundle
        };
        Self {
            bundles: Language::ALL.map(bundle).into(),
        }
    }

    /// What is wrong with these tables: entries that can't be read, that are there twice, or that one language has and the
    /// other lacks. Empty if nothing is.
    #[must_use]
    pub fn problems(tables: [&str; 2]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut ids: Vec<Vec<String>> = Vec::new();
        for (language, text) in Language::ALL.into_iter().zip(tables) {
            if let Err((_, errors)) = FluentResource::try_new(text.to_owned()) {
                problems.push(format!("{}: {errors:?}", language.tag()));
            }
            let mut own: Vec<String> = text.lines().filter_map(entry).collect();
            own.sort();
            for pair in own.windows(2).filter(|pair| pair[0] == pair[1]) {
                problems.push(format!("{}: {} is there twice", language.tag(), pair[0]));
            }
            ids.push(own);
        }
        for (at, own) in ids.iter().enumerate() {
            for id in own.iter().filter(|id| !ids[1 - at].contains(id)) {
                let other = Language::ALL[1 - at].tag();
                problems.push(format!("{other} lacks {id}"));
            }
        }
        problems
    }

    /// The texts in one language, for a page that is made at `now`, Unix milliseconds.
    #[must_use]
    pub const fn words(&self, language: Language, now: u64) -> Words<'_> {
        Words {
            texts: self,
            language,
            now,
        }
    }

    fn format(
        &self,
        language: Language,
        id: &str,
        args: Option<&FluentArgs<'_>>,
    ) -> Option<String> {
        let bundle = &self.bundles[language.index()];
        let pattern = bundle.get_message(id)?.value()?;
        let mut errors = Vec::new();
        let text = bundle.format_pattern(pattern, args, &mut errors);
        if !errors.is_empty() {
            tracing::error!(id, ?errors, "a text lacks a value");
        }
        Some(text.into_owned())
    }
}

/// The id of a table's line that begins an entry, with its variables.
fn entry(line: &str) -> Option<String> {
    let (id, _) = line.split_once(" =")?;
    let first = id.bytes().next()?;
    let is_id = first.is_ascii_lowercase() && !id.contains(' ');
    is_id.then(|| id.to_owned())
}

/// The texts of a page: one language, one time.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    texts: &'a Texts,
    /// The language.
    pub language: Language,
    /// When the page is made, Unix milliseconds.
    pub now: u64,
}

impl Words<'_> {
    /// A text without values.
    #[must_use]
    pub fn say(&self, id: &str) -> String {
        self.text(id, None)
    }

    /// A text with values: texts, or numbers that decide about the plural.
    #[must_use]
    pub fn with(&self, id: &str, values: &[(&'static str, Value<'_>)]) -> String {
        let mut args = FluentArgs::new();
        for (name, value) in values {
            args.set(*name, value.clone());
        }
        self.text(id, Some(&args))
    }

    /// A text with markup in it: each value is put where the table names it, everything else is escaped.
    #[must_use]
    pub fn rich(&self, id: &str, values: &[(&'static str, Markup)]) -> Markup {
        // Of the area for private use: no text of ours has them, and those of others are escaped before they come in here.
        let mut args = FluentArgs::new();
        for (at, (name, _)) in values.iter().enumerate() {
            args.set(*name, format!("\u{E000}{at}\u{E001}"));
        }
        let mut html = self.text(id, Some(&args)).render().into_string();
        for (at, (_, value)) in values.iter().enumerate() {
            html = html.replace(&format!("\u{E000}{at}\u{E001}"), &value.0);
        }
        PreEscaped(html)
    }

    /// Whether there is such a text.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        let bundle = &self.texts.bundles[self.language.index()];
        bundle.has_message(id)
    }

    fn text(&self, id: &str, args: Option<&FluentArgs<'_>>) -> String {
        let texts = self.texts;
        texts
            .format(self.language, id, args)
            .or_else(|| texts.format(Language::English, id, args))
            .unwrap_or_else(|| {
                tracing::error!(id, "there is no such text");
                id.to_owned()
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;
    use axum::http::HeaderValue;
    use maud::html;

    #[test]
    fn browsers_get_the_language_that_they_like_best() {
        for (wanted, language) in [
            ("de", Language::German),
            ("de-AT,de;q=0.9,en;q=0.8", Language::German),
            ("en-GB, de;q=0.5", Language::English),
            ("fr, de;q=0.5, en;q=0.4", Language::German),
            ("fr;q=1", Language::English),
            ("de;q=0", Language::English),
            ("*", Language::English),
            (";;q=,,=x", Language::English),
            ("", Language::English),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT_LANGUAGE,
                HeaderValue::from_str(wanted).expect("a header"),
            );
            assert_eq!(Language::of(&headers), language, "{wanted}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }

    #[test]
    fn the_common_tables_are_whole() {
        assert_eq!(Texts::problems(COMMON), Vec::<String>::new());
        let missing = Texts::problems(["a = A\nb = B\n", "a = A\na = A\n"]);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(!Texts::problems(["a = { $", ""]).is_empty());
    }

    #[test]
    fn values_are_counted_and_markup_of_others_is_text() {
        let table = "n = { $count ->\n    [one] one car\n   *[other] { $count } cars\n}\nx = <{ $who }> waits\n";
        let texts = Texts::new([table, "n = { $count } Wagen\nx = { $who } wartet\n"]);
        let words = texts.words(Language::English, 0);
        assert_eq!(words.with("n", &[("count", 1.into())]), "one car");
        assert_eq!(words.with("n", &[("count", 3.into())]), "3 cars");
        let attack = html! { b { "\"<script>\u{E000}0\u{E001}" } };
        let rich = words.rich("x", &[("who", attack)]).into_string();
        assert!(rich.starts_with("&lt;<b>") && rich.contains("&lt;script&gt;"));
        assert_eq!(words.say("nothing-like-it"), "nothing-like-it");
        assert!(words.has("n") && !words.has("nothing-like-it"));
    }
}

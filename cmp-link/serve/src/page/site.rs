//! The frame of a server's pages: head, navigation, landmarks, one heading, foot; and the files that pages load.

use super::language::{Language, Texts, Words};
use super::theme::{Theme, digest};
use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};
use std::sync::Arc;

/// What the script is.
const SCRIPT: &str = include_str!("script.js");
/// A file whose name has its hash never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// A file that pages load.
#[derive(Debug, Clone)]
struct Asset {
    /// Name with the file's hash.
    name: String,
    kind: &'static str,
    bytes: Arc<[u8]>,
}

impl Asset {
    fn new(stem: &str, end: &str, kind: &'static str, bytes: &[u8]) -> Self {
        Self {
            name: format!("{stem}-{}.{end}", digest(bytes)),
            kind,
            bytes: bytes.into(),
        }
    }

    fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }

    fn answer(&self) -> Response {
        let headers = [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, FOREVER),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // A logo may be SVG: opened by itself it is a document, and runs nothing.
            (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        ];
        (headers, self.bytes.to_vec()).into_response()
    }
}

/// A server's pages: theme, texts, files.
#[derive(Debug)]
pub struct Site {
    theme: Theme,
    texts: Texts,
    style: Asset,
    script: Asset,
    logo: Option<Asset>,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Where it leads.
    pub href: &'a str,
    /// What it is called.
    pub label: &'a str,
    /// Whether the page is this one, or below it.
    pub current: bool,
}

/// What a page has in the frame.
#[derive(Debug, Default)]
pub struct Page<'a> {
    /// Its heading, and its title in the browser.
    pub title: &'a str,
    /// The navigation; empty for none.
    pub nav: &'a [Item<'a>],
    /// What stands in the header beside the name, such as a button to sign out.
    pub corner: Option<Markup>,
    /// What follows the heading.
    pub content: Markup,
    /// Where the page's changes are told (`live::events`); none for a page that does not change by itself.
    pub live: Option<String>,
    /// Whether the page is a form or a few sentences, which are read better in a narrow column.
    pub narrow: bool,
}

impl Site {
    /// The pages of a server with this theme and these Fluent tables, in the order of [`Language::ALL`].
    #[must_use]
    pub fn new(theme: Theme, tables: [&str; 2]) -> Self {
        let style = theme.style();
        let logo = theme.logo.as_ref().map(|logo| match logo.kind {
            "png" => Asset::new("logo", "png", "image/png", &logo.bytes),
            _ => Asset::new("logo", "svg", "image/svg+xml", &logo.bytes),
        });
        Self {
            style: Asset::new("style", "css", "text/css; charset=utf-8", style.as_bytes()),
            script: Asset::new(
                "page",
                "js",
                "text/javascript; charset=utf-8",
                SCRIPT.as_bytes(),
            ),
            logo,
            texts: Texts::new(tables),
            theme,
        }
    }

    /// Whose pages these are.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.theme.name
    }

    /// The texts in the language of a browser, for a page made at `now`, Unix milliseconds.
    #[must_use]
    pub fn words(&self, headers: &HeaderMap, now: u64) -> Words<'_> {
        self.texts.words(Language::of(headers), now)
    }

    /// The texts in this language.
    #[must_use]
    pub const fn words_in(&self, language: Language, now: u64) -> Words<'_> {
        self.texts.words(language, now)
    }

    /// The files that pages load, at `/assets/`.
    pub fn assets<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let files = [Some(&self.style), Some(&self.script), self.logo.as_ref()];
        let files: Arc<[Asset]> = files.into_iter().flatten().cloned().collect();
        let serve =
            async move |Path(name): Path<String>| match files.iter().find(|f| f.name == name) {
                Some(file) => file.answer(),
                None => StatusCode::NOT_FOUND.into_response(),
            };
        Router::new().route("/assets/{name}", get(serve))
    }

    /// A whole page.
    #[must_use]
    pub fn document(&self, words: Words<'_>, page: &Page<'_>) -> String {
        let Theme {
            name,
            legal,
            colour,
            ..
        } = &self.theme;
        html! {
            (DOCTYPE)
            html lang=(words.language.tag()) data-now=(words.now) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="theme-color" content=(colour);
                    title { (page.title) " – " (name) }
                    @if let Some(logo) = &self.logo { link rel="icon" href=(logo.path()); }
                    @else { link rel="icon" href="data:,"; }
                    link rel="stylesheet" href=(self.style.path());
                    script src=(self.script.path()) defer {}
                }
                body {
                    a.skip href="#content" { (words.say("skip-to-content")) }
                    header.site {
                        div.wide {
                            a.brand href="/" {
                                // The name beside it says the same.
                                @if let Some(logo) = &self.logo { img src=(logo.path()) alt=""; }
                                (name)
                            }
                            @if let Some(corner) = &page.corner { (corner) }
                        }
                    }
                    @if !page.nav.is_empty() {
                        nav.main aria-label=(words.say("navigation")) {
                            ul.wide {
                                @for item in page.nav {
                                    li { a href=(item.href) aria-current=[item.current.then_some("page")] { (item.label) } }
                                }
                            }
                        }
                    }
                    main.wide.narrow[page.narrow] #content data-live=[page.live.as_deref()] {
                        h1 { (page.title) }
                        (page.content)
                        @if page.live.is_some() { noscript { p.quiet { a href="" { (words.say("reload")) } } } }
                    }
                    @if !legal.is_empty() {
                        footer.site {
                            nav.wide aria-label=(words.say("legal")) {
                                @for link in legal { a href=(link.url) rel="noreferrer" { (link.title) } }
                            }
                        }
                    }
                }
            }
        }
        .into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::colour::Colour;
    use super::*;

    fn site(name: &str) -> Site {
        Site::new(Theme::plain(name, Colour([0x0b, 0x57, 0xd0])), ["", ""])
    }

    #[test]
    fn markup_of_others_is_text_everywhere() {
        let attack = "\"'><script>alert(1)</script>";
        let site = site(attack);
        let words = site.words_in(Language::English, 0);
        let nav = [Item {
            href: attack,
            label: attack,
            current: true,
        }];
        let page = Page {
            title: attack,
            nav: &nav,
            corner: Some(html! { (attack) }),
            content: super::super::hidden("x", attack),
            live: Some(attack.to_owned()),
            narrow: false,
        };
        let html = site.document(words, &page);
        assert!(
            !html.contains("<script>") && !html.contains("\"'>"),
            "{html}"
        );
        // title twice, site twice, navigation twice, corner, field, live
        assert_eq!(html.matches("&lt;script&gt;").count(), 9);
        assert_eq!(html.matches("<h1>").count(), 1);
    }

    // The first page has 60 KB for everything that it loads besides the logo, a later one 15 KB.
    #[test]
    fn files_are_small_and_named_by_their_content() {
        let (a, b) = (site("a"), site("b"));
        assert_eq!(a.style.name, b.style.name);
        assert!(a.style.bytes.len() + a.script.bytes.len() < 20_000);
        assert!(a.script.bytes.len() < 30_000);
        let other = Site::new(Theme::plain("a", Colour([0; 3])), ["", ""]);
        assert_ne!(a.style.name, other.style.name);
        let text = String::from_utf8_lossy(&a.style.bytes).into_owned();
        assert!(
            !text.contains("http") && !text.contains("url("),
            "no request leaves the host"
        );
    }
}

//! The frame of a console's pages, and who is signed in.

use super::trouble::{Sentence, Trouble};
use super::{Cells, Once, token, way};
use crate::page::{self, Item, Language, Page, Site, Words, hidden};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

/// Largest form, bytes.
const MAX_FORM: usize = 16 * 1024;

/// A server's console: its pages and its names.
#[derive(Debug)]
pub struct Console {
    /// Theme and files.
    pub pages: Site,
    /// The navigation: addresses and labels. The first is that of [`way::HOME`].
    pub nav: &'static [(&'static str, &'static str)],
    /// Label of the link home on pages that say what went wrong.
    pub home: &'static str,
    /// Cookie of a session. Servers that may be on one host have different names.
    pub session: &'static str,
    /// Cookie of the sign-in page, so that nobody else signs a browser in.
    pub login: &'static str,
    /// The command that gives access.
    pub access: &'static str,
    /// Where a member of a row leads, by its name and text; none where it names nothing that has a page.
    pub target: fn(&str, &str) -> Option<String>,
    /// The time, Unix milliseconds.
    pub now: fn() -> u64,
}

impl Console {
    fn words(&self) -> Words<'_> {
        self.pages.words_in(Language::English, (self.now)())
    }

    /// Rows as they are shown now.
    pub fn cells(&self) -> Cells<'_> {
        Cells {
            words: self.words(),
            target: self.target,
        }
    }

    /// A whole page.
    #[must_use]
    pub fn document(&self, page: &Page<'_>) -> String {
        self.pages.document(self.words(), page)
    }

    /// The server's routes within what all consoles have: the way to the first page, the sign-in that leads back, pages for
    /// what goes wrong, bounded forms, the files that pages load.
    pub fn routes<S: Clone + Send + Sync + 'static>(&'static self, own: Router<S>) -> Router<S> {
        let home = || async { page::see_other(way::HOME) };
        own.route("/", get(home))
            .route("/console/", get(home))
            .layer(from_fn(way::remembered))
            .layer(from_fn(move |request: Request, next: Next| {
                self.dressed(request, next)
            }))
            .layer(DefaultBodyLimit::max(MAX_FORM))
            .merge(self.pages.assets())
    }

    /// Makes a page of what went wrong. Refuses U+0000 in an address: no text has it, and not every database stores it.
    async fn dressed(&self, request: Request, next: Next) -> Response {
        if request.uri().to_string().contains("%00") {
            let text = "The address has a character that is not allowed.";
            return self.refusal(StatusCode::BAD_REQUEST, text);
        }
        let answer = next.run(request).await;
        let Some(Sentence(text)) = answer.extensions().get::<Sentence>() else {
            return answer;
        };
        let mut page = self.refusal(answer.status(), text);
        if let Some(wait) = answer.headers().get(header::RETRY_AFTER) {
            page.headers_mut().insert(header::RETRY_AFTER, wait.clone());
        }
        page
    }

    fn refusal(&self, status: StatusCode, text: &str) -> Response {
        let content = html! {
            p.note.bad role="alert" { (text) }
            p { a href=(way::HOME) { (self.home) } }
        };
        let page = Page {
            title: if status.is_server_error() {
                "Not available now"
            } else {
                "Not done"
            },
            content,
            narrow: true,
            ..Page::default()
        };
        page::answer(status, self.document(&page), &[])
    }
}

/// Somebody who may sign in.
#[derive(Debug, Clone)]
pub struct Member<R> {
    /// Who they are in the audit trail.
    pub name: String,
    /// What they may do.
    pub role: R,
    /// The role's word.
    pub word: &'static str,
}

/// What a server's console works with.
pub trait Staff: Send + Sync + 'static {
    /// What somebody may do; each role may do what lesser ones may.
    type Role: Copy + PartialOrd + Send + Sync;

    /// Its pages.
    fn console(&self) -> &'static Console;

    /// The key of the tokens of forms.
    fn key(&self) -> &[u8; 32];

    /// Forms that were sent.
    fn once(&self) -> &Once;

    /// Whose session this cookie is.
    fn member(
        &self,
        cookie: &str,
    ) -> impl Future<Output = Result<Option<Member<Self::Role>>, Trouble>> + Send;

    /// Ends the session of this cookie.
    fn leave(&self, cookie: &str) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// Somebody who is signed in.
#[derive(Debug)]
pub struct Seat<R> {
    /// The member who is signed in, with the role.
    pub member: Member<R>,
    /// The token of their forms.
    pub csrf: String,
    console: &'static Console,
}

impl<R: Copy + PartialOrd> Seat<R> {
    /// Who sent this request.
    ///
    /// # Errors
    /// [`Trouble::SignIn`], or the server's.
    pub async fn of<D: Staff<Role = R>>(desk: &D, headers: &HeaderMap) -> Result<Self, Trouble> {
        let console = desk.console();
        let cookie = token::read(headers, console.session).ok_or(Trouble::SignIn)?;
        let member = desk.member(&cookie).await?;
        Ok(Self {
            member: member.ok_or(Trouble::SignIn)?,
            csrf: token::token(desk.key(), &cookie),
            console,
        })
    }

    /// Who sent this form, after its token was checked.
    ///
    /// # Errors
    /// As [`Seat::of`]; or the token is not that of their session.
    pub async fn sent<D: Staff<Role = R>>(
        desk: &D,
        headers: &HeaderMap,
        csrf: &str,
    ) -> Result<Self, Trouble> {
        let seat = Self::of(desk, headers).await?;
        let cookie = token::read(headers, seat.console.session).unwrap_or_default();
        match token::token_fits(desk.key(), &cookie, csrf) {
            true => Ok(seat),
            false => Err(Trouble::too_old()),
        }
    }

    /// Whether they may do what this role may.
    pub fn may(&self, least: R) -> bool {
        self.member.role >= least
    }

    /// A page of the console; `path` says which entry of the navigation it is under.
    #[must_use]
    pub fn page(&self, path: &str, title: &str, content: Markup) -> Response {
        let current = |href: &str| match href {
            way::HOME => path == href,
            _ => path.starts_with(href),
        };
        let item = |(href, label): &(&'static str, &'static str)| Item {
            href,
            label,
            current: current(href),
        };
        let nav: Vec<Item<'_>> = self.console.nav.iter().map(item).collect();
        let corner = html! {
            form method="post" action="/console/logout" {
                (hidden("csrf", &self.csrf))
                span.quiet { (self.member.name) ", " (self.member.word) " " }
                button { "Sign out" }
            }
        };
        let page = Page {
            title,
            nav: &nav,
            corner: Some(corner),
            content,
            ..Page::default()
        };
        page::answer(StatusCode::OK, self.console.document(&page), &[])
    }
}

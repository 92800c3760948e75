//! What a console answers instead of a page: the way to the sign-in, or a sentence under a status. The sentence travels with
//! the answer, and [`Console::routes`](super::Console::routes) makes a page of it.

use crate::limit::retry_after;
use crate::page;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Display;
use std::time::Duration;

use super::way;

/// What a handler of a console yields.
pub type Answer = Result<Response, Trouble>;

/// When a browser may ask again after the database failed.
const SOON: Duration = Duration::from_secs(5);

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody is signed in.
    SignIn,
    /// A sentence under a status.
    Said(StatusCode, String),
    /// A sentence under a status, and when to ask again.
    Later(StatusCode, String, Duration),
}

/// The sentence of an answer that is to become a page.
#[derive(Debug, Clone)]
pub(super) struct Sentence(pub(super) String);

impl Trouble {
    /// A sentence under a status.
    pub fn said(status: StatusCode, text: impl Into<String>) -> Self {
        Self::Said(status, text.into())
    }

    /// A form whose token is not that of this browser's session.
    #[must_use]
    pub fn too_old() -> Self {
        Self::said(
            StatusCode::FORBIDDEN,
            "The page was too old. Load it again.",
        )
    }

    /// Somebody who may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::said(
            StatusCode::FORBIDDEN,
            "Your role does not suffice for this.",
        )
    }

    /// The database failed, which is no error of the user's, and passes; `error` goes to the log. Whether a change was made is
    /// not known: a connection may be lost after the commit.
    pub fn database(error: impl Display) -> Self {
        tracing::error!(%error, "a page of the console failed");
        let text = "The database does not answer. You did nothing wrong: try again in a moment. If you wanted to change \
                    something, see on its page first whether it was done.";
        Self::Later(StatusCode::SERVICE_UNAVAILABLE, text.to_owned(), SOON)
    }
}

impl From<FormRejection> for Trouble {
    fn from(_: FormRejection) -> Self {
        Self::said(StatusCode::BAD_REQUEST, "The form was not complete.")
    }
}

impl From<QueryRejection> for Trouble {
    fn from(_: QueryRejection) -> Self {
        Self::said(StatusCode::BAD_REQUEST, "The address is not complete.")
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, text, wait) = match self {
            Self::SignIn => return page::see_other(way::SIGN_IN),
            Self::Said(status, text) => (status, text, None),
            Self::Later(status, text, wait) => (status, text, Some(wait)),
        };
        let mut answer = status.into_response();
        answer.extensions_mut().insert(Sentence(text));
        if let Some(wait) = wait {
            let seconds = HeaderValue::from(retry_after(wait));
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        answer
    }
}

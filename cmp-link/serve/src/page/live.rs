//! Live updates of pages over server-sent events: a browser is told that its page has changed, and fetches it again. What
//! is in a page goes over its own address only, with its own checks.

use crate::http::Stopping;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, interval};

/// Most browsers that are told of changes at once; others have their pages without.
const STREAMS: usize = 256;
/// How often a page is compared.
const LOOK: Duration = Duration::from_secs(2);
/// Looks between two signs of life, so that nobody takes the connection for dead.
const ALIVE: u32 = 8;
/// How long a stream lasts; the browser begins another by itself.
const LIFE: Duration = Duration::from_secs(600);

static OPEN: Semaphore = Semaphore::const_new(STREAMS);

/// What a page says, as a short text. The times in it do not count: they change by themselves.
#[must_use]
pub fn digest(html: &str) -> String {
    let mut hash = Sha256::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once("<time ") {
        hash.update(before.as_bytes());
        let (time, behind) = after.split_once("</time>").unwrap_or((after, ""));
        // The moment itself counts, its words do not.
        hash.update(time.split('>').next().unwrap_or_default().as_bytes());
        rest = behind;
    }
    hash.update(rest.as_bytes());
    let digest = hash.finalize();
    digest.iter().take(12).map(|b| format!("{b:02x}")).collect()
}

/// Tells a browser that has a page with the digest `seen` when `look` finds another. `look` yields the digest of the page
/// as it is now, or none where the session has ended: then the browser is told once more, and the stream ends.
pub fn events<F, L>(stopping: Option<Stopping>, seen: String, look: L) -> Response
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Option<String>> + Send,
{
    let Ok(permit) = OPEN.try_acquire() else {
        let later = [(RETRY_AFTER, HeaderValue::from_static("60"))];
        return (StatusCode::SERVICE_UNAVAILABLE, later).into_response();
    };
    let (send, receive) = mpsc::channel::<&'static str>(2);
    tokio::spawn(async move {
        let _permit = permit;
        let follow = follow(send, seen, look);
        match stopping {
            Some(stopping) => tokio::select! {
                () = follow => {}
                () = stopping.begun() => {}
            },
            None => follow.await,
        }
    });
    let events = unfold(receive, async |mut receive| {
        let event = receive.recv().await?;
        Some((Ok::<_, Infallible>(event), receive))
    });
    let kind = (CONTENT_TYPE, "text/event-stream");
    (
        [kind, (CACHE_CONTROL, "no-store")],
        Body::from_stream(events),
    )
        .into_response()
}

async fn follow<F, L>(send: mpsc::Sender<&'static str>, mut seen: String, look: L)
where
    L: Fn() -> F,
    F: Future<Output = Option<String>>,
{
    const CHANGE: &str = "event: change\ndata:\n\n";
    let began = Instant::now();
    let mut looks = interval(LOOK);
    let mut quiet = 0;
    while began.elapsed() < LIFE {
        looks.tick().await;
        let sent = match look().await {
            None => {
                let _ = send.send(CHANGE).await;
                return;
            }
            Some(now) if now != seen => {
                (seen, quiet) = (now, 0);
                send.send(CHANGE).await
            }
            Some(_) if quiet >= ALIVE => {
                quiet = 0;
                send.send(":\n\n").await
            }
            Some(_) => {
                quiet += 1;
                Ok(())
            }
        };
        if sent.is_err() || send.is_closed() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn words_of_times_do_not_count_and_everything_else_does() {
        let page = |words: &str, at: &str, rest: &str| {
            digest(&format!(
                "<p>Seen <time datetime=\"{at}\">{words}</time>, {rest}</p>"
            ))
        };
        let one = page("2 minutes ago", "a", "online");
        assert_eq!(one, page("3 minutes ago", "a", "online"));
        assert_ne!(one, page("2 minutes ago", "b", "online"));
        assert_ne!(one, page("2 minutes ago", "a", "offline"));
        assert_eq!(digest("<time x").len(), 24);
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_hears_of_changes_and_of_the_end_of_its_session() {
        let looks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looks);
        let answer = events(None, "a".into(), move || {
            let at = count.fetch_add(1, Ordering::Relaxed);
            async move { (at < 3).then(|| if at == 0 { "a".into() } else { "b".into() }) }
        });
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
        let body = axum::body::to_bytes(answer.into_body(), 1024)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(text.matches("event: change").count(), 2, "{text}");
        assert_eq!(looks.load(Ordering::Relaxed), 4);
    }
}

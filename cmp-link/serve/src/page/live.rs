//! Live updates of pages over server-sent events: a browser is told that its page has changed, and fetches it again. What
//! is in a page goes over its own address only, with its own checks.

use crate::http::Stopping;
use crate::slots::network;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, interval};

/// Most browsers that are told of changes at once; others have their pages without.
const STREAMS: usize = 256;
/// Most of them of one reader, and of one address, which several readers may have: nobody takes the places of others.
const PER_READER: usize = 12;
const PER_ADDRESS: usize = 48;
/// How often a page is compared.
const LOOK: Duration = Duration::from_secs(2);
/// Looks between two signs of life, so that nobody takes the connection for dead.
const ALIVE: u32 = 8;
/// How long a stream lasts; the browser begins another by itself.
const LIFE: Duration = Duration::from_secs(600);

static OPEN: Semaphore = Semaphore::const_new(STREAMS);
/// Streams of each reader and address.
static HELD: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// A place for a stream, given back when it ends.
#[derive(Debug)]
struct Place {
    keys: [String; 2],
    _one_of_all: SemaphorePermit<'static>,
}

impl Place {
    /// A place for this reader at this address; none where they, or all together, have enough.
    fn take(reader: &str, address: IpAddr) -> Option<Self> {
        let one_of_all = OPEN.try_acquire().ok()?;
        let keys = [
            format!("reader {reader}"),
            format!("address {}", network(address)),
        ];
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |key: &String| held.get(key).copied().unwrap_or_default();
        let [reader, address] = &keys;
        if count(reader) >= PER_READER || count(address) >= PER_ADDRESS {
            return None;
        }
        for key in &keys {
            *held.entry(key.clone()).or_default() += 1;
        }
        Some(Self {
            keys,
            _one_of_all: one_of_all,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            if let Some(count) = held.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    held.remove(key);
                }
            }
        }
    }
}

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

/// Tells a browser of this reader at this address, that has a page with the digest `seen`, when `look` finds another. `look` yields the digest of the page
/// as it is now, or none where the session has ended: then the browser is told once more, and the stream ends.
pub fn events<F, L>(
    (reader, address): (&str, IpAddr),
    stopping: Option<Stopping>,
    seen: String,
    look: L,
) -> Response
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Option<String>> + Send,
{
    let Some(place) = Place::take(reader, address) else {
        let later = [(RETRY_AFTER, HeaderValue::from_static("60"))];
        return (StatusCode::SERVICE_UNAVAILABLE, later).into_response();
    };
    let (send, receive) = mpsc::channel::<&'static str>(2);
    tokio::spawn(async move {
        let _place = place;
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

    #[test]
    fn nobody_takes_the_places_of_others() {
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        let own: Vec<Place> = std::iter::from_fn(|| Place::take("eve", address(1))).collect();
        assert_eq!(own.len(), PER_READER);
        // Nor by many names at one address.
        let mut names = 0..;
        let many = std::iter::from_fn(|| {
            let name = format!("eve-{}", names.next()?);
            Place::take(&name, address(1))
        });
        let many: Vec<Place> = many.collect();
        assert_eq!(own.len() + many.len(), PER_ADDRESS);
        assert!(Place::take("bob", address(2)).is_some());
        assert!(Place::take("bob", address(1)).is_none());
        drop((own, many));
        assert!(Place::take("eve", address(1)).is_some());
        let left = HELD
            .lock()
            .unwrap()
            .keys()
            .any(|key| key.contains("192.0.2."));
        assert!(!left, "nothing is kept of who has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_hears_of_changes_and_of_the_end_of_its_session() {
        let looks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looks);
        let here = ("ada", IpAddr::from([127, 0, 0, 1]));
        let answer = events(here, None, "a".into(), move || {
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

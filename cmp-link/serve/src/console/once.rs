//! Forms that were sent: each does its deed once, however often it is sent. Browsers send a form again on a second click, and
//! on going back to it; what the first came to is the answer to all.

use super::Trouble;
use axum::http::StatusCode;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Most forms that are remembered.
const MOST: usize = 1024;

/// What a form came to: where its deed is shown.
type Outcome = Arc<OnceCell<String>>;

/// The latest forms that were sent, by the hash of their name. In memory: a form of before a restart is refused anyway where
/// the key of its token was another, and otherwise does what a repeated deed does.
#[derive(Debug, Default)]
pub struct Once(Mutex<VecDeque<(String, Outcome)>>);

impl Once {
    fn outcome(&self, key: String) -> Outcome {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, outcome)) = sent.iter().find(|(known, _)| *known == key) {
            return Arc::clone(outcome);
        }
        if sent.len() >= MOST {
            sent.pop_front();
        }
        let outcome = Outcome::default();
        sent.push_back((key, Arc::clone(&outcome)));
        outcome
    }

    /// What the form of this key came to, after `deed` was done if none has done it; a deed that failed may be tried again.
    /// It is done to its end even if the browser goes away: a second click ends the request of the first.
    ///
    /// # Errors
    /// That of the deed.
    pub async fn run(
        &self,
        key: String,
        deed: impl Future<Output = Result<String, Trouble>> + Send + 'static,
    ) -> Result<String, Trouble> {
        let outcome = self.outcome(key);
        let done = tokio::spawn(async move { outcome.get_or_try_init(|| deed).await.cloned() });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a deed of the console broke off");
            let text = "Something broke. See on the page of the subject whether it was done.";
            Err(Trouble::said(StatusCode::INTERNAL_SERVER_ERROR, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;
    use tokio::sync::Notify;

    fn key(text: &str) -> String {
        text.to_owned()
    }

    #[tokio::test]
    async fn a_form_that_is_sent_twice_at_once_does_its_deed_once() {
        let (once, done, go) = (Once::default(), Arc::default(), Arc::new(Notify::new()));
        let deed = |done: &Arc<AtomicUsize>| {
            let (done, go) = (Arc::clone(done), Arc::clone(&go));
            async move {
                go.notified().await;
                Ok(format!("/{}", done.fetch_add(1, Ordering::SeqCst)))
            }
        };
        go.notify_one();
        let (a, b) = tokio::join!(
            once.run(key("a"), deed(&done)),
            once.run(key("a"), deed(&done))
        );
        assert_eq!((a, b), (Ok(key("/0")), Ok(key("/0"))));
        go.notify_one();
        assert_eq!(once.run(key("b"), deed(&done)).await, Ok(key("/1")));
    }

    // A second click ends the request of the first.
    #[tokio::test]
    async fn a_deed_whose_request_ended_is_done_and_not_done_again() {
        let (once, go) = (Once::default(), Arc::new(Notify::new()));
        let waits = {
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                Ok(key("first"))
            }
        };
        let mut first = Box::pin(once.run(key("a"), waits));
        let is_waiting = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
        assert!(is_waiting);
        // It has begun before the request ends.
        tokio::task::yield_now().await;
        drop(first);
        go.notify_one();
        let second = once.run(key("a"), async { Ok(key("second")) }).await;
        assert_eq!(second, Ok(key("first")));
    }

    #[tokio::test]
    async fn a_deed_that_failed_is_tried_again_and_memory_is_bounded() {
        let once = Once::default();
        let failed = Err(Trouble::forbidden());
        assert!(once.run(key("a"), async { failed }).await.is_err());
        assert_eq!(
            once.run(key("a"), async { Ok(key("x")) }).await,
            Ok(key("x"))
        );
        for n in 0..MOST * 2 {
            once.run(n.to_string(), async { Ok(String::new()) })
                .await
                .unwrap();
        }
        assert_eq!(once.0.lock().unwrap().len(), MOST);
    }
}

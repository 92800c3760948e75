//! Decisions that wait for a transaction, of either database.

use crate::tx::{Broken, Tx};
use crate::{StoreError, Stored};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::oneshot;

/// How a decision ended on a transaction.
pub(crate) enum Ended {
    /// It can be committed, beside others. Whether it wrote something.
    Well(bool),
    /// It has written, and must not be committed.
    Badly,
    /// It failed, or the database did.
    Broken(Broken, StoreError),
}

/// A decision at work.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Ended> + 'a>>;

/// A decision that waits. It may be run several times.
pub(crate) trait Job: Send {
    /// Forgets what it yielded: that was about a state of the database which was never stored.
    fn forget(&mut self);
    /// Runs it, and keeps what it yields instead of what it yielded before.
    fn run<'a>(&'a mut self, tx: &'a Tx<'a>) -> Running<'a>;
    /// Answers whoever waits: what it yielded, or why it was not stored.
    fn answer(self: Box<Self>, stored: Stored<()>);
}

/// A decision as a function, and what lives as long as somebody waits for it.
pub(crate) struct Decide<F, T, E, L> {
    decide: F,
    result: Option<Result<T, E>>,
    /// One of its own statements failed, so its own error says why.
    broke: bool,
    answer: oneshot::Sender<Result<T, E>>,
    load: L,
}

impl<F, T, E, L> Decide<F, T, E, L> {
    pub(crate) fn new(decide: F, answer: oneshot::Sender<Result<T, E>>, load: L) -> Self {
        Self {
            decide,
            result: None,
            broke: false,
            answer,
            load,
        }
    }
}

impl<F, T, E, L> Job for Decide<F, T, E, L>
where
    F: for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
    L: Send,
{
    fn forget(&mut self) {
        self.result = None;
        self.broke = false;
    }

    fn run<'a>(&'a mut self, tx: &'a Tx<'a>) -> Running<'a> {
        self.forget();
        Box::pin(async move {
            let result = (self.decide)(tx).await;
            let refused = result.is_err();
            self.result = Some(result);
            match tx.broken() {
                Some((broken, error)) => {
                    self.broke = true;
                    Ended::Broken(broken, error)
                }
                None if refused && tx.wrote.get() => Ended::Badly,
                None => Ended::Well(tx.wrote.get()),
            }
        })
    }

    fn answer(self: Box<Self>, stored: Stored<()>) {
        let result = match (stored, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Failed("the decision was not made".into()).into()),
            // What it made of the failure of its statement says more than we can.
            (Err(_), Some(Err(own))) if self.broke => Err(own),
            (Err(error), _) => Err(error.into()),
        };
        drop(self.load);
        // Whoever asked may be gone; the decision stands.
        let _ = self.answer.send(result);
    }
}

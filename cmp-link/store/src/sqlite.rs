//! SQLite: one thread writes and commits many decisions at once, others read.

mod connection;
mod readers;
mod tx;
mod writer;

pub(crate) use connection::{File, begin, execute, store_error};
pub(crate) use readers::Readers;
pub(crate) use tx::{Prepared, SqliteTx, numbered};
pub(crate) use writer::Writer;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The result of a future that waits for nothing: all statements of SQLite are done when they return. A decision that
/// waits for something else would hold up every other one, so it is refused; that is a defect of the decision.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

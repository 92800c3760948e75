//! PostgreSQL: transactions in parallel, each a whole decision, repeated where the server asks for it.
//!
//! Nothing here needs the server to keep more than a transaction: no session state that matters, no advisory lock, no
//! notification. So engines that speak its protocol, and poolers that hand out a connection per transaction, will do.

mod burst;
mod line;
mod pool;
mod shared;
mod tls;
mod tx;
mod url;
mod wave;
mod worker;

pub(crate) use pool::Postgres;
pub(crate) use tx::PostgresTx;
pub(crate) use url::Server;

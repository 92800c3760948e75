//! The storage room of the servers. SQLite runs on one writer thread that commits many decisions at once; PostgreSQL
//! runs many transactions in parallel. Both take the same statements through one type, [`Tx`].
//!
//! Everything that changes goes through [`Store::change`]: a function loads what it needs and writes on one transaction,
//! and its answer is given when the transaction is on disk. The function may be called several times, since a whole
//! transaction is repeated where the database asks for it, so it has no effects besides its statements, and it waits for
//! nothing but them.
#![forbid(unsafe_code)]

mod counters;
mod error;
#[cfg(test)]
mod faults;
mod job;
mod location;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod store;
mod tx;
mod value;

pub use error::{StoreError, Stored};
pub use location::{Database, LocationError};
pub use migrate::{Schema, Sql, Step};
pub use row::Fields;
pub use store::{Options, Store};
pub use tx::{Engine, Statement, Tx};
pub use value::Value;

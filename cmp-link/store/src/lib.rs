//! What every server that keeps its state in a database needs: transactions that end whole or not at all.
#![forbid(unsafe_code)]

pub mod sqlite;
pub mod writer;

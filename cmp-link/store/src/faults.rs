//! Ends a test process at a chosen statement, as a power cut or `kill -9` does.

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// Statements until the end of the process; 0: it lives.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Kills this process at its n-th statement from now on, counted from 1.
pub(crate) fn kill_at(statement: u64) {
    LEFT.store(statement, Ordering::SeqCst);
}

/// A statement is about to run.
pub(crate) fn statement() {
    let left = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if left == Ok(1) {
        let process = std::process::id().to_string();
        let _ = Command::new("kill").args(["-9", &process]).status();
        // The signal is on its way.
        loop {
            std::thread::park();
        }
    }
}

/// Counts the statements of a connection of SQLite.
pub(crate) fn watch(connection: &Connection) {
    connection.trace_v2(
        TraceEventCodes::SQLITE_TRACE_STMT,
        Some(|event| {
            if let TraceEvent::Stmt(..) = event {
                statement();
            }
        }),
    );
}

#[path = "faults/tests.rs"]
mod tests;

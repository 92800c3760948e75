//! What the programs that keep their state in SQLite do in the same way, as SQL.
//! Called by the stores of aid-cmp, aid-msp and aid-smdp; each brings its own driver.

/// Grows the write-ahead log once, statement by statement, before a server serves.
///
/// With `synchronous = FULL` each commit waits until the log is on disk. Where that overwrites blocks
/// which the file system has allocated already, it takes about half as long as where the log grows.
pub const RESERVE_LOG: [&str; 4] = [
    "CREATE TABLE log_reserve (filler BLOB)",
    "INSERT INTO log_reserve VALUES (zeroblob(524288))",
    "DROP TABLE log_reserve",
    "PRAGMA wal_checkpoint(RESTART)",
];

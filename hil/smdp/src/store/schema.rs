//! The steps from an empty database to today's tables. The configuration names a file, so they are in SQLite's dialect.

use aid_store::{Schema, Sql, Step};

pub(super) static SCHEMA: Schema = Schema::new(&[
    Step {
        version: 1,
        name: "start",
        sql: Sql::Both(include_str!("../../migrations/0001_start.sql")),
    },
    Step {
        version: 2,
        name: "bytes",
        sql: Sql::Both(include_str!("../../migrations/0002_bytes.sql")),
    },
    Step {
        version: 10,
        name: "upkeep",
        sql: Sql::Both(include_str!("../../migrations/0010_upkeep.sql")),
    },
    Step {
        version: 11,
        name: "orders",
        sql: Sql::Both(include_str!("../../migrations/0011_orders.sql")),
    },
    Step {
        version: 12,
        name: "sessions",
        sql: Sql::Both(include_str!("../../migrations/0012_sessions.sql")),
    },
    Step {
        version: 13,
        name: "made",
        sql: Sql::Both(include_str!("../../migrations/0013_made.sql")),
    },
    Step {
        version: 14,
        name: "progress",
        sql: Sql::Both(include_str!("../../migrations/0014_progress.sql")),
    },
])
.by_index();

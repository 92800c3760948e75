//! The steps from an empty database to today's tables.

use aid_store::{Schema, Sql, Step};

/// The tables of the CMP.
pub(super) static SCHEMA: Schema = Schema::new(&[
    step(1, "start", include_str!("../../migrations/0001_start.sql")),
    step(
        10,
        "phone iv",
        include_str!("../../migrations/0010_phone_iv.sql"),
    ),
    step(20, "work", include_str!("../../migrations/0020_work.sql")),
    step(
        30,
        "vehicle",
        include_str!("../../migrations/0030_vehicle.sql"),
    ),
    step(
        31,
        "retired",
        include_str!("../../migrations/0031_retired.sql"),
    ),
    step(
        40,
        "portal",
        include_str!("../../migrations/0040_portal.sql"),
    ),
    step(
        50,
        "correlation",
        include_str!("../../migrations/0050_correlation.sql"),
    ),
    Step {
        version: 60,
        name: "ids",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0060_ids.sqlite.sql"),
            postgres: include_str!("../../migrations/0060_ids.postgres.sql"),
        },
    },
    Step {
        version: 61,
        name: "bound",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0061_bound.sqlite.sql"),
            postgres: include_str!("../../migrations/0061_bound.postgres.sql"),
        },
    },
    step(
        65,
        "upkeep",
        include_str!("../../migrations/0065_upkeep.sql"),
    ),
    Step {
        version: 66,
        name: "attempts",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0066_attempts.sqlite.sql"),
            postgres: include_str!("../../migrations/0066_attempts.postgres.sql"),
        },
    },
])
.by_index();

/// A step that is the same for both databases.
const fn step(version: i64, name: &'static str, sql: &'static str) -> Step {
    Step {
        version,
        name,
        sql: Sql::Both(sql),
    }
}

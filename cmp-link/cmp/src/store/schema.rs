//! The steps from an empty database to today's tables.

use aid_store::{Schema, Sql, Step};

/// The tables of the CMP.
pub(super) static SCHEMA: Schema = Schema::new(STEPS).by_index();

/// All steps. Those from 62 on leave a running instance of an earlier version working (docs/operations.md).
const STEPS: &[Step] = &[
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
    Step {
        version: 70,
        name: "sessions",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0070_sessions.sqlite.sql"),
            postgres: include_str!("../../migrations/0070_sessions.postgres.sql"),
        },
    },
    Step {
        version: 80,
        name: "deviations",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0080_deviations.sqlite.sql"),
            postgres: include_str!("../../migrations/0080_deviations.postgres.sql"),
        },
    },
    Step {
        version: 81,
        name: "hello",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0081_hello.sqlite.sql"),
            postgres: include_str!("../../migrations/0081_hello.postgres.sql"),
        },
    },
    Step {
        version: 82,
        name: "pages",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0082_pages.sqlite.sql"),
            postgres: include_str!("../../migrations/0082_pages.postgres.sql"),
        },
    },
    Step {
        version: 85,
        name: "presence",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0085_presence.sqlite.sql"),
            postgres: include_str!("../../migrations/0085_presence.postgres.sql"),
        },
    },
    Step {
        version: 86,
        name: "desk",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0086_desk.sqlite.sql"),
            postgres: include_str!("../../migrations/0086_desk.postgres.sql"),
        },
    },
    step(87, "lanes", include_str!("../../migrations/0087_lanes.sql")),
    Step {
        version: 90,
        name: "verifier",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0090_verifier.sqlite.sql"),
            postgres: include_str!("../../migrations/0090_verifier.postgres.sql"),
        },
    },
    Step {
        version: 93,
        name: "certificates",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/0093_certificates.sqlite.sql"),
            postgres: include_str!("../../migrations/0093_certificates.postgres.sql"),
        },
    },
];

/// A step that is the same for both databases.
const fn step(version: i64, name: &'static str, sql: &'static str) -> Step {
    Step {
        version,
        name,
        sql: Sql::Both(sql),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an instance that does not know of the statement serves on with it.
    fn only_adds(statement: &str) -> bool {
        let words: Vec<&str> = statement.split_whitespace().collect();
        match words.as_slice() {
            ["CREATE", "TABLE" | "INDEX", ..] | ["DROP", "INDEX", ..] => true,
            ["ALTER", "TABLE", _, "ADD", "COLUMN", _, rest @ ..] => {
                let rest = rest.join(" ");
                !rest.contains("NOT NULL") || rest.contains("DEFAULT")
            }
            // The texts stay what they are. A plan that an instance has prepared fails once (docs/operations.md).
            [
                "ALTER",
                "TABLE",
                _,
                "ALTER",
                "COLUMN",
                _,
                "TYPE",
                "TEXT",
                "COLLATE",
                _,
            ] => true,
            words => words.is_empty(),
        }
    }

    /// The statements of a step, for each database, without comments.
    fn statements(step: &Step) -> Vec<Vec<String>> {
        let texts = match step.sql {
            Sql::Both(text) => vec![text],
            Sql::Each { sqlite, postgres } => vec![sqlite, postgres],
        };
        let text = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split("--").next().unwrap_or_default());
            lines.collect::<Vec<_>>().join(" ")
        };
        let list = |text: String| text.split(';').map(|s| s.trim().to_owned()).collect();
        texts.into_iter().map(text).map(list).collect()
    }

    /// What comes after an index was removed in a step and is not the removal of another.
    fn after_a_removal(statements: &[String]) -> Option<&String> {
        let removes = |s: &&String| s.starts_with("DROP INDEX");
        let mut rest = statements.iter().skip_while(|s| !removes(s));
        rest.find(|s| !removes(s) && !s.is_empty())
    }

    // Removing an index locks its table on PostgreSQL until the step ends: that is short where it comes last.
    #[test]
    fn steps_remove_indexes_last() {
        let mut removals = 0;
        for step in STEPS.iter().filter(|step| step.version > 61) {
            for statements in statements(step) {
                let after = after_a_removal(&statements);
                assert_eq!(after, None, "step {} ({})", step.version, step.name);
                let dropped = statements.iter().filter(|s| s.starts_with("DROP INDEX"));
                removals += dropped.count();
            }
        }
        assert!(removals > 0);
        let wrong = ["DROP INDEX a", "CREATE INDEX b ON t (c)", "DROP INDEX c"];
        assert!(after_a_removal(&wrong.map(str::to_owned)).is_some());
    }

    #[test]
    fn steps_since_the_first_release_only_add() {
        for step in STEPS.iter().filter(|step| step.version > 61) {
            for statements in statements(step) {
                for statement in &statements {
                    assert!(
                        only_adds(statement),
                        "step {} ({}): an instance of an earlier version may not work with {statement:?}; \
                         where that must be, say in docs/operations.md that all instances are stopped for it",
                        step.version,
                        step.name
                    );
                }
            }
        }
        for breaking in [
            "ALTER TABLE vehicle DROP COLUMN vin",
            "ALTER TABLE vehicle ADD COLUMN a TEXT NOT NULL",
            "ALTER TABLE vehicle ALTER COLUMN session TYPE UUID",
            "DROP TABLE hold",
            "CREATE UNIQUE INDEX a ON hold (since)",
        ] {
            assert!(!only_adds(breaking), "{breaking}");
        }
    }
}

//! The meter: calls of each pair, operation and day.

use std::collections::BTreeMap;

use aid_store::{Fields, Tx, params};
use serde::Serialize;

use super::{Store, Stored};
use crate::core::operation::Operation;
use crate::core::pair::PairId;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MeterKey {
    /// Day in UTC, such as `2026-11-30`.
    pub(crate) day: String,
    pub(crate) pair: PairId,
    pub(crate) sandbox: bool,
    pub(crate) operation: Operation,
}

/// Counts of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Calls that were let in and routed.
    pub(crate) calls: u64,
    /// Those answered with 4xx.
    pub(crate) refused: u64,
    /// Those answered with 5xx.
    pub(crate) failed: u64,
    /// Those that the hub has accepted for a target that was away.
    pub(crate) kept: u64,
    /// Those of them that it has delivered.
    pub(crate) delivered: u64,
}

/// Counts that were not stored yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter(BTreeMap<MeterKey, Counts>);

impl Meter {
    /// Counts something of a key.
    #[must_use]
    pub(crate) fn one(key: MeterKey, count: impl FnOnce(&mut Counts)) -> Self {
        let mut counts = Counts::default();
        count(&mut counts);
        if counts == Counts::default() {
            return Self::default();
        }
        Self(BTreeMap::from([(key, counts)]))
    }

    /// Adds the counts of another.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, more) in other.0 {
            let counts = self.0.entry(key).or_default();
            counts.calls += more.calls;
            counts.refused += more.refused;
            counts.failed += more.failed;
            counts.kept += more.kept;
            counts.delivered += more.delivered;
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A line of the meter.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MeterRow {
    pub(crate) day: String,
    pub(crate) pair: String,
    /// `live` or `sandbox`
    pub(crate) environment: String,
    /// `operationId`
    pub(crate) operation: String,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Which lines are wanted; days are inclusive.
#[derive(Clone, Debug)]
pub(crate) struct MeterFilter {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) pair: Option<PairId>,
}

pub(super) async fn add(tx: &Tx<'_>, meter: &Meter) -> Stored<()> {
    for (key, counts) in &meter.0 {
        let sql = "INSERT INTO meter (day, pair, environment, operation, calls, refused, failed, kept, delivered) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                   ON CONFLICT (day, pair, environment, operation) DO UPDATE SET calls = meter.calls + excluded.calls, \
                   refused = meter.refused + excluded.refused, failed = meter.failed + excluded.failed, \
                   kept = meter.kept + excluded.kept, delivered = meter.delivered + excluded.delivered";
        let values = params![
            key.day.as_str(),
            key.pair.to_string(),
            if key.sandbox { "sandbox" } else { "live" },
            key.operation.contract().id,
            counts.calls,
            counts.refused,
            counts.failed,
            counts.kept,
            counts.delivered,
        ];
        tx.run(sql, values).await?;
    }
    Ok(())
}

fn read(row: &mut Fields<'_>) -> Stored<MeterRow> {
    Ok(MeterRow {
        day: row.text()?,
        pair: row.text()?,
        environment: row.text()?,
        operation: row.text()?,
        counts: Counts {
            calls: row.number()?,
            refused: row.number()?,
            failed: row.number()?,
            kept: row.number()?,
            delivered: row.number()?,
        },
    })
}

impl Store {
    /// The lines of some days, in the order of day, pair, environment and operation.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn meter(&self, filter: MeterFilter) -> Stored<Vec<MeterRow>> {
        let look = async move |tx: &Tx<'_>| {
            let sql = "SELECT day, pair, environment, operation, calls, refused, failed, kept, delivered FROM meter \
                       WHERE day >= $1 AND day <= $2 AND ($3 = '' OR pair = $3) \
                       ORDER BY day, pair, environment, operation";
            let pair = filter.pair.map(|pair| pair.to_string()).unwrap_or_default();
            tx.all(sql, params![filter.from, filter.to, pair], read)
                .await
        };
        self.0.read(look).await
    }
}

//! `aid-hub audit` and `aid-hub meter`.

use std::io::Write as _;

use aid_cli::cli::Failure;
use serde_json::Value;

use super::args::MeterArgs;
use crate::core::pair::PairId;
use crate::shown;
use crate::store::{MeterFilter, MeterRow, Store};

/// The names of the columns of the meter.
const COLUMNS: &str = "day,pair,environment,operation,calls,refused,failed,kept,delivered";

pub(super) async fn audit(
    store: &Store,
    since: Option<i64>,
    limit: u16,
) -> Result<Vec<Value>, Failure> {
    let rows = store
        .audit(since.unwrap_or_default(), i64::from(limit))
        .await?;
    Ok(rows.iter().map(shown::audit).collect())
}

async fn rows(store: &Store, args: MeterArgs) -> Result<Vec<MeterRow>, Failure> {
    let filter = MeterFilter {
        from: args.from.unwrap_or_default(),
        // Later than any day.
        to: args.to.unwrap_or_else(|| "9".into()),
        pair: args.pair.map(|text| text.parse::<PairId>()).transpose()?,
    };
    Ok(store.meter(filter).await?)
}

pub(super) async fn meter(store: &Store, args: MeterArgs) -> Result<Vec<Value>, Failure> {
    let rows = rows(store, args).await?;
    let rows = rows.iter().map(serde_json::to_value);
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Prints the meter as CSV. Its line ends are those of RFC 4180, which `cli::print` would make visible.
pub(super) async fn csv(store: &Store, args: MeterArgs) -> Result<(), Failure> {
    let text = lines(&rows(store, args).await?);
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|e| Failure::new(format!("cannot write to stdout: {e}")))
}

/// No value has a comma, a quote or a line break: they are days, client-ids, words and numbers.
fn lines(rows: &[MeterRow]) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    for row in rows {
        let counts = row.counts;
        let numbers = [
            counts.calls,
            counts.refused,
            counts.failed,
            counts.kept,
            counts.delivered,
        ];
        let mut fields = vec![
            row.day.clone(),
            row.pair.clone(),
            row.environment.clone(),
            row.operation.clone(),
        ];
        fields.extend(numbers.map(|number| number.to_string()));
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

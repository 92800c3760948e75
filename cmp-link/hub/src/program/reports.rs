//! `aid-hub audit` and `aid-hub meter`.

use std::io::Write as _;

use aid_cli::cli::Failure;
use serde_json::Value;

use super::args::MeterArgs;
use super::show;
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

pub(super) async fn meter(store: &Store, args: MeterArgs, json: bool) -> Result<(), Failure> {
    let filter = MeterFilter {
        from: args.from.unwrap_or_default(),
        // Later than any day.
        to: args.to.unwrap_or_else(|| "9".into()),
        pair: args.pair.map(|text| text.parse::<PairId>()).transpose()?,
    };
    let rows = store.meter(filter).await?;
    if args.csv {
        // Its line ends are those of RFC 4180, which `cli::print` would make visible.
        return std::io::stdout()
            .write_all(csv(&rows).as_bytes())
            .map_err(|e| Failure::new(format!("cannot write to stdout: {e}")));
    }
    let rows = rows.iter().map(serde_json::to_value);
    show(&rows.collect::<Result<Vec<_>, _>>()?, json)
}

/// No value has a comma, a quote or a line break: they are days, client-ids, words and numbers.
fn csv(rows: &[MeterRow]) -> String {
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

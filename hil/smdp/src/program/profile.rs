//! `aid-smdp profile keys`: what the operator's network needs to know of profiles that were made from a template.

use super::{ConfigFile, open};
use aid_cli::cli::{self, Failure};
use aid_cli::private;
use aid_cli::table::Reader;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// ICCID, IMSI, keys and codes of profiles that were made from a template. Secret.
    Keys(KeysArgs),
}

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Only the profiles of this template.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// Only this profile.
    #[arg(long)]
    iccid: Option<String>,
    /// Write to this file, which only its owner can read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON array instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: ProfileCommand) -> Result<(), Failure> {
    match command {
        ProfileCommand::Keys(args) => keys(args).await,
    }
}

async fn keys(args: KeysArgs) -> Result<(), Failure> {
    let (_, store) = open(&args.file).await?;
    let made = store.all_made().await;
    store.close().await;
    let mut made = made?;
    made.retain(|m| {
        args.template.as_deref().is_none_or(|t| t == m.template)
            && args.iccid.as_deref().is_none_or(|i| i == m.stock.iccid)
    });
    let rows = made.iter().map(|m| {
        let mut row = json!(m.secrets);
        row["iccid"] = json!(m.stock.iccid);
        row["template"] = json!(m.template);
        row
    });
    let rows: Vec<Value> = rows.collect();
    let text = if args.json {
        format!("{}\n", Value::from(rows))
    } else {
        Reader::here().table(
            &["iccid", "imsi", "algorithm", "k", "opc"],
            false,
            &rows,
            true,
        )
    };
    match &args.out {
        None => cli::print(&text),
        Some(file) => private::write(file, text.as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", file.display()))),
    }
}

//! `aid-smdp profile keys`: what the operator's network needs to know of profiles that were made from a template.

use super::table::table;
use super::{ConfigFile, open};
use aid_cli::cli::{self, Failure};
use aid_cli::private;
use clap::{Args, Subcommand};
use serde_json::json;
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
    let text = if args.json {
        let list = made.iter().map(|m| {
            let mut view = json!(m.secrets);
            view["iccid"] = json!(m.stock.iccid);
            view["template"] = json!(m.template);
            view
        });
        format!("{}\n", json!(list.collect::<Vec<_>>()))
    } else {
        let rows: Vec<Vec<String>> = made
            .into_iter()
            .map(|m| {
                let s = m.secrets;
                let algorithm = format!("{:?}", s.algorithm);
                vec![
                    m.stock.iccid,
                    s.imsi,
                    algorithm,
                    s.k,
                    s.opc,
                    s.pin,
                    s.puk,
                    s.pin2,
                    s.puk2,
                    s.adm1,
                    m.template,
                ]
            })
            .collect();
        let headings = [
            "ICCID",
            "IMSI",
            "ALGORITHM",
            "K",
            "OPC/TOPC",
            "PIN",
            "PUK",
            "PIN2",
            "PUK2",
            "ADM1",
            "TEMPLATE",
        ];
        table(&headings, &rows)
    };
    match &args.out {
        None => cli::print(&text),
        Some(file) => private::write(file, text.as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", file.display()))),
    }
}

//! `aid-smdp profile keys`: what the operator's network needs to know of profiles that were made from a template.

use super::{ConfigFile, open};
use crate::store::{Keys, KeysPlace, Which};
use aid_cli::cli::Failure;
use aid_cli::list::{List, Listed, PageArgs};
use aid_cli::private;
use aid_cli::table::Reader;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Columns that come first.
const COLUMNS: [&str; 5] = ["iccid", "imsi", "algorithm", "k", "opc"];
/// Profiles that are read at once.
const PART: u32 = 500;

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
    #[arg(long, value_name = "NAME", conflicts_with = "iccid")]
    template: Option<String>,
    /// Only this profile.
    #[arg(long)]
    iccid: Option<String>,
    /// Write to this file, which only its owner can read, instead of standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["limit", "after"])]
    out: Option<PathBuf>,
    #[command(flatten)]
    page: PageArgs,
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
    let which = match (args.template, args.iccid) {
        (Some(template), _) => Which::Template(template),
        (None, Some(iccid)) => Which::Iccid(iccid),
        (None, None) => Which::All,
    };
    let read = async |after: Option<String>, limit| {
        let after = after.map(|place| place.parse().map_err(Failure::usage));
        let after: KeysPlace = after.transpose()?.unwrap_or_default();
        let part = store.keys_after(which.clone(), after, limit).await?;
        Ok::<_, Failure>(part.into_iter().map(listed).collect())
    };
    let done = match &args.out {
        None => List::new(&COLUMNS, args.json).paged(&args.page, read).await,
        Some(file) => write(file, args.json, read).await,
    };
    store.close().await;
    done
}

fn listed((place, keys): (KeysPlace, Keys)) -> Listed {
    let mut row = json!(keys.secrets);
    row["iccid"] = json!(keys.iccid);
    row["template"] = json!(keys.template);
    (place.to_string(), Some(row))
}

/// Opens a file for secrets, empty, which only its owner can read.
fn create(file: &Path) -> io::Result<File> {
    let mut options = private::options();
    let out = options.write(true).create(true).truncate(false);
    let out = out.open(file)?;
    private::tighten(file, &out);
    let metadata = out.metadata()?;
    // A pipe has no length, and its owner's mode.
    if metadata.is_file() {
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("others can read it"));
        }
        out.set_len(0)?;
    }
    Ok(out)
}

/// Writes all rows into a file, a part at a time: how many there are costs no memory. The first part is read before the
/// file is touched.
async fn write(
    file: &Path,
    json: bool,
    read: impl AsyncFn(Option<String>, u32) -> Result<Vec<Listed>, Failure>,
) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::new(format!("cannot write {}: {e}", file.display()));
    let mut part = read(None, PART).await?;
    let mut out = BufWriter::new(create(file).map_err(failed)?);
    let mut is_first = true;
    loop {
        let is_last = part.len() < PART as usize;
        let after = part.last().map(|(place, _)| place.clone());
        let rows: Vec<Value> = part.into_iter().filter_map(|(_, row)| row).collect();
        let text = match json {
            true => rows
                .iter()
                .enumerate()
                .fold(String::new(), |text, (n, row)| {
                    let between = if is_first && n == 0 { "[" } else { ",\n" };
                    text + between + &row.to_string()
                }),
            false if rows.is_empty() => String::new(),
            false => Reader::here().table(&COLUMNS, false, &rows, is_first),
        };
        out.write_all(text.as_bytes()).map_err(failed)?;
        is_first = is_first && rows.is_empty();
        if is_last {
            break;
        }
        part = read(after, PART).await?;
    }
    let end: &[u8] = match (json, is_first) {
        (true, true) => b"[]\n",
        (true, false) => b"]\n",
        (false, _) => b"",
    };
    out.write_all(end)
        .and_then(|()| out.flush())
        .map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
mod tests {
    use super::*;

    /// A list of so many rows, read in parts.
    async fn written(file: &Path, count: u32, json: bool) -> String {
        let read = async |after: Option<String>, limit: u32| {
            let from = after.map_or(0, |place| place.parse::<u32>().unwrap() + 1);
            let row = |n: u32| (n.to_string(), Some(json!({"iccid": n.to_string()})));
            Ok((from..count.min(from + limit)).map(row).collect())
        };
        write(file, json, read).await.unwrap();
        std::fs::read_to_string(file).unwrap()
    }

    #[tokio::test]
    async fn a_file_of_many_parts_has_every_row_once_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "x".repeat(1 << 20)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        for count in [0, 1, PART, PART * 2 + 3] {
            let text = written(&file, count, true).await;
            let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
            let iccids: Vec<&str> = rows.iter().filter_map(|r| r["iccid"].as_str()).collect();
            let all: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            assert_eq!(iccids, all);
            let lines = written(&file, count, false).await.lines().count();
            let headings = usize::from(count > 0);
            assert_eq!(lines, count as usize + headings);
        }
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

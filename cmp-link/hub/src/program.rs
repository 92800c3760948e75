//! The program `aid-hub`: its command line and its start.

mod args;
mod calls;
mod pairs;
mod parties;
mod renewal;
mod reports;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use aid_cli::cli::{self, Failure, block_on, block_on_all_cores};
use aid_cli::irreversible::Irreversible;
use aid_cli::list::{self, List};
use aid_cli::printable::printable;
use serde_json::{Value, json};

use crate::config::{Config, EXAMPLE};
use crate::store::{Edit, Store};
use args::{Args, Command};

pub(crate) use parties::add as add_party;

/// Runs the program with these arguments, the first being its name.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aid-hub", args, start)
}

fn start(args: Args) -> Result<(), Failure> {
    if let Command::ExampleConfig = args.command {
        let row = json!({"config": EXAMPLE});
        return cli::say(EXAMPLE.trim_end(), row, args.json);
    }
    let path = aid_cli::config::find(args.config.as_deref(), "hub")?;
    let config = Config::read(&path)?;
    match args.command {
        Command::CheckConfig => {
            serve::check(&path, &config)?;
            let path = path.display().to_string();
            let row = json!({"config": path, "usable": true});
            cli::say(&format!("{} is valid", printable(&path)), row, args.json)
        }
        Command::Serve => {
            block_on_all_cores(async move { Box::pin(serve::serve(&path, &config)).await })
        }
        Command::Backup { to } => block_on(async move {
            Store::copy(&config.database, &to).await?;
            let shown = to.display().to_string();
            let row = json!({"backup": shown});
            let text = format!("{} is a copy of the database", printable(&shown));
            cli::say(&text, row, args.json)
        }),
        other => block_on(async move {
            let store = Store::open(&config.database).await?;
            let done = Box::pin(administer(&store, other, args.json, args.irreversible)).await;
            store.close().await;
            done
        }),
    }
}

/// Does what a command says, and prints what there is to show.
async fn administer(
    store: &Store,
    command: Command,
    json: bool,
    irreversible: Irreversible,
) -> Result<(), Failure> {
    let columns = command.columns();
    let rows = match command {
        Command::Migrate => {
            let row = json!({"migrated": true});
            return cli::say("the database is up to date", row, json);
        }
        Command::Party(action) => parties::act(store, action, irreversible).await?,
        Command::Pair(action) => pairs::act(store, action, irreversible).await?,
        Command::Call(action) => calls::act(store, action, irreversible).await?,
        Command::Audit(args) => reports::audit(store, args.since, args.limit).await?,
        Command::Meter(args) if args.csv => return reports::csv(store, args).await,
        Command::Meter(args) => reports::meter(store, args).await?,
        Command::Serve | Command::Backup { .. } | Command::CheckConfig | Command::ExampleConfig => {
            Vec::new()
        }
    };
    show(columns, rows, json)
}

/// Prints rows: JSON for scripts; on a terminal one row as a card, and a list as a table of its columns.
fn show(columns: Option<&[&str]>, mut rows: Vec<Value>, json: bool) -> Result<(), Failure> {
    let Some(columns) = columns else {
        return match (rows.pop(), rows.is_empty()) {
            (Some(one), true) => list::show(one, json),
            (last, _) => {
                rows.extend(last);
                list::show_all(&[], rows, json)
            }
        };
    };
    let mut list = List::new(columns, json).only_columns();
    list.print(rows)?;
    list.end()
}

/// A change that somebody at the command line makes.
fn by_operator(action: &'static str, subject: impl Into<String>, reason: Option<String>) -> Edit {
    Edit {
        actor: "operator".into(),
        action,
        subject: subject.into(),
        reason: reason.unwrap_or_default(),
        at: crate::hub::now_ms(),
    }
}

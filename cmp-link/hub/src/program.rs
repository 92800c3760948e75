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
        other => block_on(async move {
            let store = Store::open(&config.database).await?;
            let done = Box::pin(administer(&store, other, args.json)).await;
            store.close().await;
            done
        }),
    }
}

/// Does what a command says, and prints what there is to show.
async fn administer(store: &Store, command: Command, json: bool) -> Result<(), Failure> {
    let rows = match command {
        Command::Migrate => {
            let row = json!({"migrated": true});
            return cli::say("the database is up to date", row, json);
        }
        Command::Party(action) => parties::act(store, action).await?,
        Command::Pair(action) => pairs::act(store, action).await?,
        Command::Call(action) => calls::act(store, action).await?,
        Command::Audit(args) => reports::audit(store, args.since, args.limit).await?,
        Command::Meter(args) => return reports::meter(store, args, json).await,
        Command::Serve | Command::CheckConfig | Command::ExampleConfig => Vec::new(),
    };
    show(&rows, json)
}

/// Prints rows: a list of them as JSON, or a line for each.
fn show(rows: &[Value], json: bool) -> Result<(), Failure> {
    if json {
        return cli::print(&format!("{}\n", Value::from(rows)));
    }
    let mut text = String::new();
    for row in rows {
        let members = row.as_object().into_iter().flatten();
        let words = members.filter_map(|(name, value)| {
            let value = match value {
                Value::Null => return None,
                Value::Array(list) if list.is_empty() => return None,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some(format!("{name}={value}"))
        });
        let words: Vec<_> = words.collect();
        text.push_str(&printable(&words.join("  ")));
        text.push('\n');
    }
    cli::print(&text)
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

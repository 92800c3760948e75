//! The program `aid-msp`: its command line and its start.

mod args;
mod renewal;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use aid_cli::cli::{self, Failure, block_on};
use aid_cli::hidden;
use aid_cli::printable::printable;
use serde_json::{Value, json};

use crate::admin;
use crate::config::{Config, EXAMPLE};
use crate::misbehave::Wish;
use crate::msp::Msp;
use crate::store::{Store, Target};
use args::{
    Args, CmpAction, Command, CustomerAction, List, MisbehaveAction, OutboxAction, ProfileAction,
    SubscriptionAction,
};

/// Runs the program with these arguments, the first being its name.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aid-msp", args, start)
}

fn start(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::ExampleConfig => {
            let row = json!({"config": EXAMPLE});
            return cli::say(EXAMPLE.trim_end(), row, args.json);
        }
        Command::HashPassword => {
            let hash = admin::hash_password(&from_stdin()?)?;
            return cli::print(&format!("{hash}\n"));
        }
        _ => {}
    }
    let path = aid_cli::config::find(args.config.as_deref(), "msp")?;
    let config = Config::read(&path)?;
    block_on(async move {
        match args.command {
            Command::CheckConfig => {
                serve::check(&path, &config)?;
                let path = path.display().to_string();
                let row = json!({"config": path, "usable": true});
                cli::say(&format!("{} is valid", printable(&path)), row, args.json)
            }
            Command::Serve => Box::pin(serve::serve(&path, &config)).await,
            Command::Migrate => {
                Store::open(&config.database).await?.close().await;
                let row = json!({"migrated": true});
                cli::say("the database is up to date", row, args.json)
            }
            other => {
                let (value, is_list) = Box::pin(administer(&config, other)).await?;
                show(&value, args.json || !is_list)
            }
        }
    })
}

/// A password that is typed at the terminal, or piped into standard input.
fn from_stdin() -> Result<String, Failure> {
    hidden::secret("password: ")
        .map_err(|e| Failure::new(format!("cannot read the password from stdin: {e}")))
}

/// Does what a command says; yields its JSON, and whether it is a list.
async fn administer(config: &Config, command: Command) -> Result<(Value, bool), Failure> {
    let msp = Msp::open(config).await?;
    let msp = &msp;
    let list = |value: Value| (value, true);
    let result = match command {
        Command::Status(List::List) => list(admin::statuses(msp).await?),
        Command::User(List::List) => list(admin::users(msp).await?),
        Command::Order(List::List) => list(admin::orders(msp).await?),
        Command::Progress(List::List) => list(admin::progress(msp).await?),
        Command::Audit(List::List) => list(admin::audits(msp).await?),
        Command::Cmp(action) => match action {
            CmpAction::List => list(admin::cmps(msp)),
            CmpAction::RotateKey { cmp, only } => {
                (admin::rotate_key(msp, &cmp, only).await?, false)
            }
        },
        Command::Customer(action) => match action {
            CustomerAction::List => list(admin::users(msp).await?),
            CustomerAction::Add { user } => (
                admin::add_customer(msp, &user, &from_stdin()?).await?,
                false,
            ),
        },
        Command::Subscription(SubscriptionAction::List) => list(admin::subscriptions(msp).await?),
        Command::Subscription(action) => (subscription(msp, action).await?, false),
        Command::Profile(ProfileAction::List) => list(admin::profiles(msp).await?),
        Command::Profile(action) => (profile(msp, action).await?, false),
        Command::Outbox(action) => match action {
            OutboxAction::List => list(admin::outbox(msp).await?),
            OutboxAction::Retry { id } => (admin::put_outbox(msp, id, None).await?, false),
            OutboxAction::Drop { id, reason } => {
                (admin::put_outbox(msp, id, Some(&reason)).await?, false)
            }
        },
        Command::Withdraw { who, reason } => {
            let (target, cmp) = (Target::User(who.user), who.cmp.as_deref());
            (
                admin::withdraw(msp, target, cmp, reason.as_deref()).await?,
                false,
            )
        }
        Command::Update { who } => {
            let (target, cmp) = (Target::User(who.user), who.cmp.as_deref());
            (admin::update(msp, target, cmp).await?, false)
        }
        Command::Misbehave(action) => misbehave(msp, action).await?,
        Command::Serve
        | Command::ExampleConfig
        | Command::HashPassword
        | Command::CheckConfig
        | Command::Migrate => (Value::Null, false),
    };
    msp.store.close().await;
    Ok(result)
}

async fn subscription(msp: &Msp, action: SubscriptionAction) -> Result<Value, Failure> {
    match action {
        SubscriptionAction::List => admin::subscriptions(msp).await,
        SubscriptionAction::Add(new) => admin::add_subscription(msp, &(*new).into()).await,
        SubscriptionAction::Update { id, change } => {
            admin::update_subscription(msp, &id, change).await
        }
        SubscriptionAction::Suspend { id, reason } => {
            admin::block(msp, &id, true, reason.as_deref()).await
        }
        SubscriptionAction::Resume { id, reason } => {
            admin::block(msp, &id, false, reason.as_deref()).await
        }
        SubscriptionAction::Withdraw { id, cmp, reason } => {
            let target = Target::Subscription(id);
            admin::withdraw(msp, target, cmp.as_deref(), reason.as_deref()).await
        }
        SubscriptionAction::End { id, reason } => {
            admin::end_subscription(msp, &id, reason.as_deref()).await
        }
    }
}

async fn profile(msp: &Msp, action: ProfileAction) -> Result<Value, Failure> {
    let (word, fate) = match action {
        ProfileAction::List => return admin::profiles(msp).await,
        ProfileAction::Inform {
            iccid,
            status,
            reason,
        } => return admin::inform(msp, &iccid, status, reason.as_deref()).await,
        ProfileAction::Defect(fate) => ("defect", fate),
        ProfileAction::Suspend(fate) => ("suspend", fate),
        ProfileAction::Resume(fate) => ("resume", fate),
    };
    admin::fate(msp, &fate.iccid, word, fate.reason.as_deref()).await
}

async fn misbehave(msp: &Msp, action: MisbehaveAction) -> Result<(Value, bool), Failure> {
    Ok(match action {
        MisbehaveAction::Names => (admin::misbehaviours(), true),
        MisbehaveAction::List => (admin::rules(msp).await?, true),
        MisbehaveAction::Set(args) => {
            let rule = admin::add_rule(msp, Wish::from(*args)).await?;
            (Value::from(vec![rule]), false)
        }
        MisbehaveAction::Clear { id } => (admin::clear_rules(msp, id).await?, false),
        MisbehaveAction::Events { after } => (admin::events(msp, after).await?, true),
    })
}

/// Prints a list: JSON, or a line for each item.
fn show(value: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return cli::print(&format!("{value}\n"));
    }
    let mut text = String::new();
    for item in value.as_array().into_iter().flatten() {
        let members = item.as_object().into_iter().flatten();
        let words: Vec<_> = members
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                format!("{name}={value}")
            })
            .collect();
        text.push_str(&printable(&words.join("  ")));
        text.push('\n');
    }
    cli::print(&text)
}

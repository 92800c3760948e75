//! The program `aid-msp`: its command line and its start.

mod args;
mod renewal;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use aid_cli::cli::{self, Failure, block_on};
use aid_cli::hidden;
use aid_cli::list::{Listed, PageArgs, show_all};
use aid_cli::printable::printable;
use aid_cli::time::millis_to_text;
use serde_json::{Value, json};

use crate::admin::{self, List, Refusal};
use crate::config::{Config, EXAMPLE};
use crate::core::desk::By;
use crate::misbehave::Wish;
use crate::msp::Msp;
use crate::store::{Page, Place, Store, Target};
use args::{
    Args, CmpAction, Command, CustomerAction, ListAction, MemberAction, MisbehaveAction,
    OutboxAction, ProfileAction, SubscriptionAction,
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
                let msp = Msp::open(&config).await?;
                let done = Box::pin(administer(&msp, other, args.json)).await;
                msp.store.close().await;
                done
            }
        }
    })
}

/// A password that is typed at the terminal, or piped into standard input.
fn from_stdin() -> Result<String, Failure> {
    hidden::secret("password: ")
        .map_err(|e| Failure::new(format!("cannot read the password from stdin: {e}")))
}

/// Does what a command says, and prints what came of it.
async fn administer(msp: &Msp, command: Command, json: bool) -> Result<(), Failure> {
    let done = match command {
        Command::Status(ListAction::List(page)) => {
            return list(msp, List::Statuses, &page, json).await;
        }
        Command::User(ListAction::List(page)) | Command::Customer(CustomerAction::List(page)) => {
            return list(msp, List::Customers, &page, json).await;
        }
        Command::Order(ListAction::List(page)) => {
            return list(msp, List::Orders(None), &page, json).await;
        }
        Command::Progress(ListAction::List(page)) => {
            return list(msp, List::Progress, &page, json).await;
        }
        Command::Audit(ListAction::List(page)) => {
            return list(msp, List::Audit, &page, json).await;
        }
        Command::Subscription(SubscriptionAction::List(page)) => {
            return list(msp, List::Subscriptions, &page, json).await;
        }
        Command::Profile(ProfileAction::List(page)) => {
            return list(msp, List::Profiles, &page, json).await;
        }
        Command::Outbox(OutboxAction::List(page)) => {
            return list(msp, List::Outbox(None), &page, json).await;
        }
        Command::Cmp(CmpAction::List) => admin::cmps(msp),
        Command::Cmp(CmpAction::RotateKey { cmp, only }) => {
            admin::rotate_key(msp, &cmp, only).await?
        }
        Command::Customer(CustomerAction::Add { user }) => {
            admin::add_customer(msp, &user, &from_stdin()?).await?
        }
        Command::Member(action) => match action {
            MemberAction::List => admin::members(msp).await?,
            MemberAction::Add { name, role } => {
                admin::add_member(msp, &name, role, &from_stdin()?).await?
            }
            MemberAction::Remove { name } => admin::remove_member(msp, &name).await?,
        },
        Command::Subscription(action) => subscription(msp, action).await?,
        Command::Profile(action) => profile(msp, action).await?,
        Command::Outbox(OutboxAction::Retry { id }) => {
            admin::put_outbox(msp, id, false, &By::command(None)).await?
        }
        Command::Outbox(OutboxAction::Drop { id, reason }) => {
            admin::put_outbox(msp, id, true, &By::command(Some(&reason))).await?
        }
        Command::Withdraw { who, reason } => {
            let (target, cmp) = (Target::User(who.user), who.cmp.as_deref());
            let by = By::command(reason.as_deref());
            admin::withdraw(msp, target, cmp, &by).await?
        }
        Command::Update { who } => {
            let (target, cmp) = (Target::User(who.user), who.cmp.as_deref());
            admin::update(msp, target, cmp, &By::command(None)).await?
        }
        Command::Misbehave(action) => misbehave(msp, action).await?,
        Command::Serve
        | Command::ExampleConfig
        | Command::HashPassword
        | Command::CheckConfig
        | Command::Migrate => Value::Null,
    };
    show(done, json)
}

/// Columns that come first in tables.
const COLUMNS: [&str; 12] = [
    "at",
    "user",
    "subscription",
    "iccid",
    "request_id",
    "id",
    "kind",
    "client_id",
    "state",
    "status",
    "eid",
    "name",
];

/// Prints a list in parts.
async fn list(msp: &Msp, list: List, page: &PageArgs, json: bool) -> Result<(), Failure> {
    let read = async |after: Option<String>, limit| {
        let after = after.map(|place| place.parse().map_err(Failure::usage));
        let page = Page {
            after: after.transpose()?,
            limit,
            newest_first: false,
        };
        let part = list.part(msp, page).await?;
        Ok::<_, Failure>(part.into_iter().map(|row| printed(row, json)).collect())
    };
    aid_cli::list::List::new(&COLUMNS, json)
        .paged(page, read)
        .await
}

/// A row with times as others read them; people read how many rows are inside, scripts the rows.
fn printed((place, mut row): (Place, Value), json: bool) -> Listed {
    millis_to_text(&mut row);
    let members = row.as_object_mut().filter(|_| !json);
    for value in members.into_iter().flat_map(|row| row.values_mut()) {
        let rows = value
            .as_array()
            .filter(|rows| rows.iter().any(Value::is_object));
        if let Some(count) = rows.map(Vec::len) {
            *value = count.into();
        }
    }
    (place.to_string(), Some(row))
}

async fn subscription(msp: &Msp, action: SubscriptionAction) -> Result<Value, Refusal> {
    match action {
        SubscriptionAction::List(_) => Ok(Value::Null),
        SubscriptionAction::Add(new) => admin::add_subscription(msp, &(*new).into()).await,
        SubscriptionAction::Update { id, change } => {
            admin::update_subscription(msp, &id, change, &By::command(None)).await
        }
        SubscriptionAction::Suspend { id, reason } => {
            admin::block(msp, &id, true, &By::command(reason.as_deref())).await
        }
        SubscriptionAction::Resume { id, reason } => {
            admin::block(msp, &id, false, &By::command(reason.as_deref())).await
        }
        SubscriptionAction::Withdraw { id, cmp, reason } => {
            let target = Target::Subscription(id);
            admin::withdraw(msp, target, cmp.as_deref(), &By::command(reason.as_deref())).await
        }
        SubscriptionAction::End { id, reason } => {
            admin::end_subscription(msp, &id, &By::command(reason.as_deref())).await
        }
    }
}

async fn profile(msp: &Msp, action: ProfileAction) -> Result<Value, Refusal> {
    let (word, fate) = match action {
        ProfileAction::List(_) => return Ok(Value::Null),
        ProfileAction::Inform {
            iccid,
            status,
            reason,
        } => return admin::inform(msp, &iccid, status, &By::command(reason.as_deref())).await,
        ProfileAction::Defect(fate) => ("defect", fate),
        ProfileAction::Suspend(fate) => ("suspend", fate),
        ProfileAction::Resume(fate) => ("resume", fate),
    };
    admin::fate(msp, &fate.iccid, word, &By::command(fate.reason.as_deref())).await
}

async fn misbehave(msp: &Msp, action: MisbehaveAction) -> Result<Value, Failure> {
    Ok(match action {
        MisbehaveAction::Names => admin::misbehaviours(),
        MisbehaveAction::List => admin::rules(msp).await?,
        MisbehaveAction::Set(args) => {
            let rule = admin::add_rule(msp, Wish::from(*args)).await?;
            Value::from(vec![rule])
        }
        MisbehaveAction::Clear { id } => admin::clear_rules(msp, id).await?,
        MisbehaveAction::Events { after } => admin::events(msp, after).await?,
    })
}

/// Prints rows.
fn show(mut rows: Value, json: bool) -> Result<(), Failure> {
    millis_to_text(&mut rows);
    let rows = match rows {
        Value::Array(rows) => rows,
        other => vec![other],
    };
    show_all(&COLUMNS, rows, json)
}

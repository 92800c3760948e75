//! The command line: `serve` and what an operator needs beside it. Every failure is one sentence.

mod admin;
mod args;
mod enrol;
mod keys;
mod orders;
mod renewal;
mod serve;
mod sync;
mod upkeep;
mod users;

use crate::config;
use crate::operator::{Calls, Operator};
use crate::store::Store;
use aid_cli::cli::{Arguments, Failure, LogArgs, block_on, block_on_all_cores, say};
use aid_cli::list::{PageArgs, show_all};
use aid_cli::{validity, weak};
use aid_cmp_core::model::CallState;
use args::{
    AuditCommand, Command, FederationCommand, KeyCommand, MemberCommand, MspCommand, OrderCommand,
    OutboxCommand, ProfileCommand, SyncCommand, UserCommand, VehicleCommand, WebhookCommand,
};
use clap::Parser;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

pub use keys::{Key, rotated};
pub use orders::{AuditArgs, OrderFilter, OrderWhat, Why};
pub use serve::{Listening, serve_until};
pub use sync::SyncWhom;
pub use users::UserAdd;

/// The reference CMP backend of GSMA AID.02.
#[derive(Debug, Parser)]
#[command(name = "aid-cmp", version)]
struct Cli {
    #[command(flatten)]
    logs: LogArgs,
    /// Configuration file; default: cmp.toml here, or /etc/aid/cmp.toml.
    #[arg(long, global = true, env = "AID_CMP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Who you are, for the audit trail.
    #[arg(
        long,
        global = true,
        env = "AID_CMP_OPERATOR",
        default_value = "operator",
        value_name = "NAME"
    )]
    operator: String,
    /// Do not ask before what can't be taken back.
    #[arg(long, global = true)]
    yes: bool,
    /// Of what can't be taken back, say what would be done, and do nothing.
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(subcommand)]
    command: Command,
}

impl Arguments for Cli {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Runs the program; the first argument is its name.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    aid_cli::cli::main("aid-cmp", args, |cli: Cli| match cli.command {
        Command::Serve => block_on_all_cores(command(cli)),
        _ => block_on(command(cli)),
    })
}

async fn command(cli: Cli) -> Result<(), Failure> {
    if matches!(cli.command, Command::ExampleConfig) {
        let row = json!({"config": config::EXAMPLE});
        return say(config::EXAMPLE.trim_end(), row, cli.json);
    }
    let path = &aid_cli::config::find(cli.config.as_deref(), "cmp")?;
    match cli.command {
        Command::ExampleConfig => Ok(()),
        Command::Serve => serve::serve(path).await,
        Command::CheckConfig => {
            let config = config::check(path)?;
            weak::check_secrets(path, config::EXAMPLE)?;
            weak::check_files(
                [path.as_path()]
                    .into_iter()
                    .chain(config.fixed.file.secrets()),
            )?;
            serve::listeners_tls(&config)?;
            let apart = config.agreed.certificates_apart();
            apart.map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
            validity::check_now(&renewal::certificates(path, &config.fixed.file))?;
            let row = json!({"config": path.display().to_string(), "usable": true});
            say("the configuration is usable", row, cli.json)
        }
        Command::Migrate => {
            let store = open(path).await?;
            store.empty_log().await?;
            store.close().await;
            let row = json!({"migrated": true});
            say("the database is up to date", row, cli.json)
        }
        Command::Backup { to } => {
            Store::copy(&config::read(path)?.database, &to).await?;
            let shown = to.display().to_string();
            let row = json!({"backup": shown});
            say(&format!("{shown} is a copy of the database"), row, cli.json)
        }
        Command::Gateway(what) => enrol::gateway(&config::read(path)?.gateway, &what, cli.json),
        other => {
            let file = config::read(path)?;
            let store = Store::open(file.database.clone()).await?;
            let admin = admin::Admin {
                operator: Operator {
                    store: &store,
                    file: &file,
                    who: cli.operator,
                    once: None,
                },
                json: cli.json,
                yes: cli.yes,
                dry_run: cli.dry_run,
            };
            let result = administer(&admin, path, other).await;
            store.close().await;
            result
        }
    }
}

async fn administer(
    admin: &admin::Admin<'_>,
    path: &std::path::Path,
    command: Command,
) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        Command::User(command) => user(admin, command).await,
        Command::Vehicle(command) => vehicle(admin, command).await,
        Command::Federation(FederationCommand::List(page)) => {
            let columns = ["federation", "msp", "user", "since", "ended_at"];
            let read = async |after, limit| operator.federations(after, limit).await;
            admin.list(&columns, &page, read).await
        }
        Command::Federation(FederationCommand::Withdraw { federation, reason }) => {
            let what = format!("the link {federation} ends, and its profiles are deleted");
            match admin.confirm(&what)? {
                true => admin.show(operator.withdraw(federation, reason).await),
                false => Ok(()),
            }
        }
        Command::Federation(FederationCommand::Purge) => admin.purge().await,
        Command::Profile(command) => profile(admin, command).await,
        Command::Order(command) => order(admin, command).await,
        Command::Outbox(command) => outbox(admin, command).await,
        Command::Sync(SyncCommand::Run { whom, iccid }) => {
            let config = config::check(path)?;
            admin.sync(&config, &whom, iccid.as_deref()).await
        }
        Command::Sync(SyncCommand::Report { federation, page }) => {
            admin.sync_report(federation, &page).await
        }
        Command::Audit(AuditCommand::List(args)) => {
            let (trail, columns) = (args.trail(), ["at", "who", "what", "on", "why"]);
            if let Some(limit) = args.limit {
                let rows = operator.newest_audits(&trail, limit).await?;
                return show_all(&columns, rows, admin.json);
            }
            let page = PageArgs::after(args.after);
            let read = async |after, limit| operator.audit(&trail, after, limit).await;
            admin.list(&columns, &page, read).await
        }
        Command::Msp(MspCommand::List) => {
            show_all(&["name", "url"], operator.msps().await?, admin.json)
        }
        Command::Msp(MspCommand::RotateKey {
            name,
            key,
            certificate,
            finish,
        }) => {
            let wish = keys::Wish {
                msp: &name,
                key,
                certificate: certificate.as_deref(),
                finish,
            };
            let done = keys::rotate(path, &wish, admin.json)?;
            Ok(operator.key_rotated(done, finish).await?)
        }
        Command::Summary => admin.show(operator.summary().await),
        Command::Problems => {
            let certificates = renewal::certificates(path, operator.file);
            let rows = operator.problems(certificates).await?;
            show_all(&["since", "kind", "text", "id"], rows, admin.json)
        }
        Command::Correlation { id } => admin.show(operator.correlation(id).await),
        Command::Key(command) => key(admin, command).await,
        Command::Member(command) => member(admin, command).await,
        Command::Webhook(command) => webhook(admin, command).await,
        // Those that need no database are done already.
        Command::Serve
        | Command::Migrate
        | Command::Backup { .. }
        | Command::CheckConfig
        | Command::ExampleConfig
        | Command::Gateway(_) => Ok(()),
    }
}

async fn key(admin: &admin::Admin<'_>, command: KeyCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        KeyCommand::Add { name, role } => admin.show(operator.add_key(&name, role).await),
        KeyCommand::List => {
            let columns = ["id", "name", "role", "created_at", "revoked_at"];
            show_all(&columns, operator.keys().await?, admin.json)
        }
        KeyCommand::Revoke { id } => {
            match admin.confirm(&format!("the key {id} opens nothing any more"))? {
                true => admin.show(operator.revoke_key(id).await),
                false => Ok(()),
            }
        }
    }
}

async fn member(admin: &admin::Admin<'_>, command: MemberCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        MemberCommand::Add {
            name,
            role,
            certificate,
            password_stdin,
        } => {
            let certificate = certificate.as_deref().map(enrol::hash_of).transpose()?;
            let password = match password_stdin {
                true => Some(users::from_stdin("password")?),
                false => None,
            };
            let put = operator.put_member(&name, role, password.as_ref(), certificate);
            admin.show(put.await)
        }
        MemberCommand::List => {
            let columns = ["name", "role", "password", "certificate", "created_at"];
            show_all(&columns, operator.members().await?, admin.json)
        }
        MemberCommand::Remove { name } => admin.show(operator.remove_member(&name).await),
    }
}

async fn webhook(admin: &admin::Admin<'_>, command: WebhookCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        WebhookCommand::Add { url } => admin.show(operator.add_webhook(&url).await),
        WebhookCommand::List => {
            let columns = ["id", "url", "created_at"];
            show_all(&columns, operator.webhooks().await?, admin.json)
        }
        WebhookCommand::Remove { id } => {
            match admin.confirm(&format!(
                "the webhook {id} goes, with what it has not heard"
            ))? {
                true => admin.show(operator.remove_webhook(id).await),
                false => Ok(()),
            }
        }
    }
}

async fn user(admin: &admin::Admin<'_>, command: UserCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        UserCommand::Add(user) => admin.show(operator.add_user(users::new_user(user)?).await),
        UserCommand::List(page) => {
            let read = async |after, limit| operator.users(after, limit).await;
            admin
                .list(&["name", "display_name", "created_at"], &page, read)
                .await
        }
        UserCommand::Show { name } => admin.show(operator.show_user(&name).await),
        UserCommand::SetPassword {
            name,
            keep_identities,
            ..
        } => {
            // Whether there is such a user is said before anybody types.
            let name = admin.user_name(&name).await?;
            let password = users::from_stdin("password")?;
            let set = operator.set_password(&name, &password, keep_identities);
            admin.show(set.await)
        }
        UserCommand::SetPin { name, none, .. } => {
            let name = admin.user_name(&name).await?;
            let pin = match none {
                true => None,
                false => Some(users::from_stdin("PIN")?),
            };
            admin.show(operator.set_pin(&name, pin.as_ref()).await)
        }
        UserCommand::Preference(command) => admin.preference(command).await,
        UserCommand::Erase { name, reason } => {
            let name = admin.user_name(&name).await?;
            let what = format!("the user {name} is forgotten, with links and profiles");
            match admin.confirm(&what)? {
                true => admin.show(operator.erase_user(&name, reason).await),
                false => Ok(()),
            }
        }
        UserCommand::Unlock { name, reason } => {
            admin.show(operator.unlock_user(&name, reason).await)
        }
    }
}

async fn profile(admin: &admin::Admin<'_>, command: ProfileCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        ProfileCommand::List { vehicle, page } => {
            let columns = ["iccid", "eid", "status", "msp_state", "federation"];
            let of = vehicle.as_deref();
            let read = async |after, limit| operator.profiles(of, after, limit).await;
            admin.list(&columns, &page, read).await
        }
        ProfileCommand::Delete { iccid, reason } => {
            let what = format!("the profile {iccid} is deleted from its vehicle");
            match admin.confirm(&what)? {
                true => admin.show(operator.delete_profile(&iccid, reason).await),
                false => Ok(()),
            }
        }
        ProfileCommand::Allow { user, eid } => {
            admin.show(operator.allow_profile(&user, &eid).await)
        }
    }
}

async fn outbox(admin: &admin::Admin<'_>, command: OutboxCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    let (which, page) = match command {
        OutboxCommand::List { state, page } => (Calls { state }, page),
        OutboxCommand::Dead(page) => {
            let state = Some(CallState::Dead);
            (Calls { state }, page)
        }
        OutboxCommand::Show { call } => return admin.show(operator.show_call(call).await),
        OutboxCommand::Replay { call, reason } => {
            return admin.show(operator.replay_call(call, reason).await);
        }
        OutboxCommand::Drop { call, reason } => {
            let what = format!("the call {call} is closed without an answer");
            return match admin.confirm(&what)? {
                true => admin.show(operator.drop_call(call, reason).await),
                false => Ok(()),
            };
        }
    };
    let columns = [
        "call",
        "msp",
        "kind",
        "state",
        "attempts",
        "created_at",
        "next_at",
        "last_error",
    ];
    let read = async |after, limit| operator.outbox(which, after, limit).await;
    admin.list(&columns, &page, read).await
}

/// Vehicles that a search shows at most.
const FOUND: u32 = 500;
/// The first columns of a table of vehicles.
const VEHICLE: [&str; 6] = [
    "eid",
    "vin",
    "online",
    "last_message",
    "software",
    "session",
];

/// The first columns of a table of certificates.
const CERTIFICATE: [&str; 6] = [
    "state",
    "not_after",
    "issued_at",
    "used_at",
    "bootstrap",
    "certificate",
];

async fn vehicle(admin: &admin::Admin<'_>, command: VehicleCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    let (what, deed) = match command {
        VehicleCommand::Enrol(enrol) => return admin.enrol_vehicle(*enrol).await,
        VehicleCommand::Add { eid, vin } => {
            return admin.show(operator.add_vehicle(&eid, vin).await);
        }
        VehicleCommand::Import { file } => return admin.import_vehicles(&file).await,
        VehicleCommand::List(filter) => {
            if let Some(text) = filter.search {
                let found = operator.search_vehicles(&text, FOUND).await?;
                return show_all(&VEHICLE, found, admin.json);
            }
            let read = async |after, limit| operator.vehicles(after, limit).await;
            return admin.list(&VEHICLE, &filter.page, read).await;
        }
        VehicleCommand::Certificates { eid } => {
            let rows = operator.vehicle_certificates(&eid).await?;
            return show_all(&CERTIFICATE, rows, admin.json);
        }
        VehicleCommand::Show { eid } => return admin.show(operator.show_vehicle(&eid).await),
        VehicleCommand::Clear { ref eid, .. } => (
            format!("the users of {eid} are logged out, and its profiles go"),
            command,
        ),
        VehicleCommand::Retire { ref eid, .. } => (
            format!("the vehicle {eid} is cut off, and its profiles count as lost"),
            command,
        ),
        VehicleCommand::Exchange {
            ref old, ref new, ..
        } => (
            format!("the vehicle {old} is cut off, and {new} takes its place"),
            command,
        ),
    };
    if !admin.confirm(&what)? {
        return Ok(());
    }
    match deed {
        VehicleCommand::Clear {
            eid,
            because,
            reason,
        } => admin.show(operator.clear_vehicle(&eid, because, reason).await),
        VehicleCommand::Retire { eid, reason } => {
            admin.show(operator.retire_vehicle(&eid, reason).await)
        }
        VehicleCommand::Exchange { old, new, reason } => {
            admin.show(operator.exchange_vehicle(&old, &new, reason).await)
        }
        _ => Ok(()),
    }
}

async fn order(admin: &admin::Admin<'_>, command: OrderCommand) -> Result<(), Failure> {
    let operator = &admin.operator;
    match command {
        OrderCommand::Add { eid, what } => {
            let (what, reason) = what.and_why();
            admin.show(operator.add_order(&eid, what, reason).await)
        }
        OrderCommand::List(filter) => {
            let columns = ["order", "eid", "kind", "state", "created_at", "sent_at"];
            let orders = filter.orders();
            let read = async |after, limit| operator.orders(&orders, after, limit).await;
            admin.list(&columns, &filter.page, read).await
        }
        OrderCommand::Show { order } => admin.show(operator.show_order(order).await),
        OrderCommand::Replay { order, reason } => {
            admin.show(operator.replay_order(order, reason).await)
        }
        OrderCommand::Close { order, reason } => {
            let what = format!("the order {order} is closed without a result");
            match admin.confirm(&what)? {
                true => admin.show(operator.close_order(order, reason).await),
                false => Ok(()),
            }
        }
    }
}

async fn open(path: &std::path::Path) -> Result<Store, Failure> {
    Ok(Store::open(config::read(path)?.database).await?)
}

//! The command line: `serve` and what an operator needs beside it. Every failure is one sentence.

mod admin;
mod args;
mod enrol;
mod keys;
mod orders;
mod procedures;
mod renewal;
mod serve;
mod sync;
mod upkeep;
mod users;

use crate::config;
use crate::store::Store;
use aid_cli::cli::{Arguments, Failure, LogArgs, block_on, block_on_all_cores, say};
use aid_cli::{validity, weak};
use aid_cmp_core::model::CallState;
use args::{
    AuditCommand, Command, FederationCommand, MspCommand, OrderCommand, OutboxCommand,
    ProfileCommand, SyncCommand, UserCommand, VehicleCommand,
};
use clap::Parser;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

pub use admin::{PageArgs, UserAdd};
pub use keys::{Key, rotated};
pub use orders::{AuditArgs, OrderFilter, OrderWhat};
pub use procedures::Because;
pub use serve::{Listening, serve_until};
pub use sync::SyncWhom;

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
            let key = config::pin_key(&file.account_pin_key).unwrap_or_default();
            let admin = admin::Admin {
                store: &store,
                file: &file,
                who: cli.operator,
                json: cli.json,
            };
            let result = administer(&admin, path, other, &key).await;
            store.close().await;
            result
        }
    }
}

async fn administer(
    admin: &admin::Admin<'_>,
    path: &std::path::Path,
    command: Command,
    key: &[u8; 32],
) -> Result<(), Failure> {
    match command {
        Command::User(UserCommand::Add(user)) => admin.add_user(user, key).await,
        Command::User(UserCommand::List(page)) => admin.users(&page).await,
        Command::User(UserCommand::Show { name }) => admin.show_user(&name).await,
        Command::User(UserCommand::SetPassword { name, .. }) => admin.set_password(&name).await,
        Command::User(UserCommand::SetPin { name, none, .. }) => {
            admin.set_pin(&name, none, key).await
        }
        Command::User(UserCommand::Preference(command)) => admin.preference(command).await,
        Command::User(UserCommand::Erase { name, reason }) => {
            admin.erase_user(&name, reason, key).await
        }
        Command::User(UserCommand::Unlock { name, reason }) => {
            admin.unlock_user(&name, reason, key).await
        }
        Command::Vehicle(command) => vehicle(admin, command).await,
        Command::Federation(FederationCommand::List(page)) => admin.federations(&page).await,
        Command::Federation(FederationCommand::Withdraw { federation, reason }) => {
            admin.withdraw(federation, reason).await
        }
        Command::Federation(FederationCommand::Purge) => admin.purge().await,
        Command::Profile(ProfileCommand::List { vehicle, page }) => {
            admin.profiles(vehicle.as_deref(), &page).await
        }
        Command::Profile(ProfileCommand::Delete { iccid, reason }) => {
            admin.delete_profile(&iccid, reason).await
        }
        Command::Profile(ProfileCommand::Allow { user, eid }) => {
            admin.allow_profile(&user, &eid).await
        }
        Command::Order(command) => order(admin, command).await,
        Command::Outbox(OutboxCommand::List { state, page }) => admin.outbox(state, &page).await,
        Command::Outbox(OutboxCommand::Dead(page)) => {
            admin.outbox(Some(CallState::Dead), &page).await
        }
        Command::Outbox(OutboxCommand::Show { call }) => admin.show_call(call).await,
        Command::Outbox(OutboxCommand::Replay { call }) => admin.replay_call(call).await,
        Command::Outbox(OutboxCommand::Drop { call, reason }) => {
            admin.drop_call(call, reason).await
        }
        Command::Sync(SyncCommand::Run { whom, iccid }) => {
            let config = config::check(path)?;
            admin.sync(&config, &whom, iccid.as_deref()).await
        }
        Command::Sync(SyncCommand::Report { federation, page }) => {
            admin.sync_report(federation, &page).await
        }
        Command::Audit(AuditCommand::List(args)) => admin.audit(args).await,
        Command::Msp(MspCommand::List) => admin.msps().await,
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
            admin.key_rotated(done, finish).await
        }
        Command::Summary => admin.summary().await,
        // Those that need no database are done already.
        Command::Serve
        | Command::Migrate
        | Command::Backup { .. }
        | Command::CheckConfig
        | Command::ExampleConfig
        | Command::Gateway(_) => Ok(()),
    }
}

async fn vehicle(admin: &admin::Admin<'_>, command: VehicleCommand) -> Result<(), Failure> {
    match command {
        VehicleCommand::Enrol(enrol) => admin.enrol_vehicle(*enrol).await,
        VehicleCommand::Add { eid, vin } => admin.add_vehicle(&eid, vin).await,
        VehicleCommand::List(page) => admin.vehicles(&page).await,
        VehicleCommand::Show { eid } => admin.show_vehicle(&eid).await,
        VehicleCommand::Clear {
            eid,
            because,
            reason,
        } => admin.clear_vehicle(&eid, because, reason).await,
        VehicleCommand::Retire { eid, reason } => admin.retire_vehicle(&eid, reason).await,
        VehicleCommand::Exchange { old, new, reason } => {
            admin.exchange_vehicle(&old, &new, reason).await
        }
    }
}

async fn order(admin: &admin::Admin<'_>, command: OrderCommand) -> Result<(), Failure> {
    match command {
        OrderCommand::Add { eid, what } => admin.add_order(&eid, what).await,
        OrderCommand::List(filter) => admin.orders(&filter).await,
        OrderCommand::Show { order } => admin.show_order(order).await,
        OrderCommand::Replay { order, reason } => admin.replay_order(order, reason).await,
        OrderCommand::Close { order, reason } => admin.close_order(order, reason).await,
    }
}

async fn open(path: &std::path::Path) -> Result<Store, Failure> {
    Ok(Store::open(config::read(path)?.database).await?)
}

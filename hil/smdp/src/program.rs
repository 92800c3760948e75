//! The command line of `aid-smdp`.

mod order;
mod profile;

use crate::config::{self, Config};
use crate::inventory::{self, Reader};
use crate::service::{Service, upkeep};
use crate::store::{NoticePlace, Store};
use crate::{progress, web};
use aid_cli::cli::{self, Arguments, Failure, LogArgs};
use aid_cli::list::{List, PageArgs};
use aid_cli::printable::printable;
use aid_cli::time::rfc3339;
use aid_cli::validity;
use aid_cli::{private, ready, signal, tls, weak};
use aid_serve::admin::Shown;
use aid_serve::http;
use clap::{Args, Parser, Subcommand};
use order::OrderCommand;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// SM-DP+ of SGP.22: takes orders over ES2+, gives profiles to eUICCs over ES9+.
#[derive(Debug, Parser)]
#[command(name = "aid-smdp", version)]
struct Cli {
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    command: Command,
}

impl Arguments for Cli {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file; default: smdp.toml here, or /etc/aid/smdp.toml.
    #[arg(long, env = "AID_SMDP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn path(&self) -> Result<PathBuf, Failure> {
        aid_cli::config::find(self.config.as_deref(), "smdp")
    }
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    page: PageArgs,
    /// One JSON array instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM.
    Serve(ConfigFile),
    /// Print a commented configuration.
    ExampleConfig,
    /// Check the configuration, its files and the inventory.
    CheckConfig(ConfigFile),
    /// Place, change and look at orders, also while the server runs.
    #[command(subcommand)]
    Order(OrderCommand),
    /// Look at profiles that were made from a template.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Look at notifications.
    #[command(subcommand)]
    Notification(NotificationCommand),
}

#[derive(Debug, Subcommand)]
enum NotificationCommand {
    /// All notifications that cards sent and signed.
    List(ListArgs),
}

/// Runs the program with these arguments, the first being its name.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aid-smdp", args, |cli: Cli| match cli.command {
        Command::ExampleConfig => cli::print(config::EXAMPLE),
        Command::CheckConfig(file) => check(&file),
        Command::Serve(file) => cli::block_on(serve(file)),
        Command::Order(command) => cli::block_on(order::run(command)),
        Command::Profile(command) => cli::block_on(profile::run(command)),
        Command::Notification(NotificationCommand::List(args)) => {
            cli::block_on(list_notifications(args))
        }
    })
}

fn check(file: &ConfigFile) -> Result<(), Failure> {
    let path = file.path()?;
    let config = Config::load(&path)?;
    // First: of an identity whose time is over, the next would say less.
    let warnings = validity::check(&config.certificates(), validity::now())?;
    let dp = config.identity(443, web::now())?;
    tls::server_config(&config.es9.cert, &config.es9.key, None)?;
    let es2 = &config.es2;
    tls::server_config(&es2.cert, &es2.key, Some(&es2.client_ca))?;
    config.admin.tls()?;
    weak::check_files([path.as_path()].into_iter().chain(config.keys()))?;
    let operators = config.operators()?.len();
    let inventory = inventory::load(&config.inventory, dp.address(), config.protection)?;
    if !inventory.broken().is_empty() {
        return Err(Failure::new(inventory.broken().join("; ")));
    }
    let profiles = inventory.len();
    config.templates(dp.address())?;
    told(&config)?;
    validity::warn(&warnings);
    cli::print(&format!(
        "{} is valid; {operators} operators, {profiles} profiles in the inventory\n",
        printable(&path.display().to_string())
    ))
}

async fn serve(file: ConfigFile) -> Result<(), Failure> {
    let config = Config::load(&file.path()?)?;
    let stop = signal::stop()?;
    let certificates = aid_serve::expiry::certificates(config.certificates());
    certificates.look(validity::now());
    let es9_tls = tls::server_config(&config.es9.cert, &config.es9.key, None)?;
    let es2 = &config.es2;
    private::forbid_core_dumps();
    let es2_tls = tls::server_config(&es2.cert, &es2.key, Some(&es2.client_ca))?;
    let operators = config.operators()?;
    let es9_listener = http::bind(&config.es9.listen).await?;
    let es2_listener = http::bind(&es2.listen).await?;
    let es9_address = es9_listener.local_addr()?;
    let es2_address = es2_listener.local_addr()?;
    let admin = config.admin.open().await?;

    let dp = config.identity(es9_address.port(), web::now())?;
    let mut reader = Reader::new(&config.inventory, dp.address(), config.protection);
    let (inventory, _) = reader.read()?;
    for why in inventory.broken() {
        tracing::error!(error = why, "left out of the inventory");
    }
    tracing::info!(
        profiles = inventory.len(),
        address = dp.address(),
        "inventory"
    );
    if inventory.is_empty() && config.template.is_empty() {
        tracing::warn!(folder = %config.inventory.display(), "the inventory is empty: nothing can be ordered");
    }
    let store = Store::open(&config.database).await?;
    if let Err(error) = store.reserve_log().await {
        tracing::warn!(%error, "no space is reserved for the database's log: commits take longer");
    }
    let templates = config.templates(dp.address())?;
    let service = Service::start(dp, inventory, store, config.orders, web::now()).await?;
    let told = told(&config)?;
    let service = Arc::new(service.with_templates(templates).telling(told.clone()));
    private::warn_of_open(config.keys());
    let listen = [
        ("es9", es9_address),
        ("es2", es2_address),
        ("admin", admin.address()?),
    ];
    ready::announce("aid-smdp", &listen)?;
    let es9 = http::serve(
        es9_listener,
        Some(es9_tls),
        web::es9(Arc::clone(&service)),
        stop.clone(),
    );
    let es2 = http::serve(
        es2_listener,
        Some(es2_tls),
        web::es2(Arc::clone(&service), operators),
        stop.clone(),
    );
    tokio::join!(
        es9,
        es2,
        admin.serve(shown(&service), stop.clone()),
        certificates.watch(stop.clone()),
        inventory::watch(Arc::clone(&service), reader, stop.clone()),
        upkeep(Arc::clone(&service), config.retention, stop.clone()),
        progress::work(told, service.store().clone(), stop)
    );
    let store = service.store().clone();
    drop(service);
    store.close().await;
    Ok(())
}

/// The operators that are told of downloads: each must be an operator of this server.
fn told(config: &Config) -> Result<Option<progress::Operators>, Failure> {
    let Some(progress) = &config.progress else {
        return Ok(None);
    };
    let operators = config.operators()?;
    for name in progress.operators.keys() {
        if !operators.names().any(|known| known == name) {
            return Err(Failure::new(format!(
                "[progress] operators: no [[operator]] has the name {name:?}"
            )));
        }
    }
    progress::Operators::new(progress).map(Some)
}

/// What the admin listener shows: ready as long as the database can be written.
fn shown(service: &Arc<Service>) -> Shown {
    let service = Arc::clone(service);
    Shown {
        ready: Arc::new(move || {
            let service = Arc::clone(&service);
            Box::pin(async move {
                let written = service.store().check().await;
                written.map_err(|error| error.to_string())
            })
        }),
        openapi: None,
    }
}

async fn open(file: &ConfigFile) -> Result<(Config, Store), Failure> {
    let config = Config::load(&file.path()?)?;
    if !config.database.exists() {
        return Err(Failure::new(format!(
            "there is no database {} yet; start aid-smdp serve first",
            config.database.display()
        )));
    }
    let store = Store::open(&config.database).await?;
    Ok((config, store))
}

async fn list_notifications(args: ListArgs) -> Result<(), Failure> {
    let (_, store) = open(&args.file).await?;
    let columns = ["eid", "seq_number", "iccid", "outcome", "received_at"];
    let list = List::new(&columns, args.json);
    let read = async |after: Option<String>, limit| {
        let after = after.map(|place| place.parse().map_err(Failure::usage));
        let after: NoticePlace = after.transpose()?.unwrap_or_default();
        let rows = store.notifications_after(after, limit).await?;
        Ok::<_, Failure>(rows.into_iter().map(|(place, notice)| {
            let row = json!({
                "eid": notice.eid, "seq_number": notice.seq_number, "iccid": notice.iccid, "outcome": notice.outcome,
                "received_at": rfc3339(notice.received_at.saturating_mul(1000)),
            });
            (place.to_string(), Some(row))
        }).collect())
    };
    let printed = list.paged(&args.page, read).await;
    store.close().await;
    printed
}

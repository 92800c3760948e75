//! `aid-smdp order`: places and changes orders in the database, beside a running server.

use super::{ConfigFile, ListArgs, open};
use crate::config::Config;
use crate::core::{BY_HAND, Decided, OrderState};
use crate::service::{By, Desk, Placing};
use crate::store::{Listed, Store, Stored};
use crate::template::Template;
use crate::web;
use aid_cli::cli::{self, Failure};
use aid_cli::hidden;
use aid_cli::list::{List, show as show_row};
use aid_cli::time::{rfc3339, typed};
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
};
use aid_rsp::es9::{RequestHeader, Secret, Text};
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(super) enum OrderCommand {
    /// Place an order, confirmed and released at once.
    Add(AddArgs),
    /// Confirm an order that was placed with --reserve or over ES2+.
    Confirm(ConfirmArgs),
    /// Release a confirmed order, so that it can be downloaded.
    Release(OneArgs),
    /// End an order; its profile can be ordered again.
    Cancel(CancelArgs),
    /// All profiles with their orders.
    List(ListArgs),
    /// One profile and its order.
    Show(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Any available profile of this type.
    #[arg(long, value_name = "TYPE", required_unless_present_any = ["iccid", "package"])]
    profile_type: Option<String>,
    /// This profile.
    #[arg(long, conflicts_with = "package")]
    iccid: Option<String>,
    /// The profile of this file of the inventory, without .der.
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// Keep it under this operator, who may change it over ES2+; without it no operator may.
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// When it can't be downloaded any more: 30d, 12h, 2026-12-24, 2026-12-24T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Reserve the profile only; `order confirm` makes it an order.
    #[arg(long, conflicts_with_all = ["matching_id", "confirmation_code", "default", "hold"])]
    reserve: bool,
    /// One JSON array instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// What a confirmation says.
#[derive(Debug, Args)]
struct Terms {
    /// For this eUICC only, 32 digits.
    #[arg(long)]
    eid: Option<String>,
    /// MatchingID of the activation code (A-Z, 0-9, hyphen); a random one without it.
    #[arg(long, value_name = "ID")]
    matching_id: Option<String>,
    /// The user has to type this code; `-` asks for it, so that it is not seen in the list of processes.
    #[arg(long, value_name = "CODE")]
    confirmation_code: Option<String>,
    /// A default order: for the eUICC with this EID when it asks without an activation code.
    #[arg(long, requires = "eid", conflicts_with = "matching_id")]
    default: bool,
    /// Confirm only; `order release` lets it be downloaded.
    #[arg(long)]
    hold: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The profile can never be ordered again.
    #[arg(long)]
    unavailable: bool,
    /// Also an order that is installed or unavailable: for a card that was erased and will never report it.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// ICCID of the profile.
    iccid: String,
    /// One JSON array instead of text.
    #[arg(long)]
    json: bool,
}

/// What `--json` shows of an order; no secrets but the MatchingID.
#[derive(Serialize)]
struct View {
    iccid: String,
    file: String,
    name: String,
    profile_type: String,
    in_inventory: bool,
    state: OrderState,
    expired: bool,
    eid: Option<String>,
    matching_id: Option<String>,
    activation_code: Option<String>,
    confirmation_code_required: bool,
    operator: Option<String>,
    attempts: u32,
    code_failures: u32,
    last_error: Option<String>,
    expires_at: Option<String>,
    changed_at: String,
}

/// Unix seconds as RFC 3339.
fn text_of(seconds: u64) -> String {
    rfc3339(seconds.saturating_mul(1000))
}

impl View {
    fn new(listed: Listed, address: &str, now: u64) -> Self {
        let order = listed.order;
        let code_required = order.confirmation_code.is_some();
        let id = order.matching_id.as_deref().filter(|id| !id.is_empty());
        // The port of a server that chooses one is not known here.
        let address = Some(address).filter(|address| !address.ends_with(":0"));
        let activation_code = id.zip(address).map(|(id, address)| {
            let code = if code_required { "$$1" } else { "" };
            format!("LPA:1${address}${id}{code}")
        });
        Self {
            expired: order.is_expired(now),
            file: order.package.unwrap_or(listed.file),
            name: listed.name,
            in_inventory: listed.in_inventory,
            iccid: order.iccid,
            profile_type: order.profile_type,
            state: order.state,
            eid: order.eid,
            matching_id: order.matching_id,
            activation_code,
            confirmation_code_required: code_required,
            operator: order.operator.filter(|name| name != BY_HAND),
            attempts: order.attempts,
            code_failures: order.code_failures,
            last_error: order.last_error,
            expires_at: order.expires_at.map(text_of),
            changed_at: text_of(order.changed_at),
        }
    }
}

/// The database, and what the configuration says of orders.
struct Books {
    config: Config,
    store: Store,
    templates: Arc<[Template]>,
}

impl Books {
    async fn open(file: &ConfigFile) -> Result<Self, Failure> {
        let (config, store) = open(file).await?;
        Ok(Self {
            templates: config.templates(&config.address)?.into(),
            config,
            store,
        })
    }

    const fn desk(&self) -> Desk<'_> {
        Desk::new(&self.store, self.config.orders, &self.templates)
    }

    /// Reports what became of an order: a sentence, or what `order show --json` prints.
    async fn report(self, iccid: &str, done: &str, json: bool) -> Result<(), Failure> {
        let address = self.config.address.clone();
        let listed = self.store.listed(iccid).await;
        self.store.close().await;
        let listed = listed?.ok_or_else(|| unknown(iccid))?;
        let view = View::new(listed, &address, web::now());
        let mut sentence = format!("{} {done}", view.iccid);
        if let Some(code) = &view.activation_code {
            sentence = format!("{sentence}: {code}");
        } else if let Some("") = view.matching_id.as_deref() {
            let eid = view.eid.as_deref().unwrap_or_default();
            sentence = format!("{sentence}: default order of eUICC {eid}");
        } else if let Some(id) = &view.matching_id {
            sentence = format!("{sentence}: MatchingID {id}");
        }
        cli::say(
            &aid_cli::printable::printable(&sentence),
            serde_json::to_value(&view)?,
            json,
        )
    }
}

fn unknown(iccid: &str) -> Failure {
    Failure::new(format!(
        "no profile has ICCID {iccid}; `aid-smdp order list` shows them"
    ))
}

fn decided<T>(decided: Stored<Decided<T>>) -> Result<T, Failure> {
    let result = decided?.result;
    result.map_err(|refusal| Failure::new(refusal.to_string()))
}

/// A value of the command line as the type that ES2+ bounds.
fn text<const MAX: usize>(name: &str, value: Option<&str>) -> Result<Option<Text<MAX>>, Failure> {
    let read = |value: &str| {
        Text::new(value).ok_or_else(|| {
            Failure::usage(format!("{name} must not be longer than {MAX} characters"))
        })
    };
    value.map(read).transpose()
}

impl Terms {
    fn request(&self, iccid: Text<20>) -> Result<ConfirmOrderRequest, Failure> {
        let code = match self.confirmation_code.as_deref() {
            Some("-") => Some(hidden::secret("Confirmation Code: ")?),
            Some("") => return Err(Failure::usage("--confirmation-code must not be empty")),
            given => given.map(str::to_owned),
        };
        let too_long = || Failure::usage("--confirmation-code must not be longer than 255 bytes");
        let matching_id = match self.default {
            true => Some(""),
            false => self.matching_id.as_deref(),
        };
        Ok(ConfirmOrderRequest {
            header: RequestHeader::default(),
            iccid,
            eid: text("--eid", self.eid.as_deref())?,
            matching_id: text("--matching-id", matching_id)?,
            confirmation_code: code
                .map(|code| Secret::new(code).ok_or_else(too_long))
                .transpose()?,
            smds_address: None,
            release_flag: !self.hold,
        })
    }
}

pub(super) async fn run(command: OrderCommand) -> Result<(), Failure> {
    match command {
        OrderCommand::Add(args) => add(args).await,
        OrderCommand::Confirm(args) => confirm(args).await,
        OrderCommand::Release(args) => release(args).await,
        OrderCommand::Cancel(args) => cancel(args).await,
        OrderCommand::List(args) => list(args).await,
        OrderCommand::Show(args) => show(args).await,
    }
}

async fn add(args: AddArgs) -> Result<(), Failure> {
    let now = web::now();
    let expires = args.expires.as_deref();
    let expires = expires.map(|text| typed(text, now, &TimeZone::system()));
    let expires_at = expires
        .transpose()
        .map_err(|why| Failure::usage(format!("--expires {why}")))?;
    let download = DownloadOrderRequest {
        header: RequestHeader::default(),
        eid: text("--eid", args.terms.eid.as_deref())?,
        iccid: text("--iccid", args.iccid.as_deref())?,
        profile_type: text("--profile-type", args.profile_type.as_deref())?,
    };
    let placing = Placing {
        download,
        package: args.package.clone(),
        confirm: match args.reserve {
            true => None,
            false => Some(args.terms.request(Text::default())?),
        },
        expires_at,
    };
    let books = Books::open(&args.file).await?;
    if let Some(name) = &args.operator {
        let operators = books.config.operators()?;
        if !operators.names().any(|known| known == name) {
            return Err(Failure::new(format!(
                "no [[operator]] of the configuration has the name {name:?}"
            )));
        }
    }
    let by = By::Hand(args.operator.clone());
    let order = decided(books.desk().place(&placing, &by, now).await)?;
    books
        .report(&order.iccid, &format!("is {}", order.state), args.json)
        .await
}

async fn confirm(args: ConfirmArgs) -> Result<(), Failure> {
    let one = &args.one;
    let iccid = text("ICCID", Some(&one.iccid))?.unwrap_or_default();
    let request = args.terms.request(iccid)?;
    let books = Books::open(&one.file).await?;
    let done = books.desk().confirm(&request, &By::Hand(None), web::now());
    decided(done.await)?;
    let state = if request.release_flag {
        "is released"
    } else {
        "is confirmed"
    };
    books.report(&one.iccid, state, one.json).await
}

async fn release(one: OneArgs) -> Result<(), Failure> {
    let books = Books::open(&one.file).await?;
    let done = books
        .desk()
        .release(&one.iccid, &By::Hand(None), web::now());
    decided(done.await)?;
    books.report(&one.iccid, "is released", one.json).await
}

async fn cancel(args: CancelArgs) -> Result<(), Failure> {
    let one = &args.one;
    let books = Books::open(&one.file).await?;
    let to = match args.unavailable {
        true => FinalProfileStatus::Unavailable,
        false => FinalProfileStatus::Available,
    };
    let now = web::now();
    if args.force {
        decided(books.desk().put_back(&one.iccid, to, now).await)?;
    } else {
        // A command names the order by its ICCID alone: EID and MatchingID are the order's own.
        let order = books.store.order(&one.iccid).await?;
        let order = order.ok_or_else(|| unknown(&one.iccid))?;
        let request = CancelOrderRequest {
            header: RequestHeader::default(),
            eid: text("EID", order.eid.as_deref())?,
            iccid: text("ICCID", Some(&one.iccid))?.unwrap_or_default(),
            matching_id: text("MatchingID", order.matching_id.as_deref())?,
            final_profile_status_indicator: to,
        };
        let done = books.desk().cancel(&request, &By::Hand(None), now).await;
        decided(done)?;
    }
    let done = match to {
        FinalProfileStatus::Available => "can be ordered again",
        FinalProfileStatus::Unavailable => "can't be ordered any more",
    };
    books.report(&one.iccid, done, one.json).await
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let books = Books::open(&args.file).await?;
    let (now, address) = (web::now(), &books.config.address);
    let list = List::new(&COLUMNS, args.json).only_columns();
    let read = async |after: Option<String>, limit| {
        let rows = books.store.list(after.as_deref(), limit).await?;
        let row = |listed: Listed| {
            let iccid = listed.order.iccid.clone();
            Ok((
                iccid,
                Some(serde_json::to_value(View::new(listed, address, now))?),
            ))
        };
        rows.into_iter().map(row).collect::<Result<_, Failure>>()
    };
    let printed = list.paged(&args.page, read).await;
    books.store.close().await;
    printed
}

/// What a table of orders shows.
const COLUMNS: [&str; 9] = [
    "iccid",
    "state",
    "expired",
    "profile_type",
    "name",
    "eid",
    "matching_id",
    "changed_at",
    "expires_at",
];

async fn show(one: OneArgs) -> Result<(), Failure> {
    let books = Books::open(&one.file).await?;
    let listed = books.store.listed(&one.iccid).await;
    books.store.close().await;
    let listed = listed?.ok_or_else(|| unknown(&one.iccid))?;
    let view = View::new(listed, &books.config.address, web::now());
    let row = serde_json::to_value(view)?;
    show_row(row, one.json)
}

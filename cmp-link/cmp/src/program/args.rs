//! What the command line understands, apart from options of all commands.
//! Parsed by clap; carried out by `program`.

use super::{enrol, keys, orders, sync, users};
use crate::operator::Because;
use aid_aid1::body::MAX_TEXT;
use aid_cli::list::PageArgs;
use aid_cli::printable::is_unprintable;
use aid_cmp_core::model::{CallState, Role};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve MSPs, users and vehicles.
    Serve,
    /// Make the database, or bring it up to date.
    Migrate,
    /// Copy the SQLite database into a new file, while aid-cmp serves.
    Backup {
        /// The copy; it must not exist.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Check the configuration, certificates and keys among it.
    CheckConfig,
    /// Print a commented configuration.
    ExampleConfig,
    /// Users.
    #[command(subcommand)]
    User(UserCommand),
    /// What somebody else's MQTT broker needs to be the vehicles' gateway.
    #[command(subcommand)]
    Gateway(enrol::GatewayCommand),
    /// Vehicles.
    #[command(subcommand)]
    Vehicle(VehicleCommand),
    /// The configured MSPs.
    #[command(subcommand)]
    Msp(MspCommand),
    /// Linked subscriptions.
    #[command(subcommand)]
    Federation(FederationCommand),
    /// Profiles in vehicles.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Orders to vehicles: kept and sent again until their result came.
    #[command(subcommand)]
    Order(OrderCommand),
    /// Calls to MSPs: made again with growing pauses until they were answered.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Status synchronisation with the MSPs (AID.02 §4.6). Nothing is ever deleted because of it.
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Who did what, and why.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// How much is to be done: open and overdue orders, due and dead calls, open requests; vehicles online.
    Summary,
    /// What is wrong now, however long ago it began: dead calls, MSPs that fail, overdue orders, silent vehicles, locked
    /// accounts, certificates that expire.
    Problems,
    /// All that is known of a transaction, across car, CMP and MSP, in one order.
    Correlation {
        /// The correlation-id, as `order show`, `outbox show` and traces have it.
        id: uuid::Uuid,
    },
    /// Keys of the admin API.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Who signs in at the operator's console.
    #[command(subcommand)]
    Member(MemberCommand),
    /// Addresses that hear of orders and alarms.
    #[command(subcommand)]
    Webhook(WebhookCommand),
}

/// What somebody may do at the console, or with a key.
fn role(text: &str) -> Result<Role, String> {
    Role::from_text(text).ok_or_else(|| "use viewer, operator or admin".into())
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make one; it is shown once and stored as a hash only.
    Add {
        /// Whose, for the audit trail.
        name: String,
        /// What it may do: viewer, operator or admin.
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// List them, revoked ones too.
    List,
    /// Let one open nothing any more.
    Revoke {
        /// Its id; `key list` shows them.
        id: uuid::Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Let somebody sign in, or change how; all their sessions end.
    Add {
        /// Name to sign in with.
        name: String,
        /// What they may do: viewer, operator or admin.
        #[arg(long, value_parser = role)]
        role: Role,
        /// Their client certificate (PEM or DER), where admin.client_ca demands one: they need no password then.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// Read a password from standard input; at a terminal it is asked for, and not shown.
        #[arg(long, required_unless_present = "certificate")]
        password_stdin: bool,
    },
    /// List them.
    List,
    /// Let somebody sign in no more.
    Remove {
        /// Their name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// Add one; the key of its signatures is shown once.
    Add {
        /// https://...
        url: String,
    },
    /// List them.
    List,
    /// Remove one; what it has not heard is dropped.
    Remove {
        /// Its id; `webhook list` shows them.
        id: uuid::Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MspCommand {
    /// List them, with what each does otherwise than AID.02 has it and is tolerated.
    List,
    /// Replace a key, secret or certificate: the new one is put before the old one in the configuration
    /// file and printed once; `--finish` takes the old one out. A running server follows within seconds.
    RotateKey {
        /// Name of the MSP.
        name: String,
        /// The secret that is replaced.
        #[arg(long, value_enum)]
        key: keys::Key,
        /// The MSP's new client certificate, for `--key certificate`.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// Keep only the newest.
        #[arg(long)]
        finish: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FederationCommand {
    /// List them.
    List(PageArgs),
    /// End one for its user: the MSP is told, its profiles are deleted (§4.4.1).
    Withdraw {
        /// The link.
        federation: uuid::Uuid,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Remove the ended ones of which nothing is left to do, and say why the others stay.
    Purge,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// List them.
    List {
        /// Those given to this vehicle.
        #[arg(long, value_name = "EID", conflicts_with_all = ["limit", "after"])]
        vehicle: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Delete one from the vehicle that has it (§4.5).
    Delete {
        /// The profile.
        iccid: String,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Let a user have a profile again in a vehicle where the user deleted it.
    Allow {
        /// Name of the user.
        user: String,
        /// EID of the vehicle.
        eid: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SyncCommand {
    /// Ask the MSPs now, and compare.
    Run {
        #[command(flatten)]
        whom: sync::SyncWhom,
        /// This profile only.
        #[arg(long)]
        iccid: Option<String>,
    },
    /// The newest result of each link, by link, or all of one.
    Report {
        /// The link.
        #[arg(long, value_name = "ID", conflicts_with_all = ["limit", "after"])]
        federation: Option<uuid::Uuid>,
        #[command(flatten)]
        page: PageArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List the entries, oldest first.
    List(orders::AuditArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum OutboxCommand {
    /// List those that are due or given up, or those of one state.
    List {
        /// due, dead, done or dropped.
        #[arg(long, value_parser = call_state)]
        state: Option<CallState>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// List those that were given up.
    Dead(PageArgs),
    /// One with its history.
    Show {
        /// The call.
        call: uuid::Uuid,
    },
    /// Make a call now, also one that was given up.
    #[command(alias = "retry")]
    Replay {
        /// The call.
        call: uuid::Uuid,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Close a call without an answer; those behind it in its lane go on.
    Drop {
        /// The call.
        call: uuid::Uuid,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

/// What an operator says about why: a text that says something, in one line.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let long = text.chars().count() > MAX_TEXT;
    if text.is_empty() || long || text.contains(is_unprintable) {
        Err(format!("say why in one line of 1 to {MAX_TEXT} characters"))
    } else {
        Ok(text.to_owned())
    }
}

fn call_state(text: &str) -> Result<CallState, String> {
    CallState::from_text(text).ok_or_else(|| "use due, dead, done or dropped".into())
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user.
    Add(users::UserAdd),
    /// List them.
    List(PageArgs),
    /// One with links, vehicles and notices.
    Show {
        /// Name of the user.
        name: String,
    },
    /// Give a user who forgot the password another one; all sessions of the user end, and their identities at other
    /// providers sign in no more.
    SetPassword {
        /// Name of the user.
        name: String,
        /// Read the new password from standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Let the identities sign in as before: nobody else had the account.
        #[arg(long)]
        keep_identities: bool,
    },
    /// Give a user another PIN for cars, or none.
    SetPin {
        /// Name of the user.
        name: String,
        /// Read the new PIN from standard input.
        #[arg(long, conflicts_with = "none", required_unless_present = "none")]
        pin_stdin: bool,
        /// Only a code logs the user in to cars from now on.
        #[arg(long)]
        none: bool,
    },
    /// Take back what was counted of wrong passwords, PINs and login codes: a user who is locked out may try at once.
    Unlock {
        /// Name of the user.
        name: String,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// What a user prefers in every car (AID User Profile); cars get it at the next login.
    #[command(subcommand)]
    Preference(users::PreferenceCommand),
    /// Forget a user: links end, profiles are deleted, name and secrets go at once, the rest when it
    /// is done.
    Erase {
        /// Name of the user.
        name: String,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

/// Which vehicles.
#[derive(Debug, Args)]
pub(super) struct VehicleFilter {
    /// Those whose EID or VIN begins with this, or in which the user of this name is or was logged in; at most 500.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["limit", "after"])]
    pub(super) search: Option<String>,
    #[command(flatten)]
    pub(super) page: PageArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum VehicleCommand {
    /// Let a vehicle take part with this certificate and no other, or give it another one.
    Enrol(Box<enrol::Enrol>),
    /// Let a vehicle take part with any certificate of the gateway's CA that names its EID.
    Add {
        /// EID of its eUICC, 32 digits.
        eid: String,
        /// Its vehicle identification number, 17 characters.
        #[arg(long)]
        vin: Option<String>,
    },
    /// Let many vehicles take part: CSV with the columns eid, vin, certificate_sha256, certificate (Base64 of its DER).
    /// Nothing is stored while a line is wrong; the same file again goes on where it was cut short.
    Import {
        /// The file.
        file: PathBuf,
    },
    /// List them.
    List(VehicleFilter),
    /// One with profiles, users and open orders.
    Show {
        /// EID of the vehicle.
        eid: String,
    },
    /// Its certificates: those that it asked for over AID2, newest first, and the one that it was enrolled with.
    Certificates {
        /// EID of the vehicle.
        eid: String,
    },
    /// Log its users out and delete its profiles, because a rental ended or for a workshop (A.4).
    Clear {
        /// EID of the vehicle.
        eid: String,
        /// What happened.
        #[arg(long)]
        because: Because,
        /// More, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: Option<String>,
    },
    /// Cut a vehicle off now: orders are closed, profiles count as lost; `clear` it first if it can
    /// still be reached.
    Retire {
        /// EID of the vehicle.
        eid: String,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// The unit with the eUICC was exchanged: the old one is cut off, the new one takes part (A.4).
    Exchange {
        /// EID of the old eUICC.
        old: String,
        /// EID of the new one.
        new: String,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum OrderCommand {
    /// Give an order.
    Add {
        /// EID of the vehicle.
        eid: String,
        /// What it has to do.
        #[command(subcommand)]
        what: orders::OrderWhat,
    },
    /// List them.
    List(orders::OrderFilter),
    /// One with its history.
    Show {
        /// The order.
        order: uuid::Uuid,
    },
    /// Give a closed order again, under a new name.
    Replay {
        /// The order.
        order: uuid::Uuid,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Close an open order without a result; the vehicle may never come back.
    #[command(visible_alias = "force-close")]
    Close {
        /// The order.
        order: uuid::Uuid,
        /// Why, for the audit trail.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

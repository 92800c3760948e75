//! The command line of `aid-msp`: nouns and verbs.

use std::path::PathBuf;

use aid_aid1::body::ProfileValidity;
use aid_aid1::headers::PartyId;
use aid_cli::cli::{Arguments, LogArgs};
use aid_cli::list::PageArgs;
use aid_id::Iccid;
use clap::{Parser, Subcommand};

use crate::config::More;
use crate::core::desk::Role;
use crate::core::model::SubscriptionChange;
use crate::misbehave::{Parameters, Wish};

/// A mobile service provider for GSMA AID.02: touchpoint, API for CMPs, orders at an SM-DP+.
#[derive(Parser, Debug)]
#[command(name = "aid-msp", version)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) logs: LogArgs,
    /// Configuration file; default: msp.toml here, or /etc/aid/msp.toml.
    #[arg(long, global = true, env = "AID_MSP_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Serve CMPs and customers until SIGTERM or SIGINT.
    Serve,
    /// Make the database, or bring it up to date; `serve` does that too.
    Migrate,
    /// Print a commented configuration.
    ExampleConfig,
    /// Check the configuration with its keys and certificates.
    CheckConfig,
    /// Print the hash of a password on standard input, for the configuration.
    HashPassword,
    /// Customers.
    #[command(subcommand)]
    Customer(CustomerAction),
    /// The same as `customer list`.
    #[command(subcommand)]
    User(ListAction),
    /// Their subscriptions.
    #[command(subcommand)]
    Subscription(SubscriptionAction),
    /// Profiles of subscriptions.
    #[command(subcommand)]
    Profile(ProfileAction),
    /// Requests for activation codes and what became of them.
    #[command(subcommand)]
    Order(ListAction),
    /// Reports of CMPs about profiles (AID.02 §7.8).
    #[command(subcommand)]
    Status(ListAction),
    /// Progress of downloads, as SM-DP+s tell it (SGP.22 §5.3.5).
    #[command(subcommand)]
    Progress(ListAction),
    /// What still has to be sent, and what was.
    #[command(subcommand)]
    Outbox(OutboxAction),
    /// The configured CMPs.
    #[command(subcommand)]
    Cmp(CmpAction),
    /// Who did what.
    #[command(subcommand)]
    Audit(ListAction),
    /// Who signs in at the operator's console.
    #[command(subcommand)]
    Member(MemberAction),
    /// End all onboardings of a customer: their profiles leave the network, the CMPs delete them (AID.02 §4.4.2).
    Withdraw {
        #[command(flatten)]
        who: Who,
        /// For customer care at the CMP.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Tell CMPs the present number, kind and group of a customer's subscriptions (AID.02 §4.8).
    Update {
        #[command(flatten)]
        who: Who,
    },
    /// Misbehave on purpose (docs/msp-control.md); needs [control] in the configuration.
    #[command(subcommand)]
    Misbehave(MisbehaveAction),
}

#[derive(Subcommand, Debug)]
pub(super) enum ListAction {
    /// List them.
    List(PageArgs),
}

#[derive(Subcommand, Debug)]
pub(super) enum MemberAction {
    /// List them.
    List,
    /// Let somebody sign in, or give them another role and password; the password comes on standard input.
    Add {
        /// Name to sign in with.
        name: String,
        /// viewer (sees everything), operator (does what can be taken back) or admin.
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// Let somebody sign in no more; they are signed out everywhere.
    Remove {
        /// Their name.
        name: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
        .map_err(|()| "use viewer, operator or admin".into())
}

#[derive(Subcommand, Debug)]
pub(super) enum CustomerAction {
    /// List them, with their subscriptions and onboardings.
    List(PageArgs),
    /// Make a customer, or give them another password; the password comes on standard input.
    Add {
        /// Name to log in with.
        user: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum SubscriptionAction {
    /// List them, with their onboardings and pools.
    List(PageArgs),
    /// Make one.
    Add(Box<NewSubscription>),
    /// Change one, and tell the CMPs (AID.02 §4.8).
    Update {
        /// The subscription.
        id: String,
        #[command(flatten)]
        change: SubscriptionChange,
    },
    /// Block one for a time: no network, no codes; the CMPs hear that its profiles are suspended (AID.02 §7.5).
    Suspend {
        /// The subscription.
        id: String,
        /// For customer care at the CMP.
        #[arg(long)]
        reason: Option<String>,
    },
    /// End the block.
    Resume {
        /// The subscription.
        id: String,
        /// For customer care at the CMP.
        #[arg(long)]
        reason: Option<String>,
    },
    /// End its onboardings (AID.02 §4.4.2); the contract goes on.
    Withdraw {
        /// The subscription.
        id: String,
        /// Only at this CMP (its client_id).
        #[arg(long)]
        cmp: Option<String>,
        /// For customer care at the CMP.
        #[arg(long)]
        reason: Option<String>,
    },
    /// End the contract, and its onboardings.
    End {
        /// The subscription.
        id: String,
        /// For customer care at the CMP.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct NewSubscription {
    /// Its name here.
    id: String,
    /// The customer.
    #[arg(long)]
    user: String,
    /// Phone number, country code first, no plus.
    #[arg(long)]
    msisdn: String,
    /// Shown instead of the MSP's name.
    #[arg(long)]
    name: Option<String>,
    /// private, business or unknown.
    #[arg(long, default_value = "private")]
    kind: String,
    /// Reporting group.
    #[arg(long)]
    customer_group: Option<String>,
    /// Profiles that may be in use before one is swapped.
    #[arg(long, default_value_t = 10)]
    max_profiles: u32,
    /// candidate, own or refuse: what happens when all profiles are in use.
    #[arg(long, default_value = "candidate")]
    swap: String,
    /// Shown before the customer agrees.
    #[arg(long)]
    fee: Option<String>,
    /// The option cannot be booked.
    #[arg(long)]
    not_eligible: bool,
    /// A profile of its own; may be given more than once. None: the SM-DP+ chooses.
    #[arg(long = "iccid")]
    iccids: Vec<Iccid>,
}

impl From<NewSubscription> for More {
    fn from(new: NewSubscription) -> Self {
        Self {
            id: new.id,
            user: new.user,
            msisdn: new.msisdn,
            msp_name: new.name,
            subscription_type: new.kind,
            customer_group: new.customer_group,
            max_profiles: new.max_profiles,
            swap: new.swap,
            fee: new.fee,
            eligible: !new.not_eligible,
            iccids: new.iccids,
        }
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum ProfileAction {
    /// List them.
    List(PageArgs),
    /// A profile is dead for good: out of the network, the CMP deletes it (AID.02 §7.5 invalid).
    Defect(Fate),
    /// Block a profile for a time (suspended).
    Suspend(Fate),
    /// End the block (valid).
    Resume(Fate),
    /// Tell the CMP about one profile: invalid, valid or suspended (AID.02 §4.7).
    Inform {
        /// The profile.
        #[arg(long)]
        iccid: Iccid,
        /// invalid, valid or suspended.
        #[arg(long)]
        status: ProfileValidity,
        /// For customer care at the CMP.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Fate {
    /// The profile.
    pub(super) iccid: Iccid,
    /// For customer care at the CMP.
    #[arg(long)]
    pub(super) reason: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(super) enum OutboxAction {
    /// List it.
    List(PageArgs),
    /// Try a job now, also one that is dead.
    Retry {
        /// Its number.
        id: i64,
    },
    /// Give a job up.
    Drop {
        /// Its number.
        id: i64,
        /// The reason, kept in the audit trail.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum CmpAction {
    /// List them.
    List,
    /// Make a new API key that this CMP may use from now on, beside those that it has.
    RotateKey {
        /// Its client_id.
        cmp: String,
        /// The keys that were made before with this command end; the one of the configuration goes on.
        #[arg(long)]
        only: bool,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Who {
    /// The customer.
    #[arg(long)]
    pub(super) user: String,
    /// Only at this CMP (its client_id).
    #[arg(long)]
    pub(super) cmp: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(super) enum MisbehaveAction {
    /// What can be done wrong, with the operations where it acts.
    Names,
    /// What was asked for, with how often it has acted.
    List,
    /// Ask for a misbehaviour.
    Set(Box<Misbehaviour>),
    /// Take back one misbehaviour, or all.
    Clear {
        /// Only this one.
        id: Option<i64>,
    },
    /// What was done on purpose, and what CMPs said to it.
    Events {
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Misbehaviour {
    /// Which; `misbehave names` prints all.
    name: String,
    /// Only in this operation.
    #[arg(long)]
    operation: Option<String>,
    /// Only towards this CMP (its client_id).
    #[arg(long)]
    cmp: Option<PartyId>,
    /// How often.
    #[arg(long, default_value_t = 1, conflicts_with = "always")]
    times: u32,
    /// Until it is cleared.
    #[arg(long)]
    always: bool,
    /// Opportunities to leave out first.
    #[arg(long, default_value_t = 0)]
    skip: u32,
    /// How likely at each opportunity, 0 to 1.
    #[arg(long, default_value_t = 1.0)]
    probability: f64,
    /// Where chance begins; the same seed acts at the same opportunities.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    parameters: Parameters,
}

impl From<Misbehaviour> for Wish {
    fn from(args: Misbehaviour) -> Self {
        Self {
            name: args.name,
            operation: args.operation,
            cmp: args.cmp,
            times: (!args.always).then_some(args.times),
            skip: args.skip,
            probability: args.probability,
            seed: args.seed,
            parameters: args.parameters,
        }
    }
}

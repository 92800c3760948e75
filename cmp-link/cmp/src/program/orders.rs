//! Arguments of `order`, `outbox` and `audit`.

use super::args::reason;
use crate::operator::{self, Orders, Trail};
use aid_cli::list::PageArgs;
use clap::{Args, Subcommand};

/// What a car has to do.
#[derive(Debug, Subcommand)]
pub enum OrderWhat {
    /// Delete a profile.
    Delete {
        /// The profile.
        iccid: String,
        /// For the audit trail.
        #[command(flatten)]
        why: Why,
    },
    /// Disable a profile for the rest of the session.
    Disable {
        /// The profile.
        iccid: String,
        /// For the audit trail.
        #[command(flatten)]
        why: Why,
    },
    /// End the session of a user.
    Logout {
        /// Name of the user.
        user: String,
        /// For the audit trail.
        #[command(flatten)]
        why: Why,
    },
    /// End of a rental, workshop, sale: end the session and delete every profile (A.4).
    DeleteAll {
        /// For the audit trail.
        #[command(flatten)]
        why: Why,
    },
    /// The vehicle is sold: as delete-all, then it erases its journal, its keys and its certificate.
    FactoryReset {
        /// For the audit trail.
        #[command(flatten)]
        why: Why,
    },
}

/// Why something is done.
#[derive(Debug, Args)]
pub struct Why {
    /// Why, for the audit trail.
    #[arg(long, value_parser = reason)]
    reason: String,
}

/// Which orders.
#[derive(Debug, Args)]
pub struct OrderFilter {
    /// Without a result for longer than `policy.overdue_days`.
    #[arg(long)]
    pub(super) overdue: bool,
    /// Without a result.
    #[arg(long)]
    pub(super) open: bool,
    /// Of this vehicle (EID).
    #[arg(long, value_name = "EID")]
    pub(super) vehicle: Option<String>,
    #[command(flatten)]
    pub(super) page: PageArgs,
}

/// Which entries of the audit trail.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Of so many days.
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    days: u32,
    /// Of this actor: an MSP's name, `user`, `cmp`, `car` or `portal` (refused logins), or an operator.
    #[arg(long)]
    actor: Option<String>,
    /// About this EID, ICCID or reference.
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
    /// The newest so many; without it, and with --after, all from the oldest on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
    /// Those behind this one: TIME/POSITION, which are `at` and `position` of its row.
    #[arg(long, value_name = "CURSOR", conflicts_with = "limit")]
    pub(super) after: Option<String>,
}

impl OrderWhat {
    /// What has to be done, and why.
    pub(super) fn and_why(self) -> (operator::OrderWhat, String) {
        use operator::OrderWhat as What;
        let (what, why) = match self {
            Self::Delete { iccid, why } => (What::Delete(iccid), why),
            Self::Disable { iccid, why } => (What::Disable(iccid), why),
            Self::Logout { user, why } => (What::Logout(user), why),
            Self::DeleteAll { why } => (What::DeleteAll, why),
            Self::FactoryReset { why } => (What::FactoryReset, why),
        };
        (what, why.reason)
    }
}

impl OrderFilter {
    pub(super) fn orders(&self) -> Orders {
        Orders {
            overdue: self.overdue,
            open: self.open,
            vehicle: self.vehicle.clone(),
        }
    }
}

impl AuditArgs {
    pub(super) fn trail(&self) -> Trail {
        Trail {
            days: self.days,
            actor: self.actor.clone(),
            about: self.about.clone(),
        }
    }
}

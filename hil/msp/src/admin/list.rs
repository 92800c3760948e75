//! Lists, read in parts.

use serde_json::{Value, json};

use super::Refusal;
use crate::core::account::Entry;
use crate::core::model::{
    JobState, Onboarding, Order, OrderState, OutboxRow, Profile, Progress, StatusRow, Subscription,
};
use crate::msp::Msp;
use crate::store::{Page, Place, Stored, Tx};

/// Rows that are read at once where a whole list is wanted.
const PAGE: u32 = 500;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Customers with their subscriptions and onboardings.
    Customers,
    /// Subscriptions with their onboardings and pools.
    Subscriptions,
    /// Onboardings: customers who are linked with CMPs, or were.
    Links,
    /// Profiles.
    Profiles,
    /// Requests for activation codes, all or those in one state; without the codes.
    Orders(Option<OrderState>),
    /// Reports of CMPs (AID.02 §7.8).
    Statuses,
    /// Progress of downloads (SGP.22 §5.3.5).
    Progress,
    /// Calls that were decided on, all or those in one state; without bodies, which hold account ids and activation codes.
    Outbox(Option<JobState>),
    /// The audit trail.
    Audit,
}

/// A row with its place.
type Placed = (Place, Value);

impl List {
    /// The list of this name in the control API.
    pub(crate) fn of(noun: &str) -> Option<Self> {
        Some(match noun {
            "users" | "customers" => Self::Customers,
            "subscriptions" => Self::Subscriptions,
            "links" => Self::Links,
            "profiles" => Self::Profiles,
            "orders" => Self::Orders(None),
            "statuses" => Self::Statuses,
            "progress" => Self::Progress,
            "outbox" => Self::Outbox(None),
            "audit" => Self::Audit,
            _ => return None,
        })
    }

    /// A part of it.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn part(self, msp: &Msp, page: Page) -> Stored<Vec<Placed>> {
        let read = msp.store.read(async move |tx| self.read(tx, &page).await);
        read.await
    }

    /// All of it, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn all(self, msp: &Msp) -> Result<Value, Refusal> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = Page {
                after,
                limit: PAGE,
                newest_first: false,
            };
            let part = self.part(msp, page).await?;
            let is_last = part.len() < PAGE as usize;
            after = part.last().map(|(place, _)| place.clone());
            all.extend(part.into_iter().map(|(_, row)| row));
            if is_last {
                return Ok(all.into());
            }
        }
    }

    async fn read(self, tx: Tx<'_>, page: &Page) -> Stored<Vec<Placed>> {
        let mut rows = Vec::new();
        match self {
            Self::Customers => {
                for (user, created_at) in tx.customers(page).await? {
                    let row = customer_row(tx, &user, created_at).await?;
                    rows.push((Place(0, user), row));
                }
            }
            Self::Subscriptions => {
                for (created_at, s) in tx.subscriptions(page).await? {
                    let row = subscription_row(tx, &s).await?;
                    rows.push((Place(created_at, s.id), row));
                }
            }
            Self::Links => {
                for o in tx.onboardings(page).await? {
                    let place = Place(o.created_at, o.msp_token.to_string());
                    rows.push((place, link_row(&o)));
                }
            }
            Self::Profiles => {
                for p in tx.profiles(page).await? {
                    let place = Place(p.created_at, p.iccid.as_str().to_owned());
                    let onboarding = tx.onboarding_with(p.msp_token).await?;
                    rows.push((place, profile_row(&p, onboarding.as_ref())));
                }
            }
            Self::Orders(state) => {
                for o in tx.orders(state, page).await? {
                    let place = Place(o.created_at, o.request.request_id.to_string());
                    rows.push((place, order_row(&o)));
                }
            }
            Self::Statuses => {
                for s in tx.statuses(page).await? {
                    let onboarding = tx.onboarding_with(s.msp_token).await?;
                    let row = status_row(&s, onboarding.as_ref());
                    rows.push((Place(s.seq, String::new()), row));
                }
            }
            Self::Progress => {
                for (seq, at, p) in tx.progress(page).await? {
                    rows.push((Place(seq, String::new()), progress_row(at, &p)));
                }
            }
            Self::Outbox(state) => {
                for row in tx.outbox(state, page).await? {
                    rows.push((Place(row.id, String::new()), job_row(&row)));
                }
            }
            Self::Audit => {
                for entry in tx.audits(page).await? {
                    rows.push((Place(entry.seq, String::new()), audit_row(&entry)));
                }
            }
        }
        Ok(rows)
    }
}

/// An onboarding inside the row of its customer or subscription.
pub(super) fn onboarding_row(o: &Onboarding) -> Value {
    json!({
        "msp_token": o.msp_token.to_string(), "client_id": o.client_id.as_str(), "state": o.state.as_str(),
        "subscription": o.subscription, "created_at": o.created_at, "changed_at": o.changed_at,
    })
}

/// An onboarding as a row of its own.
pub(super) fn link_row(o: &Onboarding) -> Value {
    let mut row = onboarding_row(o);
    row["user"] = o.user.as_str().into();
    row
}

/// A subscription without what belongs to it.
pub(super) fn plain_subscription(s: &Subscription) -> Value {
    json!({
        "subscription": s.id, "user": s.user, "name": s.label, "msisdn": s.masked(), "subscription_type": s.kind.as_str(),
        "customer_group": s.customer_group, "max_profiles": s.max_profiles, "swap": s.swap.as_str(), "fee": s.fee,
        "eligible": s.eligible, "state": s.state.as_str(),
    })
}

/// A subscription with its onboardings and its pool.
pub(super) async fn subscription_row(tx: Tx<'_>, s: &Subscription) -> Stored<Value> {
    let mut row = plain_subscription(s);
    let onboardings = tx.onboardings_with(&s.id).await?;
    row["onboardings"] = onboardings.iter().map(onboarding_row).collect();
    let pool = tx.pool_of(&s.id).await?;
    row["pool"] = pool.iter().map(|i| i.as_str().to_owned()).collect();
    Ok(row)
}

/// A customer with their subscriptions and onboardings.
pub(super) async fn customer_row(tx: Tx<'_>, user: &str, created_at: i64) -> Stored<Value> {
    let subscriptions = tx.subscriptions_of(user).await?;
    let onboardings = tx.onboardings_of(user).await?;
    Ok(json!({
        "user": user, "created_at": created_at,
        "subscriptions": subscriptions.iter().map(plain_subscription).collect::<Vec<_>>(),
        "onboardings": onboardings.iter().map(onboarding_row).collect::<Vec<_>>(),
    }))
}

/// A profile; `onboarding` is that of its token.
pub(super) fn profile_row(p: &Profile, onboarding: Option<&Onboarding>) -> Value {
    json!({
        "iccid": p.iccid.as_str(), "msp_token": p.msp_token.to_string(), "user": onboarding.map(|o| o.user.as_str()),
        "subscription": onboarding.map(|o| o.subscription.as_str()), "eid": p.eid.as_str(),
        "state": p.phase.as_str(), "network": p.network, "created_at": p.created_at, "used_at": p.used_at,
    })
}

/// A request for an activation code.
pub(super) fn order_row(o: &Order) -> Value {
    json!({
        "request_id": o.request.request_id.to_string(), "client_id": o.request.client_id.as_str(),
        "msp_token": o.request.msp_token.to_string(), "eid": o.request.eid.as_str(),
        "correlation_id": o.request.correlation_id.to_string(),
        "replace_iccid": o.request.replace_iccid.as_ref().map(|i| i.as_str()), "delivery": o.delivery.as_str(),
        "state": o.state.as_str(), "iccid": o.iccid.as_ref().map(|i| i.as_str()),
        "swapped_iccid": o.swapped.as_ref().map(|i| i.as_str()), "error": o.error, "created_at": o.created_at,
    })
}

/// A report of a CMP; `onboarding` is that of its token.
pub(super) fn status_row(row: &StatusRow, onboarding: Option<&Onboarding>) -> Value {
    json!({
        "seq": row.seq, "at": row.at, "client_id": row.client_id.as_str(), "msp_token": row.msp_token.to_string(),
        "user": onboarding.map(|o| o.user.as_str()), "iccid": row.iccid.as_str(), "eid": row.eid.as_str(),
        "status": row.status.as_str(), "correlation_id": row.correlation_id.to_string(),
    })
}

/// A step of a download.
pub(super) fn progress_row(at: i64, p: &Progress) -> Value {
    json!({
        "at": at, "iccid": p.iccid.as_str(), "eid": p.eid, "point": p.point, "status": p.status, "message": p.message,
    })
}

/// A call that was decided on.
pub(super) fn job_row(row: &OutboxRow) -> Value {
    json!({
        "id": row.id, "kind": row.job.kind.as_str(), "client_id": row.job.client_id.as_str(),
        "msp_token": row.job.msp_token.to_string(), "request_id": row.job.request_id.to_string(),
        "correlation_id": row.job.correlation_id.to_string(), "state": row.state.as_str(),
        "attempts": row.attempts, "next_at": row.next_at, "created_at": row.created_at, "last_error": row.last_error,
    })
}

fn audit_row(entry: &Entry) -> Value {
    let reason = Some(&entry.reason).filter(|reason| !reason.is_empty());
    json!({
        "at": entry.at, "actor": entry.actor, "action": entry.action, "detail": entry.detail, "reason": reason,
    })
}

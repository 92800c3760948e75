//! The audit trail, and how much is to be done.

use super::{Listed, Operator, Refusal, place, time};
use crate::service::now;
use crate::store::{AuditFilter, Tx};
use aid_cli::time::rfc3339;
use aid_cmp_core::model::Audit;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A day, ms.
const DAY: u64 = 24 * 3600 * 1000;

/// Which entries of the audit trail.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    /// Of so many days.
    pub days: u32,
    /// Of this actor.
    pub actor: Option<String>,
    /// About this EID, ICCID or reference.
    pub about: Option<String>,
}

impl Trail {
    fn filter(&self, now: u64) -> AuditFilter {
        let days = u64::from(self.days).saturating_mul(DAY);
        AuditFilter {
            since: now.saturating_sub(days),
            actor: self.actor.clone(),
            about: self.about.clone(),
        }
    }
}

fn audit_row(position: u64, a: &Audit) -> Value {
    json!({
        "at": time(a.at), "who": a.actor, "what": a.action, "on": a.detail, "why": a.reason,
        "position": position,
    })
}

/// The place of an entry of the audit trail.
#[derive(Debug, Clone, Copy)]
struct Place(u64, u64);
impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, position) = text.split_once('/').ok_or(())?;
        let stamp: Timestamp = at.parse().map_err(|_| ())?;
        let at = u64::try_from(stamp.as_millisecond()).map_err(|_| ())?;
        Ok(Self(at, position.parse().map_err(|_| ())?))
    }
}
impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", rfc3339(self.0), self.1)
    }
}

impl Operator<'_> {
    /// Entries of the audit trail, oldest first.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn audit(
        &self,
        trail: &Trail,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        let filter = trail.filter(self.context().now);
        let after: Option<Place> = place(after)?;
        let after = after.map(|Place(at, position)| (at, position));
        let read = async move |tx: &Tx<'_>| tx.audits(&filter, after, limit).await;
        let audits = self.store.read(read).await?;
        let row = |(position, a): (u64, Audit)| {
            let place = Place(a.at, position).to_string();
            (place, Some(audit_row(position, &a)))
        };
        Ok(audits.into_iter().map(row).collect())
    }

    /// The newest entries of the audit trail, oldest of them first.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn newest_audits(&self, trail: &Trail, limit: u32) -> Result<Vec<Value>, Refusal> {
        let filter = trail.filter(self.context().now);
        let list = async move |tx: &Tx<'_>| tx.newest_audits(&filter, limit).await;
        let rows = self.store.read(list).await?;
        Ok(rows.iter().map(|(at, a)| audit_row(*at, a)).collect())
    }

    /// How much is to be done.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn summary(&self) -> Result<Value, Refusal> {
        let overdue = u64::from(self.file.policy.overdue_days) * 24 * 3600 * 1000;
        let before = self.context().now.saturating_sub(overdue);
        let at = now();
        let read = async move |tx: &Tx<'_>| {
            let work = (tx.work().await?, tx.overdue_orders(before).await?);
            Ok((work, tx.online(at).await?))
        };
        let ((work, overdue), online) = self.store.read(read).await?;
        let row = json!({
            "open_orders": work.open_orders, "overdue_orders": overdue,
            "oldest_order": time(work.oldest_order), "due_calls": work.due_calls,
            "oldest_call": time(work.oldest_call), "dead_calls": work.dead_calls,
            "open_requests": work.open_requests, "vehicles_online": online,
        });
        Ok(row)
    }
    /// The configured MSPs, with what each did otherwise than AID.02 has it and was tolerated.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn msps(&self) -> Result<Vec<Value>, Refusal> {
        let deviations = self.store.read(async |tx| tx.deviations().await).await?;
        let row = |m: &crate::config::MspFile| {
            let own = deviations.iter().filter(|d| d.msp == m.name);
            let deviation = |d: &aid_cmp_core::model::Deviated| {
                json!({
                    "kind": d.kind, "count": d.count, "first_at": time(d.first_at), "last_at": time(d.last_at),
                })
            };
            json!({
                "name": m.name, "client_id": m.client_id.as_str(), "url": m.url,
                "touchpoint": m.touchpoint, "deviations": own.map(deviation).collect::<Vec<_>>(),
            })
        };
        Ok(self.file.msp.iter().map(row).collect())
    }
}

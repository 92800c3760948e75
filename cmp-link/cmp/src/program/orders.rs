//! `order`, `outbox` and `audit`: what is to be done, what happened, and an operator's word on it.

use super::admin::{Admin, PageArgs, account, changes, eid, iccid, id_text, show};
use super::procedures::vehicle;
use crate::store::{AuditFilter, Tx};
use aid_cli::cli::Failure;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, deletion};
use aid_cmp_core::model::{Audit, Call, CallState, Happening, Order, OrderState};
use aid_wire::OrderKind;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use uuid::Uuid;

/// A day, ms.
const DAY: u64 = 24 * 3600 * 1000;

/// What a car has to do.
#[derive(Debug, Subcommand)]
pub enum OrderWhat {
    /// Delete a profile.
    Delete {
        /// The profile.
        iccid: String,
    },
    /// Disable a profile for the rest of the session.
    Disable {
        /// The profile.
        iccid: String,
    },
    /// End the session of a user.
    Logout {
        /// Name of the user.
        user: String,
    },
    /// End of a rental, workshop, sale: end the session and delete every profile (A.4).
    DeleteAll,
}

/// Which orders.
#[derive(Debug, Args)]
pub struct OrderFilter {
    /// Without a result for longer than `policy.overdue_days`.
    #[arg(long)]
    overdue: bool,
    /// Without a result.
    #[arg(long)]
    open: bool,
    /// Of this vehicle (EID).
    #[arg(long, value_name = "EID")]
    vehicle: Option<String>,
    #[command(flatten)]
    page: PageArgs,
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
    limit: Option<u32>,
    /// Those behind this one: TIME/POSITION, which are `at` and `position` of its row.
    #[arg(long, value_name = "CURSOR", conflicts_with = "limit")]
    after: Option<String>,
}

/// The place of an entry of the audit trail.
#[derive(Debug, Clone, Copy)]
struct Place(u64, u64);

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, position) = text.split_once('/').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self(number(at)?, number(position)?))
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

fn order_row(o: &Order) -> Value {
    let (kind, account) = match &o.kind {
        OrderKind::Delete { .. } | OrderKind::DeleteOf { .. } => ("delete", None),
        OrderKind::Disable { .. } => ("disable", None),
        OrderKind::Logout { account } => ("logout", Some(id_text(account.0))),
        OrderKind::DeleteAll => ("delete-all", None),
        OrderKind::Erase { account } => ("erase", Some(id_text(account.0))),
    };
    json!({
        "order": id_text(o.id), "eid": o.eid.as_str(), "kind": kind,
        "iccid": o.iccid().map(|i| i.as_str()), "account": account, "reason": o.reason,
        "federation": o.federation.map(id_text), "state": o.state.as_str(), "code": o.code,
        "attempts": o.attempts, "created_at": o.created_at, "sent_at": o.sent_at,
        "closed_at": o.closed_at, "correlation_id": id_text(o.correlation),
    })
}

fn call_row(c: &Call) -> Value {
    json!({
        "call": id_text(c.id), "msp": c.msp, "kind": c.kind.as_str(), "state": c.state.as_str(),
        "attempts": c.attempts, "created_at": c.created_at, "next_at": c.next_at,
        "closed_at": c.closed_at, "last_error": c.last_error,
        "correlation_id": id_text(c.correlation),
    })
}

fn history_row(h: &Happening) -> Value {
    json!({"at": h.at, "event": h.event, "detail": h.detail})
}

/// The order of this id.
async fn order(tx: &Tx<'_>, order: Uuid) -> Result<Order, Failure> {
    let found = tx.order(order.into_bytes()).await?;
    found.ok_or_else(|| Failure::new(format!("there is no order {order}; `order list` shows all")))
}

/// The call of this id.
async fn call(tx: &Tx<'_>, call: Uuid) -> Result<Call, Failure> {
    let found = tx.call(call.into_bytes()).await?;
    found.ok_or_else(|| {
        Failure::new(format!(
            "there is no call {call}; `outbox list` shows those that are due or given up"
        ))
    })
}

/// The call of this id, which has no end yet.
async fn open_call(tx: &Tx<'_>, id: Uuid) -> Result<Call, Failure> {
    let call = call(tx, id).await?;
    match call.state {
        CallState::Due | CallState::Dead => Ok(call),
        closed => Err(Failure::new(format!(
            "call {id} is closed already: {}",
            closed.as_str()
        ))),
    }
}

impl Admin<'_> {
    pub(super) async fn add_order(&self, text: &str, what: OrderWhat) -> Result<(), Failure> {
        let eid = eid(text)?;
        let add = async move |tx: &Tx<'_>, context: &Context| {
            vehicle(tx, eid).await?;
            let kind = match &what {
                OrderWhat::Delete { iccid: text } => OrderKind::Delete {
                    iccid: iccid(text)?,
                },
                OrderWhat::Disable { iccid: text } => OrderKind::Disable {
                    iccid: iccid(text)?,
                },
                OrderWhat::Logout { user } => OrderKind::Logout {
                    account: account(tx, user).await?.id,
                },
                OrderWhat::DeleteAll => OrderKind::DeleteAll,
            };
            let order = context.order(eid, kind, "by the operator");
            let row = order_row(&order);
            let audit = context.audit("operator", "order", format!("{eid} {}", id_text(order.id)));
            Ok((changes(vec![Change::AddOrder(order), audit]), row))
        };
        show(vec![self.decide(add).await?], self.json)
    }

    pub(super) async fn orders(&self, filter: &OrderFilter) -> Result<(), Failure> {
        let of = filter.vehicle.as_deref().map(eid).transpose()?;
        let open = filter.open || filter.overdue;
        let days = u64::from(self.file.policy.overdue_days);
        let overdue = self.context().now.saturating_sub(days.saturating_mul(DAY));
        let before = if filter.overdue { overdue } else { u64::MAX };
        if let Some(eid) = of {
            self.look(async move |tx| vehicle(tx, eid).await).await?;
        }
        self.list(&filter.page, async |after: Option<u64>, limit| {
            let read = async move |tx: &Tx<'_>| tx.orders(of, open, after, limit).await;
            let orders = self.store.read(read).await?;
            let row = |(position, order): (u64, Order)| {
                (
                    position,
                    (order.created_at <= before).then(|| order_row(&order)),
                )
            };
            Ok(orders.into_iter().map(row).collect())
        })
        .await
    }

    pub(super) async fn show_order(&self, id: Uuid) -> Result<(), Failure> {
        let read = async move |tx: &Tx<'_>| {
            let order = order(tx, id).await?;
            let mut row = order_row(&order);
            // EID, account and ICCID say whose profile it deletes (§4.4.1 [8]).
            if let Some(link) = order.federation
                && let Some(federation) = tx.federation_by_id(link).await?
            {
                row["account"] = id_text(federation.account.0).into();
            }
            let history = tx.history(id.into_bytes()).await?;
            row["history"] = history.iter().map(history_row).collect();
            Ok(row)
        };
        show(vec![self.look(read).await?], self.json)
    }

    /// The same order under a new name: a car that has a result for the old one would repeat that.
    pub(super) async fn replay_order(&self, id: Uuid, reason: String) -> Result<(), Failure> {
        let replay = async move |tx: &Tx<'_>, context: &Context| {
            let old = order(tx, id).await?;
            if old.state == OrderState::Open {
                return Err(Failure::new(format!(
                    "order {id} is open; it is sent whenever the vehicle connects"
                )));
            }
            let new = Order {
                federation: old.federation,
                correlation: old.correlation,
                ..context.order(old.eid, old.kind.clone(), &old.reason)
            };
            let row = order_row(&new);
            let happened = |work, event: &str, detail| {
                Change::Happened(Happening {
                    work,
                    at: context.now,
                    event: event.to_owned(),
                    detail,
                })
            };
            let detail = format!("{id} as {}", id_text(new.id));
            let (before, after_id) = (id_text(old.id), new.id);
            let after = id_text(after_id);
            let reason = Some(reason.clone());
            let replayed = vec![
                context.audit_because("operator", "order replayed", detail, reason),
                happened(old.id, "replayed", format!("as {after}")),
                Change::AddOrder(new),
                happened(after_id, "replay", format!("of {before}")),
            ];
            Ok((changes(replayed), row))
        };
        show(vec![self.decide(replay).await?], self.json)
    }

    pub(super) async fn close_order(&self, id: Uuid, reason: String) -> Result<(), Failure> {
        let close = async move |tx: &Tx<'_>, context: &Context| {
            // Its vehicle's result ends it too.
            tx.lock(Lock::Vehicle(order(tx, id).await?.eid)).await?;
            let order = order(tx, id).await?;
            if order.state != OrderState::Open {
                return Err(Failure::new(format!(
                    "order {id} is closed already: {}",
                    order.state.as_str()
                )));
            }
            let mut closed = deletion::close(context, &order, &reason).to_vec();
            let (detail, reason) = (format!("{id} of {}", order.eid), Some(reason.clone()));
            closed.push(context.audit_because("operator", "order closed", detail, reason));
            Ok((changes(closed), ()))
        };
        self.decide(close).await?;
        let closed = self.look(async move |tx| order(tx, id).await).await?;
        show(vec![order_row(&closed)], self.json)
    }

    pub(super) async fn outbox(
        &self,
        state: Option<CallState>,
        page: &PageArgs,
    ) -> Result<(), Failure> {
        self.list(page, async |after: Option<u64>, limit| {
            let read = async move |tx: &Tx<'_>| {
                let mut calls = tx
                    .calls(state.unwrap_or(CallState::Due), after, limit)
                    .await?;
                if state.is_none() {
                    calls.extend(tx.calls(CallState::Dead, after, limit).await?);
                    calls.sort_by_key(|(position, _)| *position);
                    calls.truncate(limit as usize);
                }
                Ok(calls)
            };
            let calls = self.store.read(read).await?;
            let row = |(position, call): &(u64, Call)| (*position, Some(call_row(call)));
            Ok(calls.iter().map(row).collect())
        })
        .await
    }

    pub(super) async fn show_call(&self, id: Uuid) -> Result<(), Failure> {
        let read = async move |tx: &Tx<'_>| {
            let mut row = call_row(&call(tx, id).await?);
            let history = tx.history(id.into_bytes()).await?;
            row["history"] = history.iter().map(history_row).collect();
            Ok(row)
        };
        show(vec![self.look(read).await?], self.json)
    }

    pub(super) async fn replay_call(&self, id: Uuid) -> Result<(), Failure> {
        let replay = async move |tx: &Tx<'_>, context: &Context| {
            let call = open_call(tx, id).await?;
            let detail = format!("{id} to {}", call.msp);
            let revived = vec![
                Change::ReviveCall(call.id, context.now),
                context.audit("operator", "call replayed", detail),
            ];
            Ok((changes(revived), ()))
        };
        self.decide(replay).await?;
        show(vec![json!({"call": id.to_string()})], self.json)
    }

    pub(super) async fn drop_call(&self, id: Uuid, reason: String) -> Result<(), Failure> {
        let drop = async move |tx: &Tx<'_>, context: &Context| {
            let call = open_call(tx, id).await?;
            let detail = format!("{id} {} to {}", call.kind.as_str(), call.msp);
            let why = Some(reason.clone());
            let dropped = vec![
                Change::CloseCall(call.id, CallState::Dropped, context.now),
                Change::Happened(Happening {
                    work: call.id,
                    at: context.now,
                    event: "dropped".into(),
                    detail: reason.clone(),
                }),
                context.audit_because("operator", "call dropped", detail, why),
            ];
            Ok((changes(dropped), ()))
        };
        self.decide(drop).await?;
        show(
            vec![json!({"call": id.to_string(), "state": "dropped"})],
            self.json,
        )
    }

    pub(super) async fn audit(&self, args: AuditArgs) -> Result<(), Failure> {
        let days = u64::from(args.days).saturating_mul(DAY);
        let filter = AuditFilter {
            since: self.context().now.saturating_sub(days),
            actor: args.actor,
            about: args.about,
        };
        let row = |position: u64, a: Audit| {
            json!({
                "at": a.at, "who": a.actor, "what": a.action, "on": a.detail, "why": a.reason,
                "position": position,
            })
        };
        if let Some(limit) = args.limit {
            let list = async move |tx: &Tx<'_>| tx.newest_audits(&filter, limit).await;
            let rows = self.store.read(list).await?;
            return show(
                rows.into_iter().map(|(at, a)| row(at, a)).collect(),
                self.json,
            );
        }
        let page = PageArgs::after(args.after);
        self.list(&page, async |after: Option<Place>, limit| {
            let (filter, after) = (
                filter.clone(),
                after.map(|Place(at, position)| (at, position)),
            );
            let read = async move |tx: &Tx<'_>| tx.audits(&filter, after, limit).await;
            let audits = self.store.read(read).await?;
            let row = |(position, a): (u64, Audit)| (Place(a.at, position), Some(row(position, a)));
            Ok(audits.into_iter().map(row).collect())
        })
        .await
    }
}

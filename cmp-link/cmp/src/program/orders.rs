//! `order`, `outbox` and `audit`: what is to be done, what happened, and an operator's word on it.
//! Called by the command line; works on the database, also while the server runs.

use super::admin::{Admin, eid, iccid, id_text, show};
use crate::store::{AuditFilter, Store as _};
use aid_cli::cli::Failure;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::deletion;
use aid_cmp_core::model::{Audit, Call, CallState, Happening, Order, OrderState};
use aid_wire::OrderKind;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
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
    /// The newest so many.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: u32,
}

fn order_row(o: &Order) -> Value {
    let (kind, account) = match &o.kind {
        OrderKind::Delete { .. } => ("delete", None),
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

impl Admin<'_> {
    pub(super) async fn add_order(&self, text: &str, what: OrderWhat) -> Result<(), Failure> {
        let eid = eid(text)?;
        self.vehicle(eid).await?;
        let kind = match what {
            OrderWhat::Delete { iccid: text } => OrderKind::Delete {
                iccid: iccid(&text)?,
            },
            OrderWhat::Disable { iccid: text } => OrderKind::Disable {
                iccid: iccid(&text)?,
            },
            OrderWhat::Logout { user } => OrderKind::Logout {
                account: self.account(&user).await?.id,
            },
            OrderWhat::DeleteAll => OrderKind::DeleteAll,
        };
        let context = self.context();
        let order = context.order(eid, kind, "by the operator");
        let row = order_row(&order);
        let audit = context.audit("operator", "order", format!("{eid} {}", id_text(order.id)));
        self.commit(vec![Change::AddOrder(order), audit]).await?;
        show(vec![row], self.json)
    }

    pub(super) async fn orders(&self, filter: &OrderFilter) -> Result<(), Failure> {
        let of = filter.vehicle.as_deref().map(eid).transpose()?;
        if let Some(eid) = of {
            self.vehicle(eid).await?;
        }
        let open = filter.open || filter.overdue;
        let mut rows = self.store.orders(of, open).await?;
        if filter.overdue {
            let days = u64::from(self.file.policy.overdue_days);
            let before = self.context().now.saturating_sub(days.saturating_mul(DAY));
            rows.retain(|o| o.created_at <= before);
        }
        show(rows.iter().map(order_row).collect(), self.json)
    }

    async fn order(&self, order: Uuid) -> Result<Order, Failure> {
        let found = self.store.order(order.into_bytes()).await?;
        found.ok_or_else(|| {
            Failure::new(format!("there is no order {order}; `order list` shows all"))
        })
    }

    pub(super) async fn show_order(&self, order: Uuid) -> Result<(), Failure> {
        let order = self.order(order).await?;
        let mut row = order_row(&order);
        let history = self.store.history(order.id).await?;
        row["history"] = history.iter().map(history_row).collect();
        show(vec![row], self.json)
    }

    /// The same order under a new name: a car that has a result for the old one would repeat that.
    pub(super) async fn replay_order(&self, order: Uuid, reason: String) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let old = self.order(order).await?;
        if old.state == OrderState::Open {
            return Err(Failure::new(format!(
                "order {order} is open; it is sent whenever the vehicle connects"
            )));
        }
        let context = self.context();
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
        let detail = format!("{order} as {}", id_text(new.id));
        let (before, after) = (id_text(old.id), id_text(new.id));
        let changes = vec![
            context.audit_because("operator", "order replayed", detail, Some(reason)),
            happened(old.id, "replayed", format!("as {after}")),
            happened(new.id, "replay", format!("of {before}")),
            Change::AddOrder(new),
        ];
        self.commit_in(turn, changes).await?;
        show(vec![row], self.json)
    }

    pub(super) async fn close_order(&self, order: Uuid, reason: String) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let order = self.order(order).await?;
        if order.state != OrderState::Open {
            return Err(Failure::new(format!(
                "order {} is closed already: {}",
                id_text(order.id),
                order.state.as_str()
            )));
        }
        let context = self.context();
        let mut changes = deletion::close(&context, &order, &reason).to_vec();
        let detail = format!("{} of {}", id_text(order.id), order.eid);
        changes.push(context.audit_because("operator", "order closed", detail, Some(reason)));
        self.commit_in(turn, changes).await?;
        let closed = self.order(Uuid::from_bytes(order.id)).await?;
        show(vec![order_row(&closed)], self.json)
    }

    pub(super) async fn outbox(&self, state: Option<CallState>) -> Result<(), Failure> {
        let mut rows = match state {
            Some(state) => self.store.calls(Some(state)).await?,
            None => self.store.calls(Some(CallState::Due)).await?,
        };
        if state.is_none() {
            rows.extend(self.store.calls(Some(CallState::Dead)).await?);
        }
        show(rows.iter().map(call_row).collect(), self.json)
    }

    async fn call(&self, call: Uuid) -> Result<Call, Failure> {
        let found = self.store.call(call.into_bytes()).await?;
        found.ok_or_else(|| {
            Failure::new(format!(
                "there is no call {call}; `outbox list` shows those that are due or given up"
            ))
        })
    }

    pub(super) async fn show_call(&self, call: Uuid) -> Result<(), Failure> {
        let call = self.call(call).await?;
        let mut row = call_row(&call);
        let history = self.store.history(call.id).await?;
        row["history"] = history.iter().map(history_row).collect();
        show(vec![row], self.json)
    }

    pub(super) async fn replay_call(&self, call: Uuid) -> Result<(), Failure> {
        let call = self.call(call).await?;
        self.still_open(&call)?;
        let context = self.context();
        let detail = format!("{} to {}", id_text(call.id), call.msp);
        let changes = vec![
            Change::ReviveCall(call.id, context.now),
            context.audit("operator", "call replayed", detail),
        ];
        self.commit(changes).await?;
        show(vec![json!({"call": id_text(call.id)})], self.json)
    }

    pub(super) async fn drop_call(&self, call: Uuid, reason: String) -> Result<(), Failure> {
        let call = self.call(call).await?;
        self.still_open(&call)?;
        let context = self.context();
        let detail = format!(
            "{} {} to {}",
            id_text(call.id),
            call.kind.as_str(),
            call.msp
        );
        let changes = vec![
            Change::CloseCall(call.id, CallState::Dropped, context.now),
            Change::Happened(Happening {
                work: call.id,
                at: context.now,
                event: "dropped".into(),
                detail: reason.clone(),
            }),
            context.audit_because("operator", "call dropped", detail, Some(reason)),
        ];
        self.commit(changes).await?;
        show(
            vec![json!({"call": id_text(call.id), "state": "dropped"})],
            self.json,
        )
    }

    fn still_open(&self, call: &Call) -> Result<(), Failure> {
        match call.state {
            CallState::Due | CallState::Dead => Ok(()),
            closed => Err(Failure::new(format!(
                "call {} is closed already: {}",
                id_text(call.id),
                closed.as_str()
            ))),
        }
    }

    pub(super) async fn audit(&self, args: AuditArgs) -> Result<(), Failure> {
        let days = u64::from(args.days).saturating_mul(DAY);
        let filter = AuditFilter {
            since: self.context().now.saturating_sub(days),
            actor: args.actor,
            about: args.about,
            limit: args.limit,
        };
        let row = |a: Audit| {
            json!({
                "at": a.at, "who": a.actor, "what": a.action, "on": a.detail, "why": a.reason,
            })
        };
        let rows = self.store.audits(&filter).await?;
        show(rows.into_iter().map(row).collect(), self.json)
    }
}

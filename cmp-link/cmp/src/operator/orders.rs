//! Orders to vehicles: given, listed, replayed and closed (R-4.3.1-18).

use super::fleet::{not_retired, vehicle};
use super::{Listed, Operator, Refusal, account, changes, eid, iccid, id_text, place, time};
use crate::store::Tx;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, deletion};
use aid_cmp_core::model::{Happening, Order, OrderState};
use aid_wire::OrderKind;
use serde_json::{Value, json};
use uuid::Uuid;

/// A day, ms.
const DAY: u64 = 24 * 3600 * 1000;

/// What a car has to do.
#[derive(Debug, Clone)]
pub enum OrderWhat {
    /// Delete this profile.
    Delete(String),
    /// Disable this profile for the rest of the session.
    Disable(String),
    /// End the session of this user.
    Logout(String),
    /// End of a rental, workshop, sale: end the session and delete every profile (A.4).
    DeleteAll,
    /// The car is sold: as `DeleteAll`, and its journal, keys and certificate go.
    FactoryReset,
}

/// Which orders.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Without a result for longer than `policy.overdue_days`.
    pub overdue: bool,
    /// Without a result.
    pub open: bool,
    /// Of this vehicle (EID).
    pub vehicle: Option<String>,
}

pub(crate) fn order_row(o: &Order) -> Value {
    let (kind, account) = match &o.kind {
        OrderKind::Delete { .. } | OrderKind::DeleteOf { .. } => ("delete", None),
        OrderKind::Disable { .. } => ("disable", None),
        OrderKind::Logout { account } => ("logout", Some(id_text(account.0))),
        OrderKind::DeleteAll => ("delete-all", None),
        OrderKind::FactoryReset => ("factory-reset", None),
        OrderKind::Erase { account } => ("erase", Some(id_text(account.0))),
    };
    json!({
        "order": id_text(o.id), "eid": o.eid.as_str(), "kind": kind,
        "iccid": o.iccid().map(|i| i.as_str()), "account": account, "reason": o.reason,
        "federation": o.federation.map(id_text), "state": o.state.as_str(), "code": o.code,
        "attempts": o.attempts, "created_at": time(o.created_at), "sent_at": time(o.sent_at),
        "closed_at": time(o.closed_at), "correlation_id": id_text(o.correlation),
    })
}

pub(crate) fn history_row(h: &Happening) -> Value {
    json!({"at": time(h.at), "event": h.event, "detail": h.detail})
}

/// The order of this id.
async fn order(tx: &Tx<'_>, order: Uuid) -> Result<Order, Refusal> {
    let found = tx.order(order.into_bytes()).await?;
    found.ok_or_else(|| {
        Refusal::unknown(format!("there is no order {order}; `order list` shows all"))
    })
}

impl Operator<'_> {
    /// Gives an order to a vehicle.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add_order(
        &self,
        text: &str,
        what: OrderWhat,
        why: String,
    ) -> Result<Value, Refusal> {
        let eid = eid(text)?;
        let add = async move |tx: &Tx<'_>, context: &Context| {
            tx.lock(Lock::Vehicle(eid)).await?;
            not_retired(&vehicle(tx, eid).await?)?;
            let kind = match &what {
                OrderWhat::Delete(text) => OrderKind::Delete {
                    iccid: iccid(text)?,
                },
                OrderWhat::Disable(text) => OrderKind::Disable {
                    iccid: iccid(text)?,
                },
                OrderWhat::Logout(user) => OrderKind::Logout {
                    account: account(tx, user).await?.id,
                },
                OrderWhat::DeleteAll => OrderKind::DeleteAll,
                OrderWhat::FactoryReset => OrderKind::FactoryReset,
            };
            // Whoever is ordered out does not come back while the car has no connection.
            let out = match &kind {
                OrderKind::Logout { account } => Some(Some(*account)),
                OrderKind::DeleteAll | OrderKind::FactoryReset => Some(None),
                _ => None,
            };
            let out = out.map(|account| context.revoke_verifiers_in(eid, account));
            let order = context.order(eid, kind, "by the operator");
            let row = order_row(&order);
            let detail = format!("{eid} {}", id_text(order.id));
            let audit = context.audit_because("operator", "order", detail, Some(why.clone()));
            let mut given = vec![Change::AddOrder(order), audit];
            given.extend(out);
            Ok((changes(given), row))
        };
        self.decide(add).await
    }

    /// Orders, oldest first.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn orders(
        &self,
        filter: &Orders,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        let of = filter.vehicle.as_deref().map(eid).transpose()?;
        let open = filter.open || filter.overdue;
        let days = u64::from(self.file.policy.overdue_days);
        let overdue = self.context().now.saturating_sub(days.saturating_mul(DAY));
        let before = if filter.overdue { overdue } else { u64::MAX };
        if let Some(eid) = of {
            self.look(async move |tx| vehicle(tx, eid).await).await?;
        }
        let after: Option<u64> = place(after)?;
        let read = async move |tx: &Tx<'_>| tx.orders(of, open, after, limit).await;
        let orders = self.store.read(read).await?;
        let row = |(position, order): (u64, Order)| {
            (
                position.to_string(),
                (order.created_at <= before).then(|| order_row(&order)),
            )
        };
        Ok(orders.into_iter().map(row).collect())
    }

    /// An order with its history.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn show_order(&self, id: Uuid) -> Result<Value, Refusal> {
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
        self.look(read).await
    }

    /// The same order under a new name: a car that has a result for the old one would repeat that.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn replay_order(&self, id: Uuid, reason: String) -> Result<Value, Refusal> {
        let replay = async move |tx: &Tx<'_>, context: &Context| {
            let old = order(tx, id).await?;
            if old.state == OrderState::Open {
                return Err(Refusal::conflict(format!(
                    "order {id} is open; it is sent whenever the vehicle connects"
                )));
            }
            tx.lock(Lock::Vehicle(old.eid)).await?;
            not_retired(&vehicle(tx, old.eid).await?)?;
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
        self.decide(replay).await
    }

    /// Closes an open order without a result.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn close_order(&self, id: Uuid, reason: String) -> Result<Value, Refusal> {
        let close = async move |tx: &Tx<'_>, context: &Context| {
            // Its vehicle's result ends it too.
            tx.lock(Lock::Vehicle(order(tx, id).await?.eid)).await?;
            let order = order(tx, id).await?;
            if order.state != OrderState::Open {
                return Err(Refusal::conflict(format!(
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
        Ok(order_row(&closed))
    }
}

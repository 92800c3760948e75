//! Writes what a decision wants changed.

use super::books::seq_number;
use super::{StoreError, Stored, made, outbox, sessions};
use crate::core::{Change, Order, SESSION_SECONDS, Stock};
use aid_store::{Tx, Value, params};

const PROFILE: &str = "INSERT INTO orders \
     (iccid, profile_type, state, in_inventory, body, file, name, changed_at) VALUES ($1, $2, $3, 1, $4, $5, $6, $7)";
const IN_INVENTORY: &str = "UPDATE orders SET in_inventory = $2, profile_type = $3, file = $4, name = $5, changed_at = $6 WHERE iccid = $1";
const NO_FURTHER: &str = "/* reads all: an inventory that has changed */ DELETE FROM further";
const FURTHER: &str =
    "INSERT INTO further (iccid, file, profile_type, name) VALUES ($1, $2, $3, $4)";
/// The column `changed_at` says since when a profile that is gone may be forgotten: since it went, or its order changed.
const ORDER: &str = "UPDATE orders SET state = $2, eid = $3, matching_id = $4, call = $5, body = $6, \
     changed_at = CASE WHEN in_inventory = 0 AND changed_at > $7 THEN changed_at ELSE $7 END, expires_at = $8 WHERE iccid = $1";
const BINDING: &str = "INSERT INTO bindings (transaction_id, iccid, eid, public_key, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (transaction_id) DO NOTHING";
const NOTICE: &str = "INSERT INTO notifications \
     (eid, seq_number, digest, iccid, outcome, der, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Every kind of change is written here; without a wildcard arm, a new one does not compile before it is.
pub(super) async fn write(tx: &Tx<'_>, change: &Change) -> Stored<()> {
    match change {
        Change::Made(profile, now) => {
            let order = Order::available(
                profile.stock.iccid.clone(),
                profile.stock.profile_type.clone(),
                *now,
            );
            new_profile(tx, &order, &profile.stock).await?;
            made::put(tx, profile, *now).await?;
        }
        Change::Profile(profile, stock) => new_profile(tx, profile, stock).await?,
        Change::InInventory(stock, is, since) => {
            let Stock {
                iccid,
                file,
                profile_type,
                name,
            } = stock;
            let values = params![iccid, *is, profile_type, file, name, *since];
            tx.run(IN_INVENTORY, values).await?;
        }
        Change::Further(list) => {
            tx.run(NO_FURTHER, &[]).await?;
            for stock in list {
                let values = params![&stock.iccid, &stock.file, &stock.profile_type, &stock.name];
                tx.run(FURTHER, values).await?;
            }
        }
        Change::Order(order) => {
            // Orders that are found by EID alone have no MatchingID to be found by.
            let matching_id = order.matching_id.as_deref().filter(|m| !m.is_empty());
            let values = params![
                &order.iccid,
                order.state.as_str(),
                order.eid.as_deref(),
                matching_id,
                order.call.as_deref(),
                body(order)?,
                order.changed_at,
                order.expires_at
            ];
            if tx.run(ORDER, values).await? == 0 {
                let text = format!("there is no order {} to change", order.iccid);
                return Err(StoreError::Failed(text));
            }
        }
        Change::Binding {
            transaction_id,
            iccid,
            euicc,
            created_at,
        } => {
            let values = params![
                transaction_id.as_bytes(),
                iccid,
                &euicc.eid,
                euicc.public_key.to_spki(),
                *created_at
            ];
            tx.run(BINDING, values).await?;
        }
        Change::Session(session, order, now) => {
            sessions::put(tx, session, order, *now).await?;
            sessions::sweep(tx, now.saturating_sub(SESSION_SECONDS)).await?;
        }
        Change::Progress(progress) => outbox::put(tx, progress).await?,
        Change::SessionOver(id) => sessions::end(tx, id).await?,
        Change::Notification {
            notice,
            der,
            received_at,
        } => {
            let values = [
                Value::from(&notice.eid),
                seq_number(notice.seq_number),
                Value::from(&notice.digest[..]),
                Value::from(notice.iccid.as_deref()),
                Value::from(notice.outcome.text()),
                Value::from(&der[..]),
                Value::from(*received_at),
            ];
            tx.run(NOTICE, &values).await?;
        }
    }
    Ok(())
}

async fn new_profile(tx: &Tx<'_>, profile: &Order, stock: &Stock) -> Stored<()> {
    let values = params![
        &profile.iccid,
        &profile.profile_type,
        profile.state.as_str(),
        body(profile)?,
        &stock.file,
        &stock.name,
        profile.changed_at
    ];
    tx.run(PROFILE, values).await?;
    Ok(())
}

fn body(order: &Order) -> Stored<String> {
    serde_json::to_string(order)
        .map_err(|e| StoreError::Failed(format!("an order is not written: {e}")))
}

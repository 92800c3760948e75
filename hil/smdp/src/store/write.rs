//! Writes what a decision wants changed.

use super::books::seq_number;
use super::{StoreError, Stored};
use crate::core::{Change, Order};
use aid_store::{Tx, Value, params};

const PROFILE: &str = "INSERT INTO orders (iccid, profile_type, state, in_inventory, body) \
     VALUES ($1, $2, $3, 1, $4)";
const IN_INVENTORY: &str = "UPDATE orders SET in_inventory = $2 WHERE iccid = $1";
const ORDER: &str = "UPDATE orders SET state = $2, eid = $3, matching_id = $4, call = $5, body = $6 \
     WHERE iccid = $1";
const BINDING: &str = "INSERT INTO bindings (transaction_id, iccid, eid, public_key, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (transaction_id) DO NOTHING";
const NOTICE: &str = "INSERT INTO notifications \
     (eid, seq_number, digest, iccid, outcome, der, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Every kind of change is written here; without a wildcard arm, a new one does not compile before it is.
pub(super) async fn write(tx: &Tx<'_>, change: &Change) -> Stored<()> {
    match change {
        Change::Profile(profile) => {
            let values = params![
                &profile.iccid,
                &profile.profile_type,
                profile.state.as_str(),
                body(profile)?
            ];
            tx.run(PROFILE, values).await?;
        }
        Change::InInventory(iccid, is) => {
            tx.run(IN_INVENTORY, params![iccid, *is]).await?;
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
                body(order)?
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

fn body(order: &Order) -> Stored<String> {
    serde_json::to_string(order)
        .map_err(|e| StoreError::Failed(format!("an order is not written: {e}")))
}

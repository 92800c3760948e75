//! Cars in which a user is logged in, and their logout from the portal.

use super::Service;
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::Lock;
use aid_cmp_core::decide::{Context, Decision, logout};
use aid_id::{AccountRef, Eid};
use aid_wire::OrderKind;
use std::sync::Arc;

impl Service {
    /// Ends the user's session in a car. False: there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn log_out_of_car(self: &Arc<Self>, account: AccountRef, eid: Eid) -> Stored<bool> {
        let decide = async move |service: &Self, tx: &Tx<'_>, context: &Context| {
            tx.lock(Lock::Vehicle(eid)).await?;
            if !service.is_in(tx, eid, account).await? {
                return Ok((Decision::default(), false));
            }
            let open = tx.open_orders(eid).await?;
            let ordered = open
                .iter()
                .any(|order| order.kind == OrderKind::Logout { account });
            let decision = logout::remote(context, eid, account, ordered);
            Ok::<_, StoreError>((decision, true))
        };
        self.decide(decide).await
    }
}

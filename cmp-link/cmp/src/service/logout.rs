//! Cars in which a user is logged in, and their logout from the portal.

use super::Service;
use crate::store::{Store, Stored};
use aid_cmp_core::decide::logout;
use aid_id::{AccountRef, Eid};
use aid_wire::OrderKind;

impl<S: Store> Service<S> {
    /// Ends the user's session in a car. False: there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn log_out_of_car(&self, account: AccountRef, eid: Eid) -> Stored<bool> {
        let turn = self.store.turn().await?;
        if !self.is_in(eid, account).await? {
            return Ok(false);
        }
        let open = self.store.orders(Some(eid), true).await?;
        let ordered = open
            .iter()
            .any(|order| order.kind == OrderKind::Logout { account });
        let decision = logout::remote(&self.context(), eid, account, ordered);
        self.carry_out(turn, decision).await?;
        Ok(true)
    }
}

//! ES2+ over the store. SGP.22 §5.3. `operator` is the name of the caller, as the configuration has it.

use super::{Service, TRIES, internal, rng};
use crate::core::{Confirmation, Order, Ordered, Refusal, plain_iccid};
use crate::store::{StoreError, Versioned};
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderOk, ConfirmOrderRequest, DownloadOrderOk, DownloadOrderRequest,
    ReleaseProfileRequest,
};
use aid_rsp::es9::Text;

fn text<const MAX: usize>(value: &str) -> Result<Text<MAX>, Refusal> {
    Text::new(value).ok_or_else(|| Refusal::internal("an answer is too long"))
}

impl Service {
    /// ES2+.DownloadOrder.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn download_order(
        &self,
        request: &DownloadOrderRequest,
        operator: &str,
        now: u64,
    ) -> Result<DownloadOrderOk, Refusal> {
        for _ in 0..TRIES {
            let stored = self.store.orders().await.map_err(|e| internal(&e))?;
            // What was taken out of the folder can't be delivered.
            let orders: Vec<Order> = stored
                .iter()
                .filter(|v| self.inventory.contains_key(&v.order.iccid))
                .map(|v| v.order.clone())
                .collect();
            let order = match Order::download(&orders, request, operator, now)? {
                Ordered::Again(order) => order,
                Ordered::New(order) => {
                    let Some(mut versioned) =
                        stored.into_iter().find(|v| v.order.iccid == order.iccid)
                    else {
                        continue;
                    };
                    versioned.order = order.clone();
                    if !self.saved(&versioned).await? {
                        continue;
                    }
                    order
                }
            };
            return Ok(DownloadOrderOk {
                iccid: text(&order.iccid)?,
            });
        }
        Err(busy())
    }

    /// ES2+.ConfirmOrder.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn confirm_order(
        &self,
        request: &ConfirmOrderRequest,
        operator: &str,
        now: u64,
    ) -> Result<ConfirmOrderOk, Refusal> {
        let wanted = request.matching_id.as_ref().map_or("", |m| m.as_str());
        for _ in 0..TRIES {
            let mut versioned = self.find(request.iccid.as_str(), operator).await?;
            let taken = match wanted {
                "" => None,
                wanted => self
                    .store
                    .order_matching(wanted)
                    .await
                    .map_err(|e| internal(&e))?,
            };
            let iccid = versioned.order.iccid.clone();
            let before = versioned.order.clone();
            versioned.order.confirm(
                Confirmation { request, now },
                |_| taken.as_ref().is_some_and(|o| o.order.iccid != iccid),
                &mut rng(),
            )?;
            if versioned.order != before && !self.saved(&versioned).await? {
                continue;
            }
            let order = versioned.order;
            return Ok(ConfirmOrderOk {
                eid: order.eid.as_deref().map(text).transpose()?,
                matching_id: text(order.matching_id.as_deref().unwrap_or_default())?,
                smdp_address: Some(text(self.dp.address())?),
                smds_address: None,
            });
        }
        Err(busy())
    }

    /// ES2+.ReleaseProfile.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn release_profile(
        &self,
        request: &ReleaseProfileRequest,
        operator: &str,
        now: u64,
    ) -> Result<(), Refusal> {
        let iccid = request.iccid.as_str();
        self.change(iccid, operator, |order| order.release(now))
            .await
    }

    /// ES2+.CancelOrder.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn cancel_order(
        &self,
        request: &CancelOrderRequest,
        operator: &str,
        now: u64,
    ) -> Result<(), Refusal> {
        let iccid = request.iccid.as_str();
        self.change(iccid, operator, |order| order.cancel(request, now))
            .await
    }

    /// Reads, changes and saves one order, again when another request was faster.
    async fn change(
        &self,
        iccid: &str,
        operator: &str,
        change: impl Fn(&mut Order) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for _ in 0..TRIES {
            let mut versioned = self.find(iccid, operator).await?;
            change(&mut versioned.order)?;
            if self.saved(&versioned).await? {
                return Ok(());
            }
        }
        Err(busy())
    }

    /// The order of a profile, if this operator may touch it.
    async fn find(&self, iccid: &str, operator: &str) -> Result<Versioned, Refusal> {
        let iccid = plain_iccid(iccid);
        let found = self.store.order(iccid).await.map_err(|e| internal(&e))?;
        let found =
            found.ok_or_else(|| Refusal::iccid_unknown(format!("no profile has ICCID {iccid}")))?;
        found.order.check_operator(operator)?;
        Ok(found)
    }

    /// Saves; `false` when the order has to be read again.
    async fn saved(&self, versioned: &Versioned) -> Result<bool, Refusal> {
        match self.store.save(versioned).await {
            Ok(()) => {
                let order = &versioned.order;
                tracing::info!(iccid = %order.iccid, state = %order.state, eid = ?order.eid, "order");
                Ok(true)
            }
            Err(StoreError::Conflict(_)) => Ok(false),
            Err(e) => Err(internal(&e)),
        }
    }
}

fn busy() -> Refusal {
    Refusal::internal("the order is being changed by others, try again")
}

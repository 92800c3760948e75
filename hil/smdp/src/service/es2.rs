//! ES2+ over the store. SGP.22 §5.3. `operator` is the name of the caller, as the configuration has it.

use super::{Service, rng};
use crate::core::{Confirmation, Decided, Order, Refusal, plain_iccid};
use crate::store::{Books, Stored};
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderOk, ConfirmOrderRequest, DownloadOrderOk, DownloadOrderRequest,
    ReleaseProfileRequest,
};
use aid_rsp::es9::Text;

fn text<const MAX: usize>(value: &str) -> Result<Text<MAX>, Refusal> {
    Text::new(value).ok_or_else(|| Refusal::internal("an answer is too long"))
}

/// The order of a profile, if this operator may touch it.
async fn find(books: Books<'_>, iccid: &str, operator: &str) -> Stored<Result<Order, Refusal>> {
    let iccid = plain_iccid(iccid);
    let unknown = || Refusal::iccid_unknown(format!("no profile has ICCID {iccid}"));
    let found = books.order(iccid).await?.ok_or_else(unknown);
    Ok(found.and_then(|order| order.check_operator(operator).map(|()| order)))
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
        let (request, operator) = (request.clone(), operator.to_owned());
        let iccid = self.decide(async move |books| {
            let orders = books.candidates(&request).await?;
            Ok(Order::download(&orders, &request, &operator, now))
        });
        Ok(DownloadOrderOk {
            iccid: text(&iccid.await?)?,
        })
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
        let (request, operator) = (request.clone(), operator.to_owned());
        let confirmed = self.decide(async move |books| {
            let order = match find(books, request.iccid.as_str(), &operator).await? {
                Ok(order) => order,
                Err(refusal) => return Ok(Decided::unchanged(Err(refusal))),
            };
            let taken = match request.matching_id.as_ref().map_or("", |m| m.as_str()) {
                "" => None,
                wanted => books.order_matching(wanted).await?,
            };
            let is_taken = taken.is_some_and(|other| other.iccid != order.iccid);
            let confirmation = Confirmation {
                request: &request,
                now,
            };
            Ok(Decided::about(order, |order| {
                order.confirm(confirmation, is_taken, &mut rng())?;
                Ok((order.eid.clone(), order.matching_id.clone()))
            }))
        });
        let (eid, matching_id) = confirmed.await?;
        Ok(ConfirmOrderOk {
            eid: eid.as_deref().map(text).transpose()?,
            matching_id: text(matching_id.as_deref().unwrap_or_default())?,
            smdp_address: Some(text(self.dp.address())?),
            smds_address: None,
        })
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
        self.change(iccid, operator, move |order| order.release(now))
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
        let (iccid, request) = (request.iccid.as_str(), request.clone());
        self.change(iccid, operator, move |order| order.cancel(&request, now))
            .await
    }

    /// Changes one order that this operator may touch.
    async fn change(
        &self,
        iccid: &str,
        operator: &str,
        change: impl Fn(&mut Order) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(), Refusal> {
        let (iccid, operator) = (iccid.to_owned(), operator.to_owned());
        let changed = self.decide(async move |books| {
            Ok(match find(books, &iccid, &operator).await? {
                Ok(order) => Decided::about(order, &change),
                Err(refusal) => Decided::unchanged(Err(refusal)),
            })
        });
        changed.await
    }
}

//! ES2+ over the store. SGP.22 §5.3. `operator` is the name of the caller, as the configuration has it.

use super::{By, Desk, Service};
use crate::core::Refusal;
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderOk, ConfirmOrderRequest, DownloadOrderOk, DownloadOrderRequest,
    ReleaseProfileRequest,
};
use aid_rsp::es9::Text;

fn text<const MAX: usize>(value: &str) -> Result<Text<MAX>, Refusal> {
    Text::new(value).ok_or_else(|| Refusal::internal("an answer is too long"))
}

fn by(operator: &str) -> By {
    By::Operator(operator.to_owned())
}

impl Service {
    const fn desk(&self) -> Desk<'_> {
        Desk::new(&self.store, self.limits, &self.templates)
    }

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
        let decided = self.desk().download(request, &by(operator), now).await;
        let iccid = self.decided(decided)?;
        Ok(DownloadOrderOk {
            iccid: text(&iccid)?,
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
        let decided = self.desk().confirm(request, &by(operator), now).await;
        let (eid, matching_id) = self.decided(decided)?;
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
        let decided = self.desk().release(iccid, &by(operator), now).await;
        self.decided(decided)
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
        let decided = self.desk().cancel(request, &by(operator), now).await;
        self.decided(decided)
    }
}

//! What each decision of `core` stands on, loaded as one.

use aid_aid1::body::{Body as _, Iccids, SendActivationCode};
use aid_id::MspToken;
use uuid::Uuid;

use super::{Stored, Tx};
use crate::core::call::{CallView, Key};
use crate::core::model::{AcRequest, Kind, Onboarding, OutboxRow, Subscription};
use crate::core::operator::Link;
use crate::core::order::{ChoiceView, FinishView, RequestView, WaitView};
use crate::core::outbox::{JobView, RefusedView};

/// Whose links are meant: all of a customer, or those of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A customer.
    User(String),
    /// A subscription.
    Subscription(String),
}

impl Tx<'_> {
    /// What every call is judged by.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn call_view(self, key: &Key, token: MspToken) -> Stored<CallView> {
        Ok(CallView {
            onboarding: self.onboarding(&key.client, token).await?,
            earlier: self.earlier(key).await?,
        })
    }

    /// What a request for an activation code is judged by; `request_id` where its body could be read.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn request_view(
        self,
        key: &Key,
        token: MspToken,
        request_id: Option<Uuid>,
    ) -> Stored<RequestView> {
        let call = self.call_view(key, token).await?;
        let subscription = match &call.onboarding {
            Some(onboarding) => self.subscription_of(onboarding).await?,
            None => None,
        };
        let order = match request_id {
            Some(id) => self.order(&key.client, id).await?,
            None => None,
        };
        Ok(RequestView {
            call,
            subscription,
            order,
        })
    }

    /// What a profile for an order is chosen by.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn choice_view(self, request: &AcRequest) -> Stored<ChoiceView> {
        let order = self.order(&request.client_id, request.request_id).await?;
        let onboarding = self
            .onboarding(&request.client_id, request.msp_token)
            .await?;
        let subscription = match &onboarding {
            Some(onboarding) => self.subscription_of(onboarding).await?,
            None => None,
        };
        let id = subscription.as_ref().map_or("", |s| s.id.as_str());
        Ok(ChoiceView {
            pool: self.pool_of(id).await?,
            taken: self.taken_of(id).await?,
            order,
            onboarding,
            subscription,
        })
    }

    /// An order and the call that waits for it.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn wait_view(
        self,
        request: &AcRequest,
        waiting: Option<&Key>,
    ) -> Stored<WaitView> {
        Ok(WaitView {
            order: self.order(&request.client_id, request.request_id).await?,
            earlier: match waiting {
                Some(key) => self.earlier(key).await?,
                None => None,
            },
        })
    }

    /// What an order is finished by.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn finish_view(
        self,
        request: &AcRequest,
        waiting: Option<&Key>,
    ) -> Stored<FinishView> {
        let wait = self.wait_view(request, waiting).await?;
        let onboarding = self
            .onboarding(&request.client_id, request.msp_token)
            .await?;
        let subscription = match &onboarding {
            Some(onboarding) => self.subscription_of(onboarding).await?,
            None => None,
        };
        let id = subscription.as_ref().map_or("", |s| s.id.as_str());
        let others = match &onboarding {
            Some(onboarding) => self.onboardings_of(&onboarding.user).await?,
            None => Vec::new(),
        };
        Ok(FinishView {
            others,
            slots: self.slots(request.msp_token, id).await?,
            wait,
            onboarding,
            subscription,
        })
    }

    /// A job and what it is about; `refused` if the other side has refused it.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn job_view(self, row: Option<OutboxRow>, refused: bool) -> Stored<JobView> {
        let Some(row) = row else {
            return Ok(JobView {
                row: None,
                onboarding: None,
                profiles: Vec::new(),
                refused: None,
            });
        };
        let token = row.job.msp_token;
        let onboarding = self.onboarding(&row.job.client_id, token).await?;
        let refused = if refused {
            self.refused_view(&row, onboarding.as_ref()).await?
        } else {
            None
        };
        Ok(JobView {
            profiles: self.profiles_of(token).await?,
            onboarding,
            refused,
            row: Some(row),
        })
    }

    /// The order that a Send Activation Code answers, and the slots that it competes for.
    async fn refused_view(
        self,
        row: &OutboxRow,
        onboarding: Option<&Onboarding>,
    ) -> Stored<Option<RefusedView>> {
        let token = row.job.msp_token;
        let Some(id) = answered_request(row) else {
            return Ok(None);
        };
        let Some(order) = self.order(&row.job.client_id, id).await? else {
            return Ok(None);
        };
        let subscription = match onboarding.filter(|o| o.state.is_live()) {
            Some(onboarding) => self.subscription_of(onboarding).await?,
            None => None,
        };
        let of = subscription.as_ref().map_or("", |s| s.id.as_str());
        let swapped_is_cancelled = match &order.swapped {
            Some(iccid) => self.is_cancelled(token, iccid).await?,
            None => false,
        };
        Ok(Some(RefusedView {
            slots: self.slots(token, of).await?,
            order,
            subscription,
            swapped_is_cancelled,
        }))
    }

    /// The live onboardings of a target, at all CMPs or at one, with their profiles.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn links(self, target: &Target, cmp: Option<&str>) -> Stored<Vec<Link>> {
        let user = match target {
            Target::User(user) => Some(user.clone()),
            Target::Subscription(id) => self.subscription(id).await?.map(|s| s.user),
        };
        let Some(user) = user else {
            return Ok(Vec::new());
        };
        let mut links = Vec::new();
        for onboarding in self.onboardings_of(&user).await? {
            let fits = match target {
                Target::User(_) => true,
                Target::Subscription(id) => {
                    let of: Option<Subscription> = self.subscription_of(&onboarding).await?;
                    of.is_some_and(|s| s.id == *id)
                }
            };
            let at_cmp = cmp.is_none_or(|cmp| onboarding.client_id.as_str() == cmp);
            if fits && at_cmp && onboarding.state.is_live() {
                let profiles = self.profiles_of(onboarding.msp_token).await?;
                links.push(Link {
                    onboarding,
                    profiles,
                });
            }
        }
        Ok(links)
    }
}

/// The request that a Send Activation Code answers.
fn answered_request(row: &OutboxRow) -> Option<Uuid> {
    if row.job.kind != Kind::SendActivationCode {
        return None;
    }
    match SendActivationCode::parse_with(row.job.body.as_bytes(), Iccids::Short).ok()? {
        SendActivationCode::Code { request_id, .. } => Some(request_id),
        SendActivationCode::Failed { request_id, .. } => request_id,
    }
}

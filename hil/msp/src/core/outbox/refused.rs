//! An activation code that the CMP will never use: its profile goes back, and the one that was given up for it returns
//! (AID.02 §7.7.2.1, §4.3.1).

use aid_aid1::error_code::ErrorCode;

use crate::core::model::{
    Job, Kind, Order, OrderState, Profile, ProfilePhase, Subscription, SubscriptionState,
};
use crate::core::{Change, NewId};

/// Whether the CMP will never use a code that it refused so: the token or the request is unknown or over, or the
/// transaction is another.
pub(super) fn is_final(code: Option<ErrorCode>) -> bool {
    matches!(
        code,
        Some(
            ErrorCode::TokenInvalidated
                | ErrorCode::RequestNotFound
                | ErrorCode::RequestExpired
                | ErrorCode::CorrelationMismatch
        )
    )
}

/// The order whose code was refused, and the slots that it competes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedView {
    /// The order.
    pub(crate) order: Order,
    /// The subscription of its onboarding, if that lives.
    pub(crate) subscription: Option<Subscription>,
    /// The profiles of the subscription that take a slot.
    pub(crate) slots: Vec<Profile>,
    /// Whether the profile that was given up for it was cancelled at the SM-DP+: it had not been downloaded.
    pub(crate) swapped_is_cancelled: bool,
}

impl RefusedView {
    /// Gives back the profile of the code: its slot is free, and its order is cancelled at the SM-DP+. One that was
    /// downloaded meanwhile stays. `profiles` are those of the token.
    pub(super) fn give_back(&self, profiles: &[Profile], ids: NewId<'_>, now: i64) -> Vec<Change> {
        let order = &self.order;
        let ordered = |p: &&Profile| Some(&p.iccid) == order.iccid.as_ref();
        let mut prepared = profiles.iter().filter(ordered);
        let Some(profile) = prepared.find(|p| p.phase == ProfilePhase::Prepared) else {
            return Vec::new();
        };
        let job = Job {
            client_id: order.request.client_id.clone(),
            kind: Kind::CancelOrder,
            msp_token: order.request.msp_token,
            request_id: ids(),
            correlation_id: order.request.correlation_id,
            body: Job::cancel_body(&profile.iccid, &profile.eid),
        };
        let mut changes = vec![
            Change::ProfileSet(Profile {
                phase: ProfilePhase::Returned,
                network: false,
                ..profile.clone()
            }),
            Change::job(job, now),
            // The same request again gets another code, not this one.
            Change::OrderPut(Order {
                state: OrderState::Failed,
                iccid: None,
                activation_code: None,
                swapped: None,
                error: Some("the CMP refused the activation code".into()),
                ..order.clone()
            }),
        ];
        changes.extend(self.restored(profiles, profile));
        changes
    }

    /// The profile that was given up for `returned` and is still in its vehicle: the CMP never heard of the swap. Nothing
    /// where its slot has been taken since.
    fn restored(&self, profiles: &[Profile], returned: &Profile) -> Option<Change> {
        let subscription = self.subscription.as_ref()?;
        let taken = self.slots.iter().filter(|p| p.iccid != returned.iccid);
        if self.swapped_is_cancelled || taken.count() >= subscription.max_profiles as usize {
            return None;
        }
        let swapped = self.order.swapped.as_ref()?;
        let mut given_up = profiles.iter().filter(|p| p.iccid == *swapped);
        let old = given_up.find(|p| p.phase == ProfilePhase::Swapped)?;
        Some(Change::ProfileSet(Profile {
            phase: ProfilePhase::Installed,
            network: subscription.state == SubscriptionState::Active,
            ..old.clone()
        }))
    }
}

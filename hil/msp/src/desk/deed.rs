//! What is done at the console, and who may do it.

use std::sync::Arc;

use aid_id::Iccid;
use aid_serve::console::Trouble;
use aid_serve::console::deed::{self, About, Asked, subject};

use super::{Desk, unknown};
use crate::admin;
use crate::core::desk::{By, Role};
use crate::store::Target;

/// A deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A subscription is blocked for a time.
    Suspend,
    /// The block ends.
    Resume,
    /// The links of a subscription end.
    Withdraw,
    /// A subscription ends.
    End,
    /// All links of a customer end.
    WithdrawCustomer,
    /// A profile is blocked for a time.
    SuspendProfile,
    /// The block ends.
    ResumeProfile,
    /// A profile is dead for good.
    Defect,
    /// A call is made now.
    Retry,
    /// A call is given up.
    Drop,
}

use Deed as D;

impl deed::Deed<Desk> for Deed {
    const ALL: &'static [Self] = &[
        D::Suspend,
        D::Resume,
        D::Withdraw,
        D::End,
        D::WithdrawCustomer,
        D::SuspendProfile,
        D::ResumeProfile,
        D::Defect,
        D::Retry,
        D::Drop,
    ];

    fn about(self) -> About<Role> {
        let about = |word, least, is_final, label, text, path| About {
            word,
            least,
            is_final,
            label,
            text,
            path,
            new: None,
        };
        let (operator, admin) = (Role::Operator, Role::Admin);
        match self {
            D::Suspend => about(
                "suspend",
                operator,
                false,
                "Suspend the subscription",
                "Its profiles lose the network, no activation codes are given, and the CMPs are informed.",
                "subscriptions",
            ),
            D::Resume => about(
                "resume",
                operator,
                false,
                "Resume the subscription",
                "Its profiles have the network again, and the CMPs are informed.",
                "subscriptions",
            ),
            D::Withdraw => about(
                "withdraw",
                admin,
                true,
                "End the links of the subscription",
                "Its profiles leave the network, and the CMPs delete them. The contract goes on.",
                "subscriptions",
            ),
            D::End => about(
                "end",
                admin,
                true,
                "End the subscription",
                "The contract and its links end, its profiles leave the network, and the CMPs delete them.",
                "subscriptions",
            ),
            D::WithdrawCustomer => about(
                "withdraw-customer",
                admin,
                true,
                "End all links of the customer",
                "The profiles of all subscriptions leave the network, and the CMPs delete them. The contracts go on.",
                "customers",
            ),
            D::SuspendProfile => about(
                "suspend-profile",
                operator,
                false,
                "Suspend the profile",
                "The profile loses the network, and the CMP is informed.",
                "profiles",
            ),
            D::ResumeProfile => about(
                "resume-profile",
                operator,
                false,
                "Resume the profile",
                "The profile has the network again, and the CMP is informed.",
                "profiles",
            ),
            D::Defect => about(
                "defect",
                admin,
                true,
                "Declare the profile invalid",
                "The profile leaves the network for good, and the CMP deletes it.",
                "profiles",
            ),
            D::Retry => about(
                "retry",
                operator,
                false,
                "Call now",
                "The call is made now, also one that was given up.",
                "calls",
            ),
            D::Drop => about(
                "drop",
                admin,
                true,
                "Give the call up",
                "The call is not made any more. What it should have told, the other side never learns.",
                "calls",
            ),
        }
    }

    async fn act(self, desk: Arc<Desk>, asked: Asked) -> Result<String, Trouble> {
        let by = &By {
            who: asked.who,
            reason: Some(asked.reason),
        };
        let id = asked.id.as_str();
        let msp = &desk.msp;
        let iccid = || id.parse::<Iccid>().map_err(|_| unknown("profile", id));
        let number = || id.parse::<i64>().map_err(|_| unknown("call", id));
        match self {
            D::Suspend => admin::block(msp, id, true, by).await?,
            D::Resume => admin::block(msp, id, false, by).await?,
            D::Withdraw => {
                admin::withdraw(msp, Target::Subscription(id.to_owned()), None, by).await?
            }
            D::End => admin::end_subscription(msp, id, by).await?,
            D::WithdrawCustomer => {
                admin::withdraw(msp, Target::User(id.to_owned()), None, by).await?
            }
            D::SuspendProfile => admin::fate(msp, &iccid()?, "suspend", by).await?,
            D::ResumeProfile => admin::fate(msp, &iccid()?, "resume", by).await?,
            D::Defect => admin::fate(msp, &iccid()?, "defect", by).await?,
            D::Retry => admin::put_outbox(msp, number()?, false, by).await?,
            D::Drop => admin::put_outbox(msp, number()?, true, by).await?,
        };
        // What has to be sent is sent now.
        msp.outbox.notify_one();
        Ok(subject(&self.about(), id))
    }
}

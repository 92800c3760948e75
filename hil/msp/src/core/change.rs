//! What a decision changes. `store` writes each of these by one match without a wildcard arm, so that a change that is
//! not stored does not compile.

use aid_aid1::headers::PartyId;
use aid_id::{Iccid, MspToken};
use uuid::Uuid;

use super::call::{Answer, Key};
use super::desk::Member;
use super::model::{
    AcRequest, Job, Onboarding, OnboardingState, Order, OutboxRow, Profile, Progress, StatusRow,
    Subscription,
};

/// Where new ids come from: random ones in the program, known ones in tests.
pub(crate) type NewId<'a> = &'a mut (dyn FnMut() -> Uuid + Send);

/// Changes that are written whole or not at all, and what follows from them once they are on disk.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision<T, C = Change> {
    /// In the order in which they are written.
    pub(crate) changes: Vec<C>,
    /// What the caller acts on after the commit.
    pub(crate) outcome: T,
}

impl<T, C> Decision<T, C> {
    /// Nothing is changed.
    pub(crate) fn nothing(outcome: T) -> Self {
        Self::of(Vec::new(), outcome)
    }

    /// These changes, with this outcome.
    pub(crate) fn of(changes: Vec<C>, outcome: T) -> Self {
        Self { changes, outcome }
    }
}

/// A change of what is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A customer exists, with this password hash.
    CustomerPut {
        user: String,
        password: String,
        at: i64,
    },
    /// A subscription exists with these profiles of its own; one of the same name stays as it is.
    SubscriptionAdded {
        subscription: Subscription,
        iccids: Vec<Iccid>,
        at: i64,
    },
    /// What can change of a subscription has these values.
    SubscriptionSet(Subscription),
    /// A CMP may use one more API key.
    ApiKeyAdded {
        client: PartyId,
        key: String,
        at: i64,
    },
    /// A CMP may no longer use this API key.
    ApiKeyEnded { client: PartyId, key: String },
    /// Somebody did something; the reason is empty where nobody said why.
    Audited {
        actor: String,
        action: String,
        detail: String,
        reason: String,
        at: i64,
    },
    /// Somebody may sign in at the console so, and is signed out everywhere.
    MemberPut(Member),
    /// Nobody of this name may sign in at the console any more.
    MemberRemoved { name: String },
    /// A member is signed in until `expires_at`; `cookie` is the hash of the cookie. Sessions that are over are forgotten.
    SessionBegun {
        cookie: String,
        member: String,
        expires_at: i64,
        at: i64,
    },
    /// A session at the console ends.
    SessionEnded { cookie: String },
    /// A customer is linked with a CMP.
    OnboardingAdded(Onboarding),
    /// An onboarding stands somewhere else.
    OnboardingSet {
        token: MspToken,
        state: OnboardingState,
        at: i64,
    },
    /// A profile was ordered.
    ProfileAdded(Profile),
    /// Phase, network and use of a profile have these values.
    ProfileSet(Profile),
    /// A CMP has reported a status; its `seq` is assigned here.
    StatusAdded(StatusRow),
    /// An SM-DP+ has reported the progress of a download.
    ProgressAdded { progress: Progress, at: i64 },
    /// A request for an activation code stands so; it replaces an earlier one of the same CMP and id.
    OrderPut(Order),
    /// A request for an activation code is forgotten.
    OrderForgotten(AcRequest),
    /// A call is being answered until this time.
    CallClaimed { key: Key, until: i64, at: i64 },
    /// A call was answered: its repetition gets the same.
    CallAnswered { key: Key, answer: Answer, at: i64 },
    /// A call was refused and changed nothing: its repetition is worked on again.
    CallForgotten(Key),
    /// Answers from before this time are forgotten, as far as `store` says.
    AnswersForgotten { before: i64 },
    /// Nobody works on a claimed call or a synchronous order any more: the program has just started.
    LeasesEnded,
    /// A call has to be made, from `next_at` on.
    JobAdded { job: Job, next_at: i64, at: i64 },
    /// State, attempts, next attempt and last error of a job have these values.
    JobSet(OutboxRow),
    /// The calls that wait for a CMP about this token are not made any more.
    JobsWithdrawn { token: MspToken, reason: String },
}

impl Change {
    /// An entry of the audit trail.
    pub(crate) fn audit(actor: &str, action: &str, detail: &str, at: i64) -> Self {
        Self::Audited {
            actor: actor.into(),
            action: action.into(),
            detail: detail.into(),
            reason: String::new(),
            at,
        }
    }

    /// A call that has to be made at once.
    pub(crate) fn job(job: Job, at: i64) -> Self {
        Self::JobAdded {
            job,
            next_at: at,
            at,
        }
    }
}

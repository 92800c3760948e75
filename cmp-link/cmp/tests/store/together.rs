//! Decisions side by side: what one locks, and whom it holds up.

use crate::book::Book;
use crate::{EVA, call, eid, iccid};
use aid_cmp::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::model::{Attempts, Audit, MspVerdict, OnboardingState, Profile, ProfileStatus};
use aid_id::{AccountRef, MspToken};

/// Decisions of two processes: each is made on what those before it changed.
pub(crate) async fn side_by_side(store: &Book, other: &Book) {
    let count = async |store: Book| {
        for _ in 0..20 {
            let more = async |tx: &Tx<'_>| {
                tx.lock(Lock::Attempts("n".into())).await?;
                let before = tx.attempts("n").await?.map_or(0, |a| a.count);
                let after = Attempts {
                    count: before + 1,
                    since: 0,
                    last: None,
                };
                let change = Change::SetAttempts("n".into(), Some(after));
                Ok::<_, StoreError>((vec![change], ()))
            };
            store.0.decide(more).await.unwrap();
        }
    };
    tokio::join!(
        count(store.clone()),
        count(store.clone()),
        count(other.clone())
    );
    let counted = store.attempts("n").await.unwrap().unwrap();
    assert_eq!(counted.count, 60, "a decision was made on what was before");
    // Of one user, found by what is theirs.
    let group = async |store: Book| {
        for _ in 0..20 {
            let more = async |tx: &Tx<'_>| {
                let mut found = tx.locked_federation_by_id([1; 16]).await?.unwrap();
                let before = found.customer_group.unwrap_or_default();
                found.customer_group = Some(format!("{before}x"));
                Ok::<_, StoreError>((vec![Change::UpdateFederation(found)], ()))
            };
            store.0.decide(more).await.unwrap();
        }
    };
    let mut before = store.federation_by_id([1; 16]).await.unwrap().unwrap();
    before.customer_group = None;
    store
        .commit(vec![Change::UpdateFederation(before)])
        .await
        .unwrap();
    tokio::join!(group(store.clone()), group(other.clone()));
    let after = store.federation_by_id([1; 16]).await.unwrap().unwrap();
    assert_eq!(after.customer_group, Some("x".repeat(40)));
}

pub(crate) async fn what_is_not_locked_is_not_changed(store: &Book) {
    let found = store.federation_by_id([1; 16]).await.unwrap().unwrap();
    let profile = Profile {
        iccid: iccid(70),
        federation: found.id,
        eid: eid(1),
        status: ProfileStatus::Prepared,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    let attempts = Attempts {
        count: 1,
        since: 0,
        last: None,
    };
    let seen = Change::Seen {
        eid: eid(1),
        at: 99,
        software: "unlocked".into(),
        card: String::new(),
    };
    let changes = [
        Change::UpdateFederation(found),
        Change::PutProfile(profile),
        Change::SetAttempts("unlocked".into(), Some(attempts)),
        Change::Prefer(EVA, None, None),
        seen,
        Change::CloseOnboarding([5; 16], OnboardingState::Failed, None, None),
    ];
    for change in changes {
        let named = format!("{change:?}");
        let decide = async move |tx: &Tx<'_>| {
            // To have read it, and to hold another lock, is not enough.
            tx.federation_by_id([1; 16]).await?;
            tx.onboarding([5; 16]).await?;
            tx.lock(Lock::Account(AccountRef([0xB1; 16]))).await?;
            tx.lock(Lock::Vehicle(eid(2))).await?;
            // Nothing of the decision is stored, not even what needs no lock.
            let call = Change::AddCall(call(77, "unlocked", 0));
            Ok::<_, StoreError>((vec![call, change.clone()], ()))
        };
        let done: Stored<()> = store.0.decide(decide).await;
        let error = done.expect_err(&named).to_string();
        assert!(error.contains("has not locked"), "{named}: {error}");
    }
    assert_eq!(store.call([77; 16]).await.unwrap(), None);
    assert_eq!(store.attempts("unlocked").await.unwrap(), None);
}

/// A key that somebody locked without counting has no attempts, and unknown subscriptions cost as many reads as known
/// ones.
pub(crate) async fn locks_leave_no_trace(store: &Book) {
    let lock = async |tx: &Tx<'_>| {
        tx.lock(Lock::Attempts("nobody".into())).await?;
        tx.locked_vehicle(eid(999)).await?;
        let none = tx.locked_account(AccountRef([0xEE; 16])).await?;
        let audit = Audit {
            at: 1,
            actor: "x".into(),
            action: "looked".into(),
            detail: String::new(),
            reason: None,
        };
        Ok::<_, StoreError>((vec![Change::Audit(audit)], none))
    };
    assert_eq!(store.0.decide(lock).await.unwrap(), None);
    assert_eq!(store.attempts("nobody").await.unwrap(), None);
    let cost = async |token: u8| {
        let before = store.looks();
        let decide = async move |tx: &Tx<'_>| {
            let token = MspToken::from_bytes([token; 16]);
            let found = tx.locked_federation("m", token).await?;
            Ok::<_, StoreError>((Vec::new(), found.is_some()))
        };
        let found = store.0.decide(decide).await.unwrap();
        (found, store.looks() - before)
    };
    let (known, unknown) = (cost(1).await, cost(0xDD).await);
    assert_eq!((known.0, unknown.0), (true, false));
    assert_eq!(known.1, unknown.1);
}

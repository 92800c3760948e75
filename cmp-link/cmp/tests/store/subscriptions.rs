//! Subscriptions, from the onboarding to the purge.

use crate::book::Book;
use crate::{EVA, account, call, eid, federation, iccid, request};
use aid_cmp::store::StoreError;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{
    Call, CodeRequest, Federation, MspVerdict, Onboarding, OnboardingState, Profile, ProfileStatus,
    Report, RequestState,
};
use aid_id::{AccountRef, MspToken, Secret};
use aid_wire::Status;

pub(crate) async fn subscriptions(store: &Book) {
    let onboarding = Onboarding {
        sid: [5; 16],
        msp: "m".into(),
        account: EVA,
        state: OnboardingState::Open,
        return_state: "s".into(),
        token: None,
        error: None,
        created_at: 1,
        expires_at: 2,
    };
    store
        .commit(vec![Change::AddOnboarding(onboarding.clone())])
        .await
        .unwrap();
    assert_eq!(
        store.onboarding_returning("s").await.unwrap(),
        Some(onboarding)
    );
    let token = MspToken::from_bytes([6; 16]);
    let done = Change::CloseOnboarding([5; 16], OnboardingState::Done, Some(token), None);
    store.commit(vec![done]).await.unwrap();
    assert_eq!(
        store.onboarding([5; 16]).await.unwrap().unwrap().token,
        Some(token)
    );

    let first = federation(1, "m", 1);
    store
        .commit(vec![Change::AddFederation(first.clone())])
        .await
        .unwrap();
    // R-5.3-2: unique per MSP only.
    let other = Change::AddFederation(federation(2, "n", 1));
    store.commit(vec![other]).await.unwrap();
    let same = Change::AddFederation(federation(3, "m", 1));
    assert_eq!(store.commit(vec![same]).await, Err(StoreError::Taken));
    assert_eq!(
        store.federation("m", first.token).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(store.federations(EVA).await.unwrap().len(), 2);
    let ended = Federation {
        ended_at: Some(9),
        ended_reason: Some("r".into()),
        ..first
    };
    store
        .commit(vec![Change::UpdateFederation(ended.clone())])
        .await
        .unwrap();
    assert_eq!(store.federation_by_id([1; 16]).await.unwrap(), Some(ended));

    let profile = |n, last_used| Profile {
        iccid: iccid(n),
        federation: [1; 16],
        eid: eid(1),
        status: ProfileStatus::Prepared,
        verdict: MspVerdict::Valid,
        last_used,
        created_at: 1,
    };
    let changes = [profile(1, 20), profile(2, 10)].map(Change::PutProfile);
    store.commit(changes.to_vec()).await.unwrap();
    let order: Vec<_> = store.profiles([1; 16]).await.unwrap();
    assert_eq!(
        order,
        [profile(2, 10), profile(1, 20)],
        "least recently used first"
    );
    let enabled = Profile {
        status: ProfileStatus::Enabled,
        ..profile(2, 30)
    };
    store
        .commit(vec![Change::PutProfile(enabled.clone())])
        .await
        .unwrap();
    assert_eq!(store.profiles_with(&iccid(2)).await.unwrap(), [enabled]);

    let open = request(1);
    store
        .commit(vec![
            Change::PutRequest(open.clone()),
            Change::PutRequest(request(2)),
        ])
        .await
        .unwrap();
    assert_eq!(store.request([1; 16]).await.unwrap(), Some(open.clone()));
    assert_eq!(
        store.requests([1; 16]).await.unwrap(),
        [request(2), request(1)]
    );
    assert_eq!(
        store.request_of_car(eid(1), [101; 16]).await.unwrap(),
        Some(open.clone())
    );
    assert_eq!(store.request_of_car(eid(2), [101; 16]).await.unwrap(), None);
    assert!(store.undelivered(eid(1)).await.unwrap().is_empty());
    assert_eq!(store.overdue(999, None, 100).await.unwrap().len(), 0);
    let due = store.overdue(1000, None, 100).await.unwrap();
    assert_eq!(due.iter().map(|r| r.id[0]).collect::<Vec<_>>(), [1, 2]);
    // In pages.
    let first = store.overdue(1000, None, 1).await.unwrap();
    let behind = Some((1000, first[0].id));
    assert_eq!(store.overdue(1000, behind, 9).await.unwrap(), due[1..]);
    assert!(store.overlong(0, 9).await.unwrap().is_empty());
    let answered = CodeRequest {
        state: RequestState::Answered,
        code: Some(Secret::new("1$h$X".into())),
        iccid: Some(iccid(1)),
        ..open
    };
    store
        .commit(vec![Change::PutRequest(answered.clone())])
        .await
        .unwrap();
    assert_eq!(
        store.undelivered(eid(1)).await.unwrap(),
        std::slice::from_ref(&answered)
    );
    let delivered = CodeRequest {
        delivered_at: Some(4),
        ..answered
    };
    store
        .commit(vec![Change::PutRequest(delivered)])
        .await
        .unwrap();
    assert!(store.undelivered(eid(1)).await.unwrap().is_empty());

    let report = Report {
        eid: eid(1),
        seq: 1,
        iccid: Some(iccid(1)),
        account: None,
        status: Status::Installed,
        code: 0,
        received_at: 3,
    };
    assert!(!store.has_report(&report).await.unwrap());
    store
        .commit(vec![Change::AddReport(report.clone())])
        .await
        .unwrap();
    assert!(store.has_report(&report).await.unwrap());
    // The same again by a car whose journal was lost: its number has another epoch.
    let last = i64::MAX.unsigned_abs();
    for seq in [1 << 32 | 1, 0x7FFF_FFFF << 32 | 1, last] {
        let report = Report {
            seq,
            ..report.clone()
        };
        assert!(!store.has_report(&report).await.unwrap(), "{seq}");
        store
            .commit(vec![Change::AddReport(report.clone())])
            .await
            .unwrap();
        assert!(store.has_report(&report).await.unwrap());
    }
    // A car that counts from the start again says something else under the same number.
    let again = Report {
        status: Status::Deleted,
        ..report
    };
    assert!(!store.has_report(&again).await.unwrap());
}

// R-4.4.1-14 R-A.3-4
pub(crate) async fn forgets(store: &Book) {
    let bob = AccountRef([0xB0; 16]);
    let own = Federation {
        account: bob,
        ..federation(60, "m", 60)
    };
    let profile = Profile {
        iccid: iccid(60),
        federation: own.id,
        eid: eid(1),
        status: ProfileStatus::Deleted,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    let request = CodeRequest {
        federation: own.id,
        ..request(60)
    };
    let report = Report {
        eid: eid(1),
        seq: 60,
        iccid: Some(iccid(60)),
        account: Some(bob),
        status: Status::Deleted,
        code: 0,
        received_at: 1,
    };
    let told = Call {
        token: own.token,
        ..call(60, "s", 0)
    };
    store
        .commit(vec![
            Change::AddAccount(account(bob, "bob")),
            Change::LoggedIn(eid(1), bob, 1),
            Change::AddFederation(own.clone()),
            Change::PutProfile(profile),
            Change::PutRequest(request),
            Change::AddReport(report.clone()),
            Change::AddCall(told),
            Change::AddFederation(federation(61, "n", 60)),
        ])
        .await
        .unwrap();
    store.commit(vec![Change::EraseAccount(bob)]).await.unwrap();
    let erased = store.account(bob).await.unwrap().unwrap();
    assert!(!format!("{erased:?}").contains("DROP TABLE"), "{erased:?}");
    assert_eq!(store.account_named("bob").await.unwrap(), None);
    assert!(!store.has_logged_in(eid(1), bob).await.unwrap());
    store
        .commit(vec![Change::PurgeFederation(own.id)])
        .await
        .unwrap();
    assert_eq!(store.federation("m", own.token).await.unwrap(), None);
    assert!(store.profiles_with(&iccid(60)).await.unwrap().is_empty());
    assert!(store.requests(own.id).await.unwrap().is_empty());
    assert!(!store.has_report(&report).await.unwrap());
    assert_eq!(store.call([60; 16]).await.unwrap(), None);
    // The same token of another MSP is another's.
    assert!(store.federation("n", own.token).await.unwrap().is_some());
    store
        .commit(vec![Change::RemoveAccount(bob)])
        .await
        .unwrap();
    assert_eq!(store.account(bob).await.unwrap(), None);
}

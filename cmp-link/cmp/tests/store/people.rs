//! Users and cars, and what they choose.

use crate::book::Book;
use crate::{EVA, account, eid, vehicle};
use aid_cmp::store::{AuditFilter, StoreError, Tx};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{Attempts, Audit, Hold, NoticeKind, PortalSession, UserNotice, Vehicle};
use aid_id::AccountRef;

pub(crate) async fn people(store: &Book) {
    store
        .commit(vec![Change::AddVehicle(vehicle(1))])
        .await
        .unwrap();
    assert_eq!(store.vehicle(eid(1)).await.unwrap(), Some(vehicle(1)));
    assert_eq!(store.vehicle(eid(2)).await.unwrap(), None);
    // All or nothing: the second change fails, the first did not happen.
    let changes = vec![
        Change::AddVehicle(vehicle(2)),
        Change::AddVehicle(vehicle(1)),
    ];
    assert_eq!(store.commit(changes).await, Err(StoreError::Taken));
    assert_eq!(store.vehicles(None, 1000).await.unwrap(), [vehicle(1)]);
    let seen = Change::Seen {
        eid: eid(1),
        at: 5,
        software: "a".into(),
        card: "[]".into(),
    };
    store.commit(vec![seen]).await.unwrap();
    assert_eq!(
        store.vehicle(eid(1)).await.unwrap().unwrap().last_seen,
        Some(5)
    );

    let eva = account(EVA, "eva");
    store
        .commit(vec![Change::AddAccount(eva.clone())])
        .await
        .unwrap();
    let taken = Change::AddAccount(account(AccountRef([2; 16]), "eva"));
    assert_eq!(store.commit(vec![taken]).await, Err(StoreError::Taken));
    assert_eq!(store.account(EVA).await.unwrap(), Some(eva.clone()));
    assert_eq!(store.account_named("eva").await.unwrap(), Some(eva));
    assert_eq!(store.account_named("' OR 1=1 --").await.unwrap(), None);

    let attempts = |count| Attempts {
        count,
        since: 3,
        last: Some([4; 16]),
    };
    for count in [1, 2] {
        let change = Change::SetAttempts("k".into(), Some(attempts(count)));
        store.commit(vec![change]).await.unwrap();
        assert_eq!(store.attempts("k").await.unwrap(), Some(attempts(count)));
    }
    store
        .commit(vec![Change::SetAttempts("k".into(), None)])
        .await
        .unwrap();
    assert_eq!(store.attempts("k").await.unwrap(), None);

    assert!(!store.has_logged_in(eid(1), EVA).await.unwrap());
    let login = || Change::LoggedIn(eid(1), EVA, 1);
    store.commit(vec![login(), login()]).await.unwrap();
    assert!(store.has_logged_in(eid(1), EVA).await.unwrap());
    assert!(!store.has_logged_in(eid(2), EVA).await.unwrap());

    let session = PortalSession {
        token_hash: "h".into(),
        account: EVA,
        expires_at: 10,
    };
    store
        .commit(vec![Change::AddSession(session.clone())])
        .await
        .unwrap();
    assert_eq!(store.session("h").await.unwrap(), Some(session));
    store
        .commit(vec![Change::RemoveSession("h".into())])
        .await
        .unwrap();
    assert_eq!(store.session("h").await.unwrap(), None);
}

// R-4.3-5 R-4.5-10 R-4.4.2-7
pub(crate) async fn choices(store: &Book) {
    let prefer = |eid, id| Change::Prefer(EVA, eid, id);
    store
        .commit(vec![
            prefer(None, Some([1; 16])),
            prefer(Some(eid(1)), Some([1; 16])),
            prefer(Some(eid(1)), Some([2; 16])),
        ])
        .await
        .unwrap();
    assert_eq!(store.preference(EVA, None).await.unwrap(), Some([1; 16]));
    let here = store.preference(EVA, Some(eid(1))).await.unwrap();
    assert_eq!(here, Some([2; 16]));
    store
        .commit(vec![prefer(Some(eid(1)), None)])
        .await
        .unwrap();
    assert_eq!(store.preference(EVA, Some(eid(1))).await.unwrap(), None);
    let hold = Hold {
        federation: [1; 16],
        eid: eid(1),
        since: 3,
    };
    store
        .commit(vec![
            Change::SetHold(hold.clone()),
            Change::SetHold(hold.clone()),
        ])
        .await
        .unwrap();
    assert_eq!(store.hold([1; 16], eid(1)).await.unwrap(), Some(hold));
    assert_eq!(store.hold([1; 16], eid(2)).await.unwrap(), None);
    store
        .commit(vec![Change::ClearHold([1; 16], eid(1))])
        .await
        .unwrap();
    assert_eq!(store.hold([1; 16], eid(1)).await.unwrap(), None);
    let notice = UserNotice {
        id: [7; 16],
        account: EVA,
        at: 1,
        kind: NoticeKind::UnlinkedByMsp,
        detail: "m".into(),
    };
    store
        .commit(vec![Change::AddNotice(notice.clone())])
        .await
        .unwrap();
    let foreign = Change::RemoveNotice(AccountRef([9; 16]), notice.id);
    store.commit(vec![foreign]).await.unwrap();
    let told = store.notices(EVA).await.unwrap();
    assert_eq!(told, std::slice::from_ref(&notice));
    let read = Change::RemoveNotice(EVA, notice.id);
    store.commit(vec![read]).await.unwrap();
    assert!(store.notices(EVA).await.unwrap().is_empty());
}

pub(crate) async fn audit(store: &Book) {
    let entry = |at, actor: &str, detail: &str| Audit {
        at,
        actor: actor.into(),
        action: "did".into(),
        detail: detail.into(),
        reason: Some("why".into()),
    };
    let list = [
        entry(1, "a", "x 100%"),
        entry(2, "b", "x 1000"),
        entry(3, "a", "y"),
    ];
    let changes = list.clone().map(Change::Audit);
    store.commit(changes.to_vec()).await.unwrap();
    let filter = |since, actor: Option<&str>, about: Option<&str>| AuditFilter {
        since,
        actor: actor.map(Into::into),
        about: about.map(Into::into),
    };
    // Read in pages of one, and as the newest.
    let get = |f: AuditFilter, newest: u32| async move {
        let got = store.audits(&f, newest).await.unwrap();
        let times: Vec<_> = got.into_iter().map(|a| a.at).collect();
        if newest == 9 {
            let (mut after, mut paged) = (None, Vec::new());
            loop {
                let filter = f.clone();
                let page = async move |tx: &Tx<'_>| tx.audits(&filter, after, 1).await;
                let page = store.0.read(page).await.unwrap();
                after = page.last().map(|(position, a)| (a.at, *position));
                paged.extend(page.into_iter().map(|(_, a)| a.at));
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(paged, times);
        }
        times
    };
    let all = store.audits(&filter(0, None, None), 9).await.unwrap();
    assert_eq!(all, list);
    assert_eq!(get(filter(0, None, None), 9).await, [1, 2, 3]);
    assert_eq!(get(filter(0, None, None), 2).await, [2, 3], "the newest");
    assert_eq!(get(filter(2, Some("a"), None), 9).await, [3]);
    // A wildcard is a character.
    assert_eq!(get(filter(0, None, Some("100%")), 9).await, [1]);
}

// R-A.4-6
pub(crate) async fn retired(store: &Book) {
    let vehicle = Vehicle {
        vin: Some("WAU1".into()),
        ..vehicle(50)
    };
    store
        .commit(vec![
            Change::AddVehicle(vehicle),
            Change::LoggedIn(eid(50), EVA, 1),
        ])
        .await
        .unwrap();
    assert_eq!(store.users_of(eid(50)).await.unwrap(), [EVA]);
    assert!(store.cars_of(EVA).await.unwrap().contains(&eid(50)));
    let gone = Change::RetireVehicle(eid(50), 9, "r".into(), Some(eid(51)));
    store
        .commit(vec![gone, Change::ForgetLogins(eid(50))])
        .await
        .unwrap();
    let vehicle = store.vehicle(eid(50)).await.unwrap().unwrap();
    assert_eq!(
        (
            vehicle.retired_at,
            vehicle.replaced_by,
            vehicle.vin.as_deref()
        ),
        (Some(9), Some(eid(51)), Some("WAU1"))
    );
    assert!(store.users_of(eid(50)).await.unwrap().is_empty());
}

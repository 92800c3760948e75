//! What lets users in to cars without a connection.

use crate::book::Book;
use crate::{EVA, eid};
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::model::Verifier;
use aid_id::{AccountRef, Eid};

const BOB: AccountRef = AccountRef([0xB0; 16]);

async fn put(store: &Book, car: u32, account: AccountRef, id: u8) -> Verifier {
    let verifier = Verifier {
        eid: eid(car),
        account,
        id: [id; 16],
        expires_at: 1_000_000,
        revoked_at: None,
    };
    let change = Change::Fleet(FleetChange::PutVerifier(verifier));
    store.commit(vec![change]).await.unwrap();
    verifier
}

async fn revoke(store: &Book, eid: Option<Eid>, account: Option<AccountRef>, at: u64) {
    let change = FleetChange::RevokeVerifiers { eid, account, at };
    store.commit(vec![Change::Fleet(change)]).await.unwrap();
}

pub(crate) async fn verifiers(store: &Book) {
    let (first, second) = (eid(61), eid(62));
    let eva = put(store, 61, EVA, 1).await;
    put(store, 61, BOB, 2).await;
    put(store, 62, EVA, 3).await;
    assert_eq!(store.verifier(first, EVA).await.unwrap(), Some(eva));
    assert_eq!(store.verifier(second, BOB).await.unwrap(), None);
    // The newest counts.
    let newer = put(store, 61, EVA, 4).await;
    assert_eq!(store.verifier(first, EVA).await.unwrap(), Some(newer));
    assert!(store.revoked_verifiers(first).await.unwrap().is_empty());
    // Of a user in a car, of a user, of a car; a second time changes nothing.
    revoke(store, Some(first), Some(BOB), 10).await;
    revoke(store, None, Some(EVA), 20).await;
    revoke(store, Some(first), None, 30).await;
    let of = |list: Vec<Verifier>| {
        list.into_iter()
            .map(|v| (v.id[0], v.revoked_at))
            .collect::<Vec<_>>()
    };
    let revoked = store.revoked_verifiers(first).await.unwrap();
    let mut found = of(revoked);
    found.sort_unstable();
    assert_eq!(found, [(2, Some(10)), (4, Some(20))]);
    let all = store.verifiers_revoked(0, None, 9).await.unwrap();
    assert_eq!(
        of(all.clone()),
        [(2, Some(10)), (4, Some(20)), (3, Some(20))]
    );
    let page = store.verifiers_revoked(0, Some(all[0]), 1).await.unwrap();
    assert_eq!(of(page), [(4, Some(20))]);
    let later = store.verifiers_revoked(15, None, 9).await.unwrap();
    assert_eq!(of(later), [(4, Some(20)), (3, Some(20))]);
    // Granted again it is none any more; what the car acknowledges late is not the new one.
    put(store, 62, EVA, 5).await;
    for id in [3, 5] {
        let change = FleetChange::RemoveVerifier(second, [id; 16]);
        store.commit(vec![Change::Fleet(change)]).await.unwrap();
    }
    let kept = store.verifier(second, EVA).await.unwrap();
    assert_eq!(kept.map(|v| (v.id[0], v.revoked_at)), Some((5, None)));
    let change = FleetChange::RemoveVerifier(first, [4; 16]);
    store.commit(vec![Change::Fleet(change)]).await.unwrap();
    assert_eq!(store.verifier(first, EVA).await.unwrap(), None);
}

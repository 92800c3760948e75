use super::*;
use crate::core::OrderState;

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("smdp.db")).await.unwrap();
    let order = |iccid: &str| Order::available(iccid.into(), "t".into(), 1);
    store
        .add_profiles(&[order("8949000000000000018"), order("8949000000000000026")])
        .await
        .unwrap();
    (folder, store)
}

#[tokio::test]
async fn an_order_is_saved_once_per_reading() {
    let (folder, store) = store().await;
    let read = store.order("8949000000000000018").await.unwrap().unwrap();
    let mut changed = read.clone();
    changed.order.enter(OrderState::Released, 5);
    changed.order.eid = Some("89049032123451234512345678901235".into());
    changed.order.matching_id = Some("M-1".into());
    store.save(&changed).await.unwrap();
    assert!(matches!(
        store.save(&read).await,
        Err(StoreError::Conflict(_))
    ));
    let again = store.order_matching("M-1").await.unwrap().unwrap();
    assert_eq!(again.order, changed.order);
    let of = store
        .orders_of("89049032123451234512345678901235")
        .await
        .unwrap();
    assert_eq!(of, [again]);
    // A MatchingID belongs to one order.
    let mut other = store.order("8949000000000000026").await.unwrap().unwrap();
    other.order.matching_id = Some("M-1".into());
    assert!(matches!(
        store.save(&other).await,
        Err(StoreError::Conflict(_))
    ));

    // The same file again: nothing is lost, and profiles are not reset.
    store.close().await;
    let store = Store::open(&folder.path().join("smdp.db")).await.unwrap();
    store
        .add_profiles(&[Order::available(
            "8949000000000000018".into(),
            "t".into(),
            9,
        )])
        .await
        .unwrap();
    let order = store.order("8949000000000000018").await.unwrap().unwrap();
    assert_eq!(order.order, changed.order);
    assert_eq!(store.orders().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.db");
    std::fs::write(&file, [7; 5000]).unwrap();
    let error = Store::open(&file).await.unwrap_err().to_string();
    assert!(error.contains("x.db"), "{error}");
    let error = Store::open(&folder.path().join("no/x.db"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no/x.db"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing() {
    let (_folder, store) = store().await;
    // SQLite reports its own limit of pages as a full disk.
    let full = sqlx::query("PRAGMA max_page_count = 1");
    full.fetch_all(&store.pool).await.unwrap();
    let mut order = store.order("8949000000000000018").await.unwrap().unwrap();
    order.order.last_error = Some("x".repeat(1 << 20));
    let error = store.save(&order).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(error.to_string().contains("smdp.db"), "{error}");
    let again = store.order("8949000000000000018").await.unwrap().unwrap();
    assert_eq!(again.order.last_error, None);
}

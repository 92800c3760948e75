use super::*;
use crate::core::Change;
use crate::core::{OrderState, Progress, Step};
use aid_rsp::es2::DownloadOrderRequest;
use aid_rsp::es9::{RequestHeader, Text};

const ONE: &str = "8949000000000000018";
const TWO: &str = "8949000000000000026";
const EID: &str = "89049032123451234512345678901235";

fn stock(iccid: &str, profile_type: &str) -> Stock {
    Stock {
        iccid: iccid.into(),
        file: iccid.into(),
        profile_type: profile_type.into(),
        name: "n".into(),
    }
}

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("smdp.db")).await.unwrap();
    store
        .offer(vec![stock(ONE, "t"), stock(TWO, "t")], 1)
        .await
        .unwrap();
    (folder, store)
}

/// Changes an order as a decision does.
async fn change(
    store: &Store,
    iccid: &'static str,
    change: impl Fn(&mut Order) + Send + 'static,
) -> Stored<()> {
    let decided = store.decide(async move |books| {
        let order = books.order(iccid).await?.unwrap();
        Ok(Decided::about(order, |order| {
            change(order);
            Ok(())
        }))
    });
    decided.await.map(|_| ())
}

#[tokio::test]
async fn an_order_is_found_as_it_was_stored_also_after_a_restart() {
    let (folder, store) = store().await;
    let to = |order: &mut Order| {
        order.enter(OrderState::Released, 5);
        order.eid = Some(EID.into());
        order.matching_id = Some("M-1".into());
    };
    change(&store, ONE, to).await.unwrap();
    let mut expected = Order::available(ONE.into(), "t".into(), 1);
    to(&mut expected);
    assert_eq!(
        store.order_matching("M-1").await.unwrap().as_ref(),
        Some(&expected)
    );
    assert_eq!(store.orders_of(EID).await.unwrap(), [expected.clone()]);
    // A MatchingID belongs to one order, and of a decision that can't be stored nothing is.
    let taken = change(&store, TWO, |order| {
        order.attempts = 7;
        order.matching_id = Some("M-1".into());
    });
    assert_eq!(taken.await, Err(StoreError::Taken));
    assert_eq!(store.order(TWO).await.unwrap().unwrap().attempts, 0);

    // The same file again: nothing is lost, and profiles are not reset.
    store.close().await;
    let store = Store::open(&folder.path().join("smdp.db")).await.unwrap();
    store.offer(vec![stock(ONE, "t")], 9).await.unwrap();
    assert_eq!(store.order(ONE).await.unwrap(), Some(expected));
    assert_eq!(store.orders().await.unwrap().len(), 2);
    // In parts, each behind the last one.
    let mut seen = Vec::new();
    while let [listed] = store
        .list(seen.last().map(String::as_str), 1)
        .await
        .unwrap()
        .as_slice()
    {
        seen.push(listed.order.iccid.clone());
    }
    assert_eq!(seen, [ONE, TWO]);
}

#[tokio::test]
async fn a_decision_about_no_order_stores_nothing() {
    let (_folder, store) = store().await;
    let lost = store.decide(async |books| {
        let mut order = books.order(ONE).await?.unwrap();
        order.attempts = 1;
        let mut changes = vec![Change::Order(Box::new(order))];
        let unknown = Order::available("89".into(), "t".into(), 1);
        changes.push(Change::Order(Box::new(unknown)));
        Ok(Decided {
            changes,
            result: Ok(()),
        })
    });
    assert!(matches!(lost.await, Err(StoreError::Failed(_))));
    assert_eq!(store.order(ONE).await.unwrap().unwrap().attempts, 0);
    assert_eq!(store.orders().await.unwrap().len(), 2);
}

#[tokio::test]
async fn decisions_about_one_order_are_made_one_after_the_other() {
    let (_folder, store) = store().await;
    let tries: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { change(&store, ONE, |order| order.attempts += 1).await })
        })
        .collect();
    for done in tries {
        done.await.unwrap().unwrap();
    }
    assert_eq!(store.order(ONE).await.unwrap().unwrap().attempts, 100);
}

/// Profiles of two types in every state, some ordered by the same call, some taken out of the inventory.
async fn crowded() -> (tempfile::TempDir, Store, Vec<Order>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("smdp.db")).await.unwrap();
    let mut orders = Vec::new();
    let states = [
        OrderState::Unavailable,
        OrderState::Linked,
        OrderState::Installed,
        OrderState::Available,
    ];
    for n in 0..48u8 {
        let kind = ["gold", "tin", "lead"][usize::from(n % 3)];
        let mut order = Order::available(format!("89490000{n:03}"), kind.into(), 1);
        // None of the third type is left.
        order.state = match kind {
            "lead" => OrderState::Installed,
            _ => states[usize::from(n / 3 % 4)],
        };
        if order.state == OrderState::Linked {
            order.eid = Some(EID.into()).filter(|_| n % 2 == 0);
            order.operator = Some("msp".into());
            order.call = Some(format!("1.2.3/{}", n % 5));
        }
        orders.push(order);
    }
    let offered = |orders: &[Order]| {
        let stock = orders.iter().map(|o| stock(&o.iccid, &o.profile_type));
        stock.collect::<Vec<_>>()
    };
    store.offer(offered(&orders), 1).await.unwrap();
    for order in &orders {
        let order = order.clone();
        let written = store.decide(async move |_| {
            Ok(Decided {
                changes: vec![Change::Order(Box::new(order.clone()))],
                result: Ok(()),
            })
        });
        written.await.unwrap().result.unwrap();
    }
    orders.retain(|order| !order.iccid.ends_with('9') && order.iccid.as_str() > "89490000009");
    store.offer(offered(&orders), 1).await.unwrap();
    (folder, store, orders)
}

#[tokio::test]
async fn an_order_is_chosen_from_few_as_from_all() {
    let (_folder, store, mut all) = crowded().await;
    for order in &mut all {
        let file = stock(&order.iccid, &order.profile_type).file;
        order.package = Some(file).filter(|_| order.state == OrderState::Available);
    }
    let (mut chosen, mut refused) = (0, 0);
    let iccids = [
        None,
        Some("89490000021"),
        Some("89490000022"),
        Some("89490000025"),
    ];
    let more = [Some("89490000029F"), Some("89490000001"), Some("1")];
    for iccid in iccids.into_iter().chain(more) {
        for kind in [None, Some("gold"), Some("tin"), Some("lead"), Some("none")] {
            for eid in [None, Some(EID), Some("1")] {
                for call in ["", "0", "1", "2", "3", "4", "9"] {
                    let request = DownloadOrderRequest {
                        header: RequestHeader {
                            function_requester_identifier: Text::new("1.2.3").unwrap(),
                            function_call_identifier: Text::new(call).unwrap(),
                        },
                        eid: eid.and_then(Text::new),
                        iccid: iccid.and_then(Text::new),
                        profile_type: kind.and_then(Text::new),
                    };
                    let expected = Order::download(&all, &request, "msp", None, 5);
                    match expected.result {
                        Ok(_) => chosen += 1,
                        Err(_) => refused += 1,
                    }
                    // Decided, and nothing stored.
                    let asked = request.clone();
                    let decided = store.decide(async move |books| {
                        let few = books.candidates(&asked).await?;
                        assert!(few.len() < 8, "{few:?}");
                        let decided = Order::download(&few, &asked, "msp", None, 5);
                        Ok(Decided::unchanged(Ok(decided)))
                    });
                    let got = decided.await.unwrap().result.unwrap();
                    assert_eq!(got, expected, "{request:?}");
                }
            }
        }
    }
    assert!(chosen > 50 && refused > 500, "{chosen} {refused}");
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
async fn an_unreadable_progress_holds_up_no_other() {
    let (_folder, store) = store().await;
    let mut order = store.order(ONE).await.unwrap().unwrap();
    order.operator = Some("msp".into());
    order.eid = Some(EID.into());
    let odd = ["", "x", "[1", "{\"header\":7}"];
    for at in 0..=odd.len() as u64 {
        let progress = Progress::of(&order, Step::Eligible, at).unwrap();
        let stored = store.decide(async move |_| {
            Ok(Decided {
                changes: vec![Change::Progress(Box::new(progress.clone()))],
                result: Ok(()),
            })
        });
        stored.await.unwrap().result.unwrap();
    }
    let mut due = store.due(9).await.unwrap();
    assert_eq!(due.len(), odd.len() + 1);
    let last = due.pop().unwrap();
    for (due, body) in due.iter().zip(odd) {
        let id = due.id;
        let damaged = store.0.change(async move |tx| {
            let sql = "UPDATE progress SET body = $2 WHERE id = $1";
            tx.run(sql, aid_store::params![id, body]).await
        });
        assert_eq!(damaged.await.unwrap(), 1);
    }
    assert_eq!(store.due(9).await.unwrap(), std::slice::from_ref(&last));
    let left = store.0.read(async |tx| {
        let sql = "/* reads all: a test */ SELECT id FROM progress";
        tx.all(sql, &[], |row| row.number::<i64>()).await
    });
    assert_eq!(left.await.unwrap(), [last.id], "the odd ones are removed");
}

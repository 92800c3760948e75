//! Effect and answer are one: wherever a decision fails neither is there, and the repetition does both.

use aid_aid1::body::{CsimStatus, ProfileType, RequestActivationCode, SendCsimStatus};

use super::*;
use crate::config::Eligibility;
use crate::core::call::{Answer, Earlier, Key, Said};
use crate::core::model::{Delivery, Order, OrderState, Ordered, Profile, ProfilePhase};
use crate::core::order::{Begun, Request, Usual};
use crate::core::report;

const EID: &str = "89049032000001000000000831934057";

fn token() -> MspToken {
    MspToken::from_bytes([1; 16])
}

fn profile() -> Profile {
    Profile {
        iccid: "8949000000000000018".parse().unwrap(),
        msp_token: token(),
        eid: EID.parse().unwrap(),
        matching_id: "M".into(),
        phase: ProfilePhase::Installed,
        network: true,
        created_at: 2,
        used_at: 2,
    }
}

fn key() -> Key {
    Key {
        client: client(),
        id: Uuid::new_v4(),
        digest: "digest".into(),
    }
}

/// A database with an onboarding and a profile, and a connection of somebody else.
async fn stage(path: &Path) -> (Store, Connection) {
    let store = start(path).await.unwrap();
    let changes = vec![
        Change::OnboardingAdded(onboarding(token())),
        Change::ProfileAdded(profile()),
    ];
    store.put(Decision::of(changes, ())).await.unwrap();
    (store, another(path))
}

/// All that a call can change.
#[derive(Debug, PartialEq)]
struct Books {
    statuses: usize,
    profiles: Vec<Profile>,
    orders: Vec<Order>,
    jobs: usize,
    earlier: Option<Earlier>,
}

async fn books(store: &Store, key: &Key) -> Books {
    let key = key.clone();
    let read = store.read(async move |tx| {
        let all = Page {
            newest_first: false,
            ..Page::newest(1000)
        };
        Ok(Books {
            statuses: tx.statuses(&all).await?.len(),
            profiles: tx.profiles(&all).await?,
            orders: tx.orders(None, &all).await?,
            jobs: tx.outbox(None, &all).await?.len(),
            earlier: tx.earlier(&key).await?,
        })
    });
    read.await.unwrap()
}

async fn report(store: &Store, key: &Key) -> Stored<Said> {
    let key = key.clone();
    let said = store.decide(async move |tx| {
        let body = SendCsimStatus {
            iccid: profile().iccid,
            eid: EID.into(),
            status: CsimStatus::Enabled,
        };
        let view = tx.call_view(&key, token()).await?;
        let found = tx.profile(token(), &body.iccid).await?;
        let found = found.as_ref();
        let call = Uuid::new_v4();
        Ok(report::send_csim_status(
            &view,
            found,
            &key,
            Ok(body),
            call,
            9,
        ))
    });
    said.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_fails_at_any_table_is_booked_once_when_it_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let (store, other) = stage(&path).await;
    for (n, table) in ["status", "profile", "answered"].into_iter().enumerate() {
        let key = key();
        let before = books(&store, &key).await;
        fault(&other, table, true);
        assert!(report(&store, &key).await.is_err(), "{table}");
        fault(&other, table, false);
        assert_eq!(books(&store, &key).await, before, "{table}");
        let first = report(&store, &key).await.unwrap();
        assert_eq!(first, Said::Answer(Answer::success::<SendCsimStatus>(&())));
        for _ in 0..3 {
            assert_eq!(report(&store, &key).await.unwrap(), first);
        }
        assert_eq!(books(&store, &key).await.statuses, n + 1, "{table}");
    }
    store.close().await;
}

async fn request(store: &Store, key: &Key, id: Uuid, delivery: Delivery) -> Stored<Begun> {
    let key = key.clone();
    let begun = store.decide(async move |tx| {
        let view = tx.request_view(&key, token(), Some(id)).await?;
        let asked = Request {
            key: &key,
            body: Ok(RequestActivationCode {
                profile_type: ProfileType::Personal,
                device_type: "tcu".into(),
                eid: EID.parse().unwrap(),
                request_id: id,
                replace_iccid: None,
                imei: true,
            }),
            correlation: Uuid::new_v4(),
            delivery,
            eligibility: &Eligibility::default(),
            rules: &Usual,
            now: 9,
        };
        Ok(order::request(&view, asked))
    });
    begun.await
}

async fn finish(store: &Store, key: &Key, id: Uuid) -> Stored<Said> {
    let key = key.clone();
    let said = store.decide(async move |tx| {
        let order = tx.order(&client(), id).await?.unwrap();
        let view = tx.finish_view(&order.request, Some(&key)).await?;
        let ordered = Ordered {
            iccid: "8949000000000000026".parse().unwrap(),
            activation_code: "1$smdp.example$M-1".parse().unwrap(),
        };
        let ids = &mut Uuid::new_v4;
        Ok(order::finish(&view, &ordered, Some(&key), &Usual, ids, 10))
    });
    said.await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_at_any_table_is_booked_once_when_it_is_repeated() {
    for delivery in [Delivery::Sync, Delivery::Async] {
        let (folder, id, key) = (tempfile::tempdir().unwrap(), Uuid::new_v4(), key());
        let path = folder.path().join("x.sqlite");
        let (store, other) = stage(&path).await;
        let before = books(&store, &key).await;
        for table in ["ac_request", "answered"] {
            fault(&other, table, true);
            let failed = request(&store, &key, id, delivery).await;
            assert!(failed.is_err(), "{table}");
            fault(&other, table, false);
            assert_eq!(books(&store, &key).await, before, "{table}");
        }
        request(&store, &key, id, delivery).await.unwrap();
        let begun = books(&store, &key).await;
        assert_eq!(begun.orders.len(), 1);
        // The subscription has one slot: the other profile is swapped.
        let tables: &[_] = match delivery {
            Delivery::Sync => &["profile", "ac_request", "answered"],
            Delivery::Async => &["profile", "ac_request", "outbox"],
        };
        for table in tables {
            fault(&other, table, true);
            assert!(finish(&store, &key, id).await.is_err(), "{table}");
            fault(&other, table, false);
            assert_eq!(books(&store, &key).await, begun, "{table}");
        }
        let first = finish(&store, &key, id).await.unwrap();
        let done = books(&store, &key).await;
        assert_eq!(done.orders[0].state, OrderState::Done);
        assert_eq!(done.profiles.len(), 2);
        assert_eq!(done.profiles[0].phase, ProfilePhase::Swapped);
        assert_eq!(done.jobs, usize::from(delivery == Delivery::Async));
        let stored = done.earlier.clone().unwrap().answer.unwrap();
        assert_eq!(first, Said::Answer(stored));
        // Another worker that comes to the same end, and the CMP that asks again.
        assert_eq!(finish(&store, &key, id).await.unwrap(), first);
        let again = request(&store, &key, id, delivery).await.unwrap();
        assert_eq!(again, Begun::Said(first));
        assert_eq!(books(&store, &key).await, done);
        store.close().await;
    }
}

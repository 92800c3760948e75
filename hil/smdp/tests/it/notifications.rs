//! HandleNotification: what counts, what does not, and what it does to an order.

use crate::bench::{Bench, EID_DIGITS, ICCID, NOW, refused};
use crate::card::DP_OID;
use aid_rsp::es9::{Base64, CancelSessionRequest, Hex};
use aid_rsp::es10::{
    BppCommandId, CancelSessionReason, ErrorReason, FinalResult, NotificationEvent, TransactionId,
};
use aid_smdp::core::OrderState;

const SWAPPED: [u8; 10] = [0x98, 0x94, 0, 0, 0, 0, 0, 0, 0x10, 0xF8];

async fn downloaded() -> (Bench, crate::card::Card, TransactionId) {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let (id, _) = bench.download(&mut card, &matching_id).await;
    (bench, card, id)
}

// R-4.4.1-11 R-4.5-6
#[tokio::test]
async fn a_life_in_notifications() {
    let (bench, card, id) = downloaded().await;
    bench.notify(card.installed(id, 0, SWAPPED)).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Installed);
    // Sent again because the answer was lost.
    bench.notify(card.installed(id, 0, SWAPPED)).await.unwrap();
    for (seq, event) in [
        (1, NotificationEvent::Enable),
        (2, NotificationEvent::Disable),
        (3, NotificationEvent::Delete),
    ] {
        let der = card.notify(seq, event, SWAPPED);
        bench.notify(der.clone()).await.unwrap();
        bench.notify(der).await.unwrap();
    }
    assert_eq!(bench.stored().await.state, OrderState::Deleted);
    let list = bench.service.store().notifications().await.unwrap();
    let got: Vec<_> = list
        .iter()
        .map(|n| (n.seq_number, n.outcome.as_str()))
        .collect();
    assert_eq!(
        got,
        [
            (0, "installed"),
            (1, "enabled"),
            (2, "disabled"),
            (3, "deleted")
        ]
    );
    assert!(list.iter().all(|n| n.eid == EID_DIGITS));
    assert!(list.iter().all(|n| n.iccid.as_deref() == Some(ICCID)));
}

#[tokio::test]
async fn a_failure_ends_or_reopens_the_order() {
    for (reason, state) in [
        (ErrorReason::InsufficientMemory, OrderState::Released),
        (ErrorReason::PeProcessingError, OrderState::Error),
        (ErrorReason::Scp03tSecurityError, OrderState::Error),
    ] {
        let (bench, card, id) = downloaded().await;
        let result = FinalResult::Error {
            command: BppCommandId::LoadProfileElements,
            reason,
            sima_response: None,
        };
        let der = card.result(id, 7, SWAPPED, result);
        bench.notify(der).await.unwrap();
        let order = bench.stored().await;
        assert_eq!(order.state, state);
        assert!(order.last_error.unwrap().contains(reason.name()));
        assert!(order.binding.is_none());
    }
}

#[tokio::test]
async fn a_forged_notification_does_not_count() {
    let (bench, card, id) = downloaded().await;
    let good = card.installed(id, 0, SWAPPED);
    for i in 0..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 1;
        // Acknowledged or not even a notification: never an effect.
        let _ = bench.notify(bad).await;
    }
    let other = bench.other_card();
    bench.notify(other.installed(id, 0, SWAPPED)).await.unwrap();
    let unknown = TransactionId::new(&[9; 16]).unwrap();
    bench
        .notify(card.installed(unknown, 0, SWAPPED))
        .await
        .unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Downloaded);
    let none = bench.service.store().notifications().await.unwrap();
    assert!(none.is_empty(), "{none:?}");

    // Another card may say what it likes of a profile that is not its own.
    bench.notify(card.installed(id, 0, SWAPPED)).await.unwrap();
    let der = other.notify(1, NotificationEvent::Delete, SWAPPED);
    bench.notify(der).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Installed);
    // What can't be read is acknowledged, or the LPA would repeat it for ever.
    bench.notify(vec![1, 2, 3]).await.unwrap();
}

// R-4.4.1-11 R-4.5-6
#[tokio::test]
async fn messages_of_an_old_order_leave_the_new_one_alone() {
    let (bench, mut card, first) = downloaded().await;
    // The card installs, enables, disables and deletes, and sends nothing yet.
    let late = [
        card.installed(first, 10, SWAPPED),
        card.notify(11, NotificationEvent::Enable, SWAPPED),
        card.notify(12, NotificationEvent::Disable, SWAPPED),
        card.notify(13, NotificationEvent::Delete, SWAPPED),
    ];
    let old_cancel = CancelSessionRequest {
        transaction_id: Hex::new(first.as_bytes()).unwrap(),
        cancel_session_response: Base64::new(card.cancel(
            first,
            &DP_OID,
            CancelSessionReason::EndUserRejection,
        ))
        .unwrap(),
    };
    let matching_id = bench.stored().await.matching_id.unwrap();
    let slow = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let slow_prepared = card.prepare(&slow, None);

    bench.cancel().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    // A session that was offered the old order gets nothing of the new one.
    let got = bench
        .bpp(slow.transaction_id.as_bytes(), slow_prepared)
        .await;
    refused(got, ("8.2.6", "3.8"));
    bench
        .service
        .cancel_session(&old_cancel, NOW)
        .await
        .unwrap();
    bench.notify(late[3].clone()).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Released);

    let (second, _) = bench.download(&mut card, &matching_id).await;
    for der in &late {
        bench.notify(der.clone()).await.unwrap();
        assert_eq!(bench.stored().await.state, OrderState::Downloaded);
    }
    bench
        .notify(card.installed(second, 14, SWAPPED))
        .await
        .unwrap();
    for der in &late {
        bench.notify(der.clone()).await.unwrap();
    }
    assert_eq!(bench.stored().await.state, OrderState::Installed);
    let delete = card.notify(15, NotificationEvent::Delete, SWAPPED);
    bench.notify(delete).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Deleted);
}

//! Late, repeated and reordered notifications of two lives of a profile, against a model.

use super::*;
use crate::core::{Euicc, Limits, Offered, OfferedOrder};
use aid_rsp::crypto::{Crypto as _, Curve, PublicKey, SoftwareCrypto};
use aid_rsp::es2::{CancelOrderRequest, DownloadOrderRequest, FinalProfileStatus};
use aid_rsp::es9::{RequestHeader, Text};
use aid_rsp::es10::CancelSessionReason;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use proptest::prelude::*;
use std::sync::OnceLock;

const ICCID: &str = "8949000000000000018";
const CARD: &str = "89049032123451234512345678901235";
const OTHER_CARD: &str = "89049032123451234512345678901299";
const OPERATOR: &str = "msp";
const LIMITS: Limits = Limits {
    attempts: 10,
    code_failures: 3,
    expire_after_days: None,
    matching_id_underscore: false,
};

fn session(n: u8) -> TransactionId {
    TransactionId::new(&[n; 16]).unwrap()
}

fn key() -> PublicKey {
    static KEY: OnceLock<PublicKey> = OnceLock::new();
    *KEY.get_or_init(|| {
        let crypto = SoftwareCrypto::new();
        crypto
            .generate(Curve::NistP256, &mut UnwrapErr(SysRng))
            .public
    })
}

/// What a card reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Installed(u8),
    Failed(u8),
    Enabled,
    Disabled,
    Deleted,
}

fn notice_of(eid: &str, seq_number: u64, said: Said) -> Notice {
    let (event, session, outcome) = match said {
        Said::Installed(n) => (
            NotificationEvent::Install,
            Some(session(n)),
            Outcome::Installed,
        ),
        Said::Failed(n) => (
            NotificationEvent::Install,
            Some(session(n)),
            Outcome::Failed {
                reason: ErrorReason::PeProcessingError,
                text: "failed".into(),
            },
        ),
        Said::Enabled => (NotificationEvent::Enable, None, Outcome::Enabled),
        Said::Disabled => (NotificationEvent::Disable, None, Outcome::Disabled),
        Said::Deleted => (NotificationEvent::Delete, None, Outcome::Deleted),
    };
    Notice {
        eid: eid.into(),
        seq_number,
        digest: [0; 32],
        event,
        iccid: Some(ICCID.into()),
        session,
        outcome,
    }
}

/// Orders the profile for `eid`, anew if it was ordered before.
fn ordered(order: &Order, eid: &str) -> Order {
    let request = DownloadOrderRequest {
        eid: Text::new(eid),
        iccid: Text::new(ICCID),
        ..Default::default()
    };
    let decided = Order::download(std::slice::from_ref(order), &request, OPERATOR, None, 1);
    assert_eq!(decided.result.as_deref(), Ok(ICCID));
    let [Change::Order(order)] = &decided.changes[..] else {
        panic!("answered as a repetition");
    };
    let mut order = (**order).clone();
    order.enter(OrderState::Released, 1);
    order
}

fn cancel(order: &mut Order) {
    let request = CancelOrderRequest {
        header: RequestHeader::default(),
        eid: order.eid.as_deref().and_then(Text::new),
        iccid: Text::new(ICCID).unwrap(),
        matching_id: None,
        final_profile_status_indicator: FinalProfileStatus::Available,
    };
    order.cancel(&request, 2).unwrap();
}

/// What is kept of a session that was offered this order.
fn offered(order: &Order, n: u8) -> (Offered, OfferedOrder) {
    let session = Offered {
        transaction_id: session(n),
        euicc: Euicc {
            eid: order.eid.clone().unwrap(),
            eid_bytes: [0; 16],
            public_key: key(),
        },
        iccid: order.iccid.clone(),
        package: None,
        smdp_signature2: Vec::new(),
        signers: 0,
        refused: false,
    };
    (session, OfferedOrder::of(order))
}

/// Gives the BPP out in session `n`, as `bind` notes it.
fn bound(order: &mut Order, n: u8) {
    order.bound_by(&session(n));
    order.attempts += 1;
    order.enter(OrderState::Downloaded, 3);
}

/// First life, on `eid`: downloaded in session 1, then cancelled.
fn second_life(eid: &str) -> Order {
    let mut order = ordered(&Order::available(ICCID.into(), "t".into(), 0), CARD);
    bound(&mut order, 1);
    cancel(&mut order);
    ordered(&order, eid)
}

/// Everything that the two cards say of the two lives, and numbers it has in common: the other card
/// counts for itself.
const SAID: [(&str, u64, Said); 9] = [
    (CARD, 1, Said::Installed(1)),
    (CARD, 2, Said::Enabled),
    (CARD, 3, Said::Disabled),
    (CARD, 4, Said::Deleted),
    (CARD, 5, Said::Installed(2)),
    (CARD, 6, Said::Enabled),
    (CARD, 7, Said::Deleted),
    (OTHER_CARD, 9, Said::Deleted),
    (OTHER_CARD, 8, Said::Installed(1)),
];

/// The state that the second life, bound in session 2 on `CARD`, must have after these.
fn expected(heard: &[(&str, u64, Said)]) -> OrderState {
    let has = |seq| heard.iter().any(|(eid, s, _)| *eid == CARD && *s == seq);
    match (has(5), has(7)) {
        (true, true) => OrderState::Deleted,
        (true, false) => OrderState::Installed,
        (false, _) => OrderState::Downloaded,
    }
}

proptest! {
    #[test]
    fn late_reports_of_an_old_order_never_touch_the_new_one(
        heard in prop::collection::vec(prop::sample::select(SAID.to_vec()), 0..24),
        cut in 0usize..24,
    ) {
        let cut = cut.min(heard.len());
        let mut order = second_life(CARD);
        // What arrives before the new BPP is given out is of the old life, whatever it says.
        for (eid, seq, said) in heard[..cut].iter().filter(|h| h.1 < 5 || h.0 != CARD) {
            prop_assert!(!order.noticed(&notice_of(eid, *seq, *said), 4));
        }
        prop_assert_eq!(order.state, OrderState::Released);
        bound(&mut order, 2);
        for (n, (eid, seq, said)) in heard[cut..].iter().enumerate() {
            let known = heard[cut..cut + n].contains(&(*eid, *seq, *said));
            let changed = order.noticed(&notice_of(eid, *seq, *said), 5);
            // A repetition that slips through changes nothing either.
            prop_assert!(!(known && changed));
            prop_assert_eq!(order.state, expected(&heard[cut..=cut + n]));
        }
    }

    #[test]
    fn an_order_for_another_card_hears_that_card_only(
        heard in prop::collection::vec(prop::sample::select(SAID.to_vec()), 0..24),
    ) {
        let mut order = second_life(OTHER_CARD);
        bound(&mut order, 2);
        for (eid, seq, said) in &heard {
            order.noticed(&notice_of(eid, *seq, *said), 5);
            prop_assert_eq!(order.state, OrderState::Downloaded);
        }
        prop_assert!(order.noticed(&notice_of(OTHER_CARD, 10, Said::Installed(2)), 6));
        prop_assert_eq!(order.state, OrderState::Installed);
    }
}

#[test]
fn a_deletion_that_overtakes_the_installation_counts_once_that_arrives() {
    let mut order = second_life(CARD);
    bound(&mut order, 2);
    order.noticed(&notice_of(CARD, 7, Said::Deleted), 4);
    assert_eq!(order.state, OrderState::Downloaded);
    order.noticed(&notice_of(CARD, 5, Said::Installed(2)), 5);
    assert_eq!(order.state, OrderState::Deleted);
    // Equal numbers do not happen; such a deletion is not newer.
    let mut order = second_life(CARD);
    bound(&mut order, 2);
    order.noticed(&notice_of(CARD, 5, Said::Installed(2)), 4);
    order.noticed(&notice_of(CARD, 5, Said::Deleted), 5);
    assert_eq!(order.state, OrderState::Installed);
}

#[test]
fn a_deletion_without_a_report_of_the_installation_ends_the_first_order_of_a_profile() {
    let first = || {
        let mut order = ordered(&Order::available(ICCID.into(), "t".into(), 0), CARD);
        bound(&mut order, 1);
        order
    };
    let mut order = first();
    assert!(!order.noticed(&notice_of(OTHER_CARD, 9, Said::Deleted), 4));
    assert!(order.noticed(&notice_of(CARD, 4, Said::Deleted), 4));
    assert_eq!(order.state, OrderState::Deleted);
    // The report comes late.
    order.noticed(&notice_of(CARD, 1, Said::Installed(1)), 5);
    assert_eq!(order.state, OrderState::Deleted);
    // The deletion was of an installation before the books began.
    let mut order = first();
    order.noticed(&notice_of(CARD, 4, Said::Deleted), 4);
    assert!(order.noticed(&notice_of(CARD, 5, Said::Installed(1)), 5));
    assert_eq!(order.state, OrderState::Installed);
    // No package was given out.
    let mut order = ordered(&Order::available(ICCID.into(), "t".into(), 0), CARD);
    assert!(!order.noticed(&notice_of(CARD, 4, Said::Deleted), 4));
    assert_eq!(order.state, OrderState::Released);
}

#[test]
fn the_failure_of_an_earlier_try_does_not_end_the_next() {
    let mut order = second_life(CARD);
    bound(&mut order, 2);
    bound(&mut order, 3);
    assert!(!order.noticed(&notice_of(CARD, 5, Said::Failed(2)), 4));
    assert!(!order.noticed(&notice_of(CARD, 4, Said::Failed(1)), 4));
    assert_eq!(order.state, OrderState::Downloaded);
    assert!(order.noticed(&notice_of(CARD, 6, Said::Failed(3)), 4));
    assert_eq!(order.state, OrderState::Error);
    // The earlier try was installed after all, and the card refused the second one.
    assert!(order.noticed(&notice_of(CARD, 4, Said::Installed(2)), 5));
    assert_eq!(order.state, OrderState::Installed);
}

#[test]
fn a_session_of_an_earlier_order_cancels_nothing() {
    for reason in [
        CancelSessionReason::Postponed,
        CancelSessionReason::EndUserRejection,
    ] {
        let mut first = ordered(&Order::available(ICCID.into(), "t".into(), 0), CARD);
        let old = offered(&first, 1);
        bound(&mut first, 1);
        cancel(&mut first);
        assert!(!first.cancelled_by_card(&old.0, &old.1, reason, &LIMITS, 4));
        let mut second = ordered(&first, CARD);
        assert!(old.1.check(&second).is_err());
        for n in [None, Some(2)] {
            if let Some(n) = n {
                bound(&mut second, n);
            }
            let before = second.clone();
            assert!(!second.cancelled_by_card(&old.0, &old.1, reason, &LIMITS, 4));
            assert_eq!(second, before);
        }
        // Within one order: another session's BPP overtook this one.
        let mut order = ordered(&first, CARD);
        let slow = offered(&order, 5);
        let quick = offered(&order, 6);
        bound(&mut order, 6);
        assert!(!order.cancelled_by_card(&slow.0, &slow.1, reason, &LIMITS, 4));
        assert_eq!(order.state, OrderState::Downloaded);
        assert!(order.cancelled_by_card(&quick.0, &quick.1, reason, &LIMITS, 4));
        assert_ne!(order.state, OrderState::Downloaded);
    }
}

#[test]
fn an_order_of_an_earlier_version_is_still_served() {
    let mut order = ordered(&Order::available(ICCID.into(), "t".into(), 0), CARD);
    order.enter(OrderState::Downloaded, 1);
    let mut json = serde_json::to_value(&order).unwrap();
    for new in ["life", "sessions", "installed_seq", "deleted_seq"] {
        json.as_object_mut().unwrap().remove(new).unwrap();
    }
    let mut order: Order = serde_json::from_value(json).unwrap();
    assert!(order.noticed(&notice_of(CARD, 5, Said::Installed(9)), 2));
    order.noticed(&notice_of(CARD, 4, Said::Deleted), 3);
    assert_eq!(order.state, OrderState::Installed);
    assert!(order.noticed(&notice_of(CARD, 6, Said::Deleted), 3));
    assert_eq!(order.state, OrderState::Deleted);
    // Its next life keeps the sessions.
    cancel(&mut order);
    let order = ordered(&order, CARD);
    assert_eq!(order.sessions, Some(Vec::new()));
}

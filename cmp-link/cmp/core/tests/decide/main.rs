//! Decisions without a store: swaps, withdrawals, limits, and properties over random histories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod deletion;
mod installation;
mod links;
mod swap;
mod sync;

use aid_aid1::body::SubscriptionType;
use aid_aid1::error_code::ErrorCode;
use aid_aid1::phone::EncryptedPhone;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code::{Answer, Known, View, answered, request};
use aid_cmp_core::decide::tries::{Keys, Tries};
use aid_cmp_core::decide::withdraw::{By, withdraw};
use aid_cmp_core::decide::{Context, Decision, Policy, call, login, order, status, tries};
use aid_cmp_core::model::{
    Account, CallKind, CodeRequest, Federation, MspVerdict, Order, OrderState, Profile,
    ProfileStatus, Report, RequestState,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken, Secret};
use aid_wire::{Aup, CodeOutcome, Down, LoginOutcome, OrderKind, OrderOutcome, Status};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(1);

fn fresh() -> Id {
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    (u128::from(n) << 64).to_be_bytes()
}

fn at(now: u64) -> Context {
    Context {
        now,
        fresh,
        random: fresh,
        policy: Policy::default(),
    }
}

const EVA: AccountRef = AccountRef([1; 16]);

fn eid(n: u32) -> Eid {
    Eid::with_check_digits(&format!("{n:030}")).unwrap()
}

fn iccid(n: u32) -> Iccid {
    format!("89{n:017}").parse().unwrap()
}

fn federation(ended_at: Option<u64>) -> Federation {
    Federation {
        id: [1; 16],
        msp: "m".into(),
        token: MspToken::from_bytes([1; 16]),
        account: EVA,
        phone: EncryptedPhone {
            phone_number: String::new(),
            iv: String::new(),
        },
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 0,
        ended_at,
        ended_reason: None,
    }
}

fn profile(n: u32, status: ProfileStatus, verdict: MspVerdict) -> Profile {
    Profile {
        iccid: iccid(n),
        federation: [1; 16],
        eid: eid(n),
        status,
        verdict,
        last_used: u64::from(n),
        created_at: 0,
    }
}

fn of(profiles: &[Profile]) -> Known<'_> {
    Known {
        profiles,
        ..Known::default()
    }
}

fn asked(profiles: Vec<Profile>, requests: Vec<CodeRequest>, now: u64) -> Decision {
    let view = View {
        logged_in: true,
        federation: Some(federation(None)),
        requests,
        profiles,
        ..View::default()
    };
    request(&at(now), view, eid(9), fresh(), EVA)
}

fn stored(decision: &Decision) -> CodeRequest {
    let found = decision.changes.iter().find_map(|c| match c {
        Change::PutRequest(r) => Some(r.clone()),
        _ => None,
    });
    found.expect("a request")
}

fn orders(decision: &Decision) -> Vec<Order> {
    let list = decision.changes.iter();
    list.filter_map(|c| match c {
        Change::AddOrder(o) => Some(o.clone()),
        _ => None,
    })
    .collect()
}

fn answer_of(decision: &Decision) -> CodeOutcome {
    match &decision.down[0].body {
        Down::ActivationCode { outcome, .. } => outcome.clone(),
        other => panic!("{other:?}"),
    }
}

// R-4.3.1-5 R-4.3.1-6 R-4.3.1-7 R-4.3.1-8 R-4.3.1-9 R-4.3.1-21 R-4.3.1-22 R-7.7-8
#[test]
fn the_least_recently_used_profile_is_offered() {
    let valid = MspVerdict::Valid;
    assert_eq!(
        stored(&asked(Vec::new(), Vec::new(), 0)).replace_iccid,
        None
    );
    let cases = [
        (ProfileStatus::Installed, valid, true),
        (ProfileStatus::Failed, valid, true),
        (ProfileStatus::Deleted, valid, false),
        (ProfileStatus::Disabled, MspVerdict::Swapped, false),
        (ProfileStatus::Disabled, MspVerdict::Invalid, false),
        (ProfileStatus::Disabled, MspVerdict::Suspended, true),
    ];
    for (status, verdict, offered) in cases {
        let list = vec![
            profile(1, status, verdict),
            profile(2, ProfileStatus::Enabled, valid),
        ];
        let expected = if offered { iccid(1) } else { iccid(2) };
        let got = stored(&asked(list, Vec::new(), 0)).replace_iccid;
        assert_eq!(got, Some(expected), "{status:?} {verdict:?}");
    }
}

fn code(swapped: Option<Iccid>) -> Answer {
    Answer::Code {
        code: "1$h$X".parse().unwrap(),
        iccid: Some(iccid(5)),
        swapped,
    }
}

// R-4.3.1-12 R-4.3.1-16 R-4.3.1-24
#[test]
fn a_swapped_profile_is_deleted_where_it_is() {
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    let list = [profile(1, ProfileStatus::Disabled, MspVerdict::Valid)];
    let federation = federation(None);
    let decide = |swapped| answered(&at(1), &open, &federation, of(&list), code(swapped));
    assert!(orders(&decide(None)).is_empty());
    let swap = orders(&decide(Some(iccid(1))));
    assert_eq!(swap.len(), 1);
    assert_eq!(
        (swap[0].eid, &swap[0].kind),
        (eid(1), &OrderKind::Delete { iccid: iccid(1) })
    );
    // A profile that is not this subscription's, or the new one itself, is not deleted.
    for odd in [iccid(77), iccid(5)] {
        let decision = decide(Some(odd));
        assert!(orders(&decision).is_empty());
        assert!(matches!(answer_of(&decision), CodeOutcome::Code { .. }));
    }
}

#[test]
fn a_profile_that_the_subscription_has_had_is_not_added_again() {
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    let decide = |known: &[Profile]| {
        let alive = federation(None);
        answered(&at(1), &open, &alive, of(known), code(None)).changes
    };
    let had = [profile(5, ProfileStatus::Deleted, MspVerdict::Valid)];
    assert!(matches!(&decide(&[])[0], Change::AddProfile(p) if p.iccid == iccid(5)));
    assert!(matches!(&decide(&had)[0], Change::PutProfile(p)
        if p.iccid == iccid(5) && p.status == ProfileStatus::Prepared));
}

// R-4.4.1-13 and invariants 5 and 10
#[test]
fn a_code_after_the_end_or_for_a_foreign_profile_goes_nowhere() {
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    let (alive, ended) = (federation(None), federation(Some(1)));
    let late = answered(&at(2), &open, &ended, of(&[]), code(None));
    assert!(matches!(
        answer_of(&late),
        CodeOutcome::Failed { code: 21, .. }
    ));
    let another = Known {
        foreign: true,
        ..of(&[])
    };
    let foreign = answered(&at(2), &open, &alive, another, code(None));
    assert!(matches!(
        answer_of(&foreign),
        CodeOutcome::Failed { code: 49, .. }
    ));
    for decision in [&late, &foreign] {
        assert!(
            !decision
                .changes
                .iter()
                .any(|c| matches!(c, Change::AddProfile(_) | Change::PutProfile(_)))
        );
        assert_eq!(stored(decision).code, None);
    }
    let closed = CodeRequest {
        state: RequestState::Failed,
        ..open
    };
    assert_eq!(
        answered(&at(2), &closed, &alive, of(&[]), code(None)),
        Decision::default()
    );
}

// Invariant 11
#[test]
fn a_car_that_goes_wild_is_slowed_down() {
    let mut requests = Vec::new();
    let mut calls = 0;
    for n in 0..30 {
        let decision = asked(Vec::new(), requests.clone(), n * 1000);
        calls += decision
            .changes
            .iter()
            .filter(|c| matches!(c, Change::AddCall(_)))
            .count();
        if let Some(Change::PutRequest(r)) = decision.changes.last() {
            let state = RequestState::Failed;
            requests.insert(0, CodeRequest { state, ..r.clone() });
        }
    }
    assert_eq!(calls, 10);
    let later = asked(Vec::new(), requests, 2 * 3600 * 1000);
    assert_eq!(later.changes.len(), 2);
}

// R-4.4.1-3 R-4.4.1-5 R-4.4.1-6 R-4.4.1-9 R-4.4.2-1 R-7.4-6
#[test]
fn a_withdrawal_recalls_orders_and_tells_once() {
    let (valid, swapped) = (MspVerdict::Valid, MspVerdict::Swapped);
    let list = [
        profile(1, ProfileStatus::Enabled, valid),
        profile(2, ProfileStatus::Prepared, valid),
        profile(3, ProfileStatus::Deleted, valid),
        profile(4, ProfileStatus::Disabled, swapped),
    ];
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    let waiting = CodeRequest {
        state: RequestState::Answered,
        code: Some(Secret::new("1$h$X".into())),
        ..open.clone()
    };
    // In the car's journal, and used.
    let delivered = CodeRequest {
        delivered_at: Some(3),
        ..waiting.clone()
    };
    let used = CodeRequest {
        state: RequestState::Used,
        ..delivered.clone()
    };
    let requests = [open, waiting, delivered, used];
    for (by, calls) in [(By::Msp, 0), (By::User, 1)] {
        let decision = withdraw(&at(5), &federation(None), &list, &requests, by, None);
        let cars: Vec<_> = orders(&decision).iter().map(|o| o.eid).collect();
        assert_eq!(cars, [eid(1), eid(2)]);
        let told = decision
            .changes
            .iter()
            .filter(|c| matches!(c, Change::AddCall(call) if call.kind == CallKind::Invalidate));
        assert_eq!(told.count(), calls);
        let failed = decision.changes.iter().filter(|c| {
            matches!(c, Change::PutRequest(r) if r.state == RequestState::Failed
                && r.code.is_none() && r.delivered_at.is_none())
        });
        assert_eq!(failed.count(), 3);
        let recalled = decision.down.iter().filter(|m| {
            matches!(&m.body, Down::ActivationCode { outcome: CodeOutcome::Failed { code, .. }, .. }
                if *code == ErrorCode::TokenInvalidated.number())
        });
        assert_eq!(recalled.count(), 3);
        let again = withdraw(&at(6), &federation(Some(5)), &list, &requests, by, None);
        assert_eq!(again, Decision::default());
    }
}

// R-4.3.1-18
#[test]
fn results_of_other_cars_and_unknown_orders_change_nothing() {
    let kind = OrderKind::Delete { iccid: iccid(1) };
    let given = at(0).order(eid(1), kind, "r");
    let close = |order: Option<Order>, from| {
        let profile = profile(1, ProfileStatus::Disabled, MspVerdict::Invalid);
        let outcome = OrderOutcome::NotFound;
        order::result(&at(1), order, Some(profile), from, given.id, outcome)
    };
    for decision in [close(None, eid(1)), close(Some(given.clone()), eid(2))] {
        assert!(decision.changes.is_empty());
        assert_eq!(
            decision.down[0].body,
            Down::Ack {
                message_id: given.id
            }
        );
    }
    let decision = close(Some(given.clone()), eid(1));
    assert!(
        matches!(decision.changes[0], Change::CloseOrder(id, OrderState::NotFound, None, 1) if id == given.id)
    );
    assert!(
        matches!(&decision.changes[1], Change::PutProfile(p) if p.status == ProfileStatus::Deleted)
    );
}

fn report(iccid: Option<Iccid>, status: Status) -> Report {
    Report {
        eid: eid(1),
        seq: 1,
        iccid,
        account: Some(EVA),
        status,
        code: 9,
        received_at: 0,
    }
}

// R-4.3-13 R-7.8-3 R-7.8-6 R-4.4.1-13
#[test]
fn reports_are_passed_on_where_wanted_and_known() {
    let calls = |d: &Decision| {
        d.changes
            .iter()
            .filter(|c| matches!(c, Change::AddCall(_)))
            .count()
    };
    let view = |wanted, ended| status::View {
        federation: Some(federation(ended)),
        wanted,
        ..status::View::default()
    };
    let installed = || report(Some(iccid(1)), Status::Installed);
    assert_eq!(
        calls(&status::report(&at(1), view(true, None), &installed())),
        1
    );
    assert_eq!(
        calls(&status::report(&at(1), view(false, None), &installed())),
        0
    );
    let failed = report(None, Status::InstallationFailed);
    assert_eq!(calls(&status::report(&at(1), view(true, None), &failed)), 0);
    let late = status::report(&at(1), view(true, Some(0)), &installed());
    assert_eq!(
        (calls(&late), orders(&late).len()),
        (1, 1),
        "the dead token still reports"
    );
    let overtaken = status::View {
        overtaken: true,
        ..view(true, Some(0))
    };
    let overtaken = status::report(&at(1), overtaken, &installed());
    assert_eq!(
        (calls(&overtaken), orders(&overtaken).len()),
        (0, 1),
        "the MSP has heard what is so now; the profile must go all the same"
    );
    let changes = |wanted: fn(&Change) -> bool| overtaken.changes.iter().any(wanted);
    assert!(changes(|c| matches!(c, Change::AddReport(_))));
    assert!(!changes(|c| matches!(c, Change::PutProfile(_))));
    let known = status::View {
        known: true,
        ..view(true, None)
    };
    let again = status::report(&at(1), known, &installed());
    assert!(again.changes.is_empty());
    assert_eq!(again.down[0].body, Down::StatusAck { report_seq: 1 });
}

fn keys() -> Keys {
    Keys::new(&tries::prefix(&[3; 32], "eva"), eid(1))
}

fn try_login(tries: Tries, id: Id, pin: &str, now: u64) -> (bool, Tries) {
    let key = [3; 32];
    let account = Account {
        id: EVA,
        name: "eva".into(),
        display_name: "Eva".into(),
        password: Secret::new(String::new()),
        pin_mac: Some(login::pin_mac(&key, EVA, "4711")),
        created_at: 0,
    };
    let aup = Aup {
        display_name: String::new(),
        msp_name: String::new(),
        masked_number: String::new(),
    };
    let view = login::View {
        account: Some(account),
        tries: tries.clone(),
        known_here: true,
        aup,
        profiles: Vec::new(),
        book: None,
    };
    let decision = login::login(&at(now), view, &keys(), eid(1), id, pin, &key);
    let Down::LoginResult { outcome, .. } = &decision.down[0].body else {
        panic!("no result");
    };
    let mut after = tries;
    for change in &decision.changes {
        if let Change::SetAttempts(key, attempts) = change {
            let at = keys().0.iter().position(|k| k == key).unwrap();
            after.0[at] = attempts.clone();
        }
    }
    (matches!(outcome, LoginOutcome::Accepted { .. }), after)
}

proptest! {
    // R-2-10: whatever the order of tries, never more than five guesses in a window.
    #[test]
    fn guesses_are_limited(tries in proptest::collection::vec((0u64..200_000, any::<bool>()), 1..120)) {
        let (mut attempts, mut now) = (Tries::default(), 1_000_000);
        let mut guesses: Vec<u64> = Vec::new();
        for (pause, repeat) in tries {
            now += pause;
            let id = fresh();
            let before = attempts.clone();
            let (accepted, after) = try_login(attempts, id, "0000", now);
            prop_assert!(!accepted);
            if after != before {
                guesses.push(now);
            }
            attempts = after;
            if repeat {
                let (_, after) = try_login(attempts.clone(), id, "0000", now);
                prop_assert_eq!(&after, &attempts, "a repetition is not counted");
            }
            // The right PIN is refused exactly while the account is locked.
            let locked = attempts.locked(true, now).is_some();
            let (accepted, _) = try_login(attempts.clone(), fresh(), "4711", now);
            prop_assert_eq!(accepted, !locked);
        }
        // Windows begin with their first guess, so two of them can touch: ten in any window's length.
        for begin in &guesses {
            let within = guesses.iter().filter(|g| **g >= *begin && **g < begin + login::WINDOW_MS);
            prop_assert!(within.count() <= 2 * login::MAX_ATTEMPTS as usize);
        }
    }

    // R-7.8-5: from seconds to half a day, so that an MSP may be away for days.
    #[test]
    fn pauses_grow_and_stay_bounded(attempts in 0u32..100, draw in any::<u64>()) {
        let pause = call::pause(attempts, draw);
        let twelve_hours = 12 * 3600 * 1000;
        prop_assert!((1000..=twelve_hours).contains(&pause));
        prop_assert!(attempts < 20 || pause >= twelve_hours / 2);
    }
}

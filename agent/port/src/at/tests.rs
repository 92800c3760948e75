//! Given a modem that talks, cuts, echoes, is busy, late or restarts, when a task is given to the
//! machine, then it ends with the answer to its own command or with an error, in bounded time.

mod fake;

use super::*;
use fake::{Fake, Manner, answer_to};
use proptest::prelude::*;

const ISDR: [u8; 5] = [0xA0, 0, 0, 5, 0x59];

/// Drives a task to its end on virtual time.
fn drive(modem: &mut Modem, fake: &mut Fake, now: &mut Millis, task: Task) -> Result<Reply, Fault> {
    modem.begin(task);
    for _ in 0..200_000 {
        match modem.step(*now) {
            Step::Write(bytes) => fake.input(&String::from_utf8(bytes).expect("text")),
            Step::Wait(until) if fake.out.is_empty() => {
                *now = until.max(*now + 1);
                modem.received(&[], *now);
            }
            Step::Wait(until) => {
                *now = (*now + 1).min(until);
                let chunk = fake.chunk();
                modem.received(&chunk, *now);
            }
            Step::Done(result) => return result,
        }
    }
    panic!("a task without end: {:?}", fake.seen);
}

/// As the LPA does it: channel, APDUs, again after an error. Every answer that comes is the right one.
fn session(manner: Manner) -> (Fake, Vec<Result<Vec<u8>, Fault>>) {
    let (mut modem, mut fake, mut now) = (Modem::new(Timing::default()), Fake::new(manner), 0);
    modem.connected();
    let mut results = Vec::new();
    let mut channel = None;
    for number in 0..6u8 {
        let open = match channel {
            Some(open) => open,
            None => match drive(&mut modem, &mut fake, &mut now, Task::Open(ISDR.to_vec())) {
                Ok(Reply::Channel(open)) => open.unwrap_or(2),
                Ok(other) => panic!("{other:?}"),
                Err(fault) => {
                    results.push(Err(fault));
                    continue;
                }
            },
        };
        channel = Some(open);
        let apdu = vec![0x80 | open, 0xE2, 0x91, number, 1, number];
        match drive(&mut modem, &mut fake, &mut now, Task::Apdu(apdu.clone())) {
            Ok(Reply::Apdu(answer)) => {
                assert_eq!(answer, answer_to(&apdu), "{:?}", fake.seen);
                results.push(Ok(answer));
            }
            Ok(other) => panic!("{other:?}"),
            Err(fault) => {
                channel = None;
                results.push(Err(fault));
            }
        }
    }
    let mut sorted = fake.executed.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(
        sorted.len(),
        fake.executed.len(),
        "executed twice: {:?}",
        fake.seen
    );
    (fake, results)
}

fn all_good(manner: Manner) -> Fake {
    let (fake, results) = session(manner);
    assert!(
        results.iter().all(Result::is_ok),
        "{results:?} {:?}",
        fake.seen
    );
    fake
}

#[test]
fn a_quiet_modem() {
    let fake = all_good(Manner::default());
    let first = [
        "AT",
        "ATE0V1",
        "AT+CMEE=1",
        "AT+CPIN?",
        "AT+CCHO=\"A000000559\"",
    ];
    assert_eq!(&fake.seen[..5], first);
    assert_eq!(fake.seen[5], "AT+CGLA=1,12,\"81E291000100\"");
    assert_eq!(fake.seen.len(), 11);
}

#[test]
fn a_modem_without_sessions_gets_commands_as_they_are() {
    let fake = all_good(Manner {
        basic: true,
        ..Manner::default()
    });
    assert_eq!(fake.seen[5], "AT+CSIM=12,\"82E291000100\"");
}

#[test]
fn sessions_that_are_no_channels_get_channel_one() {
    for session in [0, 20, 4_000_000_000] {
        let fake = all_good(Manner {
            session,
            ..Manner::default()
        });
        assert_eq!(
            fake.seen[5],
            format!("AT+CGLA={session},12,\"81E291000100\"")
        );
    }
}

#[test]
fn a_busy_modem_is_asked_again_for_a_while() {
    all_good(Manner {
        busy: 4,
        ..Manner::default()
    });
    let (_, results) = session(Manner {
        busy: 255,
        ..Manner::default()
    });
    assert!(
        matches!(&results[0], Err(Fault::Busy(text)) if text.contains("SIM busy")),
        "{results:?}"
    );
}

#[test]
fn a_refresh_ends_the_session_before_the_next_command() {
    let (mut modem, mut fake, mut now) = (
        Modem::new(Timing::default()),
        Fake::new(Manner::default()),
        0,
    );
    drive(&mut modem, &mut fake, &mut now, Task::Open(ISDR.to_vec())).expect("open");
    assert!(!modem.take_refreshed());
    modem.received(
        b"\r\n+SIM: REFRESH\r\n\r\n+CPIN: NOT READY\r\n\r\n+CPIN: READY\r\n",
        now,
    );
    assert!(modem.take_refreshed() && !modem.take_refreshed());
    let seen = fake.seen.len();
    let gone = drive(
        &mut modem,
        &mut fake,
        &mut now,
        Task::Apdu(vec![0x81, 0xE2, 0, 0, 0]),
    );
    assert!(matches!(gone, Err(Fault::ChannelGone(_))), "{gone:?}");
    assert_eq!(fake.seen.len(), seen, "nothing was sent");
    let again = drive(&mut modem, &mut fake, &mut now, Task::Open(ISDR.to_vec()));
    assert_eq!(again, Ok(Reply::Channel(Some(1))));
    // The card may still be starting: it is asked first.
    assert_eq!(
        fake.seen[seen..seen + 2],
        ["AT+CPIN?", "AT+CCHO=\"A000000559\""]
    );
}

/// Commands one to five are those of the start and +CCHO, six is the first APDU.
#[test]
fn a_restart_before_an_apdu_is_no_failure_and_in_one_is_named_at_once() {
    for restart_at in 1..=5 {
        let fake = all_good(Manner {
            restart_at: Some(restart_at),
            ..Manner::default()
        });
        let starts = fake.seen.iter().filter(|line| *line == "ATE0V1").count();
        assert!(starts <= 2, "{:?}", fake.seen);
    }
    let (_, results) = session(Manner {
        restart_at: Some(6),
        ..Manner::default()
    });
    assert_eq!(results[0], Err(Fault::Restarted));
    assert!(results[1..].iter().all(Result::is_ok), "{results:?}");
}

#[test]
fn a_late_answer_costs_one_failure_and_its_session_is_closed() {
    for late_by in [1, 2] {
        let (fake, results) = session(Manner {
            late_at: Some(6),
            late_by,
            ..Manner::default()
        });
        assert_eq!(results[0], Err(Fault::Silent("AT+CGLA")), "{late_by}");
        assert!(
            results[1..].iter().all(Result::is_ok),
            "{results:?} {:?}",
            fake.seen
        );
        assert_eq!(
            fake.seen[6..9],
            ["AT", "AT+CCHC=1", "AT+CCHO=\"A000000559\""]
        );
    }
}

#[test]
fn a_result_that_nobody_asked_for_makes_the_line_be_drained() {
    let (mut modem, mut fake, mut now) = (
        Modem::new(Timing::default()),
        Fake::new(Manner::default()),
        0,
    );
    drive(&mut modem, &mut fake, &mut now, Task::Open(ISDR.to_vec())).expect("open");
    let seen = fake.seen.len();
    modem.received(b"\r\nOK\r\n", now);
    let apdu = Task::Apdu(vec![0x81, 0xE2, 0, 0, 0]);
    drive(&mut modem, &mut fake, &mut now, apdu).expect("answer");
    assert_eq!(fake.seen[seen..], ["AT", "AT+CGLA=1,10,\"81E2000000\""]);
}

#[test]
fn a_line_that_is_quiet_is_used_at_once() {
    let (mut modem, mut fake, mut now) = (
        Modem::new(Timing::default()),
        Fake::new(Manner::default()),
        0,
    );
    drive(&mut modem, &mut fake, &mut now, Task::Close(1)).expect("close");
    drive(&mut modem, &mut fake, &mut now, Task::Open(ISDR.to_vec())).expect("open");
    assert!(now < 300, "{now} ms of virtual time");
}

#[test]
fn a_reset_takes_the_power_and_waits_for_the_card() {
    let (mut modem, mut fake, mut now) = (
        Modem::new(Timing::default()),
        Fake::new(Manner::default()),
        0,
    );
    assert_eq!(
        drive(&mut modem, &mut fake, &mut now, Task::Reset),
        Ok(Reply::Done)
    );
    assert_eq!(fake.seen[4..], ["AT+CFUN=0", "AT+CFUN=1", "AT+CPIN?"]);
    assert!(modem.take_refreshed());
    assert_eq!(modem.pin(), Pin::Ready);
}

#[test]
fn silence_is_an_error_and_nothing_is_sent_for_ever() {
    let (mut modem, mut now, mut sent) = (Modem::new(Timing::default()), 0, 0);
    modem.begin(Task::Reset);
    let result = loop {
        match modem.step(now) {
            Step::Write(_) => sent += 1,
            Step::Wait(until) => now = until,
            Step::Done(result) => break result,
        }
    };
    assert_eq!((result, sent), (Err(Fault::Silent("AT")), 3));
    assert!(now <= 10_000, "{now}");
}

#[test]
fn longest_answers_pass_and_longer_ones_do_not() {
    let mut modem = Modem::new(Timing::default());
    let mut fake = Fake::new(Manner::default());
    let mut now = 0;
    drive(&mut modem, &mut fake, &mut now, Task::Open(ISDR.to_vec())).expect("open");
    for (bytes, good) in [
        (crate::MAX_RESPONSE, true),
        (crate::MAX_RESPONSE + 100, false),
    ] {
        modem.begin(Task::Apdu(vec![0x81, 0xCA, 0, 0, 0]));
        let Step::Write(_) = modem.step(now) else {
            panic!("a command goes out");
        };
        let line = format!("+CGLA: {},\"{}\"\r\nOK\r\n", bytes * 2, "90".repeat(bytes));
        modem.received(line.as_bytes(), now);
        let Step::Done(result) = modem.step(now) else {
            panic!("an answer came");
        };
        assert_eq!(result.is_ok(), good, "{bytes}");
    }
}

/// URCs of several makers that say nothing about the card.
const NOISE: [&str; 8] = [
    "+CREG: 1",
    "+CSQ: 20,99",
    "RING",
    "^MODE: 5,7",
    "+CMTI: \"SM\",1",
    "+QIND: SMS DONE",
    "$GPRMC,1,A",
    "+CPIN: READY",
];

fn manner() -> impl Strategy<Value = Manner> {
    let noise = proptest::sample::subsequence(NOISE.to_vec(), 0..4);
    let cuts = proptest::collection::vec(1usize..40, 1..6);
    let at = || proptest::option::of(1u32..16);
    let session = prop_oneof![Just(0u32), 1u32..4, Just(77)];
    let first = (any::<bool>(), 0u8..4, any::<bool>(), noise, cuts);
    // Modems answer in order (V.250 §5.7.1): a late result comes before that of the next command.
    let late = (at(), Just(1u32));
    (first, at(), late, session, 0u8..4).prop_map(|(first, restart_at, late, session, odd)| {
        let (late_at, late_by) = late;
        let (echo, busy, basic, noise, cuts) = first;
        Manner {
            echo,
            busy,
            basic,
            noise,
            cuts,
            restart_at,
            late_at,
            late_by,
            session,
            odd,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// `session` asserts: no answer is another command's, no APDU is executed twice.
    #[test]
    fn answers_are_never_mixed_up(manner in manner()) {
        let disturbed = manner.restart_at.is_some() || manner.late_at.is_some();
        let (fake, results) = session(manner);
        let failures = results.iter().filter(|r| r.is_err()).count();
        if disturbed {
prop_assert!(failures <= 2, "{:?} {:?}", results, fake.seen);
        } else {
            prop_assert_eq!(failures, 0, "{:?} {:?}", results, fake.seen);
        }
    }

    #[test]
    fn no_bytes_are_a_panic_or_an_answer_that_is_none(
        chunks in proptest::collection::vec(
            prop_oneof!["[ -~\r\n]{0,30}", "(\r\n)?(OK|ERROR|\\+CGLA: 4,\"9000\"|\\+CCHO: [0-9]|\\+CME ERROR: [0-9]{1,3}|RDY|\\+CPIN: NOT READY)\r\n"],
            0..40,
        ),
        tasks in proptest::collection::vec(0u8..4, 1..4),
    ) {
        let (mut modem, mut now) = (Modem::new(Timing::default()), 0);
        let mut chunks = chunks.into_iter();
        for task in tasks {
            modem.begin(match task {
                0 => Task::Open(ISDR.to_vec()),
                1 => Task::Apdu(vec![0x81, 0xE2, 0, 0, 0]),
                2 => Task::Close(1),
                _ => Task::Reset,
            });
            loop {
                match modem.step(now) {
                    Step::Write(_) => {}
                    Step::Wait(until) => match chunks.next() {
                        Some(chunk) => modem.received(chunk.as_bytes(), now),
                        None => now = until,
                    },
                    Step::Done(Ok(Reply::Apdu(answer))) => {
                        prop_assert!((2..=crate::MAX_RESPONSE).contains(&answer.len()));
                        break;
                    }
                    Step::Done(_) => break,
                }
            }
            prop_assert!(now < 4 * 3_600_000);
        }
    }
}

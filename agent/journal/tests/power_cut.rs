//! Power is cut at every operation of a workload, then at every operation of the recovery:
//! what was acknowledged is there, and nothing else (ARCHITECTURE invariant 8).

#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use aid_journal::sim::{Fault, SimError, SimMedia};
use aid_journal::{Config, Error, FileMedia, Journal, Media, Recovered};

const SMALL: Config = Config { segment_size: 4096 };

/// Records are `n` repeated; the snapshot holds the list so far.
fn payload(n: u8) -> Vec<u8> {
    vec![n; 1 + usize::from(n) * 97 % 1400]
}

/// The list of numbers that a recovery stands for.
fn numbers(recovered: &Recovered) -> Vec<u8> {
    let mut list = recovered
        .snapshot
        .as_ref()
        .map_or(vec![], |s| s[1..].to_vec());
    for record in &recovered.records {
        assert_eq!(*record, payload(record[0]), "a record came back changed");
        list.push(record[0]);
    }
    list
}

/// Appends until power fails; returns what was acknowledged and what was in flight.
fn work<M: Media>(journal: &mut Journal<M>, acked: &mut Vec<u8>, until: u8) -> Option<u8> {
    for n in acked.len() as u8 + 1..=until {
        if n % 11 == 0 {
            let mut snapshot = vec![0];
            snapshot.extend_from_slice(acked);
            if journal.snapshot(&snapshot).is_err() {
                return None;
            }
        }
        if journal.append(&payload(n)).is_err() {
            return Some(n);
        }
        acked.push(n);
    }
    None
}

#[test]
fn cut_at_every_write_and_in_every_recovery() {
    let mut cuts = 0;
    for seed in 1..6 {
        for cut in 0.. {
            let mut media = SimMedia::new(seed * 7919 + cut);
            media.cut_after(cut);
            let mut acked = vec![];
            let mut flight = None;
            if let Ok((mut journal, _)) = Journal::open(&mut media, SMALL) {
                flight = work(&mut journal, &mut acked, 40);
            }
            let finished = !media.is_off();
            for recovery_cut in 0.. {
                let mut media = media.clone();
                media.restart();
                media.cut_after(recovery_cut);
                let whole = Journal::open(&mut media, SMALL).is_ok();
                media.restart();
                let (mut journal, found) = Journal::open(&mut media, SMALL).expect("recovery");
                let mut found = numbers(&found);
                let torn = found.len() > acked.len();
                assert!(
                    !torn || found.last().copied() == flight,
                    "seed {seed} cut {cut}"
                );
                assert_eq!(found[..acked.len()], acked[..], "seed {seed} cut {cut}");
                assert!(found.len() <= acked.len() + 1);
                // And it goes on from there.
                let before = found.len();
                assert_eq!(work(&mut journal, &mut found, before as u8 + 3), None);
                media.restart();
                let (_, last) = Journal::open(media, SMALL).expect("second recovery");
                assert_eq!(numbers(&last), found);
                cuts += 1;
                if whole {
                    break;
                }
            }
            if finished {
                break;
            }
        }
    }
    assert!(cuts > 400, "only {cuts} cuts were tried");
}

#[test]
fn recovery_is_cut_while_it_truncates_a_garbage_tail() {
    // given an append that was torn
    for seed in 1..200 {
        let (mut journal, _) = Journal::open(SimMedia::new(seed), SMALL).expect("new");
        journal.append(&payload(1)).expect("append");
        let mut media = journal.into_media();
        media.cut_after(1);
        let (mut journal, _) = Journal::open(media, SMALL).expect("open");
        assert!(journal.append(&payload(14)).is_err());
        let mut media = journal.into_media();
        // when every step of the truncation is cut
        for cut in 0..2 {
            media.restart();
            media.cut_after(cut);
            let _ = Journal::open(&mut media, SMALL);
        }
        // then the acknowledged record is there, and the torn one whole or not at all
        media.restart();
        let (_, found) = Journal::open(media, SMALL).expect("recovery");
        let found = numbers(&found);
        assert!(found == [1] || found == [1, 14], "{found:?}");
    }
}

#[test]
fn damage_to_acknowledged_records_is_said_not_skipped() {
    let (mut journal, _) = Journal::open(SimMedia::new(1), SMALL).expect("new");
    for n in 1..4 {
        journal.append(&[n; 10]).expect("append");
    }
    let mut media = journal.into_media();
    media.damage(1, 512 + 25);
    let error = Journal::open(media, SMALL).expect_err("damaged");
    assert!(
        matches!(
            error,
            Error::Damaged {
                segment: 1,
                offset: 512,
                expected: 1
            }
        ),
        "{error}"
    );
}

/// Segments of a log with a snapshot in the middle.
fn several_segments() -> SimMedia {
    let (mut journal, _) = Journal::open(SimMedia::new(1), SMALL).expect("new");
    let mut acked = vec![];
    assert_eq!(work(&mut journal, &mut acked, 30), None);
    journal.into_media()
}

#[test]
fn what_a_snapshot_replaced_may_be_damaged() {
    for junk in [vec![], vec![0; 4096], vec![0xFF; 9000]] {
        let mut media = several_segments();
        let (_, before) = Journal::open(media.clone(), SMALL).expect("sound");
        assert!(before.snapshot.is_some());
        let first = *media.segments().keys().next().expect("segments");
        media.segments().insert(first - 1, junk);
        let read = aid_journal::read(media.clone(), SMALL).expect("readable");
        let (journal, found) = Journal::open(media, SMALL).expect("readable");
        assert_eq!((&found, &read), (&before, &before));
        // And it is removed as every leftover is.
        assert!(!journal.into_media().segments().contains_key(&(first - 1)));
    }
}

#[test]
fn a_log_without_its_beginning_or_its_middle_is_damaged() {
    let (mut journal, _) = Journal::open(SimMedia::new(1), SMALL).expect("new");
    for n in 1..60 {
        journal.append(&payload(n)).expect("append");
    }
    let media = journal.into_media();
    let all: Vec<u64> = media.clone().segments().keys().copied().collect();
    assert!(all.len() > 5);
    for lost in &all {
        let mut media = media.clone();
        media.segments().remove(lost);
        let result = Journal::open(media, SMALL);
        // Nothing tells that a last one was there.
        let last = Some(lost) == all.last();
        assert_eq!(result.is_ok(), last, "without {lost}");
    }
}

#[test]
fn reading_changes_nothing() {
    let mut media = several_segments();
    let before = media.operations();
    let found = aid_journal::read(&mut media, SMALL).expect("readable");
    assert_eq!(media.operations(), before);
    let (_, opened) = Journal::open(media, SMALL).expect("open");
    assert_eq!(found, opened);
}

// A sync that failed: what it was for can be read, and is gone after a power cut all the same.
#[test]
fn a_failed_sync_stops_the_log_until_it_is_opened_again() {
    for after in [0, 1] {
        let (mut journal, _) = Journal::open(SimMedia::new(1), SMALL).expect("new");
        journal.append(&payload(1)).expect("append");
        let mut media = journal.into_media();
        media.fail(Fault {
            error: SimError::Io,
            after,
            count: 1,
            unreadable: false,
        });
        let (mut journal, _) = Journal::open(media, SMALL).expect("open");
        assert!(matches!(journal.append(&payload(2)), Err(Error::Media(_))));
        assert!(matches!(journal.append(&payload(3)), Err(Error::Stopped)));
        // A snapshot in a segment of its own trusts nothing of the old one.
        let (mut journal, _) = Journal::open(journal.into_media(), SMALL).expect("again");
        journal.snapshot(&[0, 1, 2]).expect("snapshot");
        journal.append(&payload(3)).expect("append");
        let mut media = journal.into_media();
        media.restart();
        let (_, found) = Journal::open(media, SMALL).expect("recovery");
        assert_eq!(numbers(&found), [1, 2, 3]);
    }
}

#[test]
fn full_device_is_a_clear_error_and_loses_nothing() {
    let mut media = SimMedia::new(1);
    media.max_segments = Some(1);
    let (mut journal, _) = Journal::open(media, SMALL).expect("new");
    for n in 1..=7 {
        journal.append(&[n; 10]).expect("append");
    }
    let error = journal.append(&[8; 10]).expect_err("full");
    assert!(matches!(error, Error::Full(_)));
    assert!(error.to_string().contains("full"), "{error}");
    let mut media = journal.into_media();
    media.restart();
    assert_eq!(
        Journal::open(media, SMALL)
            .expect("recovery")
            .1
            .records
            .len(),
        7
    );
}

#[test]
fn payload_limits() {
    let (mut journal, _) = Journal::open(SimMedia::new(1), SMALL).expect("new");
    assert!(matches!(
        journal.append(&[]),
        Err(Error::PayloadSize { got: 0 })
    ));
    let over = vec![1; aid_journal::format::MAX_PAYLOAD + 1];
    assert!(matches!(
        journal.append(&over),
        Err(Error::PayloadSize { .. })
    ));
    // One larger than a segment gets a segment of its own.
    journal.append(&vec![1; 20_000]).expect("large");
}

#[test]
fn files_keep_records_over_reopening_and_lock_out_a_second_writer() {
    let folder = tempfile::tempdir().expect("folder");
    let mut acked = vec![];
    for until in [5, 23, 40] {
        let media = FileMedia::open(folder.path()).expect("media");
        let second = FileMedia::open(folder.path()).expect_err("locked");
        assert!(second.to_string().contains("another process"), "{second}");
        let (mut journal, found) = Journal::open(media, SMALL).expect("open");
        assert_eq!(numbers(&found), acked);
        assert_eq!(work(&mut journal, &mut acked, until), None);
    }
    // Compaction removed what the snapshots replaced.
    let segments = std::fs::read_dir(folder.path()).expect("folder").count();
    assert!(segments < 12, "{segments} files");
}

//! The journal of an earlier release is read: the bytes in `golden/version-1.txt` are those of the release before the
//! bounds, and never change. A record or field that a later release adds goes to the end.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use aid_agent_core::*;

const GOLDEN: &str = include_str!("golden/version-1.txt");
const ID: Id = [0x11; 16];
const ACCOUNT: AccountRef = AccountRef([0x22; 16]);

fn iccid() -> Iccid {
    "8944123456789012345".parse().expect("iccid")
}

fn download() -> Download {
    let before: Iccid = "89000000000000000001".parse().expect("iccid");
    Download {
        request_id: ID,
        account: ACCOUNT,
        code: Secret::new("1$smdp.example$M-1".into()),
        iccid: Some(iccid()),
        before: [before].into_iter().collect(),
        attempts: 3,
    }
}

fn report() -> Report {
    Report {
        seq: (7 << 32) + 1,
        iccid: Some(iccid()),
        account: Some(ACCOUNT),
        status: Status::Enabled,
        code: 0,
    }
}

fn meaning(name: &str) -> Record {
    let operation = Operation::Delete;
    match name {
        "Requested" => Record::Requested(ID, ACCOUNT),
        "RequestClosed" => Record::RequestClosed(ID),
        "Intent" => Record::Intent(Intent {
            operation,
            iccid: iccid(),
            attempts: 2,
        }),
        "IntentClosed" => Record::IntentClosed,
        "Download" => Record::Download(Box::new(download())),
        "DownloadClosed" => Record::DownloadClosed(ID),
        "Owner" => Record::Owner(iccid(), ACCOUNT),
        "Forget" => Record::Forget(iccid()),
        "Report" => Record::Report(report()),
        "ReportAcked" => Record::ReportAcked((7 << 32) + 1),
        "OrderAccepted" => Record::OrderAccepted(ID, OrderKind::Delete { iccid: iccid() }),
        "OrderDone" => Record::OrderDone(ID, OrderOutcome::Failed { code: 9 }),
        "OrderClosed" => Record::OrderClosed(ID),
        "LoggedOut" => Record::LoggedOut(ID, ACCOUNT),
        "LogoutAcked" => Record::LogoutAcked(ID),
        "Again" => Record::Again(ID),
        "DeleteWanted" => Record::DeleteWanted(iccid()),
        "DeleteGivenUp" => Record::DeleteGivenUp(iccid()),
        "LinkReturned" => Record::LinkReturned(ID),
        other => panic!("no record {other}"),
    }
}

fn lines() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    GOLDEN.lines().map(|line| {
        let (name, hex) = line.split_once(' ').expect("name and bytes");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (name, (0..hex.len()).step_by(2).map(byte).collect())
    })
}

#[test]
fn each_record_of_an_earlier_release_is_read_and_written_the_same() {
    let mut seen = 0;
    for (name, bytes) in lines().filter(|(name, _)| *name != "snapshot") {
        let list: Vec<Record> = postcard::from_bytes(&bytes).expect(name);
        assert_eq!(list, [meaning(name)], "{name}");
        assert_eq!(postcard::to_allocvec(&list).expect(name), bytes, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 19);
}

#[test]
fn a_snapshot_of_an_earlier_release_is_read_and_written_the_same() {
    let (_, bytes) = lines().find(|(name, _)| *name == "snapshot").expect("one");
    let state = Durable::restore(Some(&bytes), &[]).expect("readable");
    assert_eq!(state.report_seq(), (7 << 32) + 1);
    assert_eq!(state.owners().collect::<Vec<_>>(), [(&iccid(), ACCOUNT)]);
    assert_eq!(state.outbox(), [report()]);
    assert_eq!(state.intent().map(|i| i.attempts), Some(2));
    assert_eq!(state.downloads(), [download()]);
    assert_eq!(state.requests(), [(ID, ACCOUNT)]);
    assert_eq!(state.orders().len(), 1);
    assert_eq!(
        state.orders()[0].outcome,
        Some(OrderOutcome::Failed { code: 9 })
    );
    assert!(state.is_closed([0x33; 16]) && !state.is_closed(ID));
    assert_eq!(state.logouts(), [(ID, ACCOUNT)]);
    assert!(state.is_again(ID));
    assert_eq!(state.wanted(), [iccid()]);
    let written = Agent::restore("test", Some(&bytes), &[])
        .expect("readable")
        .snapshot();
    let written = written.expect("at rest");
    assert_eq!(written[..bytes.len()], bytes, "what is new goes to the end");
}

// A release before the last three fields, and one with more than this one knows.
#[test]
fn shorter_and_longer_snapshots_are_read() {
    let (_, bytes) = lines().find(|(name, _)| *name == "snapshot").expect("one");
    let whole = Durable::restore(Some(&bytes), &[]).expect("readable");
    let agent = Agent::restore("test", Some(&bytes), &[]).expect("readable");
    let longer = [agent.snapshot().expect("at rest").as_slice(), &[1, 2, 3]].concat();
    assert_eq!(
        Durable::restore(Some(&longer), &[]).expect("readable"),
        whole
    );
    let empty = Durable::restore(Some(&[0; 9]), &[]).expect("readable");
    assert_eq!(empty, Durable::default());
}

// What this release can't read is named; nothing is guessed.
#[test]
fn records_of_a_later_release_are_refused_by_number() {
    let record = |name: &str| lines().find(|(n, _)| *n == name).expect("one").1;
    let later = vec![1, 120];
    let records = [record("Again"), later, record("Forget")];
    let error = Durable::restore(None, &records).expect_err("unknown");
    assert_eq!(error.index, 2);
    let error = Durable::restore(Some(&[0xFF; 3]), &[]).expect_err("no state");
    assert_eq!(error.index, 0);
}

// Each record does what it says, and nothing else.
#[test]
fn records_undo_each_other() {
    let state = |names: &[&str]| {
        let list: Vec<Record> = names.iter().map(|name| meaning(name)).collect();
        let bytes = postcard::to_allocvec(&list).expect("records");
        Durable::restore(None, &[bytes]).expect("own")
    };
    let empty = Durable::default();
    for pair in [
        ["Intent", "IntentClosed"],
        ["Download", "DownloadClosed"],
        ["Owner", "Forget"],
        ["LoggedOut", "LogoutAcked"],
        ["DeleteWanted", "DeleteGivenUp"],
        ["DeleteWanted", "Forget"],
    ] {
        assert_ne!(state(&pair[..1]), empty, "{pair:?}");
        assert_eq!(state(&pair), empty, "{pair:?}");
    }
    assert_eq!(
        state(&["Download", "LinkReturned", "DownloadClosed"]),
        empty
    );
    let acked = state(&["Report", "ReportAcked"]);
    assert!(acked.outbox().is_empty());
    assert_eq!(acked.report_seq(), (7 << 32) + 1);
    for [open, close] in [
        ["Requested", "RequestClosed"],
        ["OrderAccepted", "OrderClosed"],
    ] {
        let closed = state(&[open, "Again", close]);
        assert!(closed.requests().is_empty() && closed.orders().is_empty());
        assert!(closed.is_closed(ID));
        assert_eq!(closed.is_again(ID), close == "OrderClosed");
    }
    // Closing one leaves the others.
    let other = |record: Record| postcard::to_allocvec(&vec![record]).expect("record");
    let records = [
        other(Record::Requested([1; 16], ACCOUNT)),
        other(Record::Requested([2; 16], ACCOUNT)),
        other(Record::LoggedOut([1; 16], ACCOUNT)),
        other(Record::LoggedOut([2; 16], ACCOUNT)),
        other(Record::OrderAccepted([1; 16], OrderKind::DeleteAll)),
        other(Record::OrderAccepted([2; 16], OrderKind::DeleteAll)),
        other(Record::RequestClosed([1; 16])),
        other(Record::LogoutAcked([1; 16])),
        other(Record::OrderDone([2; 16], OrderOutcome::Done)),
        other(Record::OrderClosed([1; 16])),
    ];
    let left = Durable::restore(None, &records).expect("own");
    assert_eq!(left.requests(), [([2; 16], ACCOUNT)]);
    assert_eq!(left.logouts(), [([2; 16], ACCOUNT)]);
    assert_eq!(left.orders().len(), 1);
    assert_eq!(left.orders()[0].outcome, Some(OrderOutcome::Done));
}

// The download that was begun last is the first: it is the one that a power cut may have interrupted.
#[test]
fn the_download_that_was_begun_last_is_the_first() {
    let with = |n: u8, attempts| {
        let mut download = download();
        (download.request_id, download.attempts) = ([n; 16], attempts);
        Record::Download(Box::new(download))
    };
    let list = vec![with(1, 0), with(2, 0), with(3, 0), with(2, 12), with(1, 1)];
    let list = [list, vec![Record::LinkReturned([2; 16])]].concat();
    let bytes = postcard::to_allocvec(&list).expect("records");
    let state = Durable::restore(None, &[bytes]).expect("own");
    let order: Vec<_> = state
        .downloads()
        .iter()
        .map(|d| (d.request_id[0], d.attempts))
        .collect();
    // A link that returned leaves eight tries.
    assert_eq!(order, [(1, 1), (2, 8), (3, 0)]);
}

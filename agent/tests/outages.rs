//! The daemon without its card or its journal: it runs, says what is missing since when, leaves no
//! profile enabled for nobody, and goes on when what was missing is back.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod support;

use aid_agent::config::Config;
use aid_needs::disk::SmallDisk;
use serde_json::Value;
use std::path::Path;
use support::*;

const LOGIN: &str = r#"{"user":"u","pin":"123456"}"#;

/// A moment of Unix time that is not far from now.
fn is_recent(since: &Value) -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    since.as_u64().is_some_and(|s| s <= now && now - s < 3600)
}

/// Logins and everything else that changes something is refused with a reason.
async fn assert_unavailable(api: &Path) {
    for (path, body) in [
        ("/v1/login", LOGIN),
        ("/v1/login-code", ""),
        ("/v1/logout", ""),
        ("/v1/provision", ""),
        ("/v1/profiles/8900000000000000001/delete", ""),
    ] {
        let (status, answer) = post(api, path, body).await;
        assert_eq!(status, 503, "{path}: {answer}");
        let text = answer["error"].as_str().expect("a reason");
        assert!(text.contains("journal"), "{text}");
    }
}

/// A profile that was enabled when the agent started is disabled, and the agent works.
async fn assert_works(config: &Config) -> Value {
    let status = wait(&config.api, "at rest", |s| {
        s["phase"] == "guest" && s["profiles"][0]["state"] == "disabled"
    })
    .await;
    assert_eq!(status["journal"]["state"], "ok");
    assert_eq!(post(&config.api, "/v1/login", LOGIN).await.0, 202);
    assert_eq!(post(&config.api, "/v1/logout", "").await.0, 202);
    status
}

// R-4.3-14
#[tokio::test]
async fn a_card_that_comes_late_is_waited_for() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let card = TestCard::new(true);
    card.with(|card| card.present = false);
    let work = async {
        let missing = |s: &Value| s["card"]["state"] == "missing";
        let status = wait(&config.api, "missing", missing).await;
        assert!(is_recent(&status["card"]["since"]), "{status}");
        let error = status["card"]["error"].as_str().expect("a reason");
        assert!(error.contains("no card"), "{error}");
        assert_eq!(status["phase"], "starting");
        card.with(|card| card.present = true);
        assert_works(&config).await;
        assert_eq!(status_of(&config, "card").await["state"], "present");
    };
    with_daemon(&config, &card, work).await.expect("daemon");
    assert!(!card.is_enabled());
}

async fn status_of(config: &Config, part: &str) -> Value {
    status(&config.api).await[part].clone()
}

// R-4.3-14: it goes while the profile is disabled: before the operation, or after it.
#[tokio::test]
async fn a_card_that_goes_and_comes_back() {
    for after in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let config = configure(folder.path(), NO_CMP, EID);
        let card = TestCard::new(true);
        card.with(|card| card.goes = Some(after));
        let work = async {
            let missing = |s: &Value| s["card"]["state"] == "missing";
            wait(&config.api, "missing", missing).await;
            // Another card in its place is left alone.
            card.with(|card| {
                (card.eid, card.present) = ("8".repeat(32), true);
                card.done.clear();
            });
            let other = |s: &Value| {
                s["card"]["error"]
                    .as_str()
                    .is_some_and(|e| e.contains("EID"))
            };
            wait(&config.api, "another card", other).await;
            assert!(card.with(|card| card.done.is_empty()));
            card.with(|card| card.eid = EID.into());
            assert_works(&config).await;
        };
        with_daemon(&config, &card, work).await.expect("daemon");
        assert!(!card.is_enabled());
    }
}

// R-3.2-3: a card that is not the certificate's is a mistake of the set-up; it is not touched.
#[tokio::test]
async fn another_cars_card_ends_the_agent() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, "89049032000000000000000000000002");
    let card = TestCard::new(true);
    let forever = std::future::pending();
    let (_stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = aid_agent::daemon::run(
        &config,
        Box::new(card.clone()),
        std::sync::Arc::default(),
        |_| {},
        tokio::sync::mpsc::channel(1).1,
        async { drop(stopped.await) },
    );
    let ended = tokio::select! {
        ended = Box::pin(run) => ended,
        () = forever => unreachable!("for ever"),
    };
    let error = ended.expect_err("refused").to_string();
    assert!(error.contains(EID) && error.contains("CN = EID"), "{error}");
    assert!(card.with(|card| card.done.is_empty()));
}

// R-4.3-14: nothing can be written or read where the journal should be.
#[tokio::test]
async fn a_journal_that_can_not_be_opened_is_waited_for() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    std::fs::write(&config.journal, "not a folder").expect("write");
    let card = TestCard::new(true);
    let work = async {
        let failed = |s: &Value| s["journal"]["state"] == "failed" && s["profiles"][0].is_object();
        let status = wait(&config.api, "failed", failed).await;
        assert!(is_recent(&status["journal"]["since"]), "{status}");
        assert!(status["journal"]["error"].is_string(), "{status}");
        let disabled = |s: &Value| s["profiles"][0]["state"] == "disabled";
        let status = wait(&config.api, "disabled", disabled).await;
        assert_eq!(status["phase"], "stopped");
        assert_unavailable(&config.api).await;
        std::fs::remove_file(&config.journal).expect("removed");
        let status = assert_works(&config).await;
        assert_eq!(status["pending_reports"], 1, "the disable is reported");
    };
    with_daemon(&config, &card, work).await.expect("daemon");
    assert!(!card.is_enabled());
}

// R-4.3-14: the disk is full at the start, and freed later.
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let Some(disk) = SmallDisk::mount_at(&config.journal, "2m") else {
        return;
    };
    disk.fill();
    let card = TestCard::new(true);
    let work = async {
        let failed = |s: &Value| {
            s["journal"]["state"] == "failed" && s["profiles"][0]["state"] == "disabled"
        };
        let status = wait(&config.api, "failed", failed).await;
        let error = status["journal"]["error"].as_str().expect("a reason");
        assert!(error.contains("full") || error.contains("space"), "{error}");
        assert_unavailable(&config.api).await;
        disk.free();
        let status = assert_works(&config).await;
        assert_eq!(status["pending_reports"], 1);
    };
    with_daemon(&config, &card, work).await.expect("daemon");
    // What it wrote is there at the next start.
    let work = async {
        let status = assert_works(&config).await;
        assert_eq!(status["pending_reports"], 1);
    };
    with_daemon(&config, &card, work).await.expect("daemon");
    drop(disk);
}

/// The first segment of the journal.
fn segment(config: &Config) -> std::path::PathBuf {
    let entries = std::fs::read_dir(&config.journal).expect("journal");
    let mut all: Vec<_> = entries.map(|e| e.expect("entry").path()).collect();
    all.sort();
    let mut all = all.into_iter();
    all.find(|p| p.extension().is_some_and(|e| e == "seg"))
        .expect("a segment")
}

type Damage = fn(&Config);

/// What may become of the files of a journal.
const DAMAGES: [(&str, Damage); 10] = [
    ("empty", |c| drop(std::fs::File::create(segment(c)))),
    ("a wrong byte in the header", |c| {
        let mut bytes = std::fs::read(segment(c)).expect("read");
        bytes[9] ^= 1;
        std::fs::write(segment(c), bytes).expect("write");
    }),
    ("a wrong byte in the first record", |c| {
        let mut bytes = std::fs::read(segment(c)).expect("read");
        bytes[540] ^= 1;
        std::fs::write(segment(c), bytes).expect("write");
    }),
    ("half a segment", |c| {
        let bytes = std::fs::read(segment(c)).expect("read");
        std::fs::write(segment(c), &bytes[..bytes.len() / 2]).expect("write");
    }),
    ("a text in its place", |c| {
        std::fs::write(segment(c), "hello").expect("write");
    }),
    ("a folder in its place", |c| {
        let path = segment(c);
        std::fs::remove_file(&path).expect("remove");
        std::fs::create_dir(&path).expect("folder");
    }),
    ("a link to nowhere in its place", |c| {
        let path = segment(c);
        std::fs::remove_file(&path).expect("remove");
        std::os::unix::fs::symlink("/nowhere", &path).expect("link");
    }),
    ("a stray segment", |c| {
        let stray = c.journal.join("00000000000000ff.seg");
        std::fs::copy(segment(c), stray).expect("copy");
    }),
    ("an empty stray segment", |c| {
        let stray = c.journal.join("00000000000000ff.seg");
        drop(std::fs::File::create(stray));
    }),
    ("a huge file in its place", |c| {
        let file = std::fs::File::create(segment(c)).expect("create");
        file.set_len(1 << 40).expect("sparse");
    }),
];

fn aside(config: &Config) -> usize {
    let entries = std::fs::read_dir(&config.journal).expect("journal");
    let names = entries.map(|e| e.expect("entry").file_name());
    names
        .filter(|n| n.to_string_lossy().starts_with("damaged-"))
        .count()
}

// R-4.3-14
#[tokio::test]
async fn a_damaged_journal_is_put_aside_and_said() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    // A first life with a report in the journal.
    let card = TestCard::new(true);
    let work = async { drop(assert_works(&config).await) };
    with_daemon(&config, &card, work).await.expect("daemon");
    for (n, (damage, do_it)) in DAMAGES.iter().enumerate() {
        do_it(&config);
        card.with(|card| card.profiles.insert(ICCID.into(), true));
        let work = async {
            let status = assert_works(&config).await;
            let journal = &status["journal"];
            assert!(is_recent(&journal["damaged_at"]), "{damage}: {status}");
            assert!(journal["damage"].is_string(), "{damage}");
            let place = journal["damaged_files"].as_str().expect("a place");
            assert!(Path::new(place).is_dir(), "{damage}: {place}");
        };
        with_daemon(&config, &card, work).await.expect(damage);
        assert!(!card.is_enabled(), "{damage}");
        assert_eq!(aside(&config), (n + 1).min(4), "{damage}");
    }
    // And a sound one is left alone.
    let work = async {
        let status = assert_works(&config).await;
        assert!(status["journal"]["damage"].is_null());
    };
    with_daemon(&config, &card, work).await.expect("daemon");
}

// Files that are not the journal's are nobody's business.
#[tokio::test]
async fn other_files_in_the_folder_are_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let others = [
        "readme.txt",
        "1.seg",
        "000000000000000A.seg",
        "+00000000000000f.seg",
        "000000000000000g.seg",
    ];
    std::fs::create_dir(&config.journal).expect("folder");
    for other in others {
        std::fs::write(config.journal.join(other), "x").expect("write");
    }
    std::fs::create_dir(config.journal.join("0000000000000001.tmp")).expect("folder");
    let card = TestCard::new(true);
    let work = async {
        let status = assert_works(&config).await;
        assert!(status["journal"]["damage"].is_null(), "{status}");
    };
    with_daemon(&config, &card, work).await.expect("daemon");
    for other in others {
        assert!(config.journal.join(other).exists(), "{other}");
    }
}

// A second agent must not touch the first one's card.
#[tokio::test]
async fn a_second_agent_on_the_journal_ends_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let card = TestCard::new(false);
    let work = async {
        let other = TestCard::new(true);
        let mut second = config.clone();
        second.api = folder.path().join("second.sock");
        let ended = with_daemon(&second, &other, async {}).await;
        let error = ended.expect_err("in use");
        assert!(error.contains("another process"), "{error}");
        assert!(other.is_enabled() && other.with(|card| card.done.is_empty()));
    };
    with_daemon(&config, &card, work).await.expect("daemon");
}

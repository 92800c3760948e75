//! The link against servers that refuse, hang up and send what is not for this car.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_agent::config::Config;
use aid_agent_core::{
    AccountRef, Aup, Down, Iccid, LoginOutcome, OrderKind, OrderOutcome, Status, Up,
};
use aid_needs::disk::SmallDisk;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::broker::{Broker, Out, Shared, message, serve};
use support::*;
use tokio::net::TcpListener;

const OTHER: &str = "8900000000000000002";

struct Site {
    folder: tempfile::TempDir,
    config: Config,
    broker: Shared,
    card: TestCard,
}

async fn site(behaviour: Broker) -> Site {
    let folder = tempfile::tempdir().expect("folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let config = configure(folder.path(), &address, EID);
    let broker = Arc::new(Mutex::new(behaviour));
    serve(listener, folder.path(), &broker);
    Site {
        folder,
        config,
        broker,
        card: TestCard::new(false),
    }
}

impl Site {
    fn with<T>(&self, f: impl FnOnce(&mut Broker) -> T) -> T {
        f(&mut self.broker.lock().expect("lock"))
    }

    async fn run<F: Future<Output = ()>>(&self, work: F) {
        with_daemon(&self.config, &self.card, work)
            .await
            .expect("daemon");
    }

    /// Waits until the server saw this.
    async fn until(&self, what: &str, is: impl Fn(&Broker) -> bool) {
        wait(&self.config.api, what, |_| self.with(|b| is(b))).await;
    }

    async fn up(&self) {
        let is_up = |s: &serde_json::Value| s["link"] == "up" && s["link_problem"].is_null();
        wait(&self.config.api, "up", is_up).await;
    }

    async fn log_in(&self, user: &str) {
        assert_eq!(self.try_log_in(user).await.0, 202);
    }

    async fn try_log_in(&self, user: &str) -> (u16, serde_json::Value) {
        let body = format!(r#"{{"user":"{user}","pin":"123456"}}"#);
        post(&self.config.api, "/v1/login", &body).await
    }

    fn order(&self, id: u8, iccid: &str, expires_at: Option<u64>, topic: &str, retain: bool) {
        let kind = OrderKind::Delete {
            iccid: iccid.parse::<Iccid>().expect("ICCID"),
        };
        let order_id = [id; 16];
        let payload = message(id, expires_at, Down::Order { order_id, kind });
        let topic = topic.to_owned();
        self.with(|b| {
            b.out.push_back(Out {
                topic,
                retain,
                payload,
            });
        });
    }
}

/// What a CMP of revision 1 answers.
fn answer(message_id: [u8; 16], up: &Up) -> Option<Down> {
    Some(match up {
        Up::Hello { .. } => Down::Ack { message_id },
        Up::Login { login_id, .. } => {
            let aup = Aup {
                display_name: "u".into(),
                msp_name: "M".into(),
                masked_number: String::new(),
            };
            let outcome = LoginOutcome::Accepted {
                account: AccountRef([1; 16]),
                aup,
                profiles: vec![ICCID.parse().expect("ICCID")],
            };
            Down::LoginResult {
                login_id: *login_id,
                outcome,
            }
        }
        Up::Status { report_seq, .. } => Down::StatusAck {
            report_seq: *report_seq,
        },
        Up::OrderResult { order_id, .. } => Down::Ack {
            message_id: *order_id,
        },
        _ => return None,
    })
}

// R-3.2-3: until the server lets the car listen there is no link, whatever the reason it gives.
#[tokio::test]
async fn a_refused_subscription_or_connection_is_no_link() {
    for (connack, suback, reason) in [
        (0, 0x87, "NotAuthorized"),
        (0, 0x80, "Unspecified"),
        (0, 0x97, "Quota"),
        (0x87, 0, "NotAuthorized"),
        (0x88, 0, "Unavailable"),
        (0x89, 0, "Busy"),
    ] {
        let site = site(Broker {
            connack,
            suback,
            ..Broker::default()
        })
        .await;
        site.run(async {
            site.until("two tries", |b| b.connections >= 2).await;
            let status = wait(&site.config.api, "a reason", |s| {
                s["link_problem"]["error"]
                    .as_str()
                    .is_some_and(|e| e.contains(reason))
            })
            .await;
            assert_eq!(status["link"], "down", "{reason}: {status}");
            assert!(status["link_problem"]["since"].is_u64());
            let seen = site.with(|b| b.seen.len());
            assert_eq!(seen, 0, "nothing is said without a link");
            site.with(|b| (b.connack, b.suback) = (0, 1));
            site.up().await;
            site.until("Hello", |b| !b.seen.is_empty()).await;
        })
        .await;
    }
}

// A server that hangs up behind each SUBACK: the car comes back, and its outbox with it.
#[tokio::test]
async fn a_server_that_hangs_up_is_tried_again() {
    let site = site(Broker {
        hangs_up: true,
        ..Broker::default()
    })
    .await;
    site.run(async {
        site.until("three tries", |b| b.connections >= 3).await;
        site.with(|b| b.hangs_up = false);
        site.up().await;
        site.until("Hello", |b| {
            b.seen.iter().any(|up| matches!(up, Up::Hello { .. }))
        })
        .await;
    })
    .await;
}

// A refusal is about a message, not about the link.
#[tokio::test]
async fn refused_messages_end_no_connection() {
    for reason in [0x80, 0x83, 0x87, 0x97, 0x99] {
        let site = site(Broker {
            puback: reason,
            answer: Some(answer),
            ..Broker::default()
        })
        .await;
        site.run(async {
            let status = wait(&site.config.api, "refused", |s| {
                s["link_problem"]["error"]
                    .as_str()
                    .is_some_and(|e| e.contains("PUBACK"))
            })
            .await;
            assert_eq!(status["link"], "up", "{status}");
            site.log_in("u").await;
            site.with(|b| b.puback = 0);
            site.log_in("v").await;
            let session = |s: &serde_json::Value| s["session"].is_object();
            let status = wait(&site.config.api, "logged in", session).await;
            assert!(status["link_problem"].is_null(), "{status}");
            assert_eq!(site.with(|b| b.connections), 1);
        })
        .await;
    }
}

// What is too large for the server is not sent, and everything else is.
#[tokio::test]
async fn a_message_that_is_too_large_ends_no_connection() {
    let site = site(Broker {
        largest: Some(200),
        answer: Some(answer),
        ..Broker::default()
    })
    .await;
    site.run(async {
        site.up().await;
        for _ in 0..5 {
            site.log_in(&"x".repeat(128)).await;
        }
        site.log_in("u").await;
        let session = |s: &serde_json::Value| s["session"].is_object();
        wait(&site.config.api, "logged in", session).await;
        let users: Vec<_> = site.with(|b| {
            let user = |up: &Up| match up {
                Up::Login { user, .. } => Some(user.clone()),
                _ => None,
            };
            b.seen.iter().filter_map(user).collect()
        });
        assert_eq!(users, ["u"]);
        assert_eq!(site.with(|b| b.connections), 1);
    })
    .await;
}

// R-4.4.1-15: void, retained and foreign orders are neither executed nor answered.
#[tokio::test]
async fn orders_that_are_not_live_are_ignored() {
    let site = site(Broker {
        answer: Some(answer),
        ..Broker::default()
    })
    .await;
    site.card.with(|card| {
        card.profiles.insert(OTHER.into(), false);
    });
    let down = format!("aid/v1/{EID}/down");
    let foreign = down.replace("000001", "000002");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    site.run(async {
        site.up().await;
        site.order(1, ICCID, Some(now - 1), &down, false);
        site.order(2, ICCID, Some(0), &down, false);
        site.order(3, ICCID, None, &down, true);
        site.order(4, ICCID, Some(now + 3600), &down, true);
        site.order(5, ICCID, Some(now - 3600), &down, true);
        site.order(6, ICCID, None, &foreign, false);
        site.order(7, OTHER, Some(now + 3600), &down, false);
        let is_done = |b: &Broker| {
            b.seen.iter().any(|up| {
                matches!(up, Up::OrderResult { order_id, outcome: OrderOutcome::Done }
                    if order_id[0] == 7)
            })
        };
        site.until("the live order's result", is_done).await;
        let about_others = site.with(|b| {
            let other = |up: &&Up| match up {
                Up::OrderResult { order_id, .. } => order_id[0] != 7,
                Up::Ack { message_id } => message_id[0] < 7,
                _ => false,
            };
            b.seen.iter().filter(other).count()
        });
        assert_eq!(about_others, 0);
    })
    .await;
    let left: Vec<_> = site
        .card
        .with(|card| card.profiles.keys().cloned().collect());
    assert_eq!(left, [ICCID]);
}

/// Fills the disk, the free part of the journal's file included.
fn fill(disk: &SmallDisk, journal: &Path) {
    let segment = journal.join("0000000000000001.seg");
    let bytes = std::fs::read(&segment).expect("segment");
    let used = bytes.iter().rposition(|b| *b != 0).expect("records") + 1;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&segment)
        .expect("segment");
    // What was allocated behind the records is given back.
    file.set_len(used.next_multiple_of(4096) as u64)
        .expect("cut");
    file.set_len(bytes.len() as u64).expect("grown");
    disk.fill();
}

// R-4.3-14: the disk fills up while a user is logged in, with the profile enabled.
#[tokio::test]
async fn a_disk_that_fills_up_during_a_session() {
    let site = site(Broker {
        answer: Some(answer),
        ..Broker::default()
    })
    .await;
    let journal = &site.config.journal;
    let Some(disk) = SmallDisk::mount_at(journal, "2m") else {
        return;
    };
    let api = &site.config.api;
    site.run(async {
        site.up().await;
        site.log_in("u").await;
        let active = |s: &serde_json::Value| s["phase"] == "active" && s["pending_reports"] == 0;
        wait(api, "active", active).await;
        fill(&disk, journal);
        // Enough records for the last sector that is left.
        let mut refused = None;
        for _ in 0..64 {
            let (status, answer) = post(api, "/v1/logout", "").await;
            if status == 503 {
                refused = Some(answer);
                break;
            }
            // What is written by itself in between may be what finds the disk full.
            let (status, answer) = site.try_log_in("u").await;
            if status == 503 {
                refused = Some(answer);
                break;
            }
            wait(api, "logged in or stopped", |s| {
                s["session"].is_object() || s["journal"]["state"] == "failed"
            })
            .await;
        }
        let refused = refused.expect("a refusal");
        assert!(refused["error"].is_string(), "{refused}");
        let safe = |s: &serde_json::Value| s["profiles"][0]["state"] == "disabled";
        let status = wait(api, "disabled", safe).await;
        assert!(!site.card.is_enabled());
        assert_eq!(status["session"], serde_json::Value::Null);
        assert_eq!(status["journal"]["state"], "failed");
        // It is freed, and everything goes on: the reports of what happened arrive.
        disk.free();
        let works = |s: &serde_json::Value| s["journal"]["state"] == "ok";
        wait(api, "working", works).await;
        let last = |b: &Broker| {
            let status = |up: &Up| match up {
                Up::Status { status, .. } => Some(*status),
                _ => None,
            };
            b.seen.iter().rev().find_map(status) == Some(Status::Disabled)
        };
        site.until("the report of the disable", last).await;
        // The connection is made anew once the journal works.
        site.up().await;
        site.log_in("u").await;
        wait(api, "active", active).await;
        assert_eq!(post(api, "/v1/logout", "").await.0, 202);
        wait(api, "disabled", safe).await;
    })
    .await;
    // Before the folder that it is mounted on.
    drop(disk);
    drop(site.folder);
}

// R-4.3-14: somebody removes the journal while a user is logged in; nothing is written into the void.
#[tokio::test]
async fn a_journal_that_is_removed_during_a_session() {
    let site = site(Broker {
        answer: Some(answer),
        ..Broker::default()
    })
    .await;
    let api = &site.config.api;
    let active = |s: &serde_json::Value| s["phase"] == "active" && s["pending_reports"] == 0;
    let safe = |s: &serde_json::Value| {
        s["profiles"][0]["state"] == "disabled" && s["journal"]["state"] == "ok"
    };
    site.run(async {
        site.up().await;
        site.log_in("u").await;
        wait(api, "active", active).await;
        std::fs::remove_dir_all(&site.config.journal).expect("removed");
        let (status, _) = post(api, "/v1/logout", "").await;
        assert_eq!(status, 503, "it is in no journal");
        wait(api, "secured, with a new journal", safe).await;
        site.up().await;
        site.log_in("u").await;
        wait(api, "active", active).await;
        assert_eq!(post(api, "/v1/logout", "").await.0, 202);
        // Enabled and disabled, twice; and no report has another's number.
        let last = |b: &Broker| {
            let seq = |up: &Up| match up {
                Up::Status { report_seq, .. } => Some(*report_seq),
                _ => None,
            };
            let numbers: BTreeSet<u64> = b.seen.iter().filter_map(seq).collect();
            let count = numbers.last().map(|seq| seq & 0xFFFF_FFFF);
            numbers.len() == 4 && count == Some(4)
        };
        site.until("four reports", last).await;
        wait(api, "disabled", safe).await;
    })
    .await;
}

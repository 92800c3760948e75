//! Revision 1 of AID2, frozen: cars and CMPs of the first release speak it, and new ones with them.
//!
//! `first/vectors.txt` was written by the first release: a message of every kind, its bytes, and what they mean.
//! `first/rules.rs` are that release's types and its way to read. Neither follows the crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "kept as it was in the first release"
)]
#[path = "first/rules.rs"]
mod rules;

#[allow(unreachable_pub, reason = "the file is included in two modules")]
mod today {
    use aid_id::{AccountRef, Iccid, Secret};
    use aid_wire::*;
    include!("first/samples.rs");
}

use aid_id::{AccountRef, Secret};
use aid_wire::{
    Down, Envelope, FIRST_REVISION, LoginWay, MessageError, OrderKind, OrderOutcome, REVISION,
    SESSION_REVISION, Up, announce, announced,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Way, bytes and meaning of each vector.
fn vectors() -> impl Iterator<Item = (&'static str, Vec<u8>, &'static str)> {
    include_str!("first/vectors.txt").lines().map(|line| {
        let (way, rest) = line.split_once(' ').unwrap();
        let (bytes, meaning) = rest.split_once(' ').unwrap();
        (way, hex::decode(bytes).unwrap(), meaning)
    })
}

fn reads<B: Serialize + DeserializeOwned + Debug>(bytes: &[u8], meaning: &str) {
    let message = Envelope::<B>::decode(bytes).unwrap();
    assert_eq!(format!("{:?}", message.body), meaning);
    assert_eq!(
        (message.sequence, message.expires_at),
        (300, Some(1_700_000_000))
    );
    assert_eq!(message.encode().unwrap(), bytes, "{meaning}");
}

// R-3.2-2
#[test]
fn messages_of_the_first_release_mean_the_same_today() {
    let mut count = 0;
    for (way, bytes, meaning) in vectors() {
        count += 1;
        match way {
            "up" => reads::<Up>(&bytes, meaning),
            _ => reads::<Down>(&bytes, meaning),
        }
    }
    assert_eq!(count, today::ups().len() + today::downs().len());
}

#[test]
fn what_is_sent_to_a_peer_of_the_first_revision_is_what_the_first_release_sent() {
    let ups = today::ups().into_iter().map(|up| {
        assert_eq!(up.revision(), FIRST_REVISION);
        today::enveloped(up).encode().unwrap()
    });
    let downs = today::downs().into_iter().map(|down| {
        assert_eq!(down.revision(), FIRST_REVISION);
        today::enveloped(down).encode().unwrap()
    });
    for (sent, (way, bytes, meaning)) in ups.chain(downs).zip(vectors()) {
        assert_eq!(sent, bytes, "{meaning}");
        let read = match way {
            "up" => format!(
                "{:?}",
                rules::Envelope::<rules::Up>::decode(&sent).unwrap().body
            ),
            _ => format!(
                "{:?}",
                rules::Envelope::<rules::Down>::decode(&sent).unwrap().body
            ),
        };
        assert_eq!(read, meaning);
    }
    // The only message of revision 1 whose content has changed: its text announces the revision.
    let software = announce("aid-agent 0.2.0");
    let hello = Up::Hello {
        software: software.clone(),
        profiles: Vec::new(),
    };
    let bytes = today::enveloped(hello).encode().unwrap();
    let read = rules::Envelope::<rules::Up>::decode(&bytes).unwrap().body;
    let profiles = Vec::new();
    assert_eq!(read, rules::Up::Hello { software, profiles });
}

/// The messages of later revisions.
fn newer() -> (Vec<Up>, Vec<Down>) {
    let account = Some(AccountRef([1; 16]));
    let pin = LoginWay::Pin {
        user: "eva".into(),
        pin: Secret::new("1234".into()),
    };
    let mut ups: Vec<Up> = [None, account]
        .into_iter()
        .map(|account| Up::Session { number: 7, account })
        .collect();
    ups.extend([pin, LoginWay::Code].map(|way| Up::NumberedLogin {
        number: 7,
        account,
        login_id: [2; 16],
        way,
    }));
    let welcome = Down::Welcome {
        message_id: [3; 16],
        revision: 2,
        session: 1 << 32,
    };
    let delete = Down::Order {
        order_id: [4; 16],
        kind: OrderKind::DeleteOf {
            account: AccountRef([1; 16]),
            iccid: "8944500805172032953".parse().unwrap(),
        },
    };
    let (account, verifier) = (AccountRef([1; 16]), [5; 16]);
    ups.push(Up::OfflineSession {
        number: 7,
        account,
        verifier,
    });
    ups.push(Up::FactoryReset {
        reset_id: [6; 16],
        outcome: OrderOutcome::Done,
    });
    let grant = Down::Verifier {
        account,
        verifier,
        salt: [7; 16],
        now: 1_700_000_000,
        valid_s: 300,
        attempts: 5,
    };
    let revoke = Down::Revoke { account, verifier };
    let reset = Down::Order {
        order_id: [4; 16],
        kind: OrderKind::FactoryReset,
    };
    (ups, vec![welcome, delete, grant, revoke, reset])
}

// R-4.4.1-9: a peer of an earlier revision gets what it knows, bytes for bytes, or nothing.
#[test]
fn a_message_is_put_into_the_form_of_an_earlier_revision() {
    for down in today::downs() {
        for revision in FIRST_REVISION..=REVISION {
            assert_eq!(down.clone().for_revision(revision), Some(down.clone()));
        }
    }
    let (_, downs) = newer();
    for down in downs {
        for revision in FIRST_REVISION..=REVISION + 1 {
            let sent = down.clone().for_revision(revision);
            if revision >= down.revision() {
                assert_eq!(sent.as_ref(), Some(&down));
            }
            if let Some(sent) = sent {
                assert!(sent.revision() <= revision);
            }
        }
    }
    let iccid: aid_id::Iccid = "8944500805172032953".parse().unwrap();
    let order = |kind| Down::Order {
        order_id: [4; 16],
        kind,
    };
    let account = AccountRef([1; 16]);
    let of = order(OrderKind::DeleteOf {
        account,
        iccid: iccid.clone(),
    });
    let earlier = of.for_revision(SESSION_REVISION).unwrap();
    assert_eq!(earlier, order(OrderKind::Delete { iccid }));
    let bytes = today::enveloped(earlier).encode().unwrap();
    let read = rules::Envelope::<rules::Down>::decode(&bytes).unwrap().body;
    assert!(matches!(
        read,
        rules::Down::Order {
            kind: rules::OrderKind::Delete { .. },
            ..
        }
    ));
}

#[test]
fn the_first_release_refuses_messages_of_later_revisions_with_a_reason() {
    let (ups, downs) = newer();
    for up in ups {
        assert!(up.revision() > FIRST_REVISION);
        let bytes = today::enveloped(up).encode().unwrap();
        let refused = rules::Envelope::<rules::Up>::decode(&bytes).unwrap_err();
        assert!(refused.to_string().starts_with("not an AID2 message: "));
    }
    for down in downs {
        assert!(down.revision() > FIRST_REVISION);
        let bytes = today::enveloped(down).encode().unwrap();
        let refused = rules::Envelope::<rules::Down>::decode(&bytes).unwrap_err();
        assert!(refused.to_string().starts_with("not an AID2 message: "));
    }
}

#[test]
fn what_is_unknown_today_is_refused_with_a_reason() {
    // A message of a revision to come, its content, a version to come.
    let mut bytes = today::enveloped(Up::LoginByCode { login_id: [0; 16] })
        .encode()
        .unwrap();
    let kind = bytes.len() - 17;
    for next in 14..128 {
        bytes[kind] = next;
        let refused = Envelope::<Up>::decode(&bytes);
        assert!(matches!(refused, Err(MessageError::Encoding(_))), "{next}");
    }
    bytes[kind] = 7;
    assert!(Envelope::<Up>::decode(&bytes).is_ok());
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        Envelope::<Up>::decode(&longer),
        Err(MessageError::Trailing(1))
    );
    bytes[0] = 2;
    assert_eq!(
        Envelope::<Up>::decode(&bytes),
        Err(MessageError::Version(2))
    );
}

#[test]
fn a_hello_announces_its_revision() {
    assert_eq!(announced(&announce("aid-agent 0.2.0")), REVISION);
    let first = [
        "",
        "aid-agent 0.1.0",
        "AID2",
        "AID2/",
        "AID2/0",
        "x AID2/1",
        "x AID2/256",
    ];
    for software in first
        .into_iter()
        .chain(["x AID2/2 y", "xAID2/2", "x AID2/-2"])
    {
        assert_eq!(announced(software), FIRST_REVISION, "{software}");
    }
    assert_eq!(announced("x AID2/7"), 7);
}

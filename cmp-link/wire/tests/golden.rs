//! The bytes of every message, pinned: a change here is a change of the protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aid_id::{AccountRef, Eid, Iccid, Id, Secret};
use aid_wire::{
    Aup, CertificateOutcome, CodeOutcome, Direction, Down, Envelope, LoginOutcome, LoginWay,
    MAX_ENTRIES, MAX_MESSAGE, MAX_TEXT, MessageError, OrderKind, OrderOutcome, ProfileState,
    Status, SubscriptionView, Up, UserProfile, parse_topic, topic_down, topic_up,
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

const A: Id = [0xAA; 16];
const B: Id = [0xBB; 16];
/// Index of the first message of revision 4 in this file, of `Up` and `Down`.
const FLEET: (u8, u8) = (13, 10);

fn iccid() -> Iccid {
    "8944500805172032953".parse().unwrap()
}

fn enveloped<T>(body: T) -> Envelope<T> {
    Envelope {
        version: 1,
        message_id: [1; 16],
        correlation_id: [2; 16],
        sequence: 300,
        expires_at: Some(1_700_000_000),
        body,
    }
}

/// The body's bytes are the golden ones, and the whole message survives the round trip.
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone>(
    body: T,
    expected: &str,
) {
    let head = format!("01{}{}ac020180e2cfaa06", "01".repeat(16), "02".repeat(16));
    let message = enveloped(body);
    let bytes = message.encode().unwrap();
    assert_eq!(hex::encode(&bytes), head + expected, "{message:?}");
    assert_eq!(Envelope::decode(&bytes).unwrap(), message);
}

// R-3.2-2 R-3.2-3 R-3.2-4
#[test]
fn up() {
    let a = "aa".repeat(16);
    let b = "bb".repeat(16);
    let iccid_hex = format!("13{}", hex::encode("8944500805172032953"));
    golden(
        Up::Hello {
            software: "x 1".into(),
            profiles: vec![ProfileState {
                iccid: iccid(),
                state: Status::Enabled,
                owner: Some(AccountRef(A)),
            }],
        },
        &format!("00037820 3101{iccid_hex}0101{a}").replace(' ', ""),
    );
    golden(
        Up::Login {
            login_id: A,
            user: "eva".into(),
            pin: Secret::new("1234".into()),
        },
        &format!("01{a}036576610431323334"),
    );
    golden(
        Up::Logout {
            account: AccountRef(A),
        },
        &format!("02{a}"),
    );
    golden(
        Up::RequestActivationCode {
            request_id: A,
            account: AccountRef(B),
        },
        &format!("03{a}{b}"),
    );
    golden(
        Up::Status {
            report_seq: 7,
            iccid: Some(iccid()),
            account: Some(AccountRef(B)),
            status: Status::InstallationFailed,
            code: 513,
        },
        &format!("040701{iccid_hex}01{b}048104"),
    );
    // With an epoch, here the highest.
    golden(
        Up::Status {
            report_seq: 0x7FFF_FFFF_0000_0007,
            iccid: None,
            account: None,
            status: Status::Installed,
            code: 0,
        },
        "0487808080f0ffffff7f00000000",
    );
    let outcomes = [
        (OrderOutcome::Done, "00"),
        (OrderOutcome::NotFound, "01"),
        (OrderOutcome::Failed { code: 2 }, "0202"),
    ];
    for (outcome, bytes) in outcomes {
        golden(
            Up::OrderResult {
                order_id: A,
                outcome,
            },
            &format!("05{a}{bytes}"),
        );
    }
    golden(Up::Ack { message_id: A }, &format!("06{a}"));
    golden(Up::LoginByCode { login_id: A }, &format!("07{a}"));
    let (request_id, account) = (A, AccountRef(B));
    golden(
        Up::CardFull {
            request_id,
            account,
        },
        &format!("08{a}{b}"),
    );
    golden(
        Up::RequestAgain {
            request_id,
            account,
        },
        &format!("09{a}{b}"),
    );
    let number = 300;
    let session = |account| Up::Session { number, account };
    golden(session(None), "0aac0200");
    golden(session(Some(account)), &format!("0aac0201{b}"));
    let login = |way| Up::NumberedLogin {
        number,
        account: Some(account),
        login_id: A,
        way,
    };
    let pin = LoginWay::Pin {
        user: "eva".into(),
        pin: Secret::new("1234".into()),
    };
    golden(login(pin), &format!("0bac0201{b}{a}00036576610431323334"));
    golden(login(LoginWay::Code), &format!("0bac0201{b}{a}01"));
    golden(
        Up::RenewCertificate {
            request_id: A,
            request: vec![0x30, 0x03, 1],
        },
        &format!("0c{a}03300301"),
    );
    let index = FLEET.0;
    golden(
        Up::OfflineSession {
            number,
            account,
            verifier: A,
        },
        &format!("{index:02x}ac02{b}{a}"),
    );
    golden(
        Up::FactoryReset {
            reset_id: A,
            outcome: OrderOutcome::Done,
        },
        &format!("{:02x}{a}00", index + 1),
    );
}

// R-2-9 R-3.2-2 R-3.2-3 R-3.2-4
#[test]
fn down() {
    let a = "aa".repeat(16);
    let b = "bb".repeat(16);
    let iccid_hex = format!("13{}", hex::encode("8944500805172032953"));
    golden(
        Down::LoginResult {
            login_id: A,
            outcome: LoginOutcome::Accepted {
                account: AccountRef(B),
                aup: Aup {
                    display_name: "E".into(),
                    msp_name: "M".into(),
                    masked_number: "*".into(),
                },
                profiles: vec![iccid()],
            },
        },
        &format!("00{a}00{b}0145014d012a01{iccid_hex}"),
    );
    golden(
        Down::LoginResult {
            login_id: A,
            outcome: LoginOutcome::Refused {
                reason: "no".into(),
            },
        },
        &format!("00{a}01026e6f"),
    );
    let outcomes = [
        (
            CodeOutcome::Code {
                code: Secret::new("1$h$X".into()),
                iccid: None,
            },
            "0005312468245800",
        ),
        (CodeOutcome::Pending, "01"),
        (
            CodeOutcome::Failed {
                code: 49,
                reason: "no".into(),
            },
            "0231026e6f",
        ),
        (CodeOutcome::Ask, "03"),
    ];
    for (outcome, bytes) in outcomes {
        golden(
            Down::ActivationCode {
                request_id: A,
                account: AccountRef(B),
                outcome,
            },
            &format!("01{a}{b}{bytes}"),
        );
    }
    let kinds = [
        (
            OrderKind::Delete { iccid: iccid() },
            format!("00{iccid_hex}"),
        ),
        (
            OrderKind::Disable { iccid: iccid() },
            format!("01{iccid_hex}"),
        ),
        (
            OrderKind::Logout {
                account: AccountRef(B),
            },
            format!("02{b}"),
        ),
        (OrderKind::DeleteAll, "03".into()),
        (
            OrderKind::Erase {
                account: AccountRef(B),
            },
            format!("04{b}"),
        ),
        (
            OrderKind::DeleteOf {
                account: AccountRef(B),
                iccid: iccid(),
            },
            format!("05{b}{iccid_hex}"),
        ),
        (OrderKind::FactoryReset, "06".into()),
    ];
    for (kind, bytes) in kinds {
        golden(Down::Order { order_id: A, kind }, &format!("02{a}{bytes}"));
    }
    golden(Down::StatusAck { report_seq: 300 }, "03ac02");
    let report_seq = 0x7FFF_FFFF_0000_0007;
    golden(Down::StatusAck { report_seq }, "0387808080f0ffffff7f");
    golden(Down::Ack { message_id: A }, &format!("04{a}"));
    golden(
        Down::LoginCode {
            login_id: A,
            code: "BCDF-GHJK".into(),
            url: "u".into(),
            expires_in: 600,
        },
        &format!("05{a}09{}0175d804", hex::encode("BCDF-GHJK")),
    );
    golden(
        Down::UserProfile {
            account: AccountRef(B),
            profile: UserProfile {
                display_name: "E".into(),
                subscriptions: vec![SubscriptionView {
                    msp_name: "M".into(),
                    icon: "i".into(),
                    label: "private".into(),
                    masked_number: "*".into(),
                    suspended: true,
                }],
                preferences: vec![("k".into(), "v".into())],
            },
        },
        &format!("06{b}0145 01014d01690770726976617465012a01 01016b0176").replace(' ', ""),
    );
    golden(
        Down::Space {
            request_id: A,
            granted: true,
        },
        &format!("07{a}01"),
    );
    golden(
        Down::Welcome {
            message_id: A,
            revision: 2,
            session: 300,
        },
        &format!("08{a}02ac02"),
    );
    let outcomes = [
        (
            CertificateOutcome::Issued {
                chain: vec![vec![0x30, 0], vec![0x31]],
            },
            "00020230000131",
        ),
        (CertificateOutcome::Later { seconds: 300 }, "01ac02"),
        (
            CertificateOutcome::Refused {
                reason: "no".into(),
            },
            "02026e6f",
        ),
    ];
    for (outcome, bytes) in outcomes {
        golden(
            Down::Certificate {
                request_id: A,
                outcome,
            },
            &format!("09{a}{bytes}"),
        );
    }
    let index = FLEET.1;
    golden(
        Down::Verifier {
            account: AccountRef(B),
            verifier: A,
            salt: [0xCC; 16],
            now: 1_700_000_000,
            valid_s: 300,
            attempts: 5,
        },
        &format!("{index:02x}{b}{a}{}80e2cfaa06ac0205", "cc".repeat(16)),
    );
    golden(
        Down::Revoke {
            account: AccountRef(B),
            verifier: A,
        },
        &format!("{:02x}{b}{a}", index + 1),
    );
}

// R-2-9
#[test]
fn the_largest_user_profile_fits_into_a_message() {
    let text = || "x".repeat(MAX_TEXT);
    let view = || SubscriptionView {
        msp_name: text(),
        icon: text(),
        label: text(),
        masked_number: text(),
        suspended: true,
    };
    let mut profile = UserProfile {
        display_name: text(),
        subscriptions: (0..MAX_ENTRIES).map(|_| view()).collect(),
        preferences: (0..MAX_ENTRIES).map(|_| (text(), text())).collect(),
    };
    assert!(profile.is_bounded());
    let account = AccountRef(B);
    let message = enveloped(Down::UserProfile {
        account,
        profile: profile.clone(),
    });
    assert!(message.encode().is_ok());
    profile.preferences.push((text(), text()));
    assert!(!profile.is_bounded());
}

#[test]
fn limits() {
    let long = enveloped(Up::Login {
        login_id: A,
        user: "u".repeat(MAX_MESSAGE),
        pin: Secret::new(String::new()),
    });
    assert!(matches!(long.encode(), Err(MessageError::TooLong(_))));
    let too_long = vec![1; MAX_MESSAGE + 1];
    assert_eq!(
        Envelope::<Up>::decode(&too_long),
        Err(MessageError::TooLong(MAX_MESSAGE + 1))
    );
    assert_eq!(Envelope::<Up>::decode(&[2]), Err(MessageError::Version(2)));
    assert_eq!(Envelope::<Up>::decode(&[]), Err(MessageError::Version(0)));
}

#[test]
fn topics() {
    let eid: Eid = "89049032000001000000000831934057".parse().unwrap();
    assert_eq!(parse_topic(&topic_up(&eid)), Some((eid, Direction::Up)));
    assert_eq!(parse_topic(&topic_down(&eid)), Some((eid, Direction::Down)));
    for other in ["", "aid/v1/+/down", "aid/v1/#", "aid/v2/x/up", "aid/v1//up"] {
        assert_eq!(parse_topic(other), None, "{other}");
    }
    assert_eq!(parse_topic(&format!("{}/x", topic_up(&eid))), None);
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::<Up>::decode(&bytes);
        let _ = Envelope::<Down>::decode(&bytes);
        let mut versioned = vec![1];
        versioned.extend(bytes);
        let _ = Envelope::<Up>::decode(&versioned);
        let _ = Envelope::<Down>::decode(&versioned);
    }
}

//! What of the broker's publications is a message of the CMP: ours, live, readable and not expired
//! (docs/wire/aid2.md). The rest is ignored, without an acknowledgement.

use aid_agent_core::{Down, Envelope, MessageError};

/// Unix time before which a clock was never set, seconds: the start of 2025, before this program was
/// written. A car's clock begins at 1970, or at the date of its firmware, until GNSS or the network
/// set it.
const CLOCK_IS_SET: u64 = 1_735_689_600;

/// A publication as it came.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: Vec<u8>,
    /// The broker kept it: nobody knows for how long.
    pub(crate) retained: bool,
    pub(crate) payload: Vec<u8>,
}

/// Why a publication is ignored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ignored {
    /// The car subscribes to its own topic only.
    #[error("it came on the topic {0:?}, which is not this car's")]
    Topic(String),
    /// AID2 has no retained messages.
    #[error("the broker had retained it")]
    Retained,
    /// Not of this version, or not readable.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Void.
    #[error("it expired at {expires_at}, and it is {now} (Unix seconds)")]
    Expired { expires_at: u64, now: u64 },
    /// Nobody can tell whether it is void; the CMP repeats it until the clock is set.
    #[error("it has a lifetime, and the clock of the car is not set")]
    ClockNotSet,
}

/// Reads a publication; `topic` is this car's, `now` the wall clock in Unix seconds.
pub(crate) fn read(
    publication: &Publication,
    topic: &str,
    now: u64,
) -> Result<Envelope<Down>, Ignored> {
    if publication.topic != topic.as_bytes() {
        let other: String = String::from_utf8_lossy(&publication.topic)
            .chars()
            .take(128)
            .collect();
        return Err(Ignored::Topic(other));
    }
    if publication.retained {
        return Err(Ignored::Retained);
    }
    let envelope = Envelope::<Down>::decode(&publication.payload)?;
    match envelope.expires_at {
        Some(_) if now < CLOCK_IS_SET => Err(Ignored::ClockNotSet),
        Some(expires_at) if expires_at <= now => Err(Ignored::Expired { expires_at, now }),
        _ => Ok(envelope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_agent_core::*;

    const TOPIC: &str = "aid/v1/89049032000000000000000000000001/down";
    const NOW: u64 = 1_800_000_000;

    fn publication(expires_at: Option<u64>, body: Down) -> Publication {
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id: [1; 16],
            correlation_id: [2; 16],
            sequence: 3,
            expires_at,
            body,
        };
        Publication {
            topic: TOPIC.into(),
            retained: false,
            payload: envelope.encode().expect("encode"),
        }
    }

    /// One message of each kind.
    fn bodies() -> Vec<Down> {
        let (id, account) = ([7; 16], AccountRef([8; 16]));
        let code = Secret::new("1$s$m".into());
        let outcome = CodeOutcome::Code { code, iccid: None };
        let reason = "no".to_owned();
        let profile = UserProfile {
            display_name: "a".into(),
            subscriptions: vec![],
            preferences: vec![],
        };
        vec![
            Down::LoginResult {
                login_id: id,
                outcome: LoginOutcome::Refused { reason },
            },
            Down::ActivationCode {
                request_id: id,
                account,
                outcome,
            },
            Down::Order {
                order_id: id,
                kind: OrderKind::DeleteAll,
            },
            Down::StatusAck { report_seq: 1 },
            Down::Ack { message_id: id },
            Down::LoginCode {
                login_id: id,
                code: "BCDF-GHJK".into(),
                url: "https://cmp.example/car".into(),
                expires_in: 600,
            },
            Down::UserProfile { account, profile },
            Down::Space {
                request_id: id,
                granted: true,
            },
        ]
    }

    // R-4.4.1-15
    #[test]
    fn a_message_lives_until_it_expires() {
        for body in bodies() {
            for (expires_at, now, lives) in [
                (None, NOW, true),
                (None, 0, true),
                (Some(NOW + 1), NOW, true),
                (Some(u64::MAX), NOW, true),
                (Some(NOW), NOW, false),
                (Some(NOW - 1), NOW, false),
                (Some(0), NOW, false),
                // Not set: neither what seems to live nor what seems to be over.
                (Some(NOW), 0, false),
                (Some(u64::MAX), 0, false),
                (Some(0), 0, false),
                (Some(NOW), CLOCK_IS_SET - 1, false),
                (Some(NOW), CLOCK_IS_SET, true),
                // A clock of the far future voids what has a lifetime; the CMP repeats it.
                (Some(NOW), u64::MAX, false),
            ] {
                let read = read(&publication(expires_at, body.clone()), TOPIC, now);
                assert_eq!(read.is_ok(), lives, "{body:?} {expires_at:?} at {now}");
                if let Ok(envelope) = read {
                    assert_eq!(envelope.body, body);
                }
            }
        }
    }

    #[test]
    fn retained_and_foreign_publications_are_ignored() {
        for body in bodies() {
            let mut retained = publication(None, body.clone());
            retained.retained = true;
            assert_eq!(read(&retained, TOPIC, NOW), Err(Ignored::Retained));
            for other in [
                "",
                "aid/v1/89049032000000000000000000000002/down",
                "aid/v1/89049032000000000000000000000001/up",
                "aid/v1/89049032000000000000000000000001/down/",
                "aid/v1/89049032000000000000000000000001/DOWN",
                "$SYS/broker",
            ] {
                let mut foreign = publication(None, body.clone());
                foreign.topic = other.into();
                let result = read(&foreign, TOPIC, NOW);
                assert_eq!(result, Err(Ignored::Topic(other.into())));
            }
        }
        let mut odd = publication(None, bodies().remove(0));
        odd.topic = vec![0xFF; 70_000];
        let error = read(&odd, TOPIC, NOW).expect_err("foreign").to_string();
        assert!(error.len() < 1000, "bounded in the log");
    }

    #[test]
    fn bytes_that_are_no_message_are_ignored() {
        let whole = publication(Some(NOW + 9), bodies().remove(2));
        for cut in 0..whole.payload.len() {
            let short = Publication {
                topic: TOPIC.into(),
                retained: false,
                payload: whole.payload[..cut].to_vec(),
            };
            let result = read(&short, TOPIC, NOW);
            assert!(matches!(result, Err(Ignored::Message(_))), "{cut}");
        }
    }
}

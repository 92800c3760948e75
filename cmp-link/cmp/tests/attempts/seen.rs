//! What is refused is seen by operators, and secrets are not.

use super::{Door, Outcome, alone, guess, instance, up};
use crate::world::{EVA, PASSWORD, PIN, World, eid};
use aid_cmp::service::fresh;
use aid_cmp::store::AuditFilter;
use aid_cmp_core::decide::login::MAX_ATTEMPTS;
use aid_cmp_core::decide::tries::CAR;
use aid_id::Secret;
use aid_wire::Up;

/// What the process has logged so far.
fn logged() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}

static LOG: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());

struct Sink;

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// R-2-10
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_seen_in_log_metrics_and_audit_trail() {
    let _alone = alone().await;
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(|| Sink)
        .try_init();
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    let login = |user: &str, pin: &str| {
        let login_id = fresh();
        let (user, pin) = (user.to_owned(), Secret::new(pin.into()));
        up(
            login_id,
            Up::Login {
                login_id,
                user,
                pin,
            },
        )
    };
    cmp.up(eid(1), None, login("eva", "987654")).await.unwrap();
    // Names that nobody has are noted, but not without end.
    for n in 0..50 {
        cmp.up(eid(2), None, login(&format!("stranger {n}"), "987654"))
            .await
            .unwrap();
    }
    cmp.up(eid(1), None, login("eva", PIN)).await.unwrap();
    for n in 0..=MAX_ATTEMPTS {
        let outcome = guess(&cmp, Door::Portal, PASSWORD, false, n as usize).await;
        assert_eq!(outcome == Outcome::Locked, n == MAX_ATTEMPTS);
    }
    guess(&cmp, Door::Code, "", false, 0).await;
    let filter = AuditFilter {
        ..AuditFilter::default()
    };
    let audits = crate::book(&cmp).audits(&filter, 1000).await.unwrap();
    let count = |actor: &str, action: &str, about: &str| {
        let all = audits
            .iter()
            .filter(|a| a.actor == actor && a.action == action);
        all.filter(|a| a.detail.contains(about)).count()
    };
    let who = format!("account {}", hex::encode(EVA.0));
    let limit = MAX_ATTEMPTS as usize;
    assert_eq!(
        count("car", "login refused", &format!("{} {who}", eid(1))),
        1
    );
    assert_eq!(
        count("car", "login refused", eid(2).as_str()),
        CAR.most as usize
    );
    assert_eq!(count("portal", "login refused", &who), limit);
    assert_eq!(count("portal", "account locked", &who), 1);
    assert_eq!(count("portal", "login code refused", &who), 1);
    let metrics = aid_serve::metrics::render();
    for (result, door) in [
        ("wrong", "car"),
        ("unknown", "car"),
        ("accepted", "car"),
        ("wrong", "portal"),
        ("locked", "portal"),
        ("unknown", "code"),
    ] {
        let series = format!("aid_cmp_logins_total{{result=\"{result}\",door=\"{door}\"}}");
        assert!(metrics.contains(&series), "{series} in {metrics}");
    }
    let log = logged();
    let warned = |text: &str| {
        let mut lines = log.lines().filter(|l| l.contains("WARN"));
        lines.any(|l| l.contains(text) && (l.contains(eid(1).as_str()) || !text.contains("PIN")))
    };
    for text in [
        "wrong PIN",
        "wrong password",
        "too many attempts",
        "login by code refused",
    ] {
        assert!(warned(text), "{text} in {log}");
    }
    assert!(log.contains(&who));
    for secret in ["987654", "wrong password 0"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        let told = format!("{audits:?}");
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

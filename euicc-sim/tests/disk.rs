//! Given a disk that fails once or for a while, then the card goes on when the disk does, and has what it
//! acknowledged.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod served;

use aid_needs::shim::{Calls, Effect, Environment, Errno, Rule, Shim};
use served::{Served, exchange, serve_in};
use std::net::TcpStream;
use std::path::Path;

const SELECT: &str = "00A4040010A0000005591010FFFFFFFF890000010000";

/// A card on a disk that obeys the shim.
struct Card {
    _served: Served,
    host: TcpStream,
}

impl Card {
    fn start(folder: &Path, environment: &Environment) -> Self {
        let args = ["--socket", "127.0.0.1:0", "--nvm", "card.nvm"];
        let served = serve_in(folder, &args, environment);
        let mut host = TcpStream::connect(served.address("apdu")).unwrap();
        assert!(exchange(&mut host, SELECT).ends_with("9000"));
        Self {
            _served: served,
            host,
        }
    }

    /// Sets the default SM-DP+ address to a name with this number; was it acknowledged?
    fn set(&mut self, n: u8) -> bool {
        let value = format!("{n:03}.example");
        let mut request = vec![0xBF, 0x3F, 2 + value.len() as u8, 0x80, value.len() as u8];
        request.extend_from_slice(value.as_bytes());
        let apdu = format!(
            "80E29100{:02X}{}00",
            request.len(),
            hex::encode_upper(request)
        );
        let answer = exchange(&mut self.host, &apdu);
        match answer.as_str() {
            "bf3f038001009000" => true,
            // undefinedError, and the memory failure of a card that can't go on.
            "bf3f0380017f9000" | "6581" => false,
            _ => panic!("{answer}"),
        }
    }

    /// The address that the card has.
    fn address(&mut self) -> String {
        let answer = exchange(&mut self.host, "80E2910003BF3C0000");
        let answer = hex::decode(answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[test]
fn a_disk_that_fails_once_or_for_a_while_stops_no_card() {
    let Some(shim) = Shim::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut card = Card::start(folder.path(), &shim.environment());
    assert!(shim.is_loaded());
    let mut n = 0;
    let mut next = || {
        n += 1;
        n
    };
    let failures = [
        Effect::Fail(Errno::Io),
        Effect::Fail(Errno::Full),
        Effect::Lose(Errno::Io),
        Effect::ShortThenFail(Errno::Quota),
    ];
    for effect in failures {
        for calls in [Calls::SYNC, Calls::WRITE, Calls::SYNC | Calls::WRITE] {
            // One failure of one call: the card may say so, but goes on at once.
            shim.begin(&Rule::nth(1, calls, "card.nvm", effect));
            card.set(next());
            shim.end();
            let mut last = next();
            assert!(card.set(last), "{effect:?} {calls:?}");
            assert!(card.address().contains(&format!("{last:03}.example")));
            // A disk that is gone for a while: refused, nothing changed; then it works again.
            shim.begin(&Rule::always(calls | Calls::TRUNCATE, "card.nvm", effect));
            for _ in 0..2 {
                let number = next();
                if card.set(number) {
                    last = number;
                }
                assert!(card.address().contains(&format!("{last:03}.example")));
            }
            shim.end();
        }
    }
    let number = next();
    assert!(card.set(number));
    // Killed, and started again: what was acknowledged last is there.
    drop(card);
    let mut card = Card::start(folder.path(), &Environment::new());
    assert!(card.address().contains(&format!("{number:03}.example")));
}

/// After each failure, a kill: whatever was acknowledged is there, and nothing older.
#[test]
fn a_kill_after_a_failure_loses_nothing_that_was_acknowledged() {
    let Some(shim) = Shim::new() else { return };
    for effect in [Effect::Fail(Errno::Io), Effect::Lose(Errno::Io)] {
        for nth in 1..=5 {
            let folder = tempfile::tempdir().unwrap();
            let mut card = Card::start(folder.path(), &shim.environment());
            assert!(card.set(1));
            shim.begin(&Rule::nth(nth, Calls::SYNC, "card.nvm", effect));
            let acknowledged: Vec<u8> = (2..6).filter(|n| card.set(*n)).collect();
            drop(card);
            shim.end();
            let mut card = Card::start(folder.path(), &Environment::new());
            let address = card.address();
            let last = acknowledged.last().copied().unwrap_or(1);
            // One that was not acknowledged may have happened, when it came after.
            let possible = (last..6).any(|n| address.contains(&format!("{n:03}.example")));
            assert!(
                possible,
                "{effect:?} {nth}: {acknowledged:?}, but {address:?}"
            );
        }
    }
}

#[test]
fn a_memory_that_was_emptied_is_not_taken_for_a_new_card() {
    let folder = tempfile::tempdir().unwrap();
    let mut card = Card::start(folder.path(), &Environment::new());
    assert!(card.set(1));
    drop(card);
    let nvm = folder.path().join("card.nvm");
    for size in [0, 1, 11] {
        let whole = std::fs::read(&nvm).unwrap();
        std::fs::write(&nvm, &whole[..size]).unwrap();
        let output = served::program()
            .args(["serve", "--socket", "127.0.0.1:0", "--nvm", "card.nvm"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&format!("has only {size} bytes")), "{text}");
        assert!(text.contains("backup"), "{text}");
        assert_eq!(
            std::fs::read(&nvm).unwrap().len(),
            size,
            "nothing was changed"
        );
        std::fs::write(&nvm, whole).unwrap();
    }
    let mut card = Card::start(folder.path(), &Environment::new());
    assert!(card.address().contains("001.example"));
}

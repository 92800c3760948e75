//! Questions to whoever sits at the terminal.

use aid_cli::hidden;
use aid_cli::printable::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Write as _;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// What the user says about a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Install it.
    Yes,
    /// Do not install it.
    No,
    /// Not now.
    Later,
    /// Nobody answered in time.
    Timeout,
}

/// The answer in a line; `None` when it is none.
fn consent_in(line: &str) -> Option<Consent> {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(Consent::Yes),
        "n" | "no" => Some(Consent::No),
        "l" | "later" => Some(Consent::Later),
        _ => None,
    }
}

/// Whether somebody sits at the terminal.
pub(crate) fn is_terminal() -> bool {
    hidden::is_asked()
}

/// Asks until there is an answer, for as long as this. An input that ends means later.
pub(crate) fn consent(question: &str, wait: Duration) -> Consent {
    let end = Instant::now() + wait;
    loop {
        prompt(question);
        let left = end.saturating_duration_since(Instant::now());
        if !input_within(left) {
            return Consent::Timeout;
        }
        let mut line = String::new();
        match std::io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => return Consent::Later,
            Ok(_) => {}
        }
        if let Some(consent) = consent_in(&line) {
            return consent;
        }
    }
}

/// Whether a line, or the end of the input, comes within this time.
fn input_within(left: Duration) -> bool {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    // Where the terminal can't be polled, reading waits.
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// Asks a question that needs a clear yes.
pub(crate) fn agreed(question: &str) -> bool {
    prompt(question);
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.is_ok() && consent_in(&line) == Some(Consent::Yes)
}

/// Asks for a Confirmation Code and shows nothing of what is typed. `None` when nothing is typed.
pub(crate) fn confirmation_code(question: &str) -> Option<Zeroizing<String>> {
    let code = hidden::secret(question).ok().map(Zeroizing::new)?;
    let code = Zeroizing::new(code.trim().to_owned());
    (!code.is_empty()).then_some(code)
}

fn prompt(question: &str) {
    // Where stderr is closed there is nobody to ask.
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{} ", printable(question));
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_words_or_their_first_letters() {
        for (line, expected) in [
            ("y\n", Some(Consent::Yes)),
            (" YES \r\n", Some(Consent::Yes)),
            ("no\n", Some(Consent::No)),
            ("N", Some(Consent::No)),
            ("later\n", Some(Consent::Later)),
            ("l", Some(Consent::Later)),
            ("\n", None),
            ("yess", None),
            ("\u{1b}[2Jy", None),
        ] {
            assert_eq!(consent_in(line), expected, "{line:?}");
        }
    }
}

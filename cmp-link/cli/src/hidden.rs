//! Secrets that somebody types or pipes in: a terminal shows nothing of them.

use std::io::{self, IsTerminal as _, Read as _};

/// Most bytes that are read of a standard input that is no terminal.
const MOST: u64 = 4096;

/// Whether somebody sits at the terminal and can be asked.
#[must_use]
pub fn is_asked() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a secret on the terminal, such as `PIN: `, and shows nothing of what is typed; yields the line. Where standard
/// input is no terminal nothing is asked and it is read to its end, at most 4096 bytes of it. Without the line break at its end
/// either way.
///
/// # Errors
/// Standard input or the terminal can't be read, or what was read is not UTF-8.
pub fn secret(question: &str) -> io::Result<String> {
    if is_asked() {
        return rpassword::prompt_password(question);
    }
    let mut text = String::new();
    io::stdin().take(MOST).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

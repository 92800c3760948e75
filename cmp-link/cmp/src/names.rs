//! What a user, or an operator for them, may be called.

use aid_cli::printable::is_unprintable;
use aid_cmp_core::decide::removal::ERASED;

/// Longest name to sign in with, bytes.
pub const MAX_NAME: usize = 128;
/// Longest name that is shown, characters.
pub const MAX_SHOWN: usize = 64;

/// Whether a text is visible as it is: not empty, and without characters that control a terminal or turn the direction of
/// what follows.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(is_unprintable)
}

/// A name to sign in with as it is stored: upper and lower case, and what is around it, are the same. None: it can't be one.
/// The mark of an erased user is no user's name.
#[must_use]
pub fn sign_in_name(text: &str) -> Option<String> {
    let name = text.trim().to_lowercase();
    let usable = is_plain(&name) && name.len() <= MAX_NAME && !name.starts_with(ERASED);
    usable.then_some(name)
}

/// A name that cars and pages show. None: it can't be one.
#[must_use]
pub fn shown_name(text: &str) -> Option<&str> {
    let name = text.trim();
    (is_plain(name) && name.chars().count() <= MAX_SHOWN).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_and_nobodys_mark() {
        assert_eq!(sign_in_name(" Eva ").as_deref(), Some("eva"));
        assert_eq!(
            sign_in_name("zo\u{eb}@example").as_deref(),
            Some("zo\u{eb}@example")
        );
        for bad in [
            "",
            "  ",
            "a\nb",
            "e\u{202e}va",
            "\u{2066}eva",
            "ev\u{200f}a",
            "a\u{1b}[2J",
            "erased/x",
            "ERASED/",
            &"x".repeat(129),
        ] {
            assert_eq!(sign_in_name(bad), None, "{bad:?}");
        }
        assert_eq!(shown_name(" Eva M. "), Some("Eva M."));
        for bad in ["", "Eva\u{202e}", "a\u{0}", &"x".repeat(65)] {
            assert_eq!(shown_name(bad), None, "{bad:?}");
        }
    }
}

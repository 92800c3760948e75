//! Text from outside for terminals and logs. Names of profiles and users, answers of servers and
//! reasons of peers may hold line breaks, terminal escapes and characters that reorder a text: shown
//! raw, they forge lines and hide others. They are shown as JSON writes them, `\n` and `\u001b`, so
//! that an object of JSON stays one.

use std::borrow::Cow;

/// Must this character never reach a terminal or a log as it is? Control characters (C0, DEL, C1;
/// line breaks and terminal escapes among them), Unicode's own line ends, and what changes the
/// direction of a text.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061C}'
                | '\u{200E}'
                | '\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2066}'..='\u{206F}'
        )
}

/// A text as part of one line: line breaks and tabs are escaped too.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A text of several lines whose parts are [`printable`] already, or that is ours: line breaks and tabs
/// stay. The last guard before a terminal.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |c: char| is_unprintable(c) && !stays(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_bad(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            // All of them are in the basic plane: four digits.
            c => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cc, Zl, Zp, and the property Bidi_Control with its deprecated companions, of Unicode 16.
    fn must_be_escaped(c: u32) -> bool {
        matches!(
            c,
            0..=0x1F
                | 0x7F..=0x9F
                | 0x061C
                | 0x200E..=0x200F
                | 0x2028..=0x2029
                | 0x202A..=0x202E
                | 0x2066..=0x206F
        )
    }

    #[test]
    fn every_character_of_the_class_is_escaped_and_no_other() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let bad = must_be_escaped(u32::from(c));
            assert_eq!(is_unprintable(c), bad, "{c:?}");
            let text = format!("a{c}b");
            let one = printable(&text);
            assert!(!one.contains(is_unprintable), "{c:?}");
            assert_eq!(one == text, !bad, "{c:?}");
            let lines = printable_lines(&text);
            assert_eq!(lines == text, !bad || c == '\n' || c == '\t', "{c:?}");
            // Inside a string of JSON, the escape is the character again.
            if bad {
                let back: String = serde_json::from_str(&format!("\"{one}\"")).expect("JSON");
                assert_eq!(back, text);
            }
        }
    }
}

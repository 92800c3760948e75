//! What an answer looks like: hexadecimal digits, `..` for any byte, `*` for any number of bytes.

/// A pattern of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Any,
    Many,
}

impl Pattern {
    /// Reads a pattern; blanks don't count.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut parts = Vec::new();
        let mut rest = &text[..];
        while let Some((first, tail)) = rest.split_first() {
            if *first == '*' {
                // Several in a row mean the same as one.
                if parts.last() != Some(&Part::Many) {
                    parts.push(Part::Many);
                }
                rest = tail;
                continue;
            }
            let second = tail.first().copied().unwrap_or(' ');
            parts.push(match (first.to_digit(16), second.to_digit(16)) {
                (Some(high), Some(low)) => Part::Byte((high << 4 | low) as u8),
                _ if (*first, second) == ('.', '.') => Part::Any,
                _ => return Err(format!("{first}{second} is neither a byte nor .. nor *")),
            });
            rest = &tail[1..];
        }
        Ok(Self(parts))
    }

    /// Do the bytes look like this?
    pub(super) fn matches(&self, bytes: &[u8]) -> bool {
        // Where in the pattern one may be after the bytes so far.
        let parts = &self.0;
        let skip = |at: &mut Vec<bool>| {
            for i in 0..parts.len() {
                if at[i] && parts[i] == Part::Many {
                    at[i + 1] = true;
                }
            }
        };
        let mut at = vec![false; parts.len() + 1];
        at[0] = true;
        skip(&mut at);
        for byte in bytes {
            let mut next = vec![false; parts.len() + 1];
            for (i, part) in parts.iter().enumerate().filter(|(i, _)| at[*i]) {
                match part {
                    Part::Many => next[i] = true,
                    Part::Any => next[i + 1] = true,
                    Part::Byte(wanted) if wanted == byte => next[i + 1] = true,
                    Part::Byte(_) => {}
                }
            }
            skip(&mut next);
            at = next;
        }
        at[parts.len()]
    }

    /// The same with every byte between the first data object's tag and the status word open: what
    /// another card answers to the same command.
    pub(super) fn lenient(&self) -> Self {
        let sw = self.0.len().saturating_sub(2);
        let two = matches!(self.0.first(), Some(Part::Byte(b)) if b & 0x1F == 0x1F);
        let tag = if two { 2 } else { 1 };
        if sw <= tag {
            return self.clone();
        }
        let mut parts = self.0[..tag].to_vec();
        parts.push(Part::Many);
        parts.extend_from_slice(&self.0[sw..]);
        Self(parts)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.0 {
            match part {
                Part::Byte(byte) => write!(f, "{byte:02X}")?,
                Part::Any => f.write_str("..")?,
                Part::Many => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_bytes() {
        let matches = |pattern: &str, bytes: &[u8]| Pattern::parse(pattern).unwrap().matches(bytes);
        assert!(matches("9000", &[0x90, 0]));
        assert!(matches("..90 00", &[1, 0x90, 0]));
        assert!(!matches("..9000", &[0x90, 0]));
        assert!(matches("BF2D*9000", &[0xBF, 0x2D, 0x90, 0]));
        assert!(matches("BF2D**9000", &[0xBF, 0x2D, 0x90, 0, 1, 0x90, 0]));
        assert!(!matches("BF2D*9000", &[0xBF, 0x2D, 0x90, 0, 1]));
        assert!(matches("*", &[]) && matches("", &[]) && !matches("", &[0]));
        for wrong in ["9", "9.", "xx", "."] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_card_may_have_other_data() {
        let lenient = |text: &str| Pattern::parse(text).unwrap().lenient().to_string();
        assert_eq!(lenient("BF3E125A0189009000"), "BF3E*9000");
        assert_eq!(lenient("62028202419000"), "62*9000");
        assert_eq!(lenient("9000"), "9000");
        assert_eq!(lenient("019000"), "019000");
    }
}

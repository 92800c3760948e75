//! Bytes from outside as lines of bounded length.

/// Cuts bytes into lines. CR and LF both end a line; empty lines are left out.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Longest line that is kept, bytes.
    max: usize,
    line: Vec<u8>,
    /// The line became too long: the rest of it is dropped.
    overlong: bool,
}

impl Lines {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            line: Vec::new(),
            overlong: false,
        }
    }

    /// Takes bytes; calls `each` with every line that ends in them. An overlong line is `None`, as soon as it
    /// is known to be one.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Option<&str>)) {
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    if !std::mem::take(&mut self.overlong) {
                        let text = String::from_utf8_lossy(&self.line);
                        let text = text.trim();
                        if !text.is_empty() {
                            each(Some(text));
                        }
                    }
                    self.line.clear();
                }
                _ if self.overlong => {}
                _ if self.line.len() == self.max => {
                    self.overlong = true;
                    each(None);
                }
                byte => self.line.push(*byte),
            }
        }
    }

    /// Forgets an unfinished line.
    pub(crate) fn clear(&mut self) {
        self.line = Vec::new();
        self.overlong = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 100;

    fn lines(chunks: &[&[u8]]) -> Vec<Option<String>> {
        let (mut cutter, mut seen) = (Lines::new(MAX), Vec::new());
        for chunk in chunks {
            cutter.push(chunk, |line| seen.push(line.map(str::to_owned)));
        }
        seen
    }

    #[test]
    fn an_overlong_line_is_reported_and_the_next_one_read() {
        let long = vec![b'x'; 3 * MAX];
        let seen = lines(&[&long, b"OK\r\nOK\r\n"]);
        assert_eq!(seen, [None, Some("OK".into())]);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[ -~\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(lines(&pieces), lines(&[text.as_bytes()]));
        }
    }
}

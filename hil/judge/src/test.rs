//! One test of the judge.

use crate::evidence::Evidence;

/// How strongly the specification asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// SHALL, MUST: a subject that does not is failed.
    Must,
    /// SHOULD: a subject that does not is warned, and failed with `--strict`.
    Should,
    /// A declaration of the target file: a false one is failed.
    Declared,
}

/// Why a test did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The subject broke the requirement. (For [`Level::Should`] the judge makes it a warning.)
    Broken {
        /// What the requirement says should have been seen.
        expected: String,
        /// What was seen.
        seen: String,
    },
    /// Allowed, and other implementations stumble over it.
    Odd(String),
    /// Another cause hid the answer: the subject could not be reached, or a precondition failed.
    Hidden(String),
    /// The test needs something that turned out not to be there.
    Lacking(String),
}

impl Finding {
    /// A broken requirement.
    pub fn broken(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Broken {
            expected: expected.into(),
            seen: seen.into(),
        }
    }
}

/// One test of a subject `S`: the rig that holds the connections to the system under test, and the parties that the
/// judge plays.
pub struct Test<S: 'static> {
    /// Unique: the requirement's id alone where one test proves it (`R-7.3-8`), with a slash and a word where several do.
    pub name: &'static str,
    /// The ids that this test proves by itself.
    pub requirements: &'static [&'static str],
    /// The clause: `AID.02 §7.3`, `SGP.22 §5.6.3`.
    pub clause: &'static str,
    /// What it shows, one sentence.
    pub about: &'static str,
    /// How strongly the specification asks.
    pub level: Level,
    /// Test cases of SGP.23 that it corresponds to.
    pub sgp23: &'static [&'static str],
    /// Does it apply to what the target file declares? `Err` holds the reason why not.
    pub applies: fn(&S) -> Result<(), String>,
    /// Runs it. It leaves the subject as it found it, as far as the subject lets it.
    pub run: fn(&mut S, &mut Evidence) -> Result<(), Finding>,
}

impl<S: 'static> Test<S> {
    /// A test of a duty (SHALL, MUST), which applies to every subject.
    #[must_use]
    pub const fn must(
        name: &'static str,
        requirements: &'static [&'static str],
        clause: &'static str,
        about: &'static str,
        run: fn(&mut S, &mut Evidence) -> Result<(), Finding>,
    ) -> Self {
        Self {
            name,
            requirements,
            clause,
            about,
            level: Level::Must,
            sgp23: &[],
            applies: always,
            run,
        }
    }

    /// The same test of what should be.
    #[must_use]
    pub const fn should(mut self) -> Self {
        self.level = Level::Should;
        self
    }

    /// The same test of what the target file declares.
    #[must_use]
    pub const fn declared(mut self) -> Self {
        self.level = Level::Declared;
        self
    }

    /// The same test, where this allows it.
    #[must_use]
    pub const fn when(mut self, applies: fn(&S) -> Result<(), String>) -> Self {
        self.applies = applies;
        self
    }
}

/// For [`Test::applies`]: a test that applies to every subject.
///
/// # Errors
///
/// Never.
pub fn always<S>(_: &S) -> Result<(), String> {
    Ok(())
}

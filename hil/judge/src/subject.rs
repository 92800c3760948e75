//! A kind of target.

use crate::random::Random;
use crate::test::Test;
use aid_cli::cli::Failure;
use aid_report::Mask;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A kind of target: the system under test as the judge sees it, with the parties that the judge plays around it.
pub trait Subject: Sized + 'static {
    /// As it is typed: `cmp`. It is also the name of its table in the target file.
    const KIND: &'static str;

    /// Its table of the target file. It should `deny_unknown_fields`; paths in it are relative to the file
    /// ([`Setting::beside`]).
    type Target: DeserializeOwned;

    /// All tests, in the order in which they run.
    fn tests() -> Vec<Test<Self>>;

    /// Makes ready what the tests need, from files alone. Nothing is contacted before the first test runs: with
    /// `--dry-run` none does.
    ///
    /// # Errors
    /// What the target file names can't be used: which key, and why.
    fn open(target: Self::Target, setting: &Setting) -> Result<Self, Failure>;

    /// Broken variants of a correct subject, which `--self-test` plays: name, the test that has to find it, and what it
    /// does. The first is no variant but a correct peer's unusual habits, with no test to find it.
    #[must_use]
    fn variants() -> Vec<(&'static str, &'static str, &'static str)> {
        Vec::new()
    }

    /// From now on the subject is this one of [`Subject::variants`], or itself.
    fn disguise(&mut self, _variant: Option<usize>) {}

    /// The secrets that the run has shown, which are masked in its report wherever they stand; none where messages
    /// are masked as they are made.
    fn secrets(&mut self) -> Option<Mask> {
        None
    }

    /// Ends what [`Subject::open`] and the tests began at the subject, as far as it lets itself.
    fn close(self) {}
}

/// What every subject is told of the run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The target file.
    pub file: PathBuf,
    /// Where all randomness of the run comes from.
    pub seed: u64,
    /// The run's begin; times of messages count from here.
    pub began: Instant,
    /// No test runs.
    pub dry_run: bool,
}

impl Setting {
    /// A path of the target file: relative to the folder that the file is in.
    #[must_use]
    pub fn beside(&self, path: &Path) -> PathBuf {
        aid_cli::config::beside(&self.file, path)
    }

    /// The run's random numbers.
    #[must_use]
    pub const fn random(&self) -> Random {
        Random::new(self.seed)
    }
}

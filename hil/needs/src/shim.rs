//! A library that is loaded into a program under test (`LD_PRELOAD`) and makes chosen calls of the C library fail, or
//! moves its wall clock. It is C, `shim.c`, compiled by the test that wants it: a file system of our own below SQLite
//! would be unsafe code in the program itself.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set its fault up has failed"
)]

use crate::{Need, missing};
use std::ffi::OsString;
use std::fs::File;
use std::ops::BitOr;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use tempfile::TempDir;

/// Variables of a program's environment.
pub type Environment = Vec<(&'static str, OsString)>;

/// Calls of the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls(u64);

impl Calls {
    /// `read`, `pread`.
    pub const READ: Self = Self(1);
    /// `write`, `pwrite`.
    pub const WRITE: Self = Self(2);
    /// `fsync`, `fdatasync`.
    pub const SYNC: Self = Self(4);
    /// `ftruncate`.
    pub const TRUNCATE: Self = Self(8);
    /// `open`.
    pub const OPEN: Self = Self(16);
    /// `mmap` of a file.
    pub const MAP: Self = Self(32);
    /// All of them.
    pub const ALL: Self = Self(63);
    /// Each of them by itself.
    pub const EACH: [Self; 6] = [
        Self::READ,
        Self::WRITE,
        Self::SYNC,
        Self::TRUNCATE,
        Self::OPEN,
        Self::MAP,
    ];
}

impl BitOr for Calls {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Why a call fails; the value is Linux's `errno`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// EIO: the disk failed.
    Io = 5,
    /// ENOSPC: the disk is full.
    Full = 28,
    /// EDQUOT: the user's share of the disk is used up.
    Quota = 122,
}

/// What becomes of a call that is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails and does nothing.
    Fail(Errno),
    /// A write does half of its work, which is no error. Other calls succeed.
    Short,
    /// As [`Effect::Short`], and the next one that is affected fails.
    ShortThenFail(Errno),
    /// A sync fails, and what was written since the last one that succeeded is gone from the file: a kernel may drop pages
    /// that it could not write. Writes succeed.
    Lose(Errno),
    /// The process is killed, a write once half of it is done, other calls before they are made.
    Kill,
}

/// Which calls are affected, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// These calls,
    pub calls: Calls,
    /// about a file whose path contains this, at most 255 bytes.
    pub path: &'static str,
    /// The first of them that is affected, from 1.
    pub first: u64,
    /// How many are affected from there on.
    pub count: u64,
    /// What becomes of them.
    pub effect: Effect,
}

impl Rule {
    /// All calls, until the rule is cleared.
    #[must_use]
    pub const fn always(calls: Calls, path: &'static str, effect: Effect) -> Self {
        Self {
            calls,
            path,
            first: 1,
            count: u64::MAX,
            effect,
        }
    }

    /// The n-th call, from 1. With [`Effect::ShortThenFail`] and the one after it.
    #[must_use]
    pub const fn nth(n: u64, calls: Calls, path: &'static str, effect: Effect) -> Self {
        Self {
            calls,
            path,
            first: n,
            count: match effect {
                Effect::ShortThenFail(_) => 2,
                _ => 1,
            },
            effect,
        }
    }
}

// Where things stand in the file that the library maps; `struct control` of shim.c.
const LOADED: u64 = 0;
const CLOCK: u64 = 8;
const ARMED: u64 = 16;
const RULE: u64 = 24;
const SEEN: u64 = 64;
const HIT: u64 = 72;
const PATH: u64 = 80;
const PATH_LENGTH: usize = 256;
const LENGTH: u64 = PATH + PATH_LENGTH as u64;

/// The library, and what tells it what to do. It serves one program at a time.
#[derive(Debug)]
pub struct Shim {
    folder: TempDir,
    control: File,
}

impl Shim {
    /// Compiles it; `None`, and the test is to be skipped, where there is no C compiler, or programs are not linked with
    /// glibc's loader.
    ///
    /// # Panics
    /// As [`missing`], or it does not compile.
    #[must_use]
    pub fn new() -> Option<Self> {
        if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
            missing(
                Need::Cc,
                "a library can be loaded into programs of glibc only",
            );
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = folder.path().join("shim.so");
        let source = folder.path().join("shim.c");
        std::fs::write(&source, include_str!("shim.c")).expect("the source is written");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output();
        let Ok(made) = made else {
            missing(Need::Cc, "there is no C compiler `cc`");
            return None;
        };
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "shim.c does not compile: {said}");
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        let control = options.open(folder.path().join("control"));
        let control = control.expect("a file that tells it what to do");
        control.set_len(LENGTH).expect("room for it");
        Some(Self { folder, control })
    }

    /// What the environment of the program must have.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let path = |name: &str| self.folder.path().join(name).into_os_string();
        vec![
            ("LD_PRELOAD", path("shim.so")),
            ("AID_SHIM", path("control")),
        ]
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        let got = self.control.read_exact_at(&mut bytes, at);
        got.expect("the file is read");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, bytes: &[u8]) {
        let written = self.control.write_all_at(bytes, at);
        written.expect("the file is written");
    }

    /// From now on calls are affected as the rule says, counted anew.
    ///
    /// # Panics
    /// The path is too long.
    pub fn begin(&self, rule: &Rule) {
        self.end();
        let (effect, error) = match rule.effect {
            Effect::Fail(error) => (0, error as u64),
            Effect::Short => (1, 0),
            Effect::ShortThenFail(error) => (2, error as u64),
            Effect::Lose(error) => (3, error as u64),
            Effect::Kill => (4, 0),
        };
        let numbers = [rule.calls.0, effect, error, rule.first, rule.count, 0, 0];
        self.set(RULE, &numbers.map(u64::to_ne_bytes).concat());
        assert!(rule.path.len() < PATH_LENGTH, "{} is too long", rule.path);
        let mut path = [0; PATH_LENGTH];
        path.iter_mut()
            .zip(rule.path.bytes())
            .for_each(|(to, from)| *to = from);
        self.set(PATH, &path);
        self.set(ARMED, &1_u64.to_ne_bytes());
    }

    /// Calls are not affected any more.
    pub fn end(&self) {
        self.set(ARMED, &0_u64.to_ne_bytes());
    }

    /// Calls that matched the rule so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.get(SEEN)
    }

    /// Calls that were affected so far.
    #[must_use]
    pub fn hit(&self) -> u64 {
        self.get(HIT)
    }

    /// Whether a program has loaded it: a test without that proves nothing.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.get(LOADED) != 0
    }

    /// Lets the wall clock of the program be wrong by so many milliseconds.
    pub fn set_clock(&self, ahead_ms: i64) {
        self.set(CLOCK, &ahead_ms.to_ne_bytes());
    }
}

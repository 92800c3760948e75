//! Disks that fill up, and writes and other calls that fail, for tests of what a program makes of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set its fault up has failed"
)]

use crate::shim::{Environment, Rule, Shim};
use crate::{Need, missing};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// How often a disk that shall stay full is filled again.
const REFILL: Duration = Duration::from_millis(1);

/// A small file system of its own (tmpfs), unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    /// Where it is mounted, when nobody named a folder.
    temporary: Option<TempDir>,
}

impl SmallDisk {
    /// Mounts one of this size, such as `6m`; `None`, and the test is to be skipped, where that is not allowed.
    ///
    /// # Panics
    /// As [`missing`], or there is no temporary folder.
    #[must_use]
    pub fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut disk = Self::mount_at(folder.path(), size)?;
        disk.temporary = Some(folder);
        Some(disk)
    }

    /// As [`SmallDisk::mount`], on a folder, which is made where it is absent.
    ///
    /// # Panics
    /// As [`missing`], or the folder can't be made.
    #[must_use]
    pub fn mount_at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder to mount on");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .output();
        if !mounted.is_ok_and(|m| m.status.success()) {
            missing(Need::Mount, "no file system can be mounted");
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            temporary: None,
        })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Fills it, to the last page.
    ///
    /// # Panics
    /// No file can be made.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file on the small disk");
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    /// Fills it, and fills it again whenever something was freed, such as a log that SQLite removes when its last
    /// connection is closed. Until the guard is dropped, which frees it.
    ///
    /// # Panics
    /// As [`SmallDisk::fill`].
    #[must_use]
    pub fn keep_full(&self) -> KeptFull {
        let path = self.filler();
        let mut file = File::create(&path).expect("a file on the small disk");
        let mut fill = move || while file.write_all(&[1; 4096]).is_ok() {};
        fill();
        let enough = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Acquire) {
                fill();
                thread::park_timeout(REFILL);
            }
        });
        KeptFull {
            path,
            enough,
            thread: Some(thread),
        }
    }

    /// Frees what [`SmallDisk::fill`] took.
    ///
    /// # Panics
    /// It was not filled.
    pub fn free(&self) {
        release(&self.filler()).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// A disk that stays full; see [`SmallDisk::keep_full`].
#[derive(Debug)]
pub struct KeptFull {
    path: PathBuf,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for KeptFull {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // It may be unmounted already.
        let _ = release(&self.path);
    }
}

/// Frees what a file takes, at once: a process that another test is just starting has it open, too, until it runs its program.
///
/// # Errors
/// There is no such file.
pub fn release(file: &Path) -> std::io::Result<()> {
    File::options().write(true).truncate(true).open(file)?;
    std::fs::remove_file(file)
}

/// Why a program can write nothing, or not surely.
#[derive(Debug)]
pub enum Fault {
    /// It may not write where a file has more than 4 KiB. The program must ignore SIGXFSZ.
    Limit,
    /// The disk with its database is full, and stays so.
    Full(SmallDisk, Mutex<Option<KeptFull>>),
    /// Calls of the C library are affected. The program must be started with [`Fault::environment`].
    Calls(Shim, Rule),
}

impl Fault {
    /// A limit of file sizes; `None`, and the test is to be skipped, where there is no `prlimit`.
    ///
    /// # Panics
    /// As [`missing`].
    #[must_use]
    pub fn limit() -> Option<Self> {
        if Command::new("prlimit").arg("--version").output().is_err() {
            missing(Need::Prlimit, "there is no prlimit");
            return None;
        }
        Some(Self::Limit)
    }

    /// A disk of this size; `None` as of [`SmallDisk::mount`].
    ///
    /// # Panics
    /// As [`SmallDisk::mount`].
    #[must_use]
    pub fn disk(size: &str) -> Option<Self> {
        SmallDisk::mount(size).map(|disk| Self::Full(disk, Mutex::default()))
    }

    /// Calls that are affected by a rule; `None` as of [`Shim::new`].
    ///
    /// # Panics
    /// As [`Shim::new`].
    #[must_use]
    pub fn calls(rule: Rule) -> Option<Self> {
        Shim::new().map(|shim| Self::Calls(shim, rule))
    }

    /// What the environment of the program must have.
    #[must_use]
    pub fn environment(&self) -> Environment {
        match self {
            Self::Limit | Self::Full(..) => Environment::new(),
            Self::Calls(shim, _) => shim.environment(),
        }
    }

    /// Where the database must be for the fault to reach it; `None`: anywhere.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Limit | Self::Calls(..) => None,
            Self::Full(disk, _) => Some(disk.path()),
        }
    }

    /// From now on this process can write nothing.
    ///
    /// # Panics
    /// The fault can't be set.
    pub fn begin(&self, process: u32) {
        match self {
            Self::Limit => limit_files(process, "4096:unlimited"),
            Self::Full(disk, kept) => set(kept, Some(disk.keep_full())),
            Self::Calls(shim, rule) => {
                assert!(shim.is_loaded(), "the program was started without it");
                shim.begin(rule);
            }
        }
    }

    /// It can write again.
    ///
    /// # Panics
    /// As [`Fault::begin`].
    pub fn end(&self, process: u32) {
        match self {
            Self::Limit => limit_files(process, "unlimited:unlimited"),
            Self::Full(_, kept) => set(kept, None),
            Self::Calls(shim, _) => {
                assert!(shim.hit() > 0, "nothing was affected");
                shim.end();
            }
        }
    }
}

fn set(kept: &Mutex<Option<KeptFull>>, to: Option<KeptFull>) {
    *kept.lock().expect("nobody panics with it") = to;
}

fn limit_files(process: u32, limit: &str) {
    let done = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={limit}")])
        .status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit failed");
}

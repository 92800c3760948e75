//! Nothing of an interrupted run stays: no folder with private keys, no process.
//!
//! SIGINT, SIGTERM and SIGHUP are caught by a thread that ends our child processes, removes the temporary
//! folders and then this process. Whatever makes files or processes passes the [`gate`] for it, which that
//! thread closes for good: what is removed is not made again meanwhile.
//!
//! Against SIGKILL nothing helps but the next start. Each temporary folder has a lock file that its owner
//! holds (flock): a folder with our lock file that nobody holds was left behind, and [`sweep`] removes it,
//! with the processes that still work in it.

use aid_cli::cli::{self, Failure};
use rustix::process::{Pid, Signal, geteuid, getpid, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// The lock file of a temporary folder.
const LOCK: &str = "aid-hil.lock";
/// What it says: other programs' folders have no such file.
const MARK: &str =
    "A temporary folder of aid-hil. The next start removes it when its owner is gone.\n";
/// Beginning of the names of all our temporary folders.
const PREFIX: &str = "aid-";

/// Longest wait for a child that was asked to end, and for one that was killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks at it.
const LOOK: Duration = Duration::from_millis(10);

static GATE: RwLock<()> = RwLock::new(());
/// What an interruption removes: the whole folder, or only what is in it.
static FOLDERS: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());

/// To be held by whoever makes a file that must not stay, or a process. Does not return once the run is
/// being ended.
pub(crate) fn gate() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// A folder that an interruption removes until this is dropped.
#[derive(Debug)]
pub(crate) struct Doomed(PathBuf);

impl Doomed {
    /// Dooms what is in a folder, whether or not that is there yet, and the folder too where `whole`.
    pub(crate) fn new(folder: &Path, whole: bool) -> Self {
        folders().insert(folder.to_owned(), whole);
        Self(folder.to_owned())
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        folders().remove(&self.0);
    }
}

fn folders() -> std::sync::MutexGuard<'static, BTreeMap<PathBuf, bool>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary folder. Dropping it removes it; so does an interruption and, after a SIGKILL, the next start.
#[derive(Debug)]
pub(crate) struct Workshop {
    work: PathBuf,
    // Dropped in this order: it is removed while it is still locked and doomed.
    _folder: TempDir,
    _lock: File,
    _doomed: Doomed,
}

impl Workshop {
    /// Makes one in `place`, after removing what was left there; `name` tells what it is for.
    ///
    /// # Errors
    /// `place` can't be written to.
    pub(crate) fn new(name: &str, place: &Path) -> Result<Self, Failure> {
        sweep(place);
        let wrong = |e| Failure::new(format!("cannot write to {}: {e}", place.display()));
        let _open = gate();
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{name}-"))
            .tempdir_in(place)
            .map_err(wrong)?;
        let doomed = Doomed::new(folder.path(), true);
        // Locked before it has the name that others look for.
        let unnamed = folder.path().join(format!("{LOCK}.new"));
        let mut lock = File::create_new(&unnamed).map_err(wrong)?;
        lock.lock().map_err(wrong)?;
        lock.write_all(MARK.as_bytes()).map_err(wrong)?;
        fs::rename(&unnamed, folder.path().join(LOCK)).map_err(wrong)?;
        let work = folder.path().join("work");
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&work)
            .map_err(wrong)?;
        Ok(Self {
            work,
            _folder: folder,
            _lock: lock,
            _doomed: doomed,
        })
    }

    /// The empty folder to work in.
    pub(crate) fn path(&self) -> &Path {
        &self.work
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // An interruption removes it.
        drop(gate());
    }
}

/// Catches SIGINT, SIGTERM and SIGHUP from now on. Call it once, before anything is made.
///
/// # Errors
/// The operating system gives no thread or no handlers.
pub(crate) fn watch() -> Result<(), Failure> {
    let wrong = |e: std::io::Error| Failure::new(format!("cannot catch signals: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(wrong)?;
    let caught = {
        let _inside = runtime.enter();
        let on = |kind| signal(kind).map_err(wrong);
        (
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
            on(SignalKind::hangup())?,
        )
    };
    let (mut interrupt, mut terminate, mut hangup) = caught;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let code = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = hangup.recv() => SignalKind::hangup(),
                }
            });
            end(128 + code.as_raw_value());
        })
        .map_err(wrong)?;
    Ok(())
}

/// Ends the children, removes the folders, and ends this process.
fn end(code: i32) -> ! {
    // Never opened again: whoever comes to it waits there for the end.
    let _closed = GATE.write().unwrap_or_else(PoisonError::into_inner);
    for (ask, patience) in [(Signal::TERM, PATIENCE), (Signal::KILL, PATIENCE)] {
        let until = Instant::now() + patience;
        let mut asked = BTreeSet::new();
        loop {
            let children = children();
            if children.is_empty() || Instant::now() > until {
                break;
            }
            for child in children {
                if asked.insert(child)
                    && let Some(pid) = Pid::from_raw(child)
                {
                    let _ = kill_process(pid, ask);
                }
            }
            pause();
        }
    }
    let doomed = folders().clone();
    for (folder, whole) in &doomed {
        if let Err(error) = remove(folder, *whole) {
            let folder = folder.display();
            cli::line_to_stderr(&format!("aid-hil: cannot remove {folder}: {error}"));
        }
    }
    cli::line_to_stderr("aid-hil: interrupted; all parts have ended, temporary files are removed");
    std::process::exit(code)
}

/// Takes away what is in a folder, and where `whole` the folder too.
pub(crate) fn empty(folder: &Path, whole: bool) -> std::io::Result<()> {
    if whole {
        return fs::remove_dir_all(folder);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// [`empty`] for a folder that others may still write into.
fn remove(folder: &Path, whole: bool) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match empty(folder, whole) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !folder.exists() => return Ok(()),
            Err(e) if Instant::now() > until => return Err(e),
            Err(_) => pause(),
        }
    }
}

/// Lets others go on: neither the end of somebody else's process nor that of a writer is an event here.
pub(crate) fn pause() {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(LOOK);
}

/// The processes of this machine.
fn processes() -> impl Iterator<Item = i32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Our child processes that live.
fn children() -> Vec<i32> {
    let own = getpid().as_raw_nonzero().get();
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // "PID (NAME) STATE PPID ...": the name may hold anything.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let mut words = after.split(' ');
        let (state, parent) = (words.next(), words.next());
        parent.and_then(|p| p.parse().ok()) == Some(own) && !matches!(state, Some("Z" | "X"))
    };
    processes().filter(is_child).collect()
}

/// Those that we started and that work in a folder or below it; not somebody's shell.
fn working_in(folder: &Path) -> Vec<i32> {
    let works = |pid: &i32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
            && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| {
                let mut all = all.split(|b| *b == 0);
                all.any(|variable| variable.starts_with(LEASH.as_bytes()))
            })
    };
    processes().filter(works).collect()
}

/// Removes the temporary folders in `place` whose owners are gone: those that have our lock file and
/// belong to our user, and whose lock nobody holds.
pub(crate) fn sweep(place: &Path) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        if entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.starts_with(PREFIX))
        {
            let folder = entry.path();
            if let Some(lock) = left_behind(&folder) {
                clear(&folder);
                drop(lock);
            }
        }
    }
}

/// The lock of a folder whose owner is gone.
fn left_behind(folder: &Path) -> Option<File> {
    let file = folder.join(LOCK);
    let own = geteuid().as_raw();
    let is_ours = |path: &Path, is_kind: fn(&fs::Metadata) -> bool| {
        fs::symlink_metadata(path).is_ok_and(|m| is_kind(&m) && m.uid() == own)
    };
    if !is_ours(folder, fs::Metadata::is_dir) || !is_ours(&file, fs::Metadata::is_file) {
        return None;
    }
    let lock = File::open(&file).ok()?;
    lock.try_lock().ok()?;
    // Its owner writes it while it holds the lock.
    let mark = fs::read(&file).ok()?;
    (mark == MARK.as_bytes()).then_some(lock)
}

fn clear(folder: &Path) {
    let Ok(folder) = folder.canonicalize() else {
        return;
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let working = working_in(&folder);
        if working.is_empty() || Instant::now() > until {
            break;
        }
        for pid in working.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        pause();
    }
    let name = folder.display();
    cli::line_to_stderr(&match remove(&folder, true) {
        Ok(()) => format!("aid-hil: removed {name}, which a run that was killed had left behind"),
        Err(e) => {
            format!("aid-hil: cannot remove {name}, left behind by a run that was killed: {e}")
        }
    });
}

/// The environment variable that has a part end with the process that started it.
pub(crate) const LEASH: &str = "AID_HIL_LEASH";

/// In a part that was started with [`LEASH`]: ends this process when its stdin does, because then the
/// process that started it is gone, in whatever way.
pub(crate) fn obey_leash() {
    if std::env::var_os(LEASH).is_none() {
        return;
    }
    let watch = || {
        // Nothing is ever written into it.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = kill_process(getpid(), Signal::TERM);
    };
    let _ = std::thread::Builder::new()
        .name("leash".into())
        .spawn(watch);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(place: &Path, name: &str, mark: Option<&str>) -> PathBuf {
        let folder = place.join(name);
        fs::create_dir_all(folder.join("work")).unwrap();
        fs::write(folder.join("work/key.pem"), "secret").unwrap();
        if let Some(mark) = mark {
            fs::write(folder.join(LOCK), mark).unwrap();
        }
        folder
    }

    #[test]
    fn a_sweep_takes_what_is_ours_and_abandoned_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        let abandoned = folder(place, "aid-demo-1", Some(MARK));
        let kept = [
            folder(place, "aid-demo-2", None),
            folder(place, "aid-demo-3", Some("")),
            folder(place, "aid-demo-4", Some("mine\n")),
            folder(place, "notes", Some(MARK)),
        ];
        let elsewhere = tempfile::tempdir().unwrap();
        let outside = folder(elsewhere.path(), "target", Some(MARK));
        std::os::unix::fs::symlink(&outside, place.join("aid-demo-5")).unwrap();
        let linked = folder(place, "aid-demo-6", None);
        std::os::unix::fs::symlink(outside.join(LOCK), linked.join(LOCK)).unwrap();
        let alive = Workshop::new("demo", place).unwrap();
        assert!(!abandoned.exists());
        sweep(place);
        for folder in kept.iter().chain([&linked, &outside]) {
            assert!(folder.join("work/key.pem").exists(), "{folder:?}");
        }
        assert!(place.join("aid-demo-5").is_symlink());
        let path = alive.path().to_owned();
        assert!(path.is_dir());
        drop(alive);
        assert!(!path.parent().unwrap().exists());
    }
}

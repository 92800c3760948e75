//! An interrupted run leaves no keys and no processes behind; what a SIGKILL left, the next start clears.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test; what another process does is no event here, so it is \
              looked for with a deadline"
)]

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Run {
    child: Child,
    place: PathBuf,
}

impl Run {
    /// Starts aid-hil with its temporary files in `place`.
    fn start(place: &Path, args: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
            .args(args)
            .env("TMPDIR", place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let place = place.to_owned();
        Self { child, place }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        until("end", || self.child.try_wait().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for a file with this ending in its name below the place; `false` if the run ended before.
    fn reaches(&mut self, ending: &str) -> bool {
        until(ending, || {
            let found = files(&self.place).iter().any(|f| f.ends_with(ending));
            (found || self.has_ended()).then_some(found)
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything below a folder, as text; what vanishes meanwhile is not there.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder);
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        }
        found.push(path.display().to_string());
    }
    found
}

/// Processes that work in a folder.
fn working_in(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let works = all.filter(|entry| {
        let cwd = std::fs::read_link(entry.path().join("cwd"));
        cwd.is_ok_and(|cwd| cwd.starts_with(&folder))
    });
    works
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}

const SCENARIO: [&str; 4] = ["scenario", "--all", "--jobs", "2"];

#[test]
fn a_signal_at_any_moment_leaves_nothing() {
    let moments = [
        "",
        "work",
        "ca.pem",
        "car.key",
        "cmp.toml",
        "aid-smdp.log",
        "aid-cmp.log",
        "aid-agent.log",
    ];
    let signals = [Signal::INT, Signal::TERM, Signal::HUP];
    for (n, moment) in moments.into_iter().enumerate() {
        for args in [&["demo"][..], &SCENARIO] {
            let signal = signals[(n + args.len()) % 3];
            let place = tempfile::tempdir().unwrap();
            let mut run = Run::start(place.path(), args);
            let reached = run.reaches(moment);
            run.signal(signal);
            let status = run.end();
            let wanted = Some(128 + signal.as_raw());
            // On a busy machine the demo may be over before it hears of it.
            let is_over = args == ["demo"] && status.success();
            assert!(reached || is_over, "{args:?} ended before {moment}");
            assert!(
                status.code() == wanted || is_over,
                "{args:?} {moment}: {status}"
            );
            assert_eq!(
                files(place.path()),
                Vec::<String>::new(),
                "{args:?} {moment}"
            );
            assert_eq!(working_in(place.path()), Vec::<String>::new());
        }
    }
}

#[test]
fn a_kept_folder_stays_and_its_parts_end() {
    let place = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let dir = kept.path().join("kept");
    let mut run = Run::start(place.path(), &["demo", "--keep", dir.to_str().unwrap()]);
    until("agent", || {
        assert!(!run.has_ended());
        dir.join("logs/aid-agent.log").exists().then_some(())
    });
    run.signal(Signal::TERM);
    // It may have ended meanwhile.
    assert!(matches!(run.end().code(), Some(143 | 0)));
    assert!(dir.join("cmp.toml").is_file());
    assert!(dir.join("pki/aid/ca.pem").is_file());
    assert_eq!(working_in(kept.path()), Vec::<String>::new());
    assert_eq!(files(place.path()), Vec::<String>::new());
}

#[test]
fn an_interrupted_init_is_whole_or_nothing() {
    for existed in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        let dir = target.path().join("site");
        if existed {
            std::fs::create_dir(&dir).unwrap();
        }
        let mut run = Run::start(place.path(), &["init", "--dir", dir.to_str().unwrap()]);
        until("file", || {
            (!files(&dir).is_empty() || run.has_ended()).then_some(())
        });
        // It may have ended meanwhile.
        let pid = Pid::from_raw(run.child.id().cast_signed()).unwrap();
        let _ = kill_process(pid, Signal::INT);
        let status = run.end();
        if status.code() == Some(130) {
            let left = files(&dir);
            assert!(left.is_empty() || dir.join("cmp.toml").exists(), "{left:?}");
            assert!(
                left.is_empty() || dir.join("agent.toml").exists(),
                "{left:?}"
            );
            assert_eq!(dir.exists(), existed || !left.is_empty());
        } else {
            assert!(status.success(), "{status}");
            assert!(dir.join("agent.toml").exists());
        }
    }
}

#[test]
fn the_next_start_clears_what_a_kill_left_and_only_that() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let foreign = place.join("aid-demo-mine");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("notes.txt"), "mine").unwrap();

    let mut killed = Run::start(place, &SCENARIO);
    assert!(killed.reaches("aid-agent.log"));
    let before: Vec<String> = files(place);
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().signal(), Some(9));
    let keys = |files: &[String]| files.iter().any(|f| f.ends_with(".key"));
    assert!(keys(&before) && keys(&files(place)));
    // Its parts notice.
    until("end of the parts", || {
        working_in(place).is_empty().then_some(())
    });

    let target = tempfile::tempdir().unwrap();
    let next = |name: &str| {
        let dir = target.path().join(name);
        let mut init = Run::start(place, &["init", "--dir", dir.to_str().unwrap()]);
        assert!(init.end().success());
    };
    next("one");
    let left = files(place);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(foreign.join("notes.txt").is_file());

    // A run that lives is left alone.
    let mut alive = Run::start(place, &SCENARIO);
    assert!(alive.reaches("aid-cmp.log"));
    next("two");
    assert!(!alive.has_ended());
    assert!(keys(&files(place)));
    alive.signal(Signal::TERM);
    assert_eq!(alive.end().code(), Some(143));
    assert_eq!(files(place).len(), 2);
}

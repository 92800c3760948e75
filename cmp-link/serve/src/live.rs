//! What a running program replaces without a restart: certificates and keys, and whatever else its
//! configuration says, once the files have changed (AID.02 §5.2, §6: nothing of it lasts for ever).

use aid_cli::signal::Stop;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Pause between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// A value that can be replaced while others use it; clones are the same value.
#[derive(Debug)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Live<T> {
    /// The first value.
    #[must_use]
    pub fn new(value: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }

    /// The value as it is now.
    #[must_use]
    pub fn now(&self) -> Arc<T> {
        let value = self.0.read();
        Arc::clone(&value.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it; who has the old one keeps that until the next request.
    pub fn renew(&self, value: Arc<T>) {
        let place = self.0.write();
        *place.unwrap_or_else(PoisonError::into_inner) = value;
    }
}

/// TLS of a listener: none, or the configuration that holds when a connection begins.
#[derive(Debug, Clone)]
pub struct Tls(pub(crate) Option<Live<ServerConfig>>);

impl From<Option<Arc<ServerConfig>>> for Tls {
    fn from(config: Option<Arc<ServerConfig>>) -> Self {
        Self(config.map(Live::new))
    }
}

impl From<Live<ServerConfig>> for Tls {
    fn from(config: Live<ServerConfig>) -> Self {
        Self(Some(config))
    }
}

/// What a file looks like from outside: time, length, number. None: it is not there.
type Look = Option<(Option<SystemTime>, u64, u64)>;

fn look(files: &[PathBuf]) -> BTreeMap<PathBuf, Look> {
    use std::os::unix::fs::MetadataExt as _;
    let one = |file: &PathBuf| {
        let meta = std::fs::metadata(file).ok();
        let seen = meta.map(|m| (m.modified().ok(), m.len(), m.ino()));
        (file.clone(), seen)
    };
    files.iter().map(one).collect()
}

/// Watches files, and calls `renew` at once, for what changed since they were read at the start, after
/// each change of one of them and after each SIGHUP, until the stop. `renew` yields the files to watch
/// from now on, or says why nothing changes: then everything stays in force, and the next change is the
/// next try.
///
/// SIGHUP is caught from the call on, not only once the future is polled: a program that said that it is
/// ready must not be ended by it.
pub fn follow(
    files: Vec<PathBuf>,
    stop: Stop,
    renew: impl FnMut() -> Result<Vec<PathBuf>, String> + Send,
) -> impl Future<Output = ()> + Send {
    let hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP can't be caught; changes of files are seen all the same");
            None
        }
    };
    watch(files, hangup, stop, renew)
}

async fn watch(
    mut files: Vec<PathBuf>,
    mut hangup: Option<Signal>,
    stop: Stop,
    mut renew: impl FnMut() -> Result<Vec<PathBuf>, String> + Send,
) {
    let stopped = stop.wait();
    tokio::pin!(stopped);
    loop {
        // Looked at before they are read: what changes meanwhile is a change. Other files than before
        // look different too, so that they are read once more.
        let seen = look(&files);
        match renew() {
            Ok(next) => {
                files = next;
                tracing::debug!("the configuration was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the changed configuration is not used; what was in force stays so");
            }
        }
        loop {
            let asked = async {
                let heard = match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => None,
                };
                if heard.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = &mut stopped => return,
                () = asked => break,
                () = tokio::time::sleep(LOOK) => {
                    if look(&files) != seen {
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_cli::signal;
    use std::sync::Mutex;

    #[tokio::test]
    async fn a_change_is_seen_and_a_mistake_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "one").expect("write");
        let value = Live::new(Arc::new("one".to_owned()));
        let (trigger, stop) = signal::manual();
        let (path, live) = (file.clone(), value.clone());
        let tries = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&tries);
        let task = tokio::spawn(follow(vec![file.clone()], stop, move || {
            *counted.lock().expect("count") += 1;
            let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
            if text == "bad" {
                return Err("bad".into());
            }
            live.renew(Arc::new(text));
            Ok(vec![path.clone()])
        }));
        let wait_for = async |wanted: &str, least: i32| {
            for _ in 0..100 {
                if *value.now() == wanted && *tries.lock().expect("count") >= least {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{wanted} {least}");
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        // A file that takes another's place has its time at will, but not its number.
        let beside = folder.path().join("new");
        std::fs::write(&beside, "two").expect("write");
        std::fs::rename(&beside, &file).expect("rename");
        wait_for("two", 2).await;
        std::fs::write(&file, "bad").expect("write");
        wait_for("two", 3).await;
        std::fs::remove_file(&file).expect("remove");
        wait_for("two", 4).await;
        std::fs::write(&file, "three").expect("write");
        wait_for("three", 5).await;
        trigger.stop();
        task.await.expect("ended");
    }
}

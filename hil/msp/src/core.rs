//! What the MSP decides, as pure functions: loaded views in, a [`Decision`] out (AID.02 §4, §7).
//!
//! Nothing here reads a clock, a socket, a file or a source of randomness: times (milliseconds since 1970) and new ids
//! are arguments. `store` loads the views, writes the changes in the same transaction, and commits before anyone acts
//! on the outcome.

pub(crate) mod account;
pub(crate) mod call;
mod change;
pub(crate) mod desk;
pub(crate) mod model;
pub(crate) mod onboarding;
pub(crate) mod operator;
pub(crate) mod order;
pub(crate) mod outbox;
pub(crate) mod report;
pub(crate) mod withdrawal;

pub(crate) use change::{Change, Decision, NewId};

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .flat_map(|path| {
                if path.is_dir() {
                    files(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn decisions_know_no_database_no_task_no_clock_and_no_randomness() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
        let files = files(&folder);
        assert!(files.len() > 10);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let outside = [
                "aid_store",
                "rusqlite",
                "tokio",
                "SystemTime",
                "Instant",
                "now_ms",
                "new_v4",
                "getrandom",
                ".await",
            ];
            for word in outside {
                assert!(!text.contains(word), "{}: {word}", file.display());
            }
        }
    }
}

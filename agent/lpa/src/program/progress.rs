//! Progress of a download on stderr: each step once, and the bytes of the installation in tenths.

use super::args::Args;
use crate::download::Stage;
use aid_cli::cli::line_to_stderr;
use serde_json::json;

/// Steps of a download.
const STEPS: u8 = 4;

/// Shows progress, as far as it is wanted.
pub(super) struct Progress {
    wanted: bool,
    json: bool,
    /// The last line's step and tenth.
    last: Option<(u8, usize)>,
}

impl Progress {
    pub(super) const fn of(args: &Args) -> Self {
        Self {
            wanted: !args.json || args.progress,
            json: args.json,
            last: None,
        }
    }

    pub(super) fn show(&mut self, stage: Stage) {
        if let Some(line) = self.line(stage) {
            line_to_stderr(&line);
        }
    }

    /// The line for a stage, unless it says nothing new.
    fn line(&mut self, stage: Stage) -> Option<String> {
        let step = match stage {
            Stage::Authenticating => 1,
            Stage::Preparing => 2,
            Stage::Installing(..) => 3,
            Stage::Notifying => 4,
        };
        let tenth = match stage {
            Stage::Installing(done, of) => done * 10 / of.max(1),
            _ => 0,
        };
        if !self.wanted || self.last == Some((step, tenth)) {
            return None;
        }
        self.last = Some((step, tenth));
        let name = stage.name();
        Some(match (self.json, stage) {
            (true, Stage::Installing(done, of)) => json!({"progress": {
                "step": step, "steps": STEPS, "stage": name, "bytes": done, "of": of}})
            .to_string(),
            (true, _) => {
                json!({"progress": {"step": step, "steps": STEPS, "stage": name}}).to_string()
            }
            (false, Stage::Installing(done, of)) => {
                format!("{step}/{STEPS} {name}: {done} of {of} bytes")
            }
            (false, _) => format!("{step}/{STEPS} {name}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(json: bool, wanted: bool) -> Vec<String> {
        let mut progress = Progress {
            wanted,
            json,
            last: None,
        };
        let installing = (0..=1000).map(|n| Stage::Installing(n * 45, 45_000));
        let stages = [
            Stage::Authenticating,
            Stage::Authenticating,
            Stage::Preparing,
        ]
        .into_iter()
        .chain(installing)
        .chain([Stage::Notifying]);
        stages.filter_map(|stage| progress.line(stage)).collect()
    }

    #[test]
    fn each_step_once_and_bytes_in_tenths() {
        let text = lines(false, true);
        assert_eq!(text.len(), 2 + 11 + 1, "{text:?}");
        assert_eq!(text[0], "1/4 authenticating");
        assert_eq!(text[3], "3/4 installing: 4500 of 45000 bytes");
        assert_eq!(text[12], "3/4 installing: 45000 of 45000 bytes");
        let json = lines(true, true);
        let value: serde_json::Value = serde_json::from_str(&json[3]).expect("JSON");
        assert_eq!(value["progress"]["bytes"], 4500);
        assert!(lines(true, false).is_empty());
    }
}

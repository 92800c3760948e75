//! The page of the car's screen (aid-hmi) beside the agent of a run.

use crate::process::{Part, Spawn};
use aid_cli::cli::Failure;
use aid_cli::private;
use std::path::Path;

/// The agent's socket in a set-up, and any free port.
const CONFIG: &str = "# The page of the car's screen of this set-up.\n\
     agent = \"agent.sock\"\nlisten = \"127.0.0.1:0\"\nstart_page = \"hmi-start.html\"\n";

/// Starts the page of the set-up in `dir`, whose agent may come later. Its address lets one browser in.
pub(crate) fn start(dir: &Path, log: &str) -> Result<(Part, String), Failure> {
    let file = dir.join("hmi.toml");
    private::write(&file, CONFIG.as_bytes())
        .map_err(|e| Failure::new(format!("cannot write {}: {e}", file.display())))?;
    let logs = dir.join("logs");
    private::create_dir_all(&logs)
        .map_err(|e| Failure::new(format!("cannot make {}: {e}", logs.display())))?;
    let part = Part::start(Spawn {
        program: "aid-hmi",
        suffix: "",
        args: &["run", "--config", "hmi.toml"],
        dir,
        log,
        trace: false,
        counted: false,
    })?;
    let address = part.address("hmi").unwrap_or_default().to_owned();
    Ok((part, address))
}

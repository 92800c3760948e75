//! The readiness line: the only thing that a serving program prints on stdout.
//! Called once everything is bound; the bench reads the real addresses from it, and systemd hears `READY=1`.

use crate::cli::{self, Failure};
use crate::supervisor::Supervisor;
use serde_json::{Map, Value, json};
use std::fmt::Display;

/// Prints `{"ready":true,"program":...,"listen":{name: address, ...}}`, flushes, and notifies the supervisor.
///
/// # Errors
/// Stdout is closed.
pub fn announce<A: Display>(program: &str, listen: &[(&str, A)]) -> Result<(), Failure> {
    // Also where nobody reads the line: the program serves.
    Supervisor::from_env().ready();
    cli::print(&line(program, listen))
}

fn line<A: Display>(program: &str, listen: &[(&str, A)]) -> String {
    let pairs = listen
        .iter()
        .map(|(name, address)| ((*name).to_owned(), Value::from(address.to_string())));
    let listen: Map<String, Value> = pairs.collect();
    format!(
        "{}\n",
        json!({"ready": true, "program": program, "listen": listen})
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_json_line() {
        let got = super::line("aid-smdp", &[("es9", "127.0.0.1:1")]);
        assert!(got.ends_with('\n') && got.matches('\n').count() == 1);
        let value: serde_json::Value = serde_json::from_str(&got).expect("JSON");
        assert_eq!(value["ready"], true);
        assert_eq!(value["listen"]["es9"], "127.0.0.1:1");
    }
}

//! Command line of the agent's local API; see `aid_agent::ctl::run`.
fn main() -> std::process::ExitCode {
    aid_agent::ctl::run(std::env::args_os().collect())
}

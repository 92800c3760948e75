//! Command line of the agent's local API; see `aid_agent::run_ctl`.
fn main() -> std::process::ExitCode {
    aid_agent::run_ctl(std::env::args_os().collect())
}

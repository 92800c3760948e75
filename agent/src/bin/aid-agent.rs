//! The agent's daemon; see `aid_agent::run`.
fn main() -> std::process::ExitCode {
    aid_agent::run(std::env::args_os().collect())
}

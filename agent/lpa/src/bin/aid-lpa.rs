//! Command line of the LPA; see `aid_lpa::run`.
fn main() -> std::process::ExitCode {
    aid_lpa::run(std::env::args_os().collect())
}

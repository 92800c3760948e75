//! `aid-msp`: see the library.

fn main() -> std::process::ExitCode {
    aid_msp::run(std::env::args_os().collect())
}

//! `aid-hil`: see the library.

fn main() -> std::process::ExitCode {
    aid_hil::run(std::env::args_os().collect())
}

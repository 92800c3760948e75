//! The reference CMP backend; see `aid_cmp::run`.
fn main() -> std::process::ExitCode {
    aid_cmp::run(std::env::args_os().collect())
}

//! The page of the car's screen; see `aid_hmi::run`.
fn main() -> std::process::ExitCode {
    aid_hmi::run(std::env::args_os().collect())
}

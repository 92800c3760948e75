//! The program `aid-smdp`.

fn main() -> std::process::ExitCode {
    aid_smdp::run(std::env::args_os().collect())
}

//! Program `euicc-sim`; see the library.
fn main() -> std::process::ExitCode {
    euicc_sim::run(std::env::args_os().collect())
}

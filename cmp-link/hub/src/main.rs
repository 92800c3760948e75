//! `aid-hub`: see the library.

/// Quicker than that of the C library where one thread allocates and another frees, and leaves fewer holes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    aid_hub::run(std::env::args_os().collect())
}

//! `aid-hil`: see the library.

/// That of `aid-cmp`, which is a part of this program on a bench.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    aid_hil::run(std::env::args_os().collect())
}

//! The program: everything is in the library.

// A message is some hundred short-lived allocations, made by one thread and often freed by another:
// docs/benchmarks.md has what it costs with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sluis::cli::run(std::env::args_os())
}

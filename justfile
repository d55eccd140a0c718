# Shorthands. Nothing needs `just`: each recipe is a command that can be typed.

# What CI runs, and the documentation.
check: ci doc

# Format, lints, tests.
ci:
    .ci/run

# The documentation, with every link in it.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# The tests alone.
test *ARGS:
    cargo test {{ARGS}}

# Real mail programs against the real binary; those that are not installed are named and passed over (--fetch: unpacked).
interop *ARGS:
    tests/interop/run.sh {{ARGS}}

# Every fuzz target for some seconds each. Needs cargo-fuzz and a nightly toolchain; see fuzz/README.md.
fuzz SECONDS="60":
    #!/usr/bin/env bash
    set -euo pipefail
    cd fuzz
    for target in $(cargo +nightly fuzz list); do
        cargo +nightly fuzz run "$target" -- -max_total_time={{SECONDS}}
    done

# Throughput and latency beside a bare relay; see docs/benchmarks.md.
bench *ARGS:
    cargo bench {{ARGS}}

# The tour.
demo:
    cargo run --release -- demo

//! Benchmarks: `cargo bench -p gatewarden-benches --profile perf`. Each prints a floor beside its figures, so that a
//! figure can be read against the machine it was taken on.

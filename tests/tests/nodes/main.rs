//! Several servers on one MongoDB: run by `scripts/real-stack test`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a panic is how a test fails"
)]

mod across;
mod cut;
mod disk;
mod frozen;
mod keys;
mod killed;
mod moving;
mod pace;
mod primary;
mod scene;
mod start;
mod talking;
mod upgrade;

/// Not a test: the process that is a server (see [`outdial_tests::Outdial`]).
#[test]
fn serve_child() {
    outdial_tests::serve_child();
}

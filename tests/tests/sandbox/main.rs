//! The server on the sandbox: no network beyond loopback, no other program.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a panic is how a test fails"
)]

mod contract;
mod crash;
mod erasure;
mod events;
mod hangup;
mod keys;
mod outcomes;
mod queue;
mod recording;
mod shutdown;

/// Not a test: the process that is a server (see [`outdial_tests::Outdial`]).
#[test]
fn serve_child() {
    outdial_tests::serve_child();
}

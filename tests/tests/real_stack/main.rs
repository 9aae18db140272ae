//! The server against LiveKit, an agent that speaks, and SIP phones: run by
//! `scripts/real-stack test`.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is how a test fails")]

mod agent;
mod answered;
mod crash;
mod faults;
mod hangup;
mod polling;
mod refused;

/// An agent's name with which no worker registers: for calls that end before it is missed.
const NOBODY: &str = "nobody";

/// Not a test: the process that is a server (see [`outdial_tests::Outdial`]).
#[test]
fn serve_child() {
    outdial_tests::serve_child();
}

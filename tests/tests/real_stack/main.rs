//! The server against LiveKit, an agent that speaks, and SIP phones: run by
//! `scripts/real-stack test`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: a panic is how a test fails"
)]

mod agent;
mod answered;
mod bridge;
mod bucket;
mod crash;
mod faults;
mod hangup;
mod polling;
mod recording;
mod refused;
mod transcript;

/// An agent's name with which no worker registers: for calls that end before it is missed.
const NOBODY: &str = "nobody";

/// A time of a record or a transcript.
fn time(value: &serde_json::Value) -> chrono::DateTime<chrono::Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// Not a test: the process that is a server (see [`outdial_tests::Outdial`]).
#[test]
fn serve_child() {
    outdial_tests::serve_child();
}

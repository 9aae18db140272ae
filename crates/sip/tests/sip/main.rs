//! Calls against a scripted callee over real sockets. What the callee saw on the wire is judged, too.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a panic fails the test"
)]

mod answered;
mod auth;
mod callee;
mod cancelled;
mod framing;
mod gate;
mod limits;
mod orphan;
mod refused;
mod requests;
mod session;
mod tls;

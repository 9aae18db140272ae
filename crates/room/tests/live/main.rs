//! The crate against a real LiveKit server, with libwebrtc as the judge: run by
//! `scripts/real-stack test`, or by hand after `eval "$(scripts/real-stack env)"`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests: a panic fails the test, what is printed shows when it does"
)]

// What tests are written with.
mod guest;
mod heard;
mod judge;
mod log;
mod lossy;
mod relay;
mod server;
mod stack;
mod tone;

// The tests.
mod audio;
mod companion;
mod ends;
mod loss;
mod people;
mod recovery;
mod reuse;
mod streams;

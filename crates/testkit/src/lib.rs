#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a library for tests: a panic is how a test fails"
)]

pub mod clock;
pub mod keeper;
pub mod memory;
pub mod receiver;
pub mod rooms;
pub mod sample;
pub mod store;

//! [`S3Keeper`](outdial_recordings::S3Keeper) against a real S3 server: `scripts/real-stack up s3`.
//!
//! Every test keeps its files under a prefix of its own.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bucket;
mod crash;
mod faults;
mod keeping;
mod proxy;
mod server;

outdial_testkit::keeper_conformance!(async || bucket::Bucket::new().fixture().await);

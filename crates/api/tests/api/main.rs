//! The API from outside: an engine on the in-memory store and the sandbox, in virtual time. One
//! module for each branch of the URL tree, and one each for what all routes share.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod assistants;
mod auth;
mod bad_bodies;
mod calls;
mod erasure;
mod errors;
mod events;
mod keys;
mod livekit;
mod logs;
mod outbound;
mod recording;
mod rig;
mod server;
mod tape;
mod trunks;
mod wire;

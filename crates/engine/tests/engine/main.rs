//! The engine, from placing a call to its webhook, in virtual time.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cluster;
mod doubt;
mod elsewhere;
mod ends;
mod handover;
mod hints;
mod media;
mod place;
mod recording;
mod recovery;
mod rig;
mod takeover;
mod tape;
mod webhooks;

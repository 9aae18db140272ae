//! The engine, from placing a call to its webhook, in virtual time.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod ends;
mod hints;
mod media;
mod place;
mod recording;
mod recovery;
mod rig;
mod tape;
mod webhooks;

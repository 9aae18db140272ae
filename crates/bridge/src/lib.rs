#![doc = include_str!("../README.md")]

mod bridge;
mod elsewhere;
mod g711;
mod journal;
mod leg;
#[cfg(feature = "measure")]
#[doc(hidden)]
#[expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that prints")]
pub mod measure;
mod mixer;
mod plan;
mod ports;
mod rtp;
mod sdp;
mod settings;
mod srtp;

pub use self::bridge::{Bridge, StartError};
pub use self::g711::Codec;
pub use self::plan::LegPlan;
pub use self::settings::{BridgeSettings, TlsListener};

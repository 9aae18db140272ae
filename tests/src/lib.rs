#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a library for tests: a panic is how a test fails"
)]

mod api;
#[cfg(feature = "real-stack")]
mod baresip;
#[cfg(feature = "real-stack")]
mod bridge;
#[cfg(feature = "real-stack")]
mod callee;
#[cfg(feature = "real-stack")]
mod cluster;
#[cfg(feature = "real-stack")]
mod database;
mod desk;
#[cfg(feature = "real-stack")]
mod ear;
mod end;
mod events;
mod gate;
mod hooks;
#[cfg(feature = "real-stack")]
mod law;
#[cfg(feature = "real-stack")]
mod mongod;
mod outdial;
#[cfg(feature = "real-stack")]
mod phone;
mod poll;
#[cfg(feature = "real-stack")]
mod replica_set;
mod sound;
#[cfg(feature = "real-stack")]
mod spoof;
#[cfg(feature = "real-stack")]
mod stack;
mod tap;

pub use self::api::{Api, Raw, Reply};
#[cfg(feature = "real-stack")]
pub use self::baresip::Baresip;
#[cfg(feature = "real-stack")]
pub use self::bridge::Bridge;
#[cfg(feature = "real-stack")]
pub use self::callee::{Callee, Challenge, Leg, Media, Message, Packet, Say, Transport};
#[cfg(feature = "real-stack")]
pub use self::cluster::{Setting, nodes, settings_of};
#[cfg(feature = "real-stack")]
pub use self::database::Database;
pub use self::desk::Desk;
#[cfg(feature = "real-stack")]
pub use self::ear::by_ear;
pub use self::end::End;
pub use self::events::{Event, Events};
pub use self::gate::Gate;
pub use self::hooks::{Endpoint, Hook};
#[cfg(feature = "real-stack")]
pub use self::law::Law;
#[cfg(feature = "real-stack")]
pub use self::mongod::Mongod;
pub use self::outdial::{Outdial, free_port, serve_child};
#[cfg(feature = "real-stack")]
pub use self::phone::Phone;
pub use self::poll::until;
#[cfg(feature = "real-stack")]
pub use self::replica_set::ReplicaSet;
pub use self::sound::{Side, Sound};
#[cfg(feature = "real-stack")]
pub use self::spoof::Spoof;
#[cfg(feature = "real-stack")]
pub use self::stack::{Alone, Port, Seat, Stack};
pub use self::tap::Tap;

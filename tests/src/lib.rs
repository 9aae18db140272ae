#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a library for tests: a panic is how a test fails"
)]

mod api;
mod desk;
mod end;
mod events;
mod gate;
mod hooks;
mod outdial;
#[cfg(feature = "real-stack")]
mod phone;
mod poll;
mod sound;
#[cfg(feature = "real-stack")]
mod stack;
mod tap;

pub use self::api::{Api, Raw, Reply};
pub use self::desk::Desk;
pub use self::end::End;
pub use self::events::{Event, Events};
pub use self::gate::Gate;
pub use self::hooks::{Endpoint, Hook};
pub use self::outdial::{Outdial, serve_child};
#[cfg(feature = "real-stack")]
pub use self::phone::Phone;
pub use self::poll::until;
pub use self::sound::{Side, Sound};
#[cfg(feature = "real-stack")]
pub use self::stack::{Alone, Port, Seat, Stack};
pub use self::tap::Tap;

#![doc = include_str!("../README.md")]

mod attendant;
mod audio;
mod ending;
mod entry;
mod moment;
mod notes;
mod observation;
mod observer;
mod outbox;
mod people;
mod transcript;

pub use self::attendant::Attendant;
pub use self::audio::Audio;
pub use self::observer::{LiveKitObserver, OBSERVER_IDENTITY, Pace};
pub use self::outbox::{Inbox, Outbox};

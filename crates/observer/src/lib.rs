#![doc = include_str!("../README.md")]

mod audio;
mod ending;
mod entry;
mod moment;
mod notes;
mod observation;
mod observer;
mod people;
mod transcript;

pub use self::observer::{LiveKitObserver, OBSERVER_IDENTITY, Pace};

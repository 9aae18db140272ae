#![doc = include_str!("../README.md")]

pub mod guard;
pub mod payload;
mod sender;
pub mod sign;

pub use self::sender::{BuildError, HttpSender, MAX_BODY, SenderSettings};

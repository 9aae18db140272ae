#![doc = include_str!("../README.md")]

mod auth;
mod code;
mod dto;
mod edge;
mod error;
mod handlers;
mod input;
mod map;
mod openapi;
mod routes;
mod state;

pub use self::code::ErrorCode;
pub use self::openapi::openapi;
pub use self::routes::configure;
pub use self::state::{ApiOptions, ApiState, RateLimit};

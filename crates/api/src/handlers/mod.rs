//! The handlers: plain functions from a request to an answer.

pub(crate) mod assistants;
pub(crate) mod calls;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod livekit;
pub(crate) mod outbound;
pub(crate) mod recording;
pub(crate) mod server;
pub(crate) mod trunks;

use std::fmt;
use std::str::FromStr;

use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// The id in a path. A text that can be no id is simply not there.
fn path_id<T: FromStr<Err: fmt::Display>>(
    text: &str,
    code: ErrorCode,
    what: &'static str,
) -> Result<T> {
    text.parse().map_err(|error: T::Err| ApiError::not_found(code, what).hint(error.to_string()))
}

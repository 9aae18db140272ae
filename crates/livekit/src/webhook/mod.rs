//! LiveKit's webhooks as hints about calls.

mod event;
mod token;

use chrono::{DateTime, Utc};
use outdial_domain::ports::RoomHints;
use outdial_domain::{Error, ErrorKind, Hint, Result, RoomName, Secret};

use self::token::{Keys, TokenFault};

/// Verifies and reads what LiveKit posts to this server.
///
/// LiveKit signs a message with one of its API keys, in the header `Authorization`, and the signed
/// token names the SHA-256 of the body. Only messages with both right are read.
///
/// ```
/// use chrono::Utc;
/// use outdial_domain::ports::RoomHints;
/// use outdial_domain::{ErrorKind, Secret};
/// use outdial_livekit::Webhooks;
///
/// let webhooks = Webhooks::new([("APIkey".to_owned(), Secret::new("its secret"))]);
/// let error = webhooks.read("not.a.token", b"{}", Utc::now()).unwrap_err();
/// assert_eq!(error.kind, ErrorKind::Refused);
/// ```
#[derive(Debug)]
pub struct Webhooks {
    keys: Keys,
}

impl Webhooks {
    /// A reader that accepts messages signed with one of these API keys and secrets: more than one
    /// while keys are being changed.
    pub fn new(keys: impl IntoIterator<Item = (String, Secret)>) -> Self {
        Self { keys: Keys::new(keys) }
    }
}

impl RoomHints for Webhooks {
    fn read(
        &self,
        authorization: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, Vec<Hint>)>> {
        self.keys.verify(authorization, body, now).map_err(refused)?;
        // It is LiveKit's. What cannot be read is of a newer version, and nothing for us.
        Ok(serde_json::from_slice(body).ok().and_then(|event| event::read(&event, now)))
    }
}

fn refused(fault: TokenFault) -> Error {
    Error::new(ErrorKind::Refused, "livekit.webhook", fault)
}

#[cfg(test)]
mod tests;

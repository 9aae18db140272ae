//! Failed requests as the domain's errors: short, without secrets, and naming what to mend.

use outdial_domain::{Error, ErrorKind};

use crate::text::clean;
use crate::twirp::{Failure, TwirpError};

const KEY_REFUSED: &str = "LiveKit does not accept the key: check livekit.api_key and \
                           livekit.api_secret, and that this machine's clock is right";

impl Failure {
    /// The error of the operation that failed so.
    pub(crate) fn into_error(self, operation: &'static str) -> Error {
        let new = |kind, message: &str| Error::new(kind, operation, message);
        match self {
            Self::Token(error) => new(
                ErrorKind::Refused,
                "no token can be made of livekit.api_key and livekit.api_secret",
            )
            .with_source(error),
            Self::Connect(error) => new(
                ErrorKind::Unavailable,
                "LiveKit cannot be reached: check livekit.url and that the server runs",
            )
            .with_source(error),
            Self::Lost(error) if error.is_timeout() => {
                new(ErrorKind::Unavailable, "LiveKit did not answer in time").with_source(error)
            }
            Self::Lost(error) => {
                new(ErrorKind::Unavailable, "the connection to LiveKit broke before the answer")
                    .with_source(error)
            }
            Self::Auth => new(ErrorKind::Refused, KEY_REFUSED),
            Self::Foreign(status) if status.is_server_error() => new(
                ErrorKind::Unavailable,
                &format!("a proxy before LiveKit answered HTTP {}", status.as_u16()),
            ),
            Self::Foreign(status) => new(
                ErrorKind::Refused,
                &format!(
                    "what answers at livekit.url is no LiveKit server (HTTP {})",
                    status.as_u16()
                ),
            ),
            Self::Twirp(error) => of_twirp(&error, operation),
        }
    }

    /// Whether the server says that there is no such thing. A room that is being deleted by somebody
    /// else is told by its text only (seen with livekit-server 1.13.5).
    pub(crate) fn is_not_found(&self) -> bool {
        let is_going =
            |error: &TwirpError| error.code == "unknown" && error.msg == "could not find object";
        matches!(self, Self::Twirp(error) if error.code == "not_found" || is_going(error))
    }
}

fn of_twirp(error: &TwirpError, operation: &'static str) -> Error {
    let kind = match error.code.as_str() {
        "unauthenticated" | "permission_denied" => {
            return Error::new(ErrorKind::Refused, operation, KEY_REFUSED);
        }
        "not_found" => ErrorKind::NotFound,
        "already_exists" => ErrorKind::Exists,
        "resource_exhausted" => ErrorKind::Busy,
        "unavailable" | "deadline_exceeded" | "aborted" | "canceled" => ErrorKind::Unavailable,
        "invalid_argument"
        | "malformed"
        | "out_of_range"
        | "failed_precondition"
        | "bad_route"
        | "unimplemented" => ErrorKind::Refused,
        _ => ErrorKind::Internal,
    };
    let message = format!("LiveKit: {}: {}", clean(&error.code), clean(&error.msg));
    Error::new(kind, operation, message)
}

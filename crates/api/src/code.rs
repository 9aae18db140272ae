//! The one table of error codes.

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $code:literal, $status:ident;)+) => {
        /// What went wrong, as the stable word in `error.code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl ErrorCode {
            /// All of them, in the order in which they are documented.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word of the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status it is answered with: always the same one.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// What it means, for a person.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON: the message says where it breaks off.
    InvalidJson = "invalid_json", BAD_REQUEST;
    /// The body could not be read to its end, or its transfer or content coding is not understood.
    InvalidBody = "invalid_body", BAD_REQUEST;
    /// The body's `Content-Type` is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", BAD_REQUEST;
    /// A field is missing.
    MissingField = "missing_field", BAD_REQUEST;
    /// A field, query parameter or header breaks the rule that the message names.
    InvalidField = "invalid_field", BAD_REQUEST;
    /// A field or query parameter that this route does not know.
    UnknownField = "unknown_field", BAD_REQUEST;
    /// A word that is none of the allowed ones.
    UnknownValue = "unknown_value", BAD_REQUEST;
    /// A phone number that is not in E.164 format.
    InvalidNumber = "invalid_number", BAD_REQUEST;
    /// No API key, two that differ, or one that is malformed, unknown or revoked.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// The API key is good but may not do this.
    Forbidden = "forbidden", FORBIDDEN;
    /// No such assistant in this account, or for a call: it is not active.
    AssistantNotFound = "assistant_not_found", NOT_FOUND;
    /// No such trunk in this account.
    TrunkNotFound = "trunk_not_found", NOT_FOUND;
    /// No such call in this account.
    CallNotFound = "call_not_found", NOT_FOUND;
    /// The call has no recording, or none any more: the message says why.
    RecordingNotFound = "recording_not_found", NOT_FOUND;
    /// No such API key in this account.
    KeyNotFound = "key_not_found", NOT_FOUND;
    /// No such route, or one that is not set up on this server.
    NotFound = "not_found", NOT_FOUND;
    /// The route exists, but not with this method: see the `Allow` header.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// The `Idempotency-Key` was used before with another body.
    IdempotencyMismatch = "idempotency_mismatch", CONFLICT;
    /// The resource is in a state that forbids this.
    Conflict = "conflict", CONFLICT;
    /// The recording is not kept yet: come back after `Retry-After`.
    RecordingPending = "recording_pending", CONFLICT;
    /// The call was erased, or is being erased.
    CallErased = "call_erased", GONE;
    /// The body is larger than 64 KiB.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// No byte of the recording lies in the `Range`: `Content-Range` tells its size.
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE;
    /// Too many requests with this API key: wait as long as `Retry-After` says.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS;
    /// A limit of the trunk is reached: wait as long as `Retry-After` says.
    TrunkBusy = "trunk_busy", TOO_MANY_REQUESTS;
    /// The call ended before its leg had joined. `error.details` holds room_name, outcome and cause.
    ProviderError = "provider_error", INTERNAL_SERVER_ERROR;
    /// The service of this call is not set up on this server: the message names the setting.
    NotConfigured = "not_configured", INTERNAL_SERVER_ERROR;
    /// Something that should not happen; the log has more under the `x-request-id`.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// The phone's leg of a call in progress cannot be reached: the message says whether something may
    /// have been sent.
    LegUnavailable = "leg_unavailable", SERVICE_UNAVAILABLE;
    /// The server is stopping and takes no new calls.
    Stopping = "stopping", SERVICE_UNAVAILABLE;
    /// The store has no space left: nothing was stored.
    StoreFull = "store_full", SERVICE_UNAVAILABLE;
    /// The store, or the place where recordings are kept, cannot be reached.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE;
    /// A part of the server is not ready (`/readyz` only).
    NotReady = "not_ready", SERVICE_UNAVAILABLE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_exactly_these_codes() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        let text = std::fs::read_to_string(docs).unwrap();
        let (_, section) = text.split_once("## Errors").unwrap();
        let listed: Vec<_> = section
            .lines()
            .skip_while(|line| !line.starts_with("| :"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(str::to_owned)
            .collect();
        let expected: Vec<_> = ErrorCode::ALL
            .iter()
            .map(|code| {
                format!("| `{}` | {} | {} |", code.as_str(), code.status().as_u16(), code.meaning())
            })
            .collect();
        assert_eq!(listed, expected, "docs/api.md should hold:\n{}", expected.join("\n"));
    }
}

//! What is answered when a request is not met.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use outdial_domain::{Call, Cause, Error, ErrorKind, Layer};
use outdial_engine::EngineError;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::code::ErrorCode;
use crate::dto::CauseData;

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// An error as it is answered.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
    details: Option<Value>,
    retry_after: Option<Duration>,
    allow: Option<String>,
    /// How many bytes there are, where a range has none of them.
    bytes: Option<u64>,
    /// For the log only.
    internal: Option<String>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody<'a> {
    /// Always `false`.
    #[schema(example = false)]
    success: bool,
    /// What went wrong, for a person.
    message: &'a str,
    error: ErrorInfo<'a>,
}

/// What went wrong, for a program.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorInfo<'a> {
    /// A stable word; the list is in the description of this document.
    #[schema(example = "invalid_number")]
    code: &'static str,
    /// The field, query parameter or header it is about.
    field: Option<&'a str>,
    /// How to mend it.
    hint: Option<&'a str>,
    /// More, where a code has more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<&'a Value>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            field: None,
            hint: None,
            details: None,
            retry_after: None,
            allow: None,
            bytes: None,
            internal: None,
        }))
    }

    /// A field (or query parameter, or header) that breaks a rule.
    pub(crate) fn field(
        code: ErrorCode,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(code, message);
        error.0.field = Some(field.into());
        error
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub(crate) fn internal(mut self, text: impl fmt::Display) -> Self {
        self.0.internal = Some(text.to_string());
        self
    }

    pub(crate) fn not_found(code: ErrorCode, what: &'static str) -> Self {
        Self::new(code, format!("{what} not found"))
    }

    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let mut error =
            Self::new(ErrorCode::MethodNotAllowed, format!("this route takes {allow} only"));
        error.0.allow = Some(allow);
        error
    }

    pub(crate) fn range_not_satisfiable(bytes: u64) -> Self {
        let message = format!("the range lies outside of the {bytes} bytes of the recording");
        let mut error = Self::new(ErrorCode::RangeNotSatisfiable, message);
        error.0.bytes = Some(bytes);
        error
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What the log is told beside the answer.
    pub(crate) fn log_text(&self) -> &str {
        self.0.internal.as_deref().unwrap_or(&self.0.message)
    }

    fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            success: false,
            message: &self.0.message,
            error: ErrorInfo {
                code: self.0.code.as_str(),
                field: self.0.field.as_deref(),
                hint: self.0.hint.as_deref(),
                details: self.0.details.as_ref(),
            },
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(wait) = self.0.retry_after {
            response.insert_header((RETRY_AFTER, whole_secs(wait).to_string()));
        }
        if let Some(allow) = self.0.allow.as_deref() {
            response.insert_header((ALLOW, allow));
        }
        if let Some(bytes) = self.0.bytes {
            response.insert_header((CONTENT_RANGE, format!("bytes */{bytes}")));
        }
        if self.0.code == ErrorCode::Unauthorized {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"outdial\""));
        }
        response.json(self.body())
    }
}

/// Rounded up: a client that comes back early is refused again.
fn whole_secs(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + up).max(1)
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound { what } => match what {
                "assistant" => Self::not_found(ErrorCode::AssistantNotFound, "Assistant")
                    .hint("check the id, and that the assistant is active"),
                "trunk" => Self::not_found(ErrorCode::TrunkNotFound, "Trunk").hint("check the id"),
                "call" => {
                    Self::not_found(ErrorCode::CallNotFound, "Call").hint("check the room_name")
                }
                "recording" => Self::not_found(ErrorCode::RecordingNotFound, "Recording"),
                "key" => Self::not_found(ErrorCode::KeyNotFound, "API key").hint("check the id"),
                _ => Self::not_found(ErrorCode::NotFound, what),
            },
            EngineError::Erased => Self::new(ErrorCode::CallErased, "the call was erased"),
            EngineError::NotYet { what } => {
                Self::new(ErrorCode::RecordingPending, format!("the {what} is not there yet"))
                    .hint("it is kept within moments of the call's end; recording.status tells")
                    .retry_after(Duration::from_secs(5))
            }
            EngineError::Invalid { field, rule, hint } => {
                Self::field(ErrorCode::InvalidField, field, format!("{field}: {rule}")).hint(hint)
            }
            EngineError::IdempotencyMismatch => Self::field(
                ErrorCode::IdempotencyMismatch,
                "Idempotency-Key",
                "this Idempotency-Key was used before with another body",
            )
            .hint("use a fresh key for every new call, and the same body for a repetition"),
            EngineError::Conflict(message) => Self::new(ErrorCode::Conflict, message),
            EngineError::TooMany { message, retry_after } => {
                Self::new(ErrorCode::TrunkBusy, message).retry_after(retry_after)
            }
            EngineError::Unconfigured(message) => Self::new(ErrorCode::NotConfigured, message),
            EngineError::CallFailed(call) => call_failed(*call),
            EngineError::LegUnavailable(error) => {
                let message = format!("the phone's leg cannot be reached now: {}", error.message);
                Self::new(ErrorCode::LegUnavailable, message)
                    .retry_after(Duration::from_secs(2))
                    .internal(error)
            }
            EngineError::Stopping => {
                Self::new(ErrorCode::Stopping, "the server is stopping and takes no new calls")
                    .retry_after(Duration::from_secs(5))
            }
            EngineError::Store(error) => store_error(error),
        }
    }
}

fn call_failed(call: Call) -> ApiError {
    let room_name = call.room_name().clone();
    let (outcome, cause) = match call.termination {
        Some(end) => (end.outcome.as_str(), end.cause),
        None => ("failed", None),
    };
    let message = match &cause {
        Some(Cause { layer: Layer::Sip | Layer::Livekit, code, text, .. }) => {
            format!("Provider error: {code} {text}")
        }
        Some(cause) => format!("The call failed before it was dialled: {}", cause.text),
        None => "The call ended before it was dialled".to_owned(),
    };
    let retryable = cause.as_ref().is_some_and(|cause| cause.retryable);
    let internal = format!("{room_name:?} ended as {outcome}: {message}");
    ApiError::new(ErrorCode::ProviderError, message)
        .hint(if retryable {
            "the same call may succeed later"
        } else {
            "check the provider's status and the trunk's credentials"
        })
        .details(json!({
            "room_name": room_name.as_str(),
            "outcome": outcome,
            "cause": cause.map(CauseData::from),
        }))
        .internal(internal)
}

fn store_error(error: Error) -> ApiError {
    let answer = match error.kind {
        ErrorKind::Full => ApiError::new(
            ErrorCode::StoreFull,
            "the server's store has no space left: nothing was stored",
        )
        .retry_after(Duration::from_secs(30)),
        ErrorKind::Unavailable | ErrorKind::Busy => {
            ApiError::new(ErrorCode::StoreUnavailable, "the server's store cannot be reached")
                .retry_after(Duration::from_secs(5))
        }
        ErrorKind::Conflict | ErrorKind::Exists => ApiError::new(
            ErrorCode::Conflict,
            "the resource was changed by somebody else at the same time",
        )
        .hint("read it again and repeat the change"),
        ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Corrupt | ErrorKind::Internal => {
            ApiError::new(ErrorCode::Internal, "something went wrong on the server")
                .hint("the server's log has more under the x-request-id of this answer")
        }
    };
    answer.internal(error)
}

//! The words of the API as schemas: the domain's own enums know nothing of OpenAPI.
#![expect(dead_code, reason = "only their schemas are used")]

use utoipa::ToSchema;

/// Where a call stands.
#[derive(ToSchema)]
#[schema(as = Status, rename_all = "snake_case")]
pub(crate) enum StatusWord {
    Queued,
    Starting,
    Dialing,
    Ringing,
    InProgress,
    Ended,
}

/// How a call ended.
#[derive(ToSchema)]
#[schema(as = Outcome, rename_all = "snake_case")]
pub(crate) enum OutcomeWord {
    Completed,
    Busy,
    NoAnswer,
    Rejected,
    Canceled,
    Unreachable,
    Throttled,
    AgentUnavailable,
    Failed,
    Interrupted,
}

/// Why a completed call ended.
#[derive(ToSchema)]
#[schema(as = EndReason, rename_all = "snake_case")]
pub(crate) enum EndReasonWord {
    CalleeHangup,
    AgentHangup,
    ApiHangup,
    MaxDuration,
    MediaTimeout,
}

/// Where the cause of an end lies.
#[derive(ToSchema)]
#[schema(as = Layer, rename_all = "snake_case")]
pub(crate) enum LayerWord {
    Api,
    Livekit,
    Sip,
    Agent,
    Server,
}

/// Who spoke.
#[derive(ToSchema)]
#[schema(as = Speaker, rename_all = "snake_case")]
pub(crate) enum SpeakerWord {
    Agent,
    User,
}

/// What the agent does.
#[derive(ToSchema)]
#[schema(as = AgentState, rename_all = "snake_case")]
pub(crate) enum AgentStateWord {
    Initializing,
    Idle,
    Listening,
    Thinking,
    Speaking,
}

/// Where the recording of a call stands.
#[derive(ToSchema)]
#[schema(as = RecordingStatus, rename_all = "snake_case")]
pub(crate) enum RecordingStatusWord {
    None,
    Pending,
    Available,
    Lost,
    Expired,
}

/// Whether all that was said is in the transcript.
#[derive(ToSchema)]
#[schema(as = TranscriptStatus, rename_all = "snake_case")]
pub(crate) enum TranscriptStatusWord {
    Partial,
    Complete,
}

/// A telephony provider.
#[derive(ToSchema)]
#[schema(as = CallService, rename_all = "snake_case")]
pub(crate) enum CallServiceWord {
    Twilio,
    Exotel,
}

/// What becomes of placeholders without a value.
#[derive(ToSchema)]
#[schema(as = OnMissing, rename_all = "snake_case")]
pub(crate) enum OnMissingWord {
    Empty,
    Keep,
    Reject,
}

/// By which way a Twilio trunk's calls leave.
#[derive(ToSchema)]
#[schema(as = TrunkRoute, rename_all = "snake_case")]
pub(crate) enum TrunkRouteWord {
    LivekitSip,
    Direct,
}

/// Whether media is encrypted.
#[derive(ToSchema)]
#[schema(as = MediaEncryption, rename_all = "snake_case")]
pub(crate) enum MediaEncryptionWord {
    Disabled,
    Require,
}

/// Which way audio seems to have been missing.
#[derive(ToSchema)]
#[schema(as = OneWayAudio, rename_all = "snake_case")]
pub(crate) enum OneWayWord {
    CalleeNotHeard,
    CalleeHearsNothing,
}

/// How the INVITE goes.
#[derive(ToSchema)]
#[schema(as = Transport, rename_all = "snake_case")]
pub(crate) enum TransportWord {
    Udp,
    Tcp,
    Tls,
}

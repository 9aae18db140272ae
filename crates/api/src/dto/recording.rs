//! Recordings on the wire.

use outdial_domain::{Recording, RecordingState, RoomName};
use serde::Serialize;
use utoipa::ToSchema;

use super::Timestamp;
use super::words::RecordingStatusWord;

/// The recording of a call. What does not apply is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recording)]
pub(crate) struct RecordingData {
    #[schema(value_type = RecordingStatusWord)]
    status: &'static str,
    /// Why it is lost, or why it could not be kept yet.
    reason: Option<String>,
    /// Where it is, when it is available: in a bucket, or `/calls/{room_name}/recording` of this
    /// server.
    url: Option<String>,
    /// The size of the file.
    #[schema(example = 824_712)]
    bytes: Option<u64>,
    /// How long it plays.
    #[schema(example = 330.42)]
    duration_seconds: Option<f64>,
    /// SHA-256 of the file, in hex.
    sha256: Option<String>,
    /// When its first sample was heard.
    begins_at: Option<Timestamp>,
    /// When it was kept.
    kept_at: Option<Timestamp>,
    /// When it is deleted, or was; `null` when it is kept until it is erased.
    expires_at: Option<Timestamp>,
    /// Why parts of the call are missing in it, if they are.
    gaps: Option<String>,
}

impl RecordingData {
    /// The recording that can be had under `url`, if it is available.
    pub(crate) fn new(state: RecordingState, url: Option<String>) -> Self {
        let none = Self {
            status: state.as_str(),
            reason: state.reason().map(str::to_owned),
            url,
            bytes: None,
            duration_seconds: None,
            sha256: None,
            begins_at: None,
            kept_at: None,
            expires_at: None,
            gaps: None,
        };
        match state {
            RecordingState::None | RecordingState::Pending { .. } | RecordingState::Lost { .. } => {
                none
            }
            RecordingState::Expired { at } => Self { expires_at: Some(at.into()), ..none },
            RecordingState::Available(recording) => {
                let Recording {
                    key: _,
                    url: _,
                    bytes,
                    sha256,
                    duration_ms,
                    begins_at,
                    kept_at,
                    expires_at,
                    gaps,
                } = recording;
                Self {
                    bytes: Some(bytes),
                    duration_seconds: Some(seconds(duration_ms)),
                    sha256: Some(sha256),
                    begins_at: Some(begins_at.into()),
                    kept_at: Some(kept_at.into()),
                    expires_at: expires_at.map(Timestamp::from),
                    gaps,
                    ..none
                }
            }
        }
    }
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// What became of the wish to erase a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureData {
    /// As it was asked for.
    #[schema(value_type = String)]
    room_name: RoomName,
    /// Whether all is gone.
    erased: bool,
}

impl ErasureData {
    pub(crate) fn new(room_name: RoomName, erased: bool) -> Self {
        Self { room_name, erased }
    }
}

//! The body of the end-of-call webhook.

use chrono::{DateTime, SecondsFormat, Utc};
use outdial_domain::{Call, Cause, Layer, Speaker, Status, TranscriptLine};
use serde::Serialize;
use serde_json::{Map, Value};

/// The body's `message`.
pub const MESSAGE: &str = "Call details fetched successfully";

/// The body of the end-of-call webhook: the keys of the published API in their order, then those
/// that this server adds.
#[derive(Debug, Clone, Serialize)]
pub struct EndOfCall<'a> {
    /// Always true: the notification itself is meant, not the call.
    pub success: bool,
    /// Always [`MESSAGE`].
    pub message: &'static str,
    /// The call.
    pub data: CallDetails<'a>,
}

/// The `data` of [`EndOfCall`]. Times are ISO 8601 in UTC with milliseconds,
/// `2024-01-15T10:00:00.000Z`.
#[derive(Debug, Clone, Serialize)]
pub struct CallDetails<'a> {
    /// The call's id.
    pub room_name: &'a str,
    /// The assistant's id.
    pub assistant_id: String,
    /// The assistant's name when the call was accepted.
    pub assistant_name: &'a str,
    /// The number that was called.
    pub to_number: &'a str,
    /// The caller id, if known.
    pub from_number: Option<&'a str>,
    /// The URL of the recording, when it is available.
    pub recording_path: Option<&'a str>,
    /// What was said, in order.
    pub transcripts: Vec<Line<'a>>,
    /// When the callee answered; without an answer when the call was dialled, else accepted.
    pub started_at: String,
    /// When the call ended.
    pub ended_at: Option<String>,
    /// Minutes from the answer to the end, to four decimals; 0 without an answer.
    pub call_duration_minutes: f64,
    /// The caller's metadata, as it came.
    pub metadata: &'a Map<String, Value>,
    /// Added: [`Status`], `ended`.
    pub call_status: &'static str,
    /// Added: how the call ended, [`Outcome`](outdial_domain::Outcome).
    pub outcome: Option<&'static str>,
    /// Added: why, where there is something to say.
    pub cause: Option<CauseDetails<'a>>,
    /// Added: why a completed call ended, [`EndReason`](outdial_domain::EndReason).
    pub end_reason: Option<&'static str>,
    /// Added: whether there is a recording: `available`, `pending` (it could not be kept in time and
    /// is tried again), `lost`, `expired` or `none`.
    pub recording_status: &'static str,
    /// Added: `complete`, or `partial` when lines may be missing. A call that was never answered has
    /// none, and none is missing.
    pub transcript_status: &'static str,
    /// Added: when the callee answered.
    pub answered_at: Option<String>,
    /// Added: when the call was accepted.
    pub created_at: String,
    /// Added: the service the caller named, `twilio` or `exotel`.
    pub call_service: &'static str,
}

/// A line of the transcript.
#[derive(Debug, Clone, Serialize)]
pub struct Line<'a> {
    /// `agent` or `user`.
    pub speaker: Speaker,
    /// What was said.
    pub text: &'a str,
    /// When it was begun to be said.
    pub timestamp: String,
}

/// The cause of a call's end.
#[derive(Debug, Clone, Serialize)]
pub struct CauseDetails<'a> {
    /// Where it lies: `api`, `livekit`, `sip`, `agent` or `server`.
    pub layer: Layer,
    /// A SIP status code such as `486`, or a word.
    pub code: &'a str,
    /// For a person.
    pub text: &'a str,
    /// Whether the same call may succeed later without any change.
    pub retryable: bool,
}

impl<'a> EndOfCall<'a> {
    /// The body for `call`, which should have ended, with its transcript in order.
    pub fn new(
        call: &'a Call,
        transcript: &'a [TranscriptLine],
        recording_path: Option<&'a str>,
    ) -> Self {
        Self {
            success: true,
            message: MESSAGE,
            data: CallDetails::new(call, transcript, recording_path),
        }
    }

    /// The body's bytes: what is signed and sent. The same call and transcript give the same bytes.
    pub fn to_json(&self) -> Vec<u8> {
        // Writing to memory does not fail, and JSON can express all that is in here: every key is a
        // text, the one number is finite.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl<'a> CallDetails<'a> {
    fn new(
        call: &'a Call,
        transcript: &'a [TranscriptLine],
        recording_path: Option<&'a str>,
    ) -> Self {
        let order = &call.order;
        let answered_at = call.time_of(Status::InProgress);
        let started_at =
            answered_at.or_else(|| call.time_of(Status::Dialing)).unwrap_or(order.created_at);
        let end = call.termination.as_ref();
        Self {
            room_name: order.room_name.as_str(),
            assistant_id: order.assistant_id.to_string(),
            assistant_name: &order.assistant_name,
            to_number: order.to_number.as_str(),
            from_number: order.from_number.as_ref().map(|number| number.as_str()),
            recording_path,
            transcripts: transcript.iter().map(Line::from).collect(),
            started_at: iso(started_at),
            ended_at: call.ended_at.map(iso),
            call_duration_minutes: call.talk_minutes(),
            metadata: &order.metadata,
            call_status: call.status().as_str(),
            outcome: end.map(|end| end.outcome.as_str()),
            cause: end.and_then(|end| end.cause.as_ref()).map(Into::into),
            end_reason: end.and_then(|end| end.end_reason).map(|reason| reason.as_str()),
            recording_status: call.recording.as_str(),
            transcript_status: call.transcript_status().as_str(),
            answered_at: answered_at.map(iso),
            created_at: iso(order.created_at),
            call_service: order.call_service.as_str(),
        }
    }
}

impl<'a> From<&'a TranscriptLine> for Line<'a> {
    fn from(line: &'a TranscriptLine) -> Self {
        let TranscriptLine { speaker, text, timestamp } = line;
        Self { speaker: *speaker, text, timestamp: iso(*timestamp) }
    }
}

impl<'a> From<&'a Cause> for CauseDetails<'a> {
    fn from(cause: &'a Cause) -> Self {
        let Cause { layer, code, text, retryable } = cause;
        Self { layer: *layer, code, text, retryable: *retryable }
    }
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;

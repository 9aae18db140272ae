//! Calls on the wire.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use outdial_domain::placeholder::PlaceholderReport;
use outdial_domain::ports::{CallFilter, Delivery, PageRequest};
use outdial_domain::{
    AccountId, AgentState, AssistantId, Call, CallService, Cause, DeliveryId, Digit, Digits, E164,
    EndReason, Layer, MediaQuality, OneWay, Order, Outcome, RoomName, Speaker, Status,
    TranscriptLine, TranscriptStatus, TrunkId, WebhookState,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::Timestamp;
use super::recording::RecordingData;
use super::words::{
    AgentStateWord, CallServiceWord, EndReasonWord, LayerWord, OneWayWord, OutcomeWord,
    SpeakerWord, StatusWord, TranscriptStatusWord,
};
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};
use crate::input::fields::Fields;
use crate::input::page::List;
use crate::input::query::{self, Query};
use crate::input::rules::{OneOf, parse_number, parsed};

const STATUS: OneOf<Status> = OneOf(&[
    ("queued", Status::Queued),
    ("starting", Status::Starting),
    ("dialing", Status::Dialing),
    ("ringing", Status::Ringing),
    ("in_progress", Status::InProgress),
    ("ended", Status::Ended),
]);

const OUTCOME: OneOf<Outcome> = OneOf(&[
    ("completed", Outcome::Completed),
    ("busy", Outcome::Busy),
    ("no_answer", Outcome::NoAnswer),
    ("rejected", Outcome::Rejected),
    ("canceled", Outcome::Canceled),
    ("unreachable", Outcome::Unreachable),
    ("throttled", Outcome::Throttled),
    ("agent_unavailable", Outcome::AgentUnavailable),
    ("failed", Outcome::Failed),
    ("interrupted", Outcome::Interrupted),
]);

/// Which calls are wanted: all conditions must hold.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallQuery {
    /// In this status.
    #[param(value_type = Option<StatusWord>)]
    status: Option<Status>,
    /// With this outcome.
    #[param(value_type = Option<OutcomeWord>)]
    outcome: Option<Outcome>,
    /// To this number, in E.164 format; the `+` may be written as it is or as `%2B`.
    #[param(value_type = Option<String>, example = "+15550200000")]
    to_number: Option<E164>,
    /// Of this assistant.
    #[param(value_type = Option<String>, format = Uuid)]
    assistant_id: Option<AssistantId>,
    /// Created at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    created_to: Option<DateTime<Utc>>,
}

impl CallQuery {
    /// The filter and the page.
    pub(crate) fn read(
        mut query: Query<'_>,
        account: AccountId,
    ) -> Result<(CallFilter, PageRequest)> {
        let page = List::Calls.page(&mut query)?;
        let wanted = Self {
            status: query.read("status", |name, text| STATUS.parse(name, text))?,
            outcome: query.read("outcome", |name, text| OUTCOME.parse(name, text))?,
            to_number: query
                .read("to_number", |name, text| parse_number(name, &query::plus(text)))?,
            assistant_id: query.read("assistant_id", |name, text| {
                text.parse().map_err(|error| {
                    let message = format!("{name}: {error}");
                    ApiError::field(ErrorCode::InvalidField, name, message)
                })
            })?,
            created_from: query.read("created_from", query::time)?,
            created_to: query.read("created_to", query::time)?,
        };
        query.finish()?;
        Ok((wanted.filter(account), page))
    }

    fn filter(self, account_id: AccountId) -> CallFilter {
        let Self { status, outcome, to_number, assistant_id, created_from, created_to } = self;
        CallFilter {
            account_id,
            status,
            outcome,
            to_number,
            assistant_id,
            created_from,
            created_to,
        }
    }
}

/// The cause of a call's end, as exact as it is known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cause)]
pub(crate) struct CauseData {
    #[schema(value_type = LayerWord)]
    layer: Layer,
    /// A SIP status code, or a word.
    #[schema(example = "486")]
    code: String,
    #[schema(example = "Busy Here")]
    text: String,
    /// Whether the same call may succeed later.
    retryable: bool,
}

impl From<Cause> for CauseData {
    fn from(cause: Cause) -> Self {
        let Cause { layer, code, text, retryable } = cause;
        Self { layer, code, text, retryable }
    }
}

/// Which placeholders had no value, and which metadata keys no text used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Placeholders)]
pub(crate) struct PlaceholdersData {
    missing: Vec<String>,
    unused: Vec<String>,
}

impl From<PlaceholderReport> for PlaceholdersData {
    fn from(report: PlaceholderReport) -> Self {
        let PlaceholderReport { missing, unused } = report;
        Self { missing: missing.into_iter().collect(), unused: unused.into_iter().collect() }
    }
}

/// Where the end-of-call webhook stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookData {
    /// `none` (the assistant has no URL), `pending`, `delivered` or `dead` (all tries failed).
    #[schema(example = "delivered")]
    state: &'static str,
    /// Tries so far, while it is pending.
    attempts: Option<u32>,
    /// When it is next tried, while it is pending and the call has ended.
    next_at: Option<Timestamp>,
}

impl WebhookData {
    fn new(webhook: WebhookState, ended: bool) -> Self {
        let of = |state| Self { state, attempts: None, next_at: None };
        match webhook {
            WebhookState::None => of("none"),
            WebhookState::Pending { attempts, next_at } => Self {
                state: "pending",
                attempts: Some(attempts),
                next_at: ended.then_some(Timestamp(next_at)),
            },
            WebhookState::Delivered => of("delivered"),
            WebhookState::Dead => of("dead"),
        }
    }
}

/// How well the media between this server and the trunk went, in RTP packets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Media)]
pub(crate) struct MediaData {
    /// From the callee.
    packets_received: u64,
    /// From the callee, and never came.
    packets_lost: u64,
    /// The same per hundred that were sent.
    loss_percent: f64,
    /// To the callee.
    packets_sent: u64,
    /// To the callee, and never came there, as its side reports.
    remote_packets_lost: u64,
    /// The same per hundred that were sent.
    remote_loss_percent: f64,
    /// From elsewhere, or no RTP of this call: dropped unheard.
    packets_discarded: u64,
    /// How unevenly packets from the callee came, at last.
    jitter_ms: f64,
    /// The same at its worst.
    max_jitter_ms: f64,
    /// There and back, when the callee's side tells.
    round_trip_ms: Option<f64>,
    /// Set when audio seems to have gone one way only.
    #[schema(value_type = Option<OneWayWord>)]
    one_way_audio: Option<OneWay>,
}

impl From<MediaQuality> for MediaData {
    fn from(media: MediaQuality) -> Self {
        let (loss_percent, remote_loss_percent) =
            (media.loss_percent(), media.remote_loss_percent());
        let MediaQuality {
            packets_received,
            packets_sent,
            packets_lost,
            remote_packets_lost,
            discarded,
            jitter_us,
            max_jitter_us,
            round_trip_us,
            one_way,
        } = media;
        Self {
            packets_received,
            packets_lost,
            loss_percent,
            packets_sent,
            remote_packets_lost,
            remote_loss_percent,
            packets_discarded: discarded,
            jitter_ms: millis(jitter_us),
            max_jitter_ms: millis(max_jitter_us),
            round_trip_ms: round_trip_us.map(millis),
            one_way_audio: one_way,
        }
    }
}

/// Microseconds as milliseconds; more than an hour is an hour.
fn millis(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX).min(3_600_000_000)) / 1000.0
}

/// A call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
pub(crate) struct CallData {
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000_abc123def456")]
    room_name: RoomName,
    #[schema(value_type = StatusWord)]
    status: Status,
    /// Set when the call has ended.
    #[schema(value_type = Option<OutcomeWord>)]
    outcome: Option<Outcome>,
    cause: Option<CauseData>,
    /// Set when the call was completed.
    #[schema(value_type = Option<EndReasonWord>)]
    end_reason: Option<EndReason>,
    #[schema(value_type = String, format = Uuid)]
    assistant_id: AssistantId,
    assistant_name: String,
    #[schema(value_type = String)]
    trunk_id: TrunkId,
    #[schema(value_type = String, example = "+15550200000")]
    to_number: E164,
    #[schema(value_type = Option<String>, example = "+15550100000")]
    from_number: Option<E164>,
    #[schema(value_type = CallServiceWord)]
    call_service: CallService,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    placeholders: PlaceholdersData,
    /// When the call was accepted.
    created_at: Timestamp,
    /// When the server began to act on it. (Not the webhook's `started_at`, which is the answer.)
    starting_at: Option<Timestamp>,
    /// When the leg joined the room, or the INVITE went out.
    dialed_at: Option<Timestamp>,
    /// When the phone began to ring.
    ringing_at: Option<Timestamp>,
    /// When the callee answered.
    answered_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// Whether the callee's side has put the call on hold; known of calls that leave directly.
    held: bool,
    /// From the answer to the end; 0 when never answered or not yet ended.
    call_duration_minutes: f64,
    /// The same as `recording.url`: where the recording is, when it is available.
    recording_path: Option<String>,
    recording: RecordingData,
    /// Set when the call has ended: `partial` when lines may be missing.
    #[schema(value_type = Option<TranscriptStatusWord>)]
    transcript_status: Option<TranscriptStatus>,
    /// How well the media went; `null` where that is not counted (calls through LiveKit SIP).
    media: Option<MediaData>,
    webhook: WebhookData,
}

impl CallData {
    /// A call whose recording can be had under `recording_path`, if it is available.
    pub(crate) fn new(call: Call, recording_path: Option<String>) -> Self {
        let (status, held) = (call.status(), call.is_held());
        let ended = status == Status::Ended;
        let transcript_status = ended.then(|| call.transcript_status());
        let call_duration_minutes = call.talk_minutes();
        // The timeline's times, not the raw ones: they never run backwards.
        let timeline = call.timeline();
        let at = |wanted: Status| {
            timeline.iter().find(|(status, _)| *status == wanted).map(|(_, at)| Timestamp(*at))
        };
        let (starting_at, dialed_at, ringing_at, answered_at, ended_at) = (
            at(Status::Starting),
            at(Status::Dialing),
            at(Status::Ringing),
            at(Status::InProgress),
            at(Status::Ended),
        );
        let Call { order, facts, termination, recording, webhook, .. } = call;
        let Order {
            room_name,
            assistant_id,
            assistant_name,
            trunk_id,
            call_service,
            to_number,
            from_number,
            metadata,
            placeholders,
            created_at,
            ..
        } = Arc::unwrap_or_clone(order);
        let (outcome, cause, end_reason) = match termination {
            Some(end) => (Some(end.outcome), end.cause.map(CauseData::from), end.end_reason),
            None => (None, None, None),
        };
        Self {
            room_name,
            status,
            outcome,
            cause,
            end_reason,
            assistant_id,
            assistant_name,
            trunk_id,
            to_number,
            from_number,
            call_service,
            metadata,
            placeholders: placeholders.into(),
            created_at: created_at.into(),
            starting_at,
            dialed_at,
            ringing_at,
            answered_at,
            ended_at,
            held,
            call_duration_minutes,
            recording: RecordingData::new(recording, recording_path.clone()),
            recording_path,
            transcript_status,
            media: facts.media.map(MediaData::from),
            webhook: WebhookData::new(webhook, ended),
        }
    }
}

/// One line of a transcript.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptLine)]
pub(crate) struct LineData {
    #[schema(value_type = SpeakerWord)]
    speaker: Speaker,
    #[schema(example = "Hello John, how can I help you today?")]
    text: String,
    timestamp: Timestamp,
}

impl From<TranscriptLine> for LineData {
    fn from(line: TranscriptLine) -> Self {
        let TranscriptLine { speaker, text, timestamp } = line;
        Self { speaker, text, timestamp: timestamp.into() }
    }
}

/// What was said so far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transcript)]
pub(crate) struct TranscriptData {
    #[schema(value_type = String)]
    room_name: RoomName,
    transcripts: Vec<LineData>,
}

impl TranscriptData {
    pub(crate) fn new(room_name: RoomName, lines: Vec<TranscriptLine>) -> Self {
        Self { room_name, transcripts: lines.into_iter().map(LineData::from).collect() }
    }
}

/// The data of a `status` event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusEvent {
    #[schema(value_type = StatusWord)]
    pub(crate) status: Status,
    pub(crate) at: Timestamp,
    /// The call as it is now.
    pub(crate) call: CallData,
}

/// The data of a `transcript` event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineEvent {
    /// The line's number; the first is 0.
    pub(crate) index: usize,
    #[serde(flatten)]
    pub(crate) line: LineData,
}

/// The data of an `agent_state` event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentEvent {
    #[schema(value_type = AgentStateWord)]
    pub(crate) state: AgentState,
}

/// The data of `call_held` and `call_resumed` events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HoldEvent {
    pub(crate) at: Timestamp,
}

/// The data of a `dtmf` event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DtmfEvent {
    /// The key that the callee has pressed: `0` to `9`, `*`, `#`, `A` to `D`.
    #[schema(example = "5")]
    digit: char,
    at: Timestamp,
}

impl DtmfEvent {
    pub(crate) fn new(digit: Digit, at: DateTime<Utc>) -> Self {
        Self { digit: digit.as_char(), at: Timestamp(at) }
    }
}

/// Digits to send to the callee.
#[derive(Debug, ToSchema)]
pub(crate) struct SendDtmf {
    /// 1 to 32 of `0` to `9`, `*`, `#`, `A` to `D`, and pauses: `w` of 0.5 s, `,` of 2 s.
    #[schema(value_type = String, max_length = 32, pattern = "^[0-9*#A-Da-dw,]{1,32}$", example = "12#")]
    pub(crate) digits: Digits,
}

impl SendDtmf {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        let send = Self { digits: body.required("digits", parsed("12#"))? };
        body.finish()?;
        Ok(send)
    }
}

/// One attempt to deliver a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryData {
    #[schema(value_type = String, example = "DL_a1b2c3d4e5f6g7h8")]
    delivery_id: DeliveryId,
    /// The `webhook-id` header: the same for every attempt of a call.
    webhook_id: String,
    /// Counts from 1, since the last replay.
    attempt: u32,
    at: Timestamp,
    duration_ms: u64,
    /// The endpoint's answer, if one came.
    status_code: Option<u16>,
    error: Option<String>,
}

impl From<Delivery> for DeliveryData {
    fn from(delivery: Delivery) -> Self {
        let Delivery {
            delivery_id,
            room_name: _,
            webhook_id,
            attempt,
            at,
            duration_ms,
            status_code,
            error,
        } = delivery;
        Self { delivery_id, webhook_id, attempt, at: at.into(), duration_ms, status_code, error }
    }
}

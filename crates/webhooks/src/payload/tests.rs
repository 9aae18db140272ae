use chrono::TimeDelta;
use outdial_domain::{
    AccountId, CallService, HangUpReason, Hint, LegEnd, Order, Recording, RecordingState, Route,
    SipStatus, TranscriptStatus, TrunkId, placeholder::PlaceholderReport,
};
use serde_json::json;

use super::*;

/// The example of the published API, character by character.
const PUBLISHED: &str = r#"{
  "success": true,
  "message": "Call details fetched successfully",
  "data": {
    "room_name": "550e8400-e29b-41d4-a716-446655440000_abc123",
    "assistant_id": "550e8400-e29b-41d4-a716-446655440000",
    "assistant_name": "Support Agent",
    "to_number": "+15550200000",
    "from_number": "+15550100000",
    "recording_path": "https://your-bucket.s3.us-east-1.amazonaws.com/recordings/call_abc123.ogg",
    "transcripts": [
      {
        "speaker": "agent",
        "text": "Hello John, how can I help you today?",
        "timestamp": "2024-01-15T10:00:01.000Z"
      },
      {
        "speaker": "user",
        "text": "I need help with my order.",
        "timestamp": "2024-01-15T10:00:05.000Z"
      },
      {
        "speaker": "agent",
        "text": "I'd be happy to help. What's your order number?",
        "timestamp": "2024-01-15T10:00:08.000Z"
      }
    ],
    "started_at": "2024-01-15T10:00:00.000Z",
    "ended_at": "2024-01-15T10:05:30.000Z",
    "call_duration_minutes": 5.5,
    "metadata": {
      "name": "John Doe",
      "customer_id": "12345"
    }
  }
}"#;

const RECORDING: &str = "https://your-bucket.s3.us-east-1.amazonaws.com/recordings/call_abc123.ogg";

/// Seconds from the example's answer.
fn t(seconds: i64) -> DateTime<Utc> {
    let answer: DateTime<Utc> = "2024-01-15T10:00:00Z".parse().unwrap();
    answer + TimeDelta::seconds(seconds)
}

fn call() -> Call {
    let assistant_id = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
    Call::new(Order {
        room_name: "550e8400-e29b-41d4-a716-446655440000_abc123".parse().unwrap(),
        account_id: AccountId::random(),
        assistant_id,
        assistant_name: "Support Agent".into(),
        agent_name: "agent".into(),
        assistant_prompt: "a prompt that stays here".into(),
        assistant_start_instruction: String::new(),
        agent_config: Value::Null,
        recording: true,
        end_call_url: None,
        webhook_secrets: vec![],
        trunk_id: TrunkId::random(),
        route: Route::Twilio,
        call_service: CallService::Twilio,
        to_number: "+15550200000".parse().unwrap(),
        from_number: Some("+15550100000".parse().unwrap()),
        metadata: serde_json::from_value(json!({"name": "John Doe", "customer_id": "12345"}))
            .unwrap(),
        placeholders: PlaceholderReport::default(),
        max_concurrent_calls: None,
        max_duration_secs: 3600,
        created_at: t(-20),
    })
}

fn completed() -> Call {
    let mut call = call();
    call.started_at = Some(t(-19));
    for hint in [
        Hint::Joined { at: t(-18), participant: None },
        Hint::Answered { at: t(0) },
        Hint::TranscriptEnded { status: TranscriptStatus::Complete },
        Hint::Ended { at: t(330), end: LegEnd::CalleeHangup },
    ] {
        call.apply(&hint);
    }
    call.close(t(331));
    call.recording = RecordingState::Available(recording());
    call
}

fn recording() -> Recording {
    Recording {
        key: "recordings/call_abc123.ogg".into(),
        url: Some(RECORDING.into()),
        bytes: 4711,
        sha256: "00".repeat(32),
        duration_ms: 330_000,
        begins_at: t(0),
        kept_at: t(332),
        expires_at: None,
        gaps: None,
    }
}

fn transcript() -> Vec<TranscriptLine> {
    [
        (Speaker::Agent, "Hello John, how can I help you today?", 1),
        (Speaker::User, "I need help with my order.", 5),
        (Speaker::Agent, "I'd be happy to help. What's your order number?", 8),
    ]
    .map(|(speaker, text, at)| TranscriptLine { speaker, text: text.into(), timestamp: t(at) })
    .into()
}

fn data(call: &Call) -> Value {
    let body = EndOfCall::new(call, &[], None).to_json();
    serde_json::from_slice::<Value>(&body).unwrap()["data"].take()
}

#[test]
fn the_published_example_key_by_key() {
    let (call, transcript) = (completed(), transcript());
    let body = EndOfCall::new(&call, &transcript, Some(RECORDING));
    let mut body: Value = serde_json::from_slice(&body.to_json()).unwrap();
    let expect: Value = serde_json::from_str(PUBLISHED).unwrap();

    let data = body["data"].as_object_mut().unwrap();
    let added: Map<String, Value> = data
        .iter()
        .filter(|(key, _)| expect["data"].get(key.as_str()).is_none())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    data.retain(|key, _| expect["data"].get(key).is_some());
    assert_eq!(body, expect);
    assert_eq!(
        Value::Object(added),
        json!({
            "call_status": "ended",
            "outcome": "completed",
            "cause": null,
            "end_reason": "callee_hangup",
            "recording_status": "available",
            "transcript_status": "complete",
            "answered_at": "2024-01-15T10:00:00.000Z",
            "created_at": "2024-01-15T09:59:40.000Z",
            "call_service": "twilio",
        })
    );
}

#[test]
fn keys_stand_in_the_published_order() {
    let (call, transcript) = (completed(), transcript());
    let body = EndOfCall::new(&call, &transcript, Some(RECORDING));
    let text = serde_json::to_string_pretty(&body).unwrap();
    // The order inside of metadata is serde_json's business, so compare what comes before it.
    let before = |text: &str| text.split("\"metadata\"").next().unwrap().to_owned();
    assert_eq!(before(&text), before(PUBLISHED));
    assert!(!text.contains("a prompt that stays here"));
}

#[test]
fn a_call_that_was_never_answered_starts_with_its_dial() {
    let mut call = call();
    call.order_mut().from_number = None;
    call.started_at = Some(t(-19));
    call.apply(&Hint::Joined { at: t(-18), participant: None });
    let busy = SipStatus { code: 486, reason: "Busy Here".into() };
    call.apply(&Hint::Ended { at: t(-10), end: LegEnd::Refused(busy) });
    call.close(t(-9));
    let data = data(&call);
    for (key, expect) in [
        ("from_number", Value::Null),
        ("recording_path", Value::Null),
        ("transcripts", json!([])),
        ("started_at", json!("2024-01-15T09:59:42.000Z")),
        ("ended_at", json!("2024-01-15T09:59:50.000Z")),
        ("call_duration_minutes", json!(0.0)),
        ("call_status", json!("ended")),
        ("outcome", json!("busy")),
        ("cause", json!({"layer": "sip", "code": "486", "text": "Busy Here", "retryable": true})),
        ("end_reason", Value::Null),
        // Nobody was on the line: there is nothing to be recorded and nothing that could be missing.
        ("recording_status", json!("none")),
        ("transcript_status", json!("complete")),
        ("answered_at", Value::Null),
    ] {
        assert_eq!(data[key], expect, "{key}");
    }
}

#[test]
fn a_call_that_was_never_dialled_starts_with_its_creation() {
    let mut call = call();
    call.decide_hang_up(t(-15), HangUpReason::Api);
    call.close(t(-15));
    let data = data(&call);
    assert_eq!(data["started_at"], "2024-01-15T09:59:40.000Z");
    assert_eq!(data["ended_at"], "2024-01-15T09:59:45.000Z");
    assert_eq!(data["outcome"], "canceled");
}

#[test]
fn the_state_of_the_recording_is_told() {
    let mut call = completed();
    for (state, expect) in [
        (RecordingState::None, "none"),
        (RecordingState::Pending { attempts: 1, next_at: t(336), reason: None }, "pending"),
        (RecordingState::Lost { reason: "nothing was captured".into() }, "lost"),
        (RecordingState::Expired { at: t(400) }, "expired"),
    ] {
        call.recording = state;
        let data = data(&call);
        assert_eq!(data["recording_status"], expect);
        assert_eq!(data["recording_path"], Value::Null);
    }
}

#[test]
fn a_transcript_that_nobody_vouches_for_is_partial() {
    let mut call = completed();
    call.facts.transcript = None;
    assert_eq!(data(&call)["transcript_status"], "partial");
}

#[test]
fn times_have_exactly_three_decimals() {
    let at = t(0) + TimeDelta::nanoseconds(1_999_999);
    assert_eq!(iso(at), "2024-01-15T10:00:00.001Z");
}

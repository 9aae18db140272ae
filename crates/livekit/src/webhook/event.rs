//! The body of a webhook.
//!
//! Read as loose JSON: typed protobuf-JSON refuses a whole event for one unknown enum name, and
//! LiveKit adds names with every release. Names may be lowerCamelCase (webhooks) or snake_case
//! (Twirp), enums names or numbers, 64-bit numbers text or numbers; whatever is missing or odd
//! counts as not set.

use chrono::{DateTime, TimeDelta, Utc};
use livekit_protocol::DisconnectReason;
use outdial_domain::{Hint, LegEnd, Participant, RoomName};
use serde_json::Value;

use crate::attributes::CALL_STATUS;
use crate::leg::{CallStatus, Leg, leg_end_of_disconnect, time_of_millis};

/// The callee's identity begins so; see `Order::participant_identity` of the domain.
const PHONE: &str = "phone-";

/// The hints in an event about one of our rooms.
pub(super) fn read(event: &Value, now: DateTime<Utc>) -> Option<(RoomName, Vec<Hint>)> {
    let room = text(field(event, "room")?, "name")?.parse().ok()?;
    let at = time_of(event, now);
    let participant = field(event, "participant");
    let hints = match text(event, "event")? {
        "participant_joined" => joined(participant?, at),
        "participant_left" => left(participant?, at),
        "participant_connection_aborted" => aborted(participant?, at),
        "room_finished" => vec![Hint::Ended { at, end: LegEnd::Left }],
        _ => Vec::new(),
    };
    (!hints.is_empty()).then_some((room, hints))
}

fn joined(participant: &Value, at: DateTime<Utc>) -> Vec<Hint> {
    match who(participant) {
        Who::Phone => leg_of(participant).hints(at),
        Who::Agent => {
            let at = joined_at(participant).map_or(at, |joined| joined.min(at));
            vec![Hint::AgentJoined { at }]
        }
        Who::Other => Vec::new(),
    }
}

fn left(participant: &Value, at: DateTime<Utc>) -> Vec<Hint> {
    match who(participant) {
        Who::Phone => {
            let leg = leg_of(participant);
            let end = leg_end_of_disconnect(reason_of(participant), leg.status);
            // It had joined, whether we heard of that or not, and may have been answered.
            let mut hints = leg.hints(at);
            hints.retain(|hint| !matches!(hint, Hint::Ended { .. }));
            hints.push(Hint::Ended { at, end });
            hints
        }
        Who::Agent => vec![Hint::AgentLeft { at }],
        Who::Other => Vec::new(),
    }
}

/// Someone never got connected, and so never was in the room.
fn aborted(participant: &Value, at: DateTime<Utc>) -> Vec<Hint> {
    match who(participant) {
        Who::Phone => {
            let status = leg_of(participant).status;
            let end = leg_end_of_disconnect(reason_of(participant), status);
            vec![Hint::Ended { at, end }]
        }
        Who::Agent | Who::Other => Vec::new(),
    }
}

enum Who {
    Phone,
    Agent,
    Other,
}

fn who(participant: &Value) -> Who {
    let hidden = field(participant, "permission")
        .and_then(|permission| field(permission, "hidden"))
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let phone = text(participant, "identity").is_some_and(|id| id.starts_with(PHONE));
    // Numbers: `ParticipantInfo.Kind`. An unknown kind with the phone's identity is the phone.
    match field(participant, "kind") {
        _ if hidden => Who::Other,
        Some(kind) if *kind == "AGENT" || *kind == 4 => Who::Agent,
        Some(kind) if *kind == "EGRESS" || *kind == 2 => Who::Other,
        Some(kind) if *kind == "INGRESS" || *kind == 1 => Who::Other,
        _ if phone => Who::Phone,
        _ => Who::Other,
    }
}

fn leg_of(participant: &Value) -> Leg {
    let attribute = field(participant, "attributes").and_then(|all| text(all, CALL_STATUS));
    let owned = |name| text(participant, name).unwrap_or_default().to_owned();
    Leg {
        participant: Participant { sid: owned("sid"), identity: owned("identity") },
        status: attribute.map_or(CallStatus::Unknown, CallStatus::parse),
        joined_at: joined_at(participant),
    }
}

fn joined_at(participant: &Value) -> Option<DateTime<Utc>> {
    time_of_millis(integer(participant, "joinedAtMs", "joined_at_ms")?)
}

fn reason_of(participant: &Value) -> DisconnectReason {
    let reason = either(participant, "disconnectReason", "disconnect_reason");
    match reason {
        Some(Value::String(name)) => DisconnectReason::from_str_name(name),
        Some(Value::Number(number)) => number
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .and_then(|n| DisconnectReason::try_from(n).ok()),
        _ => None,
    }
    .unwrap_or(DisconnectReason::UnknownReason)
}

/// When it happened, as far as can be told: never later than now.
///
/// LiveKit writes whole seconds, cut off. Of several sources the earliest time counts, so that the
/// end of that second is the safe reading: a message that comes at once is dated by its arrival.
fn time_of(event: &Value, now: DateTime<Utc>) -> DateTime<Utc> {
    /// Seconds have ten digits until the year 2286, milliseconds thirteen.
    const MILLIS: i64 = 100_000_000_000;
    let created = match integer(event, "createdAt", "created_at") {
        Some(millis) if millis >= MILLIS => time_of_millis(millis),
        Some(seconds) if seconds > 0 => DateTime::from_timestamp(seconds, 0)
            .and_then(|at| at.checked_add_signed(TimeDelta::seconds(1))),
        _ => None,
    };
    created.map_or(now, |created| created.min(now))
}

fn either<'a>(object: &'a Value, camel: &str, snake: &str) -> Option<&'a Value> {
    field(object, camel).or_else(|| field(object, snake))
}

fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    field(object, name)?.as_str()
}

fn integer(object: &Value, camel: &str, snake: &str) -> Option<i64> {
    match either(object, camel, snake)? {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    }
}

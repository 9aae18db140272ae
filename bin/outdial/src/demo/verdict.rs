//! Whether the demo truly happened.

use chrono::{DateTime, Utc};
use outdial_webhooks::sign::{self, SigningSecret};
use serde_json::{Value, json};

use super::receiver::Received;

/// Everything that was seen of a call.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// The `data` of the answer to `POST /call/outbound`.
    pub(super) answer: Value,
    /// What was asked for.
    pub(super) request: Value,
    /// The statuses that were streamed, in order.
    pub(super) statuses: Vec<String>,
    /// The lines that were streamed, in order.
    pub(super) lines: Vec<Value>,
    /// The call's record after its end.
    pub(super) call: Value,
    /// The webhook that arrived.
    pub(super) webhook: Received,
    /// How many more arrived.
    pub(super) repeated: usize,
    /// What signs the webhook.
    pub(super) secret: String,
    /// The recording.
    pub(super) recording: Vec<u8>,
    /// Where the server is.
    pub(super) url: String,
}

/// A check by its name, and why it failed.
pub(super) type Check = (&'static str, Result<(), String>);

impl Evidence {
    /// Judges it all; `now` is when the webhook arrived.
    pub(super) fn judge(&self, now: DateTime<Utc>) -> Vec<Check> {
        let payload = serde_json::from_slice::<Value>(&self.webhook.body).unwrap_or_default();
        vec![
            ("the answer has the keys of the published API", self.answer_has_its_keys()),
            ("the call went from ringing through the answer to its end", self.was_whole()),
            ("the placeholders were filled in", self.was_personal()),
            ("the webhook's signature is valid", self.signature(now)),
            ("the webhook came once", none_more(self.repeated)),
            ("its payload tells what the call's record says", self.payload_is_true(&payload)),
            ("its transcript is the one that was streamed", self.transcript_is_true(&payload)),
            ("its recording is there: stereo, in Ogg/Opus", self.recording_is_there(&payload)),
            ("the server knows that it was delivered", self.delivered()),
        ]
    }

    fn answer_has_its_keys(&self) -> Result<(), String> {
        let identity = format!("phone-{}", self.request["to_number"].as_str().unwrap_or_default());
        same("participant.identity", &self.answer["participant"]["identity"], &json!(identity))?;
        let room_name = self.answer["room_name"].as_str().unwrap_or_default();
        let assistant = self.request["assistant_id"].as_str().unwrap_or("?");
        match room_name.strip_prefix(assistant) {
            Some(suffix) if suffix.starts_with('_') => {}
            _ => return Err(format!("the room is named {room_name:?}")),
        }
        let dispatch = &self.answer["agent_dispatch"];
        match (&dispatch["id"], &dispatch["state"]) {
            (Value::String(_), Value::String(_)) => Ok(()),
            _ => Err(format!("agent_dispatch is {dispatch}")),
        }
    }

    fn was_whole(&self) -> Result<(), String> {
        let order = ["ringing", "in_progress", "ended"];
        let mut seen = self.statuses.iter().filter(|status| order.contains(&&***status));
        let whole = order.iter().all(|status| seen.next().is_some_and(|s| s == status));
        if !whole || seen.next().is_some() {
            return Err(format!("it was {}", self.statuses.join(", ")));
        }
        same("outcome", &self.call["outcome"], &json!("completed"))
    }

    fn was_personal(&self) -> Result<(), String> {
        let first = self.lines.first().and_then(|line| line["text"].as_str()).unwrap_or_default();
        let name = self.request["metadata"]["name"].as_str().unwrap_or("?");
        match first.contains(name) && !first.contains("{{") {
            true => Ok(()),
            false => Err(format!("the first line is {first:?}")),
        }
    }

    fn signature(&self, now: DateTime<Utc>) -> Result<(), String> {
        let secret: SigningSecret = self.secret.parse().map_err(|e| format!("{e}"))?;
        let Received { id, timestamp, signature, body } = &self.webhook;
        let message = sign::Received { id, timestamp, signature, body };
        sign::verify([&secret], &message, now).map_err(|error| error.to_string())
    }

    fn payload_is_true(&self, payload: &Value) -> Result<(), String> {
        same("success", &payload["success"], &json!(true))?;
        let data = &payload["data"];
        for key in [
            "assistant_id",
            "assistant_name",
            "to_number",
            "metadata",
            "outcome",
            "end_reason",
            "answered_at",
            "ended_at",
        ] {
            same(key, &data[key], &self.call[key])?;
        }
        same("room_name", &data["room_name"], &self.answer["room_name"])?;
        same("metadata", &data["metadata"], &self.request["metadata"])?;
        same("started_at", &data["started_at"], &self.call["answered_at"])?;
        let minutes = |value: &Value| value["call_duration_minutes"].as_f64().unwrap_or(f64::NAN);
        let (told, recorded) = (minutes(data), minutes(&self.call));
        // Both are rounded.
        match (told - recorded).abs() < 0.000_1 && told > 0.0 {
            true => Ok(()),
            false => Err(format!("call_duration_minutes is {told}, not {recorded}")),
        }
    }

    fn transcript_is_true(&self, payload: &Value) -> Result<(), String> {
        let lines = payload["data"]["transcripts"].as_array().map_or(&[][..], Vec::as_slice);
        if lines.is_empty() || lines.len() != self.lines.len() {
            return Err(format!("{} lines, {} were streamed", lines.len(), self.lines.len()));
        }
        for (told, streamed) in lines.iter().zip(&self.lines) {
            for key in ["speaker", "text", "timestamp"] {
                same(key, &told[key], &streamed[key])?;
            }
        }
        Ok(())
    }

    fn recording_is_there(&self, payload: &Value) -> Result<(), String> {
        let room_name = self.answer["room_name"].as_str().unwrap_or_default();
        let path = json!(format!("{}/calls/{room_name}/recording", self.url));
        same("recording_path", &payload["data"]["recording_path"], &path)?;
        same("recording_status", &payload["data"]["recording_status"], &json!("available"))?;
        let bytes = &self.recording;
        same("recording.bytes", &self.call["recording"]["bytes"], &json!(bytes.len()))?;
        // RFC 7845, section 5.1: the first page holds the header, which holds the channels.
        let header = bytes.windows(8).position(|eight| eight == b"OpusHead");
        match header.filter(|_| bytes.starts_with(b"OggS")).and_then(|at| bytes.get(at + 9)) {
            Some(2) => Ok(()),
            _ => Err(format!("{} bytes are no stereo Ogg/Opus", bytes.len())),
        }
    }

    fn delivered(&self) -> Result<(), String> {
        same("webhook.state", &self.call["webhook"]["state"], &json!("delivered"))
    }
}

fn same(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    match found == expected && !found.is_null() {
        true => Ok(()),
        false => Err(format!("{what} is {found}, not {expected}")),
    }
}

fn none_more(count: usize) -> Result<(), String> {
    match count {
        0 => Ok(()),
        more => Err(format!("{more} more came")),
    }
}

#[cfg(test)]
mod tests {
    use outdial_domain::Secret;

    use super::*;

    fn good() -> Evidence {
        let line = json!({"speaker": "agent", "text": "Hello Ada.", "timestamp": "t0"});
        let mut call = json!({
            "room_name": "x_1", "assistant_id": "x", "assistant_name": "n",
            "to_number": "+15550100000", "metadata": {"name": "Ada"}, "outcome": "completed",
            "end_reason": "callee_hangup", "answered_at": "t1", "ended_at": "t2",
            "call_duration_minutes": 0.5,
        });
        let mut told = call.clone();
        told["started_at"] = json!("t1");
        told["transcripts"] = json!([line]);
        told["recording_path"] = json!("http://x/calls/x_1/recording");
        told["recording_status"] = json!("available");
        let recording = b"OggS OpusHead\x01\x02".to_vec();
        call["recording"] = json!({"bytes": recording.len()});
        call["webhook"] = json!({"state": "delivered"});
        let body = json!({"success": true, "data": told}).to_string().into_bytes();
        let secret = SigningSecret::generate();
        let at = DateTime::UNIX_EPOCH;
        Evidence {
            answer: json!({
                "room_name": "x_1",
                "agent_dispatch": {"id": "AD_1", "state": "JOINING"},
                "participant": {"sid": "PA_1", "identity": "phone-+15550100000"},
            }),
            request: json!({
                "assistant_id": "x", "to_number": "+15550100000", "metadata": {"name": "Ada"},
            }),
            statuses: ["queued", "ringing", "in_progress", "ended"].map(str::to_owned).to_vec(),
            lines: vec![line],
            call,
            webhook: Received {
                id: "msg_1".into(),
                timestamp: "0".into(),
                signature: secret.sign("msg_1", at, &body),
                body,
            },
            repeated: 0,
            secret: Secret::expose(&secret.to_secret()).to_owned(),
            recording,
            url: "http://x".into(),
        }
    }

    fn failures(evidence: &Evidence) -> Vec<&'static str> {
        let checks = evidence.judge(DateTime::UNIX_EPOCH);
        checks.into_iter().filter(|(_, held)| held.is_err()).map(|(what, _)| what).collect()
    }

    #[test]
    fn each_check_fails_alone() {
        assert_eq!(failures(&good()), Vec::<&str>::new());
        type Spoil = (&'static str, fn(&mut Evidence));
        let spoil: [Spoil; 9] = [
            ("the answer has the keys", |e| e.answer["agent_dispatch"] = json!({})),
            ("the call went from", |e| e.statuses.swap(1, 2)),
            ("the placeholders", |e| e.request["metadata"]["name"] = json!("Bob")),
            ("the webhook's signature", |e| e.webhook.timestamp = "1".into()),
            ("the webhook came once", |e| e.repeated = 1),
            ("its payload", |e| e.call["end_reason"] = json!("api_hangup")),
            ("its transcript", |e| e.lines[0]["timestamp"] = json!("t9")),
            ("its recording", |e| e.recording.truncate(14)),
            ("the server knows", |e| e.call["webhook"]["state"] = json!("dead")),
        ];
        for (what, spoil) in spoil {
            let mut evidence = good();
            spoil(&mut evidence);
            let failed = failures(&evidence);
            assert!(failed.iter().any(|check| check.starts_with(what)), "{what}: {failed:?}");
        }
    }
}

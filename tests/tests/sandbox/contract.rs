//! The published contract: a call from the request to the webhook, key by key.

use chrono::{DateTime, Utc};
use outdial_tests::{Desk, Outdial};
use serde_json::{Value, json};

#[tokio::test]
async fn a_call_from_the_request_to_the_webhook() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let numbers = json!({"numbers": ["+15550100000"]});
    let desk = Desk::new(&outdial, json!({}), numbers).await;
    let mut order = desk.order("+15550200000");
    order["metadata"] = json!({"name": "Ann", "customer_id": "12345"});

    let reply = desk.api.post("/call/outbound", &order).await;
    assert_eq!(reply.status, 200);
    let data = &reply.body["data"];
    let (room, sid) = (text(&data["room_name"]), text(&data["participant"]["sid"]));
    let assistant = text(&desk.assistant["assistant_id"]);
    let suffix = room.strip_prefix(assistant).and_then(|rest| rest.strip_prefix('_'));
    assert_suffix(suffix);
    assert!(!sid.is_empty());
    let dispatch = text(&data["agent_dispatch"]["id"]);
    assert!(!dispatch.is_empty());
    let expected = json!({
        "success": true,
        "message": "Outbound call triggered successfully",
        "data": {
            "room_name": room,
            "agent_dispatch": {"id": dispatch, "state": "JOINING"},
            "participant": {"sid": sid, "identity": "phone-+15550200000"},
        },
    });
    assert_eq!(reply.body, expected);

    let hook = desk.one_webhook(room).await;
    let record = desk.record(room).await;
    let transcript = desk.api.call(room, "/transcript").await.data();
    let lines = &transcript["transcripts"];
    let data = &hook.body["data"];
    let expected = json!({
        "success": true,
        "message": "Call details fetched successfully",
        "data": {
            "room_name": room,
            "assistant_id": assistant,
            "assistant_name": "Support Agent",
            "to_number": "+15550200000",
            "from_number": "+15550100000",
            "recording_path": record["recording"]["url"],
            "transcripts": lines,
            "started_at": record["answered_at"],
            "ended_at": record["ended_at"],
            "call_duration_minutes": data["call_duration_minutes"],
            "metadata": {"name": "Ann", "customer_id": "12345"},
            "call_status": "ended",
            "outcome": "completed",
            "cause": null,
            "end_reason": "callee_hangup",
            "recording_status": "available",
            "transcript_status": "complete",
            "answered_at": record["answered_at"],
            "created_at": record["created_at"],
            "call_service": "twilio",
        },
    });
    assert_eq!(hook.body, expected);
    assert_order(&hook.request.body);

    let (started, ended) = (time(&data["started_at"]), time(&data["ended_at"]));
    let minutes = data["call_duration_minutes"].as_f64().unwrap();
    let seconds = (ended - started).as_seconds_f64();
    assert!(seconds > 0.0 && (minutes * 60.0 - seconds).abs() < 0.01, "{minutes} min, {seconds} s");

    let lines = lines.as_array().unwrap();
    let said: Vec<_> =
        lines.iter().map(|line| (text(&line["speaker"]), text(&line["text"]))).collect();
    assert_eq!(said[0], ("agent", "Hello Ann, how can I help?"));
    assert!(said.iter().any(|(speaker, _)| *speaker == "user"), "{said:?}");
    let times: Vec<_> = lines.iter().map(|line| time(&line["timestamp"])).collect();
    assert!(times.is_sorted() && times[0] >= started && times[times.len() - 1] <= ended);
    assert_record(&record, &desk, &outdial.url());
}

/// The keys of the contract come in its order, before those that were added.
fn assert_order(body: &[u8]) {
    const KEYS: &str = "room_name assistant_id assistant_name to_number from_number recording_path \
                        transcripts started_at ended_at call_duration_minutes metadata call_status";
    let body = std::str::from_utf8(body).unwrap();
    let places = KEYS.split(' ').map(|key| body.find(&format!("\"{key}\":")).unwrap());
    assert!(places.is_sorted(), "{body}");
}

fn assert_record(record: &Value, desk: &Desk, url: &str) {
    let expected = json!({
        "room_name": record["room_name"],
        "status": "ended",
        "outcome": "completed",
        "cause": null,
        "end_reason": "callee_hangup",
        "assistant_id": desk.assistant["assistant_id"],
        "assistant_name": "Support Agent",
        "trunk_id": desk.trunk["trunk_id"],
        "to_number": "+15550200000",
        "from_number": "+15550100000",
        "call_service": "twilio",
        "held": false,
        "media": null,
        "metadata": {"name": "Ann", "customer_id": "12345"},
        "placeholders": {"missing": [], "unused": ["customer_id"]},
        "created_at": record["created_at"],
        "starting_at": record["starting_at"],
        "dialed_at": record["dialed_at"],
        "ringing_at": record["ringing_at"],
        "answered_at": record["answered_at"],
        "ended_at": record["ended_at"],
        "call_duration_minutes": record["call_duration_minutes"],
        "recording_path": record["recording"]["url"],
        "recording": {
            "status": "available",
            "reason": null,
            "url": format!("{url}/calls/{}/recording", text(&record["room_name"])),
            "bytes": record["recording"]["bytes"],
            "duration_seconds": record["recording"]["duration_seconds"],
            "sha256": record["recording"]["sha256"],
            "begins_at": record["recording"]["begins_at"],
            "kept_at": record["recording"]["kept_at"],
            "expires_at": null,
            "gaps": null,
        },
        "transcript_status": "complete",
        "webhook": {"state": "delivered", "attempts": null, "next_at": null},
    });
    assert_eq!(*record, expected);
    assert!(record["recording"]["bytes"].as_u64() > Some(0), "{record}");
    assert!(record["recording"]["duration_seconds"].as_f64() > Some(0.0), "{record}");
    assert_eq!(text(&record["recording"]["sha256"]).len(), 64);
    assert!(time(&record["recording"]["begins_at"]) < time(&record["recording"]["kept_at"]));
    let course =
        ["created_at", "starting_at", "dialed_at", "ringing_at", "answered_at", "ended_at"];
    let times = course.map(|key| time(&record[key]));
    assert!(times.is_sorted(), "{record}");
}

#[tokio::test]
async fn a_call_through_exotel_is_answered_in_its_own_words() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.02")]).await;
    let trunk = json!({"call_service": "exotel"});
    let desk = Desk::new(&outdial, json!({}), trunk).await;
    let reply = desk.try_place("+918044319240").await;
    assert_eq!(reply.status, 200);
    let room = text(&reply.body["data"]["room_name"]);
    assert_suffix(room.strip_prefix("exotel-+918044319240-"));
    let expected = json!({
        "success": true,
        "message": "Outbound call triggered successfully via Exotel bridge",
        "data": {
            "room_name": room,
            "agent_dispatch": {"id": reply.body["data"]["agent_dispatch"]["id"], "state": "JOINING"},
        },
    });
    assert_eq!(reply.body, expected);

    let hook = desk.one_webhook(room).await;
    let data = &hook.body["data"];
    assert_eq!(data["call_service"], "exotel");
    assert_eq!(data["outcome"], "completed");
    assert_eq!(data["from_number"], Value::Null);
    assert_eq!(desk.record(room).await["outcome"], "completed");
}

fn assert_suffix(suffix: Option<&str>) {
    let good = suffix.is_some_and(|suffix| {
        suffix.len() == 12 && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    assert!(good, "{suffix:?}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// ISO 8601 in UTC with milliseconds.
fn time(value: &Value) -> DateTime<Utc> {
    let text = text(value);
    assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    text.parse().unwrap()
}

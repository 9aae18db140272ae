//! `/calls`.

use outdial_domain::{Hint, MediaQuality, OneWay};
use serde_json::{Value, json};

use crate::erasure::ROUTES;
use crate::rig::{NEVER_ENDS, Rig, TALKS, snapshot};

#[tokio::test(start_paused = true)]
async fn a_call_from_its_placing_to_its_webhook() {
    let rig = Rig::new().await;
    let room = rig.place(TALKS).await;
    let path = format!("/calls/{room}");
    let placed = rig.get(&path).await.expect(200);
    assert_eq!(placed["data"]["outcome"], Value::Null);
    snapshot!("call_dialing", placed);

    rig.until(&room, "/status", "ended").await;
    let ended = rig.until(&room, "/webhook/state", "delivered").await;
    let minutes = ended["data"]["call_duration_minutes"].as_f64().unwrap();
    assert!(minutes > 0.0);
    let mut shown = ended.clone();
    shown["data"]["recording_path"] = json!("[url]");
    shown["data"]["recording"]["url"] = json!("[url]");
    shown["data"]["call_duration_minutes"] = json!("[minutes]");
    snapshot!("call_ended", shown);

    let transcript = rig.get(&format!("{path}/transcript")).await.expect(200);
    assert_eq!(transcript["data"]["transcripts"][0]["text"], "Hello John Doe!");
    snapshot!("call_transcript", transcript);

    let mut deliveries = rig.get(&format!("{path}/deliveries")).await.expect(200);
    deliveries["data"]["items"][0]["webhook_id"] = json!("[id]");
    deliveries["data"]["items"][0]["duration_ms"] = json!(0);
    snapshot!("call_deliveries", deliveries);

    let replay = rig.send(rig.request("POST", &format!("{path}/deliveries/replay"))).await;
    replay.expect(202);
    assert_eq!(replay.header("location"), format!("{path}/deliveries"));
    rig.until(&room, "/webhook/state", "delivered").await;
    assert_eq!(rig.sender.sent.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_can_be_hung_up_more_than_once() {
    let rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    rig.until(&room, "/status", "in_progress").await;
    let path = format!("/calls/{room}/hangup");
    rig.send(rig.request("POST", &path)).await.expect(200);
    let ended = rig.until(&room, "/status", "ended").await;
    assert_eq!(ended["data"]["outcome"], "completed");
    assert_eq!(ended["data"]["end_reason"], "api_hangup");
    let again = rig.send(rig.request("POST", &path)).await.expect(200);
    assert_eq!(again["data"]["ended_at"], ended["data"]["ended_at"]);
}

#[tokio::test(start_paused = true)]
async fn digits_are_sent_to_a_call_in_progress() {
    let rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    let path = format!("/calls/{room}/dtmf");
    let early = rig.post(&path, json!({"digits": "1"})).await.fails(409, "conflict");
    assert_eq!(early["message"], "the call is not answered yet");
    rig.until(&room, "/status", "in_progress").await;
    for digits in ["1", "12#", "0123456789*#ABCDabcdw,", &"9".repeat(32)] {
        let sent = rig.post(&path, json!({ "digits": digits })).await.expect(202);
        assert_eq!(sent["data"]["room_name"], *room);
    }
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({"digits": ""}), "invalid_field"),
        (json!({"digits": 12}), "invalid_field"),
        (json!({"digits": "+1"}), "invalid_field"),
        (json!({"digits": "ww"}), "invalid_field"),
        (json!({"digits": "9".repeat(33)}), "invalid_field"),
        (json!({"digits": "1", "x": 1}), "unknown_field"),
    ] {
        let refused = rig.post(&path, body.clone()).await.fails(400, code);
        let field = if code == "unknown_field" { "x" } else { "digits" };
        assert_eq!(refused["error"]["field"], field, "{body}");
    }
    let nobody = "/calls/550e8400-e29b-41d4-a716-446655440000_abc123def456/dtmf";
    rig.post(nobody, json!({"digits": "1"})).await.fails(404, "call_not_found");
    rig.send(rig.request("POST", &format!("/calls/{room}/hangup"))).await.expect(200);
    rig.until(&room, "/status", "ended").await;
    let late = rig.post(&path, json!({"digits": "1"})).await.fails(409, "conflict");
    assert_eq!(late["message"], "the call has ended");
}

#[tokio::test(start_paused = true)]
async fn how_well_the_media_went_is_on_record() {
    let rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    let call = rig.until(&room, "/status", "in_progress").await;
    assert_eq!(call["data"]["media"], Value::Null);
    let quality = MediaQuality {
        packets_received: 2990,
        packets_sent: 3000,
        packets_lost: 10,
        remote_packets_lost: 30,
        discarded: 5,
        jitter_us: 1250,
        max_jitter_us: 20_500,
        round_trip_us: Some(41_000),
        one_way: Some(OneWay::CalleeHearsNothing),
    };
    rig.engine.hint(&room.parse().unwrap(), vec![Hint::Media { quality }]).await.unwrap();
    rig.send(rig.request("POST", &format!("/calls/{room}/hangup"))).await.expect(200);
    let ended = rig.until(&room, "/status", "ended").await;
    snapshot!("call_media", ended["data"]["media"].clone());
}

#[tokio::test(start_paused = true)]
async fn how_a_call_failed_is_told() {
    let rig = Rig::new().await;
    let room = rig.place("+15550200486").await;
    let ended = rig.until(&room, "/status", "ended").await;
    assert_eq!(ended["data"]["outcome"], "busy");
    let cause = json!({"layer": "sip", "code": "486", "text": "Busy Here", "retryable": true});
    assert_eq!(ended["data"]["cause"], cause);
    assert_eq!(ended["data"]["end_reason"], Value::Null);
}

async fn check(rig: &Rig, query: &str, expect: &[&str]) {
    let list = rig.get(&format!("/calls?{query}")).await.expect(200);
    let items = list["data"]["items"].as_array().unwrap();
    let rooms: Vec<_> = items.iter().map(|call| call["room_name"].as_str().unwrap()).collect();
    assert_eq!(rooms, expect, "{query}");
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered() {
    let rig = Rig::new().await;
    let busy = rig.place("+15550200486").await;
    rig.until(&busy, "/status", "ended").await;
    let running = rig.place(NEVER_ENDS).await;
    let call = rig.until(&running, "/status", "in_progress").await["data"].clone();
    let created = call["created_at"].as_str().unwrap();
    let assistant = call["assistant_id"].as_str().unwrap();

    let (both, busy, running) = ([&*running, &*busy], [&*busy], [&*running]);
    check(&rig, "", &both).await;
    check(&rig, "status=ended", &busy).await;
    check(&rig, "status=in_progress", &running).await;
    check(&rig, "outcome=busy", &busy).await;
    check(&rig, "outcome=completed", &[]).await;
    // The plus as it is, and as it should be written.
    check(&rig, "to_number=+15550200486", &busy).await;
    check(&rig, "to_number=%2B15550200486", &busy).await;
    check(&rig, &format!("assistant_id={assistant}"), &running).await;
    check(&rig, &format!("created_from={created}"), &running).await;
    check(&rig, &format!("created_to={created}"), &busy).await;
    check(&rig, "created_from=2020-01-01T00:00:00+05:30&limit=1", &running).await;
    check(&rig, "status=ended&outcome=completed", &[]).await;

    for (query, code, field) in [
        ("status=finished", "unknown_value", "status"),
        ("outcome=Busy", "unknown_value", "outcome"),
        ("to_number=555", "invalid_number", "to_number"),
        ("assistant_id=x", "invalid_field", "assistant_id"),
        ("created_from=yesterday", "invalid_field", "created_from"),
        ("created_to=2024-01-15", "invalid_field", "created_to"),
        ("created_to=2024-13-45T99:00:00Z", "invalid_field", "created_to"),
        ("statuss=ended", "unknown_field", "statuss"),
    ] {
        let refused = rig.get(&format!("/calls?{query}")).await.fails(400, code);
        assert_eq!(refused["error"]["field"], field, "{query}");
    }
    // A cursor of one list is none of another.
    let page = rig.get("/calls?limit=1").await.expect(200);
    let cursor = page["data"]["next_cursor"].as_str().unwrap();
    check(&rig, &format!("limit=1&cursor={cursor}"), &busy).await;
    rig.get(&format!("/trunks?cursor={cursor}")).await.fails(400, "invalid_field");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_there() {
    let rig = Rig::new().await;
    for room in [
        "550e8400-e29b-41d4-a716-446655440000_abc123",
        "exotel-+918044319240-abc123",
        "nonsense",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "%FF%FE",
        "%zz",
        "a%20b",
    ] {
        for (method, path) in ROUTES.into_iter().chain([("DELETE", "")]) {
            let request = rig.request(method, &format!("/calls/{room}{path}"));
            rig.send(request).await.fails(404, "call_not_found");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_replayed_only_after_the_end() {
    let rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    let path = format!("/calls/{room}/deliveries/replay");
    rig.send(rig.request("POST", &path)).await.fails(409, "conflict");
}

#[tokio::test(start_paused = true)]
async fn another_accounts_rows_are_not_there() {
    let mut rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    let call = rig.get(&format!("/calls/{room}")).await.expect(200)["data"].clone();
    let assistant = call["assistant_id"].as_str().unwrap().to_owned();
    let trunk = call["trunk_id"].as_str().unwrap().to_owned();
    let own_order = json!({
        "assistant_id": assistant, "trunk_id": trunk, "to_number": TALKS, "call_service": "twilio",
    });

    std::mem::swap(&mut rig.key, &mut rig.admin);
    for (method, path, code) in [
        ("GET", format!("/calls/{room}"), "call_not_found"),
        ("DELETE", format!("/calls/{room}"), "call_not_found"),
        ("POST", format!("/calls/{room}/hangup"), "call_not_found"),
        ("GET", format!("/calls/{room}/recording"), "call_not_found"),
        ("GET", format!("/calls/{room}/transcript"), "call_not_found"),
        ("GET", format!("/calls/{room}/events"), "call_not_found"),
        ("GET", format!("/calls/{room}/deliveries"), "call_not_found"),
        ("POST", format!("/calls/{room}/deliveries/replay"), "call_not_found"),
        ("GET", format!("/assistants/{assistant}"), "assistant_not_found"),
        ("PATCH", format!("/assistants/{assistant}"), "assistant_not_found"),
        ("DELETE", format!("/assistants/{assistant}"), "assistant_not_found"),
        ("POST", format!("/assistants/{assistant}/webhook-secret/rotate"), "assistant_not_found"),
        ("GET", format!("/trunks/{trunk}"), "trunk_not_found"),
        ("PATCH", format!("/trunks/{trunk}"), "trunk_not_found"),
        ("DELETE", format!("/trunks/{trunk}"), "trunk_not_found"),
    ] {
        let answer = rig.send(rig.request(method, &path).set_json(json!({}))).await;
        answer.fails(404, code);
    }
    for list in ["/calls", "/assistants", "/trunks"] {
        assert_eq!(
            rig.get(list).await.expect(200)["data"],
            json!({"items": [], "next_cursor": null})
        );
    }
    rig.post("/call/outbound", own_order.clone()).await.fails(404, "assistant_not_found");
    let mut half = own_order;
    half["assistant_id"] = json!(rig.assistant().await);
    rig.post("/call/outbound", half).await.fails(404, "trunk_not_found");
}

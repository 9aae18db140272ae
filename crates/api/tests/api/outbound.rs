//! `/call/outbound`: the published contract, and what was added to it.

use serde_json::{Value, json};

use crate::rig::{NEVER_ENDS, Rig, TALKS, snapshot};

#[tokio::test(start_paused = true)]
async fn twilio_answers_as_published() {
    let rig = Rig::new().await;
    let order = rig.order(TALKS).await;
    let assistant = order["assistant_id"].as_str().unwrap().to_owned();
    let answer = rig.post("/call/outbound", order).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-outdial-warning"), "");
    let body = answer.expect(200);
    let room = body["data"]["room_name"].as_str().unwrap();
    assert!(room.starts_with(&format!("{assistant}_")), "{room}");
    snapshot!("outbound_twilio", body);
}

#[tokio::test(start_paused = true)]
async fn exotel_answers_as_published() {
    let rig = Rig::new().await;
    let order = json!({
        "assistant_id": rig.assistant().await,
        "trunk_id": rig.trunk("exotel").await,
        "to_number": "+918044319240",
        "call_service": "exotel",
    });
    let body = rig.post("/call/outbound", order).await.expect(200);
    let room = body["data"]["room_name"].as_str().unwrap().to_owned();
    assert!(room.starts_with("exotel-+918044319240-"), "{room}");
    assert!(body["data"].get("participant").is_none());
    snapshot!("outbound_exotel", body);
    for path in [room.clone(), room.replace('+', "%2B")] {
        rig.get(&format!("/calls/{path}")).await.expect(200);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_are_ignored_and_named() {
    let rig = Rig::new().await;
    let mut order = rig.order(TALKS).await;
    order["metadta"] = json!({});
    order["from\r\nnumber"] = json!("+15550100000");
    let answer = rig.post("/call/outbound", order).await;
    answer.expect(200);
    assert_eq!(
        answer.header("x-outdial-warning"),
        "unknown fields were ignored: from??number, metadta"
    );
}

#[tokio::test(start_paused = true)]
async fn metadata_may_be_absent_null_or_empty() {
    let rig = Rig::new().await;
    for metadata in [None, Some(Value::Null), Some(json!({}))] {
        let mut order = rig.order(TALKS).await;
        order.as_object_mut().unwrap().remove("metadata");
        if let Some(metadata) = metadata {
            order["metadata"] = metadata;
        }
        let body = rig.post("/call/outbound", order).await.expect(200);
        let room = body["data"]["room_name"].as_str().unwrap();
        let call = rig.get(&format!("/calls/{room}")).await.expect(200);
        assert_eq!(call["data"]["metadata"], json!({}));
        assert_eq!(call["data"]["placeholders"], json!({"missing": ["name"], "unused": []}));
    }
}

#[tokio::test(start_paused = true)]
async fn respond_async_accepts_and_names_the_place() {
    let rig = Rig::new().await;
    let order = rig.order(TALKS).await;
    let request = rig.request("POST", "/call/outbound").insert_header(("prefer", "respond-async"));
    let answer = rig.send(request.set_json(order)).await;
    let body = answer.expect(202);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let location = answer.header("location");
    assert_eq!(location, format!("/calls/{}", body["data"]["room_name"].as_str().unwrap()));
    rig.get(location).await.expect(200);
    snapshot!("outbound_async", body);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_with_the_same_key_is_the_same_call() {
    let rig = Rig::new().await;
    let order = rig.order(NEVER_ENDS).await;
    let request = || rig.request("POST", "/call/outbound");
    let send = |order: &Value, key: &str| {
        rig.send(request().insert_header(("idempotency-key", key)).set_json(order))
    };
    let first = send(&order, "order-1").await.expect(200);
    assert_eq!(send(&order, "order-1").await.expect(200), first);
    assert_ne!(send(&order, "order-2").await.expect(200)["data"], first["data"]);

    let mut other = order.clone();
    other["metadata"] = json!({});
    let refused = send(&other, "order-1").await.fails(409, "idempotency_mismatch");
    assert_eq!(refused["error"]["field"], "Idempotency-Key");

    let long = "x".repeat(256);
    for bad in ["", " ", "a b", long.as_str(), "k\u{e9}y"] {
        let refused = send(&order, bad).await.fails(400, "invalid_field");
        assert_eq!(refused["error"]["field"], "Idempotency-Key", "{bad:?}");
    }
    let twice = request()
        .append_header(("idempotency-key", "a"))
        .append_header(("idempotency-key", "b"))
        .set_json(&order);
    rig.send(twice).await.fails(400, "invalid_field");
    send(&order, &long[..255]).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn assistants_and_trunks_must_be_there_active_and_of_the_service() {
    let rig = Rig::new().await;
    let good = rig.order(TALKS).await;
    let with = |field: &str, value: Value| {
        let mut order = good.clone();
        order[field] = value;
        rig.post("/call/outbound", order)
    };
    let unknown = "550e8400-e29b-41d4-a716-446655440000";
    let refused = with("assistant_id", json!(unknown)).await.fails(404, "assistant_not_found");
    assert_eq!(refused["message"], "Assistant not found");
    let refused = with("trunk_id", json!("ST_unknown")).await.fails(404, "trunk_not_found");
    assert_eq!(refused["message"], "Trunk not found");

    let asleep = rig.assistant_with(json!({"is_active": false})).await;
    with("assistant_id", json!(asleep)).await.fails(404, "assistant_not_found");

    let refused = with("call_service", json!("exotel")).await.fails(400, "invalid_field");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("twilio") && message.contains("exotel"), "{message}");

    let strict = rig.assistant_with(json!({"on_missing_placeholder": "reject"})).await;
    let mut order = good.clone();
    order["assistant_id"] = json!(strict);
    order["metadata"] = json!({});
    let refused = rig.post("/call/outbound", order).await.fails(400, "invalid_field");
    assert_eq!(refused["error"]["field"], "metadata");
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_leg_has_joined_is_a_provider_error() {
    let rig = Rig::new().await;
    let mut order = rig.order(TALKS).await;
    order["trunk_id"] = json!(rig.trunk_with(json!({})).await);
    let body = rig.post("/call/outbound", order).await.fails(500, "provider_error");
    assert_eq!(body["message"], "Provider error: 403 Forbidden");
    let room = body["error"]["details"]["room_name"].as_str().unwrap().to_owned();
    let call = rig.get(&format!("/calls/{room}")).await.expect(200);
    assert_eq!(call["data"]["outcome"], "rejected");
    snapshot!("outbound_provider_error", body);
}

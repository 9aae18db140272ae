//! What is no good body: each is refused with 400 (or 413) that names the field and the rule.

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::rig::{Rig, TALKS};

/// Each field, a wrong value, the code, and a part of the message.
fn wrong_call_fields() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let big = "x".repeat(33 * 1024);
    vec![
        ("assistant_id", json!(null), "invalid_field", "must not be null"),
        ("assistant_id", json!(5), "invalid_field", "a string, not a number"),
        ("assistant_id", json!(""), "invalid_field", "UUID"),
        ("assistant_id", json!("550e8400e29b41d4a716446655440000"), "invalid_field", "UUID"),
        ("assistant_id", json!("550e8400-e29b-41d4-a716-44665544000g"), "invalid_field", "UUID"),
        ("trunk_id", json!("a1b2"), "invalid_field", "ST_"),
        ("trunk_id", json!("ST_a b"), "invalid_field", "ST_"),
        ("trunk_id", json!(format!("ST_{}", "a".repeat(65))), "invalid_field", "ST_"),
        ("trunk_id", json!(["ST_a"]), "invalid_field", "a string, not an array"),
        ("to_number", json!("555-010-0000"), "invalid_number", "Invalid number"),
        ("to_number", json!("(555) 010-0000"), "invalid_number", "Invalid number"),
        ("to_number", json!("15550200000"), "invalid_number", "must start with +"),
        ("to_number", json!("+0555020000"), "invalid_number", "1 to 9"),
        ("to_number", json!("+12345"), "invalid_number", "at least 7"),
        ("to_number", json!("+1234567890123456"), "invalid_number", "at most 15"),
        ("to_number", json!("+1555\r\nVia: x"), "invalid_number", "only the digits"),
        ("to_number", json!(""), "invalid_number", "empty"),
        ("to_number", json!(15550200000_u64), "invalid_field", "a string, not a number"),
        ("call_service", json!("plivo"), "unknown_value", "plivo"),
        ("call_service", json!("Twilio"), "unknown_value", "Twilio"),
        ("call_service", json!(true), "invalid_field", "a string, not a boolean"),
        ("metadata", json!([]), "invalid_field", "an object, not an array"),
        ("metadata", json!("{}"), "invalid_field", "an object, not a string"),
        ("metadata", json!({"big": big}), "invalid_field", "32768 bytes"),
    ]
}

#[tokio::test(start_paused = true)]
async fn wrong_fields_of_a_call() {
    let rig = Rig::new().await;
    let good = rig.order(TALKS).await;
    for (field, value, code, part) in wrong_call_fields() {
        let mut order = good.clone();
        order[field] = value;
        let body = rig.post("/call/outbound", order.clone()).await.fails(400, code);
        assert_eq!(body["error"]["field"], field, "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
        assert!(rig.store_is_empty_of_calls().await, "{message}");
    }
    for field in ["assistant_id", "trunk_id", "to_number", "call_service"] {
        let mut order = good.clone();
        order.as_object_mut().unwrap().remove(field);
        let body = rig.post("/call/outbound", order).await.fails(400, "missing_field");
        assert_eq!(body["error"]["field"], field);
        assert!(body["error"]["hint"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_json_object() {
    let rig = Rig::new().await;
    let mut truncated = serde_json::to_vec(&rig.order(TALKS).await).unwrap();
    truncated.truncate(truncated.len() - 20);
    let place = format!("byte {}", truncated.len());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (truncated, &place),
        (b"".to_vec(), "empty"),
        (b"null".to_vec(), "not null"),
        (b"[]".to_vec(), "not an array"),
        (b"hello".to_vec(), "line 1 column 1"),
        (b"a=b&c=d".to_vec(), "line 1 column 1"),
        (b"{\"to_number\": \"\xff\xfe\"}".to_vec(), "UTF-8"),
        (b"{\"a\": 1, \"a\": 2}".to_vec(), "stands twice"),
        (b"{\"metadata\": {\"x\": {\"a\": 1, \"a\": 2}}}".to_vec(), "stands twice"),
        (vec![b'['; 60_000], "nested deeper"),
        ("{\"metadata\":".repeat(5_000).into_bytes(), "nested deeper"),
        (b"\0\0\0\0".to_vec(), "line 1 column 1"),
        (vec![0xff; 100], "UTF-8"),
    ];
    for path in ["/call/outbound", "/assistants", "/trunks"] {
        for (body, part) in &cases {
            let answer = rig.post_raw(path, body.clone()).await.fails(400, "invalid_json");
            let message = answer["message"].as_str().unwrap();
            assert!(message.contains(part), "{path}: {message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies() {
    let rig = Rig::new().await;
    // Within the limit, so that only what it holds is wrong.
    let padded = |size: usize| {
        let mut body = b"{\"x\": \"".to_vec();
        body.resize(size - 2, b'a');
        body.extend_from_slice(b"\"}");
        body
    };
    rig.post_raw("/call/outbound", padded(64 * 1024)).await.fails(400, "missing_field");
    rig.post_raw("/call/outbound", padded(64 * 1024 + 1)).await.fails(413, "body_too_large");
    rig.post_raw("/call/outbound", vec![b'['; 100_000]).await.fails(413, "body_too_large");
}

#[tokio::test(start_paused = true)]
async fn content_types_and_codings() {
    let rig = Rig::new().await;
    let order = serde_json::to_vec(&rig.order(TALKS).await).unwrap();
    let request = || rig.request("POST", "/call/outbound").set_payload(order.clone());
    for good in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
        rig.send(request().insert_header((CONTENT_TYPE, good))).await.expect(200);
    }
    rig.send(request()).await.expect(200);
    for bad in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"] {
        let answer = rig.send(request().insert_header((CONTENT_TYPE, bad))).await;
        let body = answer.fails(400, "unsupported_media_type");
        assert_eq!(body["error"]["field"], "Content-Type");
    }
    let coded = request().insert_header((CONTENT_ENCODING, "gzip"));
    rig.send(coded).await.fails(400, "invalid_body");
}

#[tokio::test(start_paused = true)]
async fn metadata_comes_back_as_it_was_sent() {
    let rig = Rig::new().await;
    let mut order = rig.order(TALKS).await;
    let mut deep = json!("bottom");
    for _ in 0..29 {
        deep = json!({ "d": deep });
    }
    let metadata = json!({
        "text": "ünïcödé \u{1F600} \" \\ \n \u{0}", "n": -1.5e-7, "i": u64::MAX, "list": [[], {}],
        "": "empty key", "{{name}}": "braces", "deep": deep,
    });
    order["metadata"] = metadata.clone();
    let body = rig.post("/call/outbound", order.clone()).await.expect(200);
    let room = body["data"]["room_name"].as_str().unwrap();
    let call = rig.get(&format!("/calls/{room}")).await.expect(200);
    assert_eq!(call["data"]["metadata"], metadata);

    order["metadata"] = json!({"deeper": {"still": {"more": metadata["deep"]}}});
    rig.post("/call/outbound", order).await.fails(400, "invalid_json");
}

impl Rig {
    async fn store_is_empty_of_calls(&self) -> bool {
        self.get("/calls").await.expect(200)["data"]["items"] == json!([])
    }
}

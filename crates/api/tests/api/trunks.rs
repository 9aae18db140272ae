//! `/trunks`.

use serde_json::{Value, json};

use crate::rig::{Rig, snapshot};

const ALL: &str = r#"{
    "call_service": "twilio",
    "name": "Main line",
    "numbers": ["+15550100000", "+15550100001"],
    "address": "acme.pstn.twilio.com:5061",
    "transport": "tls",
    "auth_username": "acme",
    "auth_password": "s3cret-passw0rd",
    "sandbox": false,
    "calls_per_second": 2.5,
    "max_concurrent_calls": 10
}"#;

#[tokio::test(start_paused = true)]
async fn a_life() {
    let rig = Rig::new().await;
    let answer = rig.post("/trunks", serde_json::from_str(ALL).unwrap()).await;
    let created = answer.expect(201);
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("/trunks/{}", created["data"]["trunk_id"].as_str().unwrap()));
    snapshot!("trunk_created", created.clone());

    let read = rig.get(&path).await;
    assert!(!String::from_utf8_lossy(&read.body).contains("s3cret"), "{:?}", read.body);
    assert_eq!(read.expect(200)["data"], created["data"]);

    let change = json!({
        "name": "Second line", "numbers": ["+15550100002"], "transport": "udp",
        "auth_password": null, "calls_per_second": null, "max_concurrent_calls": 3,
    });
    let changed = rig.patch(&path, change).await.expect(200);
    assert_eq!(changed["data"]["has_auth_password"], false);
    assert_eq!(changed["data"]["auth_username"], "acme");
    snapshot!("trunk_changed", changed);

    let list = rig.get("/trunks").await.expect(200);
    snapshot!("trunk_list", list);

    snapshot!("trunk_deleted", rig.delete(&path).await.expect(200));
    for method in ["GET", "PATCH", "DELETE"] {
        let request = rig.request(method, &path).set_json(json!({}));
        rig.send(request).await.fails(404, "trunk_not_found");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_trunk_needs_only_a_name() {
    let rig = Rig::new().await;
    let body = json!({"call_service": "exotel", "name": "Try it", "sandbox": true});
    snapshot!("trunk_sandbox", rig.post("/trunks", body).await.expect(201));
}

#[tokio::test(start_paused = true)]
async fn wrong_fields() {
    let rig = Rig::new().await;
    let good: Value = serde_json::from_str(ALL).unwrap();
    let answer = rig.post("/trunks", good.clone()).await;
    answer.expect(201);
    let path = answer.header("location");
    for (field, value, code) in [
        ("name", json!("a\r\nb"), "invalid_field"),
        ("numbers", json!("+15550100000"), "invalid_field"),
        ("numbers", json!(["555"]), "invalid_number"),
        ("numbers", json!([5]), "invalid_field"),
        ("numbers", json!(vec!["+15550100000"; 101]), "invalid_field"),
        ("address", json!("sip:acme@host"), "invalid_field"),
        ("address", json!("host;transport=tcp"), "invalid_field"),
        ("address", json!("host\r\nVia: x"), "invalid_field"),
        ("address", json!("wrong.example.com"), "invalid_field"),
        ("transport", json!("sctp"), "unknown_value"),
        ("auth_username", json!("a\u{0}"), "invalid_field"),
        ("auth_password", json!(""), "invalid_field"),
        ("auth_password", json!("x".repeat(201)), "invalid_field"),
        ("calls_per_second", json!(0), "invalid_field"),
        ("calls_per_second", json!(1e-30), "invalid_field"),
        ("calls_per_second", json!(-1), "invalid_field"),
        ("calls_per_second", json!(1e300), "invalid_field"),
        ("calls_per_second", json!("1"), "invalid_field"),
        ("max_concurrent_calls", json!(0), "invalid_field"),
        ("max_concurrent_calls", json!(1.5), "invalid_field"),
        ("max_concurrent_calls", json!(4_294_967_296_u64), "invalid_field"),
        ("max_concurent_calls", json!(1), "unknown_field"),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let refused = rig.post("/trunks", body).await.fails(400, code);
        assert_eq!(refused["error"]["field"], field);
        let refused = rig.patch(path, json!({ field: value })).await.fails(400, code);
        assert_eq!(refused["error"]["field"], field);
    }
    for (field, value) in [("call_service", "exotel"), ("sandbox", "true"), ("trunk_id", "ST_x")] {
        let refused = rig.patch(path, json!({ field: value })).await.fails(400, "invalid_field");
        assert_eq!(refused["error"]["field"], field);
    }
    for field in ["call_service", "name", "numbers", "address"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        let refused = rig.post("/trunks", body).await.fails(400, "missing_field");
        assert_eq!(refused["error"]["field"], field);
    }
    let refused = rig.post("/trunks", json!({"call_service": "plivo", "name": "x"})).await;
    refused.fails(400, "unknown_value");
}

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
async fn a_trunk_that_is_dialled_directly() {
    let rig = Rig::new().await;
    let body = json!({
        "call_service": "exotel", "name": "India", "numbers": ["+918011100000"],
        "address": "acme1.pstn.exotel.com", "from_host": "acme1.pstn.exotel.com",
        "outbound_proxies": ["pstn.in4.exotel.com:5070", "10.0.0.1"],
        "allowed_addresses": ["203.0.113.7", "198.51.100.0/24", "2001:db8::/32"],
    });
    let answer = rig.post("/trunks", body.clone()).await;
    let created = answer.expect(201);
    assert_eq!(created["data"]["route"], Value::Null, "it has one way only");
    assert_eq!(created["data"]["transport"], "tcp");
    snapshot!("trunk_exotel", created);
    let exotel = answer.header("location").to_owned();
    for route in ["direct", "livekit_sip"] {
        let mut body = body.clone();
        body["route"] = json!(route);
        for refused in [
            rig.post("/trunks", body).await.fails(400, "invalid_field"),
            rig.patch(&exotel, json!({"route": route})).await.fails(400, "invalid_field"),
        ] {
            assert_eq!(refused["error"]["field"], "route");
        }
    }

    let mut body: Value = serde_json::from_str(ALL).unwrap();
    body["route"] = json!("direct");
    body["media_encryption"] = json!("disabled");
    body["allowed_addresses"] = json!(["203.0.113.7/32"]);
    let answer = rig.post("/trunks", body.clone()).await;
    let path = answer.header("location").to_owned();
    let created = answer.expect(201);
    assert_eq!(created["data"]["allowed_addresses"], json!(["203.0.113.7"]));
    snapshot!("trunk_direct", created);
    // What only direct calls can do has to go first.
    let refused = rig.patch(&path, json!({"route": "livekit_sip"})).await;
    assert_eq!(refused.fails(400, "invalid_field")["error"]["field"], "allowed_addresses");
    rig.patch(&path, json!({"allowed_addresses": []})).await.expect(200);
    let change = json!({"route": "livekit_sip", "media_encryption": null, "from_host": null});
    let changed = rig.patch(&path, change).await.expect(200);
    assert_eq!(changed["data"]["route"], "livekit_sip");
    assert_eq!(changed["data"]["media_encryption"], Value::Null);
    body["route"] = json!("livekit_sip");
    let refused = rig.post("/trunks", body).await.fails(400, "invalid_field");
    assert_eq!(refused["error"]["field"], "allowed_addresses");
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
        ("route", json!("bridge"), "unknown_value"),
        ("route", json!(true), "invalid_field"),
        ("from_host", json!("host:5060"), "invalid_field"),
        ("from_host", json!("host>\r\nVia: x"), "invalid_field"),
        ("outbound_proxies", json!("10.0.0.1"), "invalid_field"),
        ("outbound_proxies", json!(["sip:10.0.0.1"]), "invalid_field"),
        ("outbound_proxies", json!(vec!["10.0.0.1"; 9]), "invalid_field"),
        ("allowed_addresses", json!(["acme.example.com"]), "invalid_field"),
        ("allowed_addresses", json!(["203.0.113.7/24"]), "invalid_field"),
        ("allowed_addresses", json!(["0.0.0.0/0"]), "invalid_field"),
        ("allowed_addresses", json!(["10.0.0.0/33"]), "invalid_field"),
        ("allowed_addresses", json!([7]), "invalid_field"),
        ("allowed_addresses", json!(vec!["10.0.0.1"; 65]), "invalid_field"),
        ("media_encryption", json!("allow"), "unknown_value"),
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

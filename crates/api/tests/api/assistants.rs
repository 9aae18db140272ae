//! `/assistants`.

use serde_json::{Value, json};

use crate::rig::{Rig, snapshot};

const ALL: &str = r#"{
    "assistant_name": "Support Agent",
    "assistant_prompt": "Hello {{name}}.",
    "assistant_start_instruction": "Hi {{name}}.",
    "assistant_end_call_url": "https://example.com/end?x=1",
    "agent_name": "my-agent",
    "agent_config": {"voice": {"id": 3}},
    "recording": false,
    "on_missing_placeholder": "keep",
    "is_active": false
}"#;

#[tokio::test(start_paused = true)]
async fn a_life() {
    let rig = Rig::new().await;
    let answer = rig.post("/assistants", serde_json::from_str(ALL).unwrap()).await;
    let created = answer.expect(201);
    let path = answer.header("location").to_owned();
    let id = created["data"]["assistant_id"].as_str().unwrap();
    assert_eq!(path, format!("/assistants/{id}"));
    assert!(created["data"]["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    snapshot!("assistant_created", created.clone());

    let mut read = rig.get(&path).await.expect(200);
    snapshot!("assistant_read", read.clone());
    for (key, value) in created["data"].as_object().unwrap() {
        let shown = read["data"].get(key);
        assert_eq!(shown, Some(value).filter(|_| key != "webhook_secret"), "{key}");
    }

    let untouched = rig.patch(&path, json!({})).await.expect(200);
    assert_eq!(untouched["data"]["assistant_prompt"], "Hello {{name}}.");
    let change = json!({
        "assistant_name": "Sales", "assistant_end_call_url": null, "is_active": true,
        "agent_config": {}, "on_missing_placeholder": "reject",
    });
    let changed = rig.patch(&path, change).await.expect(200);
    assert_eq!(changed["data"]["assistant_end_call_url"], Value::Null);
    assert_eq!(changed["data"]["agent_name"], "my-agent");
    snapshot!("assistant_changed", changed.clone());
    read = rig.get(&path).await.expect(200);
    assert_eq!(read["data"], changed["data"]);

    let rotate = format!("{path}/webhook-secret/rotate");
    let rotated = rig.post(&rotate, json!({"overlap_seconds": 60})).await.expect(200);
    assert_ne!(rotated["data"]["webhook_secret"], created["data"]["webhook_secret"]);
    snapshot!("assistant_rotated", rotated);
    rig.send(rig.request("POST", &rotate)).await.expect(200);
    rig.post(&rotate, json!({"overlap_seconds": -1})).await.fails(400, "invalid_field");
    rig.post(&rotate, json!({"overlap_seconds": 0.5})).await.fails(400, "invalid_field");
    rig.post(&rotate, json!({"overlap": 1})).await.fails(400, "unknown_field");

    snapshot!("assistant_deleted", rig.delete(&path).await.expect(200));
    for method in ["GET", "PATCH", "DELETE"] {
        let request = rig.request(method, &path).set_json(json!({}));
        rig.send(request).await.fails(404, "assistant_not_found");
    }
    rig.send(rig.request("POST", &rotate)).await.fails(404, "assistant_not_found");
}

#[tokio::test(start_paused = true)]
async fn defaults() {
    let rig = Rig::new().await;
    let body = json!({"assistant_name": "A", "assistant_prompt": "P"});
    let created = rig.post("/assistants", body.clone()).await.expect(201);
    snapshot!("assistant_defaults", created.clone());
    let mut nulls = body;
    for key in [
        "assistant_start_instruction",
        "assistant_end_call_url",
        "agent_name",
        "agent_config",
        "recording",
        "on_missing_placeholder",
        "is_active",
    ] {
        nulls[key] = Value::Null;
    }
    let same = rig.post("/assistants", nulls).await.expect(201);
    let settings = |body: &Value| {
        let mut data = body["data"].as_object().unwrap().clone();
        for key in ["assistant_id", "webhook_secret", "created_at", "updated_at"] {
            data.remove(key);
        }
        data
    };
    assert_eq!(settings(&same), settings(&created));
}

#[tokio::test(start_paused = true)]
async fn wrong_fields() {
    let rig = Rig::new().await;
    let good: Value = serde_json::from_str(ALL).unwrap();
    let path = format!("/assistants/{}", rig.assistant().await);
    let long = "x".repeat(32 * 1024 + 1);
    for (field, value, code) in [
        ("assistant_name", json!(""), "invalid_field"),
        ("assistant_name", json!("  "), "invalid_field"),
        ("assistant_name", json!("x".repeat(201)), "invalid_field"),
        ("assistant_name", json!("a\nb"), "invalid_field"),
        ("assistant_name", json!("a\u{85}b"), "invalid_field"),
        ("assistant_name", json!(1), "invalid_field"),
        ("assistant_prompt", json!(""), "invalid_field"),
        ("assistant_prompt", json!(&long), "invalid_field"),
        ("assistant_prompt", json!("a\u{0}b"), "invalid_field"),
        ("assistant_start_instruction", json!(&long), "invalid_field"),
        ("assistant_end_call_url", json!("nonsense"), "invalid_field"),
        ("assistant_end_call_url", json!("ftp://example.com"), "invalid_field"),
        ("assistant_end_call_url", json!("http://"), "invalid_field"),
        ("assistant_end_call_url", json!("http://localhost/x"), "invalid_field"),
        ("assistant_end_call_url", json!(format!("http://e.com/{long}")), "invalid_field"),
        ("agent_name", json!("a\tb"), "invalid_field"),
        ("agent_config", json!([]), "invalid_field"),
        ("agent_config", json!({"x": &long}), "invalid_field"),
        ("recording", json!("yes"), "invalid_field"),
        ("recording", json!(1), "invalid_field"),
        ("on_missing_placeholder", json!("explode"), "unknown_value"),
        ("is_active", json!("true"), "invalid_field"),
        ("assistant_promt", json!("x"), "unknown_field"),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let refused = rig.post("/assistants", body).await.fails(400, code);
        assert_eq!(refused["error"]["field"], field);
        let refused = rig.patch(&path, json!({ field: value })).await.fails(400, code);
        assert_eq!(refused["error"]["field"], field);
    }
    for (field, value) in [
        ("assistant_name", Value::Null),
        ("agent_config", Value::Null),
        ("recording", Value::Null),
        ("assistant_id", json!("550e8400-e29b-41d4-a716-446655440000")),
        ("created_at", json!("2024-01-15T10:00:00.000Z")),
    ] {
        let refused = rig.patch(&path, json!({ field: value })).await.fails(400, "invalid_field");
        assert_eq!(refused["error"]["field"], field);
    }
    for field in ["assistant_name", "assistant_prompt"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        rig.post("/assistants", body).await.fails(400, "missing_field");
    }
    // Names have 200 characters, not bytes.
    rig.patch(&path, json!({"assistant_name": "ü".repeat(200)})).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let rig = Rig::new().await;
    let mut made = Vec::new();
    let tick = || tokio::time::advance(std::time::Duration::from_millis(1));
    for _ in 0..7 {
        tick().await;
        made.insert(0, rig.assistant().await);
    }
    let mut seen = Vec::new();
    let mut path = "/assistants?limit=3".to_owned();
    loop {
        let page = rig.get(&path).await.expect(200);
        let items = page["data"]["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["assistant_id"].as_str().unwrap().to_owned()));
        // What is made meanwhile does not push anything into the next page.
        tick().await;
        rig.assistant().await;
        match page["data"]["next_cursor"].as_str() {
            Some(cursor) => path = format!("/assistants?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    assert_eq!(
        rig.get("/assistants").await.expect(200)["data"]["items"].as_array().unwrap().len(),
        10
    );
}

#[tokio::test(start_paused = true)]
async fn bad_queries() {
    let rig = Rig::new().await;
    for (query, code, field) in [
        ("limit=0", "invalid_field", "limit"),
        ("limit=101", "invalid_field", "limit"),
        ("limit=abc", "invalid_field", "limit"),
        ("limit=-1", "invalid_field", "limit"),
        ("limit=99999999999999999999", "invalid_field", "limit"),
        ("limit=1&limit=2", "invalid_field", "limit"),
        ("cursor=nonsense", "invalid_field", "cursor"),
        ("cursor=%FF%FE", "invalid_field", "cursor"),
        ("cursor=%zz", "invalid_field", "cursor"),
        ("page=2", "unknown_field", "page"),
        ("%00=1", "unknown_field", "\u{0}"),
        ("=", "unknown_field", ""),
    ] {
        for list in ["/assistants", "/trunks", "/calls", "/keys"] {
            let refused = rig.get(&format!("{list}?{query}")).await.fails(400, code);
            assert_eq!(refused["error"]["field"], field, "{list}?{query}");
        }
    }
    for good in ["", "?", "?&", "?limit=1", "?limit=100", "?cursor=", "?limit=&cursor="] {
        rig.get(&format!("/assistants{good}")).await.expect(200);
    }
}

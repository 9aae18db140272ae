//! `/keys`.

use actix_web::test::TestRequest;
use serde_json::json;

use crate::rig::{Rig, snapshot};

#[tokio::test(start_paused = true)]
async fn a_life() {
    let mut rig = Rig::new().await;
    std::mem::swap(&mut rig.key, &mut rig.admin);
    // Lists are in the order of time, which stands still by itself.
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    let body = json!({"account": "acme", "name": "crm"});
    let created = rig.post("/keys", body).await.expect(201);
    let token = created["data"]["api_key"].as_str().unwrap().to_owned();
    let id = created["data"]["key_id"].as_str().unwrap().to_owned();
    assert!(token.starts_with(&format!("{id}.")));
    snapshot!("key_created", created);

    // It is good at once, and sees the keys of its account only.
    let as_new = |method: &str, path: &str| {
        let method = actix_web::http::Method::from_bytes(method.as_bytes()).unwrap();
        let bearer = format!("Bearer {token}");
        TestRequest::default().method(method).uri(path).insert_header(("authorization", bearer))
    };
    let list = rig.send(as_new("GET", "/keys")).await.expect(200);
    assert_eq!(list["data"]["items"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(token.split_once('.').unwrap().1));
    snapshot!("key_list", list);

    // An administrator of another account does not own it.
    rig.delete(&format!("/keys/{id}")).await.fails(404, "key_not_found");
    rig.delete("/keys/nonsense").await.fails(404, "key_not_found");
    let revoked = rig.send(as_new("DELETE", &format!("/keys/{id}"))).await.expect(200);
    assert!(revoked["data"]["revoked_at"].is_string());
    snapshot!("key_revoked", revoked);
    rig.send(as_new("GET", "/keys")).await.fails(401, "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn only_administrators_create_keys() {
    let rig = Rig::new().await;
    let body = json!({"account": "acme", "name": "crm", "admin": true});
    rig.post("/keys", body.clone()).await.fails(403, "forbidden");
    // Also when the body is wrong: what may not be done is not explained.
    rig.post("/keys", json!({})).await.fails(403, "forbidden");

    let as_admin = |body| {
        let request = TestRequest::post().uri("/keys");
        rig.send(request.insert_header(("x-api-key", rig.admin.as_str())).set_json(body))
    };
    let created = as_admin(body).await.expect(201);
    assert_eq!(created["data"]["admin"], true);
    for (body, code, field) in [
        (json!({"name": "x"}), "missing_field", "account"),
        (json!({"account": "x"}), "missing_field", "name"),
        (json!({"account": "", "name": "x"}), "invalid_field", "account"),
        (json!({"account": "a\nb", "name": "x"}), "invalid_field", "account"),
        (json!({"account": "x".repeat(101), "name": "x"}), "invalid_field", "account"),
        (json!({"account": "a", "name": "x", "admin": "no"}), "invalid_field", "admin"),
        (json!({"account": "a", "name": "x", "scope": "all"}), "unknown_field", "scope"),
    ] {
        let refused = as_admin(body).await.fails(400, code);
        assert_eq!(refused["error"]["field"], field);
    }
}

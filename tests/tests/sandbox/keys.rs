//! API keys.

use http::Method;
use outdial_tests::{Desk, Outdial};
use serde_json::json;

#[tokio::test]
async fn a_revoked_key_stops_working_at_once_and_for_good() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let admin = outdial.api();
    let created = admin.post("/keys", &json!({"account": "acme", "name": "crm"})).await.data();
    let crm = admin.with_key(created["api_key"].as_str().unwrap());
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    // The key is in use, and so in every cache.
    let placed = crm.post("/call/outbound", &desk.order("+15550200903")).await;
    assert_eq!(placed.status, 200, "{}", placed.body);
    let path = format!("/keys/{}", created["key_id"].as_str().unwrap());
    let revoked = admin.delete(&path).await;
    assert!((200..300).contains(&revoked.status), "{}", revoked.body);
    for _ in 0..2 {
        assert_eq!(crm.get("/calls").await.refused(401), "unauthorized");
        let order = desk.order("+15550200000");
        assert_eq!(crm.post("/call/outbound", &order).await.refused(401), "unauthorized");
        outdial.kill();
        outdial.restart().await;
    }
    assert_eq!(admin.get("/calls").await.status, 200);
}

#[tokio::test]
async fn both_headers_of_the_contract_are_taken() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let admin = outdial.api();
    let created = admin.post("/keys", &json!({"account": "acme", "name": "crm"})).await.data();
    let bearer = format!("Bearer {}", created["api_key"].as_str().unwrap());
    let keyless = admin.with_key("");
    assert_eq!(keyless.get("/calls").await.refused(401), "unauthorized");
    let headers = [("authorization", &*bearer)];
    let reply = keyless.try_send(Method::GET, "/calls", &headers, None).await.unwrap();
    assert_eq!(reply.status, 200);
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let order = desk.order("+15550200486");
    let reply = keyless.post_with("/call/outbound", &headers, &order).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

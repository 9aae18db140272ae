//! API keys and rate limits, on every route.

use std::num::NonZeroU32;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use outdial_api::{ApiOptions, RateLimit};

use crate::rig::Rig;

/// Every operation of the OpenAPI document with its path filled in, and whether it needs a key.
fn operations() -> Vec<(Method, String, bool)> {
    let document = serde_json::to_value(outdial_api::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let open = operation["security"] == serde_json::json!([{}]);
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace("{room_name}", "x").replace("{assistant_id}", "x");
            let path = path.replace("{trunk_id}", "x").replace("{key_id}", "x");
            operations.push((method, path, !open));
        }
    }
    operations
}

#[tokio::test(start_paused = true)]
async fn every_route_but_the_servers_own_needs_a_key() {
    let rig = Rig::new().await;
    let open: Vec<_> =
        operations().into_iter().filter(|(_, _, secured)| !secured).map(|(_, p, _)| p).collect();
    assert_eq!(open, ["/healthz", "/livekit/webhook", "/metrics", "/openapi.json", "/readyz"]);
    for (method, path, _) in operations().into_iter().filter(|(_, _, secured)| *secured) {
        let request = || TestRequest::default().method(method.clone()).uri(&path);
        let refused = rig.send(request()).await;
        refused.fails(401, "unauthorized");
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
        let unknown = "AK_aaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
        rig.send(request().insert_header(("x-api-key", unknown))).await.fails(401, "unauthorized");
        // A wrong body does not tell more to somebody without a key.
        let body = request().set_payload(vec![b'['; 100_000]);
        rig.send(body).await.fails(401, "unauthorized");
    }
}

#[tokio::test(start_paused = true)]
async fn both_published_headers_work() {
    let rig = Rig::new().await;
    let request = || TestRequest::get().uri("/calls");
    let bearer = format!("Bearer {}", rig.key);
    rig.send(request().insert_header(("x-api-key", rig.key.as_str()))).await.expect(200);
    rig.send(request().insert_header(("authorization", bearer.as_str()))).await.expect(200);
    let both = request()
        .insert_header(("authorization", bearer.as_str()))
        .insert_header(("x-api-key", rig.key.as_str()));
    rig.send(both).await.expect(200);
    let differing = request()
        .insert_header(("authorization", bearer.as_str()))
        .insert_header(("x-api-key", rig.admin.as_str()));
    rig.send(differing).await.fails(401, "unauthorized");
    let mut wrong = rig.key.clone();
    wrong.pop();
    rig.send(request().insert_header(("x-api-key", wrong))).await.fails(401, "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_wait() {
    let one = NonZeroU32::MIN;
    let limit = RateLimit { per_second: one, burst: one };
    let rig = Rig::with(ApiOptions { rate_limit: Some(limit), ..ApiOptions::default() }).await;
    for _ in 0..1000 {
        let answer = rig.get("/calls").await;
        if answer.status == 200 {
            continue;
        }
        answer.fails(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), "1");
        // Other keys are counted for themselves, and health is not counted at all.
        let other = TestRequest::get().uri("/calls");
        rig.send(other.insert_header(("x-api-key", rig.admin.as_str()))).await.expect(200);
        rig.get("/healthz").await.expect(200);
        return;
    }
    panic!("a thousand requests in a second and none was refused");
}

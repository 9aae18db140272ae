//! Errors that come from below, and from the routing.

use std::collections::BTreeSet;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use outdial_domain::ErrorKind;
use serde_json::json;

use crate::rig::{NEVER_ENDS, Rig, TALKS};

#[tokio::test(start_paused = true)]
async fn failures_of_the_store() {
    let rig = Rig::new().await;
    let order = rig.order(TALKS).await;
    for (kind, status, code, wait) in [
        (ErrorKind::Unavailable, 503, "store_unavailable", "5"),
        (ErrorKind::Full, 503, "store_full", "30"),
        (ErrorKind::Corrupt, 500, "internal", ""),
        (ErrorKind::Internal, 500, "internal", ""),
    ] {
        rig.store.fail_with(Some(kind));
        let answer = rig.post("/call/outbound", order.clone()).await;
        let body = answer.fails(status, code);
        assert_eq!(answer.header("retry-after"), wait);
        // What happened inside is for the log.
        assert!(!body.to_string().contains("the test asked"), "{body}");
        rig.get("/calls").await.fails(status, code);
        rig.store.fail_with(None);
        rig.post("/call/outbound", order.clone()).await.expect(200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_trunk_tells_when_to_come_back() {
    let rig = Rig::new().await;
    let trunk = json!({"sandbox": true, "max_concurrent_calls": 1});
    let mut order = rig.order(NEVER_ENDS).await;
    order["trunk_id"] = json!(rig.trunk_with(trunk).await);
    rig.post("/call/outbound", order.clone()).await.expect(200);
    let answer = rig.post("/call/outbound", order).await;
    answer.fails(429, "trunk_busy");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_set_up_names_the_setting() {
    let rig = Rig::new().await;
    let mut order = rig.order(TALKS).await;
    order["call_service"] = json!("exotel");
    order["trunk_id"] = json!(rig.trunk_with(json!({"call_service": "exotel"})).await);
    let body = rig.post("/call/outbound", order).await.fails(500, "not_configured");
    assert!(body["message"].as_str().unwrap().contains("exotel.bind"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_takes_no_calls_but_answers_questions() {
    let rig = Rig::new().await;
    let order = rig.order(TALKS).await;
    rig.engine.drain();
    let answer = rig.post("/call/outbound", order).await;
    answer.fails(503, "stopping");
    assert_eq!(answer.header("retry-after"), "5");
    rig.get("/calls").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn routes_and_methods_that_are_not_there() {
    let rig = Rig::new().await;
    for path in
        ["/", "/nonsense", "/call", "/call/outbound/", "//calls", "/calls/a/b", "/%zz", "/%FF"]
    {
        rig.get(path).await.fails(404, "not_found");
        rig.send(TestRequest::post().uri(path)).await.fails(404, "not_found");
    }
    for (method, path, allow) in [
        ("GET", "/call/outbound", "POST"),
        ("PUT", "/assistants", "GET, POST"),
        ("POST", "/assistants/x", "GET, PATCH, DELETE"),
        ("OPTIONS", "/calls", "GET"),
        ("TRACE", "/healthz", "GET"),
        ("BREW", "/trunks", "GET, POST"),
    ] {
        let answer = rig.send(rig.request(method, path)).await;
        answer.fails(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_ids_are_taken_over_when_harmless() {
    let rig = Rig::new().await;
    let with = |id: &str| {
        let request = TestRequest::get().uri("/healthz");
        rig.send(request.insert_header(("x-request-id", id)))
    };
    let longest = "x".repeat(64);
    for good in ["a", "Order_1-2", &longest] {
        assert_eq!(with(good).await.header("x-request-id"), good);
    }
    let mut fresh = BTreeSet::new();
    for bad in ["", "a b", "a\"b", "k\u{e9}y", "a:b", &"x".repeat(65)] {
        let answer = with(bad).await;
        let id = answer.header("x-request-id");
        assert!(id.len() == 16 && id != bad, "{id}");
        fresh.insert(id.to_owned());
    }
    assert_eq!(fresh.len(), 6);
}

/// No input, however strange, is the server's fault.
#[tokio::test(start_paused = true)]
async fn strange_requests_are_never_a_5xx() {
    let rig = Rig::new().await;
    let long = "x".repeat(8000);
    let texts = ["", "x", "%00", "%2e%2e", "%FF", "%zz", "+", "a b%20c", "{}", "'\"", &long];
    let uri = |text: &str| text.replace(['{', '}', ' ', '"'], "_");
    for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
        for base in ["/calls/", "/assistants/", "/trunks/", "/keys/", "/docs/", "/calls?cursor="] {
            for text in texts {
                let path = format!("{base}{}", uri(text));
                let request = rig.request(method.as_str(), &path);
                let answer = rig.send(request.set_payload(text.to_owned())).await;
                assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.status);
            }
        }
    }
}

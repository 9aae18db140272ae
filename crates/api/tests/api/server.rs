//! The server itself: health, metrics, documentation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
use actix_web::{App, web};
use outdial_api::{ApiOptions, ApiState, configure};
use outdial_domain::ErrorKind;

use crate::rig::{Rig, TALKS, snapshot};

#[tokio::test(start_paused = true)]
async fn health_and_readiness() {
    let rig = Rig::new().await;
    let open = |path: &str| rig.send(TestRequest::get().uri(path));
    let health = open("/healthz").await.expect(200);
    assert_eq!(health["data"]["version"], env!("CARGO_PKG_VERSION"));
    snapshot!("readyz", open("/readyz").await.expect(200));

    rig.scripted.down.store(true, Ordering::SeqCst);
    rig.store.fail_with(Some(ErrorKind::Unavailable));
    let body = open("/readyz").await.fails(503, "not_ready");
    snapshot!("readyz_not", body);
    open("/healthz").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_text_where_they_are_set_up() {
    let rig = Rig::new().await;
    rig.get("/metrics").await.fails(404, "not_found");
    let text = "# TYPE outdial_calls_placed_total counter\n";
    let options =
        ApiOptions { metrics_text: Some(Arc::new(|| text.to_owned())), ..ApiOptions::default() };
    let rig = Rig::with(options).await;
    let answer = rig.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.body, text);
}

#[tokio::test(start_paused = true)]
async fn the_openapi_document() {
    let rig = Rig::new().await;
    let document = rig.get("/openapi.json").await;
    assert_eq!(document.status, 200);
    insta::with_settings!({sort_maps => true}, {
        insta::assert_json_snapshot!("openapi", document.json(), {".info.version" => "[version]"});
    });
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn check(value: &serde_json::Value, document: &serde_json::Value) {
        match value {
            serde_json::Value::Object(object) => {
                if let Some(target) = object.get("$ref").and_then(|target| target.as_str()) {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{target}");
                }
                object.values().for_each(|value| check(value, document));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| check(item, document)),
            _ => {}
        }
    }
    let document = serde_json::to_value(outdial_api::openapi()).unwrap();
    check(&document, &document);
}

#[tokio::test(start_paused = true)]
async fn the_documentation_is_in_the_binary() {
    let rig = Rig::new().await;
    let answer = rig.get("/docs").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (308, "docs/"));
    let page = rig.get("/docs/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html"));
    assert!(String::from_utf8_lossy(&page.body).contains("swagger-ui"));
    let script = rig.get("/docs/swagger-initializer.js").await;
    assert!(String::from_utf8_lossy(&script.body).contains("../openapi.json"));
    rig.get("/docs/nonsense.js").await.fails(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn the_api_can_be_mounted_below_a_path() {
    let rig = Rig::new().await;
    let base_path = "/phone".to_owned();
    let state = ApiState::new(rig.engine.clone(), ApiOptions { base_path, ..Default::default() });
    let app = init_service(
        App::new()
            .service(web::scope("/phone").configure(configure(state)))
            .route("/mine", web::get().to(async || "mine")),
    )
    .await;
    let order = rig.order(TALKS).await;
    let request = rig.request("POST", "/phone/call/outbound").set_json(order);
    let request = request.insert_header(("prefer", "respond-async")).to_request();
    let response = call_service(&app, request).await;
    assert_eq!(response.status(), 202);
    let location = response.headers().get("location").unwrap().to_str().unwrap().to_owned();
    assert!(location.starts_with("/phone/calls/"), "{location}");
    let response = call_service(&app, rig.request("GET", &location).to_request()).await;
    assert_eq!(response.status(), 200);

    let document = call_service(&app, TestRequest::get().uri("/phone/openapi.json").to_request());
    let document: serde_json::Value = read_body_json(document.await).await;
    assert_eq!(document["servers"][0]["url"], "/phone");

    let mine = call_service(&app, TestRequest::get().uri("/mine").to_request()).await;
    assert_eq!(read_body(mine).await, "mine");
    let other = call_service(&app, TestRequest::get().uri("/other").to_request()).await;
    assert_eq!(other.status(), 404);
}

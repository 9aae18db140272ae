//! Calls that wait, and requests that come twice.

use outdial_tests::{Desk, End, Outdial};
use serde_json::json;

#[tokio::test]
async fn a_queued_call_survives_a_crash_and_is_dialled_after_the_restart() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.02")]).await;
    let slow = json!({"calls_per_second": 0.4});
    let desk = Desk::new(&outdial, json!({}), slow).await;
    let first = desk.enqueue("+15550200486").await;
    let second = desk.enqueue("+15550200000").await;
    assert_eq!(desk.record(&second).await["status"], "queued");
    outdial.kill();
    outdial.restart().await;
    desk.ends(&second, End::completed("callee_hangup")).await;
    // Whether the crash was before its end or behind it is a matter of luck.
    desk.ended(&first).await;
    desk.one_webhook(&first).await;
}

#[tokio::test]
async fn a_repeated_request_is_one_call_also_across_a_restart() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let order = desk.order("+15550200000");
    let headers = [("idempotency-key", "order-4711")];
    let send = || desk.api.post_with("/call/outbound", &headers, &order);
    let (one, two) = tokio::join!(send(), send());
    let room = one.data()["room_name"].clone();
    assert_eq!(two.data()["room_name"], room, "sent twice at the same time");
    outdial.kill();
    outdial.restart().await;
    assert_eq!(send().await.data()["room_name"], room);
    let room = room.as_str().unwrap();
    desk.ended(room).await;
    assert_eq!(send().await.data()["room_name"], *room);
    desk.one_webhook(room).await;

    let other = desk.order("+15550200001");
    let mismatch = desk.api.post_with("/call/outbound", &headers, &other).await;
    assert_eq!(mismatch.refused(409), "idempotency_mismatch");
    assert_eq!(desk.endpoint.count(), 1);
}

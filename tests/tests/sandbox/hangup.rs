//! Hanging up through the API, in every status.

use outdial_tests::{Desk, End, Outdial};
use serde_json::{Value, json};

const CANCELED: End = End::because("canceled", "api", "hangup");

#[tokio::test]
async fn while_queued_nothing_is_dialled() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let slow = json!({"calls_per_second": 0.01});
    let desk = Desk::new(&outdial, json!({}), slow).await;
    desk.enqueue("+15550200000").await;
    let room = desk.enqueue("+15550200001").await;
    assert_eq!(desk.record(&room).await["status"], "queued");
    desk.api.hang_up(&room).await.data();
    let record = desk.ends(&room, CANCELED).await;
    assert_eq!((&record["starting_at"], &record["dialed_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn while_ringing_it_is_canceled() {
    let outdial = Outdial::start(&[]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    desk.reaches(&room, "ringing").await;
    desk.api.hang_up(&room).await.data();
    let record = desk.ends(&room, CANCELED).await;
    assert_eq!(record["answered_at"], Value::Null);
    assert_eq!(record["call_duration_minutes"], 0.0);
}

#[tokio::test]
async fn in_progress_it_is_completed_and_once_is_enough() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    desk.reaches(&room, "in_progress").await;
    desk.api.hang_up(&room).await.data();
    // Impatient callers ask again.
    desk.api.hang_up(&room).await.data();
    let record = desk.ends(&room, End::completed("api_hangup")).await;
    // And after the end it changes nothing.
    let after = desk.api.hang_up(&room).await.data();
    assert_eq!(after["ended_at"], record["ended_at"]);
    assert_eq!(desk.webhooks(&room).len(), 1);
}

#[tokio::test]
async fn a_call_of_another_account_is_not_found() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    let key = json!({"account": "other", "name": "k"});
    let other = desk.api.post("/keys", &key).await.data();
    let stranger = desk.api.with_key(other["api_key"].as_str().unwrap());
    assert_eq!(stranger.hang_up(&room).await.refused(404), "call_not_found");
    assert_eq!(stranger.call(&room, "").await.refused(404), "call_not_found");
    assert_ne!(desk.record(&room).await["status"], "ended");
}

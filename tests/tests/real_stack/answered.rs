//! Calls that are answered.

use outdial_tests::{End, Phone, Stack, Tap, by_ear};
use serde_json::{Value, json};

#[tokio::test]
async fn the_callee_hears_the_agent_and_hangs_up() {
    by_ear(async |stack| {
        let outdial = stack.shared().await;
        let tap = Tap::start();
        let phone = Phone::with_tap("tap_bye", tap.port()).await;
        let desk = stack.desk(outdial, &phone, json!({})).await;
        let reply = desk.try_place("+15550200001").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let data = &reply.body["data"];
        assert!(data["agent_dispatch"]["id"].as_str().unwrap().starts_with("AD_"), "{data}");
        assert!(data["participant"]["sid"].as_str().unwrap().starts_with("PA_"), "{data}");
        assert_eq!(data["participant"]["identity"], "phone-+15550200001");
        let room = data["room_name"].as_str().unwrap();
        desk.reaches(room, "in_progress").await;
        tap.hears_speech().await;
        let record = stack.ends(&desk, room, End::completed("callee_hangup")).await;
        phone.is_done().await;
        assert_eq!(phone.calls(), 1);
        let course = ["starting_at", "dialed_at", "ringing_at", "answered_at", "ended_at"];
        let times = course.map(|key| record[key].as_str().unwrap_or_default().to_owned());
        assert!(times.is_sorted() && !times[0].is_empty(), "{record}");
        let minutes = record["call_duration_minutes"].as_f64().unwrap();
        assert!((9.0..15.0).contains(&(minutes * 60.0)), "{record}");
    })
    .await;
}

#[tokio::test]
async fn the_agent_hangs_up() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let phone = Phone::start("answer").await;
    let config = json!({"agent_config": {"hangup_after_greeting": true}});
    let desk = stack.desk(stack.shared().await, &phone, config).await;
    let room = desk.place("+15550200002").await;
    stack.ends(&desk, &room, End::completed("agent_hangup")).await;
    phone.is_done().await;
}

#[tokio::test]
async fn the_agent_deletes_the_room() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let phone = Phone::start("answer").await;
    let config = json!({"agent_config": {"hangup_after_greeting": true, "hangup": "room"}});
    let desk = stack.desk(stack.shared().await, &phone, config).await;
    let room = desk.place("+15550200003").await;
    stack.ends(&desk, &room, End::completed("agent_hangup")).await;
    phone.is_done().await;
}

/// The callee asks for its order and says good-bye; the agent, who must have understood that,
/// hangs up.
#[tokio::test]
async fn a_whole_conversation() {
    by_ear(async |stack| {
        let phone = Phone::start("talk").await;
        let desk = stack.desk(stack.shared().await, &phone, json!({})).await;
        let room = desk.place("+15550200004").await;
        let record = stack.ends(&desk, &room, End::completed("agent_hangup")).await;
        phone.is_done().await;
        assert_ne!(record["answered_at"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn a_trunk_with_the_right_password() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let phone = Phone::start("auth401_ok").await;
    let desk = stack.desk(stack.shared().await, &phone, json!({})).await;
    let path = format!("/trunks/{}", desk.trunk["trunk_id"].as_str().unwrap());
    let access = json!({"auth_username": "outdial", "auth_password": "s3cret-s3cret"});
    let changed = desk.api.try_send(http::Method::PATCH, &path, &[], Some(&access)).await.unwrap();
    assert_eq!(changed.data()["auth_username"], "outdial");
    let room = desk.place("+15550200005").await;
    desk.reaches(&room, "in_progress").await;
    desk.api.hang_up(&room).await.data();
    stack.ends(&desk, &room, End::completed("api_hangup")).await;
    phone.is_done().await;
    assert_eq!(phone.calls(), 1, "one call, with a second INVITE for the credentials");
    let shown = phone.messages().join("\n");
    assert!(shown.contains("Authorization: Digest username=\"outdial\""), "{shown}");
    assert!(!shown.contains("s3cret"), "the password itself is never sent");
}

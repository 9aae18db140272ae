//! LiveKit, or a part of it, is not there or does not know us.

use outdial_tests::{Desk, End, Outdial, Phone, Reply, Stack};
use serde_json::{Value, json};

use crate::NOBODY;

/// The answer says why, the record has the same, and the webhook comes.
async fn check(desk: &Desk, reply: Reply, end: End, words: &[&str]) -> String {
    assert_eq!(reply.refused(500), "provider_error");
    for word in words {
        let message = reply.body["message"].as_str().unwrap();
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    let details = &reply.body["error"]["details"];
    let room = details["room_name"].as_str().unwrap();
    let record = desk.ends(room, end).await;
    assert_eq!(details["cause"], record["cause"]);
    assert_eq!(record["dialed_at"], Value::Null);
    room.to_owned()
}

#[tokio::test]
async fn livekit_sip_is_stopped() {
    let (_alone, stack) = (Stack::alone().await, Stack::get());
    let outdial = stack.shared().await;
    let phone = Phone::start("answer").await;
    let desk = stack.desk(outdial, &phone, json!({"agent_name": NOBODY})).await;
    Stack::down("sip");
    let reply = desk.try_place("+15550200040").await;
    Stack::up("sip");
    let end = End::passing("failed", "livekit", "no_sip_node");
    let room = check(&desk, reply, end, &["livekit-sip"]).await;
    stack.has_no_room(&room).await;
    assert_eq!(phone.calls(), 0);
    // And on it goes as soon as the part is back.
    let room = desk.place("+15550200041").await;
    desk.reaches(&room, "in_progress").await;
    desk.api.hang_up(&room).await.data();
    stack.ends(&desk, &room, End::completed("api_hangup")).await;
}

#[tokio::test]
async fn the_secret_is_wrong() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let wrong = [("livekit.api_secret", "wrong-wrong-wrong-wrong-wrong-wrong")];
    let outdial = Outdial::start_unready(&stack.settings(&wrong)).await;
    let not_ready = outdial.api().get("/readyz").await;
    assert_eq!(not_ready.refused(503), "not_ready");
    let trunk = json!({"sandbox": false, "address": "127.0.0.1:9", "numbers": ["+15550100000"]});
    let desk = Desk::new(&outdial, json!({}), trunk).await;
    let reply = desk.try_place("+15550200042").await;
    let end = End::because("failed", "livekit", "refused");
    let room = check(&desk, reply, end, &["livekit.api_secret"]).await;
    stack.has_no_room(&room).await;
}

#[tokio::test]
async fn livekit_is_not_there() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let nowhere = [("livekit.url", "ws://127.0.0.1:9")];
    let outdial = Outdial::start_unready(&stack.settings(&nowhere)).await;
    assert_eq!(outdial.api().get("/readyz").await.refused(503), "not_ready");
    let trunk = json!({"sandbox": false, "address": "127.0.0.1:9", "numbers": ["+15550100000"]});
    let desk = Desk::new(&outdial, json!({}), trunk).await;
    let reply = desk.try_place("+15550200043").await;
    let end = End::passing("failed", "livekit", "unavailable");
    check(&desk, reply, end, &["livekit.url"]).await;
}

#[tokio::test]
async fn livekit_is_not_set_up() {
    let outdial = Outdial::start(&[]).await;
    let trunk = json!({"sandbox": false, "address": "127.0.0.1:9", "numbers": ["+15550100000"]});
    let desk = Desk::new(&outdial, json!({}), trunk).await;
    let reply = desk.try_place("+15550200044").await;
    assert_eq!(reply.refused(500), "not_configured");
    assert!(reply.body["message"].as_str().unwrap().contains("livekit.url"));
    assert_eq!(desk.calls("").await.len(), 0, "nothing was stored");
}

#[tokio::test]
async fn the_bridge_is_not_set_up() {
    let outdial = Outdial::start(&Stack::get().settings(&[])).await;
    let to = json!({"sandbox": false, "address": "127.0.0.1:9", "numbers": ["+918045671234"]});
    let exotel = json!({"call_service": "exotel", "from_host": "acme1.pstn.exotel.com"});
    let direct = json!({"call_service": "twilio", "route": "direct"});
    for fields in [exotel, direct] {
        let mut trunk = to.clone();
        trunk.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let desk = Desk::new(&outdial, json!({}), trunk).await;
        let reply = desk.try_place("+918044319299").await;
        assert_eq!(reply.refused(500), "not_configured");
        assert!(reply.body["message"].as_str().unwrap().contains("sip.public_ip"));
        assert_eq!(desk.calls("").await.len(), 0, "nothing was stored");
    }
}

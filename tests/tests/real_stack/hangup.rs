//! Hanging up, by the caller or by the clock.

use outdial_tests::{End, Outdial, Phone, Stack};
use serde_json::{Value, json};

use crate::NOBODY;

#[tokio::test]
async fn by_the_api_while_ringing_sends_a_cancel() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let phone = Phone::start("ring").await;
    let outdial = stack.shared().await;
    let desk = stack.desk(outdial, &phone, json!({"agent_name": NOBODY})).await;
    let room = desk.place("+15550200020").await;
    desk.reaches(&room, "ringing").await;
    desk.api.hang_up(&room).await.data();
    phone.has_seen("CANCEL").await;
    let record = stack.ends(&desk, &room, End::because("canceled", "api", "hangup")).await;
    assert_eq!(record["answered_at"], Value::Null);
    phone.is_done().await;
}

#[tokio::test]
async fn by_the_api_while_talking_sends_a_bye() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let phone = Phone::start("answer").await;
    let desk = stack.desk(stack.shared().await, &phone, json!({})).await;
    let room = desk.place("+15550200021").await;
    desk.reaches(&room, "in_progress").await;
    desk.api.hang_up(&room).await.data();
    phone.has_seen("BYE").await;
    stack.ends(&desk, &room, End::completed("api_hangup")).await;
    phone.is_done().await;
}

#[tokio::test]
async fn by_the_clock_when_nobody_answers() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let outdial = Outdial::start(&stack.settings(&[("calls.ringing_timeout", "3s")])).await;
    let phone = Phone::start("ring").await;
    let desk = stack.desk(&outdial, &phone, json!({"agent_name": NOBODY})).await;
    let room = desk.place("+15550200022").await;
    phone.has_seen("CANCEL").await;
    stack.ends(&desk, &room, End::because("no_answer", "sip", "ring_timeout")).await;
    phone.is_done().await;
}

#[tokio::test]
async fn by_the_clock_when_they_talk_too_long() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let outdial = Outdial::start(&stack.settings(&[("calls.max_duration", "2s")])).await;
    let phone = Phone::start("answer").await;
    let desk = stack.desk(&outdial, &phone, json!({})).await;
    let room = desk.place("+15550200023").await;
    stack.ends(&desk, &room, End::completed("max_duration")).await;
    phone.is_done().await;
}

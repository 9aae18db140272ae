//! Nobody listens to silence.

use outdial_tests::{End, Outdial, Phone, Stack};
use serde_json::json;

use crate::NOBODY;

#[tokio::test]
async fn an_agent_that_never_comes_ends_the_call() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let outdial = Outdial::start(&stack.settings(&[("agent.absence_timeout", "3s")])).await;
    let phone = Phone::start("answer").await;
    let desk = stack.desk(&outdial, &phone, json!({"agent_name": NOBODY})).await;
    let room = desk.place("+15550200030").await;
    phone.has_seen("BYE").await;
    let end = End::passing("agent_unavailable", "agent", "not_joined");
    stack.ends(&desk, &room, end).await;
    phone.is_done().await;
}

#[tokio::test]
async fn an_agent_that_leaves_ends_the_call() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let port = stack.webhook_port().await;
    let settings = stack.settings(&[("agent.absence_timeout", "20s")]);
    let outdial = Outdial::start_at(port.number, &settings).await;
    let phone = Phone::start("answer").await;
    let config = json!({"agent_config": {"leave_after_greeting": true}});
    let desk = stack.desk(&outdial, &phone, config).await;
    let room = desk.place("+15550200031").await;
    stack.ends(&desk, &room, End::completed("agent_hangup")).await;
    phone.is_done().await;
}

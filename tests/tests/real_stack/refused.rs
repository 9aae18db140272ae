//! Calls that the callee or its network refuses: each SIP code has its outcome, and is kept.

use outdial_tests::{Desk, End, Phone, Stack};
use serde_json::{Value, json};

use crate::NOBODY;

/// Plays a scenario for one call to its end.
async fn check(scenario: &str, end: End) -> Value {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let phone = Phone::start(scenario).await;
    let outdial = stack.shared().await;
    let desk = stack.desk(outdial, &phone, json!({"agent_name": NOBODY})).await;
    let room = desk.place_anyhow("+15550200010").await;
    let record = stack.ends(&desk, &room, end).await;
    phone.is_done().await;
    assert_eq!(phone.calls(), 1);
    assert_eq!(record["answered_at"], Value::Null);
    assert_eq!(record["call_duration_minutes"], 0.0);
    record
}

#[tokio::test]
async fn busy_with_an_agent_in_the_room() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let phone = Phone::start("busy486").await;
    let desk = stack.desk(stack.shared().await, &phone, json!({})).await;
    let room = desk.place("+15550200486").await;
    let record = stack.ends(&desk, &room, End::passing("busy", "sip", "486")).await;
    assert_eq!(record["cause"]["text"], "Busy Here");
    phone.is_done().await;
}

#[tokio::test]
async fn declined() {
    check("decline603", End::because("rejected", "sip", "603")).await;
}

#[tokio::test]
async fn unavailable() {
    check("unavailable480", End::passing("no_answer", "sip", "480")).await;
}

#[tokio::test]
async fn not_found() {
    check("notfound404", End::because("unreachable", "sip", "404")).await;
}

#[tokio::test]
async fn a_server_error() {
    check("error500", End::passing("failed", "sip", "500")).await;
}

#[tokio::test]
async fn too_many_calls_per_second() {
    let record = check("cps503", End::passing("throttled", "sip", "503")).await;
    assert_eq!(record["cause"]["text"], "Trunk CPS limit exceeded");
}

#[tokio::test]
async fn no_password_where_one_is_asked_for() {
    check("auth401", End::because("failed", "sip", "401")).await;
}

#[tokio::test]
async fn nobody_accepts_connections() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let outdial = stack.shared().await;
    // The discard service: nowhere in use.
    let trunk = json!({
        "sandbox": false, "address": "127.0.0.1:9", "transport": "tcp", "numbers": ["+15550100000"],
    });
    let desk = Desk::new(outdial, json!({"agent_name": NOBODY}), trunk).await;
    let room = desk.place_anyhow("+15550200011").await;
    stack.ends(&desk, &room, End::passing("failed", "sip", "connection_refused")).await;
}

//! LiveKit's webhooks are lost, all of them: observing and looking are enough.

use outdial_tests::{End, Outdial, Phone, Stack};
use serde_json::json;

use crate::{NOBODY, time};

#[tokio::test]
async fn an_answered_call() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    // On a port of which LiveKit knows nothing.
    let outdial = Outdial::start(&stack.settings(&[])).await;
    let phone = Phone::start("answer_bye").await;
    let desk = stack.desk(&outdial, &phone, json!({})).await;
    let room = desk.place("+15550200060").await;
    desk.reaches(&room, "in_progress").await;
    // The observer sees the BYE.
    let record = stack.ends(&desk, &room, End::completed("callee_hangup")).await;
    phone.is_done().await;
    for (key, before, after) in
        [("ringing_at", "INVITE", "SIP/2.0 200"), ("answered_at", "SIP/2.0 180", "BYE")]
    {
        let (from, to) = (phone.time_of(before), phone.time_of(after));
        assert!(from < time(&record[key]) && time(&record[key]) < to, "{from}, {to}: {record}");
    }
    assert_eq!(record["transcript_status"], "complete");
    assert_eq!(desk.lines(&room).await[0]["speaker"], "agent");
    assert_eq!(record["recording"]["status"], "available", "{record}");
    let seconds = record["call_duration_minutes"].as_f64().unwrap() * 60.0;
    assert!((3.0..20.0).contains(&seconds), "the phone was off the hook for 4 s: {record}");
}

#[tokio::test]
async fn an_agent_that_leaves() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let outdial = Outdial::start(&stack.settings(&[("agent.absence_timeout", "20s")])).await;
    let phone = Phone::start("answer").await;
    // An agent that stays for less than the ten seconds between two looks may not be seen at all.
    let long = format!("Say: {}.", "hello and good morning to you, ".repeat(8));
    let assistant = json!({
        "assistant_start_instruction": long,
        "agent_config": {"leave_after_greeting": true},
    });
    let desk = stack.desk(&outdial, &phone, assistant).await;
    let room = desk.place("+15550200062").await;
    stack.ends(&desk, &room, End::completed("agent_hangup")).await;
    phone.is_done().await;
}

#[tokio::test]
async fn a_busy_callee() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let outdial = Outdial::start(&stack.settings(&[])).await;
    let phone = Phone::start("busy486").await;
    let desk = stack.desk(&outdial, &phone, json!({"agent_name": NOBODY})).await;
    let room = desk.place("+15550200061").await;
    stack.ends(&desk, &room, End::passing("busy", "sip", "486")).await;
    phone.is_done().await;
}

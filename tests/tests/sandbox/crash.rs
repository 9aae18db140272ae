//! `kill -9` at any moment: what was acknowledged ends on record, once, with one webhook.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Method;
use outdial_testkit::receiver::Answer;
use outdial_tests::{Desk, End, Hook, Outdial, until};
use serde_json::{Value, json};

/// The simulated network ends with the server's process: a call that was on is lost.
const LOST: End = End::because("interrupted", "livekit", "leg_gone");

#[tokio::test]
async fn right_after_the_answer() {
    let outdial = Outdial::start(&[]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    outdial.kill();
    outdial.restart().await;
    desk.ends(&room, LOST).await;
}

#[tokio::test]
async fn while_the_phone_rings() {
    let outdial = Outdial::start(&[]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    let ringing = desk.reaches(&room, "ringing").await;
    outdial.kill();
    outdial.restart().await;
    let record = desk.ends(&room, LOST).await;
    assert_eq!(record["ringing_at"], ringing["ringing_at"]);
    assert_eq!(record["answered_at"], Value::Null);
}

#[tokio::test]
async fn while_they_talk_what_was_said_is_kept() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.5")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    let answered = desk.reaches(&room, "in_progress").await;
    let said = until("the first line", async || {
        let lines = desk.api.call(&room, "/transcript").await.data()["transcripts"].take();
        if lines.as_array().unwrap().is_empty() { Err(lines.to_string()) } else { Ok(lines) }
    })
    .await;
    outdial.kill();
    outdial.restart().await;
    let record = desk.ends(&room, LOST).await;
    assert_eq!(record["answered_at"], answered["answered_at"]);
    let kept = desk.webhooks(&room)[0].body["data"]["transcripts"].clone();
    assert_eq!(kept[0], said[0]);
}

#[tokio::test]
async fn while_the_webhook_is_being_answered() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.02")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    desk.endpoint.answer([Answer::hang()]);
    let room = desk.place("+15550200000").await;
    let first = first_webhook(&desk, &room).await;
    let before = desk.ended(&room).await;
    outdial.kill();
    outdial.restart().await;

    // The end was on record before it was told to anybody, and stays what it is.
    let hooks = desk.delivered(&room).await;
    assert_eq!(hooks.len(), 2);
    assert_eq!(hooks[1].id, first.id);
    let after = desk.record(&room).await;
    assert_eq!(after["outcome"], "completed");
    for field in ["ended_at", "answered_at", "end_reason", "call_duration_minutes"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let delivered = desk.deliveries(&room).await;
    let good = delivered.iter().filter(|attempt| attempt["error"] == Value::Null);
    assert_eq!(good.count(), 1, "{delivered:?}");
}

#[tokio::test]
async fn between_two_tries_of_the_webhook() {
    let settings = [("sandbox.time_scale", "0.02"), ("webhooks.retries", "2s,2s")];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    desk.endpoint.answer([Answer::status(503)]);
    let room = desk.place("+15550200486").await;
    until("the first failure on record", async || {
        let tried = desk.deliveries(&room).await;
        if tried.len() == 1 { Ok(()) } else { Err(format!("{tried:?}")) }
    })
    .await;
    outdial.kill();
    outdial.restart().await;
    let hooks = desk.delivered(&room).await;
    assert_eq!(hooks.len(), 2);
    assert_eq!(desk.record(&room).await["outcome"], "busy");
    let attempts = desk.deliveries(&room).await;
    let codes: Vec<_> = attempts.iter().map(|attempt| attempt["status_code"].clone()).collect();
    assert_eq!(codes, [503, 200]);
}

/// The answer comes only after the process is dead: whoever sent it cannot know that it was good.
#[tokio::test]
async fn again_and_again_while_the_endpoint_is_slow() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.02")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let slow = || Answer::status(200).after(Duration::from_secs(4));
    desk.endpoint.answer([slow(), slow()]);
    let room = desk.place("+15550200486").await;
    for crashes in 1..=2 {
        until("a webhook", async || {
            let came = desk.webhooks(&room).len();
            if came >= crashes { Ok(()) } else { Err(format!("{came} came")) }
        })
        .await;
        outdial.kill();
        outdial.restart().await;
    }
    let hooks = desk.delivered(&room).await;
    assert_eq!(hooks.len(), 3);
    assert_eq!(desk.record(&room).await["outcome"], "busy");
}

#[tokio::test]
async fn with_fifty_calls_none_is_lost() {
    crash_with_fifty(50).await;
}

#[tokio::test]
async fn in_the_middle_of_accepting_fifty_calls_none_that_was_acknowledged_is_lost() {
    crash_with_fifty(20).await;
}

/// Sends fifty requests at once, and kills the server after so many were acknowledged.
async fn crash_with_fifty(acknowledged: usize) {
    let outdial = Outdial::start(&[]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let place = async |number: usize| {
        let order = desk.order(&format!("+155502{number:02}000"));
        let reply =
            desk.api.try_send(Method::POST, "/call/outbound", &[], Some(&order)).await.ok()?;
        assert_eq!(reply.status, 200, "{}", reply.body);
        Some(reply.data()["room_name"].as_str().unwrap().to_owned())
    };
    let mut placing: FuturesUnordered<_> = (0..50).map(place).collect();
    let mut rooms = Vec::new();
    while rooms.len() < acknowledged {
        rooms.push(placing.next().await.expect("an answer").expect("an acknowledgement"));
    }
    outdial.kill();
    // Answers that were on their way already count too.
    while let Some(answer) = placing.next().await {
        rooms.extend(answer);
    }
    outdial.restart().await;
    for room in &rooms {
        desk.ends(room, LOST).await;
    }

    // What was on record without having been acknowledged ends in the same way.
    let listed = desk.calls("?limit=100").await;
    assert!(listed.len() >= rooms.len(), "{} of {}", listed.len(), rooms.len());
    for call in &listed {
        desk.ends(call["room_name"].as_str().unwrap(), LOST).await;
    }
    assert_eq!(desk.endpoint.count(), listed.len(), "one webhook for each");
}

async fn first_webhook(desk: &Desk, room: &str) -> Hook {
    until("the webhook", async || {
        desk.webhooks(room).into_iter().next().ok_or_else(|| "none came".to_owned())
    })
    .await
}

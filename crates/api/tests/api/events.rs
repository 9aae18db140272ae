//! `/calls/{room_name}/events`.

use actix_web::body::MessageBody;
use actix_web::test::TestRequest;
use chrono::DateTime;
use outdial_domain::{Digit, Hint};
use serde_json::{Value, json};

use crate::rig::{NEVER_ENDS, Rig, TALKS, snapshot, stream};

struct Event {
    name: String,
    id: String,
    data: Value,
}

fn events(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':')) {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.strip_prefix(": ").unwrap().to_owned()
        };
        let data = serde_json::from_str(&field("data")).unwrap();
        events.push(Event { name: field("event"), id: field("id"), data });
    }
    events
}

fn outline(events: &[Event]) -> Vec<String> {
    let what = |event: &Event| match event.name.as_str() {
        "status" => event.data["status"].as_str().unwrap().to_owned(),
        "transcript" => format!("{} {}", event.data["index"], event.data["speaker"]),
        other => panic!("{other}"),
    };
    events.iter().map(what).collect()
}

/// What is told once, and what is on record.
fn split(events: Vec<Event>) -> (Vec<Event>, Vec<Event>) {
    events.into_iter().partition(|event| event.name == "agent_state")
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_everything_and_ends_with_the_call() {
    let rig = Rig::new().await;
    let room = rig.place(TALKS).await;
    let path = format!("/calls/{room}/events");
    let answer = rig.get(&path).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-store");
    let all = events(std::str::from_utf8(&answer.body).unwrap());
    let (fleeting, all) = split(all);
    let told = outline(&all);
    assert_eq!(told[..5], ["queued", "starting", "dialing", "ringing", "in_progress"]);
    assert_eq!(told[5], "0 \"agent\"");
    assert_eq!(told.last().unwrap(), "ended");
    assert_eq!(all.last().unwrap().data["call"]["outcome"], "completed");
    snapshot!("event_transcript", all[5].data.clone());
    let status: Vec<_> = all[0].data.as_object().unwrap().keys().cloned().collect();
    assert_eq!(status, ["at", "call", "status"]);

    // What the agent does is told with the place that was reached before, to whoever listens now.
    assert_eq!(fleeting[0].data, json!({"state": "speaking"}));
    assert!(fleeting.iter().all(|event| all.iter().any(|lasting| lasting.id == event.id)));

    // Every id is a place at which the rest can be had.
    for (seen, event) in all.iter().enumerate() {
        let request = rig.request("GET", &path).insert_header(("last-event-id", event.id.as_str()));
        let rest = rig.send(request).await;
        if seen + 1 == all.len() {
            assert_eq!(rest.status, 204);
            assert!(rest.body.is_empty());
            continue;
        }
        let rest = events(std::str::from_utf8(&rest.body).unwrap());
        assert_eq!(outline(&rest), told[seen + 1..], "from {}", event.id);
    }
}

#[tokio::test(start_paused = true)]
async fn holds_and_digits_are_told_to_whoever_listens() {
    let rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    rig.until(&room, "/status", "in_progress").await;
    let request = rig.request("GET", &format!("/calls/{room}/events"));
    let response = stream(&rig, request).await;
    let mut body = Box::pin(response.into_body());
    let mut text = String::new();
    let mut chunk = async || {
        let chunk = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        let chunk = chunk?.unwrap_or_else(|_| panic!("the stream broke"));
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        Some(())
    };
    chunk().await.unwrap();
    let at = DateTime::UNIX_EPOCH;
    let digit = Digit::from_char('#').unwrap();
    let hints = vec![Hint::Held { at }, Hint::Resumed { at }, Hint::Dtmf { at, digit }];
    rig.engine.hint(&room.parse().unwrap(), hints).await.unwrap();
    rig.send(rig.request("POST", &format!("/calls/{room}/hangup"))).await.expect(200);
    while chunk().await.is_some() {}
    let told: Vec<_> = events(&text)
        .into_iter()
        .filter(|event| ["call_held", "call_resumed", "dtmf"].contains(&&*event.name))
        .map(|event| (event.name, event.id, event.data))
        .collect();
    let at = "1970-01-01T00:00:00.000Z";
    let expect = [
        ("call_held", json!({ "at": at })),
        ("call_resumed", json!({ "at": at })),
        ("dtmf", json!({"digit": "#", "at": at})),
    ];
    assert_eq!(told.len(), 3, "{text}");
    for ((name, id, data), (expect_name, expect_data)) in told.into_iter().zip(expect) {
        assert_eq!((&*name, data), (expect_name, expect_data));
        assert!(id.starts_with("5."), "the place of the status before: {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_positions_are_refused() {
    let rig = Rig::new().await;
    let room = rig.place(TALKS).await;
    for bad in ["x", "9.0", "1.-1", "1.99999999999999999999", "1.0\u{e9}"] {
        let request = rig
            .request("GET", &format!("/calls/{room}/events"))
            .insert_header(("last-event-id", bad));
        let refused = rig.send(request).await.fails(400, "invalid_field");
        assert_eq!(refused["error"]["field"], "Last-Event-ID");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive() {
    let rig = Rig::new().await;
    // No agent comes to this one for a while, and nobody says a word.
    let room = rig.place(NEVER_ENDS).await;
    let call = rig.until(&room, "/status", "in_progress").await;
    assert_eq!(call["data"]["status"], "in_progress");
    let state = outdial_api::ApiState::new(
        rig.engine.clone(),
        outdial_api::ApiOptions {
            keep_alive: std::time::Duration::from_millis(1),
            rate_limit: None,
            ..Default::default()
        },
    );
    let rig = Rig { state, ..rig };
    let request: TestRequest = rig.request("GET", &format!("/calls/{room}/events"));
    let response = stream(&rig, request).await;
    let mut body = Box::pin(response.into_body());
    let mut text = String::new();
    while !text.ends_with(": keep-alive\n\n") {
        let chunk = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        let Some(Ok(chunk)) = chunk else { panic!("the stream ended: {text}") };
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.starts_with("event: status\nid: "), "{text}");
}

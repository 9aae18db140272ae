//! A call seen live.

use outdial_tests::{Desk, Event, Outdial};
use serde_json::json;

#[tokio::test]
async fn a_call_is_seen_live_and_again_from_any_place() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    let seen = desk.api.events(&room, None).await.rest().await;
    check_agent_states(&seen);
    let live = on_record(seen);

    let statuses = statuses(&live);
    assert_eq!(statuses, ["queued", "starting", "dialing", "ringing", "in_progress", "ended"]);
    let lines: Vec<_> = live.iter().filter(|event| event.kind == "transcript").collect();
    let transcript = desk.api.call(&room, "/transcript").await.data();
    let transcript = transcript["transcripts"].as_array().unwrap();
    assert_eq!(lines.len(), transcript.len());
    for (index, (event, line)) in lines.iter().zip(transcript).enumerate() {
        assert_eq!(event.data["index"], index);
        assert_eq!(event.data["text"], line["text"]);
    }
    let last = live.last().unwrap();
    assert_eq!(last.data["call"]["outcome"], "completed");

    // After a lost connection: everything behind the last event seen, once.
    for seen in 0..live.len() {
        let rest = desk.api.events(&room, Some(&live[seen].id)).await.rest().await;
        assert_eq!(on_record(rest.clone()).len(), rest.len(), "nobody speaks any more");
        let ids = |events: &[Event]| events.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&rest), ids(&live[seen + 1..]));
    }
}

#[tokio::test]
async fn a_watcher_goes_on_after_a_crash() {
    let outdial = Outdial::start(&[]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    let mut live = desk.api.events(&room, None).await;
    let ringing = loop {
        let event = live.next().await.unwrap();
        if event.data["status"] == "ringing" {
            break event;
        }
    };
    outdial.kill();
    while live.next().await.is_some() {}
    outdial.restart().await;
    let rest = desk.api.events(&room, Some(&ringing.id)).await.rest().await;
    assert_eq!(statuses(&rest), ["ended"]);
}

/// What the agent does is told as it comes, and has no place of its own to go on from.
fn check_agent_states(events: &[Event]) {
    let mut before = None;
    let mut states = Vec::new();
    for event in events {
        if event.kind == "agent_state" {
            assert_eq!(Some(&event.id), before);
            states.push(event.data["state"].as_str().unwrap());
        }
        before = Some(&event.id);
    }
    assert!(states.contains(&"speaking") && states.contains(&"listening"), "{states:?}");
}

fn on_record(events: Vec<Event>) -> Vec<Event> {
    events.into_iter().filter(|event| event.kind != "agent_state").collect()
}

fn statuses(events: &[Event]) -> Vec<&str> {
    let statuses = events.iter().filter(|event| event.kind == "status");
    statuses.map(|event| event.data["status"].as_str().unwrap()).collect()
}

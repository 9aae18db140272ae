//! A conversation from end to end: who said what, when, and how it sounds in the bucket.

use chrono::{DateTime, Utc};
use outdial_tests::{Desk, End, Event, Outdial, Phone, Side, Sound, Stack, by_ear};
use serde_json::{Value, json};

use crate::bucket::fetch;
use crate::time;

/// When the callee of `talk` asks, and for how long, in seconds from its ACK.
const ASKS: (f64, f64) = (6.0, 2.12);

#[tokio::test]
async fn a_conversation() {
    by_ear(async |stack| {
        let port = stack.webhook_port().await;
        let url = stack.s3_folder("conversation");
        let s3 = stack.s3(&url, &stack.s3_url);
        let outdial = Outdial::start_at(port.number, &stack.settings(&s3)).await;
        let phone = Phone::start("talk").await;
        let desk = stack.desk(&outdial, &phone, json!({})).await;
        let room = desk.place("+15550200070").await;
        let live = desk.api.events(&room, None).await.rest().await;
        let record = stack.ends(&desk, &room, End::completed("agent_hangup")).await;
        phone.is_done().await;

        let hook = desk.one_webhook(&room).await.body["data"].take();
        let lines = desk.lines(&room).await;
        check_lines(&lines);
        assert_eq!(hook["transcripts"], json!(lines));
        for data in [&record, &hook] {
            assert_eq!(data["transcript_status"], "complete", "{lines:#?}");
            assert_eq!(data["recording_path"], record["recording"]["url"]);
        }
        check_live(&live, &lines);
        check_times(&record, &phone);

        let recording = desk.recording(&room, "available").await;
        assert_eq!(recording["gaps"], Value::Null, "{recording}");
        let file = check_object(&desk, &room, &recording).await;
        let sound = Sound::of(&file);
        check_second_opinion(&sound, &Sound::by_opusdec(&file));
        check_sound(&sound, &recording, &lines, phone.time_of("ACK"));
    })
    .await;
}

/// Question and answer, in their order, by whom they were said.
fn check_lines(lines: &[Value]) {
    let said = |index: usize| (lines[index]["speaker"].as_str(), lines[index]["text"].as_str());
    assert!(lines.len() >= 5, "{lines:#?}");
    assert_eq!(said(0), (Some("agent"), Some("Hello there, how can I help?")));
    assert_eq!(said(1).0, Some("user"));
    // What it understands has an article or not.
    let asked = said(1).1.unwrap();
    assert!(asked.contains("status of") && asked.ends_with("order"), "{lines:#?}");
    assert_eq!(said(2), (Some("agent"), Some("Your order is on its way. Is there anything else?")));
    let mut rest = lines[3..].iter();
    let goodbye = rest.find(|line| line["text"] == "goodbye").expect("a good-bye");
    assert_eq!(goodbye["speaker"], "user");
    assert_eq!(rest.next_back().unwrap()["speaker"], "agent", "{lines:#?}");
    assert!(lines.is_sorted_by_key(|line| time(&line["timestamp"])), "{lines:#?}");
}

/// What was seen live is what is on record.
fn check_live(live: &[Event], lines: &[Value]) {
    let heard: Vec<_> = live.iter().filter(|event| event.kind == "transcript").collect();
    for event in &heard {
        let line = lines.iter().find(|line| line["timestamp"] == event.data["timestamp"]);
        assert_eq!(line.unwrap()["text"], event.data["text"]);
    }
    assert_eq!(heard.len(), lines.len());
    let states = live.iter().filter(|event| event.kind == "agent_state");
    let states: Vec<_> = states.map(|event| event.data["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"speaking") && states.contains(&"listening"), "{states:?}");
    let first = heard.first().unwrap();
    assert!(
        live.iter().position(|e| e.id == first.id) < live.iter().rposition(|e| e.kind == "status")
    );
}

/// The record's times are those of the phone, for want of better ones.
fn check_times(record: &Value, phone: &Phone) {
    for (key, message) in
        [("ringing_at", "SIP/2.0 180"), ("answered_at", "SIP/2.0 200"), ("ended_at", "BYE")]
    {
        let (told, seen) = (time(&record[key]), phone.time_of(message));
        let late = (told - seen).as_seconds_f64();
        assert!((-1.5..3.0).contains(&late), "{key}: {told}, {message}: {seen}");
    }
}

/// What is in the bucket is what is on record, however it is fetched.
async fn check_object(desk: &Desk, room: &str, recording: &Value) -> Vec<u8> {
    let file = fetch(desk, room).await;
    assert_eq!(recording["bytes"], file.bytes.len());
    assert_eq!(recording["sha256"], file.sha256());
    let objects = Stack::get().s3_objects("conversation");
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(std::fs::read(&objects[0]).unwrap(), file.bytes);
    file.bytes
}

/// Another decoder hears the same.
fn check_second_opinion(sound: &Sound, other: &Sound) {
    assert!((sound.seconds() - other.seconds()).abs() < 0.001, "{sound:?} {other:?}");
    for second in 0..sound.seconds() as u32 {
        for side in [Side::Callee, Side::Agent] {
            let stretch = f64::from(second)..f64::from(second + 1);
            let [one, two] = [sound, other].map(|s| s.level(side, stretch.clone()).max(-70.0));
            assert!((one - two).abs() < 1.0, "{side:?} {second}: {one}, {two}");
        }
    }
}

/// Each is heard on a side of its own, when it spoke.
fn check_sound(sound: &Sound, recording: &Value, lines: &[Value], ack: DateTime<Utc>) {
    let place = |at: DateTime<Utc>| (at - time(&recording["begins_at"])).as_seconds_f64();
    let (asks, ends) = (place(ack) + ASKS.0, place(ack) + ASKS.0 + ASKS.1);
    let spoken = sound.loud(Side::Callee, -45.0, 0.4);
    let first = spoken.first().expect("the callee's voice");
    // A busy machine delays the phone itself.
    let off = (first.start - asks).abs().max((first.end - ends).abs());
    assert!(off < 1.5, "{asks}: {sound:?}");
    assert!(sound.level(Side::Callee, first.clone()) > -35.0, "{sound:?}");
    // The callee's silence is digital, and stays so but for the codecs on its way.
    assert!(sound.level(Side::Callee, 0.0..first.start - 0.1) < -50.0, "{sound:?}");
    assert!(sound.level(Side::Agent, first.start + 0.1..first.end - 0.1) < -50.0, "{sound:?}");
    for line in lines {
        let at = place(time(&line["timestamp"])).max(0.0);
        let side = Side::of(line["speaker"].as_str().unwrap());
        // The text of an agent may be a second ahead of its voice; a callee's words come only when
        // the agent has understood some of them.
        let heard = sound
            .loud(side, -45.0, 0.4)
            .iter()
            .any(|voice| voice.start < at + 1.5 && at < voice.end + 1.0);
        assert!(heard, "{line} at {at:.2}: {sound:?}");
    }
}

//! Recordings of real calls, also where not all goes well.

use outdial_tests::{Desk, End, Gate, Outdial, Phone, Side, Sound, Stack, by_ear};
use serde_json::{Value, json};

use crate::time;

const HUNG_UP: End = End::completed("callee_hangup");
/// What the phone of `tone` plays, in Hz, and when: seconds from its ACK.
const TONE: f64 = 440.0;
const FROM: f64 = 2.0;
const TO: f64 = 14.0;

/// The recording, and where in it the phone's tone should begin.
async fn recorded(desk: &Desk, room: &str, phone: &Phone) -> (Sound, f64) {
    let recording = desk.recording(room, "available").await;
    let file = desk.api.recording(room, &[]).await;
    assert_eq!((file.status, &recording["sha256"]), (200, &json!(file.sha256())));
    let begins_at = time(&recording["begins_at"]);
    let answered = (phone.time_of("ACK") - begins_at).as_seconds_f64();
    let sound = Sound::of(&file.bytes);
    (sound, answered + FROM)
}

#[tokio::test]
async fn a_tone_keeps_its_pitch_its_side_and_its_place() {
    by_ear(async |stack| {
        let phone = Phone::start("tone").await;
        let desk = stack.desk(stack.shared().await, &phone, json!({})).await;
        let room = desk.place("+15550200080").await;
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        phone.is_done().await;
        assert_eq!(record["recording"]["gaps"], Value::Null);

        let (sound, from) = recorded(&desk, &room, &phone).await;
        let heard = sound.loud(Side::Callee, -40.0, 0.2);
        assert_eq!(heard.len(), 1, "{sound:?}");
        // A busy machine delays the phone itself.
        assert!((heard[0].start - from).abs() < 1.5, "{from}: {sound:?}");
        assert!((heard[0].end - heard[0].start - (TO - FROM)).abs() < 1.0, "{sound:?}");
        for second in 1..11 {
            let at = heard[0].start + f64::from(second);
            let pitch = sound.pitch(Side::Callee, at..at + 0.5);
            assert!((pitch / TONE - 1.0).abs() < 0.02, "{pitch} Hz at {at:.2}");
        }
        // The agent greets and has nothing to say after that.
        let greeting = sound.loud(Side::Agent, -45.0, 1.0);
        assert_eq!(greeting.len(), 1, "{sound:?}");
        let silence = greeting[0].end + 0.5..heard[0].end;
        assert!(sound.level(Side::Agent, silence) < -50.0, "{sound:?}");
        assert!(sound.level(Side::Callee, 0.0..heard[0].start - 0.1) < -50.0, "{sound:?}");
    })
    .await;
}

#[tokio::test]
async fn a_crash_leaves_a_hole_and_both_parts() {
    by_ear(async |stack| {
        let port = stack.webhook_port().await;
        let outdial = Outdial::start_at(port.number, &stack.settings(&[])).await;
        let phone = Phone::for_any_number_of_calls("tone").await;
        // Is told when the tone has been there for a while.
        let long = format!("Say: {}.", "hello and good morning to you, ".repeat(4));
        let assistant = json!({"assistant_start_instruction": long});
        let desk = stack.desk(&outdial, &phone, assistant).await;
        let room = desk.place("+15550200081").await;
        let said = desk.has_lines(&room, 1).await;
        outdial.kill();
        outdial.restart().await;
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        assert_eq!(phone.calls(), 1);
        assert_eq!(desk.lines(&room).await[0], said[0]);
        assert_eq!(record["transcript_status"], "partial");

        let (sound, from) = recorded(&desk, &room, &phone).await;
        let heard = sound.loud(Side::Callee, -40.0, 0.15);
        let (first, last) = (heard.first().unwrap(), heard.last().unwrap());
        assert!(heard.len() >= 2, "there is a hole: {sound:?}");
        // Both parts are where they belong: neither is moved by the time that is missing.
        assert!((first.start - from).abs() < 1.5, "{from}: {sound:?}");
        assert!((last.end - from - (TO - FROM)).abs() < 1.5, "{from}: {sound:?}");
        for part in [first, last] {
            assert!(part.end - part.start > 1.0, "{sound:?}");
            let pitch = sound.pitch(Side::Callee, part.end - 0.8..part.end - 0.3);
            assert!((pitch / TONE - 1.0).abs() < 0.02, "{pitch} Hz: {part:?}");
        }
        assert_ne!(record["recording"]["gaps"], Value::Null, "{sound:?}");
    })
    .await;
}

/// Nothing that observes a call is needed for it.
async fn check_unobserved(settings: &[(&str, &str)], number: &str) -> Value {
    let stack = Stack::get();
    let port = stack.webhook_port().await;
    let mut all = stack.settings(&[("recordings.finish_within", "5s")]);
    all.extend(settings);
    let outdial = Outdial::start_at(port.number, &all).await;
    let phone = Phone::start("answer_bye").await;
    let desk = stack.desk(&outdial, &phone, json!({})).await;
    let room = desk.place(number).await;
    let record = stack.ends(&desk, &room, HUNG_UP).await;
    phone.is_done().await;
    let seconds = record["call_duration_minutes"].as_f64().unwrap() * 60.0;
    assert!((3.0..20.0).contains(&seconds), "the phone was off the hook for 4 s: {record}");
    let hook = desk.one_webhook(&room).await.body["data"].take();
    let lines = desk.lines(&room).await;
    for data in [&record, &hook] {
        assert_eq!(data["transcript_status"], "partial", "{lines:?}: {data}");
        assert_eq!(data["recording_path"], Value::Null);
    }
    assert_eq!(hook["recording_status"], "lost", "{record}");
    assert!(record["recording"]["reason"].as_str().is_some_and(|why| !why.is_empty()));
    let refused = desk.api.recording(&room, &[]).await.reply();
    assert_eq!(refused.refused(404), "recording_not_found");
    record
}

#[tokio::test]
async fn an_observer_that_is_not_let_in_does_no_harm() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let gate = Gate::to(stack.livekit_url.strip_prefix("ws://").unwrap()).await;
    // Where participants join.
    gate.refuse("GET /rtc");
    let url = format!("ws://{}", gate.address());
    check_unobserved(&[("livekit.url", &url)], "+15550200082").await;
    gate.has_stopped().await;
}

#[tokio::test]
async fn an_observer_whose_media_does_not_get_through_does_no_harm() {
    let _seat = Stack::seat().await;
    // LiveKit has no address of that kind.
    check_unobserved(&[("livekit.media_ip", "::1")], "+15550200083").await;
}

#[tokio::test]
async fn no_audio_is_taken_when_none_is_wanted() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let port = stack.webhook_port().await;
    let outdial = Outdial::start_at(port.number, &stack.settings(&[])).await;
    let phone = Phone::start("answer_bye").await;
    let desk = stack.desk(&outdial, &phone, json!({"recording": false})).await;
    let room = desk.place("+15550200084").await;
    let said = desk.has_lines(&room, 1).await;
    assert_eq!(said[0]["speaker"], "agent");
    let of_calls = || {
        let files = outdial.files().into_iter();
        files.filter(|path| path.to_string_lossy().contains("call_")).collect::<Vec<_>>()
    };
    assert_eq!(of_calls(), Vec::<std::path::PathBuf>::new());
    let record = stack.ends(&desk, &room, HUNG_UP).await;
    assert_eq!(record["recording"]["status"], "none");
    assert_eq!(record["transcript_status"], "complete");
    assert_eq!(of_calls(), Vec::<std::path::PathBuf>::new());
}

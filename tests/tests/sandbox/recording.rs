//! Recordings: made, kept, fetched, and safe from crashes.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use outdial_tests::{Desk, End, Outdial, Raw, Side, Sound, until};
use serde_json::{Value, json};

/// At this pace a line lasts for about a second.
const PACE: f64 = 0.5;
/// How much a sound may be out of place, in seconds: timestamps are rounded, machines busy.
const SLACK: f64 = 0.15;
const LOST: End = End::because("interrupted", "livekit", "leg_gone");

#[tokio::test]
async fn it_holds_what_the_transcript_says() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.5")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    desk.reaches(&room, "in_progress").await;
    let early = desk.api.recording(&room, &[]).await;
    assert!(early.header("retry-after").is_some());
    assert_eq!(early.reply().refused(409), "recording_pending");

    let record = desk.ends(&room, End::completed("callee_hangup")).await;
    let recording = &record["recording"];
    assert_eq!(recording["status"], "available", "{recording}");
    assert_eq!(recording["gaps"], Value::Null, "{recording}");
    assert_eq!(recording["reason"], Value::Null, "{recording}");
    let hook = desk.one_webhook(&room).await.body["data"].take();
    assert_eq!(hook["recording_status"], "available");
    assert_eq!(hook["transcript_status"], "complete");
    assert_eq!(hook["recording_path"], recording["url"]);
    assert_eq!(record["recording_path"], recording["url"]);
    let url = recording["url"].as_str().unwrap();
    assert!(url.ends_with(&format!("/calls/{room}/recording")), "{url}");

    let file = desk.api.recording(&room, &[]).await;
    check_file(&file, recording);
    let sound = Sound::of(&file.bytes);
    let seconds = recording["duration_seconds"].as_f64().unwrap();
    assert!((sound.seconds() - seconds).abs() < 0.002, "{sound:?}, {seconds} s");
    let lines = desk.lines(&room).await;
    assert_eq!(lines.len(), 5);
    let begins_at = time(&recording["begins_at"]);
    assert!(begins_at >= time(&record["answered_at"]) && begins_at < time(&record["ended_at"]));
    check_sound(&sound, &lines, begins_at);
    fetch_ranges(&desk, &room, &file).await;
}

/// The file is the one that the record tells of.
fn check_file(file: &Raw, recording: &Value) {
    assert_eq!(file.status, 200);
    assert_eq!(file.header("content-type"), Some("audio/ogg; codecs=opus"));
    assert_eq!(recording["bytes"], file.bytes.len());
    assert_eq!(recording["sha256"], file.sha256());
    assert_eq!(file.header("etag"), Some(&*format!("\"{}\"", file.sha256())));
}

/// Whoever speaks is heard on one side, nobody on the other, and nothing in between.
fn check_sound(sound: &Sound, lines: &[Value], begins_at: DateTime<Utc>) {
    let mut silent_since = 0.0;
    for line in lines {
        let side = Side::of(line["speaker"].as_str().unwrap());
        let letters = line["text"].as_str().unwrap().chars().count();
        // The sandbox speaks 15 letters a second.
        let lasts = letters as f64 / 15.0 * PACE;
        let from = (time(&line["timestamp"]) - begins_at).as_seconds_f64();
        let loud = from.max(0.0) + SLACK..from + lasts - SLACK;
        assert!(sound.level(side, loud.clone()) > -25.0, "{line} at {from:.2}: {sound:?}");
        assert!(sound.level(side.other(), loud.clone()) < -60.0, "{line}: {sound:?}");
        // Each voice has its own pitch, half a semitone up and down.
        let pitch = if side == Side::Agent { 220.0 } else { 330.0 };
        let heard = sound.pitch(side, loud.start..loud.start + 0.3);
        assert!((heard / pitch - 1.0).abs() < 0.05, "{heard} Hz: {line}");
        let silent = silent_since..from - SLACK;
        if silent.end > silent.start {
            for side in [Side::Callee, Side::Agent] {
                assert!(sound.level(side, silent.clone()) < -60.0, "{silent:?}: {sound:?}");
            }
        }
        silent_since = from + lasts + SLACK;
    }
    assert!(sound.seconds() < silent_since + 2.0, "{silent_since}: {sound:?}");
}

/// Parts of the file, as a player asks for them.
async fn fetch_ranges(desk: &Desk, room: &str, whole: &Raw) {
    let size = whole.bytes.len();
    for (range, expected) in [
        ("bytes=0-99".to_owned(), 0..100),
        ("bytes=1000-".to_owned(), 1000..size),
        ("bytes=-500".to_owned(), size - 500..size),
        (format!("bytes={}-{}", size - 1, size + 100), size - 1..size),
    ] {
        let part = desk.api.recording(room, &[("range", &range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.bytes, whole.bytes[expected.clone()], "{range}");
        let told = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), Some(&*told));
    }
    let beyond = desk.api.recording(room, &[("range", &format!("bytes={size}-"))]).await;
    assert_eq!(beyond.header("content-range"), Some(&*format!("bytes */{size}")));
    assert_eq!(beyond.reply().refused(416), "range_not_satisfiable");
    let tag = whole.header("etag").unwrap();
    let known = desk.api.recording(room, &[("if-none-match", tag)]).await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));
}

#[tokio::test]
async fn none_is_made_of_calls_that_should_not_be_recorded_or_nobody_answers() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let off = Desk::new(&outdial, json!({"recording": false}), json!({})).await;
    let on = Desk::new(&outdial, json!({}), json!({})).await;
    for (desk, number) in [(&off, "+15550200000"), (&on, "+15550200486")] {
        let room = desk.place(number).await;
        desk.ended(&room).await;
        let hook = desk.one_webhook(&room).await;
        check_none(desk, &room, &hook.body["data"]).await;
    }
    until("captures to be gone", async || {
        let left: Vec<_> = outdial.files().into_iter().filter(|path| is_of_a_call(path)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn none_is_made_where_recordings_are_not_set_up() {
    let settings = [("sandbox.time_scale", "0.1"), ("recordings.url", "none")];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    assert_eq!(desk.assistant["recording"], true);
    let room = desk.place("+15550200000").await;
    let hook = desk.one_webhook(&room).await;
    assert_eq!(hook.body["data"]["transcript_status"], "complete");
    check_none(&desk, &room, &hook.body["data"]).await;
    assert_eq!(outdial.files().into_iter().find(|path| is_of_a_call(path)), None);
}

async fn check_none(desk: &Desk, room: &str, hook: &Value) {
    assert_eq!(
        (&hook["recording_status"], &hook["recording_path"]),
        (&json!("none"), &Value::Null)
    );
    let record = desk.record(room).await;
    assert_eq!(record["recording"]["status"], "none");
    assert_eq!(record["recording_path"], Value::Null);
    let refused = desk.api.recording(room, &[]).await.reply();
    assert_eq!(refused.refused(404), "recording_not_found");
}

/// The simulated network ends with the process: what it carried until then is kept.
#[tokio::test]
async fn what_was_heard_before_a_crash_is_kept() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.5")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    // All but the last second is on the disk.
    desk.has_lines(&room, 4).await;
    outdial.kill();
    outdial.restart().await;
    let record = desk.ends(&room, LOST).await;
    let recording = &record["recording"];
    assert_eq!(recording["status"], "available", "{recording}");
    let file = desk.api.recording(&room, &[]).await;
    check_file(&file, recording);
    let begins_at = time(&recording["begins_at"]);
    check_sound(&Sound::of(&file.bytes), &desk.lines(&room).await[..2], begins_at);
    // Nobody knows what came behind the crash.
    assert_eq!(record["transcript_status"], "partial");
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_leaves_nothing_behind() {
    let settings = [("sandbox.time_scale", "0.2"), ("server.drain_timeout", "1s")];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    desk.has_lines(&room, 3).await;
    outdial.terminate();
    assert!(outdial.exited().await.success());
    outdial.restart().await;
    let record = desk.ends(&room, LOST).await;
    let recording = &record["recording"];
    assert_eq!(recording["status"], "available", "{recording}");
    check_file(&desk.api.recording(&room, &[]).await, recording);
    has_one_file(&outdial, &room).await;
}

/// Dies at any point between the end of a call and its kept recording, and again, and again.
#[tokio::test]
async fn recordings_survive_crashes_while_they_are_made() {
    let settings = [("sandbox.time_scale", "0.2"), ("recordings.finish_within", "1m")];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let mut rooms = Vec::new();
    for number in 0..12 {
        rooms.push(desk.enqueue(&format!("+155502{number:02}000")).await);
    }
    let crashes = 4;
    for crash in 0..crashes {
        until("one recording more", async || {
            let calls = desk.calls("?limit=100").await;
            let count = |key: &str, value: &str| {
                calls.iter().filter(|call| call.pointer(key) == Some(&json!(value))).count()
            };
            let (ended, kept) =
                (count("/status", "ended"), count("/recording/status", "available"));
            if ended == rooms.len() && (kept > crash || kept == ended) {
                return Ok(());
            }
            Err(format!("{ended} ended, {kept} recordings"))
        })
        .await;
        outdial.kill();
        outdial.restart().await;
    }
    for room in &rooms {
        let recording = desk.recording(room, "available").await;
        let file = desk.api.recording(room, &[]).await;
        check_file(&file, &recording);
        assert_eq!(recording["gaps"], Value::Null);
        assert!(Sound::of(&file.bytes).seconds() > 1.0);
        let hooks = desk.delivered(room).await;
        assert_eq!(hooks[0].body["data"]["recording_status"], "available");
        assert!(hooks.len() <= 1 + crashes, "{hooks:?}");
    }
    // A crash may leave a copy for some days, but not beyond the call.
    for room in &rooms {
        assert_eq!(desk.api.erase(room).await.status, 200);
    }
    assert_eq!(outdial.files().into_iter().find(|path| is_of_a_call(path)), None);
}

#[tokio::test]
async fn a_webhook_does_not_wait_for_a_keeper_that_is_away_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let url = format!("file:{}", kept.display());
    let settings = [
        ("sandbox.time_scale", "0.1"),
        ("recordings.url", &*url),
        ("recordings.finish_within", "1s"),
    ];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    block(&kept);
    let room = desk.place("+15550200000").await;
    let hook = desk.one_webhook(&room).await.body["data"].take();
    assert_eq!(hook["recording_status"], "pending");
    assert_eq!(hook["recording_path"], Value::Null);
    assert_eq!(hook["transcripts"].as_array().unwrap().len(), 5);
    let pending = desk.recording(&room, "pending").await;
    assert!(!pending["reason"].as_str().unwrap().is_empty(), "{pending}");
    assert_eq!(desk.api.recording(&room, &[]).await.reply().refused(409), "recording_pending");

    // Nothing is forgotten by a crash, and nothing is told twice.
    outdial.kill();
    outdial.restart().await;
    fs::remove_file(&kept).unwrap();
    let recording = desk.recording(&room, "available").await;
    check_file(&desk.api.recording(&room, &[]).await, &recording);
    assert_eq!(desk.webhooks(&room).len(), 1);
    assert_eq!(desk.record(&room).await["recording_path"], recording["url"]);
    assert_eq!(outdial.files().into_iter().find(|path| is_of_a_call(path)), None, "it is in kept");
}

/// Twenty calls have more to say than may be captured: they go on, and their recordings say so.
#[tokio::test]
async fn when_the_disk_is_used_up_calls_go_on_without_being_recorded() {
    let outdial = Outdial::start(&[("recordings.max_capture_mb", "1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let mut rooms = Vec::new();
    for number in 0..20 {
        rooms.push(desk.place(&format!("+155502{number:02}000")).await);
    }
    let mut with_gaps = 0;
    for room in &rooms {
        let record = desk.ends(room, End::completed("callee_hangup")).await;
        assert_eq!(record["transcript_status"], "complete");
        assert_eq!(desk.lines(room).await.len(), 5);
        let recording = &record["recording"];
        match recording["status"].as_str() {
            Some("available") => {
                check_file(&desk.api.recording(room, &[]).await, recording);
                with_gaps += usize::from(recording["gaps"] != Value::Null);
            }
            Some("lost") => with_gaps += 1,
            _ => panic!("{recording}"),
        }
    }
    assert!(with_gaps > 0, "a megabyte was enough for all");
    // What is kept is not counted any more.
    let room = desk.place("+15550200000").await;
    let record = desk.ends(&room, End::completed("callee_hangup")).await;
    let recording = &record["recording"];
    assert_eq!((&recording["status"], &recording["gaps"]), (&json!("available"), &Value::Null));
}

/// Puts a file where a folder should be: nothing can be kept there, not even by root.
fn block(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
    fs::write(folder, "").unwrap();
}

fn is_of_a_call(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("call_"))
}

/// Of all that was captured and rendered of a call, the one file is left.
async fn has_one_file(outdial: &Outdial, room: &str) {
    let suffix = room.rsplit(['_', '-']).next().unwrap();
    until("one file", async || {
        let files = outdial.files().into_iter();
        let files: Vec<_> = files.filter(|path| path.to_string_lossy().contains(suffix)).collect();
        let one = files.len() == 1 && files[0].ends_with(format!("call_{suffix}.ogg"));
        if one { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

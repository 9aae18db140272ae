//! `/calls/{room_name}/recording`.

use std::time::Duration;

use outdial_domain::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Answer, NEVER_ENDS, Rig, TALKS};
use crate::tape::{BYTES, audio};

/// A rig with a call whose recording is in this state.
async fn recorded(rig: &Rig, status: &str) -> (String, Value) {
    let room = rig.place(TALKS).await;
    let call = rig.until(&room, "/recording/status", status).await;
    (format!("/calls/{room}/recording"), call["data"].clone())
}

async fn ask(rig: &Rig, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = rig.request(method, path);
    rig.send(headers.iter().fold(request, |request, header| request.append_header(*header))).await
}

fn is_described(answer: &Answer, room: &str, tag: &str) {
    let suffix = room.rsplit_once('_').unwrap().1;
    for (name, expect) in [
        ("content-type", "audio/ogg; codecs=opus"),
        ("content-disposition", &*format!("inline; filename=\"call_{suffix}.ogg\"")),
        ("accept-ranges", "bytes"),
        ("etag", tag),
        ("cache-control", "private, no-cache"),
    ] {
        assert_eq!(answer.header(name), expect, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_on_record_and_can_be_had() {
    let rig = Rig::new().await;
    let (path, call) = recorded(&rig, "available").await;
    let room = call["room_name"].as_str().unwrap();
    let url = format!("http://127.0.0.1:8000{path}");
    assert_eq!((&call["recording_path"], &call["recording"]["url"]), (&json!(url), &json!(url)));
    assert_eq!(call["transcript_status"], "complete");

    let tag = format!("\"{}\"", call["recording"]["sha256"].as_str().unwrap());
    let whole = rig.get(&path).await;
    assert_eq!(whole.status, 200);
    is_described(&whole, room, &tag);
    assert_eq!(whole.body, audio());
    let head = ask(&rig, "HEAD", &path, &[("range", "bytes=0-0")]).await;
    assert_eq!(head.status, 200);
    is_described(&head, room, &tag);
    assert!(head.body.is_empty());
    let part = ask(&rig, "GET", &path, &[("range", "bytes=0-0")]).await;
    assert_eq!(part.status, 206);
    is_described(&part, room, &tag);
}

#[tokio::test(start_paused = true)]
async fn ranges() {
    let rig = Rig::new().await;
    let (path, _) = recorded(&rig, "available").await;
    let audio = audio();
    let last = BYTES - 1;
    for (range, from, to) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, last),
        ("bytes=100000-100009", 100_000, 100_009),
        ("bytes=65535-131073", 65_535, 131_073),
        ("bytes= 7-9 ", 7, 9),
        ("bytes=199990-", 199_990, last),
        ("bytes=199990-999999999", 199_990, last),
        ("bytes=-1", last, last),
        ("bytes=-10", BYTES - 10, last),
        ("bytes=-999999999", 0, last),
    ] {
        let answer = ask(&rig, "GET", &path, &[("range", range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {from}-{to}/{BYTES}"));
        assert_eq!(answer.body, audio[from..=to], "{range}");
    }
    // Not understood, or several at once: the whole file.
    for range in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=x-y",
        "bytes=5-4",
        "bytes=--1",
        "bytes=99999999999999999999-",
        "bytes=0-0,5-6",
        "lines=0-0",
        "\u{e9}",
    ] {
        let answer = ask(&rig, "GET", &path, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, BYTES), "{range}");
        assert_eq!(answer.header("content-range"), "");
    }
    for range in ["bytes=200000-", "bytes=200000-200001", "bytes=18446744073709551615-", "bytes=-0"]
    {
        let answer = ask(&rig, "GET", &path, &[("range", range)]).await;
        answer.fails(416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), "bytes */200000", "{range}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_not_sent_again() {
    let rig = Rig::new().await;
    let (path, call) = recorded(&rig, "available").await;
    let sha256 = call["recording"]["sha256"].as_str().unwrap();
    let (tag, weak) = (&*format!("\"{sha256}\""), &*format!("W/\"{sha256}\""));
    let range = ("range", "bytes=0-9");
    for (condition, status) in [
        (tag, 206),
        (weak, 200),
        ("\"other\"", 200),
        ("nonsense", 200),
        ("", 200),
        ("Fri, 13 Nov 2076 00:00:00 GMT", 200),
    ] {
        let answer = ask(&rig, "GET", &path, &[range, ("if-range", condition)]).await;
        assert_eq!(answer.status, status, "If-Range: {condition}");
        assert_eq!(answer.body.len(), if status == 206 { 10 } else { BYTES });
    }
    // A range that lies outside is nobody's business when the file is another one.
    let beyond = [("range", "bytes=200000-"), ("if-range", "\"other\"")];
    assert_eq!(ask(&rig, "GET", &path, &beyond).await.status, 200);
    let list = &*format!("\"other\", {weak}");
    for (condition, status) in [(tag, 304), (weak, 304), (list, 304), ("*", 304), ("\"x\"", 200)] {
        for method in ["GET", "HEAD"] {
            let headers = [range, ("if-none-match", condition)];
            let answer = ask(&rig, method, &path, &headers).await;
            let expect = if status == 200 && method == "GET" { 206 } else { status };
            assert_eq!(answer.status, expect, "{method} If-None-Match: {condition}");
            assert_eq!(answer.header("etag"), tag);
            assert_eq!(answer.header("cache-control"), "private, no-cache");
            assert_eq!(answer.body.len(), if expect == 206 { 10 } else { 0 });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_in_a_bucket_is_had_there() {
    let rig = Rig::new().await;
    rig.tape.script(|script| script.bucket = true);
    let (path, call) = recorded(&rig, "available").await;
    let url = call["recording_path"].as_str().unwrap();
    assert!(url.starts_with("https://bucket.example.com/recordings/call_"), "{url}");
    for method in ["GET", "HEAD"] {
        let answer = ask(&rig, method, &path, &[("range", "bytes=0-0")]).await;
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("location"), format!("{url}?signature=s%20s"));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_kept_yet_is_pending() {
    let rig = Rig::new().await;
    rig.tape.script(|script| script.keep_fails = Some(ErrorKind::Unavailable));
    let running = rig.place(NEVER_ENDS).await;
    let call = rig.until(&running, "/status", "in_progress").await;
    assert_eq!(call["data"]["recording"]["status"], "pending");
    assert_eq!(call["data"]["recording_path"], Value::Null);
    assert_eq!(call["data"]["transcript_status"], Value::Null);
    let (ended, call) = recorded(&rig, "pending").await;
    let room = call["room_name"].as_str().unwrap();
    rig.until(room, "/status", "ended").await;
    // Its reason tells that a first try has failed.
    let reason = "tape.keep: the test asked for it";
    rig.until(room, "/recording/reason", reason).await;
    for path in [format!("/calls/{running}/recording"), ended.clone()] {
        let answer = rig.get(&path).await;
        answer.fails(409, "recording_pending");
        assert_eq!(answer.header("retry-after"), "5");
    }
    rig.tape.script(|script| script.keep_fails = None);
    rig.until(room, "/recording/status", "available").await;
    assert_eq!(rig.get(&ended).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn why_there_is_none() {
    let rig = Rig::new().await;
    let check = async |path: &str, why: &str| {
        let body = rig.get(path).await.fails(404, "recording_not_found");
        assert!(body["message"].as_str().unwrap().contains(why), "{why}: {body}");
        assert_eq!(ask(&rig, "HEAD", path, &[]).await.status, 404);
    };
    let mut order = rig.order(TALKS).await;
    order["assistant_id"] = json!(rig.assistant_with(json!({"recording": false})).await);
    let answer = rig.post("/call/outbound", order).await.expect(200);
    let unwanted = answer["data"]["room_name"].as_str().unwrap();
    check(&format!("/calls/{unwanted}/recording"), "was not recorded").await;

    let busy = rig.place("+15550200486").await;
    let call = rig.until(&busy, "/status", "ended").await;
    assert_eq!(call["data"]["recording"]["status"], "none");
    check(&format!("/calls/{busy}/recording"), "was not recorded").await;

    rig.tape.script(|script| script.keep_fails = Some(ErrorKind::NotFound));
    let (lost, call) = recorded(&rig, "lost").await;
    assert_eq!(call["recording"]["reason"], "the test asked for it");
    check(&lost, "is lost: the test asked for it").await;

    rig.tape.script(|script| {
        script.keep_fails = None;
        script.retention = Some(Duration::from_secs(60));
    });
    let (expired, call) = recorded(&rig, "expired").await;
    assert!(call["recording"]["expires_at"].is_string());
    assert_eq!(call["recording_path"], Value::Null);
    check(&expired, "its time was up").await;

    rig.tape.script(|script| script.retention = None);
    let (gone, call) = recorded(&rig, "available").await;
    std::fs::remove_file(rig.tape.file(call["room_name"].as_str().unwrap())).unwrap();
    check(&gone, "not where it was kept").await;
    rig.tape.script(|script| script.open_fails = Some(ErrorKind::NotFound));
    check(&gone, "not where it was kept").await;
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_fails() {
    let rig = Rig::new().await;
    let (path, call) = recorded(&rig, "available").await;
    for (kind, status, code, wait) in [
        (ErrorKind::Unavailable, 503, "store_unavailable", "5"),
        (ErrorKind::Refused, 500, "internal", ""),
    ] {
        rig.tape.script(|script| script.open_fails = Some(kind));
        let answer = rig.get(&path).await;
        let body = answer.fails(status, code);
        assert_eq!(answer.header("retry-after"), wait);
        assert!(!body.to_string().contains("the test asked"), "{body}");
    }
    rig.tape.script(|script| script.open_fails = None);
    // Half a file is not what was kept.
    let file = rig.tape.file(call["room_name"].as_str().unwrap());
    std::fs::write(&file, &audio()[..BYTES / 2]).unwrap();
    rig.get(&path).await.fails(500, "internal");
    // What cannot be opened may be there later.
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
    rig.get(&path).await.fails(503, "store_unavailable");
}

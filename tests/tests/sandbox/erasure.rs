//! Erasing calls.

use std::fs;
use std::path::PathBuf;

use futures_util::future::join_all;
use http::Method;
use outdial_testkit::receiver::Answer;
use outdial_tests::{Desk, Outdial, until};
use serde_json::{Value, json};

const NUMBER: &str = "+15550277000";
/// Whatever a call held that nothing may hold when it is erased: its number, what was said, what it
/// was about.
const PERSONAL: [&str; 5] =
    ["5550277000", "status of my order", "on its way", "Ottilie", "4711-kept-secret"];

/// A call that has ended and holds all of that; its room name.
async fn ended_call(desk: &Desk) -> String {
    let mut order = desk.order(NUMBER);
    order["metadata"] = json!({"name": "Ottilie", "contract": "4711-kept-secret"});
    let headers = [("idempotency-key", "once")];
    let room = desk.api.post_with("/call/outbound", &headers, &order).await.data();
    let room = room["room_name"].as_str().unwrap().to_owned();
    desk.one_webhook(&room).await;
    desk.recording(&room, "available").await;
    room
}

#[tokio::test]
async fn nothing_of_the_call_is_left() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = ended_call(&desk).await;
    let other = desk.place("+15550200486").await;
    desk.one_webhook(&other).await;
    let file = recording_file(&outdial, &room);
    assert!(!outdial.files_with("5550277000").is_empty(), "the search finds what is there");

    let erased = desk.api.erase(&room).await;
    assert_eq!(erased.status, 200);
    assert_eq!(erased.data(), json!({"room_name": room, "erased": true}));
    assert!(!file.exists());
    is_gone(&desk, &room).await;
    let rooms: Vec<_> = desk.calls("").await.iter().map(|call| call["room_name"].clone()).collect();
    assert_eq!(rooms, [json!(other)]);
    assert_eq!(desk.calls("?to_number=%2B15550277000").await.len(), 0);

    for path in ["terminated", "killed"] {
        if path == "killed" {
            outdial.kill();
        } else {
            outdial.terminate();
            assert!(outdial.exited().await.success());
            holds_nothing(&outdial, &room);
        }
        outdial.restart().await;
        is_gone(&desk, &room).await;
        assert_eq!(desk.api.erase(&room).await.status, 200, "again");
    }
    desk.record(&other).await;
    assert_eq!(desk.endpoint.count(), 2, "erasing tells nobody");

    // The key that placed it is forgotten, too.
    let again = ended_call(&desk).await;
    assert_ne!(again, room);
}

/// No file in `data_dir` holds anything of a call.
fn holds_nothing(outdial: &Outdial, room: &str) {
    let suffix = room.rsplit('_').next().unwrap();
    for words in PERSONAL.iter().chain([&suffix]) {
        assert_eq!(outdial.files_with(words), Vec::<PathBuf>::new(), "{words}");
    }
}

/// Every route of the call says so, also to somebody who may not know of it.
async fn is_gone(desk: &Desk, room: &str) {
    for (method, rest) in [
        (Method::GET, ""),
        (Method::GET, "/transcript"),
        (Method::GET, "/events"),
        (Method::GET, "/recording"),
        (Method::GET, "/deliveries"),
        (Method::POST, "/hangup"),
        (Method::POST, "/deliveries/replay"),
    ] {
        let path = format!("/calls/{room}{rest}");
        let reply = desk.api.try_send(method, &path, &[], None).await.unwrap();
        assert_eq!(reply.refused(410), "call_erased", "{rest}");
    }
    let path = format!("/calls/{room}/recording");
    let head = desk.api.try_send(Method::HEAD, &path, &[], None).await.unwrap();
    assert_eq!((head.status, head.body), (410, Value::Null));
}

#[tokio::test]
async fn other_accounts_cannot_erase_it_nor_learn_that_it_was() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.05")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = ended_call(&desk).await;
    let key = json!({"account": "other", "name": "k"});
    let other = desk.api.post("/keys", &key).await.data();
    let stranger = desk.api.with_key(other["api_key"].as_str().unwrap());
    assert_eq!(stranger.erase(&room).await.refused(404), "call_not_found");
    desk.record(&room).await;
    assert_eq!(desk.api.erase(&room).await.status, 200);
    assert_eq!(stranger.erase(&room).await.refused(404), "call_not_found");
    assert_eq!(stranger.call(&room, "").await.refused(404), "call_not_found");
}

#[tokio::test]
async fn a_call_that_goes_on_is_not_erased() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    desk.reaches(&room, "in_progress").await;
    assert_eq!(desk.api.erase(&room).await.refused(409), "conflict");
    desk.api.hang_up(&room).await.data();
    desk.ended(&room).await;
    // Whatever is still to be done for it is not done any more.
    assert_eq!(desk.api.erase(&room).await.status, 200);
    assert_eq!(desk.api.call(&room, "").await.refused(410), "call_erased");
}

#[tokio::test]
async fn a_webhook_that_was_not_delivered_is_not_sent_any_more() {
    let settings = [("sandbox.time_scale", "0.2"), ("webhooks.retries", "1s,1s,1s,1s")];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    desk.endpoint.answer([Answer::status(503)]);
    let room = desk.place("+15550200486").await;
    until("the first failure on record", async || {
        let tried = desk.deliveries(&room).await;
        if tried.len() == 1 { Ok(()) } else { Err(format!("{tried:?}")) }
    })
    .await;
    assert_eq!(desk.api.erase(&room).await.status, 200);
    // This one lasts for longer than all waits of the other.
    let later = desk.place("+15550200000").await;
    desk.one_webhook(&later).await;
    assert_eq!(desk.webhooks(&room).len(), 1);
}

/// Something else lies where the recording was, and cannot be removed: it is tried again, over
/// crashes, and nobody sees the call meanwhile.
#[tokio::test]
async fn it_is_tried_until_the_keeper_lets_go() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.1")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = ended_call(&desk).await;
    let file = recording_file(&outdial, &room);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(file.join("inside"), "").unwrap();

    let decided = desk.api.erase(&room).await;
    assert_eq!(decided.status, 202, "{}", decided.body);
    assert_eq!(decided.data(), json!({"room_name": room, "erased": false}));
    is_gone(&desk, &room).await;
    assert_eq!(desk.calls("").await.len(), 0);
    outdial.kill();
    outdial.restart().await;
    is_gone(&desk, &room).await;
    assert!(!outdial.files_with("5550277000").is_empty(), "what is not gone is still known");

    outdial.kill();
    fs::remove_dir_all(&file).unwrap();
    outdial.restart().await;
    until("the erasure", async || {
        let reply = desk.api.erase(&room).await;
        if reply.status == 200 { Ok(()) } else { Err(reply.body.to_string()) }
    })
    .await;
    outdial.terminate();
    assert!(outdial.exited().await.success());
    holds_nothing(&outdial, &room);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_many_leaves_none_half_erased() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.05")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let rooms = join_all((0..20).map(|_| desk.place(NUMBER))).await;
    for room in &rooms {
        desk.one_webhook(room).await;
        desk.recording(room, "available").await;
    }
    let requests = rooms.iter().map(|room| {
        let path = format!("/calls/{room}");
        let api = &desk.api;
        async move { api.try_send(Method::DELETE, &path, &[], None).await.ok() }
    });
    let crash = async {
        until("the first to be gone", async || {
            let left = desk.calls("?limit=100").await.len();
            if left < rooms.len() { Ok(()) } else { Err(format!("{left} calls")) }
        })
        .await;
        outdial.kill();
    };
    let (answers, ()) = tokio::join!(join_all(requests), crash);
    outdial.restart().await;
    for (room, answer) in rooms.iter().zip(answers) {
        if let Some(answer) = answer {
            assert!([200, 202].contains(&answer.status), "{}", answer.body);
            assert_eq!(desk.api.call(room, "").await.refused(410), "call_erased");
        }
        assert_eq!(desk.api.erase(room).await.status, 200);
        assert_eq!(desk.api.call(room, "").await.refused(410), "call_erased");
    }
    outdial.terminate();
    assert!(outdial.exited().await.success());
    for room in &rooms {
        holds_nothing(&outdial, room);
    }
}

fn recording_file(outdial: &Outdial, room: &str) -> PathBuf {
    let name = format!("call_{}.ogg", room.rsplit('_').next().unwrap());
    let mut files = outdial.files().into_iter();
    files.find(|path| path.ends_with(&name)).expect("a file of the recording")
}

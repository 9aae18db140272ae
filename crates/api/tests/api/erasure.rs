//! `DELETE /calls/{room_name}`, and what is left afterwards.

use std::time::Duration;

use outdial_domain::ports::Calls;
use outdial_domain::{ErrorKind, Tombstone};
use serde_json::json;

use crate::rig::{NEVER_ENDS, Rig, TALKS};

/// All that can be asked about a call, or done to it, besides erasing it.
pub(crate) const ROUTES: [(&str, &str); 8] = [
    ("GET", ""),
    ("POST", "/hangup"),
    ("GET", "/transcript"),
    ("GET", "/recording"),
    ("HEAD", "/recording"),
    ("GET", "/events"),
    ("GET", "/deliveries"),
    ("POST", "/deliveries/replay"),
];

async fn is_erased(rig: &Rig, room: &str) {
    for (method, path) in ROUTES {
        let answer = rig.send(rig.request(method, &format!("/calls/{room}{path}"))).await;
        answer.fails(410, "call_erased");
    }
    let list = rig.get("/calls").await.expect(200);
    assert_eq!(list["data"]["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_erased_call_leaves_a_tombstone() {
    let rig = Rig::new().await;
    let room = rig.place(TALKS).await;
    rig.until(&room, "/recording/status", "available").await;
    rig.until(&room, "/webhook/state", "delivered").await;
    let path = format!("/calls/{room}");
    assert!(rig.tape.file(&room).exists());

    for _ in 0..2 {
        let answer = rig.delete(&path).await.expect(200);
        assert_eq!(answer["message"], "Call erased");
        assert_eq!(answer["data"], json!({"room_name": room, "erased": true}));
        is_erased(&rig, &room).await;
    }
    assert!(!rig.tape.file(&room).exists());
    let id = Tombstone::id_of(&room.parse().unwrap());
    let left = serde_json::to_string(&rig.store.tombstone(&id).await.unwrap()).unwrap();
    for gone in [&room, "15550200000", "John", "Support"] {
        assert!(!left.contains(gone), "{left}");
    }
    // For others there has never been such a call.
    let mut rig = rig;
    std::mem::swap(&mut rig.key, &mut rig.admin);
    rig.delete(&path).await.fails(404, "call_not_found");
    rig.get(&path).await.fails(404, "call_not_found");
}

#[tokio::test(start_paused = true)]
async fn a_running_call_is_not_erased() {
    let rig = Rig::new().await;
    let room = rig.place(NEVER_ENDS).await;
    let path = format!("/calls/{room}");
    let body = rig.delete(&path).await.fails(409, "conflict");
    assert!(body["message"].as_str().unwrap().contains("hang up"), "{body}");
    rig.send(rig.request("POST", &format!("{path}/hangup"))).await.expect(200);
    rig.until(&room, "/status", "ended").await;
    rig.delete(&path).await.expect(200);
    is_erased(&rig, &room).await;
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_does_not_let_go_is_asked_again() {
    let rig = Rig::new().await;
    let room = rig.place(TALKS).await;
    rig.until(&room, "/recording/status", "available").await;
    rig.tape.script(|script| script.delete_fails = Some(ErrorKind::Unavailable));
    let path = format!("/calls/{room}");
    for _ in 0..2 {
        let answer = rig.delete(&path).await.expect(202);
        assert_eq!(answer["message"], "Call is being erased");
        assert_eq!(answer["data"], json!({"room_name": room, "erased": false}));
        is_erased(&rig, &room).await;
    }
    rig.tape.script(|script| script.delete_fails = None);
    let mut tries = 0;
    while rig.delete(&path).await.status != 200 {
        tries += 1;
        assert!(tries < 100, "it is never erased");
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert!(!rig.tape.file(&room).exists());
    is_erased(&rig, &room).await;
}

#[tokio::test(start_paused = true)]
async fn the_idempotency_key_goes_with_the_call() {
    let rig = Rig::new().await;
    let order = rig.order(TALKS).await;
    let place = async || {
        let request = rig.request("POST", "/call/outbound").set_json(&order);
        let answer = rig.send(request.insert_header(("idempotency-key", "once"))).await;
        answer.expect(200)["data"]["room_name"].as_str().unwrap().to_owned()
    };
    let room = place().await;
    assert_eq!(place().await, room);
    rig.until(&room, "/status", "ended").await;
    rig.delete(&format!("/calls/{room}")).await.expect(200);
    assert_ne!(place().await, room);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_keeps_the_call() {
    let rig = Rig::new().await;
    let room = rig.place(TALKS).await;
    rig.until(&room, "/webhook/state", "delivered").await;
    let path = format!("/calls/{room}");
    rig.store.fail_with(Some(ErrorKind::Unavailable));
    rig.delete(&path).await.fails(503, "store_unavailable");
    rig.store.fail_with(None);
    rig.get(&path).await.expect(200);
}

//! `kill -9` while a real phone rings or talks: the call goes on without the server, is taken up
//! again, and its phone never rings twice.

use outdial_tests::{Desk, End, Outdial, Phone, Port, Stack};
use serde_json::{Value, json};

const HUNG_UP: End = End::completed("callee_hangup");

struct Scene {
    outdial: Outdial,
    phone: Phone,
    desk: Desk,
    _port: Port,
}

async fn scene() -> Scene {
    let stack = Stack::get();
    let port = stack.webhook_port().await;
    let outdial = Outdial::start_at(port.number, &stack.settings(&[])).await;
    let phone = Phone::for_any_number_of_calls("slow_bye").await;
    let desk = stack.desk(&outdial, &phone, json!({})).await;
    Scene { outdial, phone, desk, _port: port }
}

impl Scene {
    async fn ends_after_one_call(&self, room: &str) {
        let record = Stack::get().ends(&self.desk, room, HUNG_UP).await;
        assert_eq!(self.phone.calls(), 1, "an INVITE is never repeated");
        let seconds = record["call_duration_minutes"].as_f64().unwrap() * 60.0;
        assert!((3.0..12.0).contains(&seconds), "the phone was off the hook for 8 s: {record}");
    }
}

#[tokio::test]
async fn while_it_rings() {
    let _seat = Stack::seat().await;
    let scene = scene().await;
    let room = scene.desk.place("+15550200050").await;
    scene.desk.reaches(&room, "ringing").await;
    scene.outdial.kill();
    scene.outdial.restart().await;
    scene.desk.reaches(&room, "in_progress").await;
    scene.ends_after_one_call(&room).await;
}

#[tokio::test]
async fn while_it_rings_and_it_is_answered_before_the_restart() {
    let _seat = Stack::seat().await;
    let scene = scene().await;
    let room = scene.desk.place("+15550200051").await;
    scene.desk.reaches(&room, "ringing").await;
    scene.outdial.kill();
    scene.phone.has_seen("ACK").await;
    scene.outdial.restart().await;
    scene.desk.reaches(&room, "in_progress").await;
    scene.ends_after_one_call(&room).await;
}

#[tokio::test]
async fn while_they_talk() {
    let _seat = Stack::seat().await;
    let scene = scene().await;
    let room = scene.desk.place("+15550200052").await;
    let before = scene.desk.reaches(&room, "in_progress").await;
    scene.outdial.kill();
    scene.outdial.restart().await;
    let after = scene.desk.reaches(&room, "in_progress").await;
    assert_eq!(after["answered_at"], before["answered_at"]);
    scene.ends_after_one_call(&room).await;
}

#[tokio::test]
async fn and_the_callee_hangs_up_before_the_restart() {
    let _seat = Stack::seat().await;
    let scene = scene().await;
    let room = scene.desk.place("+15550200053").await;
    scene.desk.reaches(&room, "in_progress").await;
    scene.outdial.kill();
    scene.phone.has_seen_ok_to("BYE").await;
    scene.outdial.restart().await;
    // How it ended is told when LiveKit sends its webhook once more; without that nobody knows.
    let record = scene.desk.ended(&room).await;
    let end = match record["end_reason"] {
        Value::Null => End::because("interrupted", "livekit", "leg_gone"),
        _ => HUNG_UP,
    };
    Stack::get().ends(&scene.desk, &room, end).await;
    assert_eq!(scene.phone.calls(), 1);
}

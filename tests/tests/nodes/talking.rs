//! Calls of real phones, over livekit-sip and over the bridge, whose node goes away.

use outdial_tests::{
    Bridge, Callee, Database, Desk, End, Law, Outdial, Phone, Port, Stack, Transport, by_ear,
    settings_of,
};
use serde_json::{Value, json};

/// What the agent answers to the phone's question.
const ANSWER: &str = "on its way";

/// Two nodes on one LiveKit, and a phone that asks for its order and hangs up later.
struct Scene {
    first: Outdial,
    second: Outdial,
    phone: Phone,
    desk: Desk,
    _ports: [Port; 2],
}

async fn scene(assistant: Value) -> Scene {
    let stack = Stack::get();
    let ports = stack.webhook_ports::<2>().await;
    let url = Database::fresh().await.url();
    let settings = stack.settings(&settings_of(&url, &[]));
    let first = Outdial::start_at(ports[0].number, &settings).await;
    let second = first.beside_at(ports[1].number, &settings);
    second.restart().await;
    let phone = Phone::for_any_number_of_calls("ask_bye").await;
    let desk = stack.desk(&first, &phone, assistant).await;
    Scene { first, second, phone, desk, _ports: ports }
}

impl Scene {
    /// A call in which the agent has greeted.
    async fn in_progress(&self, number: &str) -> String {
        let room = self.desk.place(number).await;
        self.desk.reaches(&room, "in_progress").await;
        self.desk.has_lines(&room, 1).await;
        room
    }

    /// The conversation goes on until the callee hangs up, as the second node tells: the record.
    async fn goes_on_to_its_end(&self, room: &str) -> Value {
        let desk = self.desk.through(&self.second);
        let record = Stack::get().ends(&desk, room, End::completed("callee_hangup")).await;
        let lines = desk.lines(room).await;
        assert!(
            lines.iter().any(|line| line["text"].as_str().unwrap().contains(ANSWER)),
            "{lines:?}"
        );
        assert_eq!(self.phone.calls(), 1, "an INVITE is never repeated");
        record
    }
}

#[tokio::test]
async fn the_node_is_killed() {
    by_ear(async |_| {
        let scene = scene(json!({})).await;
        let room = scene.in_progress("+15550200120").await;
        scene.first.kill();
        let recording = scene.goes_on_to_its_end(&room).await["recording"].take();
        assert_eq!(recording["status"], "available", "{recording}");
        assert!(recording["gaps"].as_str().unwrap().contains("several nodes"), "{recording}");
    })
    .await;
}

/// It hands the call over before it ends, at once: nothing of it is kept there.
#[tokio::test]
async fn the_node_is_told_to_stop() {
    by_ear(async |_| {
        let scene = scene(json!({"recording": false})).await;
        let room = scene.in_progress("+15550200121").await;
        scene.first.terminate();
        assert!(scene.first.exited().await.success());
        let record = scene.desk.through(&scene.second).record(&room).await;
        assert_eq!(record["status"], "in_progress", "the phone is not waited for: {record}");
        scene.goes_on_to_its_end(&room).await;
    })
    .await;
}

/// What was recorded of the call is at this node: it waits for the rest.
#[tokio::test]
async fn the_node_is_told_to_stop_and_records() {
    by_ear(async |_| {
        let scene = scene(json!({})).await;
        let room = scene.in_progress("+15550200122").await;
        scene.first.terminate();
        assert!(scene.first.exited().await.success());
        let recording = scene.goes_on_to_its_end(&room).await["recording"].take();
        assert_eq!(recording["status"], "available", "{recording}");
        assert_eq!(recording["gaps"], Value::Null, "{recording}");
    })
    .await;
}

/// A phone that talks to a node over the bridge, and another node.
async fn bridged(drain: &str) -> (Bridge, Outdial, Callee, Desk, Port) {
    let stack = Stack::get();
    let port = stack.webhook_port().await;
    let url = Database::fresh().await.url();
    let settings = settings_of(&url, &[("server.drain_timeout", drain)]);
    let bridge = Bridge::start_at(port.number, &settings).await;
    let other = bridge.outdial.beside(&stack.settings(&settings));
    other.restart().await;
    let callee = Callee::start(Transport::Tcp).await;
    let desk = stack.exotel(&bridge, &callee.address(), json!({})).await;
    (bridge, other, callee, desk, port)
}

/// The sound of a bridged call is in the node: it waits for its end.
#[tokio::test]
async fn a_bridged_call_is_finished_first() {
    let _seat = Stack::seat().await;
    let (bridge, other, callee, desk, _port) = bridged("60s").await;
    let room = desk.place("+918044319290").await;
    let mut leg = callee.rings("08044319290").await;
    leg.answer(Law::Pcma).await;
    desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;
    bridge.outdial.terminate();
    bridge.outdial.has_logged(&["stopping"]).await;
    let desk = desk.through(&other);
    // They talk on.
    leg.media.forget();
    leg.media.hears(100).await;
    assert_eq!(desk.record(&room).await["status"], "in_progress");
    leg.hang_up().await;
    assert!(bridge.outdial.exited().await.success());
    Stack::get().ends(&desk, &room, End::completed("callee_hangup")).await;
    assert_eq!(callee.calls(), 1);
}

/// Not for ever.
#[tokio::test]
async fn a_bridged_call_that_does_not_end_is_hung_up() {
    let _seat = Stack::seat().await;
    let (bridge, other, callee, desk, _port) = bridged("2s").await;
    let room = desk.place("+918044319291").await;
    let mut leg = callee.rings("08044319291").await;
    leg.answer(Law::Pcma).await;
    desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;
    bridge.outdial.terminate();
    leg.is_hung_up().await;
    assert!(bridge.outdial.exited().await.success());
    let desk = desk.through(&other);
    let end = End::passing("interrupted", "server", "server_stopped");
    Stack::get().ends(&desk, &room, end).await;
    assert_eq!(callee.calls(), 1);
}

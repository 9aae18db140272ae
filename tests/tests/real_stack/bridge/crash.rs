//! `kill -9` of a server that is itself the phone's other end.

use outdial_tests::{Bridge, Callee, End, Law, Stack, Transport};
use serde_json::json;

use super::ring;
use crate::NOBODY;

/// The sound is gone with the server: the call ends, the callee is not left hanging, and nobody is
/// called twice.
#[tokio::test]
async fn in_the_middle_of_a_call() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let bridge = Bridge::start(&[]).await;
    let callee = Callee::start(Transport::Tcp).await;
    let desk = stack.exotel(&bridge, &callee.address(), json!({})).await;
    let (room, mut leg) = ring(&desk, &callee, "+918044319280").await;
    leg.answer(Law::Pcma).await;
    desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;
    let said = desk.has_lines(&room, 1).await;
    bridge.outdial.kill();
    bridge.outdial.restart().await;
    leg.is_hung_up().await;
    let record = desk.ended(&room).await;
    let end = match record["cause"]["code"].as_str() {
        Some("interrupted") => End::because("interrupted", "server", "interrupted"),
        _ => End::because("interrupted", "livekit", "leg_gone"),
    };
    stack.ends(&desk, &room, end).await;
    assert_eq!(callee.calls(), 1, "an INVITE is never repeated");
    assert_eq!(desk.lines(&room).await[0], said[0], "what was said before is on record");
}

/// Over UDP there is no connection whose end would tell the callees.
#[tokio::test]
async fn in_the_middle_of_some_calls_over_udp() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let bridge = Bridge::start(&[]).await;
    let callee = Callee::start(Transport::Udp).await;
    let (address, who) = (callee.address(), ("outdial", "s3cret-s3cret"));
    let nobody = json!({"agent_name": NOBODY});
    let desk = stack.direct(&bridge, (&address, Transport::Udp), who, nobody).await;
    let mut calls = Vec::new();
    for number in ["+15550200094", "+15550200095", "+15550200096", "+15550200097"] {
        let room = desk.place(number).await;
        let mut leg = callee.rings(number).await;
        leg.answer(Law::Pcma).await;
        desk.reaches(&room, "in_progress").await;
        leg.media.hears(20).await;
        calls.push((room, leg));
    }
    bridge.outdial.kill();
    bridge.outdial.restart().await;
    for (room, leg) in &mut calls {
        leg.is_hung_up().await;
        let record = desk.ended(room).await;
        assert_eq!(record["outcome"], "interrupted", "{record}");
        desk.one_webhook(room).await;
    }
    assert_eq!(callee.calls(), calls.len());
}

/// A server that is told to stop hangs up what does not end by itself.
#[tokio::test]
async fn no_crash_but_the_end() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let port = stack.webhook_port().await;
    let bridge = Bridge::start_at(port.number, &[("server.drain_timeout", "1s")]).await;
    let callee = Callee::start(Transport::Udp).await;
    let (address, who) = (callee.address(), ("outdial", "s3cret-s3cret"));
    let desk = stack.direct(&bridge, (&address, Transport::Udp), who, json!({})).await;
    let room = desk.place("+15550200092").await;
    let mut leg = callee.rings("+15550200092").await;
    leg.answer(Law::Pcmu).await;
    desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;
    bridge.outdial.terminate();
    leg.is_hung_up().await;
    assert!(bridge.outdial.exited().await.success());
    bridge.outdial.restart().await;
    let end = End::passing("interrupted", "server", "server_stopped");
    let record = stack.ends(&desk, &room, end).await;
    assert!(record["media"]["packets_sent"].as_u64().unwrap() > 10, "{record}");
    assert_eq!(callee.seen().iter().filter(|line| line.starts_with("BYE")).count(), 1);
    assert_eq!(bridge.outdial.files_with("callee-"), Vec::<std::path::PathBuf>::new());
}

/// Nobody knows whether the callee would have answered: it is not called again.
#[tokio::test]
async fn while_it_rings() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let port = stack.webhook_port().await;
    let bridge = Bridge::start_at(port.number, &[]).await;
    let callee = Callee::start(Transport::Tcp).await;
    let desk = stack.exotel(&bridge, &callee.address(), json!({})).await;
    let (room, leg) = ring(&desk, &callee, "+918044319281").await;
    leg.ring().await;
    desk.reaches(&room, "ringing").await;
    bridge.outdial.kill();
    bridge.outdial.restart().await;
    let record = desk.ended(&room).await;
    assert_eq!(record["outcome"], "interrupted", "{record}");
    desk.one_webhook(&room).await;
    stack.has_no_room(&room).await;
    assert_eq!(callee.calls(), 1);
}

/// LiveKit forgets its rooms when it is started again: the callee is not left with nobody to talk to.
#[tokio::test]
async fn of_livekit() {
    let (_alone, stack) = (Stack::alone().await, Stack::get());
    let bridge = Bridge::shared().await;
    let callee = Callee::start(Transport::Tcp).await;
    let desk = stack.exotel(bridge, &callee.address(), json!({})).await;
    let (room, mut leg) = ring(&desk, &callee, "+918044319282").await;
    leg.answer(Law::Pcma).await;
    desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;
    Stack::restart("livekit");
    leg.is_hung_up().await;
    let end = End::because("interrupted", "livekit", "leg_lost");
    stack.ends(&desk, &room, end).await;
    assert_eq!(callee.calls(), 1);
}

//! What may happen while two talk.

use std::time::Duration;

use outdial_tests::{Bridge, Callee, Law, Leg, Say, Stack, Transport, by_ear, until};
use serde_json::json;

use super::{HUNG_UP, ring};
use crate::NOBODY;

async fn packets_stop(leg: &Leg) {
    until("silence on the line", async || {
        let last = leg.media.heard().last().map(|packet| packet.at.elapsed());
        match last {
            Some(since) if since < Duration::from_millis(500) => Err(format!("{since:?}")),
            _ => Ok(()),
        }
    })
    .await;
}

/// Keys both ways, hold and back, another codec; the agent is told; and a BYE on a connection of its
/// own.
#[tokio::test]
async fn everything_in_one_call() {
    by_ear(async |stack| {
        let bridge = Bridge::shared().await;
        let callee = Callee::start(Transport::Tcp).await;
        let config = json!({"agent_config": {"press": "42"}});
        let desk = stack.exotel(bridge, &callee.address(), config).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319250").await;
        let early = desk.api.press(&room, "1").await;
        assert_eq!(early.status, 409, "not answered yet: {}", early.body);
        let mut events = desk.api.events(&room, None).await;
        leg.answer(Law::Pcma).await;
        desk.reaches(&room, "in_progress").await;
        leg.media.hears_speech().await;
        // The agent presses keys, then we do.
        leg.media.hears_keys("42").await;
        desk.api.press(&room, "1w#").await.data();
        leg.media.hears_keys("421#").await;
        for wrong in ["", "x", "123456789012345678901234567890123"] {
            assert!((400..500).contains(&desk.api.press(&room, wrong).await.status), "{wrong}");
        }
        // The callee presses keys, by either way.
        leg.media.press("7");
        assert_eq!(events.next_of("dtmf").await.data["digit"], "7");
        let relay = ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
        assert_eq!(leg.request("INFO", Some(relay)).await.code(), Some(200));
        assert_eq!(events.next_of("dtmf").await.data["digit"], "5");
        stack.agent_has_logged(&room, "key 7").await;
        stack.agent_has_logged(&room, "key 5").await;

        let held = leg.reinvite(Law::Pcma, "sendonly").await;
        assert!(held.body.contains("a=recvonly"), "{}", held.body);
        events.next_of("call_held").await;
        stack.agent_has_logged(&room, "call_held").await;
        let back = leg.reinvite(Law::Pcma, "sendrecv").await;
        assert!(back.body.contains("a=sendrecv"), "{}", back.body);
        events.next_of("call_resumed").await;
        stack.agent_has_logged(&room, "outdial.call_events").await;
        stack.agent_has_logged(&room, "call_resumed").await;

        leg.media.forget();
        let changed = leg.reinvite(Law::Pcmu, "sendrecv").await;
        assert_eq!(changed.payload_types()[0], "0", "{}", changed.body);
        until("the other law", async || {
            let heard = leg.media.heard();
            let kinds: Vec<_> = heard.iter().map(|packet| packet.payload_type).collect();
            if kinds.ends_with(&[0; 25]) { Ok(()) } else { Err(format!("{kinds:?}")) }
        })
        .await;
        for method in ["OPTIONS", "UPDATE"] {
            assert_eq!(leg.request(method, None).await.code(), Some(200), "{method}");
        }
        leg.dial_back().await;
        leg.hang_up().await;
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        assert_eq!(record["media"]["packets_lost"], 0, "{record}");
        assert!(events.rest().await.iter().any(|event| event.kind == "status"));
    })
    .await;
}

/// A call on hold is no call whose media has stopped.
#[tokio::test]
async fn a_long_hold() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let bridge = Bridge::start(&[("sip.media_timeout", "2s")]).await;
    let callee = Callee::start(Transport::Tcp).await;
    let nobody = json!({"agent_name": NOBODY});
    let desk = stack.exotel(&bridge, &callee.address(), nobody).await;
    let (room, mut leg) = ring(&desk, &callee, "+918044319251").await;
    leg.answer(Law::Pcma).await;
    leg.media.hears(20).await;
    leg.reinvite(Law::Pcma, "inactive").await;
    leg.media.say(Say::Nothing);
    packets_stop(&leg).await;
    // Longer than the media timeout, told by the phone's clock.
    let held = chrono::Utc::now();
    until("time to pass", async || {
        let passed = chrono::Utc::now() - held;
        if passed > chrono::TimeDelta::seconds(4) { Ok(()) } else { Err(passed.to_string()) }
    })
    .await;
    assert_eq!(desk.record(&room).await["status"], "in_progress");
    leg.media.forget();
    leg.reinvite(Law::Pcma, "sendrecv").await;
    leg.media.say(Say::Silence);
    leg.media.hears(20).await;
    // And then nothing more comes.
    leg.media.say(Say::Nothing);
    leg.is_hung_up().await;
    stack.ends(&desk, &room, outdial_tests::End::completed("media_timeout")).await;
}

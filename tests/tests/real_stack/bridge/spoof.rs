//! Sound from those who have no part in a call.

use std::net::{Ipv4Addr, UdpSocket};

use outdial_tests::{Bridge, Callee, Law, Say, Side, Spoof, Transport, by_ear, until};
use serde_json::json;

use super::exotel::recorded;
use super::{HUNG_UP, ring};
use crate::NOBODY;

async fn goes_on(spoof: &Spoof) {
    let sent = spoof.sent();
    until("more of it", async || {
        let more = spoof.sent() - sent;
        if more > 500 { Ok(()) } else { Err(more.to_string()) }
    })
    .await;
}

/// To all ports, from another address and from another port, before, during and after the call: it
/// is neither heard nor answered. And a forged BYE ends nothing.
#[tokio::test]
async fn is_neither_heard_nor_answered() {
    by_ear(async |stack| {
        let bridge = Bridge::start(&[]).await;
        let callee = Callee::start(Transport::Tcp).await;
        let nobody = json!({"agent_name": NOBODY});
        let desk = stack.exotel(&bridge, &callee.address(), nobody).await;
        let ports = || bridge.media_ports.clone();
        let stranger = Spoof::start(Ipv4Addr::new(127, 0, 0, 2), ports(), 1000.0);
        let neighbour = Spoof::start(Ipv4Addr::LOCALHOST, ports(), 700.0);
        let (room, mut leg) = ring(&desk, &callee, "+918044319270").await;
        leg.ring().await;
        desk.reaches(&room, "ringing").await;
        goes_on(&stranger).await;
        leg.answer(Law::Pcma).await;
        leg.media.hears(30).await;
        goes_on(&stranger).await;
        let forger = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
        let bye = leg.forged_bye(&forger.local_addr().unwrap().to_string());
        forger.send_to(bye.as_bytes(), (Ipv4Addr::LOCALHOST, bridge.sip_port)).unwrap();
        forger.send_to(b"BYE garbage", (Ipv4Addr::LOCALHOST, bridge.sip_port)).unwrap();
        // While the callee speaks, too.
        leg.media.say(Say::Tone(440.0));
        leg.media.hears(100).await;
        goes_on(&neighbour).await;
        leg.hang_up().await;
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        goes_on(&stranger).await;
        assert_eq!((stranger.answered(), neighbour.answered()), (0, 0));
        assert!(record["media"]["packets_discarded"].as_u64().unwrap() > 20, "{record}");

        let (sound, _) = recorded(&desk, &room).await;
        let tone = sound.loud(Side::Callee, -45.0, 0.2);
        assert_eq!(tone.len(), 1, "the callee's tone only: {sound:?}");
        let middle = (tone[0].start + tone[0].end) / 2.0;
        let pitch = sound.pitch(Side::Callee, middle - 0.2..middle + 0.2);
        assert!((pitch / 440.0 - 1.0).abs() < 0.02, "{pitch} Hz: {sound:?}");
        assert!(tone[0].start > 0.3, "silent at first: {sound:?}");
    })
    .await;
}

/// A callee behind a NAT, whose packets come from another port than its SDP says: it is heard and
/// spoken to where it is; a stranger is not, though nobody speaks at the address of the SDP.
#[tokio::test]
async fn but_a_callee_behind_a_nat_is() {
    by_ear(async |stack| {
        let bridge = Bridge::start(&[]).await;
        let callee = Callee::start(Transport::Tcp).await;
        let nobody = json!({"agent_name": NOBODY});
        let desk = stack.exotel(&bridge, &callee.address(), nobody).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319271").await;
        let stranger =
            Spoof::start(Ipv4Addr::new(127, 0, 0, 2), bridge.media_ports.clone(), 1000.0);
        leg.media.say(Say::Nothing);
        leg.answer(Law::Pcma).await;
        goes_on(&stranger).await;
        let real = outdial_tests::Media::start();
        real.speak_to(leg.invite.media_address().unwrap(), Law::Pcma);
        real.say(Say::Tone(440.0));
        real.hears(100).await;
        leg.hang_up().await;
        stack.ends(&desk, &room, HUNG_UP).await;
        assert_eq!(stranger.answered(), 0);
        let (sound, _) = recorded(&desk, &room).await;
        for part in sound.loud(Side::Callee, -45.0, 0.2) {
            let middle = (part.start + part.end) / 2.0;
            let pitch = sound.pitch(Side::Callee, middle - 0.1..middle + 0.1);
            assert!((pitch / 440.0 - 1.0).abs() < 0.02, "{pitch} Hz: {sound:?}");
        }
    })
    .await;
}

//! Whole calls over Exotel.

use outdial_tests::{
    Bridge, Callee, Desk, Law, Message, Phone, Say, Side, Sound, Stack, Transport, by_ear,
};
use serde_json::{Value, json};

use super::{HUNG_UP, national, ring};
use crate::{NOBODY, time};

/// When the callee of `ask_bye` asks, in seconds from its ACK.
const ASKS: f64 = 6.0;

/// As the contract's example has it.
fn check_answer(body: &Value, number: &str) -> String {
    assert_eq!(body["success"], true);
    assert_eq!(body["message"], "Outbound call triggered successfully via Exotel bridge");
    let data = body["data"].as_object().unwrap();
    let room = data["room_name"].as_str().unwrap();
    assert!(room.starts_with(&format!("exotel-{number}-")), "{room}");
    assert!(data["agent_dispatch"]["id"].as_str().unwrap().starts_with("AD_"), "{body}");
    assert_eq!(data.get("participant"), None);
    room.to_owned()
}

/// The INVITE as Exotel wants it.
fn check_invite(invite: &Message, phone: &str, bridge: &Bridge, number: &str) {
    let (user, ours) = (national(number), format!("127.0.0.1:{}", bridge.sip_port));
    assert!(invite.uri().starts_with(&format!("sip:{user}@{phone}")), "{}", invite.start);
    let (from, to) = (invite.header("From"), invite.header("To"));
    let caller = "<sip:08045671234@acme1.pstn.exotel.com>;tag=";
    assert!(from.starts_with("\"08045671234\" <") || from.starts_with('<'), "{from}");
    assert!(from.contains(caller), "{from}");
    assert!(to.contains(&format!("<sip:{user}@{phone}")) && !to.contains("tag="), "{to}");
    let via = invite.headers("Via");
    assert_eq!(via.len(), 1, "{via:?}");
    assert!(via[0].starts_with(&format!("SIP/2.0/TCP {ours};")), "{via:?}");
    assert!(via[0].contains("rport"), "{via:?}");
    let contact = invite.contact();
    assert!(contact.contains(&format!("@{ours}")), "{contact}");
    assert!(contact.contains(";transport=tcp") || contact.contains(";transport=TCP"), "{contact}");
    let media = invite.media_address().unwrap();
    assert!(
        bridge.media_ports.contains(&media.port()) && media.port().is_multiple_of(2),
        "{media}"
    );
    assert_eq!(media.ip().to_string(), "127.0.0.1");
    assert!(invite.sdp('o').unwrap().ends_with("IN IP4 127.0.0.1"));
    assert_eq!(invite.payload_types()[..2], ["8", "0"], "PCMA first");
    assert!(invite.body.contains("telephone-event/8000"), "{}", invite.body);
}

/// The callee asks for its order and is answered; then it hangs up.
#[tokio::test]
async fn a_conversation() {
    by_ear(async |stack| {
        let bridge = Bridge::shared().await;
        let phone = Phone::over_tcp("ask_bye").await;
        let desk = stack.exotel(bridge, &phone.address(), json!({})).await;
        let reply = desk.try_place("+918044319240").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let room = check_answer(&reply.body, "+918044319240");
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        phone.is_done().await;
        let invite = phone.messages().into_iter().find(|message| message.starts_with("INVITE"));
        let invite = Message::read(&invite.unwrap().replace('\n', "\r\n"));
        check_invite(&invite, &phone.address(), bridge, "+918044319240");

        let hook = desk.one_webhook(&room).await.body["data"].take();
        let lines = desk.lines(&room).await;
        assert_eq!(hook["transcripts"], json!(lines));
        let said: Vec<_> = lines.iter().map(|line| (&line["speaker"], &line["text"])).collect();
        assert!(said.len() >= 3, "{said:?}");
        assert_eq!(said[0], (&json!("agent"), &json!("Hello there, how can I help?")));
        assert_eq!(said[1].0, "user");
        assert!(said[1].1.as_str().unwrap().ends_with("order"), "{said:?}");
        assert_eq!(said[2].0, "agent");
        assert!(said[2].1.as_str().unwrap().starts_with("Your order is on its way"), "{said:?}");
        for data in [&record, &hook] {
            assert_eq!(data["transcript_status"], "complete", "{data}");
            assert_eq!(data["recording_path"], record["recording"]["url"]);
        }
        assert_eq!(hook["recording_status"], "available", "{record}");
        let course = ["starting_at", "dialed_at", "ringing_at", "answered_at", "ended_at"];
        let times = course.map(|key| record[key].as_str().unwrap_or_default().to_owned());
        assert!(times.is_sorted() && !times[0].is_empty(), "{record}");

        let (sound, begins_at) = recorded(&desk, &room).await;
        let asks = (phone.time_of("ACK") - begins_at).as_seconds_f64() + ASKS;
        let voices = sound.loud(Side::Callee, -45.0, 0.4);
        assert!(!voices.is_empty() && (voices[0].start - asks).abs() < 1.5, "{asks}: {sound:?}");
        let answers = sound.loud(Side::Agent, -45.0, 0.6);
        assert!(answers.len() >= 2, "a greeting and an answer: {sound:?}");
        assert!(answers[0].end < voices[0].start && voices[0].end < answers[1].start, "{sound:?}");
    })
    .await;
}

/// The recording, decoded, and when it begins.
pub(super) async fn recorded(desk: &Desk, room: &str) -> (Sound, chrono::DateTime<chrono::Utc>) {
    let recording = desk.recording(room, "available").await;
    let file = desk.api.recording(room, &[]).await;
    assert_eq!((file.status, &recording["sha256"]), (200, &json!(file.sha256())));
    assert_eq!(recording["gaps"], Value::Null, "{recording}");
    (Sound::of(&file.bytes), time(&recording["begins_at"]))
}

/// The phone is what a phone through livekit-sip would be, and nobody else but the agent is there.
async fn check_participant(room: &str, number: &str) {
    let people = Stack::get().participants(room).await;
    assert_eq!(people.len(), 2, "{people:?}");
    let phone = people.iter().find(|one| one["kind"] == "SIP").expect("a phone");
    assert_eq!(phone["identity"], format!("phone-{number}"), "{phone}");
    let attributes = &phone["attributes"];
    for (key, value) in [
        ("sip.callStatus", "active"),
        ("sip.phoneNumber", number),
        ("sip.trunkPhoneNumber", "+918045671234"),
    ] {
        assert_eq!(attributes[key], value, "{attributes}");
    }
    for key in ["sip.callID", "sip.callIDFull", "sip.callTag", "sip.trunkID", "sip.hostname"] {
        assert!(attributes[key].as_str().is_some_and(|value| !value.is_empty()), "{attributes}");
    }
    assert_eq!(phone["tracks"][0]["source"], "MICROPHONE", "{phone}");
}

/// The first proxy is not there: the second is tried, and no other address is asked for.
#[tokio::test]
async fn by_the_second_proxy() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let bridge = Bridge::shared().await;
    let callee = Callee::start(Transport::Tcp).await;
    let nobody = json!({"agent_name": NOBODY});
    let desk = stack.exotel(bridge, "sip.invalid:5070", nobody).await;
    let path = format!("/trunks/{}", desk.trunk["trunk_id"].as_str().unwrap());
    let proxies = json!({"outbound_proxies": ["127.0.0.1:9", callee.address()]});
    desk.api.try_send(http::Method::PATCH, &path, &[], Some(&proxies)).await.unwrap().data();
    let (room, mut leg) = ring(&desk, &callee, "+918044319243").await;
    assert_eq!(leg.invite.uri().split(';').next(), Some("sip:08044319243@sip.invalid:5070"));
    leg.answer(Law::Pcma).await;
    leg.media.hears(10).await;
    leg.hang_up().await;
    stack.ends(&desk, &room, HUNG_UP).await;
}

/// A tone each way: on the record and on the phone at their pitch, on their side, in steps of 20 ms.
#[tokio::test]
async fn tones_both_ways() {
    by_ear(async |stack| {
        let bridge = Bridge::shared().await;
        let callee = Callee::start(Transport::Tcp).await;
        let config = json!({"agent_config": {"tone": {"hz": 660, "seconds": 4}}});
        let desk = stack.exotel(bridge, &callee.address(), config).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319241").await;
        check_invite(&leg.invite, &callee.address(), bridge, "+918044319241");
        assert_eq!(leg.media.heard().len(), 0, "nothing is sent before the answer");
        leg.answer(Law::Pcma).await;
        leg.media.say(Say::Tone(440.0));
        leg.media.hears_speech().await;
        check_participant(&room, "+918044319241").await;
        leg.media.hears_tone(660.0).await;
        leg.media.is_even();
        leg.hang_up().await;
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        let (heard, packets) = (leg.media.sound(), leg.media.heard());
        assert!(packets.iter().all(|packet| packet.payload_type == 8), "PCMA was answered");

        let (sound, _) = recorded(&desk, &room).await;
        let calls = sound.loud(Side::Callee, -40.0, 0.3);
        assert_eq!(calls.len(), 1, "without a hole: {sound:?}");
        let tone = sound.loud(Side::Agent, -40.0, 0.3).into_iter().find(|part| {
            part.end - part.start > 0.5 && {
                let middle = (part.start + part.end) / 2.0;
                (sound.pitch(Side::Agent, middle..middle + 0.2) / 660.0 - 1.0).abs() < 0.02
            }
        });
        assert!(tone.is_some(), "{sound:?}");
        // From the first word on, and all of it; pauses may be a little longer or shorter.
        let voiced = |sound: &Sound| {
            // A frame that comes late on a busy machine does not make two words of one.
            let parts = sound.loud(Side::Agent, -45.0, 0.2);
            let mut lengths = parts.into_iter().map(|part| part.end - part.start);
            let first = lengths.next().unwrap();
            (first, first + lengths.sum::<f64>())
        };
        let ((first, all), (first_kept, all_kept)) = (voiced(&heard), voiced(&sound));
        assert!((first - first_kept).abs() < 0.15, "{first} {first_kept}: {heard:?} {sound:?}");
        // The agent speaks on while the callee hangs up.
        assert!((-0.2..0.7).contains(&(all_kept - all)), "{all} {all_kept}: {heard:?} {sound:?}");
        let mut at = calls[0].start + 0.5;
        while at + 0.5 < calls[0].end {
            let pitch = sound.pitch(Side::Callee, at..at + 0.5);
            assert!((pitch / 440.0 - 1.0).abs() < 0.02, "{pitch} Hz at {at:.2}");
            at += 1.0;
        }
        let media = &record["media"];
        assert!(media["packets_received"].as_u64().unwrap() > 100, "{record}");
        assert!(media["packets_sent"].as_u64().unwrap() > 100, "{record}");
        assert_eq!(media["packets_lost"], 0, "{record}");
    })
    .await;
}

/// 183 with sound: it is heard in the room, but nobody speaks into it; the 200 has another address.
#[tokio::test]
async fn early_media() {
    by_ear(async |stack| {
        let bridge = Bridge::shared().await;
        let callee = Callee::start(Transport::Tcp).await;
        let nobody = json!({"agent_name": NOBODY});
        let desk = stack.exotel(bridge, &callee.address(), nobody).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319242").await;
        let early = outdial_tests::Media::start();
        let sdp = leg.sdp_with(early.port(), "8 101", "a=rtpmap:8 PCMA/8000\r\n", "sendrecv");
        leg.respond(&leg.invite, (183, "Session Progress"), &[], Some(&sdp)).await;
        early.speak_to(leg.invite.media_address().unwrap(), Law::Pcma);
        early.say(Say::Tone(300.0));
        desk.reaches(&room, "ringing").await;
        let sdp = leg.sdp(Law::Pcmu, "sendrecv");
        leg.answer_with(Some(&sdp)).await;
        leg.media.speak_to(leg.invite.media_address().unwrap(), Law::Pcmu);
        leg.media.say(Say::Tone(500.0));
        leg.media.hears(50).await;
        assert_eq!(early.heard().len(), 0, "nothing went to the address of the 183");
        assert!(leg.media.heard().iter().all(|packet| packet.payload_type == 0));
        leg.hang_up().await;
        stack.ends(&desk, &room, HUNG_UP).await;
        let (sound, _) = recorded(&desk, &room).await;
        let parts = sound.loud(Side::Callee, -40.0, 0.1);
        let last = parts.last().expect("a tone").end;
        let pitch = sound.pitch(Side::Callee, last - 0.4..last - 0.1);
        assert!((pitch / 500.0 - 1.0).abs() < 0.02, "{pitch} Hz: {sound:?}");
    })
    .await;
}

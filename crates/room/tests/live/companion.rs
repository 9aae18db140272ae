//! A phone's socket with its turns on the media thread, and the digits that phones dial.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use outdial_room::{
    AudioCodec, Companion, Publication, PublishOptions, RoomEvent, RtpFrame, RtpPacket,
    RtpSource as _, Turn,
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::guest::Guest;
use crate::judge::Judge;
use crate::stack::{Place, seat};
use crate::tone::{Ear, Tone};

/// A packet between the phone and its line: a number, and a payload.
const NUMBER: usize = 4;

/// Carries the phone's packets into the room, and those of a track to the phone.
struct Line {
    socket: UdpSocket,
    publication: Publication,
    /// The phone, once it was heard.
    phone: Option<SocketAddr>,
    from_room: mpsc::Receiver<Vec<u8>>,
}

impl Companion for Line {
    fn receive(&mut self, turn: &mut Turn<'_>) {
        turn.read(&self.socket, &mut |from, bytes| {
            self.phone = Some(from);
            let (number, payload) = bytes.split_at(NUMBER);
            let number = u32::from_be_bytes(number.try_into().unwrap());
            self.publication.send(RtpFrame {
                payload: Arc::from(payload),
                timestamp: number * 160,
                marker: number == 0,
                level: Some(-15),
            });
        });
    }

    fn send(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..turn.ticks() {
            let Ok(packet) = self.from_room.try_recv() else { return };
            if let Some(phone) = self.phone {
                self.socket.send_to(&packet, phone).unwrap();
            }
        }
    }
}

/// Gives the packets of a track to the line.
fn to_line() -> (impl FnMut(&RtpPacket<'_>) + Send, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel();
    let sink = move |packet: &RtpPacket<'_>| {
        let number = (packet.sequence as u32).to_be_bytes();
        // The line may be gone already.
        let _ = sender.send([&number, packet.payload].concat());
    };
    (sink, receiver)
}

/// A phone that plays a tone to its line until it is dropped, and listens.
fn phone(line: SocketAddr) -> (Ear, tokio::task::JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(line).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = Arc::new(tokio::net::UdpSocket::from_std(socket).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    let mouth = Arc::clone(&socket);
    tasks.spawn(async move {
        let mut tone = Tone::new(AudioCodec::Pcmu, 440.0);
        let mut pace = interval(Duration::from_millis(20));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0u32.. {
            pace.tick().await;
            let payload = tone.pull(Instant::now()).unwrap().payload;
            let packet = [&number.to_be_bytes()[..], &payload].concat();
            mouth.send(&packet).await.unwrap();
        }
    });
    let (ear, mut sink) = Ear::new();
    tasks.spawn(async move {
        let (mut packet, mut last, mut gaps) = ([0; 2048], None, Vec::new());
        loop {
            let length = socket.recv(&mut packet).await.unwrap();
            let now = Instant::now();
            gaps.extend(last.replace(now).map(|last| now - last));
            if gaps.len() == 250 {
                gaps.sort();
                println!("from the line: a packet every {:?}, p99 {:?}", gaps[125], gaps[247]);
            }
            let (number, payload) = packet[..length].split_at(NUMBER);
            sink.packet(&RtpPacket {
                ssrc: 1,
                sequence: u64::from(u32::from_be_bytes(number.try_into().unwrap())),
                timestamp: 0,
                codec: AudioCodec::Opus,
                marker: false,
                arrived_at: now,
                payload,
            });
        }
    });
    (ear, tasks)
}

#[tokio::test]
async fn a_phone_talks_with_the_room() {
    let _seat = seat().await;
    let place = Place::shared("line");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    let options = PublishOptions { codec: AudioCodec::Pcmu, ..Default::default() };
    let publication = guest.room.publish(options).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let (sink, from_room) = to_line();
    guest.room.attach(Box::new(Line { socket, publication, phone: None, from_room }));
    let (ear, _phone) = phone(address);
    judge.plays(1000.0).await;
    guest.room.subscribe(&guest.track_of("judge").await, Box::new(sink)).unwrap();
    let heard = judge.hears(0, "guest", 5, |heard| heard.is_clean(440.0)).await;
    println!("from the phone: {heard:?}");
    let heard = ear.hears(0, 5, |heard| heard.is_clean(1000.0)).await;
    println!("to the phone: {heard:?}");
    assert!(ear.is_whole(), "{} lost; {:?}", ear.lost(), guest.room.stats());
    assert_eq!(guest.room.stats().dropped_frames, 0);
}

#[tokio::test]
async fn digits_go_both_ways() {
    let _seat = seat().await;
    let place = Place::shared("digits");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    // libwebrtc's SDK drops digits of those it has not heard of yet.
    judge.told(0, "participant_connected", |e| e["from"] == "guest").await;
    for (code, digit) in [(5, "5"), (11, "#"), (12, "A")] {
        guest.room.send_dtmf(code, digit).await.unwrap();
        let fits = |e: &serde_json::Value| {
            e["from"] == "guest" && e["code"] == code && e["digit"] == digit
        };
        judge.told(0, "sip_dtmf_received", fits).await;
        judge.obeys("dtmf", json!({"code": code, "digit": digit})).await;
        let told = RoomEvent::Dtmf {
            participant_identity: "judge".to_owned(),
            code,
            digit: digit.to_owned(),
        };
        guest.told_of(&told, 0).await;
    }
}

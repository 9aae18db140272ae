//! What the media of a call costs, without sockets: phone to room and room to phone.
//!
//! `cargo run --release -p outdial-bridge --features measure --example media`

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opus::{Application, Bitrate, Channels, Encoder};
use outdial_room::{AudioCodec, RtpPacket, RtpSink};

use crate::g711::{Codec, FRAME};
use crate::mixer::{Mixer, Track};
use crate::rtp::{RtpLeg, RtpSettings};
use crate::sdp::{Direction, Payload, Remote};
use crate::srtp::{MasterKey, MediaKeys, SrtpContext, Suite};

const TURN: Duration = Duration::from_millis(20);
/// Turns of a batch: 4 s of a call.
const BATCH: u32 = 200;
/// The quickest of so many batches counts: others share the machine.
const BATCHES: u32 = 60;

/// Measures, and prints what it finds.
pub fn run() {
    println!("{:44} {:>9} {:>13}", "20 ms of a call", "µs", "% of a core");
    let speech = speech();
    for codec in [Codec::Pcma, Codec::Pcmu] {
        let coded = |at: usize| speech[at % speech.len()];
        measure(&format!("encode {}", codec.name()), |n| {
            let frame: [u8; FRAME] =
                std::array::from_fn(|at| codec.encode(coded(n as usize * FRAME + at)));
            black_box(frame);
        });
    }
    let frame = [0x2A; FRAME];
    measure("level", |_| {
        black_box(Codec::Pcma.level(black_box(&frame)));
    });
    receive("phone to room", false);
    receive("phone to room, SRTP", true);
    let (mono, stereo) = (opus(&speech, Channels::Mono), opus(&speech, Channels::Stereo));
    let g711: Vec<Vec<u8>> = speech
        .chunks(FRAME)
        .map(|frame| frame.iter().map(|&sample| Codec::Pcma.encode(sample)).collect())
        .collect();
    type Tracks<'a> = &'a [(AudioCodec, &'a [Vec<u8>])];
    let cases: [(&str, Tracks<'_>, bool); 7] = [
        ("room to phone, nobody speaks", &[], false),
        ("room to phone, G.711 passed through", &[(AudioCodec::Pcma, &g711)], false),
        ("room to phone, G.711 of the other law", &[(AudioCodec::Pcmu, &g711)], false),
        ("room to phone, Opus", &[(AudioCodec::Opus, &mono)], false),
        ("room to phone, Opus of two channels", &[(AudioCodec::Opus, &stereo)], false),
        ("room to phone, Opus, SRTP", &[(AudioCodec::Opus, &mono)], true),
        (
            "room to phone, Opus and G.711 mixed",
            &[(AudioCodec::Opus, &mono), (AudioCodec::Pcma, &g711)],
            false,
        ),
    ];
    for (name, tracks, encrypted) in cases {
        send(name, tracks, encrypted);
    }
}

fn measure(name: &str, mut turn: impl FnMut(u32)) {
    let batch = |number: u32| {
        let start = Instant::now();
        (0..BATCH).for_each(|n| turn(number * BATCH + n));
        start.elapsed()
    };
    let quickest = (0..BATCHES).map(batch).min().unwrap_or_default();
    let micros = quickest.as_secs_f64() * 1e6 / f64::from(BATCH);
    println!("{name:44} {micros:9.2} {:13.4}", micros * 50.0 / 1e6 * 100.0);
}

fn keys() -> (MediaKeys, MediaKeys) {
    let (ours, theirs) = (MasterKey::generate(Suite::Sha1_80), MasterKey::generate(Suite::Sha1_80));
    let theirs_view = MediaKeys { send: theirs.clone(), receive: ours.clone() };
    (MediaKeys { send: ours, receive: theirs }, theirs_view)
}

fn leg(now: Instant, crypto: Option<MediaKeys>) -> (RtpLeg, SocketAddr) {
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let mut leg = RtpLeg::new(&RtpSettings::random(), now);
    let remote = Remote {
        address: Some(peer),
        codec: Codec::Pcma,
        payload_type: 8,
        telephone_event: Some(101),
        comfort_noise: None,
        direction: Direction::SendRecv,
        ptime: 20,
        rtcp: None,
        rtcp_mux: true,
        crypto,
        accepts: vec![(8, Payload::Audio(Codec::Pcma)), (101, Payload::TelephoneEvent)],
    };
    leg.set_remote(&remote, &[], now).unwrap();
    leg.answered(now);
    (leg, peer)
}

fn receive(name: &str, encrypted: bool) {
    let (ours, theirs) = keys();
    let mut now = Instant::now();
    let (mut leg, peer) = leg(now, encrypted.then_some(ours));
    let mut theirs = encrypted.then(|| SrtpContext::new(&theirs).unwrap());
    let packets: Vec<Vec<u8>> = (0..BATCH * BATCHES)
        .map(|n| {
            let mut packet = vec![0x80, 8];
            packet.extend((n as u16).to_be_bytes());
            packet.extend((n * FRAME as u32).to_be_bytes());
            packet.extend([1, 2, 3, 4]);
            packet.extend([0x2A; FRAME]);
            if let Some(srtp) = &mut theirs {
                srtp.protect_rtp(&mut packet).unwrap();
            }
            packet
        })
        .collect();
    let mut datagram = Vec::new();
    measure(name, |n| {
        now += TURN;
        datagram.clear();
        datagram.extend_from_slice(&packets[n as usize]);
        leg.receive(peer, &mut datagram, now, &mut |audio| {
            black_box(audio);
        });
        leg.tick(now, &mut |_, _, bytes| {
            black_box(bytes);
        });
    });
    assert_eq!(leg.quality().packets_received, u64::from(BATCH * BATCHES));
}

fn send(name: &str, tracks: &[(AudioCodec, &[Vec<u8>])], encrypted: bool) {
    let mut now = Instant::now();
    let (mut leg, _) = leg(now, encrypted.then(|| keys().0));
    let mixer = Mixer::new();
    let mut sinks: Vec<Track> = tracks.iter().map(|_| mixer.track()).collect();
    measure(name, |n| {
        now += TURN;
        for (sink, (codec, packets)) in sinks.iter_mut().zip(tracks) {
            sink.packet(&RtpPacket {
                ssrc: 1,
                sequence: n.into(),
                timestamp: n * codec.clock_rate() / 50,
                codec: *codec,
                marker: false,
                arrived_at: now,
                payload: &packets[n as usize % packets.len()],
            });
        }
        let mut frame = [0; FRAME];
        black_box(mixer.frame(Codec::Pcma, &mut frame));
        leg.send_audio(&frame, false, now, &mut |_, _, bytes| {
            black_box(bytes);
        });
        leg.tick(now, &mut |_, _, bytes| {
            black_box(bytes);
        });
    });
}

/// Ten seconds that are as hard as speech: a voice of many harmonics that rises and falls, and hisses.
fn speech() -> Vec<i16> {
    let mut noise = 1_u32;
    let mut phase = 0.0_f32;
    (0..80_000)
        .map(|n| {
            let second = n as f32 / 8_000.0;
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let hiss = noise as f32 / u32::MAX as f32 - 0.5;
            phase += 120.0 + 40.0 * (second * 2.0).sin();
            let turn = std::f32::consts::TAU * phase / 8_000.0;
            let voice: f32 = (1..20).map(|k| (turn * k as f32).sin() / k as f32).sum();
            let loud = (second * 9.0).sin().max(0.0);
            (6_000.0 * (voice * loud + hiss * (1.0 - loud) * 0.3)) as i16
        })
        .collect()
}

fn opus(speech: &[i16], channels: Channels) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(48_000, channels, Application::Voip).unwrap();
    encoder.set_bitrate(Bitrate::Bits(32_000)).unwrap();
    let copies = if channels == Channels::Mono { 6 } else { 12 };
    let wide = |frame: &[i16]| -> Vec<i16> {
        frame.iter().flat_map(|&sample| std::iter::repeat_n(sample, copies)).collect()
    };
    speech.chunks(FRAME).map(|frame| encoder.encode_vec(&wide(frame), 1_500).unwrap()).collect()
}

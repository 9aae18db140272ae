//! Virtual time, and datagrams in tables.

mod audio;
mod digits;
mod fuzz;
mod latch;
mod rtcp;
mod srtp;
mod watch;

use super::*;
use crate::g711::FRAME;
use crate::sdp::{Direction, Remote};
use std::time::{Duration, Instant, UNIX_EPOCH};

const PEER: &str = "192.0.2.10:4000";
const SSRC: u32 = 0xBEEF;

/// What was heard, without its payload's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    codec: Codec,
    sequence: u16,
    timestamp: u32,
    stream: u32,
    marker: bool,
    bytes: usize,
    level: i8,
}

struct Rig {
    leg: RtpLeg,
    now: Instant,
    heard: Vec<Heard>,
    sent: Vec<(Channel, SocketAddr, Vec<u8>)>,
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn remote() -> Remote {
    Remote::new(address(PEER), Codec::Pcma)
}

fn settings() -> RtpSettings {
    RtpSettings {
        ssrc: 0x0A0A,
        sequence: 0xFFFE,
        timestamp: u32::MAX - 100,
        cname: "someone".into(),
        wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        no_media: Duration::from_secs(60),
        silence: Duration::from_secs(30),
    }
}

fn packet(payload_type: u8, ssrc: u32, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// 20 ms of A-law, the `n`th of a stream.
fn audio(ssrc: u32, n: u16) -> Vec<u8> {
    packet(8, ssrc, n, u32::from(n) * FRAME as u32, &[0x2A; FRAME])
}

impl Rig {
    /// Nothing was said yet.
    fn new() -> Self {
        let now = Instant::now();
        Self { leg: RtpLeg::new(&settings(), now), now, heard: Vec::new(), sent: Vec::new() }
    }

    /// The peer's SDP came in a 183.
    fn early() -> Self {
        let mut rig = Self::new();
        rig.remote(&remote());
        rig
    }

    /// The call is answered, and a while ago.
    fn answered() -> Self {
        let mut rig = Self::early();
        rig.leg.answered(rig.now);
        rig.pass(300);
        rig
    }

    fn remote(&mut self, remote: &Remote) {
        self.leg.set_remote(remote, &["198.51.100.0/24".parse().unwrap()], self.now).unwrap();
    }

    fn pass(&mut self, time: u64) {
        self.now += millis(time);
    }

    /// How many packets were heard of this one.
    fn receive_from(&mut self, from: &str, mut datagram: Vec<u8>) -> usize {
        let before = self.heard.len();
        let heard = &mut self.heard;
        self.leg.receive(address(from), &mut datagram, self.now, &mut |audio| {
            heard.push(Heard {
                codec: audio.codec,
                sequence: audio.sequence,
                timestamp: audio.timestamp,
                stream: audio.stream,
                marker: audio.marker,
                bytes: audio.payload.len(),
                level: audio.level,
            });
        });
        self.heard.len() - before
    }

    fn receive(&mut self, datagram: Vec<u8>) -> usize {
        self.receive_from(PEER, datagram)
    }

    /// So many packets, 20 ms apart; returns how many were heard.
    fn stream_from(&mut self, from: &str, ssrc: u32, numbers: std::ops::Range<u16>) -> usize {
        let mut heard = 0;
        for n in numbers {
            heard += self.receive_from(from, audio(ssrc, n));
            self.pass(20);
        }
        heard
    }

    fn send(&mut self) {
        let sent = &mut self.sent;
        self.leg.send_audio(&[0xD5; FRAME], false, self.now, &mut |channel, to, bytes| {
            sent.push((channel, to, bytes.to_vec()));
        });
    }

    fn tick(&mut self) {
        let sent = &mut self.sent;
        self.leg.tick(self.now, &mut |channel, to, bytes| {
            sent.push((channel, to, bytes.to_vec()));
        });
    }

    /// So long, with a frame and a tick for each 20 ms.
    fn talk(&mut self, time: u64) {
        for _ in 0..time / 20 {
            self.pass(20);
            self.send();
            self.tick();
        }
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.leg.next_event()).collect()
    }

    /// Where RTP was sent to since the last time.
    fn sent_to(&mut self) -> Vec<SocketAddr> {
        let rtp = self.sent.drain(..).filter(|(channel, ..)| *channel == Channel::Rtp);
        let mut targets: Vec<_> = rtp.map(|(_, to, _)| to).collect();
        targets.dedup();
        targets
    }
}

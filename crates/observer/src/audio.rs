//! The voices of a call, on their way to the one sink.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use outdial_domain::Speaker;
use outdial_domain::ports::{AudioCodec, AudioPacket, AudioSink};
use outdial_room::{RtpPacket, RtpSink};

/// The sink of a call, shared by its tracks. It is dropped with the last of them and this.
#[derive(Clone)]
pub struct Audio(Arc<Shared>);

struct Shared {
    // Held for one write only. The tracks of a room are served by one thread, so nobody waits.
    sink: Mutex<Box<dyn AudioSink>>,
    streams: AtomicU32,
}

impl Audio {
    /// Shares a sink.
    pub fn new(sink: Box<dyn AudioSink>) -> Self {
        Self(Arc::new(Shared { sink: Mutex::new(sink), streams: AtomicU32::new(0) }))
    }

    /// Where the packets of one track go. A change of SSRC or codec begins another stream.
    pub fn track(&self, speaker: Speaker) -> Box<dyn RtpSink> {
        Box::new(Track { shared: Arc::clone(&self.0), speaker, stream: None })
    }
}

impl fmt::Debug for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audio")
    }
}

/// One track.
struct Track {
    shared: Arc<Shared>,
    speaker: Speaker,
    stream: Option<Stream>,
}

/// What belongs together: another source or codec begins another stream.
#[derive(Clone, Copy)]
struct Stream {
    ssrc: u32,
    codec: AudioCodec,
    number: u32,
}

impl Track {
    fn stream_of(&mut self, packet: &RtpPacket<'_>) -> Stream {
        let codec = match packet.codec {
            outdial_room::AudioCodec::Opus => AudioCodec::Opus,
            outdial_room::AudioCodec::Pcmu => AudioCodec::Pcmu,
            outdial_room::AudioCodec::Pcma => AudioCodec::Pcma,
        };
        let known = self.stream.filter(|s| s.ssrc == packet.ssrc && s.codec == codec);
        *self.stream.insert(known.unwrap_or_else(|| {
            let number = self.shared.streams.fetch_add(1, Ordering::Relaxed);
            Stream { ssrc: packet.ssrc, codec, number }
        }))
    }
}

impl RtpSink for Track {
    fn packet(&mut self, packet: &RtpPacket<'_>) {
        let stream = self.stream_of(packet);
        let mut sink = self.shared.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write(&AudioPacket {
            speaker: self.speaker,
            stream: stream.number,
            codec: stream.codec,
            // RTP's own number is the low half of the extended one.
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp,
            arrived_at: packet.arrived_at,
            payload: packet.payload,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    struct Tape(mpsc::Sender<(Speaker, u32, u16, usize)>);

    impl AudioSink for Tape {
        fn write(&mut self, packet: &AudioPacket<'_>) {
            let length = packet.payload.len();
            self.0.send((packet.speaker, packet.stream, packet.sequence, length)).unwrap();
        }
    }

    #[test]
    fn streams_are_told_apart() {
        use outdial_room::AudioCodec::{Opus, Pcmu};
        let (sender, tape) = mpsc::channel();
        let audio = Audio::new(Box::new(Tape(sender)));
        let (mut user, mut agent) = (audio.track(Speaker::User), audio.track(Speaker::Agent));
        let packet = |ssrc, codec, sequence, payload| RtpPacket {
            ssrc,
            sequence,
            timestamp: 0,
            codec,
            marker: false,
            arrived_at: Instant::now(),
            payload,
        };
        user.packet(&packet(7, Opus, 65_535, b"abc"));
        user.packet(&packet(7, Opus, 65_536, b""));
        agent.packet(&packet(7, Opus, 5, b"abc"));
        user.packet(&packet(7, Pcmu, 65_537, b"abc"));
        user.packet(&packet(8, Pcmu, 1, b"abc"));
        agent.packet(&packet(7, Opus, 6, b"abc"));
        let (u, a) = (Speaker::User, Speaker::Agent);
        let expect = [
            (u, 0, 65_535, 3),
            (u, 0, 0, 0),
            (a, 1, 5, 3),
            (u, 2, 1, 3),
            (u, 3, 1, 3),
            (a, 1, 6, 3),
        ];
        assert_eq!(tape.try_iter().collect::<Vec<_>>(), expect);
        // The sink goes when the last track and the call are gone.
        drop((user, audio));
        assert!(matches!(tape.try_recv(), Err(mpsc::TryRecvError::Empty)));
        drop(agent);
        assert!(matches!(tape.try_recv(), Err(mpsc::TryRecvError::Disconnected)));
    }
}

//! Turns spoken lines into packets of audio.

use std::time::Duration;

use outdial_domain::Speaker;
use outdial_domain::ports::{AudioCodec, AudioPacket, AudioSink};
use tokio::time::Instant;

use crate::speech::Utterance;
use crate::voice::{Hum, SAMPLES};

/// How much time a packet holds.
const PACKET: Duration = Duration::from_millis(20);
/// A line takes no more packets: 60 s, three times the longest at the pace of life. In slow motion
/// the rest of it is silent.
const MOST_PACKETS: usize = 3000;

/// Writes what is said in a room to a sink, as if it came by RTP.
pub(crate) struct Recorder {
    sink: Box<dyn AudioSink>,
    /// What was to be heard before is lost; timestamps count from here.
    since: Instant,
    user: Stream,
    agent: Stream,
}

/// The RTP stream of one speaker.
struct Stream {
    id: u32,
    sequence: u16,
    /// The first moment that is not written yet, in samples. Wider than a timestamp, which wraps.
    next: u64,
}

impl Recorder {
    /// Records from now on; `id` tells recorders apart.
    pub(crate) fn new(sink: Box<dyn AudioSink>, id: u32) -> Self {
        let stream = |odd| Stream { id: id.wrapping_mul(2) | odd, sequence: 0, next: 0 };
        Self { sink, since: Instant::now(), user: stream(0), agent: stream(1) }
    }

    /// Writes a line as far as it has been spoken, and one packet at least. The packets come late,
    /// all at once, but say when each would have come: no timer is needed.
    pub(crate) fn write(&mut self, utterance: &Utterance) {
        let speaker = utterance.speaker();
        let stream = match speaker {
            Speaker::User => &mut self.user,
            Speaker::Agent => &mut self.agent,
        };
        let packets = utterance.spoken().as_millis() / PACKET.as_millis();
        let packets = usize::try_from(packets).unwrap_or(MOST_PACKETS).clamp(1, MOST_PACKETS);
        let mut hum = Hum::new(speaker, utterance.text(), packets);
        let mut at = utterance.began();
        for _ in 0..packets {
            let payload = hum.packet();
            // A line may have been begun before anybody listened.
            if at >= self.since {
                self.sink.write(&AudioPacket {
                    speaker,
                    stream: stream.id,
                    codec: AudioCodec::Pcmu,
                    sequence: stream.sequence,
                    timestamp: stream.timestamp(at - self.since),
                    arrived_at: at.into_std(),
                    payload: &payload,
                });
                stream.sequence = stream.sequence.wrapping_add(1);
            }
            at += PACKET;
        }
    }
}

impl Stream {
    /// The RTP timestamp of the next packet, which begins at `offset`. It goes on in silence, and
    /// never back: lines that take no time queue up behind each other.
    fn timestamp(&mut self, offset: Duration) -> u32 {
        let rate = u128::from(AudioCodec::Pcmu.clock_rate());
        let samples = u64::try_from(offset.as_nanos() * rate / 1_000_000_000).unwrap_or(u64::MAX);
        let samples = samples.max(self.next);
        self.next = samples.saturating_add(SAMPLES as u64);
        // The lower half is the timestamp, as the standard wants it.
        samples as u32
    }
}

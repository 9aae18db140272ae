//! Virtual speakers; a turn is a pull.

mod mixing;
mod time;

use super::*;
use opus::{Application, Bitrate, Channels, Encoder};
use outdial_room::AudioCodec;
use std::time::Instant;

const LOUD: i16 = 8_000;

/// One who speaks.
struct Speaker {
    track: Track,
    codec: AudioCodec,
    ssrc: u32,
    sequence: u64,
    timestamp: u32,
}

impl Speaker {
    fn new(mixer: &Mixer, codec: AudioCodec) -> Self {
        // Numbers that are about to wrap.
        let timestamp = u32::MAX - 2_000;
        Self { track: mixer.track(), codec, ssrc: 1, sequence: 65_530, timestamp }
    }

    fn say(&mut self, payload: &[u8], samples: u32) {
        self.put(payload);
        self.lose(samples);
    }

    fn put(&mut self, payload: &[u8]) {
        let Self { codec, ssrc, sequence, timestamp, .. } = *self;
        let arrived_at = Instant::now();
        self.track.packet(&RtpPacket {
            ssrc,
            sequence,
            timestamp,
            codec,
            marker: false,
            arrived_at,
            payload,
        });
    }

    /// A packet is on its way and does not come.
    fn lose(&mut self, samples: u32) {
        self.sequence += 1;
        self.pause(samples);
    }

    /// Nothing is said for so long.
    fn pause(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples * self.codec.clock_rate() / 8_000);
    }
}

fn pull(mixer: &Mixer, codec: Codec) -> (Voice, [u8; FRAME]) {
    let mut frame = [0; FRAME];
    (mixer.frame(codec, &mut frame), frame)
}

fn peak(codec: Codec, frame: &[u8]) -> u16 {
    frame.iter().map(|&code| codec.decode(code).unsigned_abs()).max().unwrap()
}

/// How loud a tone of that many periods in 20 ms is, of a frame.
fn tone_in(codec: Codec, frame: &[u8], periods: f64) -> f64 {
    let (mut a, mut b) = (0.0, 0.0);
    for (n, &code) in frame.iter().enumerate() {
        let at = std::f64::consts::TAU * periods * n as f64 / FRAME as f64;
        a += f64::from(codec.decode(code)) * at.cos();
        b += f64::from(codec.decode(code)) * at.sin();
    }
    2.0 * (a * a + b * b).sqrt() / FRAME as f64
}

/// Packets of Opus with a tone, as agents send it: 48 kHz.
struct Tone {
    encoder: Encoder,
    at: usize,
    hertz: f64,
    channels: usize,
}

impl Tone {
    fn new(hertz: f64, channels: Channels) -> Self {
        let mut encoder = Encoder::new(48_000, channels, Application::Voip).unwrap();
        encoder.set_bitrate(Bitrate::Bits(32_000)).unwrap();
        encoder.set_inband_fec(true).unwrap();
        encoder.set_packet_loss_perc(20).unwrap();
        let channels = if channels == Channels::Mono { 1 } else { 2 };
        Self { encoder, at: 0, hertz, channels }
    }

    fn next(&mut self, samples: u32) -> Vec<u8> {
        let count = samples as usize * 6;
        let step = std::f64::consts::TAU * self.hertz / 48_000.0;
        let sample = |at: usize| (f64::from(LOUD) * (at as f64 * step).sin()) as i16;
        let input: Vec<i16> = (self.at..self.at + count)
            .flat_map(|at| std::iter::repeat_n(sample(at), self.channels))
            .collect();
        self.at += count;
        self.encoder.encode_vec(&input, 1_500).unwrap()
    }
}

//! Tones out, in the three codecs, and ears in.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use outdial_room::{AudioCodec, RtpFrame, RtpPacket, RtpSink, RtpSource};

use crate::heard::{AMPLITUDE, FRAME, Heard};
use crate::log::Log;

const RATE: u32 = 8000;

/// What a server that gets no time to run leaves out by itself: its output then has gaps that what
/// came in had not. Seconds without a hole are asked for beside this.
pub(crate) const SKIPPED: u64 = 12;

/// A source that plays a tone.
pub(crate) struct Tone {
    codec: AudioCodec,
    hz: f64,
    amplitude: f64,
    /// Samples at 8 kHz so far.
    played: u32,
    encoder: opus::Encoder,
}

impl Tone {
    pub(crate) fn new(codec: AudioCodec, hz: f64) -> Self {
        let encoder =
            opus::Encoder::new(RATE, opus::Channels::Mono, opus::Application::Voip).unwrap();
        Self { codec, hz, amplitude: AMPLITUDE, played: 0, encoder }
    }

    pub(crate) fn with_amplitude(self, amplitude: f64) -> Self {
        Self { amplitude, ..self }
    }
}

impl RtpSource for Tone {
    fn pull(&mut self, _: Instant) -> Option<RtpFrame> {
        let first = self.played;
        let sample = |n: u32| {
            let turns = self.hz * f64::from((first + n) % RATE) / f64::from(RATE);
            (self.amplitude * (TAU * turns).sin()) as i16
        };
        let samples: Vec<i16> = (0..FRAME as u32).map(sample).collect();
        self.played += FRAME as u32;
        let payload: Vec<u8> = match self.codec {
            AudioCodec::Pcmu => samples.iter().map(|s| ulaw(*s)).collect(),
            AudioCodec::Pcma => samples.iter().map(|s| alaw(*s)).collect(),
            AudioCodec::Opus => self.encoder.encode_vec(&samples, 400).unwrap(),
        };
        Some(RtpFrame {
            payload: payload.into(),
            timestamp: first * (self.codec.clock_rate() / RATE),
            marker: first == 0,
            level: Some(-15),
        })
    }
}

/// Listens to one track.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    /// The seconds heard.
    pub(crate) seconds: Arc<Log<Heard>>,
    /// Packets that came.
    pub(crate) packets: Arc<AtomicU64>,
    /// Packets that never came, inside a stream.
    pub(crate) lost: Arc<AtomicU64>,
    /// Codec of the last packet.
    codec: Arc<std::sync::Mutex<Option<AudioCodec>>>,
}

/// A packet on its way to the thread that decodes: the media thread must not.
struct Packet {
    ssrc: u32,
    sequence: u64,
    codec: AudioCodec,
    payload: Vec<u8>,
}

impl Ear {
    /// An ear, and the sink that feeds it.
    pub(crate) fn new() -> (Self, Box<dyn RtpSink>) {
        let ear = Self {
            seconds: Arc::new(Log::new()),
            packets: Arc::default(),
            lost: Arc::default(),
            codec: Arc::default(),
        };
        let (sender, receiver) = mpsc::channel();
        let inner = ear.clone();
        // It ends when the sink is dropped.
        std::thread::spawn(move || inner.run(&receiver));
        let sink = move |packet: &RtpPacket<'_>| {
            // The ear may have had enough.
            let _ = sender.send(Packet {
                ssrc: packet.ssrc,
                sequence: packet.sequence,
                codec: packet.codec,
                payload: packet.payload.to_vec(),
            });
        };
        (ear, Box::new(sink))
    }

    /// Waits until so many seconds in a row are as `fits` wants them.
    pub(crate) async fn hears(
        &self,
        from: usize,
        seconds: usize,
        fits: impl Fn(&Heard) -> bool,
    ) -> Vec<Heard> {
        let what = format!("{seconds} s of a tone");
        self.seconds.run_of(&what, from, seconds, |heard| fits(heard).then_some(*heard)).await
    }

    pub(crate) fn codec(&self) -> Option<AudioCodec> {
        *self.codec.lock().unwrap()
    }

    /// Nothing of importance is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost() <= SKIPPED
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    fn run(&self, packets: &mpsc::Receiver<Packet>) {
        let mut decoder = opus::Decoder::new(RATE, opus::Channels::Mono).unwrap();
        let mut samples: VecDeque<i16> = VecDeque::new();
        // Source and the sequence number that comes next.
        let mut expected: Option<(u32, u64)> = None;
        while let Ok(packet) = packets.recv() {
            self.packets.fetch_add(1, Relaxed);
            *self.codec.lock().unwrap() = Some(packet.codec);
            match expected {
                Some((ssrc, next)) if ssrc == packet.ssrc => {
                    let Some(missing) = packet.sequence.checked_sub(next) else {
                        // Late: it was counted as lost before.
                        self.lost.fetch_sub(1, Relaxed);
                        continue;
                    };
                    self.lost.fetch_add(missing, Relaxed);
                    let silence = usize::try_from(missing.min(500)).unwrap() * FRAME;
                    samples.extend(std::iter::repeat_n(0, silence));
                }
                _ => decoder = opus::Decoder::new(RATE, opus::Channels::Mono).unwrap(),
            }
            expected = Some((packet.ssrc, packet.sequence + 1));
            samples.extend(decode(&mut decoder, &packet));
            while samples.len() >= RATE as usize {
                let second: Vec<i16> = samples.drain(..RATE as usize).collect();
                self.seconds.push(Heard::measure(&second));
            }
        }
    }
}

fn decode(decoder: &mut opus::Decoder, packet: &Packet) -> Vec<i16> {
    match packet.codec {
        AudioCodec::Pcmu => packet.payload.iter().map(|b| ulaw_decode(*b)).collect(),
        AudioCodec::Pcma => packet.payload.iter().map(|b| alaw_decode(*b)).collect(),
        AudioCodec::Opus => {
            let mut samples = vec![0; 960];
            let length = decoder.decode(&packet.payload, &mut samples, false).unwrap_or(0);
            samples.truncate(length);
            samples
        }
    }
}

fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = 24 - magnitude.leading_zeros() as i32;
    !(sign | (exponent << 4) as u8 | ((magnitude >> (exponent + 3)) & 0xf) as u8)
}

fn ulaw_decode(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0xf) << 3) + 132) << ((byte & 0x70) >> 4);
    (if byte & 0x80 == 0 { magnitude - 132 } else { 132 - magnitude }) as i16
}

fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = i32::from(if sample < 0 { !sample } else { sample }) >> 4;
    let code = if magnitude < 16 {
        magnitude as u8
    } else {
        let exponent = 28 - magnitude.leading_zeros() as i32;
        ((exponent << 4) | ((magnitude >> (exponent - 1)) & 0xf)) as u8
    };
    (sign | code) ^ 0x55
}

fn alaw_decode(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = ((byte & 0x70) >> 4, i32::from(byte & 0xf));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    (if byte & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

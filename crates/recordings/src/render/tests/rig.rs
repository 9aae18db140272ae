//! Calls made by hand, and what is heard in their recordings.

use std::f64::consts::TAU;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use outdial_domain::Speaker;
use outdial_domain::ports::AudioCodec;

use crate::capture::testing::{Sent, session, write};
use crate::render::g711::{A_LAW, MU_LAW};
use crate::render::{RenderError, Rendered, render};

/// When the tests' captures begin.
pub(super) const STARTED: i64 = 1_790_000_000_000_000;
pub(super) const RATE: usize = 24_000;

/// A sound: loudness by time in seconds.
pub(super) type Sound = fn(f64) -> f64;

pub(super) fn tone(hertz: f64, time: f64) -> f64 {
    0.4 * (TAU * hertz * time).sin()
}

/// 40 ms of a tone at each full second.
pub(super) fn beep(hertz: f64, time: f64) -> f64 {
    if time.fract() < 0.04 { tone(hertz, time) } else { 0.0 }
}

/// Numbers that look random, and are the same every time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// From 0 to 1.
    pub(super) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64
    }
}

/// One stream of packets of 20 ms.
pub(super) struct Line {
    pub(super) speaker: Speaker,
    pub(super) codec: AudioCodec,
    pub(super) stream: u32,
    /// In seconds of the call.
    pub(super) from: f64,
    pub(super) until: f64,
    pub(super) sound: Sound,
    /// How much faster its clock runs, in parts per million.
    pub(super) ppm: f64,
    pub(super) first_sequence: u16,
    pub(super) first_timestamp: u32,
    pub(super) silence_sent: bool,
}

impl Line {
    pub(super) fn new(speaker: Speaker, codec: AudioCodec, until: f64, sound: Sound) -> Self {
        Self {
            speaker,
            codec,
            stream: 1,
            from: 0.0,
            until,
            sound,
            ppm: 0.0,
            first_sequence: 65_500,
            first_timestamp: u32::MAX - 100_000,
            silence_sent: true,
        }
    }

    /// The packets, which come without delay.
    pub(super) fn packets(&self) -> Vec<Sent> {
        let rate = self.codec.clock_rate();
        let samples = rate / 50;
        let channels = opus::Channels::Mono;
        let mut encoder = opus::Encoder::new(rate, channels, opus::Application::LowDelay).unwrap();
        encoder.set_complexity(0).unwrap();
        // The clock of the sender counts faster, so its 20 ms are over sooner.
        let second = 1.0 / (1.0 + self.ppm / 1e6);
        let count = ((self.until - self.from) / second * 50.0).round() as u32;
        let mut packets = Vec::new();
        // As the recording's encoder does it: when it has settled, silence is always the same.
        let (mut silence, mut settled) = (Vec::new(), 0);
        for at in 0..count {
            let sample_time = |sample: u32| {
                self.from + f64::from(at * samples + sample) / f64::from(rate) * second
            };
            let pcm: Vec<i16> = (0..samples)
                .map(|sample| ((self.sound)(sample_time(sample)) * 32_767.0) as i16)
                .collect();
            let silent = pcm.iter().all(|&sample| sample == 0);
            let payload = match self.codec {
                AudioCodec::Opus if silent && settled > 2 => silence.clone(),
                AudioCodec::Opus => {
                    silence = encoder.encode_vec(&pcm, 1_276).unwrap();
                    settled = if silence.len() < 5 { settled + 1 } else { 0 };
                    silence.clone()
                }
                AudioCodec::Pcmu => pcm.into_iter().map(mu_law).collect(),
                AudioCodec::Pcma => pcm.into_iter().map(a_law).collect(),
            };
            if silent && !self.silence_sent {
                continue;
            }
            packets.push(Sent {
                speaker: self.speaker,
                stream: self.stream,
                codec: self.codec,
                sequence: self.first_sequence.wrapping_add(at as u16),
                timestamp: self.first_timestamp.wrapping_add(at * samples),
                arrival: (sample_time(0) * 1e6).round() as u64,
                payload,
            });
        }
        if !self.silence_sent {
            // Without loss, sequence numbers follow each other over a silence.
            for (packet, at) in packets.iter_mut().zip(0..) {
                packet.sequence = self.first_sequence.wrapping_add(at);
            }
        }
        packets
    }
}

fn mu_law(sample: i16) -> u8 {
    static CODES: LazyLock<Vec<u8>> = LazyLock::new(|| codes(&MU_LAW, 0xFF));
    CODES[usize::from(sample.cast_unsigned())]
}

fn a_law(sample: i16) -> u8 {
    static CODES: LazyLock<Vec<u8>> = LazyLock::new(|| codes(&A_LAW, 0xD5));
    CODES[usize::from(sample.cast_unsigned())]
}

/// The nearest code of every sample.
fn codes(table: &[i16; 256], zero: u8) -> Vec<u8> {
    let nearest = |sample: i16| {
        let far = |code: &u8| (i32::from(table[usize::from(*code)]) - i32::from(sample)).abs();
        if sample == 0 { zero } else { (0..=255).min_by_key(far).unwrap() }
    };
    (0..=u16::MAX).map(|sample| nearest(sample.cast_signed())).collect()
}

/// A recording, decoded again.
pub(super) struct Heard {
    pub(super) rendered: Rendered,
    pub(super) bytes: Vec<u8>,
    pub(super) left: Vec<i16>,
    pub(super) right: Vec<i16>,
}

pub(super) fn play(packets: Vec<Sent>) -> Heard {
    play_file(&[session(STARTED, packets, &[])], None).unwrap()
}

pub(super) fn play_file(
    sessions: &[Vec<u8>],
    answered_at: Option<DateTime<Utc>>,
) -> Result<Heard, RenderError> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("call_test.capture");
    write(&path, sessions);
    let mut bytes = Vec::new();
    let rendered = render(&path, &mut bytes, "call_test", answered_at, || false)?;
    let (left, right) = decode(&bytes);
    let wanted = rendered.duration.as_secs_f64() * RATE as f64;
    assert!((left.len() as f64 - wanted).abs() <= 1.0, "{} samples, {wanted}", left.len());
    Ok(Heard { rendered, bytes, left, right })
}

/// Plays an Ogg/Opus file as a player does: without what is skipped at its beginning and end.
pub(super) fn decode(bytes: &[u8]) -> (Vec<i16>, Vec<i16>) {
    let mut reader = ogg::PacketReader::new(Cursor::new(bytes));
    let head = reader.read_packet().unwrap().unwrap().data;
    assert_eq!(&head[..10], b"OpusHead\x01\x02");
    let pre_skip = usize::from(u16::from_le_bytes([head[10], head[11]])) / 2;
    let tags = reader.read_packet().unwrap().unwrap().data;
    assert_eq!(&tags[..8], b"OpusTags");
    let mut decoder = opus::Decoder::new(RATE as u32, opus::Channels::Stereo).unwrap();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut pcm = vec![0; 2 * 2_880];
    let mut last = (0, false);
    while let Some(packet) = reader.read_packet().unwrap() {
        let samples = decoder.decode(&packet.data, &mut pcm, false).unwrap();
        left.extend(pcm[..2 * samples].iter().step_by(2));
        right.extend(pcm[1..2 * samples].iter().step_by(2));
        assert!(packet.absgp_page() >= last.0);
        last = (packet.absgp_page(), packet.last_in_stream());
    }
    assert!(last.1, "the stream has no end");
    for channel in [&mut left, &mut right] {
        channel.truncate((last.0 / 2) as usize);
        channel.drain(..pre_skip.min(channel.len()));
    }
    (left, right)
}

/// How loud a tone is (Goertzel), as a share of full scale; one of [`tone`] is 0.4.
pub(super) fn loudness(samples: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (at, &sample) in samples.iter().enumerate() {
        let angle = TAU * hertz * at as f64 / RATE as f64;
        re += f64::from(sample) * angle.cos();
        im += f64::from(sample) * angle.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64 / 32_768.0
}

/// The part of a channel between two times in seconds.
pub(super) fn part(channel: &[i16], from: f64, until: f64) -> &[i16] {
    let at = |time: f64| ((time * RATE as f64) as usize).min(channel.len());
    &channel[at(from)..at(until)]
}

/// How loud the loudest sample is, as a share of full scale.
pub(super) fn peak(samples: &[i16]) -> f64 {
    f64::from(samples.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0)) / 32_768.0
}

/// When sounds begin, in seconds: after 0.3 s of silence.
pub(super) fn onsets(channel: &[i16]) -> Vec<f64> {
    let (mut onsets, mut last) = (Vec::new(), -1.0);
    for (at, sample) in channel.iter().enumerate() {
        let time = at as f64 / RATE as f64;
        if sample.unsigned_abs() > 3_000 {
            if time - last > 0.3 {
                onsets.push(time);
            }
            last = time;
        }
    }
    onsets
}

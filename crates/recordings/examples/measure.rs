//! Measures what capturing costs for each packet, and how fast a core renders:
//! `cargo run --release -p outdial-recordings --example measure`.
//!
//! The call: the callee in PCMU, the agent in Opus, each speaking half of the time.

use std::error::Error;
use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{
    AudioCodec, AudioPacket, KeepFile, Keeper, RecordingSource, Recordings,
};
use outdial_domain::{Result, RoomName, Speaker};
use outdial_recordings::{Recorder, RecorderSettings};

const SECONDS: u32 = 600;
const CALLS: u32 = 500;

struct NoKeeper;

#[async_trait]
impl Keeper for NoKeeper {
    async fn put(&self, _file: &KeepFile<'_>) -> Result<Option<String>> {
        Ok(None)
    }
    async fn open(&self, key: &str) -> Result<RecordingSource> {
        Ok(RecordingSource::File(key.into()))
    }
    async fn delete(&self, _key: &str) -> Result<()> {
        Ok(())
    }
    async fn sweep(&self, _before: DateTime<Utc>) -> Result<u64> {
        Ok(0)
    }
    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Something like a voice: a buzz of many harmonics whose pitch and loudness move.
fn voice(at: u32, rate: u32) -> f32 {
    let time = at as f32 / rate as f32;
    let syllable = (time * 4.0).fract();
    let pitch = 120.0 + 30.0 * (time * 1.3).sin();
    let buzz: f32 = (1..20).map(|n| (time * pitch * n as f32 * TAU).sin() / n as f32).sum();
    buzz * syllable * (1.0 - syllable) * 0.8
}

fn mu_law(sample: f32) -> u8 {
    let magnitude = ((sample.abs() * 32_767.0) as u32).min(32_635) + 132;
    let segment = 24_u32.saturating_sub(magnitude.leading_zeros()).min(7);
    let step = (magnitude >> (segment + 3)) & 15;
    let sign = if sample < 0.0 { 0 } else { 0x80 };
    !((sign ^ 0x80) | (segment << 4) as u8 | step as u8)
}

/// 10 s of the callee and of the agent, in packets of 20 ms.
fn payloads() -> std::result::Result<[Vec<Vec<u8>>; 2], opus::Error> {
    let speaking = |packet: u32, first: bool| (packet < 250) == first;
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(32_000))?;
    let (mut callee, mut agent) = (Vec::new(), Vec::new());
    for packet in 0..500 {
        let loud = f32::from(u8::from(speaking(packet, true)));
        let samples = packet * 160..(packet + 1) * 160;
        callee.push(samples.map(|at| mu_law(voice(at, 8_000) * loud)).collect());
        let loud = f32::from(u8::from(speaking(packet, false)));
        let samples: Vec<f32> =
            (packet * 960..(packet + 1) * 960).map(|at| voice(at, 48_000) * loud).collect();
        agent.push(encoder.encode_vec_float(&samples, 1_276)?);
    }
    Ok([callee, agent])
}

/// Ticks of 10 ms that this process has used, user and system.
fn cpu_ticks() -> std::result::Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.split_whitespace().collect();
    Ok(fields[13].parse::<f64>()? + fields[14].parse::<f64>()?)
}

/// What capturing costs a call when many run for 10 s in real time: packets come every 20 ms.
fn cpu_of_many(
    recorder: &Recorder,
    callee: &[Vec<u8>],
    agent: &[Vec<u8>],
) -> std::result::Result<f64, Box<dyn Error>> {
    let mut sinks = Vec::new();
    for call in 0..CALLS {
        let room: RoomName = format!("550e8400-e29b-41d4-a716-446655440000_many{call}").parse()?;
        sinks.push(recorder.capture(&room));
    }
    let (before, started) = (cpu_ticks()?, Instant::now());
    for packet in 0..500_u32 {
        for sink in &mut sinks {
            for (speaker, codec, payloads) in [
                (Speaker::User, AudioCodec::Pcmu, callee),
                (Speaker::Agent, AudioCodec::Opus, agent),
            ] {
                sink.write(&AudioPacket {
                    speaker,
                    stream: 1,
                    codec,
                    sequence: packet as u16,
                    timestamp: packet * 160,
                    arrived_at: started,
                    payload: &payloads[packet as usize],
                });
            }
        }
        let next = started + Duration::from_millis(20) * (packet + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let used = (cpu_ticks()? - before) / 100.0;
    Ok(used / started.elapsed().as_secs_f64() / f64::from(CALLS) * 100.0)
}

#[expect(clippy::print_stdout, reason = "a program for the command line")]
fn main() -> std::result::Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let recorder = Recorder::new(RecorderSettings::new(dir.path()), Arc::new(NoKeeper))?;
    let room: RoomName = "550e8400-e29b-41d4-a716-446655440000_measure12345".parse()?;
    let [callee, agent] = payloads()?;
    let mut sink = recorder.capture(&room);
    let started = Instant::now();
    let mut spent = Duration::ZERO;
    for second in 0..SECONDS {
        let begun = Instant::now();
        for packet in second * 50..(second + 1) * 50 {
            for (speaker, codec, step, payloads) in [
                (Speaker::User, AudioCodec::Pcmu, 160, &callee),
                (Speaker::Agent, AudioCodec::Opus, 960, &agent),
            ] {
                sink.write(&AudioPacket {
                    speaker,
                    stream: 1,
                    codec,
                    sequence: packet as u16,
                    timestamp: packet * step,
                    arrived_at: started + Duration::from_millis(20 * u64::from(packet)),
                    payload: &payloads[packet as usize % 500],
                });
            }
        }
        spent += begun.elapsed();
        // The writer's thread needs a moment, as it has in life.
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(sink);
    let percent = cpu_of_many(&recorder, &callee, &agent)?;
    println!("capture: {percent:.4} % of a core a call, {CALLS} calls, disk included");
    let packets = f64::from(SECONDS * 100);
    println!("capture: {:.0} ns a packet on the media thread", spent.as_nanos() as f64 / packets);
    drop(recorder);
    let capture = dir.path().join("call_measure12345.capture");
    println!("capture: {} bytes for {SECONDS} s", std::fs::metadata(&capture)?.len());
    let begun = Instant::now();
    let mut file = Vec::new();
    let rendered = outdial_recordings::render(&capture, &mut file, "measure", None, || false)?;
    let speed = rendered.duration.as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("render: {:?} at {speed:.0} times real time, {} bytes", rendered.duration, file.len());
    println!("missing: {}", rendered.gaps.as_deref().unwrap_or("nothing"));
    if let Some(out) = std::env::args().nth(1) {
        std::fs::write(out, &file)?;
    }
    Ok(())
}

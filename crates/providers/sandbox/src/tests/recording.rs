//! What an observer hears.

use std::sync::Mutex;

use outdial_domain::Speaker;
use outdial_domain::ports::{
    AudioCodec, AudioPacket, AudioSink, Observation, ObserveRequest, Observer, SystemClock,
};

use super::*;
use crate::speech;

const PACKET: Duration = Duration::from_millis(20);

struct Packet {
    speaker: Speaker,
    stream: u32,
    sequence: u16,
    timestamp: u32,
    arrived_at: std::time::Instant,
    payload: Vec<u8>,
}

#[derive(Default)]
struct Tape {
    packets: Vec<Packet>,
    done: bool,
}

/// Keeps what it is given for the test.
struct Tapping(Arc<Mutex<Tape>>);

impl AudioSink for Tapping {
    fn write(&mut self, packet: &AudioPacket<'_>) {
        assert_eq!((packet.codec, packet.payload.len()), (AudioCodec::Pcmu, 160));
        let AudioPacket { speaker, stream, sequence, timestamp, arrived_at, payload, .. } = *packet;
        let payload = payload.to_vec();
        let packet = Packet { speaker, stream, sequence, timestamp, arrived_at, payload };
        self.0.lock().unwrap().packets.push(packet);
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        self.0.lock().unwrap().done = true;
    }
}

/// An observation and what it has heard.
struct Tap {
    observation: Option<Observation>,
    tape: Arc<Mutex<Tape>>,
    _hints: Receiver<Hint>,
}

impl Tap {
    fn on(stage: &Stage) -> Self {
        let tape = Arc::default();
        let (sink, hints) = HintSink::channel(1);
        let request = ObserveRequest {
            room_name: stage.room.clone(),
            participant_identity: stage.identity(),
            hints: sink,
            audio: Some(Box::new(Tapping(Arc::clone(&tape)))),
        };
        Self { observation: Some(stage.sandbox.observe(request)), tape, _hints: hints }
    }

    fn is_done(&self) -> bool {
        self.tape.lock().unwrap().done
    }

    fn len(&self) -> usize {
        self.tape.lock().unwrap().packets.len()
    }

    /// The packets of each line: its speaker, when it began in ms since `zero`, and their number.
    /// Checks all that holds of any stream.
    fn lines(&self, zero: Instant) -> Vec<(Speaker, u128, usize)> {
        let tape = self.tape.lock().unwrap();
        for speaker in [Speaker::User, Speaker::Agent] {
            let stream: Vec<_> = tape.packets.iter().filter(|p| p.speaker == speaker).collect();
            for pair in stream.windows(2) {
                assert_eq!(pair[0].stream, pair[1].stream);
                assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
                let samples = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
                assert!((160..u32::MAX / 2).contains(&samples), "{samples}");
            }
        }
        let mut lines: Vec<(Speaker, u128, usize)> = Vec::new();
        let mut next = None;
        for packet in &tape.packets {
            match lines.last_mut() {
                Some(line) if next == Some((packet.speaker, packet.arrived_at)) => line.2 += 1,
                _ => {
                    let began = packet.arrived_at - zero.into_std();
                    lines.push((packet.speaker, began.as_millis(), 1));
                }
            }
            next = Some((packet.speaker, packet.arrived_at + PACKET));
        }
        lines
    }
}

/// The share of a tone in the loudness of a signal (Goertzel): about 1 when there is nothing else.
fn share_of(hertz: f64, samples: &[f64]) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * hertz / 8000.0).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (one, two) = (sample + turn * one - two, one);
    }
    let power = one * one + two * two - turn * one * two;
    let total: f64 = samples.iter().map(|sample| sample * sample).sum();
    power * 2.0 / (total * samples.len() as f64)
}

/// G.711 back to -1 to 1.
fn decoded(payload: &[u8]) -> impl Iterator<Item = f64> + '_ {
    payload.iter().map(|code| {
        let bits = i32::from(!code);
        let magnitude = ((((bits & 0x0F) << 3) + 132) << ((bits >> 4) & 7)) - 132;
        f64::from(if bits & 0x80 == 0 { magnitude } else { -magnitude }) / 32_768.0
    })
}

/// The times of the conversation at the pace of life, see `timing.rs`.
const CONVERSATION: [(Speaker, u128, usize); 5] = [
    (Speaker::Agent, 2500, 133),
    (Speaker::User, 5567, 143),
    (Speaker::Agent, 8834, 190),
    (Speaker::User, 13_034, 63),
    (Speaker::Agent, 14_701, 96),
];

#[tokio::test(start_paused = true)]
async fn both_speakers_are_heard_for_as_long_as_they_speak() {
    let zero = Instant::now();
    let stage = Stage::new("000");
    let tap = Tap::on(&stage);
    let hints = all(stage.place().await).await;
    assert_eq!(end(&hints), &LegEnd::CalleeHangup);
    assert_eq!(tap.lines(zero), CONVERSATION);
    assert!(tap.is_done());

    let tape = tap.tape.lock().unwrap();
    let streams = [Speaker::User, Speaker::Agent]
        .map(|speaker| tape.packets.iter().find(|p| p.speaker == speaker).unwrap().stream);
    assert_ne!(streams[0], streams[1]);
    for packet in &tape.packets {
        // Timestamps tell the moment, in silence too. Both are rounded.
        let told = u128::from(packet.timestamp) / 8;
        let true_time = (packet.arrived_at - zero.into_std()).as_millis();
        assert!(told.abs_diff(true_time) <= 1, "{told} {true_time}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_speaker_has_a_voice() {
    let stage = Stage::new("000");
    let tap = Tap::on(&stage);
    all(stage.place().await).await;
    let tape = tap.tape.lock().unwrap();
    for (speaker, own, other) in [(Speaker::User, 330.0, 220.0), (Speaker::Agent, 220.0, 330.0)] {
        // A packet is so short that the moving pitch stays within its resolution.
        for packet in tape.packets.iter().filter(|packet| packet.speaker == speaker) {
            let samples: Vec<f64> = decoded(&packet.payload).collect();
            let (own, other) = (share_of(own, &samples), share_of(other, &samples));
            assert!(own > 0.6 && other < 0.15, "{speaker:?}: {own} {other}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn audio_is_there_when_the_line_is_told() {
    let stage = Stage::new("000");
    let tap = Tap::on(&stage);
    let mut hints = stage.place().await;
    while !matches!(hints.recv().await.unwrap(), Hint::Line(_)) {
        assert_eq!(tap.len(), 0);
    }
    assert_eq!(tap.len(), 133);
}

#[tokio::test(start_paused = true)]
async fn the_pace_of_the_world_is_that_of_the_audio() {
    for (scale, packets) in [(0.1, [13, 14, 19, 6, 9]), (0.0, [1; 5])] {
        let zero = Instant::now();
        let stage = Stage::scaled("000", scale);
        let tap = Tap::on(&stage);
        all(stage.place().await).await;
        let lengths: Vec<_> = tap.lines(zero).iter().map(|line| line.2).collect();
        assert_eq!(lengths, packets, "{scale}");
    }
    // In slow motion a line may last for hours.
    let stage = Stage::scaled("902", 1000.0);
    let tap = Tap::on(&stage);
    let (sink, hints) = HintSink::channel(64);
    stage.dispatch().await;
    let max_duration = Duration::from_secs(10_000);
    let ringing_timeout = max_duration;
    let request = DialRequest { ringing_timeout, max_duration, ..stage.request() };
    stage.sandbox.dial(request, sink).await.unwrap();
    all(hints).await;
    assert_eq!(tap.len(), 3000);
}

#[tokio::test(start_paused = true)]
async fn a_line_cut_short_is_heard_until_the_cut() {
    for delete in [false, true] {
        let zero = Instant::now();
        let (stage, hints) = Stage::placed("000").await;
        let tap = Tap::on(&stage);
        ms(3600).await;
        match delete {
            true => stage.delete().await,
            false => stage.hang_up().await,
        }
        let hints = all(hints).await;
        assert_eq!(lines(&hints)[0].text, "Hello Ann, this");
        assert_eq!(tap.lines(zero), [(Speaker::Agent, 2500, 55)]);
        assert!(tap.is_done());
    }

    let zero = Instant::now();
    let stage = Stage::new("902");
    let tap = Tap::on(&stage);
    all(stage.place().await).await;
    // Half of 2.667 s.
    assert_eq!(tap.lines(zero), [(Speaker::Agent, 2500, 66)]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_be_sent_yet_is_heard_once() {
    let zero = Instant::now();
    let stage = Stage::new("000");
    let tap = Tap::on(&stage);
    stage.dispatch().await;
    let hints = stage.dial(5).await;
    ms(60_000).await;
    stage.hang_up().await;
    assert_eq!(lines(&all(hints).await).len(), 1);
    assert_eq!(tap.lines(zero), CONVERSATION[..1]);
}

#[tokio::test(start_paused = true)]
async fn it_may_begin_at_any_time() {
    // Before the room, with the leg, within the first line, and between two lines.
    for (after, heard, from) in [(0, 5, 2500), (50, 5, 2500), (3000, 5, 3000), (5300, 4, 5567)] {
        let zero = Instant::now();
        let (stage, hints) = Stage::placed("000").await;
        if after > 0 {
            ms(after).await;
        }
        let tap = Tap::on(&stage);
        assert_eq!(end(&all(hints).await), &LegEnd::CalleeHangup);
        let lines = tap.lines(zero);
        assert_eq!((lines.len(), lines[0].1), (heard, from), "{after}");
        assert_eq!(lines[1..], CONVERSATION[6 - heard..], "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_dropped() {
    let zero = Instant::now();
    let (stage, hints) = Stage::placed("000").await;
    let mut tap = Tap::on(&stage);
    ms(9000).await;
    assert!(!tap.is_done());
    tap.observation.take();
    assert!(tap.is_done());
    assert_eq!(end(&all(hints).await), &LegEnd::CalleeHangup);
    assert_eq!(tap.lines(zero), CONVERSATION[..2]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_listens_to_its_hints() {
    let zero = Instant::now();
    let (stage, hints) = Stage::placed("000").await;
    let mut tap = Tap::on(&stage);
    ms(9000).await;
    tap._hints.close();
    assert_eq!(end(&all(hints).await), &LegEnd::CalleeHangup);
    assert_eq!(tap.lines(zero), CONVERSATION[..2]);
}

#[tokio::test(start_paused = true)]
async fn the_sink_is_dropped_before_the_end_is_told() {
    for suffix in ["000", "486", "902"] {
        let (stage, mut hints) = Stage::placed(suffix).await;
        let tap = Tap::on(&stage);
        while !matches!(hints.recv().await.unwrap(), Hint::TranscriptEnded { .. }) {}
        assert!(tap.is_done(), "{suffix}");
        assert_eq!(tap.len() == 0, suffix == "486");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sink_is_dropped_with_the_room_and_with_the_world() {
    let stage = Stage::new("000");
    stage.sandbox.create(&stage.room).await.unwrap();
    let tap = Tap::on(&stage);
    assert!(!tap.is_done());
    stage.delete().await;
    assert!(tap.is_done());

    for shutdown in [true, false] {
        let (stage, hints) = Stage::placed("000").await;
        let tap = Tap::on(&stage);
        ms(3000).await;
        let sandbox = stage.sandbox.clone();
        if shutdown {
            sandbox.shutdown().await;
            assert!(Tap::on(&stage).is_done());
        }
        drop((stage, sandbox));
        all(hints).await;
        assert!(tap.is_done());
    }
}

#[tokio::test(start_paused = true)]
async fn it_makes_no_room_and_bears_that_there_is_none() {
    let stage = Stage::new("000");
    let tap = Tap::on(&stage);
    assert_eq!(stage.sandbox.rooms(), 0);
    let Tap { observation, tape, .. } = tap;
    drop(observation);
    assert!(tape.lock().unwrap().done);
    let tap = Tap::on(&stage);
    drop(stage);
    drop(tap.observation);
    assert!(tap.tape.lock().unwrap().done);
}

#[tokio::test(start_paused = true)]
async fn the_latest_of_a_room_counts() {
    let (stage, hints) = Stage::placed("000").await;
    let first = Tap::on(&stage);
    ms(6000).await;
    let second = Tap::on(&stage);
    assert!(first.is_done());
    let stream = first.tape.lock().unwrap().packets[0].stream;
    drop(first);
    all(hints).await;
    let tape = second.tape.lock().unwrap();
    assert_eq!(tape.packets.len(), 143 - 22 + 190 + 63 + 96);
    // An SSRC of its own: both may go into one file.
    assert!(tape.packets.iter().all(|packet| packet.stream != stream));
}

#[tokio::test(start_paused = true)]
async fn without_audio_there_is_nothing_to_observe() {
    let (stage, hints) = Stage::placed("000").await;
    let (sink, mut none) = HintSink::channel(1);
    let request = ObserveRequest {
        room_name: stage.room.clone(),
        participant_identity: stage.identity(),
        hints: sink,
        audio: None,
    };
    let _observation = stage.sandbox.observe(request);
    assert_eq!(lines(&all(hints).await).len(), 5);
    assert!(none.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observed_in_real_time_on_several_threads() {
    let config = SandboxConfig { time_scale: 0.0, ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config, Arc::new(SystemClock));
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..200 {
        let stage = Stage::within(sandbox.clone(), ["000", "902"][i % 2]);
        calls.spawn(async move {
            let tap = Tap::on(&stage);
            let hints = all(stage.place().await).await;
            assert_eq!(tap.len(), lines(&hints).len());
            assert!(tap.is_done());
            stage.delete().await;
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert_eq!((sandbox.rooms(), sandbox.legs.len()), (0, 0));
}

#[test]
fn the_lines_last_as_long_as_they_should() {
    let texts = [
        GREETING,
        speech::USER_ASKS,
        speech::AGENT_ANSWERS,
        speech::USER_LEAVES,
        speech::AGENT_LEAVES,
    ];
    let packets = texts.map(|text| (speech::speaking_time(text).as_millis() / 20) as usize);
    assert_eq!(packets, CONVERSATION.map(|line| line.2));
}

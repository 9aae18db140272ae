//! The sound of one call at a callee: a thread that speaks and listens in steps of 20 ms.

use std::collections::{BTreeMap, VecDeque};
use std::f64::consts::TAU;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Law, Side, Sound, until};

/// The header of an RTP packet without extensions (RFC 3550, section 5.1).
const HEADER: usize = 12;
/// The payload type of telephone events, in the offer and in our answers.
pub(super) const EVENT: u8 = 101;
/// Samples in a step of 20 ms.
const STEP: u32 = 160;
const DIGITS: &[u8] = b"0123456789*#ABCD";

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Say {
    /// No packet leaves.
    Nothing,
    /// Digital silence.
    Silence,
    /// A sine of so many Hz, a quarter of full scale.
    Tone(f64),
}

/// An RTP packet that came.
#[derive(Debug, Clone)]
pub struct Packet {
    /// When.
    pub at: Instant,
    /// From where.
    pub from: SocketAddr,
    /// The payload type.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp, in samples.
    pub timestamp: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What a callee says and hears.
#[derive(Debug)]
pub struct Media {
    port: u16,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    say: Say,
    law: Law,
    to: Option<SocketAddr>,
    /// Payloads of telephone events, sent instead of audio, one a step: first of an event, payload.
    events: VecDeque<(bool, [u8; 4])>,
    heard: Vec<Packet>,
    stop: bool,
}

impl Media {
    /// On a free port; says nothing until it is told to whom.
    pub fn start() -> Self {
        let socket = even_port();
        let port = socket.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            say: Say::Silence,
            law: Law::Pcma,
            to: None,
            events: VecDeque::new(),
            heard: Vec::new(),
            stop: false,
        }));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || run(&socket, &shared));
        Self { port, state, thread: Some(thread) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on speaks to there, by this law.
    pub fn speak_to(&self, to: SocketAddr, law: Law) {
        let mut state = self.state();
        (state.to, state.law) = (Some(to), law);
    }

    /// From now on says this.
    pub fn say(&self, say: Say) {
        self.state().say = say;
    }

    /// Presses keys, 100 ms each, as telephone events (RFC 4733).
    pub fn press(&self, digits: &str) {
        let mut state = self.state();
        for digit in digits.bytes() {
            let code = DIGITS.iter().position(|known| *known == digit).expect("a key");
            let code = u8::try_from(code).unwrap();
            for step in 1..=5_u16 {
                let [high, low] = (step * 160).to_be_bytes();
                state.events.push_back((step == 1, [code, 10, high, low]));
            }
            let [high, low] = 800_u16.to_be_bytes();
            state.events.extend([(false, [code, 0x80 | 10, high, low]); 3]);
        }
    }

    /// What has come so far.
    pub fn heard(&self) -> Vec<Packet> {
        self.state().heard.clone()
    }

    /// Forgets what has come so far.
    pub fn forget(&self) {
        self.state().heard.clear();
    }

    /// The keys that were pressed on the other side, those whose end has come.
    pub fn pressed(&self) -> String {
        let heard = self.heard();
        let ends = heard.iter().filter(|packet| {
            packet.payload_type == EVENT && packet.payload.get(1).is_some_and(|b| b & 0x80 != 0)
        });
        // The end comes three times.
        let ends: BTreeMap<u32, u8> =
            ends.map(|packet| (packet.timestamp, packet.payload[0])).collect();
        ends.values().map(|code| char::from(DIGITS[usize::from(*code)])).collect()
    }

    /// Waits until so many keys have been pressed, and gives them.
    pub async fn hears_so_many_keys(&self, count: usize) -> String {
        until("keys on the phone", async || {
            let pressed = self.pressed();
            if pressed.len() >= count { Ok(pressed) } else { Err(pressed) }
        })
        .await
    }

    /// Waits until these keys have been pressed, no others.
    pub async fn hears_keys(&self, keys: &str) {
        until("keys on the phone", async || {
            let pressed = self.pressed();
            if pressed == keys { Ok(()) } else { Err(pressed) }
        })
        .await;
    }

    /// Waits until nine tenths of a second of a tone were heard.
    pub async fn hears_tone(&self, hz: f64) {
        until("a tone on the phone", async || {
            let sound = self.sound();
            let end = sound.seconds();
            let parts = [0.9, 0.6, 0.3].map(|before| end - before..end - before + 0.3);
            if end < 0.9 || parts.iter().any(|part| sound.level(Side::Agent, part.clone()) < -40.0)
            {
                return Err(format!("{sound:?}"));
            }
            let pitches = parts.map(|part| sound.pitch(Side::Agent, part));
            let right = pitches.iter().all(|pitch| (pitch / hz - 1.0).abs() < 0.02);
            if right { Ok(()) } else { Err(format!("{pitches:.1?} Hz")) }
        })
        .await;
    }

    /// Waits until somebody has spoken.
    pub async fn hears_speech(&self) {
        until("speech on the phone", async || {
            let sound = self.sound();
            let loud: f64 =
                sound.loud(Side::Agent, -40.0, 0.1).iter().map(|part| part.end - part.start).sum();
            if loud > 0.4 { Ok(()) } else { Err(format!("{sound:?}")) }
        })
        .await;
    }

    /// Waits until so many packets of audio have come.
    pub async fn hears(&self, packets: usize) {
        until("packets on the phone", async || {
            let count = self.audio().len();
            if count >= packets { Ok(()) } else { Err(count.to_string()) }
        })
        .await;
    }

    fn audio(&self) -> Vec<Packet> {
        let mut heard = self.heard();
        heard.retain(|packet| Law::of(packet.payload_type).is_some());
        heard
    }

    /// What was heard, on both sides: each packet where its timestamp puts it.
    pub fn sound(&self) -> Sound {
        let audio = self.audio();
        let begin = audio.first().map_or(0, |packet| packet.timestamp);
        let mut samples = Vec::new();
        for packet in audio {
            let at = usize::try_from(packet.timestamp.wrapping_sub(begin)).unwrap();
            // A minute is longer than any call of a test: another stream has begun.
            if at > samples.len() && at - samples.len() < 60 * 8000 {
                samples.resize(at, 0);
            }
            let law = Law::of(packet.payload_type).unwrap();
            samples.extend(packet.payload.into_iter().map(|byte| law.decode(byte)));
        }
        Sound::of_phone(&samples)
    }

    /// Everything came from one place, in packets of 20 ms, none lost and each where it belongs. On a
    /// busy machine the speaker may have been late a few times.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn is_even(&self) {
        let heard = self.heard();
        assert!(!heard.is_empty(), "nothing was heard");
        for (one, next) in heard.iter().zip(&heard[1..]) {
            assert_eq!((next.from, next.sequence), (one.from, one.sequence.wrapping_add(1)));
        }
        let audio = self.audio();
        assert!(audio.iter().all(|packet| packet.payload.len() == 160));
        let late = audio.iter().zip(&audio[1..]).filter(|(one, next)| {
            let steps = u32::from(next.sequence.wrapping_sub(one.sequence));
            steps == 1 && next.timestamp.wrapping_sub(one.timestamp) != STEP
        });
        let late = late.count();
        assert!(late <= 3 + audio.len() / 50, "{late} of {} packets", audio.len());
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.state().stop = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// RTP ports are even.
fn even_port() -> UdpSocket {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if socket.local_addr().unwrap().port().is_multiple_of(2) {
            return socket;
        }
    }
}

fn run(socket: &UdpSocket, shared: &Mutex<State>) {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut voice = Voice::new(socket.local_addr().unwrap().port());
    let mut next = Instant::now();
    let mut packet = [0; 2048];
    loop {
        let now = Instant::now();
        if now >= next {
            next += Duration::from_millis(20);
            let mut state = lock();
            if state.stop {
                return;
            }
            let (to, bytes) = (state.to, voice.step(&mut state));
            drop(state);
            if let (Some(to), Some(bytes)) = (to, bytes) {
                let _ = socket.send_to(&bytes, to);
            }
            continue;
        }
        socket.set_read_timeout(Some(next - now)).unwrap();
        if let Ok((length, from)) = socket.recv_from(&mut packet)
            && let Some(packet) = read(&packet[..length], from)
        {
            lock().heard.push(packet);
        }
    }
}

fn read(bytes: &[u8], from: SocketAddr) -> Option<Packet> {
    // What is no RTP, or has more than the plain header: nothing that the server sends to phones.
    if bytes.len() <= HEADER || bytes[0] != 0x80 || (192..=223).contains(&bytes[1]) {
        return None;
    }
    Some(Packet {
        at: Instant::now(),
        from,
        payload_type: bytes[1] & 0x7f,
        sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
        timestamp: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        payload: bytes[HEADER..].to_vec(),
    })
}

/// Writes RTP, one packet a step.
pub(crate) struct Voice {
    source: u32,
    sequence: u16,
    timestamp: u32,
    event_began: u32,
    phase: f64,
}

impl Voice {
    pub(crate) fn new(seed: u16) -> Self {
        let source = 0xCA11_0000 | u32::from(seed);
        Self { source, sequence: seed, timestamp: source, event_began: 0, phase: 0.0 }
    }

    fn step(&mut self, state: &mut State) -> Option<Vec<u8>> {
        if let Some((first, event)) = state.events.pop_front() {
            if first {
                self.event_began = self.timestamp;
            }
            self.timestamp = self.timestamp.wrapping_add(STEP);
            return Some(self.packet(EVENT, first, self.event_began, &event));
        }
        self.audio(state.say, state.law)
    }

    /// The next 20 ms of audio.
    pub(crate) fn audio(&mut self, say: Say, law: Law) -> Option<Vec<u8>> {
        self.timestamp = self.timestamp.wrapping_add(STEP);
        let mut sample = || match say {
            Say::Nothing => None,
            Say::Silence => Some(0),
            Say::Tone(hz) => {
                self.phase = (self.phase + TAU * hz / 8000.0) % TAU;
                Some((8191.0 * self.phase.sin()) as i16)
            }
        };
        let payload: Option<Vec<u8>> =
            (0..STEP).map(|_| sample().map(|sample| law.encode(sample))).collect();
        Some(self.packet(law.payload_type(), false, self.timestamp, &payload?))
    }

    fn packet(&mut self, kind: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, kind | u8::from(marker) << 7];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.source.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

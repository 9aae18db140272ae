//! Hears what a phone is sent.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::until;

/// The header of an RTP packet without extensions (RFC 3550, section 5.1).
const HEADER: usize = 12;
/// The payload type of mu-law, 8000 samples a second (RFC 3551, section 6).
const PCMU: u8 = 0;
/// A packet whose mean amplitude is above this holds speech: a hundredth of full scale. Silence that
/// was coded and decoded again is below 20.
const LOUD: u32 = 320;
/// Speech is loud in most of its packets; so many in a second of them (50) are no click.
const SPEECH: usize = 20;

/// A UDP port that takes a phone's RTP and listens for speech.
#[derive(Debug)]
pub struct Tap {
    port: u16,
    heard: Arc<Heard>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    packets: AtomicUsize,
    speech: AtomicBool,
    stop: AtomicBool,
}

impl Tap {
    /// Listens on a free port.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let heard = Arc::new(Heard::default());
        let ear = Arc::clone(&heard);
        let thread = std::thread::spawn(move || listen(&socket, &ear));
        Self { port, heard, thread: Some(thread) }
    }

    /// Where the phone should have its RTP sent.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until somebody has spoken.
    pub async fn hears_speech(&self) {
        until("speech on the phone", async || {
            let packets = self.heard.packets.load(Ordering::Relaxed);
            let speech = self.heard.speech.load(Ordering::Relaxed);
            speech.then_some(()).ok_or_else(|| format!("{packets} packets of silence"))
        })
        .await;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.heard.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(socket: &UdpSocket, heard: &Heard) {
    let mut packet = [0; 2048];
    let mut last_second = VecDeque::new();
    while !heard.stop.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut packet) else { continue };
        if length <= HEADER || packet[1] & 0x7f != PCMU {
            continue;
        }
        heard.packets.fetch_add(1, Ordering::Relaxed);
        last_second.push_back(loudness(&packet[HEADER..length]) > LOUD);
        if last_second.len() > 50 {
            last_second.pop_front();
        }
        if last_second.iter().filter(|loud| **loud).count() >= SPEECH {
            heard.speech.store(true, Ordering::Relaxed);
        }
    }
}

/// The mean amplitude of mu-law samples, of 32124 at most.
fn loudness(samples: &[u8]) -> u32 {
    let sum: u32 = samples.iter().map(|byte| amplitude(*byte)).sum();
    sum / u32::try_from(samples.len()).unwrap()
}

/// ITU-T G.711, table 2: inverted bits; three for the exponent, four for the mantissa.
fn amplitude(byte: u8) -> u32 {
    let code = u32::from(!byte);
    let (exponent, mantissa) = (code >> 4 & 7, code & 15);
    (((mantissa << 3) + 132) << exponent) - 132
}

#[cfg(test)]
mod tests {
    use super::amplitude;

    #[test]
    fn amplitudes() {
        assert_eq!((amplitude(0xff), amplitude(0x7f)), (0, 0));
        assert_eq!((amplitude(0x80), amplitude(0x00)), (32124, 32124));
        assert_eq!(amplitude(0xf0), 120);
    }
}

//! RTP from somebody who has no part in a call.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::callee::Voice;
use crate::{Law, Say};

/// Speaks to every port of a range, 50 times a second, until it is dropped.
#[derive(Debug)]
pub struct Spoof {
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicUsize,
    answered: AtomicUsize,
    stop: AtomicBool,
}

impl Spoof {
    /// From a port of this address, says a tone.
    pub fn start(from: Ipv4Addr, ports: RangeInclusive<u16>, hz: f64) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || run(&socket, &ports, hz, &shared));
        Self { counts, thread: Some(thread) }
    }

    /// How many packets were sent so far.
    pub fn sent(&self) -> usize {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// How many packets came back so far.
    pub fn answered(&self) -> usize {
        self.counts.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Spoof {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(socket: &UdpSocket, ports: &RangeInclusive<u16>, hz: f64, counts: &Counts) {
    let mut voice = Voice::new(socket.local_addr().unwrap().port());
    let mut next = Instant::now();
    while !counts.stop.load(Ordering::Relaxed) {
        let packet = voice.audio(Say::Tone(hz), Law::Pcma).expect("a packet");
        for port in ports.clone() {
            let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            // A port that is closed says so.
            if socket.send_to(&packet, to).is_ok() {
                counts.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        while socket.recv_from(&mut [0; 2048]).is_ok() {
            counts.answered.fetch_add(1, Ordering::Relaxed);
        }
        next += Duration::from_millis(20);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

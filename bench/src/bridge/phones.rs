//! The sound of the phones: hundreds of calls on a few sockets, sent by one thread on a wheel.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::call::{Call, Packet, lock};
use crate::sound::{self, FRAMES, SAMPLES};

/// Calls are spread over so many sockets, so that the buffer of none runs over.
const SOCKETS: usize = 8;
/// Every call has its turn once in so many steps of 1 ms.
const SLOTS: u64 = 20;

/// All phones.
#[derive(Debug)]
pub(crate) struct Phones {
    sockets: Vec<UdpSocket>,
    known: Mutex<Known>,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    by_number: HashMap<String, (usize, Arc<Call>)>,
    by_call_id: HashMap<String, Arc<Call>>,
    by_remote: HashMap<SocketAddr, Arc<Call>>,
    /// Calls that the sending thread has not taken over yet.
    fresh: Vec<(usize, Arc<Call>)>,
}

impl Phones {
    /// Starts the threads. They end with [`Phones::stop`].
    pub(crate) fn start() -> Result<Arc<Self>> {
        let sockets: Vec<UdpSocket> =
            (0..SOCKETS).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let (known, stopped) = Default::default();
        let phones = Arc::new(Self { sockets, known, stopped });
        for n in 0..SOCKETS {
            let socket = phones.sockets[n].try_clone()?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            let phones = Arc::clone(&phones);
            thread::Builder::new()
                .name("phones-hear".into())
                .spawn(move || phones.hear(&socket))?;
        }
        let speaking = Arc::clone(&phones);
        thread::Builder::new().name("phones-speak".into()).spawn(move || speaking.speak())?;
        Ok(phones)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// One more phone, which answers from now on.
    pub(crate) fn expect(&self) -> Arc<Call> {
        let mut known = lock(&self.known);
        let n = known.by_number.len();
        let call = Arc::new(Call::new(format!("+1555{n:07}")));
        known.by_number.insert(call.number.clone(), (n, Arc::clone(&call)));
        call
    }

    /// An INVITE came. Returns the port on which the phone hears; `None` for a wrong number.
    pub(crate) fn ring(&self, number: &str, call_id: &str, remote: SocketAddr) -> Option<u16> {
        let mut known = lock(&self.known);
        let (n, call) = known.by_number.get(number)?.clone();
        let port = self.sockets[n % SOCKETS].local_addr().ok()?.port();
        *lock(&call.remote) = Some(remote);
        known.by_remote.insert(remote, Arc::clone(&call));
        if known.by_call_id.insert(call_id.to_owned(), Arc::clone(&call)).is_none() {
            known.fresh.push((n, call));
        }
        Some(port)
    }

    /// The answer has arrived: the phone speaks.
    pub(crate) fn answered(&self, call_id: &str) {
        if let Some(call) = lock(&self.known).by_call_id.get(call_id)
            && !call.ended.load(Relaxed)
        {
            call.talks.store(true, Relaxed);
        }
    }

    pub(crate) fn hung_up(&self, call_id: &str) {
        if let Some(call) = lock(&self.known).by_call_id.get(call_id) {
            call.talks.store(false, Relaxed);
            call.ended.store(true, Relaxed);
        }
    }

    fn hear(&self, socket: &UdpSocket) {
        let mut buffer = [0; 2048];
        while !self.stopped.load(Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            let arrived = Instant::now();
            let call = lock(&self.known).by_remote.get(&from).cloned();
            let (Some(call), Some(rtp)) = (call, Rtp::read(&buffer[..length])) else { continue };
            if rtp.payload_type != 0 {
                continue;
            }
            let mut ear = lock(&call.ear);
            let sequence = ear.extend(rtp.sequence);
            ear.hear(&Packet {
                ssrc: rtp.ssrc,
                sequence,
                timestamp: rtp.timestamp,
                ticks: SAMPLES as u32,
                opus: false,
                payload: rtp.payload,
                arrived,
            });
        }
    }

    fn speak(&self) {
        let frames = sound::ulaw();
        let mut wheel: [Vec<Mouth>; SLOTS as usize] = Default::default();
        let began = Instant::now();
        for step in 0_u64.. {
            if self.stopped.load(Relaxed) {
                return;
            }
            let due = began + Duration::from_millis(step);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            for (n, call) in std::mem::take(&mut lock(&self.known).fresh) {
                // 7 has no factor in common with the slots: calls one after the other lie far apart
                wheel[n * 7 % SLOTS as usize].push(Mouth::new(n, call));
            }
            let slot = &mut wheel[(step % SLOTS) as usize];
            slot.retain(|mouth| !mouth.call.ended.load(Relaxed));
            for mouth in slot {
                mouth.say(&self.sockets[mouth.n % SOCKETS], &frames);
            }
        }
    }
}

/// What one phone says.
struct Mouth {
    n: usize,
    call: Arc<Call>,
    frame: usize,
    sequence: u16,
    timestamp: u32,
}

impl Mouth {
    fn new(n: usize, call: Arc<Call>) -> Self {
        // not all marks at once
        Self { n, call, frame: n * 7 % FRAMES, sequence: 1, timestamp: 160 }
    }

    fn say(&mut self, socket: &UdpSocket, frames: &[Box<[u8]>]) {
        let Some(remote) = *lock(&self.call.remote) else { return };
        if !self.call.talks.load(Relaxed) {
            return;
        }
        let mut packet = Vec::with_capacity(12 + SAMPLES);
        packet.extend([0x80, 0]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend((self.n as u32 + 1).to_be_bytes());
        packet.extend(&*frames[self.frame]);
        self.call.to_room.sending(self.frame.is_multiple_of(FRAMES));
        // a full buffer is a loss, and seen as one
        _ = socket.send_to(&packet, remote);
        self.frame = (self.frame + 1) % frames.len();
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
    }
}

/// An RTP packet (RFC 3550, section 5.1) without extension and padding, as all of ours are.
struct Rtp<'a> {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &'a [u8],
}

impl<'a> Rtp<'a> {
    fn read(datagram: &'a [u8]) -> Option<Self> {
        let (head, payload) = datagram.split_first_chunk::<12>()?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *head;
        (first == 0x80).then_some(Self {
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload,
        })
    }
}

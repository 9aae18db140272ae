//! A participant's place on the media threads: its peer and its sockets under one lock.

use crate::{
    core::peer::{Peer, PeerEvent, Role, RtpCounts},
    media::{
        companion::{Companion, Turn},
        outbox::Outbox,
        socket::{self, Batch, MAX_BATCHES},
    },
    options::Limits,
};
use std::{
    io,
    net::{IpAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::sync::mpsc;

/// Ticks that are made up for after a seat was busy or the thread late: 200 ms.
const MAX_OWED: u32 = 10;

/// Shared by a session (negotiation) and a media thread (packets). The thread never waits for the
/// lock: a seat that is being negotiated is visited 20 ms later.
pub(crate) struct Seat {
    inner: Mutex<Inner>,
    bind: IpAddr,
    closed: AtomicBool,
    owed: AtomicU32,
    is_up: AtomicBool,
    is_urgent: AtomicBool,
    outlet: Outlet,
}

struct Inner {
    peer: Peer,
    sockets: [Option<Arc<UdpSocket>>; 2],
    companion: Option<Box<dyn Companion>>,
    /// Counts of earlier peers of this seat.
    past: RtpCounts,
    /// Time of the last step: a session and a media thread take turns, and str0m's time must not
    /// go back.
    last: Instant,
}

/// Where a seat's events go. Everything but data is little; data is limited.
struct Outlet {
    control: mpsc::UnboundedSender<PeerEvent>,
    data: mpsc::UnboundedSender<DataPacket>,
    limits: Limits,
    backlog: Arc<Backlog>,
}

/// A received data packet on its way to the session.
pub(crate) struct DataPacket {
    pub(crate) reliable: bool,
    pub(crate) bytes: Vec<u8>,
}

/// Data packets that wait for the session.
#[derive(Default)]
pub(crate) struct Backlog {
    packets: AtomicUsize,
    bytes: AtomicUsize,
    pub(crate) dropped: AtomicU64,
}

impl Backlog {
    /// The session has taken a packet.
    pub(crate) fn taken(&self, packet: &DataPacket) {
        self.packets.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(packet.bytes.len(), Relaxed);
    }
}

/// The session's ends of a seat's channels.
pub(crate) struct Inlet {
    pub(crate) control: mpsc::UnboundedReceiver<PeerEvent>,
    pub(crate) data: mpsc::UnboundedReceiver<DataPacket>,
    pub(crate) backlog: Arc<Backlog>,
}

impl Seat {
    pub(crate) fn new(peer: Peer, bind: IpAddr, limits: Limits) -> (Self, Inlet) {
        let (control, control_receiver) = mpsc::unbounded_channel();
        let (data, data_receiver) = mpsc::unbounded_channel();
        let backlog = Arc::<Backlog>::default();
        let outlet = Outlet { control, data, limits, backlog: Arc::clone(&backlog) };
        let past = RtpCounts::default();
        let (sockets, last) = ([None, None], Instant::now());
        let inner = Inner { peer, sockets, companion: None, past, last };
        let seat = Self {
            inner: Mutex::new(inner),
            bind,
            closed: AtomicBool::new(false),
            owed: AtomicU32::new(0),
            is_up: AtomicBool::new(false),
            is_urgent: AtomicBool::new(true),
            outlet,
        };
        (seat, Inlet { control: control_receiver, data: data_receiver, backlog })
    }

    /// Runs a negotiation step and sends what comes out of it.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut Peer) -> T) -> T {
        let mut inner = self.lock();
        let result = step(&mut inner.peer);
        let now = inner.advance(Instant::now());
        inner.settle(now, &self.outlet);
        self.is_urgent.store(inner.peer.is_urgent(), Relaxed);
        result
    }

    /// Opens the socket of a peer connection, unless it is open.
    pub(crate) fn open(&self, role: Role) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.peer.has(role) {
            return Ok(());
        }
        let socket = socket::open(self.bind)?;
        let local = socket.local_addr()?;
        inner.peer.open(role, local, Instant::now());
        inner.sockets[role as usize] = Some(Arc::new(socket));
        Ok(())
    }

    /// Puts a new peer in the place of the old one, which is returned.
    pub(crate) fn replace(&self, peer: Peer) -> Peer {
        let mut inner = self.lock();
        inner.sockets = [None, None];
        inner.past = inner.total();
        std::mem::replace(&mut inner.peer, peer)
    }

    /// Puts a companion in the place of the one before, unless the seat is closed.
    pub(crate) fn attach(&self, companion: Box<dyn Companion>) {
        let mut inner = self.lock();
        let unused = match self.is_closed() {
            true => Some(companion),
            false => inner.companion.replace(companion),
        };
        drop(inner);
        drop(unused);
    }

    pub(crate) fn counts(&self) -> RtpCounts {
        self.lock().total()
    }

    /// The media thread lets go of the seat at its next turn; sinks, sources and the companion are
    /// dropped now.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        let mut inner = self.lock();
        inner.sockets = [None, None];
        inner.past = inner.total();
        inner.peer = Peer::new(true, String::new());
        let companion = inner.companion.take();
        drop(inner);
        drop(companion);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Wants a turn at every step of the wheel.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_urgent.load(Relaxed)
    }

    /// One turn: write what is due, read what came, poll once. `tick`: 20 ms have passed, so
    /// frames are due.
    pub(crate) fn turn(&self, now: Instant, tick: bool, batch: &mut Batch, outbox: &mut Outbox) {
        let mut inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => {
                self.owed.fetch_add(u32::from(tick), Relaxed);
                return;
            }
        };
        let ticks = match tick {
            true => 1 + self.owed.swap(0, Relaxed).min(MAX_OWED),
            false => 0,
        };
        let now = inner.advance(now);
        inner.turn(now, ticks, batch, outbox);
        inner.deliver(&self.outlet);
        self.is_up.store(inner.peer.is_up(), Relaxed);
        self.is_urgent.store(inner.peer.is_urgent(), Relaxed);
    }

    /// A turn panicked: ends the participant, and nobody else.
    pub(crate) fn give_up(&self) {
        self.closed.store(true, Relaxed);
        // without a session there is nobody to tell
        let _ = self.outlet.control.send(PeerEvent::Panicked);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn advance(&mut self, now: Instant) -> Instant {
        self.last = self.last.max(now);
        self.last
    }

    fn turn(&mut self, now: Instant, ticks: u32, batch: &mut Batch, outbox: &mut Outbox) {
        if let Some(companion) = &mut self.companion {
            companion.receive(&mut Turn::new(now, ticks, batch, outbox));
        }
        // what the companion has read does not wait for a tick
        let is_due = ticks > 0 || self.companion.is_some();
        let wrote = is_due && self.peer.write_due(now, ticks);
        for role in Role::ALL {
            if self.peer.has(role) {
                let wrote = wrote && role == Role::Publisher;
                let read = self.read(role, now, batch, outbox);
                let due = wrote || self.peer.is_due(role, now);
                // a received datagram brings the time along
                if read == 0 && due {
                    self.peer.timeout(role, now);
                }
                if read > 0 || due {
                    self.poll(role, now, outbox);
                }
            }
        }
        self.write_data(now, outbox);
        if let Some(companion) = &mut self.companion {
            companion.send(&mut Turn::new(now, ticks, batch, outbox));
        }
    }

    fn read(&mut self, role: Role, now: Instant, batch: &mut Batch, outbox: &mut Outbox) -> usize {
        let mut total = 0;
        for _ in 0..MAX_BATCHES {
            let Some(socket) = &self.sockets[role as usize] else { return total };
            let count = batch.receive(socket);
            for index in 0..count {
                let Some((from, bytes)) = batch.datagram(index) else { continue };
                if total > 0 {
                    // str0m keeps one received RTP packet only
                    self.poll(role, now, outbox);
                }
                self.peer.receive(role, from, bytes, now);
                total += 1;
            }
            if count < Batch::SIZE {
                break;
            }
        }
        total
    }

    fn poll(&mut self, role: Role, now: Instant, outbox: &mut Outbox) {
        let Self { peer, sockets, .. } = self;
        peer.poll(role, now, &mut |to, bytes| {
            if let Some(socket) = &sockets[role as usize] {
                outbox.push(socket, to, bytes);
            }
        });
    }

    fn write_data(&mut self, now: Instant, outbox: &mut Outbox) {
        while self.peer.write_data() {
            self.peer.timeout(Role::Publisher, now);
            self.poll(Role::Publisher, now, outbox);
        }
    }

    /// After a step outside the media thread.
    fn settle(&mut self, now: Instant, outlet: &Outlet) {
        let mut outbox = Outbox::default();
        for role in Role::ALL {
            if self.peer.has(role) {
                self.peer.timeout(role, now);
                self.poll(role, now, &mut outbox);
            }
        }
        outbox.flush();
        self.deliver(outlet);
    }

    fn deliver(&mut self, outlet: &Outlet) {
        while let Some(event) = self.peer.events.pop_front() {
            match event {
                PeerEvent::Data { reliable, bytes } => outlet.data(DataPacket { reliable, bytes }),
                event => {
                    // without a session nobody needs the events
                    let _ = outlet.control.send(event);
                }
            }
        }
    }

    fn total(&self) -> RtpCounts {
        let (past, now) = (self.past, self.peer.counts);
        RtpCounts {
            received: past.received + now.received,
            sent: past.sent + now.sent,
            ignored: past.ignored + now.ignored,
        }
    }
}

impl Outlet {
    fn data(&self, packet: DataPacket) {
        let backlog = &self.backlog;
        let bytes = backlog.bytes.load(Relaxed) + packet.bytes.len();
        // small packets cost more than their bytes, so their number is limited as well
        if bytes > self.limits.data_backlog || backlog.packets.load(Relaxed) >= self.limits.events {
            backlog.dropped.fetch_add(1, Relaxed);
            return;
        }
        backlog.packets.fetch_add(1, Relaxed);
        backlog.bytes.fetch_add(packet.bytes.len(), Relaxed);
        let _ = self.data.send(packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_nobody_takes_is_dropped_and_counted() {
        let limits = Limits { data_backlog: 100, events: 3, ..Default::default() };
        let peer = Peer::new(true, String::new());
        let (seat, mut inlet) = Seat::new(peer, IpAddr::from([127, 0, 0, 1]), limits);
        let receive = |size: usize| {
            let bytes = vec![0; size];
            seat.with(|p| p.events.push_back(PeerEvent::Data { reliable: true, bytes }));
        };
        // by bytes
        [60, 60, 30].into_iter().for_each(receive);
        assert_eq!(inlet.backlog.dropped.load(Relaxed), 1);
        // by number
        [1, 1].into_iter().for_each(receive);
        assert_eq!(inlet.backlog.dropped.load(Relaxed), 2);
        for size in [60, 30, 1] {
            let packet = inlet.data.try_recv().unwrap();
            assert_eq!(packet.bytes.len(), size);
            inlet.backlog.taken(&packet);
        }
        receive(100);
        assert_eq!(inlet.data.try_recv().unwrap().bytes.len(), 100);
        assert_eq!(inlet.backlog.dropped.load(Relaxed), 2);
    }
}

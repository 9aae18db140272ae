//! Where media threads leave packets: a buffer in memory, emptied by the writer's thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use outdial_domain::RoomName;
use outdial_domain::ports::{AudioPacket, AudioSink};

use super::format::{Gap, GapReason, HEAD, MAX_PAYLOAD, RECORD, push_gap, push_packet};
use super::writer::CaptureFile;

/// How much a call may have in memory while the disk does not take it: about 15 s of both sides.
const MAX_BUFFER: usize = 256 * 1024;

/// Packets of one call that are not yet written. Locked for a copy or a swap only, never over I/O.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Room for a block's head, and records behind it.
    bytes: Vec<u8>,
    /// What could not be taken since the last record.
    gap: Option<Gap>,
    /// Why the writer could not write, while it cannot.
    blocked: Option<GapReason>,
    /// Bytes of the capture: in the file and here.
    total: u64,
    /// No more is taken.
    sealed: bool,
}

/// A session of a call's capture that is open.
pub(super) struct OpenCapture {
    pub(super) room: RoomName,
    /// The start by the wall clock, in µs since 1970; names the session.
    pub(super) session: i64,
    started: Instant,
    max_bytes: u64,
    closed: AtomicBool,
    buffer: Mutex<Buffer>,
    /// Locked over I/O, by the writer only.
    pub(super) file: Mutex<CaptureFile>,
}

impl OpenCapture {
    pub(super) fn new(room: RoomName, session: i64, max_bytes: u64, file: CaptureFile) -> Self {
        let buffer =
            Buffer { bytes: vec![0; HEAD], gap: None, blocked: None, total: 0, sealed: false };
        Self {
            room,
            session,
            started: Instant::now(),
            max_bytes,
            closed: AtomicBool::new(false),
            buffer: Mutex::new(buffer),
            file: Mutex::new(file),
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is buffered, as the body of a block that begins with room for its head, and
    /// leaves `empty` for what comes.
    pub(super) fn take(&self, block: &mut Vec<u8>) {
        block.clear();
        block.resize(HEAD, 0);
        let mut buffer = self.buffer();
        if let Some(gap) = buffer.gap.take() {
            push_gap(&mut buffer.bytes, &gap);
        }
        std::mem::swap(&mut buffer.bytes, block);
    }

    /// Bytes that earlier sessions of the call have written.
    pub(super) fn add_earlier(&self, bytes: u64) {
        self.buffer().total += bytes;
    }

    /// Why nothing can be written now, for the gap that may come of it.
    pub(super) fn set_blocked(&self, reason: Option<GapReason>) {
        self.buffer().blocked = reason;
    }

    /// Takes no more packets; what is buffered is still written.
    pub(super) fn seal(&self) {
        self.buffer().sealed = true;
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns whether the writer should hurry: half of what may be in memory is.
    fn push(&self, packet: &AudioPacket<'_>) -> bool {
        let arrival = packet.arrived_at.saturating_duration_since(self.started).as_micros();
        let arrival = u64::try_from(arrival).unwrap_or(u64::MAX);
        let mut buffer = self.buffer();
        let before = buffer.bytes.len();
        if !buffer.sealed {
            buffer.push(packet, arrival, self.max_bytes);
        }
        before < MAX_BUFFER / 2 && buffer.bytes.len() >= MAX_BUFFER / 2
    }
}

impl Buffer {
    fn push(&mut self, packet: &AudioPacket<'_>, arrival: u64, max_bytes: u64) {
        let length = RECORD + packet.payload.len();
        if packet.payload.len() > MAX_PAYLOAD {
            return self.lose(GapReason::Oversized, arrival);
        }
        if self.total + length as u64 > max_bytes {
            return self.lose(GapReason::CallLimit, arrival);
        }
        if self.bytes.len() + length > MAX_BUFFER {
            return self.lose(self.blocked.unwrap_or(GapReason::Slow), arrival);
        }
        if let Some(gap) = self.gap.take() {
            push_gap(&mut self.bytes, &gap);
        }
        self.total += length as u64;
        push_packet(&mut self.bytes, packet, arrival);
    }

    fn lose(&mut self, reason: GapReason, arrival: u64) {
        match &mut self.gap {
            Some(gap) if gap.reason == reason => {
                gap.packets = gap.packets.saturating_add(1);
                gap.until = arrival;
            }
            other => {
                let earlier =
                    other.replace(Gap { reason, packets: 1, from: arrival, until: arrival });
                // Reasons that take turns, packet by packet, must not fill the memory either.
                if let Some(gap) = earlier.filter(|_| self.bytes.len() < MAX_BUFFER) {
                    push_gap(&mut self.bytes, &gap);
                }
            }
        }
    }
}

/// The sink that media threads write to.
pub(super) struct CaptureSink {
    pub(super) capture: Arc<OpenCapture>,
    pub(super) writer: Thread,
}

impl AudioSink for CaptureSink {
    fn write(&mut self, packet: &AudioPacket<'_>) {
        if !packet.payload.is_empty() && self.capture.push(packet) {
            self.writer.unpark();
        }
    }
}

impl Drop for CaptureSink {
    fn drop(&mut self) {
        self.capture.seal();
        self.writer.unpark();
    }
}

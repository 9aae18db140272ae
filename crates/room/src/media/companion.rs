//! What has its turns together with a participant.

use crate::media::{
    outbox::Outbox,
    socket::{Batch, MAX_BATCHES},
};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};

/// Has its turns on a media thread together with a participant: the RTP socket of a phone, for
/// example. See [`Room::attach`](crate::Room::attach).
///
/// The rules of [`RtpSink`](crate::RtpSink) hold: it must neither block nor panic. The participant
/// is locked during a turn, so of its [`Room`](crate::Room) nothing may be called, only
/// [`Publication::send`](crate::Publication::send).
pub trait Companion: Send {
    /// Begins a turn. What is read here and given to a publication leaves in this turn.
    fn receive(&mut self, turn: &mut Turn<'_>);

    /// Ends a turn, after the packets of the room were given to their sinks.
    fn send(&mut self, turn: &mut Turn<'_>);
}

/// One turn of a [`Companion`].
pub struct Turn<'a> {
    now: Instant,
    ticks: u32,
    batch: &'a mut Batch,
    outbox: &'a mut Outbox,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("ticks", &self.ticks).finish_non_exhaustive()
    }
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        now: Instant,
        ticks: u32,
        batch: &'a mut Batch,
        outbox: &'a mut Outbox,
    ) -> Self {
        Self { now, ticks, batch, outbox }
    }

    /// When the turn began. It never goes back.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many times 20 ms have passed since the last turn: frames are due. Usually 1; more after
    /// a turn was left out, at most 11. 0 in turns between, which a participant has while it
    /// connects. A thread that was held up for more than 200 ms does not make up for it.
    #[must_use]
    pub fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Reads what waits in a non-blocking socket, up to 64 datagrams: eight with one system call.
    /// A datagram is cut off at 2048 bytes. Returns how many were read.
    pub fn read(
        &mut self,
        socket: &UdpSocket,
        each: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> usize {
        let mut total = 0;
        for _ in 0..MAX_BATCHES {
            let count = self.batch.receive(socket);
            for index in 0..count {
                if let Some((from, bytes)) = self.batch.datagram_mut(index) {
                    each(from, bytes);
                    total += 1;
                }
            }
            if count < Batch::SIZE {
                break;
            }
        }
        total
    }

    /// Sends a datagram, together with those of the participants whose turns are at the same time:
    /// after their turns, some milliseconds later at most. What cannot be sent is lost.
    pub fn send(&mut self, socket: &Arc<UdpSocket>, to: SocketAddr, datagram: &[u8]) {
        self.outbox.push(socket, to, datagram);
    }
}

#[cfg(test)]
mod tests;

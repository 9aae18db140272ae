//! One speaker's track: packets in their order, samples by the clock.

use outdial_room::{AudioCodec, RtpPacket};

use super::queue::{Queue, Taken};
use super::voice::Decoder;
use crate::g711::{self, FRAME};

/// Lost packets in a row that are made up for.
const CONCEALED: usize = 5;
/// Packets that wait for an earlier one that may only be late.
const MAX_HELD: usize = 5;
/// Longest payload that waits; real ones are far shorter.
const MAX_PAYLOAD: usize = 1_500;
/// A packet so far ahead begins something new; one so far behind as well.
const JUMP: i64 = 50;
/// Payloads of Opus up to this length say that nothing is said (DTX).
const DTX: usize = 2;

/// What a turn gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing.
    Nothing,
    /// Samples: of that law, if they came so.
    Samples(Option<g711::Codec>),
}

#[derive(Debug, Default)]
pub(super) struct State {
    input: Option<Input>,
    queue: Queue,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Input {
    ssrc: u32,
    codec: AudioCodec,
    decoder: Decoder,
    /// The number and the timestamp that follow.
    next: u64,
    timestamp: u32,
}

#[derive(Debug)]
struct Held {
    sequence: u64,
    timestamp: u32,
    payload: Vec<u8>,
}

impl State {
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.held.clear();
    }

    pub(super) fn packet(&mut self, packet: &RtpPacket<'_>) {
        let same = |input: &Input| input.ssrc == packet.ssrc && input.codec == packet.codec;
        if !self.input.as_ref().is_some_and(same) {
            self.release();
            self.input = Input::new(packet);
        }
        let Some(input) = &mut self.input else { return };
        let ahead = packet.sequence.wrapping_sub(input.next).cast_signed();
        match ahead {
            0 => {
                input.play(packet.timestamp, packet.payload, &mut self.queue);
                self.follow();
            }
            1..JUMP => {
                // As long as something is there to be heard, the one between may still come.
                self.hold(packet);
                if self.held.len() >= MAX_HELD || self.queue.len() < FRAME {
                    self.release();
                }
            }
            _ if ahead.unsigned_abs() >= JUMP.unsigned_abs() => {
                self.release();
                if let Some(input) = &mut self.input {
                    input.decoder.interrupt();
                    input.next = packet.sequence;
                    input.play(packet.timestamp, packet.payload, &mut self.queue);
                }
            }
            // Too late: it was made up for.
            _ => {}
        }
    }

    pub(super) fn take(&mut self, frame: &mut [i16; FRAME]) -> Heard {
        if self.queue.len() < FRAME && !self.held.is_empty() {
            self.release();
        }
        let Some(input) = &mut self.input else { return Heard::Nothing };
        match self.queue.take(frame) {
            Taken::Nothing => return Heard::Nothing,
            Taken::Frame => {}
            Taken::Missing => {
                let packets = FRAME.div_ceil(input.decoder.frame());
                input.decoder.conceal(packets, None, &mut self.queue);
                self.queue.take_made_up(frame);
            }
        }
        Heard::Samples(input.decoder.law())
    }

    /// Samples that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn hold(&mut self, packet: &RtpPacket<'_>) {
        let at = self.held.partition_point(|held| held.sequence < packet.sequence);
        let known = self.held.get(at).is_some_and(|held| held.sequence == packet.sequence);
        if !known && packet.payload.len() <= MAX_PAYLOAD {
            let (sequence, timestamp) = (packet.sequence, packet.timestamp);
            self.held.insert(at, Held { sequence, timestamp, payload: packet.payload.to_vec() });
        }
    }

    /// Plays what was held and is next now.
    fn follow(&mut self) {
        let Some(input) = &mut self.input else { return };
        while self.held.first().is_some_and(|held| held.sequence <= input.next) {
            let held = self.held.remove(0);
            if held.sequence == input.next {
                input.play(held.timestamp, &held.payload, &mut self.queue);
            }
        }
    }

    /// Plays all that is held; what is missing between is lost.
    fn release(&mut self) {
        let Some(input) = &mut self.input else { return };
        for held in self.held.drain(..) {
            if held.sequence > input.next {
                input.bridge(&held, &mut self.queue);
            }
            if held.sequence == input.next {
                input.play(held.timestamp, &held.payload, &mut self.queue);
            }
        }
    }
}

impl Input {
    fn new(packet: &RtpPacket<'_>) -> Option<Self> {
        let decoder = Decoder::new(packet.codec).ok()?;
        Some(Self {
            ssrc: packet.ssrc,
            codec: packet.codec,
            decoder,
            next: packet.sequence,
            timestamp: packet.timestamp,
        })
    }

    fn play(&mut self, timestamp: u32, payload: &[u8], queue: &mut Queue) {
        self.next = self.next.wrapping_add(1);
        let silent = payload.is_empty() || self.codec == AudioCodec::Opus && payload.len() <= DTX;
        if !silent {
            self.decoder.decode(payload, queue);
        }
        let ticks = if payload.is_empty() { 0 } else { self.decoder.frame() as u32 * self.scale() };
        self.timestamp = timestamp.wrapping_add(ticks);
    }

    /// Makes up for what was lost before a packet.
    fn bridge(&mut self, held: &Held, queue: &mut Queue) {
        let packets = (held.sequence - self.next) as usize;
        let ticks = held.timestamp.wrapping_sub(self.timestamp).cast_signed().max(0).unsigned_abs();
        // Packets without sound may have been lost too: no more than there was time for.
        let frame = self.decoder.frame();
        let lost = packets.min(((ticks / self.scale()) as usize + frame / 2) / frame);
        let next = (lost <= CONCEALED).then_some(&*held.payload);
        self.decoder.conceal(lost.min(CONCEALED), next, queue);
        self.next = held.sequence;
    }

    /// Ticks of the RTP clock in a sample.
    fn scale(&self) -> u32 {
        self.codec.clock_rate() / 8_000
    }
}

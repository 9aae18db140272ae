//! The phone's audio: RTP and RTCP with one peer (RFC 3550, RFC 3551, RFC 4733).
//!
//! No socket and no clock is in here: datagrams and the time are given, datagrams and events come
//! out. Where packets may come from is the business of [`latch`].

mod keypad;
mod latch;
mod leg;
mod reception;
mod reports;
mod sender;
#[cfg(test)]
mod tests;
mod timeline;
mod tones;
mod watch;

pub(crate) use keypad::DtmfError;
pub(crate) use leg::RtpLeg;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use outdial_domain::{Digit, OneWay};

use crate::g711::Codec;

/// Ticks of the RTP clock in a second.
const CLOCK_RATE: u64 = 8_000;

/// What a leg begins with.
#[derive(Debug, Clone)]
pub(crate) struct RtpSettings {
    /// Names our stream; random.
    pub(crate) ssrc: u32,
    /// Of the first packet; random.
    pub(crate) sequence: u16,
    /// Of the first packet; random.
    pub(crate) timestamp: u32,
    /// Names us in RTCP. Says nothing of anybody.
    pub(crate) cname: String,
    /// What time it is, for RTCP.
    pub(crate) wall: SystemTime,
    /// After so long without a packet since the answer: [`Event::NoMedia`].
    pub(crate) no_media: Duration,
    /// After so long without a packet, when there were some: [`Event::MediaSilence`].
    pub(crate) silence: Duration,
}

impl RtpSettings {
    /// Random names, and the usual limits: 60 s and 30 s.
    pub(crate) fn random() -> Self {
        Self {
            ssrc: rand::random(),
            sequence: rand::random(),
            timestamp: rand::random(),
            cname: format!("{:016x}", rand::random::<u64>()),
            wall: SystemTime::now(),
            no_media: Duration::from_secs(60),
            silence: Duration::from_secs(30),
        }
    }
}

/// Audio from the phone: one packet of it, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audio<'a> {
    /// The codec of the payload; may change from packet to packet.
    pub(crate) codec: Codec,
    /// As it came; begins anew with each stream.
    pub(crate) sequence: u16,
    /// In ticks of 8 kHz. Goes on over all streams, by the time that passed between them.
    pub(crate) timestamp: u32,
    /// Counts the streams (SSRC, or a new start of one).
    pub(crate) stream: u32,
    /// The beginning of speech after silence, and of each stream.
    pub(crate) marker: bool,
    /// A byte a sample; of any length.
    pub(crate) payload: &'a [u8],
    /// Its loudness in dBov, 0 (loudest) to -127.
    pub(crate) level: i8,
}

/// From which of our sockets a datagram is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// The one of RTP; RTCP as well, when the peer wants both on one port.
    Rtp,
    /// The one above.
    Rtcp,
}

/// Where datagrams go.
pub(crate) type Out<'a> = &'a mut dyn FnMut(Channel, SocketAddr, &[u8]);

/// What happens rarely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The first audio before the answer.
    EarlyAudio,
    /// The first audio after the answer.
    FirstAudio,
    /// The callee pressed a key and let it go.
    Dtmf {
        /// The key.
        digit: Digit,
        /// For how long.
        duration: Duration,
    },
    /// Nothing came since the answer, for so long that nothing will.
    NoMedia,
    /// Nothing comes any more.
    MediaSilence,
    /// After [`Event::MediaSilence`]: something came.
    MediaBack,
    /// Audio seems to go one way only.
    OneWay(OneWay),
    /// The peer's audio comes from somewhere else now, and ours goes there.
    LatchMoved {
        /// Where it came from, or should have.
        from: SocketAddr,
        /// Where it comes from.
        to: SocketAddr,
    },
}

/// Samples in that time.
fn ticks(time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    micros.saturating_mul(CLOCK_RATE / 1_000) / 1_000
}

/// The time of so many samples.
fn duration(ticks: u64) -> Duration {
    Duration::from_micros(ticks.saturating_mul(1_000_000 / CLOCK_RATE))
}

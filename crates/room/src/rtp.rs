//! RTP in and out: what callers give and get.

use crate::options::AudioCodec;
use std::{sync::Arc, time::Instant};

/// A received RTP packet, after decryption.
#[derive(Debug, Clone, Copy)]
pub struct RtpPacket<'a> {
    /// Source of the stream. A change means a new stream: reset decoders and jitter buffers.
    pub ssrc: u32,
    /// Extended sequence number: does not wrap in a stream. Gaps are lost packets, smaller numbers
    /// are late packets.
    pub sequence: u64,
    /// RTP timestamp in ticks of [`AudioCodec::clock_rate`]; wraps.
    pub timestamp: u32,
    /// Codec of the payload; may change in a stream.
    pub codec: AudioCodec,
    /// RTP marker bit: usually the start of speech after silence.
    pub marker: bool,
    /// When the packet was read from the socket (up to 20 ms after it came).
    pub arrived_at: Instant,
    /// The encoded audio, untouched. May be empty.
    pub payload: &'a [u8],
}

/// Takes the packets of one track. It is called on a media thread and must not block: that would
/// hold up every other participant of the thread. It must not panic. It is dropped at unsubscribe
/// and when the participant is closed.
pub trait RtpSink: Send {
    /// A packet came. Packets come as the network gave them: late, missing, never doubled.
    fn packet(&mut self, packet: &RtpPacket<'_>);
}

impl<F: FnMut(&RtpPacket<'_>) + Send> RtpSink for F {
    fn packet(&mut self, packet: &RtpPacket<'_>) {
        self(packet);
    }
}

/// One RTP payload to send.
#[derive(Debug, Clone)]
pub struct RtpFrame {
    /// The encoded audio of the published codec.
    pub payload: Arc<[u8]>,
    /// RTP timestamp in ticks of [`AudioCodec::clock_rate`].
    pub timestamp: u32,
    /// RTP marker bit: start of speech after silence.
    pub marker: bool,
    /// Loudness in dBov, 0 (loudest) to -127. The server detects active speakers with it.
    pub level: Option<i8>,
}

/// Gives the frames of a publication: the cheap way to send. Called on a media thread every 20 ms
/// (once for each 20 ms that passed), so the same rules as for [`RtpSink`] hold.
pub trait RtpSource: Send {
    /// The next frame, or `None` to send nothing this time.
    fn pull(&mut self, now: Instant) -> Option<RtpFrame>;
}

impl<F: FnMut(Instant) -> Option<RtpFrame> + Send> RtpSource for F {
    fn pull(&mut self, now: Instant) -> Option<RtpFrame> {
        self(now)
    }
}

//! Encoding: frames of 20 ms to an Ogg/Opus file (RFC 7845).

use std::io::Write;

use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use opus::{Application, Bitrate, Channels, Encoder};

use super::mixer::FRAME;
use super::{RATE, RenderError};

/// Bits per second for both sides: one at a time speaks mostly, and silence costs next to nothing.
const BITRATE: i32 = 48_000;
/// What is left of the encoder's quality for speed.
const COMPLEXITY: i32 = 5;
/// Frames in a page: 1 s.
const PAGE: u64 = 50;
/// Samples below this (-72 dB) are silence: A-law has no zero.
const SILENCE: u16 = 8;
/// Granule positions count at 48 kHz, whatever the sampling.
const GRANULE: u64 = 48_000 / RATE as u64;
/// When silence takes no more bytes the encoder has forgotten what was before, and makes the same
/// packet again and again.
const SETTLED_BYTES: usize = 4;
/// Such packets that are really encoded.
const SETTLED: u32 = 3;
/// Longest packet of one frame.
const MAX_PACKET: usize = 1_276;

/// Writes one file.
pub(super) struct OggOpus<W: Write> {
    writer: PacketWriter<'static, W>,
    encoder: Encoder,
    serial: u32,
    /// Samples per channel at 48 kHz that a player leaves out at the beginning.
    pre_skip: u64,
    frames: u64,
    /// The last packet: only when the next one comes is it known not to be the file's last.
    held: Option<Vec<u8>>,
    /// Packets in a row that are silence and no more.
    settled: u32,
    /// What the encoder makes of silence, when it has settled.
    silence: Vec<u8>,
}

impl<W: Write> OggOpus<W> {
    /// Begins the file: its two headers.
    pub(super) fn begin(output: W, title: &str, date: &str) -> Result<Self, RenderError> {
        // MDCT only: each side keeps to its channel, the delay is short, and it is twice as fast as
        // the speech mode, which is at its best at bitrates far below.
        let mut encoder = Encoder::new(RATE as u32, Channels::Stereo, Application::LowDelay)?;
        encoder.set_bitrate(Bitrate::Bits(BITRATE))?;
        encoder.set_vbr(true)?;
        encoder.set_complexity(COMPLEXITY)?;
        let pre_skip = u64::try_from(encoder.get_lookahead()?).unwrap_or(0) * GRANULE;
        let serial = crc32fast::hash(title.as_bytes());
        let mut writer = PacketWriter::new(output);
        writer.write_packet(head(pre_skip), serial, PacketWriteEndInfo::EndPage, 0)?;
        writer.write_packet(tags(title, date), serial, PacketWriteEndInfo::EndPage, 0)?;
        let (held, silence) = (None, Vec::new());
        Ok(Self { writer, encoder, serial, pre_skip, frames: 0, held, settled: 0, silence })
    }

    /// Encodes a frame, left and right by turns.
    pub(super) fn push(&mut self, frame: &[i16; 2 * FRAME]) -> Result<(), RenderError> {
        let silent = frame.iter().all(|sample| sample.unsigned_abs() <= SILENCE);
        let packet = if !silent {
            self.settled = 0;
            self.encoder.encode_vec(frame, MAX_PACKET)?
        } else if self.settled < SETTLED {
            self.silence = self.encoder.encode_vec(&[0; 2 * FRAME], MAX_PACKET)?;
            let settled = self.silence.len() <= SETTLED_BYTES;
            self.settled = if settled { self.settled + 1 } else { 0 };
            self.silence.clone()
        } else {
            self.silence.clone()
        };
        self.write(packet)
    }

    fn write(&mut self, packet: Vec<u8>) -> Result<(), RenderError> {
        if let Some(held) = self.held.replace(packet) {
            self.frames += 1;
            let page_ends = self.frames.is_multiple_of(PAGE);
            let info = match page_ends {
                true => PacketWriteEndInfo::EndPage,
                false => PacketWriteEndInfo::NormalPacket,
            };
            let granule = self.frames * FRAME as u64 * GRANULE;
            self.writer.write_packet(held, self.serial, info, granule)?;
        }
        Ok(())
    }

    /// Ends the file, which plays `samples` per channel.
    pub(super) fn finish(mut self, samples: u64) -> Result<(), RenderError> {
        let end = samples * GRANULE + self.pre_skip;
        // What the encoder still holds back, and a file of nothing has a packet too.
        let frames = end.div_ceil(FRAME as u64 * GRANULE).max(1);
        while self.frames + u64::from(self.held.is_some()) < frames {
            self.push(&[0; 2 * FRAME])?;
        }
        let last = self.held.take().unwrap_or_default();
        self.writer.write_packet(last, self.serial, PacketWriteEndInfo::EndStream, end)?;
        self.writer.inner_mut().flush()?;
        Ok(())
    }
}

fn head(pre_skip: u64) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend_from_slice(&u16::try_from(pre_skip).unwrap_or(0).to_le_bytes());
    head.extend_from_slice(&(RATE as u32).to_le_bytes());
    // No gain; mapping 0: left, right.
    head.extend_from_slice(&[0, 0, 0]);
    head
}

fn tags(title: &str, date: &str) -> Vec<u8> {
    let encoder = concat!("ENCODER=", env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    let comments = [encoder.to_owned(), format!("TITLE={title}"), format!("DATE={date}")];
    let mut tags = b"OpusTags".to_vec();
    let mut push = |text: &str| {
        tags.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        tags.extend_from_slice(text.as_bytes());
    };
    push(opus::version());
    let mut list = Vec::new();
    for comment in &comments {
        list.extend_from_slice(&u32::try_from(comment.len()).unwrap_or(0).to_le_bytes());
        list.extend_from_slice(comment.as_bytes());
    }
    tags.extend_from_slice(&u32::try_from(comments.len()).unwrap_or(0).to_le_bytes());
    tags.extend(list);
    tags
}

//! The capture file: blocks, each of which can be read alone.
//!
//! All numbers are little-endian. A file is a sequence of blocks; every block has a head of 32 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic `89 "ODCAP" 0D 0A` |
//! | 8 | version, 1 |
//! | 9 | kind: 1 session, 2 records |
//! | 10..12 | 0 |
//! | 12..16 | length of the body |
//! | 16..24 | session: its start by the wall clock, in µs since 1970 |
//! | 24..28 | CRC-32 of the body |
//! | 28..32 | CRC-32 of bytes 0..28 |
//!
//! The body of a session block is JSON that says what the file is and for which room. A new session
//! begins whenever capturing begins anew, after a crash for example. The body of a records block is
//! a sequence of records; a packet has 24 bytes and its payload:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | 1 |
//! | 1 | speaker: 0 callee, 1 agent |
//! | 2 | codec: 0 Opus, 1 PCMU, 2 PCMA |
//! | 3 | 0 |
//! | 4..6 | RTP sequence number |
//! | 6..8 | length of the payload |
//! | 8..12 | RTP timestamp |
//! | 12..16 | stream |
//! | 16..24 | arrival in µs since the session's start, by the monotonic clock |
//!
//! and a gap, which tells what could not be written, has 24 bytes: 2, the reason, 0, 0, packets (4),
//! the first's arrival (8), the last's arrival (8).
//!
//! A reader that meets anything else looks for the next magic: what is torn or damaged is lost block
//! by block, and the rest can be played.

use outdial_domain::Speaker;
use outdial_domain::ports::{AudioCodec, AudioPacket};

pub(super) const MAGIC: [u8; 8] = *b"\x89ODCAP\r\n";
pub(super) const VERSION: u8 = 1;
/// Bytes of a block's head.
pub(super) const HEAD: usize = 32;
/// Longest body that a reader accepts; a writer stays well below.
pub(super) const MAX_BODY: usize = 512 * 1024;
/// Longest payload that is captured: no RTP packet on a common network is longer.
pub(super) const MAX_PAYLOAD: usize = 1_500;
/// Bytes of a record without its payload.
pub(super) const RECORD: usize = 24;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// The beginning of a session.
    Session,
    /// Packets and gaps.
    Records,
}

/// The head of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHead {
    /// `None`: of a newer version, to be skipped.
    pub(super) kind: Option<BlockKind>,
    pub(super) length: usize,
    pub(super) session: i64,
    pub(super) crc: u32,
}

/// Why audio could not be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GapReason {
    /// The disk did not keep up.
    Slow,
    /// The disk was full.
    DiskFull,
    /// The disk refused the data.
    DiskFailed,
    /// All captures together reached their limit.
    Limit,
    /// The capture of this call reached its limit.
    CallLimit,
    /// A payload was longer than a packet can be.
    Oversized,
}

impl GapReason {
    const ALL: [Self; 6] = [
        Self::Slow,
        Self::DiskFull,
        Self::DiskFailed,
        Self::Limit,
        Self::CallLimit,
        Self::Oversized,
    ];

    /// For a person.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "the disk was too slow",
            Self::DiskFull => "the disk was full",
            Self::DiskFailed => "the disk failed",
            Self::Limit => "all captures together had reached their limit",
            Self::CallLimit => "the capture of the call had reached its limit",
            Self::Oversized => "packets were too large",
        }
    }
}

/// Packets that could not be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    pub(crate) packets: u32,
    /// Arrival of the first of them, in µs since the session's start.
    pub(crate) from: u64,
    /// Arrival of the last of them, likewise.
    pub(crate) until: u64,
}

/// A captured packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketRecord<'a> {
    pub(crate) speaker: Speaker,
    pub(crate) codec: AudioCodec,
    pub(crate) stream: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// Arrival in µs since the session's start.
    pub(crate) arrival: u64,
    pub(crate) payload: &'a [u8],
}

/// What a records block is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Packet(PacketRecord<'a>),
    Gap(Gap),
}

/// Writes the head of the block over the first [`HEAD`] bytes of `block`; the rest is its body.
pub(super) fn seal_block(block: &mut [u8], kind: BlockKind, session: i64) {
    let Some((head, body)) = block.split_at_mut_checked(HEAD) else { return };
    head[..8].copy_from_slice(&MAGIC);
    head[8] = VERSION;
    head[9] = match kind {
        BlockKind::Session => 1,
        BlockKind::Records => 2,
    };
    head[10..12].fill(0);
    head[12..16].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    head[16..24].copy_from_slice(&session.to_le_bytes());
    head[24..28].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let crc = crc32fast::hash(&head[..28]);
    head[28..32].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a head; `None` when it is none, or damaged.
pub(super) fn parse_head(head: &[u8; HEAD]) -> Option<BlockHead> {
    if head[..8] != MAGIC || u32_at(head, 28)? != crc32fast::hash(&head[..28]) {
        return None;
    }
    let length = u32_at(head, 12)? as usize;
    let kind = match (head[8], head[9]) {
        (VERSION, 1) => Some(BlockKind::Session),
        (VERSION, 2) => Some(BlockKind::Records),
        _ => None,
    };
    let session = i64::from_le_bytes(head.get(16..24)?.try_into().ok()?);
    (length <= MAX_BODY).then_some(BlockHead { kind, length, session, crc: u32_at(head, 24)? })
}

/// Appends a packet. The payload must not be longer than [`MAX_PAYLOAD`].
pub(super) fn push_packet(out: &mut Vec<u8>, packet: &AudioPacket<'_>, arrival: u64) {
    let mut head = [0; RECORD];
    head[0] = 1;
    head[1] = match packet.speaker {
        Speaker::User => 0,
        Speaker::Agent => 1,
    };
    head[2] = match packet.codec {
        AudioCodec::Opus => 0,
        AudioCodec::Pcmu => 1,
        AudioCodec::Pcma => 2,
    };
    head[4..6].copy_from_slice(&packet.sequence.to_le_bytes());
    let length = u16::try_from(packet.payload.len()).unwrap_or(0);
    head[6..8].copy_from_slice(&length.to_le_bytes());
    head[8..12].copy_from_slice(&packet.timestamp.to_le_bytes());
    head[12..16].copy_from_slice(&packet.stream.to_le_bytes());
    head[16..24].copy_from_slice(&arrival.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&packet.payload[..usize::from(length)]);
}

/// Appends a gap.
pub(super) fn push_gap(out: &mut Vec<u8>, gap: &Gap) {
    let reason = GapReason::ALL.iter().position(|&reason| reason == gap.reason).unwrap_or(0);
    let mut record = [0; RECORD];
    record[0] = 2;
    record[1] = u8::try_from(reason).unwrap_or(0);
    record[4..8].copy_from_slice(&gap.packets.to_le_bytes());
    record[8..16].copy_from_slice(&gap.from.to_le_bytes());
    record[16..24].copy_from_slice(&gap.until.to_le_bytes());
    out.extend_from_slice(&record);
}

/// Takes the next record off a body; `None` at its end, or where it cannot be understood.
pub(super) fn next_record<'a>(body: &mut &'a [u8]) -> Option<Record<'a>> {
    let (head, rest) = body.split_first_chunk::<RECORD>()?;
    let (record, rest) = match head[0] {
        1 => {
            let length = usize::from(u16::from_le_bytes([head[6], head[7]]));
            let (payload, rest) = rest.split_at_checked(length)?;
            (Record::Packet(packet(head, payload)?), rest)
        }
        2 => {
            let gap = Gap {
                reason: *GapReason::ALL.get(usize::from(head[1]))?,
                packets: u32_at(head, 4)?,
                from: u64_at(head, 8)?,
                until: u64_at(head, 16)?,
            };
            (Record::Gap(gap), rest)
        }
        _ => return None,
    };
    *body = rest;
    Some(record)
}

fn packet<'a>(head: &[u8; RECORD], payload: &'a [u8]) -> Option<PacketRecord<'a>> {
    Some(PacketRecord {
        speaker: match head[1] {
            0 => Speaker::User,
            1 => Speaker::Agent,
            _ => return None,
        },
        codec: match head[2] {
            0 => AudioCodec::Opus,
            1 => AudioCodec::Pcmu,
            2 => AudioCodec::Pcma,
            _ => return None,
        },
        sequence: u16::from_le_bytes([head[4], head[5]]),
        timestamp: u32_at(head, 8)?,
        stream: u32_at(head, 12)?,
        arrival: u64_at(head, 16)?,
        payload,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

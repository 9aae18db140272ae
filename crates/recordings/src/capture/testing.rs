//! Captures made by hand, for tests.

use std::path::Path;
use std::time::Instant;

use outdial_domain::Speaker;
use outdial_domain::ports::{AudioCodec, AudioPacket};

use super::format::{BlockKind, Gap, HEAD, push_gap, push_packet, seal_block};

/// A packet whose arrival is told in µs since the session's start.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) speaker: Speaker,
    pub(crate) stream: u32,
    pub(crate) codec: AudioCodec,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) arrival: u64,
    pub(crate) payload: Vec<u8>,
}

/// Makes a capture of one session, in the order of arrival, with 50 packets in a block.
pub(crate) fn session(started: i64, mut packets: Vec<Sent>, gaps: &[Gap]) -> Vec<u8> {
    packets.sort_by_key(|packet| packet.arrival);
    let mut bytes = Vec::new();
    for packets in packets.chunks(50) {
        let mut block = vec![0; HEAD];
        for sent in packets {
            let packet = AudioPacket {
                speaker: sent.speaker,
                stream: sent.stream,
                codec: sent.codec,
                sequence: sent.sequence,
                timestamp: sent.timestamp,
                arrived_at: Instant::now(),
                payload: &sent.payload,
            };
            push_packet(&mut block, &packet, sent.arrival);
        }
        seal_block(&mut block, BlockKind::Records, started);
        bytes.extend(block);
    }
    let mut block = vec![0; HEAD];
    gaps.iter().for_each(|gap| push_gap(&mut block, gap));
    seal_block(&mut block, BlockKind::Records, started);
    bytes.extend(block);
    bytes
}

pub(crate) fn write(path: &Path, sessions: &[Vec<u8>]) {
    std::fs::write(path, sessions.concat()).unwrap();
}

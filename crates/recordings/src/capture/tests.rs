use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outdial_domain::ports::{AudioCodec, AudioPacket, SystemClock};
use outdial_domain::{RoomName, Speaker};
use proptest::prelude::*;

use super::format::{BlockKind, HEAD, MAX_PAYLOAD, push_gap, push_packet, seal_block};
use super::writer::{WriteBlock, write_block};
use super::{CaptureReader, CaptureWriter, Gap, GapReason, Limits, Record};
use crate::recorder::capture_path;

fn room() -> RoomName {
    "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap()
}

/// What a record says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Read {
    Packet(bool, u8, u32, u16, u32, u64, Vec<u8>),
    Gap(Gap),
}

fn owned(record: Record<'_>) -> Read {
    match record {
        Record::Gap(gap) => Read::Gap(gap),
        Record::Packet(p) => {
            let (agent, codec) = (p.speaker == Speaker::Agent, p.codec as u8);
            let payload = p.payload.to_vec();
            Read::Packet(agent, codec, p.stream, p.sequence, p.timestamp, p.arrival, payload)
        }
    }
}

fn encode(records: &[Read], session: i64) -> Vec<u8> {
    let mut block = vec![0; HEAD];
    for record in records {
        match record {
            Read::Gap(gap) => push_gap(&mut block, gap),
            Read::Packet(agent, codec, stream, sequence, timestamp, arrival, payload) => {
                let packet = AudioPacket {
                    speaker: if *agent { Speaker::Agent } else { Speaker::User },
                    stream: *stream,
                    codec: [AudioCodec::Opus, AudioCodec::Pcmu, AudioCodec::Pcma]
                        [usize::from(*codec)],
                    sequence: *sequence,
                    timestamp: *timestamp,
                    arrived_at: Instant::now(),
                    payload,
                };
                push_packet(&mut block, &packet, *arrival);
            }
        }
    }
    seal_block(&mut block, BlockKind::Records, session);
    block
}

fn read_all(bytes: &[u8]) -> (Vec<(i64, Read)>, u64) {
    let mut reader = CaptureReader::new(bytes);
    let mut records = Vec::new();
    while reader.next_block(|session, record| records.push((session, owned(record)))).unwrap() {}
    (records, reader.damaged)
}

fn reads() -> impl Strategy<Value = Read> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(vec![7; MAX_PAYLOAD]),
        // A payload may look like a block.
        Just(super::format::MAGIC.repeat(8)),
    ];
    let packet = (any::<bool>(), 0..3_u8, any::<u32>(), any::<u16>(), any::<u32>(), any::<u64>());
    prop_oneof![
        10 => (packet, payload).prop_map(|((a, c, st, se, t, at), p)| Read::Packet(a, c, st, se, t, at, p)),
        1 => (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(packets, from, until)| {
            Read::Gap(Gap { reason: GapReason::DiskFull, packets, from, until })
        }),
    ]
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Read>>> {
    proptest::collection::vec(proptest::collection::vec(reads(), 1..8), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_was_written_is_read(blocks in blocks()) {
        let bytes: Vec<u8> =
            blocks.iter().zip(0..).flat_map(|(block, session)| encode(block, session)).collect();
        let (read, damaged) = read_all(&bytes);
        let written: Vec<_> = blocks
            .into_iter()
            .zip(0..)
            .flat_map(|(block, session)| block.into_iter().map(move |record| (session, record)))
            .collect();
        prop_assert_eq!(read, written);
        prop_assert_eq!(damaged, 0);
    }

    #[test]
    fn damage_costs_the_damaged_blocks_only(
        blocks in blocks(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        garbage in proptest::collection::vec(any::<u8>(), 0..100),
        garbage_before in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        let mut ranges = Vec::new();
        let garbage_before = garbage_before.index(blocks.len());
        for (at, block) in blocks.iter().enumerate() {
            if at == garbage_before {
                bytes.extend_from_slice(&garbage);
            }
            let start = bytes.len();
            bytes.extend(encode(block, at as i64));
            ranges.push(start..bytes.len());
        }
        let whole = bytes.clone();
        for (at, with) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (read, _) = read_all(&bytes);
        let expected: Vec<_> = blocks
            .iter()
            .zip(ranges)
            .enumerate()
            .filter(|(_, (_, range))| bytes.get(range.clone()) == Some(&whole[range.clone()]))
            .flat_map(|(at, (block, _))| block.iter().map(move |r| (at as i64, r.clone())))
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn anything_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
        let (read, damaged) = read_all(&bytes);
        prop_assert!(read.is_empty());
        prop_assert_eq!(damaged, bytes.len() as u64);
    }
}

struct Rig {
    dir: tempfile::TempDir,
    writer: CaptureWriter,
}

impl Rig {
    fn new(limits: Limits, write: Box<WriteBlock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let captures = dir.path().join("captures");
        let clock = Arc::new(SystemClock);
        let writer = CaptureWriter::start(captures, limits, clock, 0, write).unwrap();
        Self { dir, writer }
    }

    fn path(&self) -> std::path::PathBuf {
        capture_path(&self.dir.path().join("captures"), &room())
    }

    async fn closed(&self) {
        let room = room();
        let closed = self.writer.closed(&room);
        tokio::time::timeout(Duration::from_secs(60), closed).await.unwrap();
    }

    fn read(&self) -> Vec<Read> {
        let bytes = std::fs::read(self.path()).unwrap_or_default();
        read_all(&bytes).0.into_iter().map(|(_, record)| record).collect()
    }
}

const PLENTY: Limits = Limits { all: 1 << 30, call: 1 << 30 };

fn packet(sequence: u16, payload: &[u8]) -> AudioPacket<'_> {
    AudioPacket {
        speaker: Speaker::User,
        stream: 1,
        codec: AudioCodec::Pcmu,
        sequence,
        timestamp: u32::from(sequence) * 160,
        arrived_at: Instant::now(),
        payload,
    }
}

fn sequences(records: &[Read]) -> Vec<u16> {
    let packets = records.iter().filter_map(|record| match record {
        Read::Packet(_, _, _, sequence, ..) => Some(*sequence),
        Read::Gap(_) => None,
    });
    packets.collect()
}

fn gaps(records: &[Read]) -> Vec<(GapReason, u32)> {
    let gaps = records.iter().filter_map(|record| match record {
        Read::Gap(gap) => Some((gap.reason, gap.packets)),
        Read::Packet(..) => None,
    });
    gaps.collect()
}

#[tokio::test]
async fn packets_of_all_sessions_are_in_one_file_of_this_user() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new(PLENTY, Box::new(write_block));
    for session in 0..3 {
        let mut sink = rig.writer.open(&room());
        for sequence in 0..50 {
            sink.write(&packet(session * 50 + sequence, &[1; 160]));
        }
        sink.write(&packet(9_999, &[]));
        drop(sink);
        rig.closed().await;
    }
    assert_eq!(sequences(&rig.read()), (0..150).collect::<Vec<_>>());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&rig.path()) & 0o777, 0o600);
    assert_eq!(mode(rig.path().parent().unwrap()) & 0o777, 0o700);
}

#[tokio::test]
async fn a_call_without_audio_has_no_file() {
    let rig = Rig::new(PLENTY, Box::new(write_block));
    drop(rig.writer.open(&room()));
    rig.closed().await;
    assert!(!rig.path().exists());
}

#[tokio::test]
async fn a_closed_capture_takes_no_more_and_a_huge_packet_is_a_gap() {
    let rig = Rig::new(PLENTY, Box::new(write_block));
    let mut sink = rig.writer.open(&room());
    sink.write(&packet(1, &[1; 160]));
    sink.write(&packet(2, &[1; MAX_PAYLOAD + 1]));
    sink.write(&packet(3, &[1; MAX_PAYLOAD]));
    rig.writer.close(&room());
    rig.closed().await;
    sink.write(&packet(4, &[1; 160]));
    drop(sink);
    let read = rig.read();
    assert_eq!(sequences(&read), [1, 3]);
    assert_eq!(gaps(&read), [(GapReason::Oversized, 1)]);
}

#[tokio::test]
async fn limits_leave_a_gap_with_its_reason() {
    let rig = Rig::new(Limits { all: 1 << 30, call: 2_000 }, Box::new(write_block));
    let mut sink = rig.writer.open(&room());
    (0..20).for_each(|sequence| sink.write(&packet(sequence, &[1; 176])));
    drop(sink);
    rig.closed().await;
    assert_eq!(sequences(&rig.read()), (0..10).collect::<Vec<_>>());
    assert_eq!(gaps(&rig.read()), [(GapReason::CallLimit, 10)]);

    let rig = Rig::new(Limits { all: 2_000, call: 1 << 30 }, Box::new(write_block));
    let mut sink = rig.writer.open(&room());
    (0..20).for_each(|sequence| sink.write(&packet(sequence, &[1; 176])));
    drop(sink);
    rig.closed().await;
    assert_eq!(gaps(&rig.read()), [(GapReason::Limit, 20)]);
    assert!(!rig.writer.is_full());
}

#[tokio::test]
async fn capturing_goes_on_when_a_full_disk_has_space_again() {
    let full = Arc::new(AtomicBool::new(true));
    let tried = Arc::new(tokio::sync::Notify::new());
    let (seen, ring) = (Arc::clone(&full), Arc::clone(&tried));
    let rig = Rig::new(
        PLENTY,
        Box::new(move |file, block| {
            if seen.load(Ordering::Acquire) {
                // A part of the block is written all the same.
                write_block(file, &block[..block.len() / 2])?;
                ring.notify_one();
                return Err(io::ErrorKind::StorageFull.into());
            }
            write_block(file, block)
        }),
    );
    let mut sink = rig.writer.open(&room());
    sink.write(&packet(0, &[1; 1_000]));
    tried.notified().await;
    // What has come since then fills the memory that a call may have, and more.
    tried.notified().await;
    (1..=500).for_each(|sequence| sink.write(&packet(sequence, &[1; 1_000])));
    full.store(false, Ordering::Release);
    drop(sink);
    rig.closed().await;
    let read = rig.read();
    let taken = sequences(&read).len() as u32;
    assert!((200..300).contains(&taken), "{taken}");
    assert_eq!(gaps(&read), [(GapReason::DiskFull, 501 - taken)]);
}

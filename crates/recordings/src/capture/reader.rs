//! Reads a capture file, whatever has happened to it.

use std::io::{self, Read};

use outdial_domain::RoomName;

use super::format::{BlockKind, HEAD, MAGIC, MAX_BODY, Record, next_record, parse_head};

/// After so many blocks with a good head and a damaged body the rest is given up: it bounds the time
/// that a file made to be slow can take.
const MAX_DAMAGED_BODIES: u32 = 10_000;
const CHUNK: usize = 64 * 1024;

/// Of which call a capture is: its first block says so. `None` when that is damaged.
pub(crate) fn captured_room(mut input: impl Read) -> io::Result<Option<RoomName>> {
    #[derive(serde::Deserialize)]
    struct About {
        room_name: RoomName,
    }
    let mut head = [0; HEAD];
    let mut body = Vec::new();
    match input.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let head = parse_head(&head).filter(|head| head.kind == Some(BlockKind::Session));
    let Some(head) = head else { return Ok(None) };
    // At most `MAX_BODY`.
    input.take(head.length as u64).read_to_end(&mut body)?;
    let about = Some(body).filter(|body| crc32fast::hash(body) == head.crc);
    let about = about.and_then(|body| serde_json::from_slice::<About>(&body).ok());
    Ok(about.map(|about| about.room_name))
}

/// Reads records, skips what is damaged. Memory: a little more than the longest block.
pub(crate) struct CaptureReader<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    damaged_bodies: u32,
    /// Bytes that could not be understood so far.
    pub(crate) damaged: u64,
}

impl<R: Read> CaptureReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), at: 0, ended: false, damaged_bodies: 0, damaged: 0 }
    }

    /// Hands the records of the next good block to `take`, each with its session: its start by the
    /// wall clock in µs since 1970. Returns `false` at the end of the file.
    pub(crate) fn next_block(&mut self, mut take: impl FnMut(i64, Record<'_>)) -> io::Result<bool> {
        while self.fill(HEAD)? {
            let available = &self.buffer[self.at..];
            let Some(head) = available.first_chunk::<HEAD>().and_then(parse_head) else {
                self.skip_to_magic();
                continue;
            };
            let whole = self.fill(HEAD + head.length)?;
            let body = self.buffer.get(self.at + HEAD..self.at + HEAD + head.length);
            let Some(mut body) = body.filter(|body| whole && crc32fast::hash(body) == head.crc)
            else {
                self.damaged_bodies += 1;
                if self.damaged_bodies > MAX_DAMAGED_BODIES {
                    return Ok(false);
                }
                self.skip_to_magic();
                continue;
            };
            self.at += HEAD + head.length;
            if head.kind == Some(BlockKind::Records) {
                while let Some(record) = next_record(&mut body) {
                    take(head.session, record);
                }
                self.damaged += body.len() as u64;
            }
            return Ok(true);
        }
        self.damaged += (self.buffer.len() - self.at) as u64;
        self.at = self.buffer.len();
        Ok(false)
    }

    /// Makes `wanted` bytes available; `false` when the file ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while !self.ended && self.buffer.len() - self.at < wanted {
            if self.at > MAX_BODY {
                self.buffer.drain(..self.at);
                self.at = 0;
            }
            let length = self.buffer.len();
            self.buffer.resize(length + CHUNK, 0);
            let read = loop {
                match self.input.read(&mut self.buffer[length..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
            self.ended = read? == 0;
        }
        Ok(self.buffer.len() - self.at >= wanted)
    }

    /// Goes on at the next magic after the current position, within what is in memory; what could be
    /// the beginning of one at its end stays.
    fn skip_to_magic(&mut self) {
        let rest = &self.buffer[self.at..];
        let next = rest.windows(MAGIC.len()).skip(1).position(|window| window == MAGIC);
        let skipped = next.map_or(rest.len().saturating_sub(MAGIC.len() - 1).max(1), |at| at + 1);
        self.at += skipped;
        self.damaged += skipped as u64;
    }
}

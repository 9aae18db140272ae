//! Capturing: the packets of a running call go, as they came, to an append-only file.

mod format;
mod reader;
mod sink;
mod writer;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use self::format::{Gap, GapReason, PacketRecord, Record};
pub(crate) use self::reader::{CaptureReader, captured_room};
pub(crate) use self::writer::{CaptureWriter, Limits, WriteBlock, create_dir, write_block};

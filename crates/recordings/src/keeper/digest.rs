//! Reads a file to its end and says what it was.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use outdial_domain::ports::KeepFile;
use outdial_domain::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of something.
pub(super) type Sha = [u8; 32];

const BUFFER_BYTES: usize = 256 * 1024;

/// What a file is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) bytes: u64,
    pub(super) sha256: Sha,
}

impl Identity {
    pub(super) fn of(file: &KeepFile<'_>) -> Self {
        Self { bytes: file.bytes, sha256: file.sha256 }
    }

    /// The SHA-256 in hex.
    pub(super) fn hex(&self) -> String {
        hex(&self.sha256)
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Digest {
    pub(super) identity: Identity,
    /// The SHA-256 of each part.
    pub(super) parts: Vec<Sha>,
}

/// Reads the file at `path`, copies it to `to`, and fails unless it is what it is said to be.
pub(super) fn read_checked(
    operation: &'static str,
    path: &Path,
    expect: Identity,
    part_bytes: u64,
    to: &mut impl Write,
) -> Result<Digest> {
    let unread =
        |error: io::Error| Error::new(ErrorKind::Internal, operation, unreadable(path, &error));
    let mut file = File::open(path).map_err(unread)?;
    // A file that has grown too large is not read to its end.
    let length = file.metadata().map_err(unread)?.len();
    if length != expect.bytes {
        let message = format!("{} has {length} bytes, not {}", path.display(), expect.bytes);
        return Err(Error::new(ErrorKind::Corrupt, operation, message));
    }
    let digest = read(&mut file, to, part_bytes)
        .map_err(|error| super::folder::io_error(operation, "copying", path, &error))?;
    if digest.identity != expect {
        let message = format!("{} has another SHA-256 than was said", path.display());
        return Err(Error::new(ErrorKind::Corrupt, operation, message));
    }
    Ok(digest)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("the file to keep, {}, cannot be read: {error}", path.display())
}

/// Whether the file at `path` is this one.
pub(super) fn is(path: &Path, expect: Identity) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if !found.is_file() || found.len() != expect.bytes {
        return Ok(false);
    }
    Ok(read(&mut file, &mut io::sink(), u64::MAX)?.identity == expect)
}

/// Copies to the end.
fn read(from: &mut impl Read, to: &mut impl Write, part_bytes: u64) -> io::Result<Digest> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut whole, mut part) = (Sha256::new(), Sha256::new());
    let (mut bytes, mut in_part) = (0_u64, 0_u64);
    let mut parts = Vec::new();
    loop {
        let room = usize::try_from(part_bytes - in_part)
            .map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
        let count = match from.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let data = &buffer[..count];
        to.write_all(data)?;
        whole.update(data);
        part.update(data);
        bytes += count as u64;
        in_part += count as u64;
        if in_part == part_bytes {
            parts.push(part.finalize_reset().into());
            in_part = 0;
        }
    }
    if in_part > 0 {
        parts.push(part.finalize().into());
    }
    let identity = Identity { bytes, sha256: whole.finalize().into() };
    Ok(Digest { identity, parts })
}

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_their_size_and_their_hash() {
        let data: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
        for part_bytes in [1_000, 262_144, 300_000, 1_000_003, u64::MAX] {
            let mut copy = Vec::new();
            let digest = read(&mut &data[..], &mut copy, part_bytes).unwrap();
            assert_eq!(copy, data);
            assert_eq!(digest.identity.bytes, 1_000_003);
            assert_eq!(digest.identity.sha256, Sha::from(Sha256::digest(&data)));
            let size = usize::try_from(part_bytes).unwrap();
            let expect: Vec<Sha> = data.chunks(size).map(|p| Sha256::digest(p).into()).collect();
            assert!(digest.parts == expect, "parts of {part_bytes}");
        }
    }

    #[test]
    fn nothing_has_no_part() {
        let digest = read(&mut io::empty(), &mut io::sink(), 10).unwrap();
        assert_eq!(digest.identity.bytes, 0);
        assert!(digest.parts.is_empty());
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.identity.hex(), empty);
    }
}

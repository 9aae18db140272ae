//! From a capture to a recording that is kept, over crashes and dropped futures.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{SecondsFormat, TimeDelta, Utc};
use outdial_domain::ports::{KeepFile, KeepRequest};
use outdial_domain::{Error, ErrorKind, Recording, Result, RoomName};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

use super::files::{CallFiles, Kept, Sidecar, create, disk_error, length};
use super::{CLOSE_WAIT, CallTurn, Recorder, blocking};
use crate::render::{RenderError, render};

const OPERATION: &str = "recordings.keep";
const CONTENT_TYPE: &str = "audio/ogg; codecs=opus";

/// Under which key the recording of a call is kept.
pub(super) fn key(room: &RoomName) -> String {
    format!("recordings/call_{}.ogg", room.suffix())
}

pub(super) async fn keep(recorder: &Recorder, request: &KeepRequest) -> Result<Recording> {
    let room = &request.room_name;
    recorder.end_capture(room, CLOSE_WAIT).await?;
    let call = recorder.call(room);
    let turn = Arc::clone(&call.turn).lock_owned().await;
    let files = recorder.files(room);
    let (reader, now) = (files.clone(), recorder.settings.clock.now());
    let known = blocking(OPERATION, move || {
        // However long it takes until it is kept: what is asked for is not swept.
        reader.claim(now.into())?;
        Ok(reader.read_sidecar())
    });
    let known = known.await?;
    let (turn, mut sidecar) = match known {
        Some(sidecar) => (turn, sidecar),
        None => rendered(recorder, request, &files, call, turn).await?,
    };
    let kept = match sidecar.kept.clone() {
        Some(kept) => kept,
        None => {
            let kept = put(recorder, request, &files, &sidecar).await?;
            sidecar.kept = Some(kept.clone());
            let written = sidecar.clone();
            blocking(OPERATION, move || files.write_sidecar(&written)).await?;
            kept
        }
    };
    drop(turn);
    Ok(recording(recorder, room, sidecar, kept))
}

fn recording(recorder: &Recorder, room: &RoomName, sidecar: Sidecar, kept: Kept) -> Recording {
    let retention = recorder.settings.retention;
    let retention = retention.and_then(|retention| TimeDelta::from_std(retention).ok());
    Recording {
        key: key(room),
        url: kept.url,
        bytes: sidecar.bytes,
        sha256: sidecar.sha256,
        duration_ms: sidecar.duration_ms,
        begins_at: sidecar.begins_at,
        kept_at: kept.at,
        expires_at: retention.and_then(|retention| kept.at.checked_add_signed(retention)),
        gaps: sidecar.gaps,
    }
}

/// Renders on a thread of its own. Its turn goes with it: when this future is dropped, whoever is
/// next waits until the thread has noticed.
async fn rendered(
    recorder: &Recorder,
    request: &KeepRequest,
    files: &CallFiles,
    call: Arc<CallTurn>,
    turn: OwnedMutexGuard<()>,
) -> Result<(OwnedMutexGuard<()>, Sidecar)> {
    let leave = Arc::clone(&recorder.renders).acquire_owned().await;
    let leave = leave.map_err(|error| {
        Error::new(ErrorKind::Internal, OPERATION, "no more is rendered").with_source(error)
    })?;
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = SetOnDrop(Arc::clone(&dropped));
    let render = Render { files: files.clone(), request: request.clone(), call, dropped };
    let done = tokio::task::spawn_blocking(move || render.run(turn, leave)).await;
    drop(guard);
    done.map_err(|error| {
        Error::new(ErrorKind::Internal, OPERATION, "rendering was broken off").with_source(error)
    })?
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One rendering.
struct Render {
    files: CallFiles,
    request: KeepRequest,
    call: Arc<CallTurn>,
    dropped: Arc<AtomicBool>,
}

impl Render {
    fn run(
        self,
        turn: OwnedMutexGuard<()>,
        _leave: OwnedSemaphorePermit,
    ) -> Result<(OwnedMutexGuard<()>, Sidecar)> {
        let sidecar = self.render().map_err(render_error)?;
        Ok((turn, sidecar))
    }

    fn render(&self) -> Result<Sidecar, RenderError> {
        let Some(capture_bytes) = length(&self.files.capture) else {
            return Err(RenderError::Empty(None));
        };
        let is_cancelled =
            || self.dropped.load(Ordering::Acquire) || self.call.deleting.load(Ordering::Acquire);
        let title = format!("call_{}", self.request.room_name.suffix());
        let mut output = Hashing {
            inner: BufWriter::new(create(&self.files.part)?),
            hash: Sha256::new(),
            bytes: 0,
        };
        let answered_at = self.request.answered_at;
        let rendered = render(&self.files.capture, &mut output, &title, answered_at, is_cancelled)?;
        let file = output.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&self.files.part, &self.files.rendered)?;
        let sidecar = Sidecar {
            capture_bytes,
            bytes: output.bytes,
            sha256: hex(&output.hash.finalize()),
            duration_ms: u64::try_from(rendered.duration.as_millis()).unwrap_or(u64::MAX),
            begins_at: rendered.begins_at,
            gaps: rendered.gaps,
            kept: None,
        };
        self.files.write_sidecar(&sidecar)?;
        Ok(sidecar)
    }
}

/// Counts and hashes what is written.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hash.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn render_error(error: RenderError) -> Error {
    match error {
        RenderError::Empty(_) => Error::new(ErrorKind::NotFound, OPERATION, error),
        RenderError::Io(error) => disk_error(OPERATION, error),
        RenderError::Encode(error) => {
            Error::new(ErrorKind::Internal, OPERATION, "the encoder failed").with_source(error)
        }
        RenderError::Cancelled => Error::new(ErrorKind::Unavailable, OPERATION, error),
    }
}

async fn put(
    recorder: &Recorder,
    request: &KeepRequest,
    files: &CallFiles,
    sidecar: &Sidecar,
) -> Result<Kept> {
    let damaged = || Error::new(ErrorKind::Corrupt, OPERATION, "the sidecar's SHA-256 is none");
    let sha256 = unhex(&sidecar.sha256).ok_or_else(damaged)?;
    let time = |at: chrono::DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut metadata = vec![
        ("room-name", request.room_name.as_str().to_owned()),
        ("ended-at", time(request.ended_at)),
        ("begins-at", time(sidecar.begins_at)),
        ("duration-ms", sidecar.duration_ms.to_string()),
    ];
    metadata.extend(request.answered_at.map(|at| ("answered-at", time(at))));
    let file = KeepFile {
        key: &key(&request.room_name),
        path: &files.rendered,
        bytes: sidecar.bytes,
        sha256,
        content_type: CONTENT_TYPE,
        metadata: &metadata,
    };
    let url = recorder.keeper.put(&file).await?;
    Ok(Kept { url, at: recorder.settings.clock.now() })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

//! Cleaning up: what crashes and calls that nobody asked for have left behind.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::Result;

use super::files::{Sidecar, remove, remove_capture};
use super::{Recorder, blocking};

/// An upload is interrupted when it was begun this long ago.
const UPLOAD: TimeDelta = TimeDelta::hours(1);
/// A half-written file is nobody's when it is this old.
const PART: Duration = Duration::from_secs(24 * 3_600);

/// A kept recording whose answer nobody saved in this time was saved: the server crashed between that
/// and cleaning up.
const ANSWERED: TimeDelta = TimeDelta::hours(1);

/// What was cleaned up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Interrupted uploads of the keeper.
    pub uploads: u64,
    /// Half-written files.
    pub parts: u64,
    /// Captures, and what was rendered of them, that nobody asked for, or that are kept.
    pub captures: u64,
}

impl Recorder {
    /// Cleans up; to be called at the start and about once an hour.
    ///
    /// # Errors
    ///
    /// The folder's, or the keeper's; what could be removed is removed all the same.
    pub async fn sweep(&self) -> Result<Swept> {
        let now = self.settings.clock.now();
        let dir = self.settings.captures_dir.clone();
        let open = self.writer.open_suffixes();
        let unclaimed_for = self.settings.unclaimed_for;
        let local = blocking("recordings.sweep", move || {
            sweep_folder(&dir, now.into(), unclaimed_for, &open)
        });
        let (mut swept, bytes) = local.await?;
        self.writer.removed(bytes);
        swept.uploads = self.keeper.sweep(now - UPLOAD).await?;
        Ok(swept)
    }
}

fn sweep_folder(
    dir: &Path,
    now: SystemTime,
    unclaimed_for: Duration,
    open: &[String],
) -> io::Result<(Swept, u64)> {
    let (mut swept, mut bytes) = (Swept::default(), 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((suffix, kind)) = name.to_str().and_then(call_file) else { continue };
        let Ok(changed) = entry.metadata().and_then(|about| about.modified()) else { continue };
        let age = now.duration_since(changed).unwrap_or_default();
        if open.iter().any(|other| other == suffix) {
            continue;
        }
        let path = entry.path();
        match kind {
            "ogg.part" | "json.part" if age > PART => {
                swept.parts += u64::from(remove(&path)?);
            }
            "capture" if age > unclaimed_for => {
                bytes += remove_capture(&path)?;
                swept.captures += 1;
            }
            "json" if age > unclaimed_for || is_kept(&path, now) => {
                let captured = remove_capture(&path.with_extension("capture"))?;
                bytes += captured;
                swept.captures += u64::from(captured > 0);
                remove(&path.with_extension("ogg"))?;
                remove(&path)?;
            }
            // With a sidecar it goes together with that.
            "ogg" if age > unclaimed_for && !path.with_extension("json").exists() => {
                remove(&path)?;
            }
            _ => {}
        }
    }
    Ok((swept, bytes))
}

/// Whether the sidecar says that its recording was kept some time ago.
fn is_kept(sidecar: &Path, now: SystemTime) -> bool {
    let sidecar = fs::read(sidecar).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let kept = sidecar.and_then(|sidecar: Sidecar| sidecar.kept);
    kept.is_some_and(|kept| kept.at + ANSWERED < DateTime::<Utc>::from(now))
}

/// Takes `call_{suffix}.{kind}` apart.
fn call_file(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("call_")?.split_once('.')
}

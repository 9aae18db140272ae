//! Whether calls could be recorded now.

use std::io::Write;

use outdial_domain::{Error, ErrorKind, Result};

use super::{Recorder, blocking};
use crate::capture::create_dir;

pub(super) async fn check(recorder: &Recorder) -> Result<()> {
    if recorder.writer.is_full() {
        let message = "all captures together have reached their limit";
        return Err(Error::new(ErrorKind::Full, "recordings.check", message));
    }
    let dir = recorder.settings.captures_dir.clone();
    blocking("recordings.check", move || {
        create_dir(&dir)?;
        // Removed when it is dropped, and by the system after a crash.
        tempfile::tempfile_in(&dir)?.write_all(b"outdial")
    })
    .await
}

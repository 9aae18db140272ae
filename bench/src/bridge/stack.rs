//! The servers under test, as `scripts/real-stack env` names them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use outdial_bench::machine;

/// A LiveKit server, with or without livekit-sip.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    folder: PathBuf,
}

impl Stack {
    pub(crate) fn of_environment() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var(name).with_context(|| {
                format!("{name} is not set: start the servers with `scripts/real-stack up redis livekit sip`, then `eval \"$(scripts/real-stack env)\"`")
            })
        };
        Ok(Self {
            url: variable("LIVEKIT_URL")?,
            key: variable("LIVEKIT_API_KEY")?,
            secret: variable("LIVEKIT_API_SECRET")?,
            folder: variable("STACK_DIR")?.into(),
        })
    }

    /// The process id of a running part (`livekit`, `sip`).
    pub(crate) fn pid(&self, part: &str) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join(format!("{part}.pid"))).ok()?;
        let pid = text.split_whitespace().next()?.parse().ok()?;
        machine::memory(pid).ok().map(|_| pid)
    }
}

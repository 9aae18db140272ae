//! `outdial export` and `outdial import`: everything that is kept, as lines of JSON.
//!
//! The first line says what it is, each line after it is one record, and the last says how many of
//! each kind there were and the SHA-256 of their lines. Nothing is ever held whole in memory.

mod export;
mod file;
mod format;
mod import;
mod progress;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use outdial_domain::Error;
use outdial_domain::ports::{Record, RecordKind, Store as Port};

pub(super) use self::export::export;
pub(super) use self::import::import;
use crate::settings::{Settings, Store};

/// How many records are read or written at once.
const BATCH: u32 = 500;
/// A batch of records may be written before it is full, so that many large ones fit in memory.
const BATCH_BYTES: usize = 4 << 20;

/// `outdial export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file to make; `-` is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Export although servers are running: what they change meanwhile may be missing
    #[arg(long)]
    live: bool,
}

/// `outdial import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file to read; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Import although servers are running on the store: they take up the calls at once
    #[arg(long)]
    live: bool,
}

/// The records of a kind, page by page.
struct Pages<'a> {
    store: &'a dyn Port,
    kind: RecordKind,
    limit: u32,
    /// Behind which id the next page begins.
    after: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn of(store: &'a dyn Port, kind: RecordKind) -> Self {
        // Transcripts are large.
        let limit = if kind == RecordKind::Transcript { BATCH / 10 } else { BATCH };
        Self { store, kind, limit, after: None, ended: false }
    }

    /// The next page; `None` behind the last.
    async fn next(&mut self) -> outdial_domain::Result<Option<Vec<Record>>> {
        if self.ended {
            return Ok(None);
        }
        let records = self.store.export(self.kind, self.after.as_deref(), self.limit).await?;
        self.ended = u32::try_from(records.len()).is_ok_and(|count| count < self.limit);
        self.after = records.last().map(Record::id);
        Ok((!records.is_empty()).then_some(records))
    }
}

/// Opens the store of the settings for a command that needs it whole.
async fn open(settings: &Settings) -> anyhow::Result<std::sync::Arc<dyn Port>> {
    crate::server::store::open_patiently(settings).await.map_err(|error| {
        match error.downcast_ref::<Error>() {
            Some(cause) if is_in_use(cause) => error.context("a server is running: stop it first"),
            _ => error,
        }
    })
}

/// Whether a SQLite file belongs to another process.
pub(super) fn is_in_use(error: &Error) -> bool {
    error.message.contains("in use by another process")
}

/// Makes sure that no server works on the store, or tells that some do if that is `allowed`.
async fn servers_are_stopped(
    settings: &Settings,
    store: &dyn Port,
    allowed: bool,
) -> anyhow::Result<bool> {
    if matches!(settings.store, Store::Sqlite(_)) {
        // The file is locked, and by us.
        return Ok(true);
    }
    let nodes = store.nodes().await.context("the nodes cannot be read")?;
    let now = Utc::now();
    let Some(last) = nodes.iter().filter(|node| node.is_alive(now)).max_by_key(|n| n.alive_until)
    else {
        return Ok(true);
    };
    if !allowed {
        bail!(
            "servers are running on this store, such as {}: stop them all and try again (one that \
             was killed counts as running until {}), or add --live and accept that what they \
             change meanwhile may be missing",
            last.node_id,
            seconds(last.alive_until)
        );
    }
    Ok(false)
}

fn seconds(time: DateTime<Utc>) -> impl std::fmt::Display {
    time.format("%H:%M:%S UTC")
}

/// The whole, in words: `2 accounts, 1203 calls`.
fn in_words(counts: impl Iterator<Item = (RecordKind, u64)>) -> String {
    let words: Vec<_> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| match count {
            1 => format!("1 {}", one(kind)),
            _ => format!("{count} {}", kind.as_str().replace('_', " ")),
        })
        .collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn one(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Account => "account",
        RecordKind::ApiKey => "api key",
        RecordKind::Assistant => "assistant",
        RecordKind::Trunk => "trunk",
        RecordKind::Call => "call",
        RecordKind::Transcript => "transcript",
        RecordKind::Delivery => "delivery",
        RecordKind::Tombstone => "tombstone",
    }
}

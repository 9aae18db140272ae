//! `outdial export`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use chrono::Utc;
use outdial_domain::ports::{RecordKind, Store as Port};

use super::file::{Target, is_standard};
use super::format::{Header, Tally, Writer};
use super::progress::{Progress, Unit};
use super::{Export, Pages, in_words, open, servers_are_stopped};
use crate::cli::out;
use crate::data_dir;
use crate::server::store::{agreed_key, fingerprint};
use crate::settings::{Settings, Sources};

/// Writes everything that is kept into a file.
pub(in crate::cli) async fn export(sources: &Sources, options: Export) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    if let Some(database) = data_dir::database(&settings) {
        ensure!(
            database.exists(),
            "there is no database {}: set data_dir or store.url to what is to be exported",
            database.display()
        );
    }
    let target = Target::create(&options.file)?;
    let store = open(&settings).await?;
    let exported = Box::pin(write(&settings, &*store, target, options.live)).await;
    let closed = store.close().await.context("the store could not be closed");
    let (target, tally) = exported?;
    target.finish()?;
    closed?;
    let place = if is_standard(&options.file) {
        String::new()
    } else {
        format!(" to {}", options.file.display())
    };
    out::note(format_args!(
        "exported {}{place}, SHA-256 {}",
        in_words(tally.counts()),
        tally.sha256()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn write(
    settings: &Settings,
    store: &dyn Port,
    target: Target,
    live: bool,
) -> anyhow::Result<(Target, Tally)> {
    if !servers_are_stopped(settings, store, live).await? {
        out::note("servers are running: what they change meanwhile may be missing");
    }
    // The store's word counts: these settings may have another key than it.
    let key = match data_dir::present_master_key(settings)? {
        Some(key) => Some(agreed_key(store, &fingerprint(&key)).await?),
        None => None,
    };
    write_all(store, target, &Header::new(Utc::now(), key)).await
}

/// Writes all records, and gives what there was.
pub(super) async fn write_all<W: Write>(
    store: &dyn Port,
    output: W,
    header: &Header,
) -> anyhow::Result<(W, Tally)> {
    let mut total = 0;
    for kind in RecordKind::ALL {
        total += store.count(kind).await?;
    }
    let mut progress = Progress::begin("exporting", Unit::Records, Some(total));
    let failed = "the archive cannot be written";
    let mut writer = Writer::new(output, header).context(failed)?;
    for kind in RecordKind::ALL {
        let mut pages = Pages::of(store, kind);
        while let Some(records) = pages.next().await? {
            for record in &records {
                writer.write(record).context(failed)?;
                progress.add(1);
            }
        }
    }
    writer.finish().context(failed)
}

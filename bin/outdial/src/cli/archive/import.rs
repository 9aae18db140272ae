//! `outdial import`.

use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use outdial_domain::ErrorKind;
use outdial_domain::ports::{Record, RecordKind, Store as Port};

use super::file::Source;
use super::format::{Header, Reader, Tally};
use super::progress::{Progress, Unit};
use super::verify::verify;
use super::{BATCH, BATCH_BYTES, Import, in_words, open, servers_are_stopped};
use crate::cli::out;
use crate::data_dir::{self, MASTER_KEY};
use crate::server::store::{ANOTHER_KEY, agreed_key, fingerprint};
use crate::settings::{Settings, Sources};

/// Reads an archive into the store.
pub(in crate::cli) async fn import(sources: &Sources, options: Import) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    // Nothing is written before the whole archive was seen to be good.
    let (mut source, (header, tally)) = Source::open(&options.file, check)?;
    let key = key_for(&settings, &header)?;
    if data_dir::database(&settings).is_some() {
        data_dir::create_folder(&settings.data_dir)?;
    }
    let store = open(&settings).await?;
    let stopped = servers_are_stopped(&settings, &*store, options.live).await;
    let imported = match stopped {
        Ok(stopped) => Box::pin(fill(&*store, &mut source, &tally, key, stopped)).await,
        Err(error) => Err(error),
    };
    let closed = store.close().await.context("the store could not be closed");
    let told = imported?;
    closed?;
    out::note(format_args!("imported {}, {told}", in_words(tally.counts())));
    Ok(ExitCode::SUCCESS)
}

/// Reads an archive to its end.
pub(super) fn check(input: &mut dyn Read, size: Option<u64>) -> anyhow::Result<(Header, Tally)> {
    let mut progress = Progress::begin("checking", Unit::Bytes, size);
    let mut archive = Reader::new(BufReader::with_capacity(1 << 16, input))?;
    while let Some((_, bytes)) = archive.next()? {
        progress.add(u64::try_from(bytes).unwrap_or_default());
    }
    Ok((archive.header().clone(), archive.tally().clone()))
}

/// The fingerprint of our master key, which must be that of the archive.
fn key_for(settings: &Settings, header: &Header) -> anyhow::Result<Option<String>> {
    let ours = data_dir::present_master_key(settings)?.map(|key| fingerprint(&key));
    match (&header.master_key, &ours) {
        (Some(theirs), Some(ours)) if theirs != ours => bail!(
            "the secrets in the archive were sealed with another master key than that of these \
             settings: set secrets.master_key to the key of the store that was exported, which is \
             that setting there, or the file {MASTER_KEY} in its data_dir"
        ),
        (Some(_), None) => bail!(
            "the secrets in the archive were sealed with a master key, and these settings have none: \
             set secrets.master_key, or copy the file {MASTER_KEY} from the data_dir of the store that \
             was exported into {}",
            settings.data_dir.display()
        ),
        _ => Ok(ours),
    }
}

/// Imports what was checked, and says how sure that is.
async fn fill(
    store: &dyn Port,
    source: &mut Source,
    tally: &Tally,
    key: Option<String>,
    stopped: bool,
) -> anyhow::Result<String> {
    if let Some(key) = key {
        ensure!(agreed_key(store, &key).await? == key, "{ANOTHER_KEY}");
    }
    store_all(store, &mut Reader::new(source.again()?)?, tally.total()).await?;
    if !stopped {
        return Ok("not verified, as servers are running".to_owned());
    }
    let others = verify(store, &mut Reader::new(source.again()?)?, tally.total()).await?;
    Ok(match others {
        0 => format!("verified: the store holds the same, SHA-256 {}", tally.sha256()),
        others => format!("verified one by one; the store holds {others} other records besides"),
    })
}

/// Stores all records, a batch at a time.
pub(super) async fn store_all<R: BufRead>(
    store: &dyn Port,
    archive: &mut Reader<R>,
    total: u64,
) -> anyhow::Result<()> {
    let mut progress = Progress::begin("importing", Unit::Records, Some(total));
    let most = usize::try_from(BATCH).unwrap_or(usize::MAX);
    let (mut batch, mut bytes) = (Vec::with_capacity(most), 0);
    while let Some((record, length)) = archive.next()? {
        batch.push(record);
        bytes += length;
        if batch.len() >= most || bytes >= BATCH_BYTES {
            store_batch(store, &batch, &mut progress).await?;
            batch.clear();
            bytes = 0;
        }
    }
    store_batch(store, &batch, &mut progress).await
}

async fn store_batch(
    store: &dyn Port,
    batch: &[Record],
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
    let stored = store.import(batch).await;
    progress.add(u64::try_from(batch.len()).unwrap_or_default());
    stored.map_err(|error| {
        let fix = match error.kind {
            ErrorKind::Exists => {
                "the store holds something else already: import into an empty one, before keys are \
                 created in it"
            }
            _ => "what was imported before stays: repeat the import when the cause is gone",
        };
        let (from, to) = (kind_of(first), kind_of(last));
        let which = if from == to { from.to_owned() } else { format!("{from} to {to}") };
        anyhow::Error::new(error).context(format!("{which} could not be imported; {fix}"))
    })
}

fn kind_of(record: &Record) -> &'static str {
    RecordKind::as_str(record.kind())
}

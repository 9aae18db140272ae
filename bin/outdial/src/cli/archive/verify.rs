//! Whether a store holds what an archive does.

use std::cmp::Ordering;
use std::io::BufRead;
use std::vec;

use anyhow::{bail, ensure};
use outdial_domain::ports::{Record, RecordKind, Store as Port};

use super::Pages;
use super::format::{Reader, Tally, line_of};
use super::progress::{Progress, Unit};

/// Exports the store again, beside the archive: each of the archive's records must be there as it is.
/// Returns how many others there are; if there are none, counts and hash are the same too.
pub(super) async fn verify<R: BufRead>(
    store: &dyn Port,
    archive: &mut Reader<R>,
    total: u64,
) -> anyhow::Result<u64> {
    let mut progress = Progress::begin("verifying", Unit::Records, Some(total));
    let (mut found, mut others, mut tally) = (Walk::over(store), 0, Tally::default());
    while let Some((record, _)) = archive.next()? {
        loop {
            let Some(there) = found.next().await? else { bail!("{record} is not in the store") };
            tally.add(there.kind(), &line_of(&there)?);
            match place(&there).cmp(&place(&record)) {
                Ordering::Less => others += 1,
                Ordering::Equal if there == record => break,
                Ordering::Equal => bail!("{record} is another in the store than in the archive"),
                Ordering::Greater => bail!("{record} is not in the store"),
            }
        }
        progress.add(1);
    }
    while found.next().await?.is_some() {
        others += 1;
    }
    let (ours, theirs) = (tally.sha256(), archive.tally().sha256());
    ensure!(
        others > 0 || ours == theirs,
        "the store holds the archive's records, but exports them with the SHA-256 {ours}, not {theirs}"
    );
    Ok(others)
}

fn place(record: &Record) -> (RecordKind, String) {
    (record.kind(), record.id())
}

/// All records of a store, in order.
struct Walk<'a> {
    store: &'a dyn Port,
    kinds: std::array::IntoIter<RecordKind, 8>,
    pages: Option<Pages<'a>>,
    records: vec::IntoIter<Record>,
}

impl<'a> Walk<'a> {
    fn over(store: &'a dyn Port) -> Self {
        let (kinds, records) = (RecordKind::ALL.into_iter(), Vec::new().into_iter());
        Self { store, kinds, pages: None, records }
    }

    async fn next(&mut self) -> outdial_domain::Result<Option<Record>> {
        loop {
            if let Some(record) = self.records.next() {
                return Ok(Some(record));
            }
            if let Some(pages) = &mut self.pages
                && let Some(records) = pages.next().await?
            {
                self.records = records.into_iter();
                continue;
            }
            match self.kinds.next() {
                Some(kind) => self.pages = Some(Pages::of(self.store, kind)),
                None => return Ok(None),
            }
        }
    }
}

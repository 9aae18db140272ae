//! The lines of an archive.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _, Write};

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use outdial_domain::ports::{Record, RecordKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The version of the format.
const VERSION: u32 = 1;
/// No line is longer: not even a call of a day comes near.
const LONGEST_LINE: u64 = 64 << 20;
/// How the last line begins.
const END: &[u8] = b"{\"end\":";

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    outdial_archive: u32,
    /// The version of the program that wrote it.
    pub(super) version: String,
    /// When.
    pub(super) exported_at: DateTime<Utc>,
    /// The fingerprint of the key that seals the secrets in it; unknown to an exporter without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) master_key: Option<String>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Footer {
    end: End,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    counts: BTreeMap<String, u64>,
    sha256: String,
}

impl Header {
    pub(super) fn new(exported_at: DateTime<Utc>, master_key: Option<String>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { outdial_archive: VERSION, version, exported_at, master_key }
    }
}

/// How many records of each kind there were, and the hash over their lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    counts: BTreeMap<RecordKind, u64>,
    sha: Sha256,
}

impl Tally {
    /// Takes in a record, with its line.
    pub(super) fn add(&mut self, kind: RecordKind, line: &[u8]) {
        *self.counts.entry(kind).or_default() += 1;
        self.sha.update(line);
    }

    /// All kinds in order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (RecordKind, u64)> {
        RecordKind::ALL.into_iter().map(|kind| (kind, self.count(kind)))
    }

    pub(super) fn count(&self, kind: RecordKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(super) fn sha256(&self) -> String {
        format!("{:x}", self.sha.clone().finalize())
    }

    fn end(&self) -> End {
        let counts = self.counts().map(|(kind, count)| (kind.as_str().to_owned(), count));
        End { counts: counts.collect(), sha256: self.sha256() }
    }
}

/// The line of a record, with its end.
pub(super) fn line_of(record: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).context("a record cannot be written as JSON")?;
    line.push(b'\n');
    Ok(line)
}

/// Writes an archive.
pub(super) struct Writer<W> {
    output: W,
    tally: Tally,
}

impl<W: Write> Writer<W> {
    /// Begins with the header.
    pub(super) fn new(mut output: W, header: &Header) -> anyhow::Result<Self> {
        output.write_all(&line_of(header)?)?;
        Ok(Self { output, tally: Tally::default() })
    }

    pub(super) fn write(&mut self, record: &Record) -> anyhow::Result<()> {
        let line = line_of(record)?;
        self.output.write_all(&line)?;
        self.tally.add(record.kind(), &line);
        Ok(())
    }

    /// Writes the end, and gives what there was.
    pub(super) fn finish(mut self) -> anyhow::Result<(W, Tally)> {
        self.output.write_all(&line_of(&Footer { end: self.tally.end() })?)?;
        self.output.flush()?;
        Ok((self.output, self.tally))
    }
}

/// Reads an archive and checks it on the way: whoever has read it to its end knows that it is whole.
pub(super) struct Reader<R> {
    lines: Lines<R>,
    header: Header,
    tally: Tally,
    /// Kind and id of the record before: they stand in order, and no one twice.
    last: Option<(RecordKind, String)>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(super) fn new(input: R) -> anyhow::Result<Self> {
        let mut lines = Lines { input, number: 0, line: Vec::new() };
        let header = read_header(&mut lines)?;
        Ok(Self { lines, header, tally: Tally::default(), last: None })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// What has been read so far; all there is when [`next`](Self::next) has given `None`.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The next record and the length of its line; `None` behind the last, when everything was right.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(Record, usize)>> {
        let Some(line) = self.lines.next()? else {
            bail!(
                "the archive was cut off behind line {}: its end is missing; export it again",
                self.lines.number
            );
        };
        if line.starts_with(END) {
            let footer = serde_json::from_slice(line);
            self.check_end(footer)?;
            return Ok(None);
        }
        let (record, length) = (serde_json::from_slice::<Record>(line), line.len());
        let record = record.with_context(|| damaged(self.lines.number))?;
        self.tally.add(record.kind(), &self.lines.line);
        let place = Some((record.kind(), record.id()));
        ensure!(
            place > self.last,
            "line {} of the archive is out of order: it was changed after its export",
            self.lines.number
        );
        self.last = place;
        Ok(Some((record, length)))
    }

    fn check_end(&mut self, footer: serde_json::Result<Footer>) -> anyhow::Result<()> {
        let Footer { end: expect } = footer.with_context(|| damaged(self.lines.number))?;
        let found = self.tally.end();
        for (kind, count) in &expect.counts {
            let read = found.counts.get(kind).copied().unwrap_or_default();
            ensure!(
                read == *count,
                "the archive holds {read} {kind} where its end says {count}: it was changed after its \
                 export"
            );
        }
        ensure!(
            found.sha256 == expect.sha256,
            "the archive's records have the SHA-256 {} where its end says {}: it was changed after \
             its export",
            found.sha256,
            expect.sha256
        );
        ensure!(
            self.lines.next()?.is_none(),
            "line {} stands behind the archive's end: this is more than one archive",
            self.lines.number
        );
        Ok(())
    }
}

fn damaged(number: u64) -> String {
    format!("line {number} of the archive is damaged")
}

fn read_header<R: BufRead>(lines: &mut Lines<R>) -> anyhow::Result<Header> {
    const NOT_ONE: &str = "this is no archive that `outdial export` wrote: its first line is not \
                           that of one";
    /// What every version has.
    #[derive(Deserialize)]
    struct Any {
        outdial_archive: u32,
        #[serde(default)]
        version: String,
    }
    let Some(line) = lines.next().context(NOT_ONE)? else { bail!("{NOT_ONE}: it is empty") };
    let any: Any = serde_json::from_slice(line).ok().context(NOT_ONE)?;
    ensure!(
        any.outdial_archive <= VERSION,
        "the archive was written by a newer outdial, version {}: import it with that version or a \
         later one",
        any.version
    );
    serde_json::from_slice(line).with_context(|| damaged(1))
}

/// Lines of bounded length.
struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line with its end; `None` when there is none.
    fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        self.line.clear();
        let read = (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        if read.context("the archive cannot be read")? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.ends_with(b"\n") {
            return Ok(Some(&self.line));
        }
        let number = self.number;
        ensure!(
            u64::try_from(self.line.len()).unwrap_or(u64::MAX) < LONGEST_LINE,
            "line {number} of the archive is longer than {} MiB: this is no archive",
            LONGEST_LINE >> 20
        );
        bail!("the archive was cut off in line {number}: export it again")
    }
}

//! The files of archives.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tempfile::NamedTempFile;

/// Where an archive is written: a file has its name only when it is whole.
pub(super) enum Target {
    Stdout(BufWriter<io::Stdout>),
    File { unfinished: BufWriter<NamedTempFile>, path: PathBuf },
}

/// Whether the path means standard input or output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

impl Target {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        if is_standard(path) {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        }
        let shown = path.display();
        ensure!(!path.exists(), "{shown} is there already: name another file, or remove it");
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // It is readable by its owner only: it holds what was said in calls.
        let unfinished = tempfile::Builder::new().prefix(".outdial-export-").tempfile_in(folder);
        let unfinished = unfinished.with_context(|| format!("{shown} cannot be written"))?;
        Ok(Self::File { unfinished: BufWriter::new(unfinished), path: path.to_owned() })
    }

    /// Makes sure that the archive stays, and gives it its name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut output) => Ok(output.flush()?),
            Self::File { unfinished, path } => {
                let file = unfinished.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                let named = file.persist_noclobber(&path);
                let failed = || format!("{} cannot be written", path.display());
                named.map(drop).map_err(|error| error.error).with_context(failed)
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(output) => output.write(bytes),
            Self::File { unfinished, .. } => unfinished.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(output) => output.flush(),
            Self::File { unfinished, .. } => unfinished.flush(),
        }
    }
}

/// An archive that can be read more than once.
pub(super) struct Source {
    file: File,
}

impl Source {
    /// A file as it is; what can be read only once is copied into a temporary file while `read`
    /// reads it for the first time. `read` is told the size if it is known.
    pub(super) fn open<T>(
        path: &Path,
        read: impl FnOnce(&mut dyn Read, Option<u64>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        if is_standard(path) {
            return Self::copied(&mut io::stdin().lock(), read);
        }
        let cannot = || format!("{} cannot be read", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        let meta = file.metadata().with_context(cannot)?;
        ensure!(!meta.is_dir(), "{} is a folder: name a file", path.display());
        if !meta.is_file() {
            return Self::copied(&mut file, read);
        }
        let result = read(&mut file, Some(meta.len()))?;
        Ok((Self { file }, result))
    }

    pub(super) fn copied<T>(
        input: &mut dyn Read,
        read: impl FnOnce(&mut dyn Read, Option<u64>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let copy = tempfile::tempfile().with_context(|| {
            let folder = std::env::temp_dir();
            format!("a copy cannot be made in {} (set TMPDIR to another folder)", folder.display())
        })?;
        let mut both = Both { input, copy: BufWriter::new(copy) };
        let result = read(&mut both, None)?;
        let file = both.copy.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((Self { file }, result))
    }

    /// The archive from its beginning.
    pub(super) fn again(&mut self) -> anyhow::Result<BufReader<&File>> {
        self.file.rewind().context("the archive cannot be read again")?;
        Ok(BufReader::with_capacity(1 << 16, &self.file))
    }
}

/// Copies what is read.
struct Both<'a> {
    input: &'a mut dyn Read,
    copy: BufWriter<File>,
}

impl Read for Both<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.copy.write_all(&buffer[..count])?;
        Ok(count)
    }
}

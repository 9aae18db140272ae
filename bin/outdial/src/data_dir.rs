//! The folder that belongs to one server: its master key, its node id, by default its database.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use outdial_domain::{NodeId, random_text};
use outdial_engine::Vault;

use crate::settings::{Settings, Store, master_key, master_key_text};

/// The file that holds the master key.
pub(crate) const MASTER_KEY: &str = "master.key";
/// The file that holds the node's id.
pub(crate) const NODE_ID: &str = "node-id";
/// The file that a running server has locked.
const LOCK: &str = "lock";

/// Which bits of a file's mode let everybody on the machine at it.
const OTHERS: u32 = 0o007;

/// The folder, with what every start needs of it.
#[derive(Debug)]
pub(crate) struct DataDir {
    /// Seals secrets at rest.
    pub(crate) master_key: [u8; 32],
    /// Who this server is.
    pub(crate) node: NodeId,
}

impl DataDir {
    /// Opens the folder; makes it and the files in it at the first start.
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let folder = &settings.data_dir;
        create_folder(folder)?;
        let master_key = match settings.secrets.master_key {
            Some(key) => key,
            None => kept_master_key(&folder.join(MASTER_KEY), database(settings).as_deref())?,
        };
        let node = match &settings.node.id {
            Some(node) => node.clone(),
            None => kept_node_id(&folder.join(NODE_ID))?,
        };
        Ok(Self { master_key, node })
    }
}

/// Says that a server runs on this folder, for as long as the value lives. A process that dies lets
/// go of it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Locks the folder, which must be there.
pub(crate) fn lock(folder: &Path) -> anyhow::Result<Lock> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file =
        options.open(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => bail!(
            "the folder {} is in use by another process: one folder serves one server; stop that \
             process, or give this one a data_dir of its own",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Where the database is; `None`: on another server.
pub(crate) fn database(settings: &Settings) -> Option<PathBuf> {
    match &settings.store {
        Store::Sqlite(Some(path)) => Some(path.clone()),
        Store::Sqlite(None) => Some(settings.data_dir.join("outdial.db")),
        Store::MongoDb(_) => None,
    }
}

/// The master key, if there is one already: nothing is made.
pub(crate) fn present_master_key(settings: &Settings) -> anyhow::Result<Option<[u8; 32]>> {
    let path = settings.data_dir.join(MASTER_KEY);
    match settings.secrets.master_key {
        Some(key) => Ok(Some(key)),
        None if path.exists() => kept_master_key(&path, None).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn create_folder(folder: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| {
        format!("the folder {} cannot be made: make it writable, or set data_dir", folder.display())
    })
}

fn kept_master_key(path: &Path, database: Option<&Path>) -> anyhow::Result<[u8; 32]> {
    if let Some(database) = database.filter(|database| !path.exists() && database.exists()) {
        bail!(
            "{} is missing, but {} holds secrets that were sealed with it: restore the file, set \
             secrets.master_key if the key came from there, or move the database away to start \
             anew",
            path.display(),
            database.display(),
        );
    }
    let text = kept(path, || master_key_text(&Vault::random_key()))?;
    refuse_open_to_others(path)?;
    master_key(&text).map_err(|rule| anyhow::anyhow!("{} {rule}", path.display()))
}

fn kept_node_id(path: &Path) -> anyhow::Result<NodeId> {
    let text = kept(path, || NodeId::random().to_string())?;
    text.parse().with_context(|| {
        format!("{} holds no node id: delete the file to get a new one", path.display())
    })
}

/// The one line in a file that only its owner may read; made when there is none. Of several
/// processes that make it at the same time one wins, and all get its line.
fn kept(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    if !path.exists() {
        create(path, &make()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim().to_owned())
}

/// A file is whole as soon as it has its name, also after a crash.
fn create(path: &Path, line: &str) -> io::Result<()> {
    let unfinished = path.with_extension(format!("new-{}", random_text(8)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    let written = writeln!(file, "{line}").and_then(|()| file.sync_all());
    // A hard link never replaces a file, a rename would.
    let named = written.and_then(|()| fs::hard_link(&unfinished, path));
    let removed = fs::remove_file(&unfinished);
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named.and(removed),
    }
}

fn refuse_open_to_others(path: &Path) -> anyhow::Result<()> {
    if mode(path)? & OTHERS != 0 {
        bail!(
            "{path} can be read by everybody on this machine: run chmod 600 {path}",
            path = path.display()
        );
    }
    Ok(())
}

/// The permission bits; 0 where there are none.
pub(crate) fn mode(path: &Path) -> io::Result<u32> {
    let meta = fs::metadata(path)?;
    #[cfg(unix)]
    return Ok(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777);
    #[cfg(not(unix))]
    return Ok(u32::from(meta.len() == u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> Settings {
        let mut settings = Settings::defaults().unwrap();
        settings.data_dir = folder.join("data");
        settings
    }

    #[test]
    fn what_is_made_at_the_first_start_stays() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let first = DataDir::open(&settings).unwrap();
        let again = DataDir::open(&settings).unwrap();
        assert_eq!(first.master_key, again.master_key);
        assert_eq!(first.node, again.node);
        assert_eq!(fs::read_dir(&settings.data_dir).unwrap().count(), 2, "nothing unfinished");
    }

    #[test]
    fn many_first_starts_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let nodes: Vec<_> = std::thread::scope(|scope| {
            let open = || DataDir::open(&settings).unwrap().node;
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(nodes.iter().all(|node| *node == nodes[0]), "{nodes:?}");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        DataDir::open(&settings).unwrap();
        let path = settings.data_dir.join(MASTER_KEY);
        assert_eq!(mode(&path).unwrap(), 0o600);
        assert_eq!(mode(&settings.data_dir).unwrap(), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = DataDir::open(&settings).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        // A volume's group may be given access by whoever mounts it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        DataDir::open(&settings).unwrap();
    }

    #[test]
    fn a_lost_key_is_not_replaced_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        DataDir::open(&settings).unwrap();
        fs::write(database(&settings).unwrap(), "").unwrap();
        fs::remove_file(settings.data_dir.join(MASTER_KEY)).unwrap();
        let error = DataDir::open(&settings).unwrap_err().to_string();
        assert!(error.contains("restore the file"), "{error}");
        settings.secrets.master_key = Some([1; 32]);
        assert_eq!(DataDir::open(&settings).unwrap().master_key, [1; 32]);
    }

    #[test]
    fn a_folder_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let error = lock(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is in use by another process"), "{error}");
        assert!(error.contains("a data_dir of its own"), "{error}");
        drop(first);
        lock(folder.path()).unwrap();
    }

    #[test]
    fn a_key_that_is_not_there_is_not_made_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        assert_eq!(present_master_key(&settings).unwrap(), None);
        assert!(!settings.data_dir.exists());
        let made = DataDir::open(&settings).unwrap().master_key;
        assert_eq!(present_master_key(&settings).unwrap(), Some(made));
        settings.secrets.master_key = Some([1; 32]);
        assert_eq!(present_master_key(&settings).unwrap(), Some([1; 32]));
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        DataDir::open(&settings).unwrap();
        for file in [NODE_ID, MASTER_KEY] {
            let path = settings.data_dir.join(file);
            fs::write(&path, "?\n").unwrap();
            let error = format!("{:#}", DataDir::open(&settings).unwrap_err());
            assert!(error.contains(file), "{error}");
            fs::remove_file(&path).unwrap();
        }
    }
}

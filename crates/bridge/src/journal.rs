//! Legs on disk, so that a process that was killed leaves no call behind that nobody ends.

use std::io;
use std::path::{Path, PathBuf};

use outdial_domain::RoomName;
use outdial_sip::DialogSnapshot;
use serde::{Deserialize, Serialize};

/// A folder with one small file for each leg that is out. The files survive the process, which is
/// all they are for: they are not flushed to the disk.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    folder: PathBuf,
}

/// A leg of an earlier process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) room_name: RoomName,
    pub(crate) dialog: DialogSnapshot,
}

impl Journal {
    /// Opens the folder, and takes out what earlier processes have left in it. Files that make no
    /// sense are removed.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Vec<(PathBuf, Entry)>)> {
        std::fs::create_dir_all(folder)?;
        let mut left = Vec::new();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            match std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
                Ok(Ok(entry)) => left.push((path, entry)),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a leg of an earlier run cannot be read");
                    remove(&path);
                }
                Err(error) => tracing::warn!(%error, "a leg of an earlier run cannot be read"),
            }
        }
        Ok((Self { folder: folder.to_owned() }, left))
    }

    /// Writes down where a leg stands, in place of what was written of it before.
    pub(crate) fn write(&self, entry: &Entry) {
        let path = self.path(&entry.room_name);
        let half = path.with_extension("new");
        let written = serde_json::to_vec(entry)
            .map_err(io::Error::from)
            .and_then(|bytes| std::fs::write(&half, bytes))
            .and_then(|()| std::fs::rename(&half, &path));
        if let Err(error) = written {
            tracing::warn!(room = ?entry.room_name, %error, "a leg cannot be written down");
        }
    }

    /// The leg has ended.
    pub(crate) fn forget(&self, room_name: &RoomName) {
        remove(&self.path(room_name));
    }

    fn path(&self, room_name: &RoomName) -> PathBuf {
        // A room name is [A-Za-z0-9_+-] only: it is a file name.
        self.folder.join(format!("{}.leg", room_name.as_str()))
    }
}

pub(crate) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a file about a leg cannot be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use outdial_domain::{AssistantId, CallService};
    use outdial_sip::Transport;

    use super::*;

    fn entry(cseq: u32) -> Entry {
        let number = "+918044319240".parse().unwrap();
        let dialog = DialogSnapshot {
            call_id: "c1".into(),
            local_tag: "a".into(),
            local_display: None,
            remote_tag: Some("b".into()),
            local_uri: "sip:08044319240@acme1.pstn.exotel.com".into(),
            remote_uri: "sip:09876543210@127.0.0.1:5070".into(),
            remote_target: "sip:callee@127.0.0.1:5070".into(),
            route_set: vec!["<sip:127.0.0.1;lr>".into()],
            cseq,
            invite_via: "SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK1".into(),
            transport: Transport::Tcp,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 5070)),
            server_name: None,
        };
        let room_name = RoomName::new(CallService::Exotel, AssistantId::random(), &number);
        Entry { room_name, dialog }
    }

    #[test]
    fn legs_outlive_the_process_and_are_forgotten_at_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, left) = Journal::open(folder.path()).unwrap();
        assert!(left.is_empty());
        let (ended, mut running) = (entry(1), entry(1));
        journal.write(&ended);
        journal.write(&running);
        running.dialog.cseq = 2;
        journal.write(&running);
        journal.forget(&ended.room_name);
        // What makes no sense, or was written in halves, is cleared away.
        std::fs::write(folder.path().join("x.leg"), "{\"room").unwrap();
        let (_, left) = Journal::open(folder.path()).unwrap();
        let [(path, entry)] = &left[..] else { panic!("{left:?}") };
        assert_eq!((&entry.room_name, entry.dialog.cseq), (&running.room_name, 2));
        assert!(!folder.path().join("x.leg").exists());
        remove(path);
        assert!(Journal::open(folder.path()).unwrap().1.is_empty());
        // Twice is no harm.
        journal.forget(&running.room_name);
    }
}

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use outdial_testkit::keeper::{Fixture, keep_file, noise};
use tempfile::TempDir;

use super::*;

const KEY: &str = "recordings/call_1.ogg";

fn fixture() -> (Fixture, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let keeper = Arc::new(FolderKeeper::new(folder.path().join("kept")));
    let get = |url| panic!("a folder gave a URL: {url}");
    (Fixture { keeper, scratch, get }, folder)
}

outdial_testkit::keeper_conformance!(async || fixture());

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[tokio::test]
async fn files_and_folders_are_for_us_alone() {
    let (fixture, folder) = fixture();
    let url = fixture.put("recordings/2026/call_1.ogg", b"content").await.unwrap();
    assert_eq!(url, None);
    let kept = folder.path().join("kept");
    for path in ["", "recordings", "recordings/2026", INCOMING] {
        assert_eq!(mode(&kept.join(path)), 0o700, "{path}");
    }
    assert_eq!(mode(&kept.join("recordings/2026/call_1.ogg")), 0o600);
}

#[tokio::test]
async fn the_same_file_is_not_written_again() {
    let (fixture, folder) = fixture();
    let path = folder.path().join("kept").join(KEY);
    fixture.put(KEY, b"content").await.unwrap();
    let before = fs::metadata(&path).unwrap();
    fixture.put(KEY, b"content").await.unwrap();
    let after = fs::metadata(&path).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino;
    assert_eq!(inode(&before), inode(&after), "it was written again");

    // A file that was damaged meanwhile is mended.
    fs::write(&path, b"cONTENT").unwrap();
    fixture.put(KEY, b"content").await.unwrap();
    fixture.holds(KEY, b"content").await;
}

#[tokio::test]
async fn only_what_is_old_is_swept() {
    let (fixture, folder) = fixture();
    fixture.put(KEY, b"content").await.unwrap();
    let incoming = folder.path().join("kept").join(INCOMING);
    assert_eq!(entries(&incoming), 0, "put leaves nothing");
    // As a crash leaves it.
    for name in ["put-a", "put-b"] {
        fs::write(incoming.join(name), b"half").unwrap();
    }
    let now = Utc::now();
    let file = File::options().write(true).open(incoming.join("put-a")).unwrap();
    file.set_modified((now - TimeDelta::hours(2)).into()).unwrap();
    let keeper = &fixture.keeper;
    assert_eq!(keeper.sweep(now - TimeDelta::hours(3)).await.unwrap(), 0);
    assert_eq!(keeper.sweep(now - TimeDelta::hours(1)).await.unwrap(), 1);
    assert!(incoming.join("put-b").exists());
    assert_eq!(keeper.sweep(now + TimeDelta::hours(1)).await.unwrap(), 1);
    assert_eq!(entries(&incoming), 0);
    fixture.holds(KEY, b"content").await;
}

#[tokio::test]
async fn an_empty_folder_is_swept() {
    let (fixture, _folder) = fixture();
    assert_eq!(fixture.keeper.sweep(Utc::now()).await.unwrap(), 0);
}

/// What no mode or file system can be the folder of.
#[tokio::test]
async fn a_place_that_is_no_folder_is_told() {
    let (fixture, folder) = fixture();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    let source = fixture.scratch.join("source");
    fs::write(&source, b"content").unwrap();
    for root in [file.clone(), file.join("below"), "/proc/outdial".into()] {
        let keeper = FolderKeeper::new(&root);
        let error = keeper.check().await.unwrap_err();
        assert!(error.message.contains(&*root.to_string_lossy()), "{error}");
        let error = keeper.put(&keep_file(KEY, &source, b"content")).await.unwrap_err();
        assert_ne!(error.kind, ErrorKind::NotFound, "{error}");
        assert_eq!(keeper.open(KEY).await.unwrap_err().kind, ErrorKind::NotFound);
        keeper.delete(KEY).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_told() {
    // Always full, and no folder is needed to write to it.
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let content = noise(1_000);
    fs::write(&source, &content).unwrap();
    let identity = Identity::of(&keep_file(KEY, &source, &content));
    let error = digest::read_checked("test", &source, identity, u64::MAX, &mut full).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
}

#[test]
fn errors_of_the_file_system_have_their_kind() {
    use io::ErrorKind as Io;
    for (error, expect) in [
        (Io::StorageFull, ErrorKind::Full),
        (Io::QuotaExceeded, ErrorKind::Full),
        (Io::PermissionDenied, ErrorKind::Refused),
        (Io::ReadOnlyFilesystem, ErrorKind::Refused),
        (Io::NotADirectory, ErrorKind::Refused),
        (Io::Other, ErrorKind::Unavailable),
    ] {
        let told = io_error("test", "writing", Path::new("/x"), &io::Error::from(error));
        assert_eq!(told.kind, expect, "{error:?}");
        assert!(told.message.contains("/x"), "{told}");
    }
}

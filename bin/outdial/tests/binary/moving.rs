//! `outdial export` and `outdial import`, and what a second server on one folder is told.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use crate::program::{Folder, stderr, stdout};

/// A folder with a key, whose database was served once.
fn served() -> (Folder, String) {
    let folder = Folder::new();
    let key = folder.key();
    let server = folder.serve();
    assert_eq!(server.get("/calls", &key).0, 200);
    server.signal("TERM");
    assert!(server.ended_well());
    (folder, key)
}

/// An empty folder with the master key of another.
fn heir_of(folder: &Folder) -> Folder {
    let heir = Folder::new();
    std::fs::create_dir(heir.path().join("data")).unwrap();
    let key = |folder: &Folder| folder.path().join("data/master.key");
    std::fs::copy(key(folder), key(&heir)).unwrap();
    heir
}

fn fails(output: &Output, expect: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).contains(expect), "{}\n{expect}", stderr(output));
}

#[test]
fn everything_moves_from_one_folder_to_another() {
    let (from, key) = served();
    let exported = from.run(&["export", "all.jsonl"]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let told = stderr(&exported);
    assert!(told.starts_with("exported 1 account, 1 api key to all.jsonl, SHA-256 "), "{told}");
    assert_eq!(stdout(&exported), "");
    let file = from.path().join("all.jsonl");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&key));

    let to = heir_of(&from);
    for told in ["imported 1 account, 1 api key, verified: the store holds the same"; 2] {
        let imported = to.run(&["import", file.to_str().unwrap()]);
        assert!(imported.status.success(), "{}", stderr(&imported));
        assert!(stderr(&imported).starts_with(told), "{}", stderr(&imported));
    }
    let server = to.serve();
    assert_eq!(server.get("/calls", &key).0, 200, "the key works there");
}

#[test]
fn an_archive_goes_through_a_pipe() {
    let (from, _) = served();
    let exported = from.run(&["export"]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    assert!(exported.stdout.starts_with(b"{\"outdial_archive\":1,"));
    let to = heir_of(&from);
    let mut importing = to.command(&["import", "-"]);
    importing.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut importing = importing.spawn().unwrap();
    importing.stdin.take().unwrap().write_all(&exported.stdout).unwrap();
    let imported = importing.wait_with_output().unwrap();
    assert!(imported.status.success(), "{}", stderr(&imported));
    let left: Vec<_> = std::fs::read_dir(to.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_cannot_be_moved_is_told() {
    let (from, _) = served();
    assert!(from.run(&["export", "all.jsonl"]).status.success());
    let file = from.path().join("all.jsonl");
    let file = file.to_str().unwrap();
    fails(&from.run(&["export", "all.jsonl"]), "all.jsonl is there already");
    fails(&from.run(&["export", "no/such/folder.jsonl"]), "cannot be written");
    fails(&Folder::new().run(&["export"]), "there is no database ./data/outdial.db");

    let stranger = Folder::new();
    fails(&stranger.run(&["import", file]), "copy the file master.key");
    assert!(!stranger.path().join("data").exists(), "nothing was made");
    let (other, _) = served();
    fails(&other.run(&["import", file]), "sealed with another master key");
    fails(&other.run(&["import", "missing.jsonl"]), "missing.jsonl cannot be read");
    fails(&other.run(&["import", "."]), ". is a folder");
    other.write("notes.txt", "not one\n");
    fails(&other.run(&["import", "notes.txt"]), "this is no archive");

    // Two stores of one key, each with an account of the same name.
    let twin = heir_of(&from);
    twin.key();
    fails(&twin.run(&["import", file]), "import into an empty one");

    let server = from.serve();
    fails(&from.run(&["export"]), "a server is running: stop it first");
    fails(&from.run(&["import", file]), "a server is running: stop it first");
    drop(server);
}

#[test]
fn a_damaged_archive_changes_nothing() {
    let (from, _) = served();
    let archive = stdout(&from.run(&["export"]));
    let to = heir_of(&from);
    to.write("cut.jsonl", &archive[..archive.len() - 30]);
    fails(&to.run(&["import", "cut.jsonl"]), "the archive was cut off in line 4");
    assert!(!to.path().join("data/outdial.db").exists());
}

#[test]
fn another_master_key_does_not_start() {
    let (folder, _) = served();
    let mut command = folder.command(&["serve"]);
    command.env("OUTDIAL_SECRETS__MASTER_KEY", "bm90IGEgcmVhbCBrZXksIGp1c3QgMzIgYnl0ZXMuLi4=");
    fails(&command.output().unwrap(), "all nodes need the same secrets.master_key");
    let mut command = folder.command(&["doctor"]);
    command.env("OUTDIAL_SECRETS__MASTER_KEY", "bm90IGEgcmVhbCBrZXksIGp1c3QgMzIgYnl0ZXMuLi4=");
    let doctor = stdout(&command.output().unwrap());
    assert!(doctor.contains("ok    store"), "a store without secrets opens with any key: {doctor}");
}

#[test]
fn a_database_that_is_not_there_is_waited_for() {
    let folder = Folder::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    folder.write(
        "outdial.toml",
        &format!(
            "[store]\nurl = \"mongodb://u:hush@{closed}/calls\"\ntimeout = \"300ms\"\n\
             connect_timeout = \"200ms\"\n"
        ),
    );
    let mut server = folder.serve();
    let (status, body) = server.get("/readyz", "");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("waiting for the database"), "{body}");
    assert!(!body.contains("hush"), "{body}");
    assert_eq!(server.get("/healthz", "").0, 200);
    assert_eq!(server.get("/calls", "some-key").0, 401);
    server.wait_for("still waiting for the database");
    let second = folder.run(&["serve"]);
    fails(&second, "is in use by another process: one folder serves one server");
    server.signal("TERM");
    assert!(server.ended_well());

    let key = folder.run(&["keys", "create", "--account", "acme"]);
    assert_eq!(key.status.code(), Some(1));
    assert!(!stderr(&key).contains("hush"), "{}", stderr(&key));
    let doctor = folder.run(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    let text = stdout(&doctor);
    assert!(text.contains("fail  store"), "{text}");
    assert!(text.contains(&format!("mongodb://u:***@{closed}/calls")), "{text}");
    assert!(text.contains("warn  recording"), "{text}");
    assert!(!text.contains("hush"), "{text}");
    let config = stdout(&folder.run(&["check-config"]));
    assert!(config.contains(":***@") && !config.contains("hush"), "{config}");
}

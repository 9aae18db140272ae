//! Other processes: one that is killed, one that comes second.
//!
//! Both run this test binary again, with a variable that says what to be.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use outdial_domain::ErrorKind;
use outdial_domain::RoomName;
use outdial_domain::ports::Calls;

use super::{fresh, stored};
use crate::SqliteStore;

/// Names the database to the child. Its test does nothing without it.
const PATH: &str = "OUTDIAL_SQLITE_TEST_PATH";

/// How many acknowledged inserts the child is killed after.
const ENOUGH: usize = 300;

/// What marks the child's own lines in its output.
const MARK: &str = "acknowledged ";

fn run_child(test: &str, path: &Path) -> Child {
    let test = format!("tests::processes::{test}");
    Command::new(std::env::current_exe().unwrap())
        .args([test.as_str(), "--exact", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The child: inserts for as long as it lives, from several tasks.
#[tokio::test]
async fn child_inserts() {
    let Ok(path) = std::env::var(PATH) else {
        return;
    };
    let store = std::sync::Arc::new(SqliteStore::open(path).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                let call = stored(&store).await;
                println!("{MARK}{}", call.room_name());
            }
        });
    }
    tasks.join_all().await;
}

/// The child: is refused, and says why.
#[tokio::test]
async fn child_opens() {
    let Ok(path) = std::env::var(PATH) else {
        return;
    };
    let error = SqliteStore::open(path).expect_err("the parent has it open");
    println!("{MARK}{:?}: {error}", error.kind);
}

fn acknowledged(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let output = BufReader::new(child.stdout.take().unwrap());
    output.lines().filter_map(|line| {
        // The test harness writes into the first line.
        let line = line.unwrap();
        let (_, name) = line.split_once(MARK)?;
        Some(name.to_owned())
    })
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let (path, _folder) = fresh();
    let mut child = run_child("child_inserts", &path);
    let mut lines = acknowledged(&mut child);
    let mut names: Vec<_> = lines.by_ref().take(ENOUGH).collect();
    child.kill().unwrap();
    // What was in the pipe was acknowledged, too; the last line may be cut off.
    names.extend(lines);
    child.wait().unwrap();
    assert!(names.len() >= ENOUGH, "the child ended early");

    let store = SqliteStore::open(&path).unwrap();
    let mut found = 0;
    for name in &names {
        let Ok(room) = name.parse::<RoomName>() else {
            continue;
        };
        found += usize::from(store.get(&room).await.unwrap().is_some());
    }
    assert!(found >= names.len() - 1, "{found} of {} are there", names.len());
    stored(&store).await;
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(&path).unwrap();
    let mut child = run_child("child_opens", &path);
    // To the end: a child whose output is closed would fail.
    let said: String = acknowledged(&mut child).collect();
    assert!(child.wait().unwrap().success());
    assert!(said.starts_with("Refused: sqlite.open: "), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    assert!(said.contains("data_dir"), "{said}");
    stored(&store).await;

    let second = SqliteStore::open(&path).expect_err("nor in this process");
    assert_eq!(second.kind, ErrorKind::Refused);
}

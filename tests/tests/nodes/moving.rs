//! From one store to the other, and back.

use std::path::Path;

use outdial_tests::{Database, Desk, Outdial, Stack, settings_of};
use serde_json::{Value, json};

use crate::scene::QUICK;

/// The lines of an archive that hold something: those in between the first and the last one.
fn records(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let [first, records @ .., last] = &*lines else { panic!("{text}") };
    assert!(first.contains("outdial_archive") && last.contains("\"end\""), "{first} {last}");
    records.to_vec()
}

async fn works(outdial: &Outdial, arguments: &[&str]) {
    let output = outdial.runs_command(arguments).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
}

#[tokio::test]
async fn from_sqlite_to_mongodb_and_back() {
    let _seat = Stack::seat_without_agent().await;
    let url = Database::fresh().await.url();
    let mut settings = settings_of(&url, &[QUICK]);
    let on_mongodb = settings.clone();
    settings.retain(|(key, _)| *key != "store.url");

    let sqlite = Outdial::start(&settings).await;
    let desk = Desk::new(&sqlite, json!({}), json!({"auth_password": "s3cret"})).await;
    let mut rooms = Vec::new();
    for number in ["+15550600000", "+15550600486", "+15550600902", "+15550600404"] {
        let order = desk.order(number);
        let headers = [("idempotency-key", number), ("prefer", "respond-async")];
        let placed = desk.api.post_with("/call/outbound", &headers, &order).await.data();
        rooms.push(placed["room_name"].as_str().unwrap().to_owned());
    }
    for room in &rooms {
        desk.one_webhook(room).await;
    }
    assert_eq!(desk.api.erase(&rooms.pop().unwrap()).await.status, 200);
    let seen = everything(&desk, &rooms).await;

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let archive = file("from-sqlite.jsonl");
    let archive = archive.to_str().unwrap();
    let live = sqlite.runs_command(&["export", archive]).await;
    assert!(!live.status.success(), "a server that runs changes what is exported");
    sqlite.terminate();
    assert!(sqlite.exited().await.success());
    works(&sqlite, &["export", archive]).await;

    let mongodb = sqlite.beside(&on_mongodb);
    works(&mongodb, &["import", archive]).await;
    mongodb.restart().await;
    let moved = desk.through(&mongodb);
    assert_eq!(everything(&moved, &rooms).await, seen);
    // Keys and idempotency keys came along: it is the same call.
    let (order, headers) = (moved.order("+15550600000"), [("idempotency-key", "+15550600000")]);
    let again = moved.api.post_with("/call/outbound", &headers, &order).await.data();
    assert_eq!(again["room_name"], rooms[0]);
    mongodb.terminate();
    assert!(mongodb.exited().await.success());

    let back = file("from-mongodb.jsonl");
    works(&mongodb, &["export", back.to_str().unwrap()]).await;
    let other = sqlite.beside(&settings);
    works(&other, &["import", back.to_str().unwrap()]).await;
    let last = file("from-sqlite-again.jsonl");
    works(&other, &["export", last.to_str().unwrap()]).await;
    let [first, back, last] = [Path::new(archive), &back, &last].map(records);
    assert_eq!(first, back);
    assert_eq!(back, last);
    other.restart().await;
    let home = desk.through(&other);
    assert_eq!(everything(&home, &rooms).await, seen);
    let room = home.place("+15550601486").await;
    home.one_webhook(&room).await;
}

/// What the API tells.
async fn everything(desk: &Desk, rooms: &[String]) -> Vec<Value> {
    let mut all = vec![json!(desk.calls("").await)];
    for path in ["/assistants", "/trunks", "/keys"] {
        let mut list = desk.api.get(path).await.data();
        for item in list["items"].as_array_mut().unwrap() {
            // Looking is using.
            item.as_object_mut().unwrap().remove("last_used_at");
        }
        all.push(list);
    }
    for room in rooms {
        all.push(desk.record(room).await);
        all.push(json!(desk.lines(room).await));
        all.push(json!(desk.deliveries(room).await));
    }
    all
}

#[tokio::test]
async fn an_archive_that_was_changed_is_refused() {
    let _seat = Stack::seat_without_agent().await;
    let settings = settings_of("", &[QUICK]);
    let settings: Vec<_> = settings.into_iter().filter(|(key, _)| *key != "store.url").collect();
    let sqlite = Outdial::start(&settings).await;
    let desk = Desk::new(&sqlite, json!({}), json!({})).await;
    desk.one_webhook(&desk.place("+15550602486").await).await;
    sqlite.terminate();
    sqlite.exited().await;
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive.jsonl");
    works(&sqlite, &["export", archive.to_str().unwrap()]).await;
    let text = std::fs::read_to_string(&archive).unwrap();
    let cut = text.lines().filter(|line| !line.contains("\"end\"")).collect::<Vec<_>>().join("\n");
    let url = Database::fresh().await.url();
    let target = sqlite.beside(&settings_of(&url, &[QUICK]));
    for changed in [text.replacen("Support Agent", "Support agent", 1), cut] {
        assert_ne!(changed, text);
        std::fs::write(&archive, changed).unwrap();
        let output = target.runs_command(&["import", archive.to_str().unwrap()]).await;
        assert!(!output.status.success());
    }
}

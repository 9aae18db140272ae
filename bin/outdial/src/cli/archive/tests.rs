use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use outdial_domain::ports::{Delivery, IdempotencyKey};
use outdial_domain::{Account, Call, DeliveryId, ErrorKind, NodeId, Speaker, Tombstone};
use outdial_sqlite::SqliteStore;
use outdial_testkit::memory::{Failure, MemoryStore};
use outdial_testkit::sample::{self, START, at, line};
use serde_json::json;
use tempfile::TempDir;

use super::export::write_all;
use super::file::Source;
use super::format::{Header, Reader, Tally};
use super::import::{check, store_all};
use super::verify::verify;
use super::*;

/// More than two batches.
const CALLS: usize = 1203;

/// A store with something of every kind.
async fn filled(store: Arc<dyn Port>, calls: usize) -> Arc<dyn Port> {
    let account = sample::account();
    let mut records = records_of(&account, calls);
    records.sort_by_key(|record| (record.kind(), record.id()));
    store.import(&records).await.unwrap();
    store
}

fn records_of(account: &Account, calls: usize) -> Vec<Record> {
    let id = &account.account_id;
    let mut records = vec![
        Record::Account(account.clone()),
        Record::ApiKey(sample::api_key(id)),
        Record::Assistant(sample::assistant(id)),
        Record::Trunk(sample::trunk(id)),
    ];
    let node = NodeId::random();
    for number in 0..calls {
        let mut call = sample::call(id);
        call.version = 3;
        call.owner = (number % 2 == 0).then(|| node.clone());
        call.captured_by = vec![node.clone()];
        // A number whose last bit is lost by inexact readers of JSON.
        call.order_mut().metadata.insert("score".into(), json!(0.1 + 0.2 + number as f64 / 7.0));
        call.unknown.insert("newer".into(), json!({"$date": ["a", null, 1e300]}));
        records.extend(beside(&call, number));
        let idempotency_key = (number % 3 == 0).then(|| IdempotencyKey {
            key: format!("key {number} é"),
            fingerprint: "f00d".into(),
            expires_at: at(86_400.0),
        });
        records.push(Record::Call { call: Box::new(call), idempotency_key });
    }
    records
}

fn beside(call: &Call, number: usize) -> Vec<Record> {
    let room_name = call.room_name().clone();
    let delivery = Delivery {
        delivery_id: DeliveryId::random(),
        room_name: room_name.clone(),
        webhook_id: "msg_1".into(),
        attempt: 1,
        at: at(70.0),
        duration_ms: 12,
        status_code: None,
        error: Some("connection refused".into()),
    };
    let lines = vec![
        line(Speaker::User, "Grüße \u{2028} \"quoted\"\n", 2.0),
        line(Speaker::Agent, &"a".repeat(number), 1.5),
    ];
    vec![
        Record::Transcript { room_name, lines },
        Record::Delivery(delivery),
        Record::Tombstone(Tombstone::of(&sample::call(&call.order.account_id), START)),
    ]
}

fn memory() -> Arc<dyn Port> {
    Arc::new(MemoryStore::new())
}

fn sqlite() -> (TempDir, Arc<dyn Port>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("outdial.db")).unwrap();
    (folder, Arc::new(store))
}

async fn archive_of(store: &dyn Port) -> Vec<u8> {
    let header = Header::new(START, Some("0f".repeat(32)));
    write_all(store, Vec::new(), &header).await.unwrap().0
}

async fn import_all(store: &dyn Port, mut archive: &[u8]) -> anyhow::Result<Tally> {
    let (_, tally) = check(&mut &*archive, None)?;
    let mut source = Source::copied(&mut archive, check)?.0;
    store_all(store, &mut Reader::new(source.again()?)?, tally.total()).await?;
    Ok(tally)
}

async fn others_in(store: &dyn Port, archive: &[u8]) -> anyhow::Result<u64> {
    verify(store, &mut Reader::new(archive)?, 0).await
}

#[tokio::test]
async fn an_archive_goes_from_store_to_store_unchanged() {
    let (_first, source) = sqlite();
    let archive = archive_of(&*filled(source, CALLS).await).await;
    let (elsewhere, (_second, back)) = (memory(), sqlite());
    let tally = import_all(&*elsewhere, &archive).await.unwrap();
    assert_eq!(tally.count(RecordKind::Call), u64::try_from(CALLS).unwrap());
    assert_eq!(others_in(&*elsewhere, &archive).await.unwrap(), 0);
    assert!(archive_of(&*elsewhere).await == archive);
    import_all(&*back, &archive_of(&*elsewhere).await).await.unwrap();
    assert!(archive_of(&*back).await == archive);
}

#[tokio::test]
async fn an_empty_store_makes_an_empty_archive() {
    let archive = archive_of(&*memory()).await;
    assert_eq!(String::from_utf8_lossy(&archive).lines().count(), 2);
    let tally = import_all(&*memory(), &archive).await.unwrap();
    assert_eq!(in_words(tally.counts()), "nothing");
}

#[tokio::test]
async fn an_interrupted_import_is_repeated() {
    let archive = archive_of(&*filled(memory(), CALLS).await).await;
    let target = MemoryStore::new();
    let shaky = target.view();
    let imports = AtomicU32::new(0);
    shaky.fail_where(move |operation| {
        let import = operation.contains("import");
        (import && imports.fetch_add(1, Ordering::Relaxed) == 2)
            .then_some(Failure::Error(ErrorKind::Unavailable))
    });
    let error = format!("{:#}", import_all(&shaky, &archive).await.unwrap_err());
    assert!(error.contains("repeat the import when the cause is gone"), "{error}");
    let missing = others_in(&target, &archive).await.unwrap_err().to_string();
    assert!(missing.contains("is not in the store"), "{missing}");
    import_all(&target, &archive).await.unwrap();
    assert_eq!(others_in(&target, &archive).await.unwrap(), 0);
}

#[tokio::test]
async fn what_else_is_in_the_store_is_told() {
    let archive = archive_of(&*filled(memory(), 20).await).await;
    let target = memory();
    target.import(&[Record::Account(sample::account())]).await.unwrap();
    import_all(&*target, &archive).await.unwrap();
    assert_eq!(others_in(&*target, &archive).await.unwrap(), 1);
}

#[tokio::test]
async fn another_record_of_the_same_id_is_not_replaced() {
    let source = filled(memory(), 20).await;
    let archive = archive_of(&*source).await;
    let mut calls = source.export(RecordKind::Call, None, 1).await.unwrap();
    let Some(Record::Call { call, .. }) = calls.first_mut() else { panic!() };
    call.version = 9;
    let target = memory();
    target.import(&calls).await.unwrap();
    let error = format!("{:#}", import_all(&*target, &archive).await.unwrap_err());
    assert!(error.contains("import into an empty one"), "{error}");

    let accounts = source.export(RecordKind::Account, None, 1).await.unwrap();
    let Some(Record::Account(account)) = accounts.first() else { panic!() };
    let target = memory();
    target.account_named(&account.name, START).await.unwrap();
    let error = format!("{:#}", import_all(&*target, &archive).await.unwrap_err());
    assert!(error.contains("before keys are created"), "{error}");
}

#[tokio::test]
async fn a_store_that_changed_what_it_was_given_is_found_out() {
    let archive = archive_of(&*filled(memory(), 20).await).await;
    let target = memory();
    import_all(&*target, &archive).await.unwrap();
    let mut calls = target.export(RecordKind::Call, None, 1).await.unwrap();
    let Some(Record::Call { call, .. }) = calls.first_mut() else { panic!() };
    target.save(call).await.unwrap();
    let error = others_in(&*target, &archive).await.unwrap_err().to_string();
    assert!(error.contains("is another in the store than in the archive"), "{error}");
}

/// What is wrong with an archive.
fn fault(archive: &[u8]) -> String {
    match check(&mut &*archive, None) {
        Ok(_) => panic!("the archive is good"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn damage_is_named() {
    let archive = String::from_utf8(archive_of(&*filled(memory(), 20).await).await).unwrap();
    let lines: Vec<&str> = archive.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let without = |number: usize| {
        let mut lines = lines.clone();
        lines.remove(number - 1);
        joined(&lines)
    };
    let changed = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        joined(&lines)
    };
    let other_call = lines[9].replacen("\"version\":3", "\"version\":4", 1);
    assert_ne!(other_call, lines[9]);
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(9, 10);
        joined(&lines)
    };
    let half = &archive[..archive.len() / 2];
    let newer = lines[0].replacen("archive\":1", "archive\":2", 1).replacen("0.1.0", "9.9.9", 1);
    for (text, expect) in [
        (changed(10, "{\"call\":{}}"), "line 10 of the archive is damaged: "),
        (changed(10, "{\"future\":{}}"), "line 10 of the archive is damaged: unknown variant"),
        (changed(10, ""), "line 10 of the archive is damaged: "),
        (changed(10, &other_call), "have the SHA-256"),
        (without(10), "holds 19 calls where its end says 20"),
        (swapped, "line 11 of the archive is out of order"),
        (changed(11, lines[9]), "line 11 of the archive is out of order"),
        (without(lines.len()), "its end is missing"),
        (half.to_owned(), "the archive was cut off in line"),
        (archive.trim_end().to_owned(), "the archive was cut off in line"),
        (archive.clone() + &archive, "stands behind the archive's end"),
        (changed(1, &newer), "a newer outdial, version 9.9.9"),
        (without(1), "this is no archive that `outdial export` wrote"),
        (String::new(), "it is empty"),
        ("\0\0\0\0".to_owned(), "this is no archive that `outdial export` wrote"),
        ("{}\n".to_owned(), "this is no archive that `outdial export` wrote"),
    ] {
        let fault = fault(text.as_bytes());
        assert!(fault.contains(expect), "{fault}\n{expect}");
    }
    let mut bytes = archive.clone().into_bytes();
    let middle = bytes.len() / 2;
    bytes[middle] = 0xff;
    let fault = fault(&bytes);
    assert!(fault.contains("of the archive is damaged"), "{fault}");
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let mut endless = std::io::repeat(b'x');
    let error = format!("{:#}", check(&mut endless, None).unwrap_err());
    assert!(error.contains("longer than 64 MiB"), "{error}");
}

#[tokio::test]
async fn what_can_be_read_once_is_copied_whole() {
    let archive = archive_of(&*filled(memory(), 20).await).await;
    let (mut source, (_, tally)) = Source::copied(&mut &*archive, check).unwrap();
    let mut copy = Vec::new();
    source.again().unwrap().read_to_end(&mut copy).unwrap();
    assert!(copy == archive);
    assert_eq!(tally.sha256().len(), 64);
}

#[test]
fn counts_in_words() {
    let counts = |calls, keys| [(RecordKind::ApiKey, keys), (RecordKind::Call, calls)].into_iter();
    assert_eq!(in_words(counts(1203, 1)), "1 api key, 1203 calls");
    assert_eq!(in_words(counts(1, 2)), "2 api keys, 1 call");
}

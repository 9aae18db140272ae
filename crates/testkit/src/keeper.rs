//! The conformance suite of [`Keeper`]: every sentence of the port as a rule that can fail.
//!
//! A rule is an async function that takes an empty keeper and panics where the keeper breaks it.
//! [`keeper_conformance!`](crate::keeper_conformance) makes one test of each.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use outdial_domain::ports::{KeepFile, Keeper, RecordingSource};
use outdial_domain::{ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// More than the least part that S3 takes, which is 5 MiB.
const LARGE: usize = 5 * 1024 * 1024 + 100_000;

const KEY: &str = "recordings/call_1.ogg";
const CONTENT_TYPE: &str = "audio/ogg; codecs=opus";

/// Reads a URL.
pub type Get = fn(String) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// What is to be tested, and how.
#[derive(Clone)]
pub struct Fixture {
    /// The keeper; nothing is in it.
    pub keeper: Arc<dyn Keeper>,
    /// An empty folder, for the files to keep.
    pub scratch: PathBuf,
    /// Reads what a URL of [`Keeper::open`] gives.
    pub get: Get,
}

/// Makes one `#[test]` for each rule of the keeper suite.
///
/// Takes an async closure or function without arguments that gives a [`Fixture`](crate::keeper::Fixture)
/// and something to keep until the rule has run: a temporary folder, a container, or `()`.
#[macro_export]
macro_rules! keeper_conformance {
    ($make:expr $(,)?) => {
        $crate::__keeper_rules! { $make;
            a_keeper_at_work_passes_its_check
            what_was_put_is_read
            the_source_is_left_alone
            a_missing_key_is_not_found
            the_same_file_again_changes_nothing
            another_file_replaces_the_first
            a_deleted_file_is_gone
            keys_are_apart
            a_large_file_is_kept_whole
            metadata_is_borne
            odd_keys_are_refused
            a_file_that_is_not_what_it_says_is_refused
            a_source_that_is_missing_is_an_error
            a_dropped_put_leaves_nothing
            of_puts_at_once_of_one_file_all_succeed
            of_puts_at_once_of_several_files_one_stays
            a_sweep_leaves_what_is_kept
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __keeper_rules {
    ($make:expr; $($rule:ident)+) => {
        $(
            #[test]
            fn $rule() {
                $crate::keeper::run($make, $crate::keeper::$rule);
            }
        )+
    };
}

/// Runs one rule; what [`keeper_conformance!`](crate::keeper_conformance) expands to.
///
/// # Panics
/// When the keeper breaks the rule.
pub fn run<Guard>(make: impl AsyncFnOnce() -> (Fixture, Guard), rule: impl AsyncFnOnce(Fixture)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (fixture, _guard) = make().await;
        rule(fixture).await;
    });
}

/// [`Keeper::check`] succeeds, before and after a file is kept.
pub async fn a_keeper_at_work_passes_its_check(fixture: Fixture) {
    fixture.keeper.check().await.expect("check");
    fixture.put(KEY, b"content").await.expect("put");
    fixture.keeper.check().await.expect("check");
}

/// What was put is read byte by byte, whatever its size.
pub async fn what_was_put_is_read(fixture: Fixture) {
    for (index, size) in [0, 1, 511, 65_536, 300_001].into_iter().enumerate() {
        let key = format!("recordings/call_{index}.ogg");
        let content = noise(size);
        fixture.put(&key, &content).await.expect("put");
        fixture.holds(&key, &content).await;
    }
}

/// The file that was to be kept is still where it was.
pub async fn the_source_is_left_alone(fixture: Fixture) {
    let path = fixture.scratch.join("source");
    fs::write(&path, b"content").unwrap();
    let file = keep_file(KEY, &path, b"content");
    fixture.keeper.put(&file).await.expect("put");
    assert_eq!(fs::read(&path).unwrap(), b"content");
    // Nor do they share what is written to one of them.
    fs::write(&path, b"changed").unwrap();
    fixture.holds(KEY, b"content").await;
}

/// Opening what was never put is `NotFound`; deleting it succeeds.
pub async fn a_missing_key_is_not_found(fixture: Fixture) {
    fixture.is_missing(KEY).await;
    fixture.keeper.delete(KEY).await.expect("deleting what is not there");
    fixture.is_missing(KEY).await;
}

/// A second put of the same file succeeds, with the same URL.
pub async fn the_same_file_again_changes_nothing(fixture: Fixture) {
    let content = noise(100_000);
    let first = fixture.put(KEY, &content).await.expect("put");
    let second = fixture.put(KEY, &content).await.expect("put again");
    assert_eq!(first, second, "the URL is the same");
    fixture.holds(KEY, &content).await;
}

/// Another file under the same key replaces the first, also one of the same size.
pub async fn another_file_replaces_the_first(fixture: Fixture) {
    for content in [b"first".as_slice(), b"other", b"a longer one", b"", b"last"] {
        fixture.put(KEY, content).await.expect("put");
        fixture.holds(KEY, content).await;
    }
}

/// A deleted file is gone, deleting it again succeeds, and it can be put again.
pub async fn a_deleted_file_is_gone(fixture: Fixture) {
    for _ in 0..2 {
        fixture.put(KEY, b"content").await.expect("put");
        for _ in 0..2 {
            fixture.keeper.delete(KEY).await.expect("delete");
            fixture.is_missing(KEY).await;
        }
    }
}

/// Files under keys that resemble each other do not touch.
pub async fn keys_are_apart(fixture: Fixture) {
    let keys = ["recordings/a", "recordings/a.ogg", "recordings/ab", "recordings/b/a"];
    for key in keys {
        fixture.put(key, key.as_bytes()).await.expect("put");
    }
    fixture.keeper.delete(keys[0]).await.expect("delete");
    fixture.is_missing(keys[0]).await;
    for key in &keys[1..] {
        fixture.holds(key, key.as_bytes()).await;
    }
}

/// A file of several parts, where a keeper has such, is kept whole, replaced by another one, and deleted.
pub async fn a_large_file_is_kept_whole(fixture: Fixture) {
    let mut content = noise(LARGE * 2 + 3);
    fixture.put(KEY, &content).await.expect("put");
    fixture.holds(KEY, &content).await;
    fixture.put(KEY, &content).await.expect("put again");
    content[LARGE] ^= 1;
    fixture.put(KEY, &content).await.expect("put another one");
    fixture.holds(KEY, &content).await;
    fixture.keeper.delete(KEY).await.expect("delete");
    fixture.is_missing(KEY).await;
    fixture.nothing_is_left().await;
}

/// Metadata of printable ASCII is taken.
pub async fn metadata_is_borne(fixture: Fixture) {
    let printable: String = (' '..='~').collect();
    let metadata = [
        ("room-name", "call_abc".to_owned()),
        ("printable", format!("x{printable}x")),
        ("long", "x".repeat(500)),
        ("1", "2026-11-21T07:00:00Z".to_owned()),
    ];
    let path = fixture.scratch.join("source");
    fs::write(&path, b"content").unwrap();
    let file = KeepFile { metadata: &metadata, ..keep_file(KEY, &path, b"content") };
    fixture.keeper.put(&file).await.expect("put");
    fixture.holds(KEY, b"content").await;
}

/// A key that leads elsewhere, or could, is an error of every operation.
pub async fn odd_keys_are_refused(fixture: Fixture) {
    let long = format!("recordings/{}", "a".repeat(2_000));
    let keys = [
        "",
        "/",
        "recordings/",
        "/etc/passwd",
        "../call.ogg",
        "recordings/../../call.ogg",
        "recordings/./call.ogg",
        "recordings//call.ogg",
        "recordings/call\0.ogg",
        "recordings/call\n.ogg",
        "recordings/call ogg",
        "recordings/call?x=y",
        "recordings/call%2f..%2f",
        "recordings/anrufé.ogg",
        "recordings\\call.ogg",
        &long,
    ];
    for key in keys {
        refused(key, fixture.put(key, b"content").await);
        refused(key, fixture.keeper.open(key).await);
        refused(key, fixture.keeper.delete(key).await);
    }
    fixture.nothing_is_left().await;
}

/// Nothing is kept under a size or a SHA-256 that is not its own; what was there stays.
pub async fn a_file_that_is_not_what_it_says_is_refused(fixture: Fixture) {
    let path = fixture.scratch.join("source");
    fs::write(&path, b"content").unwrap();
    let honest = keep_file(KEY, &path, b"content");
    let lies = [
        KeepFile { bytes: 6, ..honest },
        KeepFile { bytes: 8, ..honest },
        KeepFile { sha256: [0; 32], ..honest },
    ];
    for lie in &lies {
        let put = fixture.keeper.put(lie).await;
        assert!(put.is_err(), "{lie:?} was kept: {put:?}");
        fixture.is_missing(KEY).await;
    }
    fixture.put(KEY, b"before").await.expect("put");
    for lie in &lies {
        let put = fixture.keeper.put(lie).await;
        assert!(put.is_err(), "{lie:?} was kept: {put:?}");
        fixture.holds(KEY, b"before").await;
    }
    fixture.nothing_is_left().await;
}

/// A source that is not there (any more) is an error, not an empty file.
pub async fn a_source_that_is_missing_is_an_error(fixture: Fixture) {
    let path = fixture.scratch.join("nothing");
    let put = fixture.keeper.put(&keep_file(KEY, &path, b"")).await;
    assert!(put.is_err(), "{put:?}");
    fixture.is_missing(KEY).await;
    fixture.nothing_is_left().await;
}

/// A put can be dropped at any moment: nobody sees a part of the file, the next put succeeds, and
/// what is left can be swept.
pub async fn a_dropped_put_leaves_nothing(fixture: Fixture) {
    let content = noise(LARGE);
    let path = fixture.scratch.join("source");
    fs::write(&path, &content).unwrap();
    for (index, ms) in [0, 1, 3, 10, 30, 60, 100, 200].into_iter().enumerate() {
        let key = format!("recordings/call_{index}.ogg");
        let file = keep_file(&key, &path, &content);
        let done = timeout(Duration::from_millis(ms), fixture.keeper.put(&file)).await;
        match fixture.keeper.open(&key).await {
            Ok(source) => assert!(fixture.read(source).await == content, "a part of it is seen"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
                assert!(done.is_err(), "kept, but not there");
            }
        }
        if index % 2 == 0 {
            fixture.keeper.put(&file).await.expect("put after a dropped one");
            fixture.holds(&key, &content).await;
        }
    }
    fixture.nothing_is_left().await;
}

/// Puts of the same file at the same time all succeed, and leave nothing else behind.
pub async fn of_puts_at_once_of_one_file_all_succeed(fixture: Fixture) {
    let content: Arc<[u8]> = noise(LARGE).into();
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let (fixture, content) = (fixture.clone(), Arc::clone(&content));
        tasks.spawn(async move { fixture.put(KEY, &content).await });
    }
    for put in tasks.join_all().await {
        put.expect("put");
    }
    fixture.holds(KEY, &content).await;
    fixture.nothing_is_left().await;
}

/// Of puts of several files under one key at the same time one stays, whole; the others succeed or
/// may be tried again.
pub async fn of_puts_at_once_of_several_files_one_stays(fixture: Fixture) {
    let contents: Vec<Vec<u8>> = (0..3_u8).map(|i| vec![i; LARGE]).collect();
    let mut tasks = JoinSet::new();
    for content in contents.clone() {
        let fixture = fixture.clone();
        tasks.spawn(async move { fixture.put(KEY, &content).await });
    }
    let puts = tasks.join_all().await;
    assert!(puts.iter().any(Result::is_ok), "none was kept: {puts:?}");
    for error in puts.into_iter().filter_map(Result::err) {
        assert!(error.is_retryable(), "{error}");
    }
    let source = fixture.keeper.open(KEY).await.expect("open");
    assert!(contents.contains(&fixture.read(source).await), "what is kept was never put");
    fixture.nothing_is_left().await;
}

/// Sweeping removes no file that is kept.
pub async fn a_sweep_leaves_what_is_kept(fixture: Fixture) {
    let large = noise(LARGE);
    fixture.put("recordings/small.ogg", b"content").await.expect("put");
    fixture.put("recordings/large.ogg", &large).await.expect("put");
    let future = Utc::now() + TimeDelta::days(1);
    for before in [Utc::now() - TimeDelta::days(1), future, future] {
        assert_eq!(fixture.keeper.sweep(before).await.expect("sweep"), 0);
    }
    fixture.holds("recordings/small.ogg", b"content").await;
    fixture.holds("recordings/large.ogg", &large).await;
}

impl Fixture {
    /// Puts a file of this content.
    ///
    /// # Errors
    /// What the keeper gives.
    pub async fn put(&self, key: &str, content: &[u8]) -> Result<Option<String>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.join(format!("put-{number}"));
        fs::write(&path, content).unwrap();
        let put = self.keeper.put(&keep_file(key, &path, content)).await;
        fs::remove_file(&path).unwrap();
        put
    }

    /// Reads all of a source.
    pub async fn read(&self, source: RecordingSource) -> Vec<u8> {
        match source {
            RecordingSource::File(path) => fs::read(path).expect("a file that can be read"),
            RecordingSource::Url(url) => (self.get)(url.to_string()).await,
        }
    }

    /// Panics unless just this is kept under the key.
    pub async fn holds(&self, key: &str, content: &[u8]) {
        let source = self.keeper.open(key).await.expect("open");
        let found = self.read(source).await;
        assert!(
            found == content,
            "{key} holds {} bytes, not the {} that were put, or others",
            found.len(),
            content.len()
        );
    }

    /// Panics unless nothing is kept under the key.
    pub async fn is_missing(&self, key: &str) {
        match self.keeper.open(key).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            other => panic!("{key} should be missing: {other:?}"),
        }
    }

    /// Sweeps until nothing is left; a dropped put may still be stopping.
    pub async fn nothing_is_left(&self) {
        let swept = async {
            let future = Utc::now() + TimeDelta::days(1);
            while self.keeper.sweep(future).await.expect("sweep") > 0 {}
        };
        timeout(PATIENCE, swept).await.expect("swept");
    }
}

/// A file of this content, described as it is.
pub fn keep_file<'a>(key: &'a str, path: &'a std::path::Path, content: &[u8]) -> KeepFile<'a> {
    KeepFile {
        key,
        path,
        bytes: content.len() as u64,
        sha256: Sha256::digest(content).into(),
        content_type: CONTENT_TYPE,
        metadata: &[],
    }
}

/// Bytes that repeat nowhere near.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(bytes);
    content
}

#[track_caller]
fn refused<T: std::fmt::Debug>(key: &str, result: Result<T>) {
    match result {
        Err(error) if error.kind == ErrorKind::Refused => {}
        other => panic!("the key {key:?} was not refused: {other:?}"),
    }
}

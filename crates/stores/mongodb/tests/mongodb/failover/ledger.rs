//! Writers, and what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use outdial_domain::ports::{Calls, IdempotencyKey, Inserted, Transcripts};
use outdial_domain::{
    AccountId, Call, ErrorKind, Hint, LegEnd, RoomName, Speaker, TranscriptLine, TrunkId,
};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer;
use crate::database::{LONG, stored};

/// Where a call holds the marks of all its saves.
const MARKS: &str = "marks";

/// How many calls at most occupy the trunk that has a limit.
const LIMIT: u32 = 3;

/// What was acknowledged: for each call its versions, and the mark that was saved with each (none
/// with the insert).
type Acknowledged = BTreeMap<RoomName, BTreeMap<u64, Option<Value>>>;

pub(crate) struct Ledger {
    acknowledged: Mutex<Acknowledged>,
    count: watch::Sender<usize>,
    trunk_id: TrunkId,
    /// Calls on it that have begun and were not yet told to end.
    running: AtomicU32,
    stop: AtomicBool,
    writers: Mutex<JoinSet<()>>,
    /// A call, and the lines of its transcript.
    transcript: OnceLock<RoomName>,
    lines: Mutex<Vec<TranscriptLine>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            acknowledged: Mutex::default(),
            count: watch::Sender::new(0),
            trunk_id: TrunkId::random(),
            running: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            writers: Mutex::default(),
            transcript: OnceLock::new(),
            lines: Mutex::default(),
        }
    }
}

/// Starts four that insert calls, four that save the same two calls, four that fill a trunk, and one
/// that writes a transcript.
pub(crate) async fn start_writers(store: &Arc<MongoStore>, ledger: &Arc<Ledger>) {
    let shared = [stored(store).await, stored(store).await];
    let mut writers = ledger.writers.lock().await;
    let room = ledger.transcript.get_or_init(|| shared[0].room_name().clone()).clone();
    writers.spawn({
        let (store, ledger) = (Arc::clone(store), Arc::clone(ledger));
        async move { ledger.append_lines(&store, &room).await }
    });
    for number in 0..4 {
        let room = shared[number % 2].room_name().clone();
        let (store, ledger) = (Arc::clone(store), Arc::clone(ledger));
        writers.spawn({
            let (store, ledger) = (Arc::clone(&store), Arc::clone(&ledger));
            async move { ledger.insert_calls(&store).await }
        });
        writers.spawn({
            let (store, ledger) = (Arc::clone(&store), Arc::clone(&ledger));
            async move { ledger.save_a_call(&store, &room).await }
        });
        writers.spawn(async move { ledger.fill_a_trunk(&store).await });
    }
}

impl Ledger {
    /// Waits for so many more acknowledged writes.
    pub(crate) async fn acknowledgements(&self, more: usize) {
        let mut count = self.count.subscribe();
        let enough = *count.borrow_and_update() + more;
        let waited = timeout(LONG, count.wait_for(|count| *count >= enough)).await;
        waited.expect("the store takes writes").unwrap();
    }

    pub(crate) async fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut writers = self.writers.lock().await;
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn write_down(&self, call: &Call, mark: Option<Value>) {
        let mut acknowledged = self.acknowledged.lock().await;
        let versions = acknowledged.entry(call.room_name().clone()).or_default();
        let before = versions.insert(call.version, mark);
        assert_eq!(before, None, "version {} was given to two", call.version);
        self.count.send_modify(|count| *count += 1);
    }

    /// Inserts calls with a key each, again and again until the answer comes.
    async fn insert_calls(&self, store: &MongoStore) {
        while self.goes_on() {
            let mut call = sample::call(&AccountId::random());
            let key = IdempotencyKey {
                key: "the only one".into(),
                fingerprint: "f00d".into(),
                expires_at: sample::at(9_999.0),
            };
            let inserted = answer!(store.insert(&mut call, Some(&key)));
            match inserted.unwrap() {
                Inserted::New => {}
                // By a try whose answer was lost.
                Inserted::Known { room_name, .. } => assert_eq!(room_name, *call.room_name()),
            }
            call.version = 1;
            self.write_down(&call, None).await;
        }
    }

    /// Saves one call, in a race with others, adding a mark each time.
    async fn save_a_call(&self, store: &MongoStore, room: &RoomName) {
        while self.goes_on() {
            let mut call = answer!(store.get(room)).unwrap().unwrap();
            let mark = json!(outdial_domain::random_text(12));
            let marks = call.unknown.entry(MARKS).or_insert_with(|| json!([]));
            marks.as_array_mut().unwrap().push(mark.clone());
            match store.save(&mut call).await {
                Ok(()) => self.write_down(&call, Some(mark)).await,
                Err(error) if error.kind == ErrorKind::Conflict => {}
                // Whether it was saved, the next read tells.
                Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{error}"),
            }
        }
    }

    /// Starts calls on a trunk with a limit, and ends them.
    async fn fill_a_trunk(&self, store: &MongoStore) {
        while self.goes_on() {
            let mut call = sample::started_call(&AccountId::random(), &self.trunk_id, LIMIT);
            let room = call.room_name().clone();
            if let Err(error) = answer!(store.insert(&mut call, None)) {
                let refused = [ErrorKind::Busy, ErrorKind::Exists].contains(&error.kind);
                assert!(refused, "{error}");
                // Unless it was stored by a try whose answer was lost.
                if answer!(store.get(&room)).unwrap().is_none() {
                    continue;
                }
            }
            call.version = 1;
            self.write_down(&call, None).await;
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(running <= LIMIT, "{running} calls run at a time");
            self.running.fetch_sub(1, Ordering::Relaxed);
            let at = sample::at(60.0);
            call.apply(&Hint::Ended { at, end: LegEnd::CalleeHangup });
            call.close(at);
            let ended = answer!(store.save(&mut call));
            let stored = answer!(store.get(&room)).unwrap().unwrap();
            match ended {
                Ok(()) => self.write_down(&call, None).await,
                // A try whose answer was lost has raised the version.
                Err(error) => assert_eq!(error.kind, ErrorKind::Conflict, "{error}"),
            }
            assert_eq!((stored.version, stored.ended_at), (2, Some(at)));
        }
    }

    /// Appends one line after the other to a transcript, each until that is acknowledged.
    async fn append_lines(&self, store: &MongoStore, room: &RoomName) {
        while self.goes_on() {
            let mut lines = self.lines.lock().await;
            let text = format!("line {}", lines.len());
            let line = [sample::line(Speaker::User, &text, 1.0)];
            answer!(store.append(room, &line)).unwrap();
            lines.extend(line);
            self.count.send_modify(|count| *count += 1);
        }
    }

    /// Checks that all that was acknowledged is in the store, in its place.
    pub(crate) async fn verify(&self, store: &MongoStore) {
        let lines = self.lines.lock().await;
        let transcript = store.read(self.transcript.get().unwrap(), 0).await.unwrap();
        assert_eq!(transcript, *lines, "each line once, in order");
        let acknowledged = self.acknowledged.lock().await;
        for (room, versions) in &*acknowledged {
            let call = store.get(room).await.unwrap().unwrap_or_else(|| panic!("{room} is lost"));
            let (last, _) = versions.last_key_value().unwrap();
            assert!(call.version >= *last, "{room} is at {}, not {last}", call.version);
            let Some(marks) = call.unknown.get(MARKS).and_then(Value::as_array) else {
                continue;
            };
            // The insert made version 1, and each save one more.
            assert_eq!(u64::try_from(marks.len()).unwrap() + 1, call.version);
            for (version, mark) in versions {
                let place = usize::try_from(version - 2).unwrap();
                assert_eq!(Some(&marks[place]), mark.as_ref(), "version {version} of {room}");
            }
        }
    }
}

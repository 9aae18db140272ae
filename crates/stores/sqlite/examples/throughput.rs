//! How much group commit gives on this machine's disk, and what a read costs.
//!
//! `cargo run --release -p outdial-sqlite --example throughput [folder]`

#![expect(clippy::print_stdout, reason = "an example reports to its user")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outdial_domain::ports::{Calls, Store};
use outdial_domain::{AccountId, Assistant, Call, RoomName, Trunk};
use outdial_sqlite::SqliteStore;
use outdial_testkit::sample;
use tokio::task::JoinSet;

const TASKS: usize = 64;
const WINDOW: Duration = Duration::from_secs(3);
const READS: u32 = 20_000;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let folder = tempfile::tempdir_in(parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(folder.path().join("store.db"))?);
        let raw = one_commit_per_insert(&folder.path().join("raw.db"))?;
        let (grouped, rooms) = inserts(&store).await?;
        println!("one commit per insert: {raw:.0}/s");
        println!("{TASKS} tasks, group commit: {grouped:.0}/s, {:.1} times as many", grouped / raw);
        let stats = store.write_stats();
        println!("{} writes in {} commits", stats.writes, stats.commits);
        reads(&store, &rooms).await?;
        Ok(store.close().await?)
    })
}

/// Calls of one assistant through one trunk.
#[derive(Clone)]
struct Load {
    assistant: Assistant,
    trunk: Trunk,
}

impl Load {
    fn new() -> Self {
        let account = AccountId::random();
        Self { assistant: sample::assistant(&account), trunk: sample::trunk(&account) }
    }

    fn call(&self) -> Call {
        let mut order = sample::order(&self.assistant, &self.trunk);
        order.created_at = chrono::Utc::now();
        Call::new(order)
    }
}

fn per_second(count: usize, since: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / since.elapsed().as_secs_f64()
}

/// The same documents into the barest table there is.
fn one_commit_per_insert(path: &Path) -> Result<f64> {
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE calls (room_name TEXT PRIMARY KEY, document TEXT NOT NULL);",
    )?;
    let load = Load::new();
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < WINDOW {
        let call = load.call();
        connection
            .prepare_cached("INSERT INTO calls VALUES (?1, ?2)")?
            .execute((call.room_name().as_str(), serde_json::to_string(&call)?))?;
        count += 1;
    }
    Ok(per_second(count, begin))
}

async fn inserts(store: &Arc<SqliteStore>) -> Result<(f64, Vec<RoomName>)> {
    let load = Load::new();
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, load) = (Arc::clone(store), load.clone());
        tasks.spawn(async move {
            let mut rooms = Vec::new();
            while begin.elapsed() < WINDOW {
                let mut call = load.call();
                let asked = Instant::now();
                store.insert(&mut call, None).await?;
                rooms.push((asked.elapsed(), call.room_name().clone()));
            }
            Result::Ok(rooms)
        });
    }
    let mut rooms = Vec::new();
    while let Some(task) = tasks.join_next().await {
        rooms.extend(task??);
    }
    let rate = per_second(rooms.len(), begin);
    rooms.sort();
    let [half, most, all] = [50, 99, 100].map(|percent| rooms.len() * percent / 100);
    let waited = |index: usize| rooms.get(index.saturating_sub(1)).map(|(waited, _)| waited);
    println!("waits: half {:?}, 99% {:?}, all {:?}", waited(half), waited(most), waited(all));
    Ok((rate, rooms.into_iter().map(|(_, room)| room).collect()))
}

/// Reads of single calls: as the store does them, on this thread, and with a hop to another one.
async fn reads(store: &Arc<SqliteStore>, rooms: &[RoomName]) -> Result<()> {
    let hot = rooms.get(..100).unwrap_or(rooms);
    let begin = Instant::now();
    for room in hot.iter().cycle().take(READS as usize) {
        store.get(room).await?;
    }
    println!("read of a call: {:?}", begin.elapsed() / READS);

    let begin = Instant::now();
    for _ in 0..READS {
        tokio::task::spawn_blocking(|| ()).await?;
    }
    println!("a hop to another thread would add: {:?}", begin.elapsed() / READS);
    Ok(())
}

//! The calls: insert, get, save. Claims are in `ownership`, lists in `listing`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{CallFilter, Calls, IdempotencyKey, Inserted, Page, PageRequest};
use outdial_domain::{
    AccountId, Call, ErrorKind, Node, NodeId, Result, RoomName, Tombstone, TrunkId,
};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use crate::codec::{decode, encode, nanos, time};
use crate::erasure::{self, Erasure};
use crate::fault::{Fault, Outcome};
use crate::keys::{KeyRow, known_key, use_key};
use crate::{SqliteStore, listing, nodes, ownership};

/// What [`read_call`] needs, in its order.
pub(crate) const COLUMNS: &str = "document, version, owner, due_at";

/// How many calls hold a channel of a trunk.
pub(crate) const COUNT_RUNNING: &str =
    "SELECT count(*) FROM calls WHERE trunk_id = ?1 AND occupies = 1";

/// A call, ready to be written: made by the caller, so that the writer has little to do.
#[derive(Debug, Clone)]
pub(crate) struct CallRow {
    pub(crate) room_name: String,
    pub(crate) account_id: String,
    assistant_id: String,
    trunk_id: String,
    to_number: String,
    pub(crate) created_at: i64,
    status: &'static str,
    outcome: Option<&'static str>,
    occupies: bool,
    limit: Option<u32>,
    version: u64,
    owner: Option<String>,
    due_at: Option<i64>,
    attention: bool,
    document: String,
}

impl CallRow {
    pub(crate) fn new(call: &Call) -> Outcome<Self> {
        let order = &call.order;
        let status = call.status();
        Ok(Self {
            room_name: order.room_name.as_str().to_owned(),
            account_id: order.account_id.to_string(),
            assistant_id: order.assistant_id.to_string(),
            trunk_id: order.trunk_id.to_string(),
            to_number: order.to_number.to_string(),
            created_at: nanos(order.created_at),
            status: status.as_str(),
            outcome: call.termination.as_ref().map(|end| end.outcome.as_str()),
            occupies: status.occupies_trunk(),
            limit: order.max_concurrent_calls,
            version: call.version,
            owner: call.owner.as_ref().map(NodeId::to_string),
            due_at: call.due_at.map(nanos),
            attention: call.attention,
            document: encode(call)?,
        })
    }
}

#[async_trait]
impl Calls for SqliteStore {
    async fn insert(&self, call: &mut Call, key: Option<&IdempotencyKey>) -> Result<Inserted> {
        let operation = "sqlite.insert_call";
        let mut row = CallRow::new(call).map_err(|fault| fault.at(operation))?;
        row.version = 1;
        let key = key.map(KeyRow::new);
        let write = move |connection: &Connection| insert(connection, &row, key.as_ref());
        let inserted = self.run_write(operation, write).await?;
        if inserted == Inserted::New {
            call.version = 1;
        }
        Ok(inserted)
    }

    async fn find_key(
        &self,
        account: &AccountId,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, String)>> {
        self.run_read("sqlite.find_key", |connection| {
            known_key(connection, account.as_str(), key, nanos(now))
        })
    }

    async fn get(&self, room: &RoomName) -> Result<Option<Call>> {
        self.run_read("sqlite.get_call", |connection| {
            let sql = "SELECT document, version, owner, due_at FROM calls WHERE room_name = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([room.as_str()])?;
            rows.next()?.map(read_call).transpose()
        })
    }

    async fn list(&self, filter: &CallFilter, page: &PageRequest) -> Result<Page<Call>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.run_scan("sqlite.list_calls", move |connection| {
            listing::calls(connection, &filter, &page)
        })
        .await
    }

    async fn save(&self, call: &mut Call) -> Result<()> {
        let operation = "sqlite.save_call";
        let row = CallRow::new(call).map_err(|fault| fault.at(operation))?;
        let write = move |connection: &Connection| save(connection, &row);
        call.version = self.run_write(operation, write).await?;
        Ok(())
    }

    async fn erase(&self, call: &Call, tombstone: &Tombstone) -> Result<()> {
        let operation = "sqlite.erase_call";
        let erasure = Erasure::new(call, tombstone).map_err(|fault| fault.at(operation))?;
        let write = move |connection: &Connection| erasure::erase(connection, &erasure);
        self.run_write(operation, write).await
    }

    async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>> {
        self.run_read("sqlite.tombstone", |connection| erasure::tombstone(connection, id))
    }

    async fn claim_due(&self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Result<Vec<Call>> {
        let (node, now) = (node.clone(), nanos(now));
        let write = move |connection: &Connection| ownership::claim(connection, &node, now, limit);
        self.run_write("sqlite.claim_calls", write).await
    }

    async fn heartbeat(&self, node: &Node) -> Result<()> {
        let operation = "sqlite.heartbeat";
        let row = nodes::NodeRow::new(node).map_err(|fault| fault.at(operation))?;
        let write = move |connection: &Connection| nodes::hear_of(connection, &row);
        self.run_write(operation, write).await
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        self.run_read("sqlite.nodes", nodes::all)
    }

    async fn retire(&self, node: &NodeId) -> Result<()> {
        let node = node.clone();
        let write = move |connection: &Connection| nodes::forget(connection, &node);
        self.run_write("sqlite.retire", write).await
    }

    async fn owned(&self, node: &NodeId) -> Result<Vec<(RoomName, u64)>> {
        let node = node.clone();
        self.run_scan("sqlite.owned", move |connection| ownership::owned(connection, &node)).await
    }

    async fn needing_attention(&self, node: &NodeId) -> Result<Vec<RoomName>> {
        self.run_read("sqlite.needing_attention", |connection| {
            ownership::needing_attention(connection, node)
        })
    }

    async fn release(&self, node: &NodeId, now: DateTime<Utc>) -> Result<u64> {
        let (node, now) = (node.clone(), nanos(now));
        let write = move |connection: &Connection| ownership::release(connection, &node, now);
        self.run_write("sqlite.release_calls", write).await
    }

    async fn reserve_start(
        &self,
        trunk: &TrunkId,
        spacing: Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let trunk = trunk.clone();
        let spacing = i64::try_from(spacing.as_nanos()).unwrap_or(i64::MAX);
        let (now, latest) = (nanos(now), nanos(latest));
        let write = move |connection: &Connection| {
            ownership::reserve_start(connection, &trunk, spacing, now, latest)
        };
        Ok(self.run_write("sqlite.reserve_start", write).await?.map(time))
    }
}

/// Reads a call from [`COLUMNS`].
pub(crate) fn read_call(row: &Row<'_>) -> Outcome<Call> {
    let mut call: Call = decode(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
    call.version = row.get(1)?;
    let owner: Option<String> = row.get(2)?;
    call.owner = owner.map(|owner| owner.parse()).transpose().map_err(|error| {
        let message = format!("a stored call has an owner that is no node: {error}");
        Fault::decided(ErrorKind::Corrupt, message)
    })?;
    call.due_at = row.get::<_, Option<i64>>(3)?.map(time);
    Ok(call)
}

fn insert(connection: &Connection, row: &CallRow, key: Option<&KeyRow>) -> Outcome<Inserted> {
    if let Some(key) = key
        && let Some((room_name, fingerprint)) =
            known_key(connection, &row.account_id, &key.key, row.created_at)?
    {
        return Ok(Inserted::Known { room_name, fingerprint });
    }
    let sql = "SELECT 1 FROM calls WHERE room_name = ?1";
    if connection.prepare_cached(sql)?.exists([&row.room_name])? {
        return Err(Fault::decided(ErrorKind::Exists, "the call exists"));
    }
    check_limit(connection, row)?;
    insert_row(connection, row)?;
    if let Some(key) = key {
        use_key(connection, row, key)?;
    }
    Ok(Inserted::New)
}

pub(crate) fn insert_row(connection: &Connection, row: &CallRow) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO calls (room_name, account_id, assistant_id, trunk_id, to_number, created_at,
                            status, outcome, occupies, version, owner, due_at, attention,
                            document)
         VALUES (:room_name, :account_id, :assistant_id, :trunk_id, :to_number, :created_at,
                 :status, :outcome, :occupies, :version, :owner, :due_at, :attention,
                 :document)",
    )?;
    statement.execute(named_params! {
        ":room_name": row.room_name,
        ":account_id": row.account_id,
        ":assistant_id": row.assistant_id,
        ":trunk_id": row.trunk_id,
        ":to_number": row.to_number,
        ":created_at": row.created_at,
        ":status": row.status,
        ":outcome": row.outcome,
        ":occupies": row.occupies,
        ":version": row.version,
        ":owner": row.owner,
        ":due_at": row.due_at,
        ":attention": row.attention,
        ":document": row.document,
    })?;
    Ok(())
}

/// Fails when the call, not counted yet, would be one too many on its trunk.
fn check_limit(connection: &Connection, row: &CallRow) -> Outcome<()> {
    let Some(limit) = row.limit.filter(|_| row.occupies) else {
        return Ok(());
    };
    let mut statement = connection.prepare_cached(COUNT_RUNNING)?;
    let running: u32 = statement.query_row([&row.trunk_id], |count| count.get(0))?;
    if running >= limit {
        let message = format!("the trunk has {running} calls, at most {limit} are allowed");
        return Err(Fault::decided(ErrorKind::Busy, message));
    }
    Ok(())
}

/// Gives the new version.
fn save(connection: &Connection, row: &CallRow) -> Outcome<u64> {
    let sql = "SELECT version, occupies FROM calls WHERE room_name = ?1";
    let stored: Option<(u64, bool)> = connection
        .prepare_cached(sql)?
        .query_row([&row.room_name], |found| Ok((found.get(0)?, found.get(1)?)))
        .optional()?;
    let Some((_, occupied)) = stored.filter(|(version, _)| *version == row.version) else {
        let message = match stored {
            Some((version, _)) => format!(
                "the call has changed: version {} was read, {version} is stored",
                row.version
            ),
            None => "the call is gone".to_owned(),
        };
        return Err(Fault::decided(ErrorKind::Conflict, message));
    };
    if !occupied {
        check_limit(connection, row)?;
    }
    let mut statement = connection.prepare_cached(
        "UPDATE calls SET status = :status, outcome = :outcome, occupies = :occupies,
                          version = :version, owner = :owner, due_at = :due_at,
                          attention = :attention, document = :document
         WHERE room_name = :room_name",
    )?;
    let version = row.version + 1;
    statement.execute(named_params! {
        ":room_name": row.room_name,
        ":status": row.status,
        ":outcome": row.outcome,
        ":occupies": row.occupies,
        ":version": version,
        ":owner": row.owner,
        ":due_at": row.due_at,
        ":attention": row.attention,
        ":document": row.document,
    })?;
    Ok(version)
}

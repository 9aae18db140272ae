//! Everything, out and in.

use async_trait::async_trait;
use outdial_domain::ports::{Archive, IdempotencyKey, Record, RecordKind};
use outdial_domain::{ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::calls::{COLUMNS, CallRow, insert_row, read_call};
use crate::codec::{decode, encode, time};
use crate::directory::{self, Document};
use crate::fault::{Fault, Outcome};
use crate::keys::{KeyRow, put_key};
use crate::logs::{self, DeliveryRow};
use crate::ownership::room_name;
use crate::{SqliteStore, erasure};

#[async_trait]
impl Archive for SqliteStore {
    async fn export(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>> {
        // Every id is greater than an empty text.
        let after = after.unwrap_or_default().to_owned();
        self.run_scan("sqlite.export", move |connection| {
            records(connection, kind, &page_of(kind), params![after, limit])
        })
        .await
    }

    async fn import(&self, records: &[Record]) -> Result<()> {
        let records = records.to_vec();
        self.run_write("sqlite.import", move |connection| {
            records.iter().try_for_each(|record| import(connection, record))
        })
        .await
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.run_scan("sqlite.count", move |connection| {
            let (id, table) = (id_column(kind), table(kind));
            let what = match kind {
                RecordKind::Transcript => format!("DISTINCT {id}"),
                _ => "*".to_owned(),
            };
            let sql = format!("SELECT count({what}) FROM {table}");
            Ok(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
        })
        .await
    }
}

fn table(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Account => "accounts",
        RecordKind::ApiKey => "api_keys",
        RecordKind::Assistant => "assistants",
        RecordKind::Trunk => "trunks",
        RecordKind::Call => "calls",
        RecordKind::Transcript => "transcript_lines",
        RecordKind::Delivery => "deliveries",
        RecordKind::Tombstone => "tombstones",
    }
}

fn id_column(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Account => "account_id",
        RecordKind::Call | RecordKind::Transcript => "room_name",
        RecordKind::Delivery => "delivery_id",
        _ => "id",
    }
}

/// Picks the records behind the id `?1`, at most `?2`.
pub(crate) fn page_of(kind: RecordKind) -> String {
    let id = id_column(kind);
    format!("WHERE {id} > ?1 ORDER BY {id} LIMIT ?2")
}

/// Picks the record of the id `?1`.
pub(crate) fn one_of(kind: RecordKind) -> String {
    format!("WHERE {} = ?1", id_column(kind))
}

/// What [`record`] needs of those of a kind that `rest` picks.
pub(crate) fn select(kind: RecordKind, rest: &str) -> String {
    let columns = match kind {
        RecordKind::Call => COLUMNS,
        RecordKind::Transcript => "DISTINCT room_name",
        _ => "document",
    };
    format!("SELECT {columns} FROM {} {rest}", table(kind))
}

/// The idempotency key of the call `?1`.
pub(crate) const SELECT_KEY: &str =
    "SELECT key, fingerprint, expires_at FROM idempotency_keys WHERE room_name = ?1";

/// The records of a kind that `rest` picks.
fn records(
    connection: &Connection,
    kind: RecordKind,
    rest: &str,
    parameters: impl Params,
) -> Outcome<Vec<Record>> {
    let mut statement = connection.prepare_cached(&select(kind, rest))?;
    let mut rows = statement.query(parameters)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(connection, kind, row)?);
    }
    Ok(records)
}

fn record(connection: &Connection, kind: RecordKind, row: &Row<'_>) -> Outcome<Record> {
    let text = || Ok::<_, Fault>(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
    Ok(match kind {
        RecordKind::Account => Record::Account(decode(text()?)?),
        RecordKind::ApiKey => Record::ApiKey(decode(text()?)?),
        RecordKind::Assistant => Record::Assistant(decode(text()?)?),
        RecordKind::Trunk => Record::Trunk(decode(text()?)?),
        RecordKind::Call => {
            let call = Box::new(read_call(row)?);
            let idempotency_key = key_of(connection, call.room_name().as_str())?;
            Record::Call { call, idempotency_key }
        }
        RecordKind::Transcript => {
            let room_name = room_name(row)?;
            let lines = logs::lines(connection, &room_name, 0)?;
            Record::Transcript { room_name, lines }
        }
        RecordKind::Delivery => Record::Delivery(decode(text()?)?),
        RecordKind::Tombstone => Record::Tombstone(decode(text()?)?),
    })
}

fn key_of(connection: &Connection, room: &str) -> Outcome<Option<IdempotencyKey>> {
    let mut statement = connection.prepare_cached(SELECT_KEY)?;
    let key = statement.query_row([room], |row| {
        Ok(IdempotencyKey {
            key: row.get(0)?,
            fingerprint: row.get(1)?,
            expires_at: time(row.get(2)?),
        })
    });
    Ok(key.optional()?)
}

/// Stores a record unless it is there.
fn import(connection: &Connection, record: &Record) -> Outcome<()> {
    let kind = record.kind();
    if let Some(known) = records(connection, kind, &one_of(kind), [record.id()])?.first() {
        let message = format!("{record}: another one of that id is there");
        return if known == record {
            Ok(())
        } else {
            Err(Fault::decided(ErrorKind::Exists, message))
        };
    }
    match record {
        Record::Account(account) => {
            if directory::account(connection, &account.name)?.is_some() {
                let message = format!("{record}: another account has its name");
                return Err(Fault::decided(ErrorKind::Exists, message));
            }
            directory::insert_account(connection, account)
        }
        Record::ApiKey(key) => directory::insert_row(connection, "api_keys", &Document::key(key)?),
        Record::Assistant(row) => {
            directory::insert_row(connection, "assistants", &Document::assistant(row)?)
        }
        Record::Trunk(row) => directory::insert_row(connection, "trunks", &Document::trunk(row)?),
        Record::Call { call, idempotency_key } => {
            let row = CallRow::new(call)?;
            if let Some(key) = idempotency_key {
                let sql = "SELECT 1 FROM idempotency_keys WHERE account_id = ?1 AND key = ?2";
                if connection.prepare_cached(sql)?.exists([&row.account_id, &key.key])? {
                    let message = format!("{record}: another call has its idempotency key");
                    return Err(Fault::decided(ErrorKind::Exists, message));
                }
                put_key(connection, &row, &KeyRow::new(key))?;
            }
            insert_row(connection, &row)
        }
        Record::Transcript { room_name, lines } => {
            lines.iter().try_for_each(|line| logs::append(connection, room_name, line))
        }
        Record::Delivery(delivery) => logs::log(connection, &DeliveryRow::new(delivery)?),
        Record::Tombstone(tombstone) => {
            erasure::put_tombstone(connection, &tombstone.id, &encode(tombstone)?)
        }
    }
}

//! Erasing a call.

use outdial_domain::{ErrorKind, Tombstone};
use rusqlite::{Connection, OptionalExtension, params};

use crate::codec::{decode, encode};
use crate::fault::{Fault, Outcome};

/// A call to erase, and what takes its place.
#[derive(Debug, Clone)]
pub(crate) struct Erasure {
    pub(crate) room_name: String,
    pub(crate) version: u64,
    pub(crate) id: String,
    pub(crate) tombstone: String,
}

impl Erasure {
    pub(crate) fn new(call: &outdial_domain::Call, tombstone: &Tombstone) -> Outcome<Self> {
        Ok(Self {
            room_name: call.room_name().as_str().to_owned(),
            version: call.version,
            id: tombstone.id.clone(),
            tombstone: encode(tombstone)?,
        })
    }
}

pub(crate) fn erase(connection: &Connection, erasure: &Erasure) -> Outcome<()> {
    let room = &erasure.room_name;
    let gone = connection
        .prepare_cached("DELETE FROM calls WHERE room_name = ?1 AND version = ?2")?
        .execute(params![room, erasure.version])?;
    if gone == 0 {
        let message = "the call has changed, or is gone";
        return Err(Fault::decided(ErrorKind::Conflict, message));
    }
    for sql in [
        "DELETE FROM transcript_lines WHERE room_name = ?1",
        "DELETE FROM deliveries WHERE room_name = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([room])?;
    }
    connection
        .prepare_cached("DELETE FROM idempotency_keys WHERE room_name = ?1")?
        .execute([room])?;
    put_tombstone(connection, &erasure.id, &erasure.tombstone)
}

pub(crate) fn put_tombstone(connection: &Connection, id: &str, document: &str) -> Outcome<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO tombstones (id, document) VALUES (?1, ?2)")?
        .execute([id, document])?;
    Ok(())
}

pub(crate) fn tombstone(connection: &Connection, id: &str) -> Outcome<Option<Tombstone>> {
    let document: Option<String> = connection
        .prepare_cached("SELECT document FROM tombstones WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    document.as_deref().map(decode).transpose()
}

//! Idempotency keys.

use outdial_domain::ports::IdempotencyKey;
use outdial_domain::{ErrorKind, RoomName};
use rusqlite::{Connection, OptionalExtension, params};

use crate::calls::CallRow;
use crate::codec::nanos;
use crate::fault::{Fault, Outcome};

/// An idempotency key, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) key: String,
    fingerprint: String,
    expires_at: i64,
}

impl KeyRow {
    pub(crate) fn new(key: &IdempotencyKey) -> Self {
        Self {
            key: key.key.clone(),
            fingerprint: key.fingerprint.clone(),
            expires_at: nanos(key.expires_at),
        }
    }
}

/// What the account has used the key for, unless that has expired. A new call's time of creation
/// is the time now.
pub(crate) fn known_key(
    connection: &Connection,
    account: &str,
    key: &str,
    now: i64,
) -> Outcome<Option<(RoomName, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT room_name, fingerprint FROM idempotency_keys
         WHERE account_id = ?1 AND key = ?2 AND expires_at > ?3",
    )?;
    let found: Option<(String, String)> = statement
        .query_row(params![account, key, now], |found| Ok((found.get(0)?, found.get(1)?)))
        .optional()?;
    let Some((room_name, fingerprint)) = found else { return Ok(None) };
    let room_name = room_name.parse().map_err(|_| {
        let message = "a stored idempotency key names no call";
        Fault::decided(ErrorKind::Corrupt, message)
    })?;
    Ok(Some((room_name, fingerprint)))
}

/// Stores the key as that of the call.
pub(crate) fn put_key(connection: &Connection, row: &CallRow, key: &KeyRow) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO idempotency_keys
                 (account_id, key, fingerprint, room_name, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            row.account_id,
            key.key,
            key.fingerprint,
            row.room_name,
            key.expires_at
        ])?;
    Ok(())
}

pub(crate) fn use_key(connection: &Connection, row: &CallRow, key: &KeyRow) -> Outcome<()> {
    put_key(connection, row, key)?;
    // Each insert takes a few expired ones away: more than it adds, and never many at once.
    connection
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE rowid IN
                 (SELECT rowid FROM idempotency_keys WHERE expires_at <= ?1
                  ORDER BY expires_at LIMIT 4)",
        )?
        .execute([row.created_at])?;
    Ok(())
}

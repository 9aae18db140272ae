//! Who works on which call, and when calls may start.

use outdial_domain::{Call, ErrorKind, NodeId, RoomName, TrunkId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::calls::{COLUMNS, read_call};
use crate::fault::{Fault, Outcome};

/// The other nodes that own calls and do not live at `?2`. Steps from owner to owner through the
/// index: a plain DISTINCT would walk over every call.
pub(crate) const SELECT_DEAD_OWNERS: &str = "
    WITH RECURSIVE owners (node) AS (
        SELECT min(owner) FROM calls WHERE owner IS NOT NULL
        UNION ALL
        SELECT (SELECT min(owner) FROM calls WHERE owner > owners.node)
        FROM owners WHERE owners.node IS NOT NULL
    )
    SELECT node FROM owners LEFT JOIN nodes ON node_id = node
    WHERE node IS NOT NULL AND node <> ?1 AND coalesce(alive_until < ?2, TRUE)";

/// A call that has not ended always has a duty left, whether or not it says when.
pub(crate) const RELEASE: &str = "
    UPDATE calls SET owner = NULL, version = version + 1,
                     due_at = CASE WHEN due_at IS NULL AND status = 'ended' THEN NULL ELSE ?2 END
    WHERE owner = ?1";

/// The calls that are due at `?1` and nobody's, the longest due first.
pub(crate) fn select_due() -> String {
    format!(
        "SELECT {COLUMNS}, rowid FROM calls WHERE owner IS NULL AND due_at <= ?1
         ORDER BY due_at LIMIT ?2"
    )
}

/// The calls of the node `?1`.
pub(crate) fn select_owned() -> String {
    format!("SELECT {COLUMNS}, rowid FROM calls WHERE owner = ?1 ORDER BY due_at LIMIT ?2")
}

/// The names and versions of the calls of the node `?1`.
pub(crate) const SELECT_OWNED_VERSIONS: &str =
    "SELECT room_name, version FROM calls WHERE owner = ?1";

/// The calls of the node `?1` that somebody else has changed.
pub(crate) const SELECT_ATTENTION: &str =
    "SELECT room_name FROM calls WHERE owner = ?1 AND attention = 1";

pub(crate) fn owned(connection: &Connection, node: &NodeId) -> Outcome<Vec<(RoomName, u64)>> {
    let mut statement = connection.prepare_cached(SELECT_OWNED_VERSIONS)?;
    let mut rows = statement.query([node.as_str()])?;
    let mut owned = Vec::new();
    while let Some(row) = rows.next()? {
        owned.push((room_name(row)?, row.get(1)?));
    }
    Ok(owned)
}

pub(crate) fn needing_attention(connection: &Connection, node: &NodeId) -> Outcome<Vec<RoomName>> {
    let mut statement = connection.prepare_cached(SELECT_ATTENTION)?;
    let mut rows = statement.query([node.as_str()])?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        rooms.push(room_name(row)?);
    }
    Ok(rooms)
}

/// Reads the name of a room from the first column.
pub(crate) fn room_name(row: &Row<'_>) -> Outcome<RoomName> {
    let name = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    let damaged = |_| Fault::decided(ErrorKind::Corrupt, "a stored room name is none");
    name.parse().map_err(damaged)
}

pub(crate) fn claim(
    connection: &Connection,
    node: &NodeId,
    now: i64,
    limit: u32,
) -> Outcome<Vec<Call>> {
    let mut claimed = Vec::new();
    let mut left = limit;
    claim_found(connection, &select_due(), &now, node, &mut left, &mut claimed)?;
    if left > 0 {
        let owned = select_owned();
        for dead in dead_owners(connection, node, now)? {
            claim_found(connection, &owned, &dead, node, &mut left, &mut claimed)?;
        }
    }
    Ok(claimed)
}

/// Claims the calls that `select` finds with `parameter`, up to `left`.
fn claim_found(
    connection: &Connection,
    select: &str,
    parameter: &dyn rusqlite::ToSql,
    node: &NodeId,
    left: &mut u32,
    claimed: &mut Vec<Call>,
) -> Outcome<()> {
    let mut found = Vec::new();
    {
        let mut statement = connection.prepare_cached(select)?;
        let mut rows = statement.query(params![parameter, *left])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get("rowid")?;
            found.push((id, row.get::<_, u64>("version")?, read_call(row)));
        }
    }
    let sql = "UPDATE calls SET owner = ?2, version = version + 1 WHERE rowid = ?1";
    let mut update = connection.prepare_cached(sql)?;
    for (id, version, call) in found {
        update.execute(params![id, node.as_str()])?;
        *left -= 1;
        match call {
            Ok(mut call) => {
                call.owner = Some(node.clone());
                call.version = version + 1;
                claimed.push(call);
            }
            // One damaged document must not stop all other calls: it is claimed and set aside.
            Err(fault) => {
                let (_, error) = fault.describe();
                tracing::error!(row = id, %error, "a stored call is damaged and is left alone");
            }
        }
    }
    Ok(())
}

/// The nodes other than `node` that own calls and do not live at `now`.
fn dead_owners(connection: &Connection, node: &NodeId, now: i64) -> Outcome<Vec<String>> {
    let mut statement = connection.prepare_cached(SELECT_DEAD_OWNERS)?;
    let owners = statement.query_map(params![node.as_str(), now], |row| row.get(0))?;
    Ok(owners.collect::<Result<_, _>>()?)
}

pub(crate) fn release(connection: &Connection, node: &NodeId, now: i64) -> Outcome<u64> {
    let released = connection.prepare_cached(RELEASE)?.execute(params![node.as_str(), now])?;
    Ok(u64::try_from(released).unwrap_or(u64::MAX))
}

pub(crate) fn reserve_start(
    connection: &Connection,
    trunk: &TrunkId,
    spacing: i64,
    now: i64,
    latest: i64,
) -> Outcome<Option<i64>> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT last FROM trunk_starts WHERE trunk_id = ?1")?
        .query_row([trunk.as_str()], |row| row.get(0))
        .optional()?;
    let moment = last.map_or(now, |last| now.max(last.saturating_add(spacing)));
    if moment > latest {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "INSERT INTO trunk_starts (trunk_id, last) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET last = excluded.last",
        )?
        .execute(params![trunk.as_str(), moment])?;
    Ok(Some(moment))
}

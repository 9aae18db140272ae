//! Nodes, and what they agree on.

use chrono::TimeDelta;
use outdial_domain::{Node, NodeId};
use rusqlite::{Connection, params};

use crate::codec::{decode, encode, nanos};
use crate::fault::Outcome;

/// How long a node that gives no more signs of life is remembered.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// A node, ready to be written.
#[derive(Debug)]
pub(crate) struct NodeRow {
    node_id: String,
    alive_until: i64,
    document: String,
}

impl NodeRow {
    pub(crate) fn new(node: &Node) -> Outcome<Self> {
        Ok(Self {
            node_id: node.node_id.to_string(),
            alive_until: nanos(node.alive_until),
            document: encode(node)?,
        })
    }
}

pub(crate) fn hear_of(connection: &Connection, row: &NodeRow) -> Outcome<()> {
    let remembered = REMEMBERED.num_nanoseconds().unwrap_or(i64::MAX);
    connection
        .prepare_cached("DELETE FROM nodes WHERE alive_until < ?1")?
        .execute([row.alive_until.saturating_sub(remembered)])?;
    connection
        .prepare_cached(
            "INSERT INTO nodes (node_id, alive_until, document) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET alive_until = excluded.alive_until,
                                       document = excluded.document",
        )?
        .execute(params![row.node_id, row.alive_until, row.document])?;
    Ok(())
}

/// All nodes, by id.
pub(crate) fn all(connection: &Connection) -> Outcome<Vec<Node>> {
    let mut statement = connection.prepare_cached("SELECT document FROM nodes ORDER BY node_id")?;
    let mut rows = statement.query([])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        nodes.push(decode(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(nodes)
}

pub(crate) fn forget(connection: &Connection, node: &NodeId) -> Outcome<()> {
    connection.prepare_cached("DELETE FROM nodes WHERE node_id = ?1")?.execute([node.as_str()])?;
    Ok(())
}

/// Gives the value that is stored: the first one.
pub(crate) fn agree(connection: &Connection, name: &str, value: &str) -> Outcome<String> {
    connection
        .prepare_cached(
            "INSERT INTO agreements (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute([name, value])?;
    let mut statement =
        connection.prepare_cached("SELECT value FROM agreements WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0))?)
}

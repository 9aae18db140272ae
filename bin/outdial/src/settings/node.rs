//! The section `node`.

use std::time::Duration;

use outdial_domain::NodeId;

use super::Store;
use super::reader::{Read, Reader};

/// One server among those that share a store.
#[derive(Debug, Clone)]
pub struct Node {
    /// Who it is; `None`: kept in `data_dir`.
    pub id: Option<NodeId>,
    /// For how long its sign of life is good.
    pub lease: Duration,
}

const SHORTEST: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(600);

pub(super) fn read(reader: &Reader<'_>) -> Read<Node> {
    let id = reader.parsed("node.id", |text| match text {
        "" => Ok(None),
        id => id.parse().map(Some),
    });
    let lease = reader.duration("node.lease", SHORTEST..=LONGEST);
    Ok(Node { id: id?, lease: lease? })
}

/// A node that waits for the database's answer must not lose its calls meanwhile.
pub(super) fn outlives_an_answer(reader: &Reader<'_>, store: &Store, node: &Node) -> Read<()> {
    match store {
        Store::MongoDb(mongodb) if mongodb.timeout >= node.lease => {
            let show = humantime::format_duration;
            Err(reader.problem(format!(
                "node.lease is {} and store.timeout {}: the lease must be longer, or one slow answer \
                 of the database costs the node its calls",
                show(node.lease),
                show(mongodb.timeout)
            )))
        }
        _ => Ok(()),
    }
}

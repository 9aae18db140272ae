//! A node: one running server among those that share a store.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::NodeId;

/// What a node says of itself with each sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Who it is; kept over restarts.
    pub node_id: NodeId,
    /// When this run of it began: no two runs have the same.
    pub started_at: DateTime<Utc>,
    /// The version of its program.
    pub version: String,
    /// It takes no new calls and is about to end.
    #[serde(default)]
    pub draining: bool,
    /// It counts as living up to this moment.
    pub alive_until: DateTime<Utc>,
}

impl Node {
    /// Whether it lives at `now`.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        self.alive_until >= now
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_node_lives_up_to_the_last_moment() {
        let now = DateTime::UNIX_EPOCH;
        let node = Node {
            node_id: NodeId::random(),
            started_at: now,
            version: "1.0.0".into(),
            draining: false,
            alive_until: now,
        };
        assert!(node.is_alive(now));
        assert!(!node.is_alive(now + TimeDelta::nanoseconds(1)));
    }
}

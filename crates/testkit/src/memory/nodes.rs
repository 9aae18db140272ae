//! Nodes, and what they agree on.

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::{Call, Node, NodeId, RoomName, Status};

use super::State;

/// How long a node that gives no more signs of life is remembered.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

impl State {
    pub(super) fn hear_of(&mut self, node: &Node) {
        self.nodes.retain(|_, other| other.alive_until + REMEMBERED >= node.alive_until);
        self.nodes.insert(node.node_id.clone(), node.clone());
    }

    pub(super) fn calls_of(&self, node: &NodeId) -> impl Iterator<Item = &Call> {
        self.calls.values().filter(move |call| call.owner.as_ref() == Some(node))
    }

    /// Whether the call belongs to another node than `node`, one that is dead at `now`.
    fn is_orphan(&self, call: &Call, node: &NodeId, now: DateTime<Utc>) -> bool {
        call.owner.as_ref().is_some_and(|owner| {
            let known = self.nodes.get(owner);
            owner != node && known.is_none_or(|known| !known.is_alive(now))
        })
    }

    pub(super) fn claim_due(&mut self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Vec<Call> {
        let wanted = self.calls.values().filter_map(|call| {
            let due = call.owner.is_none() && call.due_at.is_some_and(|due| due <= now);
            let orphaned = self.is_orphan(call, node, now);
            let order = (orphaned, call.due_at, call.room_name().clone());
            (due || orphaned).then_some(order)
        });
        let mut wanted: Vec<(bool, Option<DateTime<Utc>>, RoomName)> = wanted.collect();
        wanted.sort();
        wanted.truncate(usize::try_from(limit).unwrap());
        let claimed = wanted.into_iter().map(|(_, _, room)| {
            let call = self.calls.get_mut(&room).unwrap();
            call.owner = Some(node.clone());
            call.version += 1;
            call.clone()
        });
        claimed.collect()
    }

    pub(super) fn release(&mut self, node: &NodeId, now: DateTime<Utc>) -> u64 {
        let mut released = 0;
        for call in self.calls.values_mut() {
            if call.owner.as_ref() == Some(node) {
                call.owner = None;
                call.version += 1;
                if call.due_at.is_some() || call.status() != Status::Ended {
                    call.due_at = Some(now);
                }
                released += 1;
            }
        }
        released
    }
}

//! The calls.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::{
    CallFilter, Calls, Cursor, IdempotencyKey, Inserted, Page, PageRequest,
};
use outdial_domain::{
    AccountId, Call, Error, ErrorKind, Node, NodeId, Result, RoomName, Tombstone, TrunkId,
};

use super::{MemoryStore, State, page};

#[async_trait]
impl Calls for MemoryStore {
    async fn insert(&self, call: &mut Call, key: Option<&IdempotencyKey>) -> Result<Inserted> {
        let operation = "memory.insert_call";
        let inserted = self.write(operation, |state| state.insert(operation, call, key))?;
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
        let state = self.read("memory.find_key")?;
        let used = state.keys.get(&(account.clone(), key.to_owned()));
        let used = used.filter(|(used, _)| used.expires_at > now);
        Ok(used.map(|(used, room_name)| (room_name.clone(), used.fingerprint.clone())))
    }

    async fn get(&self, room: &RoomName) -> Result<Option<Call>> {
        Ok(self.read("memory.get_call")?.calls.get(room).cloned())
    }

    async fn list(&self, filter: &CallFilter, request: &PageRequest) -> Result<Page<Call>> {
        let state = self.read("memory.list_calls")?;
        let place = |call: &Call| Cursor {
            created_at: call.order.created_at,
            id: call.room_name().as_str().to_owned(),
        };
        let wanted = state.calls.values().filter(|call| matches(filter, call));
        Ok(page(wanted, place, request))
    }

    async fn save(&self, call: &mut Call) -> Result<()> {
        let operation = "memory.save_call";
        call.version = self.write(operation, |state| state.save(operation, call))?;
        Ok(())
    }

    async fn erase(&self, call: &Call, tombstone: &Tombstone) -> Result<()> {
        let operation = "memory.erase_call";
        self.write(operation, |state| {
            let room = call.room_name();
            if state.calls.get(room).is_none_or(|stored| stored.version != call.version) {
                return Err(Error::new(ErrorKind::Conflict, operation, "it has changed"));
            }
            state.calls.remove(room);
            state.lines.remove(room);
            state.deliveries.retain(|delivery| delivery.room_name != *room);
            state.keys.retain(|_, (_, made)| made != room);
            state.tombstones.insert(tombstone.id.clone(), tombstone.clone());
            Ok(())
        })
    }

    async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>> {
        Ok(self.read("memory.tombstone")?.tombstones.get(id).cloned())
    }

    async fn claim_due(&self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Result<Vec<Call>> {
        self.write("memory.claim_calls", |state| Ok(state.claim_due(node, now, limit)))
    }

    async fn heartbeat(&self, node: &Node) -> Result<()> {
        self.write("memory.heartbeat", |state| {
            state.hear_of(node);
            Ok(())
        })
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        Ok(self.read("memory.nodes")?.nodes.values().cloned().collect())
    }

    async fn retire(&self, node: &NodeId) -> Result<()> {
        self.write("memory.retire", |state| {
            state.nodes.remove(node);
            Ok(())
        })
    }

    async fn owned(&self, node: &NodeId) -> Result<Vec<(RoomName, u64)>> {
        let state = self.read("memory.owned")?;
        let owned = state.calls_of(node);
        Ok(owned.map(|call| (call.room_name().clone(), call.version)).collect())
    }

    async fn needing_attention(&self, node: &NodeId) -> Result<Vec<RoomName>> {
        let state = self.read("memory.needing_attention")?;
        let changed = state.calls_of(node).filter(|call| call.attention);
        Ok(changed.map(|call| call.room_name().clone()).collect())
    }

    async fn release(&self, node: &NodeId, now: DateTime<Utc>) -> Result<u64> {
        self.write("memory.release_calls", |state| Ok(state.release(node, now)))
    }

    async fn reserve_start(
        &self,
        trunk: &TrunkId,
        spacing: Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let spacing = TimeDelta::from_std(spacing).unwrap();
        self.write("memory.reserve_start", |state| {
            let last = state.last_start.get(trunk);
            let moment = last.map_or(now, |last| now.max(*last + spacing));
            if moment > latest {
                return Ok(None);
            }
            state.last_start.insert(trunk.clone(), moment);
            Ok(Some(moment))
        })
    }
}

impl State {
    fn insert(
        &mut self,
        operation: &'static str,
        call: &Call,
        key: Option<&IdempotencyKey>,
    ) -> Result<Inserted> {
        let used_key = key.map(|key| ((call.order.account_id.clone(), key.key.clone()), key));
        if let Some((place, _)) = &used_key
            && let Some((used, room_name)) = self.keys.get(place)
            && used.expires_at > call.order.created_at
        {
            return Ok(Inserted::Known {
                room_name: room_name.clone(),
                fingerprint: used.fingerprint.clone(),
            });
        }
        if self.calls.contains_key(call.room_name()) {
            return Err(Error::new(ErrorKind::Exists, operation, "the call exists"));
        }
        self.check_limit(operation, call)?;
        if let Some((place, key)) = used_key {
            self.keys.insert(place, (key.clone(), call.room_name().clone()));
        }
        self.put(call, 1);
        Ok(Inserted::New)
    }

    /// Gives the new version.
    fn save(&mut self, operation: &'static str, call: &Call) -> Result<u64> {
        let stored = self.calls.get(call.room_name());
        let Some(stored) = stored.filter(|stored| stored.version == call.version) else {
            return Err(Error::new(ErrorKind::Conflict, operation, "it has changed"));
        };
        if !stored.status().occupies_trunk() {
            self.check_limit(operation, call)?;
        }
        self.put(call, call.version + 1);
        Ok(call.version + 1)
    }

    fn put(&mut self, call: &Call, version: u64) {
        let call = Call { version, ..call.clone() };
        self.calls.insert(call.room_name().clone(), call);
    }

    /// Fails when `call`, not counted yet, would be one too many on its trunk.
    fn check_limit(&self, operation: &'static str, call: &Call) -> Result<()> {
        let Some(limit) = call.order.max_concurrent_calls else {
            return Ok(());
        };
        let others = self.calls.values().filter(|other| {
            other.order.trunk_id == call.order.trunk_id && other.status().occupies_trunk()
        });
        if call.status().occupies_trunk() && others.count() >= usize::try_from(limit).unwrap() {
            return Err(Error::new(ErrorKind::Busy, operation, "the trunk is busy"));
        }
        Ok(())
    }
}

fn matches(filter: &CallFilter, call: &Call) -> bool {
    let CallFilter {
        account_id,
        status,
        outcome,
        to_number,
        assistant_id,
        created_from,
        created_to,
    } = filter;
    let order = &call.order;
    let ended_with = call.termination.as_ref().map(|end| end.outcome);
    order.account_id == *account_id
        && status.is_none_or(|status| call.status() == status)
        && outcome.is_none_or(|outcome| ended_with == Some(outcome))
        && to_number.as_ref().is_none_or(|to| order.to_number == *to)
        && assistant_id.is_none_or(|id| order.assistant_id == id)
        && created_from.is_none_or(|from| order.created_at >= from)
        && created_to.is_none_or(|to| order.created_at < to)
}

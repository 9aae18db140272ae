//! The calls.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::{
    CallFilter, Calls, Cursor, IdempotencyKey, Inserted, Page, PageRequest,
};
use outdial_domain::{
    AccountId, Call, Error, ErrorKind, NodeId, Result, RoomName, Status, Tombstone, TrunkId,
};

use super::{MemoryStore, State, page};

#[async_trait]
impl Calls for MemoryStore {
    async fn insert(&self, call: &mut Call, key: Option<&IdempotencyKey>) -> Result<Inserted> {
        let operation = "memory.insert_call";
        let mut state = self.state_to_write(operation)?;
        let used_key = key.map(|key| ((call.order.account_id.clone(), key.key.clone()), key));
        if let Some((place, _)) = &used_key
            && let Some((used, room_name)) = state.keys.get(place)
            && used.expires_at > call.order.created_at
        {
            return Ok(Inserted::Known {
                room_name: room_name.clone(),
                fingerprint: used.fingerprint.clone(),
            });
        }
        if state.calls.contains_key(call.room_name()) {
            return Err(Error::new(ErrorKind::Exists, operation, "the call exists"));
        }
        state.check_limit(operation, call)?;
        if let Some((place, key)) = used_key {
            let used = (key.clone(), call.room_name().clone());
            state.keys.insert(place, used);
        }
        call.version = 1;
        state.calls.insert(call.room_name().clone(), call.clone());
        Ok(Inserted::New)
    }

    async fn find_key(
        &self,
        account: &AccountId,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, String)>> {
        let state = self.state("memory.find_key")?;
        let used = state.keys.get(&(account.clone(), key.to_owned()));
        let used = used.filter(|(used, _)| used.expires_at > now);
        Ok(used.map(|(used, room_name)| (room_name.clone(), used.fingerprint.clone())))
    }

    async fn get(&self, room: &RoomName) -> Result<Option<Call>> {
        Ok(self.state("memory.get_call")?.calls.get(room).cloned())
    }

    async fn list(&self, filter: &CallFilter, request: &PageRequest) -> Result<Page<Call>> {
        let state = self.state("memory.list_calls")?;
        let place = |call: &Call| Cursor {
            created_at: call.order.created_at,
            id: call.room_name().as_str().to_owned(),
        };
        let wanted = state.calls.values().filter(|call| matches(filter, call));
        Ok(page(wanted, place, request))
    }

    async fn save(&self, call: &mut Call) -> Result<()> {
        let operation = "memory.save_call";
        let mut state = self.state_to_write(operation)?;
        let stored = state.calls.get(call.room_name());
        let Some(stored) = stored.filter(|stored| stored.version == call.version) else {
            return Err(Error::new(ErrorKind::Conflict, operation, "it has changed"));
        };
        if !stored.status().occupies_trunk() {
            state.check_limit(operation, call)?;
        }
        call.version += 1;
        state.calls.insert(call.room_name().clone(), call.clone());
        Ok(())
    }

    async fn erase(&self, call: &Call, tombstone: &Tombstone) -> Result<()> {
        let operation = "memory.erase_call";
        let mut state = self.state_to_write(operation)?;
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
    }

    async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>> {
        Ok(self.state("memory.tombstone")?.tombstones.get(id).cloned())
    }

    async fn claim_due(&self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Result<Vec<Call>> {
        let mut state = self.state_to_write("memory.claim_calls")?;
        let mut wanted: Vec<_> = state
            .calls
            .values()
            .filter_map(|call| {
                let due = call.owner.is_none() && call.due_at.is_some_and(|due| due <= now);
                let orphaned = state.is_orphan(call, node, now);
                let order = (orphaned, call.due_at, call.room_name().clone());
                (due || orphaned).then_some(order)
            })
            .collect();
        wanted.sort();
        wanted.truncate(usize::try_from(limit).unwrap());
        let claimed = wanted.into_iter().map(|(_, _, room)| {
            let call = state.calls.get_mut(&room).unwrap();
            call.owner = Some(node.clone());
            call.version += 1;
            call.clone()
        });
        Ok(claimed.collect())
    }

    async fn heartbeat(&self, node: &NodeId, until: DateTime<Utc>) -> Result<()> {
        let mut state = self.state_to_write("memory.heartbeat")?;
        state.alive_until.insert(node.clone(), until);
        Ok(())
    }

    async fn release(&self, node: &NodeId, now: DateTime<Utc>) -> Result<u64> {
        let mut state = self.state_to_write("memory.release_calls")?;
        let mut released = 0;
        for call in state.calls.values_mut() {
            if call.owner.as_ref() == Some(node) {
                call.owner = None;
                call.version += 1;
                if call.due_at.is_some() || call.status() != Status::Ended {
                    call.due_at = Some(now);
                }
                released += 1;
            }
        }
        Ok(released)
    }

    async fn reserve_start(
        &self,
        trunk: &TrunkId,
        spacing: Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let mut state = self.state_to_write("memory.reserve_start")?;
        let spacing = TimeDelta::from_std(spacing).unwrap();
        let last = state.last_start.get(trunk);
        let moment = last.map_or(now, |last| now.max(*last + spacing));
        if moment > latest {
            return Ok(None);
        }
        state.last_start.insert(trunk.clone(), moment);
        Ok(Some(moment))
    }
}

impl State {
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

    /// Whether the call belongs to another node than `node`, one that is dead at `now`.
    fn is_orphan(&self, call: &Call, node: &NodeId, now: DateTime<Utc>) -> bool {
        call.owner.as_ref().is_some_and(|owner| {
            let alive_until = self.alive_until.get(owner);
            owner != node && alive_until.is_none_or(|until| *until < now)
        })
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

//! The store ports in memory: simple, and obviously right.

mod calls;
mod directory;
mod logs;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use outdial_domain::ports::{Cursor, Delivery, IdempotencyKey, Page, PageRequest};
use outdial_domain::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, Call, Error, ErrorKind, NodeId,
    Result, RoomName, Tombstone, TranscriptLine, Trunk, TrunkId,
};

/// A store that lives as long as the value does.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<ErrorKind>,
    write_failure: Option<ErrorKind>,
    calls: BTreeMap<RoomName, Call>,
    keys: HashMap<(AccountId, String), (IdempotencyKey, RoomName)>,
    alive_until: HashMap<NodeId, DateTime<Utc>>,
    last_start: HashMap<TrunkId, DateTime<Utc>>,
    lines: HashMap<RoomName, Vec<TranscriptLine>>,
    deliveries: Vec<Delivery>,
    tombstones: HashMap<String, Tombstone>,
    accounts: Vec<Account>,
    api_keys: BTreeMap<ApiKeyId, ApiKey>,
    assistants: BTreeMap<AssistantId, Assistant>,
    trunks: BTreeMap<TrunkId, Trunk>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every operation fails with an error of this kind and changes nothing; `None`:
    /// all is well again.
    pub fn fail_with(&self, kind: Option<ErrorKind>) {
        self.state.lock().unwrap().failure = kind;
    }

    /// From now on every operation that writes fails with an error of this kind and changes nothing,
    /// as on a full disk; `None`: all is well again.
    pub fn fail_writes(&self, kind: Option<ErrorKind>) {
        self.state.lock().unwrap().write_failure = kind;
    }

    fn state_to_write(&self, operation: &'static str) -> Result<MutexGuard<'_, State>> {
        let state = self.state(operation)?;
        match state.write_failure {
            Some(kind) => Err(Error::new(kind, operation, "the test asked for a failure")),
            None => Ok(state),
        }
    }

    fn state(&self, operation: &'static str) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().unwrap();
        match state.failure {
            Some(kind) => Err(Error::new(kind, operation, "the test asked for a failure")),
            None => Ok(state),
        }
    }
}

/// The part of `items` that `request` asks for.
fn page<'a, T: Clone + 'a>(
    items: impl Iterator<Item = &'a T>,
    place: impl Fn(&T) -> Cursor,
    request: &PageRequest,
) -> Page<T> {
    let order = |cursor: &Cursor| (cursor.created_at, cursor.id.clone());
    let mut items: Vec<&T> = items
        .filter(|item| {
            let after = request.after.as_ref();
            after.is_none_or(|after| order(&place(item)) < order(after))
        })
        .collect();
    items.sort_by_key(|item| std::cmp::Reverse(order(&place(item))));
    let limit = usize::try_from(request.limit).unwrap();
    let more = items.len() > limit;
    items.truncate(limit);
    Page {
        next: items.last().filter(|_| more).map(|item| place(item)),
        items: items.into_iter().cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    crate::store_conformance!(async || (super::MemoryStore::new(), ()));
}

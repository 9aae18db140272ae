//! The store ports in memory: simple, and obviously right.

mod archive;
mod calls;
mod directory;
mod logs;
mod nodes;
mod switch;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use outdial_domain::ports::{Cursor, Delivery, IdempotencyKey, Page, PageRequest};
use outdial_domain::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, Call, ErrorKind, Node, NodeId,
    Result, RoomName, Tombstone, TranscriptLine, Trunk, TrunkId,
};

pub use self::switch::Failure;
use self::switch::Switch;

/// A store that lives as long as its last [view](Self::view).
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    switch: Mutex<Switch>,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<RoomName, Call>,
    keys: HashMap<(AccountId, String), (IdempotencyKey, RoomName)>,
    nodes: BTreeMap<NodeId, Node>,
    last_start: HashMap<TrunkId, DateTime<Utc>>,
    lines: BTreeMap<RoomName, Vec<TranscriptLine>>,
    deliveries: Vec<Delivery>,
    tombstones: BTreeMap<String, Tombstone>,
    accounts: Vec<Account>,
    api_keys: BTreeMap<ApiKeyId, ApiKey>,
    assistants: BTreeMap<AssistantId, Assistant>,
    trunks: BTreeMap<TrunkId, Trunk>,
    agreements: HashMap<String, String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same store through a connection of its own: what is written through one view is read
    /// through all, but each fails and is closed for itself. A new view works, whatever this one does.
    ///
    /// ```
    /// use outdial_domain::ErrorKind;
    /// use outdial_domain::ports::{Calls, Store};
    /// use outdial_testkit::memory::MemoryStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let one = MemoryStore::new();
    /// let two = one.view();
    /// two.fail_with(Some(ErrorKind::Unavailable));
    /// assert!(one.check().await.is_ok());
    /// assert!(two.check().await.is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn view(&self) -> Self {
        Self { state: Arc::clone(&self.state), switch: Mutex::default() }
    }

    /// From now on every operation through this view fails with an error of this kind and changes
    /// nothing; `None`: all is well again.
    pub fn fail_with(&self, kind: Option<ErrorKind>) {
        self.switch.lock().unwrap().all = kind;
    }

    /// From now on every operation through this view that writes fails with an error of this kind and
    /// changes nothing, as on a full disk; `None`: all is well again.
    pub fn fail_writes(&self, kind: Option<ErrorKind>) {
        self.switch.lock().unwrap().writes = kind;
    }

    /// From now on the answers to all writes through this view are lost: what is written is written,
    /// but the error says [`Unavailable`](ErrorKind::Unavailable). Reads are well.
    pub fn lose_answers(&self, lost: bool) {
        self.switch.lock().unwrap().lose_answers = lost;
    }

    /// From now on `rule` decides about each operation through this view, after the other switches.
    /// It is asked once for each, in order, with its name: `memory.` and `insert_call`, `find_key`,
    /// `get_call`, `list_calls`, `save_call`, `erase_call`, `tombstone`, `claim_calls`, `heartbeat`,
    /// `nodes`, `retire`, `owned`, `needing_attention`, `release_calls`, `reserve_start`,
    /// `append_transcript`, `read_transcript`, `log_delivery`, `deliveries`, `check`, `agree`, and the
    /// names of the methods of `Directory` and `Archive`.
    ///
    /// ```
    /// use outdial_domain::ErrorKind;
    /// use outdial_domain::ports::Calls;
    /// use outdial_testkit::memory::{Failure, MemoryStore};
    /// use outdial_testkit::sample;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = MemoryStore::new();
    /// let mut inserts = 0;
    /// store.fail_where(move |operation| {
    ///     inserts += u32::from(operation == "memory.insert_call");
    ///     (operation == "memory.insert_call" && inserts == 1).then_some(Failure::LostAnswer)
    /// });
    /// let mut call = sample::call(&sample::account().account_id);
    /// let error = store.insert(&mut call, None).await.unwrap_err();
    /// assert_eq!(error.kind, ErrorKind::Unavailable);
    /// assert_eq!(store.insert(&mut call, None).await.unwrap_err().kind, ErrorKind::Exists);
    /// # }
    /// ```
    pub fn fail_where(&self, rule: impl FnMut(&'static str) -> Option<Failure> + Send + 'static) {
        self.switch.lock().unwrap().rule = Some(Box::new(rule));
    }

    /// Takes back all failures that this view was told to have.
    pub fn heal(&self) {
        let mut switch = self.switch.lock().unwrap();
        *switch = Switch { closed: switch.closed, ..Switch::default() };
    }

    fn read(&self, operation: &'static str) -> Result<MutexGuard<'_, State>> {
        match self.switch.lock().unwrap().decide(operation, false) {
            Some(failure) => Err(failure.error(operation)),
            None => Ok(self.state.lock().unwrap()),
        }
    }

    fn write<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let failure = self.switch.lock().unwrap().decide(operation, true);
        match failure {
            Some(failure @ Failure::Error(_)) => Err(failure.error(operation)),
            Some(Failure::LostAnswer) => {
                let done = work(&mut self.state.lock().unwrap());
                done.and(Err(Failure::LostAnswer.error(operation)))
            }
            None => work(&mut self.state.lock().unwrap()),
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
mod tests;

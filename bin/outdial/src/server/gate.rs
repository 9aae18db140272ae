//! A store that nobody gets at until it is known to be there, and the right one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{
    Archive, CallFilter, Calls, Deliveries, Delivery, Directory, IdempotencyKey, Inserted, Page,
    PageRequest, Record, RecordKind, Store, Transcripts,
};
use outdial_domain::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, Call, Error, ErrorKind, Node,
    NodeId, Result, RoomName, Tombstone, TranscriptLine, Trunk, TrunkId,
};

/// Stands before a store. Until it is opened every operation fails with
/// [`Unavailable`](ErrorKind::Unavailable) and the reason.
pub(super) struct Gate {
    store: Arc<dyn Store>,
    open: AtomicBool,
    reason: Mutex<String>,
}

impl Gate {
    /// A shut one.
    pub(super) fn new(store: Arc<dyn Store>, reason: impl Into<String>) -> Self {
        Self { store, open: AtomicBool::new(false), reason: Mutex::new(reason.into()) }
    }

    /// Lets everybody through from now on.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Whether it lets everybody through.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Says why it is shut.
    pub(super) fn stays_shut(&self, reason: impl Into<String>) {
        *self.reason() = reason.into();
    }

    fn behind(&self) -> Result<&dyn Store> {
        if self.is_open() {
            return Ok(&*self.store);
        }
        Err(Error::new(ErrorKind::Unavailable, "store", &*self.reason()))
    }

    fn reason(&self) -> MutexGuard<'_, String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Calls for Gate {
    async fn insert(&self, call: &mut Call, key: Option<&IdempotencyKey>) -> Result<Inserted> {
        self.behind()?.insert(call, key).await
    }

    async fn find_key(
        &self,
        account: &AccountId,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, String)>> {
        self.behind()?.find_key(account, key, now).await
    }

    async fn get(&self, room: &RoomName) -> Result<Option<Call>> {
        self.behind()?.get(room).await
    }

    async fn list(&self, filter: &CallFilter, page: &PageRequest) -> Result<Page<Call>> {
        self.behind()?.list(filter, page).await
    }

    async fn save(&self, call: &mut Call) -> Result<()> {
        self.behind()?.save(call).await
    }

    async fn erase(&self, call: &Call, tombstone: &Tombstone) -> Result<()> {
        self.behind()?.erase(call, tombstone).await
    }

    async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>> {
        self.behind()?.tombstone(id).await
    }

    async fn claim_due(&self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Result<Vec<Call>> {
        self.behind()?.claim_due(node, now, limit).await
    }

    async fn heartbeat(&self, node: &Node) -> Result<()> {
        self.behind()?.heartbeat(node).await
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        self.behind()?.nodes().await
    }

    async fn retire(&self, node: &NodeId) -> Result<()> {
        self.behind()?.retire(node).await
    }

    async fn owned(&self, node: &NodeId) -> Result<Vec<(RoomName, u64)>> {
        self.behind()?.owned(node).await
    }

    async fn needing_attention(&self, node: &NodeId) -> Result<Vec<RoomName>> {
        self.behind()?.needing_attention(node).await
    }

    async fn release(&self, node: &NodeId, now: DateTime<Utc>) -> Result<u64> {
        self.behind()?.release(node, now).await
    }

    async fn reserve_start(
        &self,
        trunk: &TrunkId,
        spacing: Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        self.behind()?.reserve_start(trunk, spacing, now, latest).await
    }
}

#[async_trait]
impl Transcripts for Gate {
    async fn append(&self, room: &RoomName, lines: &[TranscriptLine]) -> Result<()> {
        self.behind()?.append(room, lines).await
    }

    async fn read(&self, room: &RoomName, from: usize) -> Result<Vec<TranscriptLine>> {
        self.behind()?.read(room, from).await
    }
}

#[async_trait]
impl Deliveries for Gate {
    async fn log(&self, delivery: &Delivery) -> Result<()> {
        self.behind()?.log(delivery).await
    }

    async fn deliveries(&self, room: &RoomName) -> Result<Vec<Delivery>> {
        self.behind()?.deliveries(room).await
    }
}

#[async_trait]
impl Directory for Gate {
    async fn account_named(&self, name: &str, now: DateTime<Utc>) -> Result<Account> {
        self.behind()?.account_named(name, now).await
    }

    async fn insert_key(&self, key: &ApiKey) -> Result<()> {
        self.behind()?.insert_key(key).await
    }

    async fn key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>> {
        self.behind()?.key(id).await
    }

    async fn keys(&self, account: &AccountId, page: &PageRequest) -> Result<Page<ApiKey>> {
        self.behind()?.keys(account, page).await
    }

    async fn revoke_key(
        &self,
        account: &AccountId,
        id: &ApiKeyId,
        at: DateTime<Utc>,
    ) -> Result<Option<ApiKey>> {
        self.behind()?.revoke_key(account, id, at).await
    }

    async fn insert_assistant(&self, assistant: &Assistant) -> Result<()> {
        self.behind()?.insert_assistant(assistant).await
    }

    async fn assistant(&self, account: &AccountId, id: AssistantId) -> Result<Option<Assistant>> {
        self.behind()?.assistant(account, id).await
    }

    async fn assistants(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Assistant>> {
        self.behind()?.assistants(account, page).await
    }

    async fn save_assistant(&self, assistant: &Assistant, read: DateTime<Utc>) -> Result<()> {
        self.behind()?.save_assistant(assistant, read).await
    }

    async fn delete_assistant(&self, account: &AccountId, id: AssistantId) -> Result<bool> {
        self.behind()?.delete_assistant(account, id).await
    }

    async fn insert_trunk(&self, trunk: &Trunk) -> Result<()> {
        self.behind()?.insert_trunk(trunk).await
    }

    async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>> {
        self.behind()?.trunk(account, id).await
    }

    async fn trunks(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Trunk>> {
        self.behind()?.trunks(account, page).await
    }

    async fn save_trunk(&self, trunk: &Trunk, read: DateTime<Utc>) -> Result<()> {
        self.behind()?.save_trunk(trunk, read).await
    }

    async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool> {
        self.behind()?.delete_trunk(account, id).await
    }
}

#[async_trait]
impl Archive for Gate {
    async fn export(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>> {
        self.behind()?.export(kind, after, limit).await
    }

    async fn import(&self, records: &[Record]) -> Result<()> {
        self.behind()?.import(records).await
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.behind()?.count(kind).await
    }
}

#[async_trait]
impl Store for Gate {
    async fn check(&self) -> Result<()> {
        self.behind()?.check().await
    }

    async fn agree(&self, name: &str, value: &str) -> Result<String> {
        self.behind()?.agree(name, value).await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

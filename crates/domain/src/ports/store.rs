//! What is kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, Call, DeliveryId, E164, Node,
    NodeId, Outcome, Result, RoomName, Status, Tombstone, TranscriptLine, Trunk, TrunkId,
};

use super::Archive;

/// A place in a list that is ordered by creation time, newest first, then by id, descending. Stores
/// may look at creation times to the millisecond only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The creation time of the last item seen.
    pub created_at: DateTime<Utc>,
    /// Its id.
    pub id: String,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many items; at least 1.
    pub limit: u32,
    /// Items behind this place only.
    pub after: Option<Cursor>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, newest first. Items created meanwhile never push others out of the pages to come.
    pub items: Vec<T>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// Which calls are wanted. All conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFilter {
    /// Whose.
    pub account_id: AccountId,
    /// In this status.
    pub status: Option<Status>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// To this number.
    pub to_number: Option<E164>,
    /// Of this assistant.
    pub assistant_id: Option<AssistantId>,
    /// Created at or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before.
    pub created_to: Option<DateTime<Utc>>,
}

impl CallFilter {
    /// All calls of an account.
    pub fn of(account_id: AccountId) -> Self {
        Self {
            account_id,
            status: None,
            outcome: None,
            to_number: None,
            assistant_id: None,
            created_from: None,
            created_to: None,
        }
    }
}

/// A caller's `Idempotency-Key`, and what it was used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The key as the caller sent it; 1 to 255 characters.
    pub key: String,
    /// A hash of the request's body, in hex.
    pub fingerprint: String,
    /// When the key may be used anew: by calls created then or later.
    pub expires_at: DateTime<Utc>,
}

/// What became of an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// The call was stored.
    New,
    /// The account has used the key before (and it has not expired): nothing was stored.
    Known {
        /// The call it made.
        room_name: RoomName,
        /// The fingerprint it was used with.
        fingerprint: String,
    },
}

/// The calls.
///
/// Every write is durable before it returns, and atomic. Writes to one call are linearizable.
///
/// Ownership: a call is worked on by one node at a time, its `owner`. A node stays an owner for as
/// long as its [`heartbeat`](Calls::heartbeat) is fresh; the calls of a node whose heartbeat has
/// run out, or that never had one, can be claimed by others, due or not. A late owner's
/// [`save`](Calls::save) then fails, because the claim changed the version.
///
/// A write whose error is [`Unavailable`](crate::ErrorKind::Unavailable) may have happened, or may
/// still happen: of a database elsewhere only the answer was lost, perhaps.
///
/// Errors of all methods: [`Unavailable`](crate::ErrorKind::Unavailable),
/// [`Full`](crate::ErrorKind::Full) (nothing was written), [`Corrupt`](crate::ErrorKind::Corrupt).
#[async_trait]
pub trait Calls: Send + Sync {
    /// Stores a new call with version 1 and, in the same step, uses up `key` for the call's account.
    ///
    /// Of any number of concurrent inserts with one key exactly one is [`Inserted::New`]; that a key
    /// is known comes before all errors. On success
    /// `call.version` is 1. Errors: [`Busy`](crate::ErrorKind::Busy) when the call
    /// [occupies](Status::occupies_trunk) its trunk and as many calls as `max_concurrent_calls`
    /// already do (nothing is stored, the key is not used up); [`Exists`](crate::ErrorKind::Exists)
    /// when a call of that room name is there.
    async fn insert(&self, call: &mut Call, key: Option<&IdempotencyKey>) -> Result<Inserted>;

    /// What the account has used an idempotency key for, unless that has expired at `now`: the call
    /// it made, and the fingerprint. Lets a repeated request be answered before it waits for its
    /// trunk; only [`insert`](Calls::insert) decides a race.
    async fn find_key(
        &self,
        account: &AccountId,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, String)>>;

    /// The call, of whatever account.
    async fn get(&self, room: &RoomName) -> Result<Option<Call>>;

    /// The calls that match, newest first.
    async fn list(&self, filter: &CallFilter, page: &PageRequest) -> Result<Page<Call>>;

    /// Replaces the stored call if its version is still `call.version`; on success that is one
    /// higher, on failure `call` is unchanged.
    ///
    /// Errors: [`Conflict`](crate::ErrorKind::Conflict) when it is not, or the call is gone;
    /// [`Busy`](crate::ErrorKind::Busy) when the save would make the call occupy its trunk beyond
    /// `max_concurrent_calls`; a call that occupies it already can always be saved.
    async fn save(&self, call: &mut Call) -> Result<()>;

    /// Erases a call if the stored version is still `call.version`: the record, its transcript, its
    /// deliveries and the idempotency key that made it go, and `tombstone` is put in their place, all
    /// in one step.
    ///
    /// Errors: [`Conflict`](crate::ErrorKind::Conflict) when the version is another, or the call is
    /// gone; nothing was erased then.
    async fn erase(&self, call: &Call, tombstone: &Tombstone) -> Result<()>;

    /// The tombstone of an erased call, by [`Tombstone::id_of`] its room.
    async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>>;

    /// Claims up to `limit` calls for `node`: first those that are due (`due_at <= now`) and have no
    /// owner, the longest due first, then those whose owner, another node, has a heartbeat that ran
    /// out before `now`. Each claim sets the owner and raises the version, and changes nothing else;
    /// no call is claimed twice. Here stores may look at times to the millisecond only.
    async fn claim_due(&self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Result<Vec<Call>>;

    /// Says that a node lives until `node.alive_until`, and what else there is to know of it.
    async fn heartbeat(&self, node: &Node) -> Result<()>;

    /// The nodes that have given a sign of life, by id, with what each said last; only `alive_until`
    /// may be cut to the millisecond. Those that are dead stay for a while: an hour at least.
    async fn nodes(&self) -> Result<Vec<Node>>;

    /// Forgets a node that has released its calls and ends: it counts as dead at once.
    async fn retire(&self, node: &NodeId) -> Result<()>;

    /// The calls that `node` owns, with their versions, in no order.
    async fn owned(&self, node: &NodeId) -> Result<Vec<(RoomName, u64)>>;

    /// The calls that `node` owns and somebody else has changed: those saved with
    /// [`attention`](Call::attention), until a save without it. It goes with the call to a new owner.
    async fn needing_attention(&self, node: &NodeId) -> Result<Vec<RoomName>>;

    /// Gives up all calls of `node`, raising their versions, and makes those that have a duty left
    /// (a due time, or not ended) due at `now`: at the node's start (it takes its own back at once)
    /// and at its end. Returns how many it gave up.
    async fn release(&self, node: &NodeId, now: DateTime<Utc>) -> Result<u64>;

    /// Reserves the next free moment for starting a call on a trunk: at or after `now`, at least
    /// `spacing` after the one reserved before. Gives `None`, and reserves nothing, when that moment
    /// lies behind `latest`.
    async fn reserve_start(
        &self,
        trunk: &TrunkId,
        spacing: std::time::Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>>;
}

/// The lines of calls' transcripts.
#[async_trait]
pub trait Transcripts: Send + Sync {
    /// Adds lines at the end, durably. Appending the same line again (same speaker, text and
    /// timestamp) changes nothing, so that an append can be repeated after a doubt.
    async fn append(&self, room: &RoomName, lines: &[TranscriptLine]) -> Result<()>;

    /// The lines from number `from` (0 is the first) in the order in which they were appended.
    async fn read(&self, room: &RoomName, from: usize) -> Result<Vec<TranscriptLine>>;
}

/// One attempt to deliver a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub delivery_id: DeliveryId,
    /// The call it tells about.
    pub room_name: RoomName,
    /// The `webhook-id` header: the same for every attempt of a call.
    pub webhook_id: String,
    /// Counts from 1, since the last replay.
    pub attempt: u32,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in ms.
    pub duration_ms: u64,
    /// The answer's status, if one came.
    pub status_code: Option<u16>,
    /// Why it did not succeed.
    pub error: Option<String>,
}

/// The log of webhook attempts.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Adds an attempt; one that is logged already stays as it is.
    async fn log(&self, delivery: &Delivery) -> Result<()>;

    /// All attempts for a call, oldest first.
    async fn deliveries(&self, room: &RoomName) -> Result<Vec<Delivery>>;
}

/// Accounts, API keys, assistants and trunks.
///
/// Reads of assistants and trunks name the account: a row of another account is like a missing one.
/// Lists are newest first. Inserts fail with [`Exists`](crate::ErrorKind::Exists) when the id is taken.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The account of that name; created when there is none. Atomic: one name, one account.
    async fn account_named(&self, name: &str, now: DateTime<Utc>) -> Result<Account>;

    /// Stores a new key.
    async fn insert_key(&self, key: &ApiKey) -> Result<()>;
    /// The key, revoked or not.
    async fn key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>>;
    /// The account's keys, revoked ones too.
    async fn keys(&self, account: &AccountId, page: &PageRequest) -> Result<Page<ApiKey>>;
    /// Revokes the account's key; a key revoked before keeps its time. `None`: no such key.
    async fn revoke_key(
        &self,
        account: &AccountId,
        id: &ApiKeyId,
        at: DateTime<Utc>,
    ) -> Result<Option<ApiKey>>;

    /// Stores a new assistant.
    async fn insert_assistant(&self, assistant: &Assistant) -> Result<()>;
    /// The account's assistant.
    async fn assistant(&self, account: &AccountId, id: AssistantId) -> Result<Option<Assistant>>;
    /// The account's assistants.
    async fn assistants(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Assistant>>;
    /// Replaces the assistant if its `updated_at` is still `read`.
    /// Errors: [`Conflict`](crate::ErrorKind::Conflict) when it is not, or the row is gone.
    async fn save_assistant(&self, assistant: &Assistant, read: DateTime<Utc>) -> Result<()>;
    /// Deletes the assistant; `false` when there was none. Its calls stay.
    async fn delete_assistant(&self, account: &AccountId, id: AssistantId) -> Result<bool>;

    /// Stores a new trunk.
    async fn insert_trunk(&self, trunk: &Trunk) -> Result<()>;
    /// The account's trunk.
    async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>>;
    /// The account's trunks.
    async fn trunks(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Trunk>>;
    /// Replaces the trunk if its `updated_at` is still `read`.
    /// Errors: [`Conflict`](crate::ErrorKind::Conflict) when it is not, or the row is gone.
    async fn save_trunk(&self, trunk: &Trunk, read: DateTime<Utc>) -> Result<()>;
    /// Deletes the trunk; `false` when there was none. Its calls stay.
    async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool>;
}

/// A store of everything.
#[async_trait]
pub trait Store: Calls + Transcripts + Deliveries + Directory + Archive {
    /// Succeeds when the store can be read and written now.
    async fn check(&self) -> Result<()>;

    /// What all nodes have to agree on: stores `value` under `name` unless there is a value, and
    /// returns the one that is stored. Atomic: all who ask at once get the same.
    async fn agree(&self, name: &str, value: &str) -> Result<String>;

    /// Finishes what waits to be written and lets go of files and connections. Later operations
    /// fail with [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn close(&self) -> Result<()>;
}

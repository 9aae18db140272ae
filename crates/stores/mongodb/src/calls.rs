//! The calls: insert, get, save. Claims are in `ownership`, lists in `listing`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;
use mongodb::{ClientSession, Collection};
use outdial_domain::ports::{CallFilter, Calls, IdempotencyKey, Inserted, Page, PageRequest};
use outdial_domain::{
    AccountId, Call, ErrorKind, Node, NodeId, Result, RoomName, Tombstone, TrunkId,
};

use crate::MongoStore;
use crate::codec::date;
use crate::fault::{Fault, Outcome};
use crate::record::{Record, number};
pub(crate) use crate::record::{call_document, read_call, read_key};
use crate::schema::{CALLS, TRUNK_CHANNELS};
use crate::transaction::transact;

/// How often an insert starts over because the key it met was given up meanwhile.
const INSERT_TRIES: usize = 8;

#[async_trait]
impl Calls for MongoStore {
    async fn insert(&self, call: &mut Call, key: Option<&IdempotencyKey>) -> Result<Inserted> {
        let inserted = self.run("mongodb.insert_call", self.insert_call(call, key)).await?;
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
        self.run("mongodb.find_key", async {
            let calls = self.collection(CALLS).await?;
            let holder = key_holder(&calls, account, key, ReadConcern::majority()).await?;
            Ok(holder.filter(|holder| holder.key.expires_at > now).map(KeyHolder::known))
        })
        .await
    }

    async fn get(&self, room: &RoomName) -> Result<Option<Call>> {
        self.run("mongodb.get_call", async {
            let found = self.collection(CALLS).await?.find_one(doc! {"_id": room.as_str()}).await?;
            found.as_ref().map(read_call).transpose()
        })
        .await
    }

    async fn list(&self, filter: &CallFilter, page: &PageRequest) -> Result<Page<Call>> {
        self.list_calls(filter, page).await
    }

    async fn save(&self, call: &mut Call) -> Result<()> {
        self.run("mongodb.save_call", self.save_call(call)).await?;
        call.version += 1;
        Ok(())
    }

    async fn erase(&self, call: &Call, tombstone: &Tombstone) -> Result<()> {
        self.erase_call(call, tombstone).await
    }

    async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>> {
        self.find_tombstone(id).await
    }

    async fn claim_due(&self, node: &NodeId, now: DateTime<Utc>, limit: u32) -> Result<Vec<Call>> {
        self.run("mongodb.claim_calls", self.claim(node, now, limit)).await
    }

    async fn heartbeat(&self, node: &Node) -> Result<()> {
        self.run("mongodb.heartbeat", self.beat(node)).await
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        self.run("mongodb.nodes", self.all_nodes()).await
    }

    async fn retire(&self, node: &NodeId) -> Result<()> {
        self.run("mongodb.retire", self.forget(node)).await
    }

    async fn owned(&self, node: &NodeId) -> Result<Vec<(RoomName, u64)>> {
        self.run("mongodb.owned_calls", self.owned_by(node)).await
    }

    async fn needing_attention(&self, node: &NodeId) -> Result<Vec<RoomName>> {
        self.run("mongodb.needing_attention", self.attention_of(node)).await
    }

    async fn release(&self, node: &NodeId, now: DateTime<Utc>) -> Result<u64> {
        self.run("mongodb.release_calls", self.give_up(node, now)).await
    }

    async fn reserve_start(
        &self,
        trunk: &TrunkId,
        spacing: Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        let start = self.start_on(trunk, spacing, now, latest);
        self.run("mongodb.reserve_start", start).await
    }
}

impl MongoStore {
    async fn insert_call(&self, call: &Call, key: Option<&IdempotencyKey>) -> Outcome<Inserted> {
        let calls = self.collection(CALLS).await?;
        let document = Record::new(call, 1)?.into_document(key);
        let limit = limit(call);
        for _ in 0..INSERT_TRIES {
            let inserted = match limit {
                None => calls.insert_one(&document).await.map(drop).map_err(Fault::from),
                Some(limit) => self.insert_limited(&calls, call, &document, limit).await,
            };
            let refusal = match inserted {
                Ok(()) => return Ok(Inserted::New),
                Err(fault) if fault.is_duplicate() || fault.kind() == ErrorKind::Busy => fault,
                Err(fault) => return Err(fault),
            };
            // That a key is known comes before that the room is taken, and that before a full trunk.
            if let Some(key) = key
                && let Some(known) = known_key(&calls, call, key).await?
            {
                return Ok(known);
            }
            if is_taken(&calls, call.room_name()).await? {
                return Err(Fault::decided(ErrorKind::Exists, "the call exists"));
            }
            if !refusal.is_duplicate() {
                return Err(refusal);
            }
        }
        let message = "the idempotency key changes hands too quickly";
        Err(Fault::decided(ErrorKind::Unavailable, message))
    }

    async fn insert_limited(
        &self,
        calls: &Collection<Document>,
        call: &Call,
        document: &Document,
        limit: u32,
    ) -> Outcome<()> {
        let trunk = call.order.trunk_id.as_str();
        let _turn = self.link.queue(trunk).lock().await;
        let insert = async |session: &mut ClientSession| {
            self.take_channel(session, calls, trunk, limit).await?;
            calls.insert_one(document).session(session).await?;
            Ok(())
        };
        transact(&self.link, async |mut session| {
            let inserted = insert(&mut session).await;
            (session, inserted)
        })
        .await
    }

    async fn save_call(&self, call: &Call) -> Outcome<()> {
        let calls = self.collection(CALLS).await?;
        let next = call.version.saturating_add(1);
        let update = Record::new(call, next)?.into_update();
        let mut query = doc! {"_id": call.room_name().as_str(), "version": number(call.version)?};
        let limit = limit(call);
        if limit.is_some() {
            // One that holds its channel already can always be saved.
            query.insert("occupies_trunk", true);
        }
        let saved = calls.update_one(query.clone(), update.clone()).await?;
        match limit {
            _ if saved.matched_count > 0 => Ok(()),
            None => Err(changed()),
            Some(limit) => {
                query.remove("occupies_trunk");
                self.save_limited(&calls, call, &query, &update, limit).await
            }
        }
    }

    async fn save_limited(
        &self,
        calls: &Collection<Document>,
        call: &Call,
        query: &Document,
        update: &Document,
        limit: u32,
    ) -> Outcome<()> {
        let trunk = call.order.trunk_id.as_str();
        let _turn = self.link.queue(trunk).lock().await;
        let save = async |session: &mut ClientSession| {
            let found = calls.find_one(query.clone()).projection(doc! {"occupies_trunk": 1});
            let found = found.session(&mut *session).await?.ok_or_else(changed)?;
            if !found.get_bool("occupies_trunk").unwrap_or(false) {
                self.take_channel(session, calls, trunk, limit).await?;
            }
            let saved = calls.update_one(query.clone(), update.clone()).session(session).await?;
            if saved.matched_count == 0 { Err(changed()) } else { Ok(()) }
        };
        transact(&self.link, async |mut session| {
            let saved = save(&mut session).await;
            (session, saved)
        })
        .await
    }

    /// Fails when one more call would be one too many on the trunk. Of transactions that have passed
    /// here at the same time on one trunk one succeeds: all write the trunk's one document.
    async fn take_channel(
        &self,
        session: &mut ClientSession,
        calls: &Collection<Document>,
        trunk: &str,
        limit: u32,
    ) -> Outcome<()> {
        let running = match limit {
            0 => 0,
            _ => {
                let query = doc! {"trunk_id": trunk, "occupies_trunk": true};
                calls.count_documents(query).limit(limit.into()).session(&mut *session).await?
            }
        };
        if running >= u64::from(limit) {
            let message = format!("the trunk has {running} calls, at most {limit} are allowed");
            return Err(Fault::decided(ErrorKind::Busy, message));
        }
        let channels = self.collection(TRUNK_CHANNELS).await?;
        let update = doc! {"$inc": {"writes": 1_i64}};
        let written = channels.update_one(doc! {"_id": trunk}, update).upsert(true);
        match written.session(session).await.map_err(Fault::from) {
            // The trunk's first call, and another node was quicker.
            Err(fault) if fault.is_duplicate() => Err(Fault::Again),
            other => other.map(drop),
        }
    }
}

/// The limit of the trunk if the call counts against it.
fn limit(call: &Call) -> Option<u32> {
    call.order.max_concurrent_calls.filter(|_| call.status().occupies_trunk())
}

/// The call that a key has made.
struct KeyHolder {
    room_name: RoomName,
    key: IdempotencyKey,
}

impl KeyHolder {
    fn known(self) -> (RoomName, String) {
        (self.room_name, self.key.fingerprint)
    }
}

async fn key_holder(
    calls: &Collection<Document>,
    account: &AccountId,
    key: &str,
    concern: ReadConcern,
) -> Outcome<Option<KeyHolder>> {
    let query = doc! {"account_id": account.as_str(), "idempotency.key": key};
    let found = calls.find_one(query).projection(doc! {"idempotency": 1}).read_concern(concern);
    let Some(found) = found.await? else { return Ok(None) };
    let room_name = found.get_str("_id")?.parse();
    let room_name =
        room_name.map_err(|_| Fault::corrupt("a stored idempotency key names no call"))?;
    Ok(read_key(&found)?.map(|key| KeyHolder { room_name, key }))
}

/// What the key was used for before `call` came with it. A key that has expired by then is taken
/// from the call that used it.
///
/// A majority read would not find the call of an insert that was quicker and is still on its way to
/// the others; a local read finds it while a failover can still take it away. So what is found is
/// read once more, as it is when a majority has it. That makes the primary write: not for nothing.
async fn known_key(
    calls: &Collection<Document>,
    call: &Call,
    key: &IdempotencyKey,
) -> Outcome<Option<Inserted>> {
    let find = async |concern| key_holder(calls, &call.order.account_id, &key.key, concern).await;
    if find(ReadConcern::local()).await?.is_none() {
        return Ok(None);
    }
    let Some(holder) = find(ReadConcern::linearizable()).await? else { return Ok(None) };
    if holder.key.expires_at > call.order.created_at {
        let (room_name, fingerprint) = holder.known();
        return Ok(Some(Inserted::Known { room_name, fingerprint }));
    }
    let query = doc! {
        "_id": holder.room_name.as_str(),
        "idempotency.key": &holder.key.key,
        "idempotency.expires_at": date(holder.key.expires_at).0,
    };
    calls.update_one(query, doc! {"$unset": {"idempotency": ""}}).await?;
    Ok(None)
}

async fn is_taken(calls: &Collection<Document>, room: &RoomName) -> Outcome<bool> {
    let found = calls.find_one(doc! {"_id": room.as_str()}).projection(doc! {"_id": 1});
    Ok(found.read_concern(ReadConcern::local()).await?.is_some())
}

pub(crate) fn changed() -> Fault {
    let message = "the call has changed since it was read, or is gone";
    Fault::decided(ErrorKind::Conflict, message)
}

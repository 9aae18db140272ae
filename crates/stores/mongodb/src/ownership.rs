//! Who works on which call, and which nodes live.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;
use outdial_domain::{Call, Node, NodeId, RoomName};
use rand::RngExt;

use crate::MongoStore;
use crate::codec::{date, get_time, put_time};
use crate::fault::{Fault, Outcome};
use crate::record::{read_call, version};
use crate::schema::{CALLS, NODES};
use crate::transaction::undo_abandoned;

/// How many calls a claim looks at for each one it wants, once it has met another claimer.
const SPREAD: i64 = 8;

/// How often a claim that has got something looks for more.
const ROUNDS: usize = 4;

impl MongoStore {
    pub(crate) async fn claim(
        &self,
        node: &NodeId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Outcome<Vec<Call>> {
        let calls = self.collection(CALLS).await?;
        let mut claim = Claim { calls: &calls, node, claimed: Vec::new() };
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        left = claim.take(due(now), Some("due_at"), left).await?;
        claim.claimed.sort_by_key(|call| call.due_at);
        if left > 0 {
            let living = self.living_at(now).await?;
            let orphaned = orphaned(node, &living);
            if !claim.find(&orphaned, None, 1, false).await?.is_empty() {
                // What the dead node had begun would hold up the claim of its calls.
                undo_abandoned(&self.link).await;
                claim.take(orphaned, None, left).await?;
            }
        }
        Ok(claim.claimed)
    }

    /// The nodes that live at `now`.
    async fn living_at(&self, now: DateTime<Utc>) -> Outcome<Vec<String>> {
        let nodes = self.collection(NODES).await?;
        let found = nodes.find(doc! {"alive_until": {"$gte": date(now).0}});
        // The one that a moment ago gave a sign of life is not to lose its calls.
        let found = found.projection(doc! {"_id": 1}).read_concern(ReadConcern::local());
        let mut found = found.await?;
        let mut living = Vec::new();
        while let Some(node) = found.try_next().await? {
            living.push(node.get_str("_id")?.to_owned());
        }
        Ok(living)
    }

    pub(crate) async fn beat(&self, node: &Node) -> Outcome<()> {
        let mut seen = doc! {"version": &node.version, "draining": node.draining};
        put_time(&mut seen, "started_at", node.started_at);
        put_time(&mut seen, "alive_until", node.alive_until);
        let absent: Document = ["started_at_ns", "alive_until_ns"]
            .into_iter()
            .filter(|field| !seen.contains_key(*field))
            .map(|field| (field.to_owned(), Bson::String(String::new())))
            .collect();
        // Rows of long dead nodes expire by the database's clock, whatever ours says.
        let mut update = doc! {"$set": seen, "$currentDate": {"seen_at": true}};
        if !absent.is_empty() {
            update.insert("$unset", absent);
        }
        let nodes = self.collection(NODES).await?;
        nodes.update_one(doc! {"_id": node.node_id.as_str()}, update).upsert(true).await?;
        Ok(())
    }

    pub(crate) async fn all_nodes(&self) -> Outcome<Vec<Node>> {
        let mut found = self.collection(NODES).await?.find(doc! {}).sort(doc! {"_id": 1}).await?;
        let mut nodes = Vec::new();
        while let Some(document) = found.try_next().await? {
            nodes.push(read_node(&document)?);
        }
        Ok(nodes)
    }

    pub(crate) async fn forget(&self, node: &NodeId) -> Outcome<()> {
        self.collection(NODES).await?.delete_one(doc! {"_id": node.as_str()}).await?;
        Ok(())
    }

    pub(crate) async fn owned_by(&self, node: &NodeId) -> Outcome<Vec<(RoomName, u64)>> {
        let calls = self.collection(CALLS).await?;
        let found = calls.find(doc! {"owner": node.as_str()}).projection(doc! {"version": 1});
        let mut found = found.await?;
        let mut owned = Vec::new();
        while let Some(document) = found.try_next().await? {
            // A damaged one is not worked on: its claim has said so.
            if let (Some(room), Ok(version)) = (room_of(&document), version(&document)) {
                owned.push((room, version));
            }
        }
        Ok(owned)
    }

    pub(crate) async fn attention_of(&self, node: &NodeId) -> Outcome<Vec<RoomName>> {
        let calls = self.collection(CALLS).await?;
        let query = doc! {"owner": node.as_str(), "attention": true};
        let mut found = calls.find(query).projection(doc! {"_id": 1}).await?;
        let mut rooms = Vec::new();
        while let Some(document) = found.try_next().await? {
            rooms.extend(room_of(&document));
        }
        Ok(rooms)
    }

    pub(crate) async fn give_up(&self, node: &NodeId, now: DateTime<Utc>) -> Outcome<u64> {
        let (now, rest) = date(now);
        let rest = if rest == 0 { Bson::from("$$REMOVE") } else { Bson::from(rest) };
        // A call that has not ended always has a duty left, whether or not it says when.
        let is_done = doc! {"$and": [
            {"$eq": [{"$type": "$due_at"}, "missing"]},
            {"$eq": ["$status", "ended"]},
        ]};
        let update = vec![doc! {"$set": {
            "version": {"$add": ["$version", 1_i64]},
            "due_at": {"$cond": [&is_done, "$$REMOVE", now]},
            "due_at_ns": {"$cond": [&is_done, "$$REMOVE", rest]},
            "owner": "$$REMOVE",
            "claim": "$$REMOVE",
        }}];
        let query = doc! {"owner": node.as_str(), "version": {"$type": "number"}};
        let calls = self.collection(CALLS).await?;
        Ok(calls.update_many(query, update).await?.modified_count)
    }
}

/// The calls that are due at `now` and nobody's.
pub(crate) fn due(now: DateTime<Utc>) -> Document {
    doc! {"owner": null, "due_at": {"$lte": date(now).0}, "version": {"$type": "number"}}
}

/// The calls of other nodes than `node` that are not among the living.
pub(crate) fn orphaned(node: &NodeId, living: &[String]) -> Document {
    let spared: Vec<&str> = living.iter().map(String::as_str).chain([node.as_str()]).collect();
    doc! {"owner": {"$exists": true, "$nin": spared}, "version": {"$type": "number"}}
}

/// A claim under way.
struct Claim<'a> {
    calls: &'a Collection<Document>,
    node: &'a NodeId,
    claimed: Vec<Call>,
}

impl Claim<'_> {
    /// Claims up to `wanted` of the calls that meet `query`, those first that come first by `order`;
    /// gives how many are still wanted when there are no more.
    ///
    /// Claimers who meet each other at the same calls look further the next time, each somewhere
    /// else.
    async fn take(
        &mut self,
        query: Document,
        order: Option<&str>,
        mut wanted: usize,
    ) -> Outcome<usize> {
        let mut rounds = 0;
        let mut met = false;
        while wanted > 0 && (rounds < ROUNDS || self.claimed.is_empty()) {
            rounds += 1;
            let found = self.find(&query, order, wanted, met).await?;
            if found.is_empty() {
                break;
            }
            let looked_at = found.len();
            let taken = self.mark(&query, found).await?;
            wanted -= taken.min(wanted);
            met = taken < looked_at;
        }
        Ok(wanted)
    }

    /// The ids of up to `wanted` calls.
    async fn find(
        &self,
        query: &Document,
        order: Option<&str>,
        wanted: usize,
        spread: bool,
    ) -> Outcome<Vec<Bson>> {
        let mut limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        if spread {
            limit = limit.saturating_mul(SPREAD);
        }
        let find = self.calls.find(query.clone()).projection(doc! {"_id": 1}).limit(limit);
        let find = match order {
            Some(field) => find.sort(doc! {field: 1}),
            None => find,
        };
        let mut found = find.read_concern(ReadConcern::local()).await?;
        let mut ids = Vec::new();
        while let Some(mut document) = found.try_next().await? {
            ids.extend(document.remove("_id"));
        }
        let first = match ids.len().checked_sub(wanted) {
            Some(beyond) if beyond > 0 => rand::rng().random_range(0..=beyond),
            _ => 0,
        };
        Ok(ids.into_iter().skip(first).take(wanted).collect())
    }

    /// Makes the node the owner of those of `ids` that still meet `query`; says how many those were.
    async fn mark(&mut self, query: &Document, ids: Vec<Bson>) -> Outcome<usize> {
        // Names this one step: what it took is read back by it, also when calls were the node's
        // before.
        let claim = ObjectId::new().to_hex();
        let mut chosen = query.clone();
        chosen.insert("_id", doc! {"$in": &ids});
        let update = doc! {"$set": {"owner": self.node.as_str(), "claim": &claim}, "$inc": {"version": 1_i64}};
        let marked = self.calls.update_many(chosen, update).await?.matched_count;
        if marked > 0 {
            let own = doc! {"_id": {"$in": ids}, "owner": self.node.as_str(), "claim": claim};
            self.read_back(own).await?;
        }
        Ok(usize::try_from(marked).unwrap_or(usize::MAX))
    }

    async fn read_back(&mut self, query: Document) -> Outcome<()> {
        // After a failover a majority read can lag behind what a majority has acknowledged; what is
        // looked for has been acknowledged.
        let mut found = self.calls.find(query).read_concern(ReadConcern::local()).await?;
        while let Some(document) = found.try_next().await? {
            match read_call(&document) {
                Ok(call) => self.claimed.push(call),
                // One damaged document must not stop all other calls: it is claimed and set aside.
                Err(fault) => {
                    let (_, error) = fault.describe();
                    let room = document.get("_id").and_then(Bson::as_str).unwrap_or_default();
                    tracing::error!(room, %error, "a stored call is damaged and is left alone");
                }
            }
        }
        Ok(())
    }
}

/// A document without a name that can be read belongs to no call of ours.
fn room_of(document: &Document) -> Option<RoomName> {
    document.get("_id").and_then(Bson::as_str).and_then(|room| room.parse().ok())
}

fn read_node(document: &Document) -> Outcome<Node> {
    let damaged = || Fault::corrupt("a stored node cannot be read");
    Ok(Node {
        node_id: document.get_str("_id")?.parse().map_err(|_| damaged())?,
        started_at: get_time(document, "started_at")?.ok_or_else(damaged)?,
        version: document.get_str("version")?.to_owned(),
        draining: document.get_bool("draining").unwrap_or(false),
        alive_until: get_time(document, "alive_until")?.ok_or_else(damaged)?,
    })
}

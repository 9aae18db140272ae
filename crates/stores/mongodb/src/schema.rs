//! The collections, their indexes, and what the server has to be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};
use outdial_domain::ErrorKind;

use crate::codec::get_time;
use crate::fault::{Fault, NO_REPLICA_SET, Outcome};

pub(crate) const CALLS: &str = "calls";
pub(crate) const TRANSCRIPTS: &str = "transcripts";
pub(crate) const DELIVERIES: &str = "deliveries";
pub(crate) const ACCOUNTS: &str = "accounts";
pub(crate) const API_KEYS: &str = "api_keys";
pub(crate) const ASSISTANTS: &str = "assistants";
pub(crate) const TRUNKS: &str = "trunks";
pub(crate) const TOMBSTONES: &str = "tombstones";
pub(crate) const NODES: &str = "nodes";
pub(crate) const TRUNK_STARTS: &str = "trunk_starts";
pub(crate) const TRUNK_CHANNELS: &str = "trunk_channels";
pub(crate) const AGREEMENTS: &str = "agreements";
pub(crate) const HEALTH: &str = "health";
pub(crate) const SCHEMA: &str = "schema";

/// The oldest server that is tested against.
const OLDEST: u32 = 6;

/// What brings a database from each version of the schema to the next. Each step can be repeated,
/// also while another node is at it. Never change one that has been released: add one.
const STEPS: [fn() -> Vec<Step>; 1] = [first];

/// A day, after which what has not renewed itself is dropped.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// A collection and its indexes.
struct Step {
    collection: &'static str,
    indexes: Vec<IndexModel>,
}

/// Checks the server and brings the database to this program's schema. Can be repeated, and done by
/// several nodes at once.
pub(crate) async fn prepare(database: &Database, migrating: &AtomicBool) -> Outcome<()> {
    check_server(database).await?;
    let schema = database.collection::<Document>(SCHEMA);
    let stored = schema.find_one(doc! {"_id": SCHEMA}).await?;
    let version = match &stored {
        Some(stored) => stored_version(stored)?,
        None => 0,
    };
    let newest = STEPS.len();
    if version > newest {
        let message = format!(
            "the database has schema {version}, this program knows up to {newest}: start a newer \
             outdial"
        );
        return Err(Fault::corrupt(message));
    }
    if version == newest {
        return Ok(());
    }
    let _migrating = Raised::new(migrating);
    for (number, steps) in STEPS.iter().enumerate().skip(version) {
        for step in steps() {
            migrate(database, step).await?;
        }
        let reached = i64::try_from(number + 1).unwrap_or(i64::MAX);
        // Only ever up: another node may be further.
        let raise = doc! {"$max": {"version": reached}};
        schema.update_one(doc! {"_id": SCHEMA}, raise).upsert(true).await?;
        tracing::info!(version = reached, "the database has been brought to this schema");
    }
    Ok(())
}

/// A flag that is set as long as this lives.
struct Raised<'a>(&'a AtomicBool);

impl<'a> Raised<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Release);
        Self(flag)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn stored_version(stored: &Document) -> Outcome<usize> {
    let version = match stored.get("version") {
        Some(Bson::Int64(version)) => usize::try_from(*version).ok(),
        Some(Bson::Int32(version)) => usize::try_from(*version).ok(),
        _ => None,
    };
    version.ok_or_else(|| Fault::corrupt("the schema's version cannot be read"))
}

async fn migrate(database: &Database, step: Step) -> Outcome<()> {
    // Made here, as transactions may not wait for it.
    match database.create_collection(step.collection).await.map_err(Fault::from) {
        Err(fault) if !fault.has_code(COLLECTION_EXISTS) => return Err(fault),
        _ => {}
    }
    if !step.indexes.is_empty() {
        database.collection::<Document>(step.collection).create_indexes(step.indexes).await?;
    }
    Ok(())
}

const COLLECTION_EXISTS: i32 = 48;

fn first() -> Vec<Step> {
    let listed = |name| index(name, doc! {"account_id": 1, "created_at": -1, "_id": -1});
    let step = |collection, indexes| Step { collection, indexes };
    vec![
        step(CALLS, calls()),
        step(TRANSCRIPTS, vec![]),
        step(DELIVERIES, vec![index("of_call", doc! {"room_name": 1, "at": 1})]),
        step(ACCOUNTS, vec![unique("name", doc! {"name": 1}, None)]),
        step(API_KEYS, vec![listed("of_account")]),
        step(ASSISTANTS, vec![listed("of_account")]),
        step(TRUNKS, vec![listed("of_account")]),
        step(TOMBSTONES, vec![]),
        step(NODES, vec![expiring("forgotten", doc! {"seen_at": 1})]),
        step(TRUNK_STARTS, vec![expiring("forgotten", doc! {"touched_at": 1})]),
        step(TRUNK_CHANNELS, vec![]),
        step(AGREEMENTS, vec![]),
        step(HEALTH, vec![]),
    ]
}

fn calls() -> Vec<IndexModel> {
    let newest_first = |fields: &[&str]| {
        let fields = fields.iter().map(|field| ((*field).to_owned(), Bson::from(1)));
        let mut keys: Document = fields.collect();
        keys.extend(doc! {"created_at": -1, "_id": -1});
        keys
    };
    vec![
        // Lists: newest first, each filter has an index that ends in the list's order.
        index("of_account", newest_first(&["account_id"])),
        index("of_assistant", newest_first(&["account_id", "assistant_id"])),
        index("to_number", newest_first(&["account_id", "to_number"])),
        index("by_status", newest_first(&["account_id", "status"])),
        partial(
            "by_outcome",
            newest_first(&["account_id", "outcome"]),
            doc! {"outcome": {"$exists": true}},
        ),
        // Work: what is due and free, what each node owns, what fills a trunk.
        partial("due", doc! {"owner": 1, "due_at": 1}, doc! {"due_at": {"$exists": true}}),
        partial("owned", doc! {"owner": 1}, doc! {"owner": {"$exists": true}}),
        partial("attention", doc! {"attention": 1, "owner": 1}, doc! {"attention": true}),
        partial("on_trunk", doc! {"trunk_id": 1}, doc! {"occupies_trunk": true}),
        unique(
            "idempotency",
            doc! {"account_id": 1, "idempotency.key": 1},
            Some(doc! {"idempotency.key": {"$exists": true}}),
        ),
    ]
}

fn model(name: &str, keys: Document, mut options: IndexOptions) -> IndexModel {
    options.name = Some(name.to_owned());
    IndexModel::builder().keys(keys).options(options).build()
}

fn index(name: &str, keys: Document) -> IndexModel {
    model(name, keys, IndexOptions::default())
}

fn partial(name: &str, keys: Document, filter: Document) -> IndexModel {
    model(name, keys, IndexOptions::builder().partial_filter_expression(filter).build())
}

fn unique(name: &str, keys: Document, filter: Option<Document>) -> IndexModel {
    let options = IndexOptions::builder().unique(true).partial_filter_expression(filter);
    model(name, keys, options.build())
}

fn expiring(name: &str, keys: Document) -> IndexModel {
    model(name, keys, IndexOptions::builder().expire_after(FORGET_AFTER).build())
}

/// What the server says of itself, of its replica set and of its clock.
pub(crate) async fn server(database: &Database) -> Outcome<ServerInfo> {
    let admin = database.client().database("admin");
    let hello = admin.run_command(doc! {"hello": 1}).await?;
    let info = admin.run_command(doc! {"buildInfo": 1}).await?;
    let members = hello.get_array("hosts").map(Vec::as_slice).unwrap_or_default();
    let local_time = get_time(&hello, "localTime")?;
    Ok(ServerInfo {
        version: info.get_str("version")?.to_owned(),
        replica_set: hello.get_str("setName").ok().map(str::to_owned),
        members: members.iter().filter_map(Bson::as_str).map(str::to_owned).collect(),
        local_time: local_time.ok_or_else(|| Fault::corrupt("the server tells no time"))?,
        is_router: hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"),
    })
}

/// What a database server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its version, such as `6.0.5`.
    pub version: String,
    /// The replica set it belongs to.
    pub replica_set: Option<String>,
    /// The members of the set, as `host:port`.
    pub members: Vec<String>,
    /// What its clock says.
    pub local_time: DateTime<Utc>,
    /// It is the router (mongos) of a sharded cluster.
    pub is_router: bool,
}

async fn check_server(database: &Database) -> Outcome<()> {
    let server = server(database).await?;
    if !server.is_router && server.replica_set.is_none() {
        return Err(Fault::decided(ErrorKind::Refused, NO_REPLICA_SET));
    }
    let version = &server.version;
    let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major| major < OLDEST) {
        let message = format!("MongoDB {version} is too old: {OLDEST}.0 or newer is needed");
        return Err(Fault::decided(ErrorKind::Refused, message));
    }
    Ok(())
}

//! What the store asks of the server is found through indexes: as the server itself saw it.

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use outdial_domain::ports::{
    Archive, CallFilter, Calls, Deliveries, Delivery, Directory, IdempotencyKey, PageRequest,
    RecordKind, Store, Transcripts,
};
use outdial_domain::{
    AccountId, ApiKey, Assistant, Call, DeliveryId, Hint, LegEnd, Node, NodeId, Outcome, Speaker,
    Status, Tombstone, Trunk,
};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;

use crate::database::Database;

/// Calls in the store, of some accounts.
const CALLS: usize = 400;

/// Of each account.
const OF_ONE: usize = 40;

/// No question may look at more documents: lists give up to ten, and one to know whether there are
/// more.
const FEW: i64 = 14;

struct Fixture {
    database: Database,
    store: MongoStore,
    calls: Vec<Call>,
}

impl Fixture {
    /// A store with calls in it, on a database that writes down what it is asked.
    async fn start() -> Self {
        let database = Database::fresh();
        let store = database.store().await;
        let calls = many_calls(&store).await;
        let raw = database.raw().await;
        raw.create_collection("system.profile").capped(true).size(32 << 20).await.unwrap();
        raw.run_command(doc! {"profile": 2}).await.unwrap();
        Self { database, store, calls }
    }

    /// Runs `work` and gives what the server was asked meanwhile.
    async fn watch<T>(
        &self,
        work: impl Future<Output = outdial_domain::Result<T>>,
    ) -> Vec<Document> {
        let raw = self.database.raw().await;
        let profile = raw.collection::<Document>("system.profile");
        let before = profile.count_documents(doc! {}).await.unwrap();
        work.await.unwrap();
        let entries: Vec<Document> =
            profile.find(doc! {}).skip(before).await.unwrap().try_collect().await.unwrap();
        let own = |entry: &Document| !entry.get_str("ns").unwrap().ends_with("system.profile");
        entries.into_iter().filter(own).collect()
    }

    /// Checks that `work` looks at few documents, all through indexes, and sorts nothing.
    async fn check<T>(&self, name: &str, work: impl Future<Output = outdial_domain::Result<T>>) {
        let asked = self.watch(work).await;
        assert!(!asked.is_empty(), "{name} asks nothing");
        for entry in asked {
            let plan = entry.get_str("planSummary").unwrap_or_default();
            // Nodes are few, and all of them are wanted.
            let is_of_nodes = entry.get_str("ns").unwrap().ends_with(".nodes");
            assert!(
                is_of_nodes || !plan.contains("COLLSCAN"),
                "{name} reads all documents: {entry:#?}"
            );
            assert!(!entry.contains_key("hasSortStage"), "{name} sorts: {entry:#?}");
            for count in ["docsExamined", "keysExamined"] {
                let examined = entry.get_i32(count).map_or(0, i64::from);
                assert!(examined <= FEW, "{name}: {count} is {examined}: {entry:#?}");
            }
        }
    }

    /// Like [`check`](Self::check), and by the index whose keys begin like this.
    async fn check_list(&self, filter: CallFilter, index: &str) {
        let page = PageRequest { limit: 10, after: None };
        let first = self.store.list(&filter, &page).await.unwrap();
        let asked = self.watch(self.store.list(&filter, &page)).await;
        assert!(
            asked.iter().any(|entry| {
                let plan = entry.get_str("planSummary").unwrap_or_default();
                plan.starts_with(&format!("IXSCAN {{ {index}"))
            }),
            "{filter:?} does not use {index}: {asked:#?}"
        );
        self.check(&format!("{filter:?}"), self.store.list(&filter, &page)).await;
        let next = PageRequest { limit: 10, after: first.next };
        self.check(&format!("{filter:?}, second page"), self.store.list(&filter, &next)).await;
    }
}

/// Queued, talking and ended calls of ten accounts; half of those that have not ended are owned.
async fn many_calls(store: &MongoStore) -> Vec<Call> {
    let accounts: Vec<_> = (0..CALLS / OF_ONE).map(|_| AccountId::random()).collect();
    let owners = [NodeId::random(), NodeId::random()];
    let assistants: Vec<_> = (0..5).map(|_| outdial_domain::AssistantId::random()).collect();
    let mut calls = Vec::new();
    for number in 0..CALLS {
        let mut call = sample::call(&accounts[number % accounts.len()]);
        let second = f64::from(u32::try_from(number).unwrap());
        call.order_mut().created_at = sample::at(second);
        // By account, number and assistant together there are few.
        let turn = number / accounts.len();
        call.order_mut().assistant_id = assistants[turn % assistants.len()];
        call.order_mut().to_number = format!("+1555010{:04}", turn % 5).parse().unwrap();
        call.due_at = Some(sample::at(second));
        match turn % 4 {
            0 => call.started_at = Some(sample::START),
            1 => {
                let end = LegEnd::CalleeHangup;
                call.apply(&Hint::Ended { at: sample::at(second), end });
                call.close(sample::at(second));
                call.due_at = None;
            }
            _ => {}
        }
        if number % 8 == 4 {
            call.owner = Some(owners[number / 8 % 2].clone());
            call.attention = number % 16 == 4;
        }
        let key = IdempotencyKey {
            key: format!("key {number}"),
            fingerprint: "f00d".into(),
            expires_at: sample::at(9_999.0),
        };
        store.insert(&mut call, Some(&key)).await.unwrap();
        calls.push(call);
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    let fixture = Fixture::start().await;
    let call = &fixture.calls[0];
    let all = CallFilter::of(call.order.account_id.clone());
    let check = async |filter, index| fixture.check_list(filter, index).await;
    check(all.clone(), "account_id: 1, created_at: -1, _id: -1").await;
    let created_from = Some(sample::at(50.0));
    let created_to = Some(sample::at(150.0));
    let range = CallFilter { created_from, created_to, ..all.clone() };
    check(range, "account_id: 1, created_at: -1, _id: -1").await;
    let status = Some(Status::InProgress);
    check(CallFilter { status, ..all.clone() }, "account_id: 1, status: 1, created_at: -1").await;
    let status = Some(Status::Queued);
    check(CallFilter { status, ..all.clone() }, "account_id: 1, status: 1, created_at: -1").await;
    let outcome = Some(Outcome::Completed);
    check(CallFilter { outcome, ..all.clone() }, "account_id: 1, outcome: 1, created_at: -1").await;
    let to_number = Some(call.order.to_number.clone());
    let index = "account_id: 1, to_number: 1, created_at: -1";
    check(CallFilter { to_number, ..all.clone() }, index).await;
    let assistant_id = Some(call.order.assistant_id);
    let index = "account_id: 1, assistant_id: 1, created_at: -1";
    check(CallFilter { assistant_id, ..all.clone() }, index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let mut call = fixture.calls[8].clone();
    let account = call.order.account_id.clone();
    let room = call.room_name().clone();
    fixture.check("get", store.get(&room)).await;
    fixture.check("save", store.save(&mut call)).await;
    fixture.check("find_key", store.find_key(&account, "key 8", sample::START)).await;
    let mut fresh = sample::call(&account);
    let key = IdempotencyKey {
        key: "key 8".into(),
        fingerprint: "f00d".into(),
        expires_at: sample::at(9_999.0),
    };
    fixture.check("insert of a known key", store.insert(&mut fresh, Some(&key))).await;
    let mut limited = sample::started_call(&account, &call.order.trunk_id, 9);
    fixture.check("insert on a limited trunk", store.insert(&mut limited, None)).await;
    let lines = [sample::line(Speaker::User, "Hello", 1.0)];
    fixture.check("append", store.append(&room, &lines)).await;
    fixture.check("read", store.read(&room, 0)).await;
    let delivery = Delivery {
        delivery_id: DeliveryId::random(),
        room_name: room.clone(),
        webhook_id: "msg_1".into(),
        attempt: 1,
        at: sample::START,
        duration_ms: 12,
        status_code: Some(200),
        error: None,
    };
    fixture.check("log", store.log(&delivery)).await;
    fixture.check("deliveries", store.deliveries(&room)).await;
    let tombstone = Tombstone::of(&call, sample::at(100.0));
    fixture.check("erase", store.erase(&call, &tombstone)).await;
    fixture.check("tombstone", store.tombstone(&tombstone.id)).await;
}

fn node(node_id: NodeId, seconds: f64) -> Node {
    Node {
        node_id,
        started_at: sample::START,
        version: "1".into(),
        draining: false,
        alive_until: sample::at(seconds),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let me = NodeId::random();
    let alive = node(me.clone(), 9_999.0);
    fixture.check("heartbeat", store.heartbeat(&alive)).await;
    fixture.check("nodes", store.nodes()).await;
    let now = sample::at(5_000.0);
    fixture.check("claim of due calls", store.claim_due(&me, now, 3)).await;
    fixture.check("claim of nothing", store.claim_due(&me, sample::at(-1.0), 3)).await;
    fixture.check("needing_attention", store.needing_attention(&me)).await;
    fixture.check("owned", store.owned(&me)).await;
    fixture.check("release", store.release(&me, now)).await;
    let trunk = outdial_domain::TrunkId::random();
    for _ in 0..2 {
        let spacing = std::time::Duration::from_millis(100);
        let reserved = store.reserve_start(&trunk, spacing, now, sample::at(6_000.0));
        fixture.check("reserve_start", reserved).await;
    }
    fixture.check("check", store.check()).await;
    fixture.check("agree", store.agree("master_key", "one")).await;
    fixture.check("retire", store.retire(&me)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directory() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    for number in 0..100 {
        store.account_named(&format!("account {number}"), sample::START).await.unwrap();
    }
    let account = AccountId::random();
    for second in 0..40 {
        let created_at = sample::at(f64::from(second));
        for account in [&account, &AccountId::random()] {
            let key = ApiKey { created_at, ..sample::api_key(account) };
            store.insert_key(&key).await.unwrap();
            let row = Assistant { created_at, ..sample::assistant(account) };
            store.insert_assistant(&row).await.unwrap();
            let row = Trunk { created_at, ..sample::trunk(account) };
            store.insert_trunk(&row).await.unwrap();
        }
    }
    fixture.check("account_named", store.account_named("account 7", sample::START)).await;
    let mut page = PageRequest { limit: 10, after: None };
    for _ in 0..2 {
        let keys = store.keys(&account, &page).await.unwrap();
        fixture.check("keys", store.keys(&account, &page)).await;
        fixture.check("assistants", store.assistants(&account, &page)).await;
        fixture.check("trunks", store.trunks(&account, &page)).await;
        page.after = keys.next;
    }
    let key = sample::api_key(&account);
    fixture.check("insert_key", store.insert_key(&key)).await;
    fixture.check("key", store.key(&key.key_id)).await;
    fixture.check("revoke_key", store.revoke_key(&account, &key.key_id, sample::START)).await;
    let row = sample::assistant(&account);
    let id = row.assistant_id;
    fixture.check("insert_assistant", store.insert_assistant(&row)).await;
    fixture.check("assistant", store.assistant(&account, id)).await;
    fixture.check("save_assistant", store.save_assistant(&row, row.updated_at)).await;
    fixture.check("delete_assistant", store.delete_assistant(&account, id)).await;
    let row = sample::trunk(&account);
    fixture.check("insert_trunk", store.insert_trunk(&row)).await;
    fixture.check("trunk", store.trunk(&account, &row.trunk_id)).await;
    fixture.check("save_trunk", store.save_trunk(&row, row.updated_at)).await;
    fixture.check("delete_trunk", store.delete_trunk(&account, &row.trunk_id)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moving() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let exported = store.export(RecordKind::Call, None, 10).await.unwrap();
    for kind in RecordKind::ALL {
        fixture.check("export", store.export(kind, None, 10)).await;
        let last = exported.last().unwrap().id();
        fixture.check("export from a place on", store.export(kind, Some(&last), 10)).await;
        fixture.watch(store.count(kind)).await;
    }
    fixture.check("import", store.import(&exported)).await;
}

//! What people see in mongosh, and what they may change there.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::spec::ElementType;
use mongodb::bson::{Bson, Document, doc};
use outdial_domain::ports::{
    Archive, CallFilter, Calls, Deliveries, Delivery, Directory, IdempotencyKey, PageRequest,
    RecordKind, Transcripts,
};
use outdial_domain::{
    AccountId, DeliveryId, ErrorKind, Hint, LegEnd, Node, NodeId, Speaker, Tombstone, TrunkId,
};
use outdial_testkit::sample;
use serde_json::json;

use crate::database::{Database, stored};

/// Checks that the document has exactly these fields, with these types.
#[track_caller]
fn assert_fields(document: &Document, fields: &[(&str, ElementType)]) {
    let mut found: Vec<_> =
        document.iter().map(|(name, value)| (name.as_str(), value.element_type())).collect();
    found.sort_by_key(|(name, _)| *name);
    let mut fields = fields.to_vec();
    fields.sort_by_key(|(name, _)| *name);
    assert_eq!(found, fields);
}

use ElementType::{
    Array, Boolean, DateTime as Date, EmbeddedDocument as Nested, Int32, Int64, String as Text,
};

/// A time with all nine digits.
fn fine(seconds: f64) -> DateTime<Utc> {
    sample::at(seconds) + TimeDelta::nanoseconds(123_457)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_readable() {
    let database = Database::fresh();
    let store = database.store().await;
    let mut call = sample::call(&AccountId::random());
    let key = IdempotencyKey {
        key: "order-1".into(),
        fingerprint: "f00d".into(),
        expires_at: sample::at(9_999.0),
    };
    store.insert(&mut call, Some(&key)).await.unwrap();
    let room = call.room_name().to_string();
    let fresh = [
        ("_id", Text),
        ("version", Int64),
        ("due_at", Date),
        ("account_id", Text),
        ("assistant_id", Text),
        ("trunk_id", Text),
        ("to_number", Text),
        ("created_at", Date),
        ("status", Text),
        ("webhook_state", Text),
        ("recording_state", Text),
        ("idempotency", Nested),
        ("order", Nested),
        ("call", Nested),
    ];
    let document = database.document("calls", &room).await;
    assert_fields(&document, &fresh);
    assert_eq!(document.get_str("status").unwrap(), "queued");
    assert_eq!(document.get_str("to_number").unwrap(), "+15550100000");
    assert_eq!(document.get_str("webhook_state").unwrap(), "pending");
    let parts = [("key", Text), ("fingerprint", Text), ("expires_at", Date)];
    assert_fields(document.get_document("idempotency").unwrap(), &parts);
    let order = document.get_document("order").unwrap();
    assert_eq!(order.get_str("assistant_prompt").unwrap(), "You are Ava and speak with Ann.");

    call.started_at = Some(sample::at(1.0));
    call.facts.answered_at = Some(sample::at(2.0));
    call.owner = Some(NodeId::random());
    call.attention = true;
    call.due_at = None;
    store.save(&mut call).await.unwrap();
    let document = database.document("calls", &room).await;
    let mut running = fresh.to_vec();
    running.retain(|(name, _)| *name != "due_at");
    running.extend([
        ("owner", Text),
        ("attention", Boolean),
        ("started_at", Date),
        ("answered_at", Date),
        ("occupies_trunk", Boolean),
    ]);
    assert_fields(&document, &running);
    assert_eq!(document.get_i64("version").unwrap(), 2);
    assert_eq!(document.get_document("order").unwrap(), order, "an order is written once");

    call.apply(&Hint::Ended { at: sample::at(9.0), end: LegEnd::CalleeHangup });
    call.close(sample::at(9.0));
    call.owner = None;
    call.attention = false;
    call.due_at = Some(fine(9.0));
    store.save(&mut call).await.unwrap();
    let document = database.document("calls", &room).await;
    let mut ended = fresh.to_vec();
    ended.extend([
        ("due_at_ns", Int32),
        ("started_at", Date),
        ("answered_at", Date),
        ("ended_at", Date),
        ("outcome", Text),
    ]);
    assert_fields(&document, &ended);
    assert_eq!(document.get_str("status").unwrap(), "ended");
    assert_eq!(document.get_str("outcome").unwrap(), "completed");
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_calls_is_readable() {
    let database = Database::fresh();
    let store = database.store().await;
    let call = stored(&store).await;
    let room = call.room_name();
    let mut line = sample::line(Speaker::User, "Hello", 1.0);
    store.append(room, std::slice::from_ref(&line)).await.unwrap();
    line.timestamp = fine(1.0);
    store.append(room, std::slice::from_ref(&line)).await.unwrap();
    let document = database.document("transcripts", room.as_str()).await;
    assert_fields(&document, &[("_id", Text), ("lines", Array)]);
    let lines = document.get_array("lines").unwrap();
    let fields = [("speaker", Text), ("text", Text), ("timestamp", Date), ("timestamp_ns", Int32)];
    assert_fields(lines[0].as_document().unwrap(), &fields[..3]);
    assert_fields(lines[1].as_document().unwrap(), &fields);
    assert_eq!(store.read(room, 1).await.unwrap(), [line]);

    let mut delivery = Delivery {
        delivery_id: DeliveryId::random(),
        room_name: room.clone(),
        webhook_id: "msg_1".into(),
        attempt: 1,
        at: sample::START,
        duration_ms: 12,
        status_code: Some(503),
        error: Some("it says no".into()),
    };
    store.log(&delivery).await.unwrap();
    let document = database.document("deliveries", delivery.delivery_id.as_str()).await;
    let fields = [
        ("_id", Text),
        ("room_name", Text),
        ("attempt", Int64),
        ("at", Date),
        ("delivery", Nested),
        ("status_code", Int32),
        ("error", Text),
    ];
    assert_fields(&document, &fields);
    delivery.delivery_id = DeliveryId::random();
    (delivery.status_code, delivery.error) = (None, None);
    store.log(&delivery).await.unwrap();
    let document = database.document("deliveries", delivery.delivery_id.as_str()).await;
    assert_fields(&document, &fields[..5]);

    let tombstone = Tombstone::of(&call, sample::at(100.0));
    store.erase(&call, &tombstone).await.unwrap();
    let document = database.document("tombstones", &tombstone.id).await;
    let fields = [
        ("_id", Text),
        ("account_id", Text),
        ("created_at", Date),
        ("erased_at", Date),
        ("tombstone", Nested),
    ];
    assert_fields(&document, &fields);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_readable() {
    let database = Database::fresh();
    let store = database.store().await;
    let account = store.account_named("acme", sample::START).await.unwrap();
    let account_id = &account.account_id;
    let document = database.document("accounts", account_id.as_str()).await;
    let fields = [("_id", Text), ("name", Text), ("created_at", Date), ("account", Nested)];
    assert_fields(&document, &fields);

    let key = sample::api_key(account_id);
    store.insert_key(&key).await.unwrap();
    store.revoke_key(account_id, &key.key_id, sample::at(5.0)).await.unwrap();
    let document = database.document("api_keys", key.key_id.as_str()).await;
    let fields = [
        ("_id", Text),
        ("account_id", Text),
        ("name", Text),
        ("admin", Boolean),
        ("created_at", Date),
        ("revoked_at", Date),
        ("api_key", Nested),
    ];
    assert_fields(&document, &fields);

    let mut assistant = sample::assistant(account_id);
    assistant.updated_at = fine(0.0);
    store.insert_assistant(&assistant).await.unwrap();
    let id = assistant.assistant_id.to_string();
    let fields = [
        ("_id", Text),
        ("account_id", Text),
        ("name", Text),
        ("is_active", Boolean),
        ("created_at", Date),
        ("updated_at", Date),
        ("assistant", Nested),
        ("updated_at_ns", Int32),
    ];
    assert_fields(&database.document("assistants", &id).await, &fields);
    let read = assistant.updated_at;
    assistant.updated_at = sample::at(5.0);
    store.save_assistant(&assistant, read).await.unwrap();
    assert_fields(&database.document("assistants", &id).await, &fields[..7]);

    let trunk = sample::trunk(account_id);
    store.insert_trunk(&trunk).await.unwrap();
    let fields = [
        ("_id", Text),
        ("account_id", Text),
        ("name", Text),
        ("call_service", Text),
        ("created_at", Date),
        ("updated_at", Date),
        ("trunk", Nested),
    ];
    assert_fields(&database.document("trunks", trunk.trunk_id.as_str()).await, &fields);
}

/// Notes that operators leave in documents, and fields of newer programs.
#[tokio::test(flavor = "multi_thread")]
async fn fields_put_in_by_hand_stay() {
    let database = Database::fresh();
    let store = database.store().await;
    let mut call = stored(&store).await;
    let assistant = sample::assistant(&call.order.account_id);
    store.insert_assistant(&assistant).await.unwrap();
    let note = doc! {"$set": {"note": {"by": "ops", "seen": Bson::Int32(1)}}};
    for name in ["calls", "assistants"] {
        database.collection(name).await.update_many(doc! {}, note.clone()).await.unwrap();
    }
    store.save(&mut call).await.unwrap();
    let claimed = store.claim_due(&NodeId::random(), sample::at(1.0), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    call = claimed.into_iter().next().unwrap();
    store.save(&mut call).await.unwrap();
    store.save_assistant(&assistant, assistant.updated_at).await.unwrap();
    let note = note.get_document("$set").unwrap().get("note");
    for (name, id) in [
        ("calls", call.room_name().to_string()),
        ("assistants", assistant.assistant_id.to_string()),
    ] {
        assert_eq!(database.document(name, &id).await.get("note"), note);
    }
    // The shell writes whole numbers in 32 bits.
    let by_hand = doc! {"$set": {"version": Bson::Int32(7)}};
    database.collection("calls").await.update_many(doc! {}, by_hand).await.unwrap();
    let mut read = store.get(call.room_name()).await.unwrap().unwrap();
    assert_eq!(read.version, 7);
    store.save(&mut read).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_call_is_told_and_keeps_nobody_from_work() {
    let database = Database::fresh();
    let store = database.store().await;
    let account = AccountId::random();
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let mut call = sample::call(&account);
        store.insert(&mut call, None).await.unwrap();
        rooms.push(call.room_name().clone());
    }
    let calls = database.collection("calls").await;
    let damage = doc! {"$set": {"call.facts": "+15550100000 was here"}};
    calls.update_one(doc! {"_id": rooms[0].as_str()}, damage).await.unwrap();
    let without = doc! {"$unset": {"order": ""}};
    calls.update_one(doc! {"_id": rooms[1].as_str()}, without).await.unwrap();
    for damaged in &rooms[..2] {
        let error = store.get(damaged).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(!format!("{error:?} {error}").contains("1555"), "{error:?}");
    }
    let filter = CallFilter::of(account);
    let listed = store.list(&filter, &PageRequest { limit: 9, after: None }).await;
    assert_eq!(listed.unwrap_err().kind, ErrorKind::Corrupt);
    let error = store.export(RecordKind::Call, None, 9).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(rooms[..2].iter().any(|room| error.to_string().contains(room.as_str())), "{error}");
    let node = NodeId::random();
    let claimed = store.claim_due(&node, sample::at(1.0), 9).await.unwrap();
    let names: Vec<_> = claimed.iter().map(|call| call.room_name().clone()).collect();
    assert_eq!(names, rooms[2..]);
    let again = store.claim_due(&NodeId::random(), sample::at(1.0), 9).await.unwrap();
    assert!(again.is_empty() || again.iter().all(|call| *call.room_name() == rooms[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_comes_back_as_it_was() {
    let database = Database::fresh();
    let store = database.store().await;
    let metadata = json!({
        "$date": "2026-01-05T10:00:00Z",
        "nested": {"$date": {"$numberLong": "1"}, "$oid": "507f1f77bcf86cd799439011"},
        "a.b.c": 1,
        "$set": {"version": 99},
        "": "empty",
        "%24": "percent",
        "nul\u{0}": "\u{0}",
        "whole": [i64::MIN, u64::MAX, 0, -1],
        "float": [1.0, 0.1, 1e300, -0.5],
        "null": null,
        "deep": (0..90).fold(json!("down"), |inner, _| json!([inner])),
        "text": "Grüß Gott \u{1F44B}",
    });
    let mut call = sample::call(&AccountId::random());
    call.order_mut().metadata = metadata.as_object().unwrap().clone();
    call.order_mut().created_at = fine(0.0);
    call.unknown.insert("of.a.$newer".into(), metadata.clone());
    call.due_at = Some(fine(3.0));
    call.started_at = Some(fine(4.0));
    store.insert(&mut call, None).await.unwrap();
    assert_eq!(store.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
    call.unknown.insert("$more".into(), metadata.clone());
    store.save(&mut call).await.unwrap();
    assert_eq!(store.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
    let mut assistant = sample::assistant(&call.order.account_id);
    assistant.agent_config = metadata;
    store.insert_assistant(&assistant).await.unwrap();
    let read = store.assistant(&assistant.account_id, assistant.assistant_id).await;
    assert_eq!(read.unwrap(), Some(assistant));
}

/// What only steers nodes goes by itself, a day after it was last of use.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_has_an_index_for_that() {
    let database = Database::fresh();
    let store = database.store().await;
    let raw = database.raw().await;
    for (name, field) in [("nodes", "seen_at"), ("trunk_starts", "touched_at")] {
        let indexes = raw.collection::<Document>(name).list_indexes().await.unwrap();
        let indexes: Vec<IndexModel> = indexes.try_collect().await.unwrap();
        let expiring = indexes.iter().find(|index| index.keys.contains_key(field)).unwrap();
        let after = expiring.options.as_ref().unwrap().expire_after.unwrap();
        assert_eq!(after.as_secs(), 24 * 60 * 60, "{name}");
    }
    let node = Node {
        node_id: NodeId::random(),
        started_at: sample::START,
        version: "1.2.3".into(),
        draining: false,
        alive_until: sample::at(30.0),
    };
    store.heartbeat(&node).await.unwrap();
    let document = database.document("nodes", node.node_id.as_str()).await;
    assert!(document.get_datetime("seen_at").is_ok(), "{document}");
    assert!(document.get_datetime("alive_until").is_ok(), "{document}");
    assert_eq!(document.get_str("version").unwrap(), "1.2.3");
    let trunk = TrunkId::random();
    let spacing = std::time::Duration::from_millis(100);
    let start = store.reserve_start(&trunk, spacing, sample::START, sample::at(9.0)).await;
    assert_eq!(start.unwrap(), Some(sample::START));
    let document = database.document("trunk_starts", trunk.as_str()).await;
    assert!(document.get_datetime("touched_at").is_ok(), "{document}");
}

//! What comes back is what was stored, to the last digit.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::{CallFilter, Delivery, IdempotencyKey, Inserted, Store};
use outdial_domain::{Call, DeliveryId, ErrorKind, HangUpReason, NodeId, Speaker, TranscriptLine};
use serde_json::{Map, Value, json};

use super::{account, assert_kind, end, first_page, stored};
use crate::sample::{self, START, at};

fn nanos(nanos: i64) -> DateTime<Utc> {
    START + TimeDelta::nanoseconds(nanos)
}

/// JSON that trips up whoever is not careful: keys that mean something elsewhere, numbers at the
/// edges, depth.
fn odd() -> Map<String, Value> {
    let deep = (0..100).fold(json!(["bottom"]), |inner, level| match level % 2 {
        0 => json!({"down": inner, "level": level}),
        _ => json!([level, inner]),
    });
    let odd = json!({
        "$date": "2026-01-05T10:00:00Z",
        "$oid": {"$oid": "507f1f77bcf86cd799439011"},
        "nested": {"$numberLong": "5", "$set": {"a.b": [{"$date": {"$numberLong": "1"}}]}},
        "$": 1, "a.b": 2, ".": 3, "..a": 4, "a.": 5, "": {"": {"": 6}},
        "nul\u{0}key": "nul\u{0}value", "\u{0}": 7,
        "%": 8, "%24": 9, "%00": 10, "%json": "{\"not\": \"ours\"}", "%2E%": 11,
        "_id": 12, "version": "text", "owner": null, "due_at": [], "call": {}, "order": {},
        "zeta first": true, "alpha last": false,
        "emoji \u{1F44B}\u{200D}": "\u{FEFF}\u{FFFD}\u{10FFFF}\u{7F}\r\n\t\\\"/",
        "long key ".repeat(200): "long value ".repeat(2_000),
        "wholes": [0, -1, 1, i64::MAX, i64::MIN, u64::MAX, u64::MAX - 1, 9_007_199_254_740_993_i64,
                   i64::from(i32::MAX) + 1],
        "parts": [0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1e21, 1e-7, 5e-324, f64::MIN_POSITIVE, f64::MAX,
                  f64::MIN, f64::EPSILON, 4_294_967_296.0, 9_007_199_254_740_992.0, 1e16],
        "long parts": long_parts(),
        "empty": [{}, [], "", null, [[]], [{}], {"null": null}],
        "deep": deep,
    });
    match odd {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Numbers of 16 and 17 digits, which a careless reader of JSON gets wrong by one in the last.
fn long_parts() -> Vec<f64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        // xorshift: the same numbers in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from_bits(state)
    };
    std::iter::from_fn(|| Some(next())).filter(|part| part.is_finite()).take(200).collect()
}

/// Equality that tells -0.0 from 0.0, which that of numbers does not.
#[track_caller]
fn assert_same(stored: &Call, read: &Call) {
    assert_eq!(read, stored);
    let text = |call: &Call| serde_json::to_string(&serde_json::to_value(call).unwrap()).unwrap();
    assert_eq!(text(read), text(stored));
}

/// Metadata and settings of any shape are kept exactly, through saves and claims too.
pub async fn metadata_of_any_shape_is_kept(store: Arc<dyn Store>) {
    let mut call = sample::call(&account());
    call.order_mut().metadata = odd();
    call.order_mut().agent_config = json!([odd(), null, 1.0, "text", -0.0, u64::MAX]);
    call.order_mut().assistant_prompt = "nul \u{0} and \u{1F44B} and $set.{a: 1} and %json".into();
    store.insert(&mut call, None).await.unwrap();
    assert_same(&call, &store.get(call.room_name()).await.unwrap().unwrap());
    call.dispatch_id = Some("AD_1".into());
    store.save(&mut call).await.unwrap();
    assert_same(&call, &store.get(call.room_name()).await.unwrap().unwrap());
    let claimed = store.claim_due(&NodeId::random(), START, 9).await.unwrap().remove(0);
    call.owner = claimed.owner.clone();
    call.version += 1;
    assert_same(&call, &claimed);
    let filter = CallFilter::of(call.order.account_id.clone());
    let listed = store.list(&filter, &first_page(1)).await.unwrap();
    assert_same(&call, &listed.items[0]);
}

/// Fields of a newer program of any name and shape are kept through a save, a claim and a release.
pub async fn unknown_fields_of_any_shape_are_kept(store: Arc<dyn Store>) {
    let mut call = sample::call(&account());
    call.unknown = odd();
    // Names that this program knows are not unknown to it.
    for known in ["version", "owner", "due_at", "order"] {
        call.unknown.remove(known);
    }
    store.insert(&mut call, None).await.unwrap();
    let node = NodeId::random();
    store.save(&mut call).await.unwrap();
    let mut claimed = store.claim_due(&node, START, 9).await.unwrap().remove(0);
    store.save(&mut claimed).await.unwrap();
    store.release(&node, START).await.unwrap();
    let read = store.get(call.room_name()).await.unwrap().unwrap();
    call.version = read.version;
    assert_eq!(read.version, 5);
    assert_same(&call, &read);
}

/// An assistant's settings of any shape are kept exactly.
pub async fn settings_of_any_shape_are_kept(store: Arc<dyn Store>) {
    let account = account();
    for agent_config in [Value::Object(odd()), json!(null), json!([]), json!(1.0), json!("text")] {
        let mut row = sample::assistant(&account);
        row.agent_config = agent_config;
        row.created_at = nanos(1);
        store.insert_assistant(&row).await.unwrap();
        let read = store.assistant(&account, row.assistant_id).await.unwrap().unwrap();
        assert_eq!(read, row);
        assert_eq!(
            serde_json::to_string(&read.agent_config).unwrap(),
            serde_json::to_string(&row.agent_config).unwrap()
        );
    }
}

/// Every time of a call is kept to the nanosecond.
pub async fn times_of_calls_are_exact(store: Arc<dyn Store>) {
    let mut call = sample::call(&account());
    call.order_mut().created_at = nanos(1);
    call.due_at = Some(nanos(123_456_789));
    call.started_at = Some(nanos(999_999));
    store.insert(&mut call, None).await.unwrap();
    assert_eq!(store.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
    // A whole second, then none, then a part again: nothing is left of the one before.
    for due in [Some(at(2.0)), None, Some(nanos(1_000_001)), Some(nanos(7))] {
        call.due_at = due;
        store.save(&mut call).await.unwrap();
        assert_eq!(store.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
    }
    let node = NodeId::random();
    let claimed = store.claim_due(&node, at(1.0), 9).await.unwrap().remove(0);
    assert_eq!(claimed.due_at, Some(nanos(7)));
    call = claimed;
    call.facts.dialed_at = Some(nanos(1_000_000_001));
    call.facts.answered_at = Some(nanos(2_000_000_002));
    call.decide_hang_up(nanos(3_000_000_003), HangUpReason::Api);
    end(&mut call);
    call.due_at = Some(nanos(4_000_000_004));
    call.erase_requested_at = Some(nanos(5_000_000_005));
    store.save(&mut call).await.unwrap();
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
}

/// Lines that differ by a nanosecond are two, and their times are kept to it.
pub async fn times_of_lines_are_exact(store: Arc<dyn Store>) {
    let room = stored(&store, &account(), |_| {}).await.room_name().clone();
    let line = |at| TranscriptLine { speaker: Speaker::User, text: "Yes".into(), timestamp: at };
    let mut lines = Vec::new();
    for number in [0, 1, 999_999, 1_000_000, 1_000_001, 123_456_789, 2] {
        lines.push(line(nanos(number)));
        // All of them again, as after a doubt.
        store.append(&room, &lines).await.unwrap();
        assert_eq!(store.read(&room, 0).await.unwrap(), lines);
    }
}

/// Texts of any kind are kept: NULs, surrogate pairs, what looks like a command.
pub async fn texts_of_lines_are_exact(store: Arc<dyn Store>) {
    let room = stored(&store, &account(), |_| {}).await.room_name().clone();
    let long = "word ".repeat(20_000);
    let texts = ["", "\u{0}", "\u{0}\u{0}", "a\u{0}b", "a", "$set", "'; DROP", "\u{1F44B}", &long];
    let lines = texts.map(|text| sample::line(Speaker::User, text, 1.0));
    for _ in 0..2 {
        store.append(&room, &lines).await.unwrap();
        assert_eq!(store.read(&room, 0).await.unwrap(), lines);
    }
}

/// What an attempt of a webhook said is kept whole.
pub async fn deliveries_are_exact(store: Arc<dyn Store>) {
    let room = stored(&store, &account(), |_| {}).await.room_name().clone();
    let delivery = Delivery {
        delivery_id: DeliveryId::random(),
        room_name: room.clone(),
        webhook_id: "msg_\u{1F44B}$.".into(),
        attempt: u32::MAX,
        at: nanos(123_456_789),
        duration_ms: u64::from(u32::MAX) + 1,
        status_code: Some(u16::MAX),
        error: Some("\u{0} 'quoted' ".repeat(100)),
    };
    store.log(&delivery).await.unwrap();
    assert_eq!(store.deliveries(&room).await.unwrap(), [delivery]);
}

/// A row that was read is only saved over if it has not changed by a nanosecond.
pub async fn changes_within_a_millisecond_are_seen(store: Arc<dyn Store>) {
    let mut row = sample::assistant(&account());
    row.updated_at = nanos(1);
    store.insert_assistant(&row).await.unwrap();
    let mut trunk = sample::trunk(&account());
    trunk.updated_at = nanos(1);
    store.insert_trunk(&trunk).await.unwrap();
    for read in [nanos(0), nanos(2)] {
        assert_kind(store.save_assistant(&row, read).await, ErrorKind::Conflict);
        assert_kind(store.save_trunk(&trunk, read).await, ErrorKind::Conflict);
    }
    row.updated_at = nanos(2);
    store.save_assistant(&row, nanos(1)).await.unwrap();
    trunk.updated_at = nanos(2);
    store.save_trunk(&trunk, nanos(1)).await.unwrap();
    let read = store.assistant(&row.account_id, row.assistant_id).await.unwrap();
    assert_eq!(read, Some(row));
    let read = store.trunk(&trunk.account_id, &trunk.trunk_id).await.unwrap();
    assert_eq!(read, Some(trunk));
}

/// Names and keys are compared letter by letter.
pub async fn names_and_keys_are_letters(store: Arc<dyn Store>) {
    let names = ["$gt", "a.b", "a", "A", "a ", "\u{E9}", "e\u{301}", "%", "_", "*", "a'b\"", "{}"];
    let longest = "k".repeat(255);
    let account = account();
    let key = |key: &str| IdempotencyKey {
        key: key.into(),
        fingerprint: format!("of {key}"),
        expires_at: at(60.0),
    };
    let mut ids = Vec::new();
    for name in names.into_iter().chain([longest.as_str()]) {
        ids.push(store.account_named(name, START).await.unwrap().account_id);
        let mut call = sample::call(&account);
        let inserted = store.insert(&mut call, Some(&key(name))).await.unwrap();
        assert_eq!(inserted, Inserted::New, "{name:?}");
        let found = store.find_key(&account, name, START).await.unwrap();
        assert_eq!(found, Some((call.room_name().clone(), format!("of {name}"))));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "two names are one account");
}

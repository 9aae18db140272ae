use outdial_domain::{AccountId, TrunkId};
use outdial_testkit::sample;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn call() -> Call {
    let mut call = sample::started_call(&AccountId::random(), &TrunkId::random(), 3);
    call.version = 7;
    call.owner = Some(NodeId::random());
    call.due_at = Some(sample::START + chrono::TimeDelta::nanoseconds(500));
    call.unknown.insert("from.the$future".into(), json!({"$oid": 1, "deep": [u64::MAX]}));
    call
}

#[test]
fn a_call_comes_back_whole() {
    for attention in [false, true] {
        let mut call = call();
        call.attention = attention;
        let document = call_document(&call, None).unwrap();
        assert_eq!(read_call(&document).unwrap(), call);
    }
}

#[test]
fn what_has_nothing_to_say_is_absent() {
    let call = sample::call(&AccountId::random());
    let document = call_document(&call, None).unwrap();
    for field in ["owner", "attention", "ended_at", "outcome", "occupies_trunk", "idempotency"] {
        assert!(!document.contains_key(field), "{field}");
    }
    assert!(!document.get_document("call").unwrap().contains_key("order"));
}

#[test]
fn a_save_clears_what_is_gone_and_leaves_what_was_ordered() {
    let mut call = call();
    call.owner = None;
    let update = Record::new(&call, 8).unwrap().into_update();
    let set = update.get_document("$set").unwrap();
    assert_eq!(set.get_i64("version").unwrap(), 8);
    assert!(!set.contains_key("order") && !set.contains_key("created_at"));
    let unset = update.get_document("$unset").unwrap();
    assert!(unset.contains_key("owner") && !unset.contains_key("due_at_ns"));
}

#[test]
fn a_key_comes_back() {
    let key = IdempotencyKey {
        key: "order-4711".into(),
        fingerprint: "abc".into(),
        expires_at: sample::at(0.123_456_789),
    };
    let document = call_document(&call(), Some(&key)).unwrap();
    assert_eq!(read_key(&document).unwrap(), Some(key));
    assert_eq!(read_key(&call_document(&call(), None).unwrap()).unwrap(), None);
    assert!(read_key(&doc! {"idempotency": 1}).is_err());
}

fn odd() -> impl Strategy<Value = Bson> {
    prop_oneof![
        Just(Bson::Null),
        Just(Bson::MinKey),
        Just(Bson::Document(doc! {"a": 1})),
        any::<i64>().prop_map(Bson::Int64),
        any::<f64>().prop_map(Bson::Double),
        any::<String>().prop_map(Bson::String),
        any::<i64>()
            .prop_map(|millis| Bson::DateTime(mongodb::bson::DateTime::from_millis(millis))),
    ]
}

proptest! {
    /// Whatever somebody has changed in the shell.
    #[test]
    fn odd_documents_are_damage_and_no_panic(at in 0_usize..64, inside in 0_usize..64, odd in odd()) {
        let mut document = call_document(&call(), None).unwrap();
        for part in ["call", "order"] {
            let mut changed = document.clone();
            let part = changed.get_document_mut(part).unwrap();
            let key = part.keys().nth(inside % part.len()).unwrap().clone();
            part.insert(key, odd.clone());
            let _ = read_call(&changed);
        }
        let key = document.keys().nth(at % document.len()).unwrap().clone();
        document.insert(key, odd);
        let _ = (read_call(&document), version(&document), read_key(&document));
    }
}

//! The store as a whole: its check, what nodes agree on, its end.

use std::sync::Arc;

use outdial_domain::ports::{PageRequest, RecordKind, Store};
use outdial_domain::{ErrorKind, NodeId};

use super::{account, assert_kind, at_once, stored};
use crate::sample::{self, START};

/// [`Store::check`] succeeds on a store that works.
pub async fn a_store_at_work_passes_its_check(store: Arc<dyn Store>) {
    for _ in 0..2 {
        store.check().await.unwrap();
    }
}

/// The first value under a name stays; each name has its own.
pub async fn the_first_value_is_agreed_on(store: Arc<dyn Store>) {
    let long = "f00d".repeat(1_000);
    for (name, value) in [("master_key", "one"), ("a.b $c", "'two' \"\u{1F44B}\""), ("c", &long)] {
        for later in [value, "another", ""] {
            assert_eq!(store.agree(name, later).await.unwrap(), value);
        }
    }
    assert_eq!(store.agree("empty", "").await.unwrap(), "");
    assert_eq!(store.agree("empty", "late").await.unwrap(), "");
}

/// All who ask at once get the same, and it is what one of them said.
pub async fn who_asks_at_once_agrees(store: Arc<dyn Store>) {
    let answers = at_once(0..16, |number| {
        let store = Arc::clone(&store);
        async move { store.agree("master_key", &format!("key {number}")).await.unwrap() }
    })
    .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!((0..16).any(|number| answers[0] == format!("key {number}")));
}

/// After a close nothing is read and nothing is written.
pub async fn a_closed_store_is_unavailable(store: Arc<dyn Store>) {
    let account = account();
    let mut call = stored(&store, &account, |_| {}).await;
    let node = sample::node(&NodeId::random(), sample::at(30.0));
    let page = PageRequest { limit: 1, after: None };
    store.close().await.unwrap();

    let closed = ErrorKind::Unavailable;
    assert_kind(store.check().await, closed);
    assert_kind(store.insert(&mut sample::call(&account), None).await, closed);
    assert_kind(store.get(call.room_name()).await, closed);
    assert_kind(store.save(&mut call).await, closed);
    assert_eq!(call.version, 1);
    assert_kind(store.heartbeat(&node).await, closed);
    assert_kind(store.claim_due(&node.node_id, START, 1).await, closed);
    assert_kind(store.read(call.room_name(), 0).await, closed);
    assert_kind(store.deliveries(call.room_name()).await, closed);
    assert_kind(store.trunks(&account, &page).await, closed);
    assert_kind(store.agree("name", "value").await, closed);
    assert_kind(store.count(RecordKind::Call).await, closed);
}

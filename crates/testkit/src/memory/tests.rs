//! The suite on this store, and the failures that tests can ask for.

use outdial_domain::ErrorKind;
use outdial_domain::ports::{Calls, Inserted, Store};

use super::{Failure, MemoryStore};
use crate::sample;

crate::store_conformance!(async || (MemoryStore::new(), ()));

#[tokio::test]
async fn views_share_what_is_stored_and_fail_apart() {
    let one = MemoryStore::new();
    let two = one.view();
    let mut call = sample::call(&sample::account().account_id);
    assert_eq!(one.insert(&mut call, None).await.unwrap(), Inserted::New);
    assert_eq!(two.get(call.room_name()).await.unwrap().as_ref(), Some(&call));

    two.fail_with(Some(ErrorKind::Full));
    assert_eq!(two.get(call.room_name()).await.unwrap_err().kind, ErrorKind::Full);
    one.save(&mut call).await.unwrap();
    two.fail_with(None);
    two.fail_writes(Some(ErrorKind::Full));
    assert_eq!(two.get(call.room_name()).await.unwrap().as_ref(), Some(&call));
    assert_eq!(two.save(&mut call).await.unwrap_err().kind, ErrorKind::Full);

    two.close().await.unwrap();
    two.heal();
    assert_eq!(two.check().await.unwrap_err().kind, ErrorKind::Unavailable);
    one.view().check().await.unwrap();
    one.save(&mut call).await.unwrap();
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_has_happened() {
    let store = MemoryStore::new();
    let mut call = sample::call(&sample::account().account_id);
    store.insert(&mut call, None).await.unwrap();
    store.lose_answers(true);
    call.dispatch_id = Some("AD_1".into());
    assert_eq!(store.save(&mut call).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(call.version, 1, "the caller does not know");
    // What would have failed fails as it would have.
    assert_eq!(store.save(&mut call).await.unwrap_err().kind, ErrorKind::Conflict);
    let read = store.get(call.room_name()).await.unwrap().unwrap();
    assert_eq!((read.version, read.dispatch_id), (2, call.dispatch_id));
    store.heal();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_rule_picks_what_fails() {
    let store = MemoryStore::new();
    store.fail_where(|operation| match operation {
        "memory.save_call" => Some(Failure::Error(ErrorKind::Busy)),
        "memory.get_call" => Some(Failure::LostAnswer),
        _ => None,
    });
    let mut call = sample::call(&sample::account().account_id);
    store.insert(&mut call, None).await.unwrap();
    assert_eq!(store.save(&mut call).await.unwrap_err().kind, ErrorKind::Busy);
    assert_eq!(store.get(call.room_name()).await.unwrap_err().kind, ErrorKind::Unavailable);
}

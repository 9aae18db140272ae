//! Accounts, keys, assistants, trunks.

use std::sync::Arc;

use outdial_domain::ports::{PageRequest, Store};
use outdial_domain::{AccountId, ApiKey, ErrorKind};

use super::{account, assert_kind, at_once, first_page, stored};
use crate::sample::{self, START, at};

/// One name, one account; another name, another account.
pub async fn a_name_is_one_account(store: Arc<dyn Store>) {
    let acme = store.account_named("acme", START).await.unwrap();
    assert_eq!((acme.name.as_str(), acme.created_at), ("acme", START));
    let again = store.account_named("acme", at(60.0)).await.unwrap();
    assert_eq!(again, acme);
    let other = store.account_named("Acme", START).await.unwrap();
    assert_ne!(other.account_id, acme.account_id);
}

/// The same when many ask at once.
pub async fn of_concurrent_accounts_of_one_name_there_is_one(store: Arc<dyn Store>) {
    let accounts = at_once(0..32, |_| {
        let store = Arc::clone(&store);
        async move { store.account_named("acme", START).await.unwrap() }
    })
    .await;
    assert!(accounts.iter().all(|account| *account == accounts[0]));
}

/// A key is found by its id, revoked or not; the first revocation's time stays.
pub async fn a_key_is_kept_whole_and_revoked_once(store: Arc<dyn Store>) {
    let mut key = sample::api_key(&account());
    assert_eq!(store.key(&key.key_id).await.unwrap(), None);
    store.insert_key(&key).await.unwrap();
    assert_kind(store.insert_key(&key).await, ErrorKind::Exists);
    assert_eq!(store.key(&key.key_id).await.unwrap(), Some(key.clone()));
    key.revoked_at = Some(at(5.0));
    for seconds in [5.0, 9.0] {
        let revoked = store.revoke_key(&key.account_id, &key.key_id, at(seconds)).await;
        assert_eq!(revoked.unwrap(), Some(key.clone()));
    }
    assert_eq!(store.key(&key.key_id).await.unwrap(), Some(key));
}

/// Another account's key is like a missing one.
pub async fn another_accounts_key_cannot_be_revoked(store: Arc<dyn Store>) {
    let key = sample::api_key(&account());
    let missing = store.revoke_key(&key.account_id, &key.key_id, START).await;
    assert_eq!(missing.unwrap(), None);
    store.insert_key(&key).await.unwrap();
    let refused = store.revoke_key(&account(), &key.key_id, START).await;
    assert_eq!(refused.unwrap(), None);
    assert_eq!(store.key(&key.key_id).await.unwrap(), Some(key));
}

/// Ids in the order in which a list must show them: by time and then id, both descending.
fn newest_first<T, K: Ord, I: Ord>(rows: &mut [T], order: impl Fn(&T) -> (K, I)) {
    rows.sort_by_key(|row| std::cmp::Reverse(order(row)));
}

/// Reads all pages of three rows and checks them against `$rows`, and that another account sees none.
macro_rules! check_list {
    ($store:ident, $list:ident, $account:ident, $rows:ident) => {
        let mut request = first_page(3);
        let mut listed = Vec::new();
        loop {
            let page = $store.$list(&$account, &request).await.unwrap();
            assert!(page.items.len() <= 3);
            listed.extend(page.items);
            let Some(after) = page.next else { break };
            let next = PageRequest { limit: 3, after: Some(after) };
            assert_ne!(next, request, "a page does not lead on");
            request = next;
        }
        assert_eq!(listed, $rows);
        let whole = $store.$list(&$account, &first_page(6)).await.unwrap();
        assert_eq!((whole.items.len(), whole.next), (6, None));
        let nobody = $store.$list(&AccountId::random(), &first_page(3)).await;
        assert_eq!(nobody.unwrap().items, []);
    };
}

/// Times of creation of listed rows: three of them the same.
const TIMES: [f64; 6] = [2.0, 0.0, 1.0, 1.0, 3.0, 1.0];

/// Newest first, by id where times are equal, revoked ones too.
pub async fn keys_are_listed_newest_first(store: Arc<dyn Store>) {
    let account = account();
    let mut rows: Vec<ApiKey> = Vec::new();
    for seconds in TIMES {
        let mut key = sample::api_key(&account);
        key.created_at = at(seconds);
        store.insert_key(&key).await.unwrap();
        rows.push(key);
    }
    rows[2].revoked_at = Some(at(9.0));
    let revoked = store.revoke_key(&account, &rows[2].key_id, at(9.0)).await;
    revoked.unwrap();
    newest_first(&mut rows, |key| (key.created_at, key.key_id.to_string()));
    check_list!(store, keys, account, rows);
}

/// Insert, read, save, delete; a save of an old read, or of a deleted row, is a conflict.
pub async fn an_assistant_is_kept_changed_and_deleted(store: Arc<dyn Store>) {
    let account = account();
    let mut row = sample::assistant(&account);
    let id = row.assistant_id;
    assert_eq!(store.assistant(&account, id).await.unwrap(), None);
    store.insert_assistant(&row).await.unwrap();
    assert_kind(store.insert_assistant(&row).await, ErrorKind::Exists);
    assert_eq!(store.assistant(&account, id).await.unwrap(), Some(row.clone()));

    row.assistant_name = "Bea".into();
    row.updated_at = at(5.0);
    store.save_assistant(&row, START).await.unwrap();
    assert_eq!(store.assistant(&account, id).await.unwrap(), Some(row.clone()));
    let mut stale = row.clone();
    stale.assistant_name = "Cleo".into();
    stale.updated_at = at(6.0);
    assert_kind(store.save_assistant(&stale, START).await, ErrorKind::Conflict);
    assert_eq!(store.assistant(&account, id).await.unwrap(), Some(row.clone()));

    assert!(store.delete_assistant(&account, id).await.unwrap());
    assert!(!store.delete_assistant(&account, id).await.unwrap());
    assert_eq!(store.assistant(&account, id).await.unwrap(), None);
    let gone = store.save_assistant(&stale, row.updated_at).await;
    assert_kind(gone, ErrorKind::Conflict);
    assert_eq!(store.assistant(&account, id).await.unwrap(), None);
}

/// Another account can neither read nor delete nor change it.
pub async fn another_accounts_assistant_is_missing(store: Arc<dyn Store>) {
    let (owner, other) = (account(), account());
    let row = sample::assistant(&owner);
    let id = row.assistant_id;
    store.insert_assistant(&row).await.unwrap();
    assert_eq!(store.assistant(&other, id).await.unwrap(), None);
    assert!(!store.delete_assistant(&other, id).await.unwrap());
    let mut stolen = row.clone();
    stolen.account_id = other;
    let refused = store.save_assistant(&stolen, row.updated_at).await;
    assert_kind(refused, ErrorKind::Conflict);
    assert_eq!(store.assistant(&owner, id).await.unwrap(), Some(row));
}

/// Of 16 concurrent saves of one read one wins.
pub async fn of_concurrent_assistant_saves_one_wins(store: Arc<dyn Store>) {
    let row = sample::assistant(&account());
    store.insert_assistant(&row).await.unwrap();
    let results = at_once(1..=16, |number| {
        let (store, mut row) = (Arc::clone(&store), row.clone());
        row.updated_at = at(f64::from(number));
        async move { store.save_assistant(&row, START).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

/// Newest first, by id where times are equal.
pub async fn assistants_are_listed_newest_first(store: Arc<dyn Store>) {
    let account = account();
    let mut rows = Vec::new();
    for seconds in TIMES {
        let mut row = sample::assistant(&account);
        row.created_at = at(seconds);
        store.insert_assistant(&row).await.unwrap();
        rows.push(row);
    }
    newest_first(&mut rows, |row| (row.created_at, row.assistant_id.to_string()));
    check_list!(store, assistants, account, rows);
}

/// Insert, read, save, delete; a save of an old read, or of a deleted row, is a conflict.
pub async fn a_trunk_is_kept_changed_and_deleted(store: Arc<dyn Store>) {
    let account = account();
    let mut row = sample::trunk(&account);
    let id = row.trunk_id.clone();
    assert_eq!(store.trunk(&account, &id).await.unwrap(), None);
    store.insert_trunk(&row).await.unwrap();
    assert_kind(store.insert_trunk(&row).await, ErrorKind::Exists);
    assert_eq!(store.trunk(&account, &id).await.unwrap(), Some(row.clone()));

    row.calls_per_second = Some(0.1);
    row.updated_at = at(5.0);
    store.save_trunk(&row, START).await.unwrap();
    assert_eq!(store.trunk(&account, &id).await.unwrap(), Some(row.clone()));
    let mut stale = row.clone();
    stale.name = "stale".into();
    stale.updated_at = at(6.0);
    assert_kind(store.save_trunk(&stale, START).await, ErrorKind::Conflict);
    assert_eq!(store.trunk(&account, &id).await.unwrap(), Some(row.clone()));

    assert!(store.delete_trunk(&account, &id).await.unwrap());
    assert!(!store.delete_trunk(&account, &id).await.unwrap());
    assert_eq!(store.trunk(&account, &id).await.unwrap(), None);
    let gone = store.save_trunk(&stale, row.updated_at).await;
    assert_kind(gone, ErrorKind::Conflict);
    assert_eq!(store.trunk(&account, &id).await.unwrap(), None);
}

/// Another account can neither read nor delete nor change it.
pub async fn another_accounts_trunk_is_missing(store: Arc<dyn Store>) {
    let (owner, other) = (account(), account());
    let row = sample::trunk(&owner);
    let id = row.trunk_id.clone();
    store.insert_trunk(&row).await.unwrap();
    assert_eq!(store.trunk(&other, &id).await.unwrap(), None);
    assert!(!store.delete_trunk(&other, &id).await.unwrap());
    let mut stolen = row.clone();
    stolen.account_id = other;
    let refused = store.save_trunk(&stolen, row.updated_at).await;
    assert_kind(refused, ErrorKind::Conflict);
    assert_eq!(store.trunk(&owner, &id).await.unwrap(), Some(row));
}

/// Of 16 concurrent saves of one read one wins.
pub async fn of_concurrent_trunk_saves_one_wins(store: Arc<dyn Store>) {
    let row = sample::trunk(&account());
    store.insert_trunk(&row).await.unwrap();
    let results = at_once(1..=16, |number| {
        let (store, mut row) = (Arc::clone(&store), row.clone());
        row.updated_at = at(f64::from(number));
        async move { store.save_trunk(&row, START).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

/// Newest first, by id where times are equal.
pub async fn trunks_are_listed_newest_first(store: Arc<dyn Store>) {
    let account = account();
    let mut rows = Vec::new();
    for seconds in TIMES {
        let mut row = sample::trunk(&account);
        row.created_at = at(seconds);
        store.insert_trunk(&row).await.unwrap();
        rows.push(row);
    }
    newest_first(&mut rows, |row| (row.created_at, row.trunk_id.to_string()));
    check_list!(store, trunks, account, rows);
}

/// The calls of a deleted assistant and of a deleted trunk stay.
pub async fn calls_outlive_assistant_and_trunk(store: Arc<dyn Store>) {
    let account = account();
    let (assistant, trunk) = (sample::assistant(&account), sample::trunk(&account));
    store.insert_assistant(&assistant).await.unwrap();
    store.insert_trunk(&trunk).await.unwrap();
    let order = sample::order(&assistant, &trunk);
    let call = stored(&store, &account, |call| *call.order_mut() = order).await;
    let deleted = store.delete_assistant(&account, assistant.assistant_id).await;
    assert!(deleted.unwrap());
    assert!(store.delete_trunk(&account, &trunk.trunk_id).await.unwrap());
    assert_eq!(store.get(call.room_name()).await.unwrap(), Some(call));
}

//! The suite of the ports.

use crate::SqliteStore;

outdial_testkit::store_conformance!(async || {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("outdial.db")).unwrap();
    (store, folder)
});

//! Tests of the whole store on real files.

mod conformance;
mod files;
mod full;
mod group;
mod plans;
mod processes;

use std::path::PathBuf;

use outdial_domain::ports::Calls;
use outdial_domain::{AccountId, Call};
use outdial_testkit::sample;
use tempfile::TempDir;

use crate::SqliteStore;

/// A path in a fresh folder, for a database that is not there yet.
fn fresh() -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (folder.path().join("outdial.db"), folder)
}

async fn stored(store: &SqliteStore) -> Call {
    let mut call = sample::call(&AccountId::random());
    store.insert(&mut call, None).await.unwrap();
    call
}

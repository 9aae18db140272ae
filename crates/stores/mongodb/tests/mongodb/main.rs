//! [`MongoStore`](outdial_mongodb::MongoStore) on real servers: `scripts/real-stack up mongodb`, and
//! servers of the tests' own.
//!
//! Every test has a database of its own, which it drops at its end.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod archive;
mod database;
mod documents;
mod failover;
mod faults;
mod member;
mod nodes;
mod opening;
mod plans;
mod security;

outdial_testkit::store_conformance!(async || {
    let database = database::Database::fresh();
    (database.store().await, database)
});

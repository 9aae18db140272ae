//! Every query of the busy paths finds its rows through an index, and none sorts.

use outdial_domain::ports::{CallFilter, RecordKind};
use outdial_domain::{AccountId, AssistantId, Outcome, Status};
use outdial_testkit::sample;

use super::fresh;
use crate::{SqliteStore, archive, listing, ownership};

#[track_caller]
fn check(store: &SqliteStore, sql: &str, index: &str) {
    let plan: Vec<String> = store
        .readers
        .run(|connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            // Unbound parameters are NULL: the plan does not depend on them.
            let lines = statement.raw_query().mapped(|row| row.get("detail"));
            Ok(lines.collect::<Result<_, _>>()?)
        })
        .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains(&format!("INDEX {index} ")), "{sql}\n{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
}

#[test]
fn lists() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(path).unwrap();
    let all = CallFilter::of(AccountId::random());
    let check = |filter: CallFilter, index| {
        let sql = listing::calls_query(&filter).into_sql("room_name");
        check(&store, &sql, index);
    };
    check(all.clone(), "calls_of_account");
    let status = Some(Status::InProgress);
    check(CallFilter { status, ..all.clone() }, "calls_running");
    let outcome = Some(Outcome::Busy);
    check(CallFilter { outcome, ..all.clone() }, "calls_by_outcome");
    let to_number = Some(sample::number());
    check(CallFilter { to_number, ..all.clone() }, "calls_to_number");
    let assistant_id = Some(AssistantId::random());
    check(CallFilter { assistant_id, ..all }, "calls_of_assistant");
}

#[test]
fn work() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(path).unwrap();
    check(&store, &ownership::select_due(), "calls_due");
    check(&store, &ownership::select_owned(), "calls_owned");
    check(&store, ownership::SELECT_DEAD_OWNERS, "calls_owned");
    check(&store, ownership::RELEASE, "calls_owned");
    check(&store, ownership::SELECT_OWNED_VERSIONS, "calls_owned");
    check(&store, ownership::SELECT_ATTENTION, "calls_with_attention");
    check(&store, crate::calls::COUNT_RUNNING, "calls_on_trunk");
}

/// Neither a page of an export nor one imported record walks over all that is stored.
#[test]
fn archives() {
    let (path, _folder) = fresh();
    let store = SqliteStore::open(path).unwrap();
    for kind in RecordKind::ALL {
        let index = match kind {
            RecordKind::Transcript => "transcript_lines_by_time".to_owned(),
            _ => format!("sqlite_autoindex_{}_1", kind.as_str()),
        };
        check(&store, &archive::select(kind, &archive::page_of(kind)), &index);
        check(&store, &archive::select(kind, &archive::one_of(kind)), &index);
    }
    check(&store, archive::SELECT_KEY, "idempotency_keys_of_call");
}

//! The conformance suite of the store ports: every sentence of [`outdial_domain::ports::Store`] and
//! its parts as a rule that can fail.
//!
//! A rule is an async function that takes an empty store and panics where the store breaks it.
//! [`store_conformance!`](crate::store_conformance) makes one test of each.

pub mod archive;
pub mod attention;
pub mod claims;
pub mod directory;
pub mod erasure;
pub mod exact;
pub mod insert;
pub mod lists;
pub mod logs;
pub mod nodes;
pub mod ownership;
mod records;
pub mod save;
pub mod starts;
pub mod whole;

use std::sync::Arc;

use outdial_domain::ports::{CallFilter, PageRequest, Store};
use outdial_domain::{AccountId, Call, ErrorKind, Hint, LegEnd, Result};
use tokio::task::JoinSet;

use crate::sample;

/// Makes one `#[test]` for each rule of the store suite.
///
/// Takes an async closure or function without arguments that gives an empty store and something to
/// keep until the rule has run: a temporary folder, a container, or `()`. Each test runs on a
/// runtime of its own with several threads.
///
/// ```
/// outdial_testkit::store_conformance!(async || (outdial_testkit::memory::MemoryStore::new(), ()));
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($make:expr $(,)?) => {
        $crate::__store_rules! { $make;
            insert {
                a_new_call_has_version_one_and_is_kept_whole
                a_room_name_is_taken_once
                of_concurrent_inserts_of_one_room_one_succeeds
                of_concurrent_inserts_with_one_key_one_is_new
                a_key_belongs_to_one_account
                a_key_can_be_used_anew_when_it_has_expired
                a_key_is_known_also_while_the_trunk_is_full
                an_insert_on_a_full_trunk_is_busy_and_spares_the_key
                an_insert_of_a_taken_room_spares_the_key
                queued_and_ended_calls_hold_no_channel
                concurrent_inserts_keep_to_the_limit
                of_concurrent_inserts_with_an_expired_key_one_is_new
                a_race_for_a_key_on_a_full_trunk_has_one_winner
                concurrent_inserts_with_different_keys_are_all_new
            }
            save {
                a_save_raises_the_version
                a_save_of_an_old_version_conflicts
                a_save_of_a_missing_call_conflicts
                of_concurrent_saves_of_one_version_one_wins
                a_save_onto_a_full_trunk_is_busy
                a_call_on_a_full_trunk_can_be_saved
                concurrent_saves_keep_to_the_limit
                fields_of_a_newer_program_stay
                a_save_gives_up_and_schedules
            }
            claims {
                the_longest_due_is_claimed_first
                calls_that_are_not_due_are_left
                a_claim_sets_the_owner_and_raises_the_version
                a_claim_takes_no_more_than_its_limit
                concurrent_claims_lose_nothing_and_take_nothing_twice
                due_calls_come_before_orphans
            }
            ownership {
                calls_of_a_dead_node_are_claimed
                calls_of_a_node_that_never_lived_are_claimed
                calls_of_a_living_node_are_left
                a_node_does_not_claim_its_own
                clocks_may_differ_by_five_seconds
                concurrent_claims_of_orphans_take_nothing_twice
                a_late_owner_cannot_save
                a_release_makes_own_calls_due
                a_release_leaves_other_nodes_alone
                a_release_leaves_finished_calls_without_a_duty
                a_save_from_before_a_release_conflicts
            }
            nodes {
                nodes_are_listed_with_what_they_said
                dead_nodes_stay_listed_for_a_while
                concurrent_heartbeats_are_all_heard
                a_retired_node_is_gone
                a_retired_node_can_come_back
                owned_lists_exactly_the_nodes_calls
            }
            attention {
                a_call_that_others_changed_is_listed_for_its_owner
                an_owners_save_clears_the_attention
                calls_without_an_owner_are_not_listed
                attention_goes_on_to_the_heir
                erased_calls_need_no_attention
            }
            starts {
                starts_keep_their_distance
                a_start_after_a_pause_is_now
                a_start_too_late_reserves_nothing
                each_trunk_has_its_own_starts
                concurrent_starts_keep_their_distance
                starts_keep_their_distance_by_any_clock
                starts_are_exact
            }
            erasure {
                an_erased_call_leaves_a_tombstone_only
                an_erasure_of_an_old_version_conflicts
                of_concurrent_erasures_one_succeeds
            }
            lists {
                calls_are_listed_newest_first
                calls_of_one_moment_are_listed_by_name
                each_filter_picks_its_calls
                filters_hold_together
                pages_hold_everything_once
                pages_of_one_moment_hold_everything_once
                pages_stay_while_calls_are_added
                filtered_pages_hold_everything_once
                pages_stay_while_others_insert
                pages_of_one_millisecond_hold_everything_once
            }
            logs {
                a_transcript_is_read_in_the_order_of_its_appends
                a_repeated_append_changes_nothing
                lines_that_differ_in_one_thing_are_kept
                a_transcript_can_be_read_from_a_line_on
                transcripts_of_calls_are_apart
                concurrent_appends_keep_each_line_once
                deliveries_are_logged_oldest_first
            }
            directory {
                a_name_is_one_account
                of_concurrent_accounts_of_one_name_there_is_one
                a_key_is_kept_whole_and_revoked_once
                another_accounts_key_cannot_be_revoked
                keys_are_listed_newest_first
                an_assistant_is_kept_changed_and_deleted
                another_accounts_assistant_is_missing
                of_concurrent_assistant_saves_one_wins
                assistants_are_listed_newest_first
                a_trunk_is_kept_changed_and_deleted
                another_accounts_trunk_is_missing
                of_concurrent_trunk_saves_one_wins
                trunks_are_listed_newest_first
                calls_outlive_assistant_and_trunk
            }
            exact {
                metadata_of_any_shape_is_kept
                unknown_fields_of_any_shape_are_kept
                settings_of_any_shape_are_kept
                times_of_calls_are_exact
                times_of_lines_are_exact
                texts_of_lines_are_exact
                deliveries_are_exact
                changes_within_a_millisecond_are_seen
                names_and_keys_are_letters
            }
            archive {
                an_empty_store_exports_nothing
                what_is_stored_is_exported
                an_import_keeps_every_record_whole
                an_export_can_be_imported_elsewhere
                records_survive_their_lines
                export_pages_hold_everything_once
                an_export_goes_on_behind_an_id_that_is_gone
                imported_records_are_at_work
                imported_calls_hold_keys_and_channels
                a_repeated_import_changes_nothing
                another_record_of_the_same_id_is_refused
                taken_names_and_keys_are_refused
                a_large_import_is_kept_whole
            }
            whole {
                a_store_at_work_passes_its_check
                the_first_value_is_agreed_on
                who_asks_at_once_agrees
                a_closed_store_is_unavailable
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_rules {
    ($make:expr; $($area:ident { $($rule:ident)+ })+) => {
        $($(
            #[test]
            fn $rule() {
                $crate::store::run($make, $crate::store::$area::$rule);
            }
        )+)+
    };
}

/// Runs one rule on a fresh store; what [`store_conformance!`](crate::store_conformance) expands to.
///
/// # Panics
/// When the store breaks the rule.
pub fn run<S: Store + 'static, Guard>(
    make: impl AsyncFnOnce() -> (S, Guard),
    rule: impl AsyncFnOnce(Arc<dyn Store>),
) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let (store, _guard) = make().await;
        rule(Arc::new(store)).await;
    });
}

/// What `task` gives for each of `inputs`, all run at the same time.
async fn at_once<I, T, F>(inputs: impl IntoIterator<Item = I>, task: impl Fn(I) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for input in inputs {
        tasks.spawn(task(input));
    }
    tasks.join_all().await
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    match result {
        Err(error) if error.kind == kind => {}
        other => panic!("expected an error of kind {kind:?}, got {other:?}"),
    }
}

fn account() -> AccountId {
    AccountId::random()
}

/// Stores a fresh call of `account`, changed by `change`.
async fn stored(
    store: &Arc<dyn Store>,
    account: &AccountId,
    change: impl FnOnce(&mut Call),
) -> Call {
    let mut call = sample::call(account);
    change(&mut call);
    store.insert(&mut call, None).await.unwrap();
    call
}

/// Ends a call as one whose callee has hung up.
fn end(call: &mut Call) {
    let at = sample::at(60.0);
    let end = LegEnd::CalleeHangup;
    call.apply(&Hint::Ended { at, end });
    call.close(at);
}

fn first_page(limit: u32) -> PageRequest {
    PageRequest { limit, after: None }
}

/// The names of all calls that match, read in pages of `limit`.
async fn names(store: &Arc<dyn Store>, filter: &CallFilter, limit: u32) -> Vec<String> {
    let mut request = first_page(limit);
    let mut names = Vec::new();
    loop {
        let page = store.list(filter, &request).await.unwrap();
        assert!(page.items.len() <= usize::try_from(limit).unwrap());
        names.extend(page.items.iter().map(|call| call.room_name().to_string()));
        if page.next.is_none() {
            return names;
        }
        assert_ne!(page.next, request.after, "a page does not lead on");
        request.after = page.next;
    }
}

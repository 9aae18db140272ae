//! Lists of calls: filters, order, pages.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::TimeDelta;
use outdial_domain::ports::{CallFilter, Store};
use outdial_domain::{AccountId, Call, Outcome, Status};

use super::{account, at_once, end, first_page, names, stored};
use crate::sample;

fn name(call: &Call) -> String {
    call.room_name().to_string()
}

/// Stores calls created so many seconds after the start; gives their names, newest first.
async fn created(store: &Arc<dyn Store>, account: &AccountId, seconds: &[f64]) -> Vec<String> {
    let mut calls = Vec::new();
    for at in seconds {
        let at = sample::at(*at);
        let call = stored(store, account, |call| call.order_mut().created_at = at).await;
        calls.push((at, name(&call)));
    }
    calls.sort();
    calls.into_iter().rev().map(|(_, name)| name).collect()
}

/// Newest first, whatever the order in which they were stored; an account sees its own only.
pub async fn calls_are_listed_newest_first(store: Arc<dyn Store>) {
    let (own, other) = (account(), account());
    let expected = created(&store, &own, &[2.0, 0.0, 3.0, 0.001, 1.0]).await;
    created(&store, &other, &[1.5]).await;
    let page = store.list(&CallFilter::of(own), &first_page(100)).await.unwrap();
    let listed: Vec<_> = page.items.iter().map(name).collect();
    assert_eq!(listed, expected);
    assert_eq!(page.next, None);
    let read = store.get(page.items[0].room_name()).await.unwrap();
    assert_eq!(read.as_ref(), Some(&page.items[0]), "a listed call is whole");
    let nobody = store.list(&CallFilter::of(account()), &first_page(100)).await;
    assert_eq!(nobody.unwrap().items, []);
}

/// Of calls created in the same moment the one with the greater name comes first.
pub async fn calls_of_one_moment_are_listed_by_name(store: Arc<dyn Store>) {
    let account = account();
    let mut expected = created(&store, &account, &[0.0; 6]).await;
    expected.sort();
    expected.reverse();
    assert_eq!(names(&store, &CallFilter::of(account), 100).await, expected);
}

fn answered(call: &mut Call) {
    call.started_at = Some(sample::at(1.0));
    call.facts.answered_at = Some(sample::at(2.0));
}

/// One call for each thing to filter by, created 0, 10, 20 and 30 seconds after the start.
async fn four_calls(store: &Arc<dyn Store>, account: &AccountId) -> [Call; 4] {
    let created = |call: &mut Call, seconds| call.order_mut().created_at = sample::at(seconds);
    let queued = stored(store, account, |call| created(call, 0.0)).await;
    let talking = stored(store, account, |call| {
        created(call, 10.0);
        answered(call);
    })
    .await;
    let completed = stored(store, account, |call| {
        created(call, 20.0);
        call.order_mut().to_number = "+4930123456".parse().unwrap();
        answered(call);
        end(call);
    })
    .await;
    // Becomes what it is by a save, not by its insert.
    let mut interrupted = stored(store, account, |call| created(call, 30.0)).await;
    interrupted.close(sample::at(40.0));
    store.save(&mut interrupted).await.unwrap();
    [queued, talking, completed, interrupted]
}

/// Each condition alone picks the calls that meet it.
pub async fn each_filter_picks_its_calls(store: Arc<dyn Store>) {
    let account = account();
    let [queued, talking, completed, interrupted] = four_calls(&store, &account).await;
    let all = CallFilter::of(account);
    let check = async |filter: CallFilter, expected: &[&Call]| {
        let expected: Vec<_> = expected.iter().map(|call| name(call)).collect();
        assert_eq!(names(&store, &filter, 100).await, expected, "{filter:?}");
    };
    let status = |status| CallFilter { status: Some(status), ..all.clone() };
    check(status(Status::Queued), &[&queued]).await;
    check(status(Status::Ringing), &[]).await;
    check(status(Status::InProgress), &[&talking]).await;
    check(status(Status::Ended), &[&interrupted, &completed]).await;
    let outcome = |outcome| CallFilter { outcome: Some(outcome), ..all.clone() };
    check(outcome(Outcome::Completed), &[&completed]).await;
    check(outcome(Outcome::Interrupted), &[&interrupted]).await;
    check(outcome(Outcome::Busy), &[]).await;
    let to_number = Some(completed.order.to_number.clone());
    check(CallFilter { to_number, ..all.clone() }, &[&completed]).await;
    let assistant_id = Some(talking.order.assistant_id);
    check(CallFilter { assistant_id, ..all.clone() }, &[&talking]).await;
    let created_from = Some(sample::at(20.0));
    check(CallFilter { created_from, ..all.clone() }, &[&interrupted, &completed]).await;
    let created_to = Some(sample::at(20.0));
    check(CallFilter { created_to, ..all.clone() }, &[&talking, &queued]).await;
}

/// All conditions must hold.
pub async fn filters_hold_together(store: Arc<dyn Store>) {
    let own = account();
    let [_, _, completed, _] = four_calls(&store, &own).await;
    let filter = CallFilter {
        account_id: own,
        status: Some(Status::Ended),
        outcome: Some(Outcome::Completed),
        to_number: Some(completed.order.to_number.clone()),
        assistant_id: Some(completed.order.assistant_id),
        created_from: Some(sample::at(20.0)),
        created_to: Some(sample::at(20.001)),
    };
    assert_eq!(names(&store, &filter, 100).await, [name(&completed)]);
    let others = [
        CallFilter { account_id: account(), ..filter.clone() },
        CallFilter { status: Some(Status::Queued), ..filter.clone() },
        CallFilter { outcome: Some(Outcome::Interrupted), ..filter.clone() },
        CallFilter { to_number: Some(sample::number()), ..filter.clone() },
        CallFilter { assistant_id: Some(outdial_domain::AssistantId::random()), ..filter.clone() },
        CallFilter { created_from: Some(sample::at(20.001)), ..filter.clone() },
        CallFilter { created_to: Some(sample::at(20.0)), ..filter.clone() },
    ];
    for filter in others {
        assert_eq!(names(&store, &filter, 100).await, Vec::<String>::new(), "{filter:?}");
    }
}

/// Pages of any size hold every call once and in order; a page that takes the last one is the end.
pub async fn pages_hold_everything_once(store: Arc<dyn Store>) {
    let account = account();
    let expected = created(&store, &account, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).await;
    let filter = CallFilter::of(account);
    for limit in [1, 2, 4, 6, 7] {
        assert_eq!(names(&store, &filter, limit).await, expected, "pages of {limit}");
    }
    let exact = store.list(&filter, &first_page(6)).await.unwrap();
    assert_eq!(exact.next, None, "nothing is behind the last");
}

/// The same when all calls were created in one moment.
pub async fn pages_of_one_moment_hold_everything_once(store: Arc<dyn Store>) {
    let account = account();
    let expected = created(&store, &account, &[7.0; 7]).await;
    for limit in [1, 3, 7] {
        let listed = names(&store, &CallFilter::of(account.clone()), limit).await;
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

/// Calls that are added between two pages push nothing out of the pages to come and repeat nothing.
pub async fn pages_stay_while_calls_are_added(store: Arc<dyn Store>) {
    let account = account();
    let expected = created(&store, &account, &[0.0, 1.0, 2.0, 3.0, 4.0]).await;
    let filter = CallFilter::of(account.clone());
    let mut request = first_page(2);
    let mut listed = Vec::new();
    for added in [10.0, 20.0, 30.0] {
        let page = store.list(&filter, &request).await.unwrap();
        listed.extend(page.items.iter().map(name));
        request.after = page.next;
        created(&store, &account, &[added]).await;
    }
    assert_eq!(listed, expected);
    assert_eq!(request.after, None);
}

/// Pages and filters together: a call that does not match takes no place on a page.
pub async fn filtered_pages_hold_everything_once(store: Arc<dyn Store>) {
    let account = account();
    let mut expected = Vec::new();
    for number in 0..12 {
        let call = stored(&store, &account, |call| {
            call.order_mut().created_at = sample::at(f64::from(number / 2));
            if number % 3 == 0 {
                answered(call);
            }
        });
        let call = call.await;
        if call.status() == Status::InProgress {
            expected.push((call.order.created_at, name(&call)));
        }
    }
    expected.sort();
    let expected: Vec<_> = expected.into_iter().rev().map(|(_, name)| name).collect();
    let mut filter = CallFilter::of(account);
    filter.status = Some(Status::InProgress);
    for limit in [1, 3, 4] {
        assert_eq!(names(&store, &filter, limit).await, expected, "pages of {limit}");
    }
}

/// While others insert calls, older, newer and of the same moments, pages hold what was there before
/// once and in order, and repeat nothing.
pub async fn pages_stay_while_others_insert(store: Arc<dyn Store>) {
    let account = account();
    let moments: Vec<_> = (0..40).map(|number| f64::from(number / 2)).collect();
    let before = created(&store, &account, &moments).await;
    let inserts = at_once(0..8, |task| {
        let (store, account) = (Arc::clone(&store), account.clone());
        async move {
            let moments: Vec<_> = (0..10).map(|number| f64::from(task + number * 3)).collect();
            created(&store, &account, &moments).await;
        }
    });
    let filter = CallFilter::of(account.clone());
    let reads = async {
        let mut reads = Vec::new();
        for limit in [3, 7, 10] {
            reads.push(names(&store, &filter, limit).await);
        }
        reads
    };
    let (_, reads) = tokio::join!(inserts, reads);
    for listed in reads {
        let distinct: HashSet<_> = listed.iter().collect();
        assert_eq!(distinct.len(), listed.len(), "a call is listed twice");
        let old: Vec<_> = listed.into_iter().filter(|name| before.contains(name)).collect();
        assert_eq!(old, before);
    }
    assert_eq!(names(&store, &filter, 9).await.len(), 120);
}

/// Calls that are nanoseconds apart are on the pages once, in whatever order.
pub async fn pages_of_one_millisecond_hold_everything_once(store: Arc<dyn Store>) {
    let account = account();
    let mut expected = Vec::new();
    for nanos in [0, 1, 999_999, 500_000, 2, 1_000_000, 999_998] {
        let call = stored(&store, &account, |call| {
            call.order_mut().created_at = sample::START + TimeDelta::nanoseconds(nanos);
        });
        expected.push(name(&call.await));
    }
    expected.sort();
    for limit in [1, 2, 3] {
        let mut listed = names(&store, &CallFilter::of(account.clone()), limit).await;
        listed.sort();
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

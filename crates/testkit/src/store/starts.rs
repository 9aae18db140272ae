//! Starts on a trunk, spaced in time.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use outdial_domain::TrunkId;
use outdial_domain::ports::Store;

use super::at_once;
use crate::sample::{START, at};

const SPACING: Duration = Duration::from_millis(250);

/// The first start is now, each next one `spacing` after the one before.
pub async fn starts_keep_their_distance(store: Arc<dyn Store>) {
    let trunk = TrunkId::random();
    for expected in [0.0, 0.25, 0.5, 0.75] {
        let start = store.reserve_start(&trunk, SPACING, START, at(10.0)).await;
        assert_eq!(start.unwrap(), Some(at(expected)));
    }
    let start = store.reserve_start(&trunk, SPACING, at(0.8), at(10.0)).await;
    assert_eq!(start.unwrap(), Some(at(1.0)));
}

/// A trunk that was idle starts at once: unused starts are not saved up.
pub async fn a_start_after_a_pause_is_now(store: Arc<dyn Store>) {
    let trunk = TrunkId::random();
    for (now, expected) in [(0.0, 0.0), (60.0, 60.0), (60.0, 60.25), (60.1, 60.5)] {
        let start = store.reserve_start(&trunk, SPACING, at(now), at(100.0)).await;
        assert_eq!(start.unwrap(), Some(at(expected)));
    }
}

/// `None`, and nothing reserved, when the moment lies behind `latest`; `latest` itself is in time.
pub async fn a_start_too_late_reserves_nothing(store: Arc<dyn Store>) {
    let trunk = TrunkId::random();
    let reserve =
        async |latest| store.reserve_start(&trunk, SPACING, START, at(latest)).await.unwrap();
    assert_eq!(reserve(0.0).await, Some(START));
    for _ in 0..3 {
        assert_eq!(reserve(0.249).await, None);
    }
    assert_eq!(reserve(0.25).await, Some(at(0.25)));
}

/// Trunks do not wait for each other.
pub async fn each_trunk_has_its_own_starts(store: Arc<dyn Store>) {
    for _ in 0..2 {
        let trunk = TrunkId::random();
        let start = store.reserve_start(&trunk, SPACING, START, START).await;
        assert_eq!(start.unwrap(), Some(START));
    }
}

/// 32 reservations at the same time: as many distinct moments, each `spacing` after another, and no
/// gap between them.
pub async fn concurrent_starts_keep_their_distance(store: Arc<dyn Store>) {
    let trunk = TrunkId::random();
    let mut starts = at_once(0..32, |_| {
        let (store, trunk) = (Arc::clone(&store), trunk.clone());
        async move {
            let start = store.reserve_start(&trunk, SPACING, START, at(100.0)).await;
            start.unwrap().unwrap()
        }
    })
    .await;
    starts.sort();
    let expected: Vec<_> = (0..32).map(|number| START + SPACING * number).collect();
    assert_eq!(starts, expected);
}

/// Nodes whose clocks differ by five seconds share a trunk: its starts keep their distance, and none
/// is before the node's own now.
pub async fn starts_keep_their_distance_by_any_clock(store: Arc<dyn Store>) {
    let trunk = TrunkId::random();
    let mut starts = Vec::new();
    for round in 0..4 {
        for skew in [0.0, 5.0, -5.0] {
            let now = at(f64::from(round) * 0.1 + skew);
            let start = store.reserve_start(&trunk, SPACING, now, at(100.0)).await;
            let start = start.unwrap().unwrap();
            assert!(start >= now);
            starts.push(start);
        }
    }
    for pair in starts.windows(2) {
        assert!(pair[1] - pair[0] >= TimeDelta::milliseconds(250), "{starts:?}");
    }
}

/// A start falls on the nanosecond after the one before: calls a second need not divide a second.
pub async fn starts_are_exact(store: Arc<dyn Store>) {
    let trunk = TrunkId::random();
    let spacing = Duration::from_nanos(333_333_333);
    for number in 0..4 {
        let start = store.reserve_start(&trunk, spacing, START, at(10.0)).await;
        assert_eq!(start.unwrap(), Some(START + spacing * number));
    }
}

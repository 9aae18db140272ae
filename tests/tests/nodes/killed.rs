//! `kill -9` of a node: the others take its calls over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outdial_tests::{Stack, until};

use crate::scene::{LOST, SLOW, Scene};

#[tokio::test]
async fn with_two_hundred_calls_in_flight() {
    let _seat = Stack::alone().await;
    let scene = Scene::start(&[SLOW]).await;
    let rooms = scene.place_at(0, 200).await;
    let dead = scene.nodes[0].node_id();
    for room in &rooms {
        scene.desks[0].reaches(room, "ringing").await;
    }
    assert_eq!(scene.database.owned_by(&dead).await, rooms.len());
    scene.nodes[0].kill();
    let killed = Instant::now();

    let mut taken: BTreeMap<String, Duration> = BTreeMap::new();
    until("all calls to be taken over", async || {
        for (room, owner) in scene.database.owners().await {
            if owner.as_ref() != Some(&dead) {
                taken.entry(room).or_insert_with(|| killed.elapsed());
            }
        }
        if taken.len() == rooms.len() { Ok(()) } else { Err(format!("{}", taken.len())) }
    })
    .await;
    until("all webhooks", async || match scene.desks[1].endpoint.count() {
        count if count == rooms.len() => Ok(()),
        count => Err(count.to_string()),
    })
    .await;
    let told = killed.elapsed();
    let mut times: Vec<_> = taken.into_values().collect();
    times.sort_unstable();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!(
        "take-over of {} calls after kill -9, lease 4 s: median {median:.1?}, max {last:.1?}; \
         all webhooks after {told:.1?}",
        times.len()
    );
    scene.all_end_once(1, &rooms).await;
    for room in &rooms {
        LOST.check(&scene.desks[1].record(room).await);
    }
    // The dead one comes back to a world in which it owns nothing.
    scene.nodes[0].restart().await;
    assert_eq!(scene.database.owned_by(&dead).await, 0);
}

#[tokio::test]
async fn in_the_middle_of_accepting() {
    let _seat = Stack::seat().await;
    let scene = Scene::start(&[SLOW]).await;
    let rooms = scene.stream(120, 30, async || scene.nodes[0].kill()).await;
    for room in &rooms {
        scene.desks[1].api.hang_up(room).await.data();
    }
    scene.all_end_once(1, &rooms).await;
}

/// Whoever comes back before it is missed takes up what it left.
#[tokio::test]
async fn and_back_before_it_is_missed() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[SLOW, ("node.lease", "60s")]).await;
    let rooms = scene.place_at(0, 10).await;
    for room in &rooms {
        scene.desks[0].reaches(room, "ringing").await;
    }
    scene.nodes[0].kill();
    scene.nodes[0].restart().await;
    for room in &rooms {
        scene.desks[1].ends(room, LOST).await;
    }
    scene.all_end_once(0, &rooms).await;
}

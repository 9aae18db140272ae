//! The limits of a trunk hold over all nodes.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use http::Method;
use outdial_tests::Stack;
use serde_json::{Value, json};

use crate::scene::{LOST, QUICK, SLOW, Scene};

/// Changes the trunk.
async fn limit(scene: &Scene, limit: Value) {
    let api = &scene.desks[0].api;
    let path = format!("/trunks/{}", scene.desks[0].trunk["trunk_id"].as_str().unwrap());
    api.try_send(Method::PATCH, &path, &[], Some(&limit)).await.unwrap().data();
}

/// `calls_per_second`, also when the node that has most of the calls is gone.
#[tokio::test]
async fn of_new_calls() {
    const PER_SECOND: i32 = 5;
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    limit(&scene, json!({"calls_per_second": PER_SECOND})).await;
    let begun = Utc::now();
    let numbers: Vec<_> = (0..24).map(|n| format!("+1555030{n:02}486")).collect();
    let placing = numbers.iter().zip([0, 1, 0].into_iter().cycle());
    let rooms = join_all(placing.map(|(number, node)| scene.desks[node].enqueue(number))).await;
    scene.nodes[0].kill();
    let mut starts: Vec<DateTime<Utc>> = Vec::new();
    for room in &rooms {
        let record = scene.desks[1].ended(room).await;
        starts.push(record["starting_at"].as_str().expect("a start").parse().unwrap());
    }
    starts.sort_unstable();
    for (start, before) in starts.iter().zip(0..) {
        // Each has a slot of its own, and nobody is early.
        assert!(*start >= begun + TimeDelta::seconds(1) * before / PER_SECOND, "{starts:?}");
    }
}

/// `max_concurrent_calls`.
#[tokio::test]
async fn of_calls_at_a_time() {
    const LIMIT: usize = 3;
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[SLOW]).await;
    limit(&scene, json!({"max_concurrent_calls": LIMIT})).await;
    let all_at_once = async |round: usize| {
        let numbers: Vec<_> = (0..12).map(|n| format!("+15550{round}{n:02}000")).collect();
        let placing = numbers.iter().zip([0, 1].into_iter().cycle());
        let placing = placing.map(async |(number, node)| {
            let reply = scene.desks[node].try_place(number).await;
            match reply.status {
                200 => Some(reply.data()["room_name"].as_str().unwrap().to_owned()),
                _ => {
                    assert_eq!(reply.refused(429), "trunk_busy");
                    None
                }
            }
        });
        join_all(placing).await.into_iter().flatten().collect::<Vec<_>>()
    };
    let first = all_at_once(31).await;
    assert_eq!(first.len(), LIMIT);
    // One is over: there is room for one, at whichever node.
    scene.desks[1].api.hang_up(&first[0]).await.data();
    scene.desks[1].ended(&first[0]).await;
    let second = all_at_once(32).await;
    assert_eq!(second.len(), 1);
    // Calls of the dead count until somebody has seen that they are over.
    scene.nodes[0].kill();
    let owned = scene.database.owners().await;
    let node = scene.nodes[0].node_id();
    for (room, owner) in owned {
        if owner.as_ref() == Some(&node) {
            scene.desks[1].ends(&room, LOST).await;
        } else if let Some(_survivor) = owner {
            scene.desks[1].api.hang_up(&room).await.data();
            scene.desks[1].ended(&room).await;
        }
    }
    let placed = scene.desks[1].place("+15550330000").await;
    scene.desks[1].api.hang_up(&placed).await.data();
    let rooms: Vec<_> = first.into_iter().chain(second).chain([placed]).collect();
    scene.all_end_once(1, &rooms).await;
}

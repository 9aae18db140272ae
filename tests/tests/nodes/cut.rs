//! One node of two is cut off from the database.

use std::time::{Duration, Instant};

use http::Method;
use outdial_tests::{Database, Gate, Stack, until};

use crate::scene::{LOST, QUICK, SLOW, Scene, placed};

/// How long the cut lasts that is shorter than the lease.
const CUT: Duration = Duration::from_secs(20);

/// Two nodes of which the first is behind a gate.
async fn scene(settings: &[(&str, &str)]) -> (Gate, Scene) {
    let database = Database::fresh().await;
    let (gate, through) = database.gated().await;
    let url = database.url();
    (gate, Scene::at(database, [&through, &url], settings).await)
}

/// For less than its lease: calls go on at the node, and are written down later.
#[tokio::test]
async fn for_twenty_seconds_which_its_lease_outlasts() {
    let _seat = Stack::seat().await;
    let (gate, scene) = scene(&[QUICK, ("node.lease", "60s")]).await;
    let mut rooms = scene.stream(40, 20, async || gate.hold()).await;
    let begun = Instant::now();
    let other = [scene.desks[1].clone()];
    // Meanwhile the other one does all the work.
    while begun.elapsed() < CUT {
        rooms.push(placed(&other, rooms.len()).await);
    }
    assert_eq!(not_ready(&scene).await, 503);
    gate.open();
    scene.nodes[0].is_ready().await;
    scene.all_end_once(0, &rooms).await;
}

/// For longer than its lease, in all the ways a network can be gone.
#[tokio::test]
async fn until_the_other_has_taken_over_what_it_had() {
    let _seat = Stack::seat().await;
    let ways: [fn(&Gate); 3] = [Gate::hold, Gate::shut, Gate::mute];
    let (gate, scene) = scene(&[SLOW]).await;
    let mut rooms = Vec::new();
    for (way, number) in ways.into_iter().zip(0..) {
        let desk = [scene.desks[0].clone()];
        let mut had = Vec::new();
        for call in 0..5 {
            had.push(placed(&desk, number * 10 + call).await);
        }
        for room in &had {
            scene.desks[0].reaches(room, "ringing").await;
        }
        way(&gate);
        for room in &had {
            scene.desks[1].ends(room, LOST).await;
        }
        assert_eq!(not_ready(&scene).await, 503);
        gate.open();
        scene.nodes[0].is_ready().await;
        for room in &had {
            scene.nodes[0].has_logged(&["another node works on this call", room]).await;
        }
        rooms.extend(had);
    }
    scene.all_end_once(0, &rooms).await;
}

/// What was asked for and perhaps done, because only the answer was lost, is not done twice.
#[tokio::test]
async fn only_the_answers_are_lost() {
    let _seat = Stack::seat().await;
    let (gate, scene) = scene(&[QUICK, ("node.lease", "60s"), ("store.timeout", "1s")]).await;
    let cut_again_and_again = async || {
        for _ in 0..3 {
            gate.mute();
            until("a refusal", async || {
                let order = scene.desks[0].order("+15550399000");
                let (method, path) = (Method::POST, "/call/outbound");
                let headers = [("idempotency-key", "in-doubt"), ("prefer", "respond-async")];
                let sent = scene.desks[0].api.try_send(method, path, &headers, Some(&order)).await;
                match sent.unwrap().status {
                    503 => Ok(()),
                    status => Err(status.to_string()),
                }
            })
            .await;
            gate.open();
            scene.nodes[0].is_ready().await;
        }
    };
    let mut rooms = scene.stream(60, 10, cut_again_and_again).await;
    let headers = [("idempotency-key", "in-doubt"), ("prefer", "respond-async")];
    let order = scene.desks[0].order("+15550399000");
    let again = scene.desks[1].api.post_with("/call/outbound", &headers, &order).await.data();
    rooms.push(again["room_name"].as_str().unwrap().to_owned());
    scene.all_end_once(1, &rooms).await;
}

/// Waits until the node behind the gate says that it cannot work.
async fn not_ready(scene: &Scene) -> u16 {
    until("a node that is not ready", async || {
        let reply = scene.nodes[0].api().get("/readyz").await;
        if reply.status == 200 { Err(reply.body.to_string()) } else { Ok(reply.status) }
    })
    .await
}

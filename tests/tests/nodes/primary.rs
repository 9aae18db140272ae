//! The primary of three goes away in the middle of a stream of requests.

use outdial_tests::{ReplicaSet, Stack};

use crate::scene::{QUICK, Scene};

/// Elections take seconds: with the lease that is the default nobody takes anything over.
const LEASE: (&str, &str) = ("node.lease", "30s");

#[tokio::test]
async fn killed() {
    let _seat = Stack::seat().await;
    let set = ReplicaSet::start(3).await;
    let scene = Scene::on(set.database().await, &[QUICK, LEASE]).await;
    let primary = set.primary().await;
    let rooms = scene.stream(120, 30, async || primary.kill()).await;
    scene.all_end_once(0, &rooms).await;

    // And when it comes back.
    primary.restart().await;
    set.primary().await;
    let room = scene.desks[1].place("+15550200486").await;
    scene.desks[1].one_webhook(&room).await;
}

#[tokio::test]
async fn stepped_down() {
    let _seat = Stack::seat().await;
    let set = ReplicaSet::start(3).await;
    let scene = Scene::on(set.database().await, &[QUICK, LEASE]).await;
    let rooms = scene.stream(120, 30, async || set.steps_down().await).await;
    scene.all_end_once(1, &rooms).await;
}

/// The others elect a new one while its connections stay open.
#[tokio::test]
async fn silent_without_closing_a_connection() {
    let _seat = Stack::seat().await;
    let set = ReplicaSet::start(3).await;
    let scene = Scene::on(set.database().await, &[QUICK, LEASE]).await;
    let primary = set.primary().await;
    let rooms = scene.stream(60, 20, async || primary.freeze()).await;
    scene.all_end_once(0, &rooms).await;
    primary.thaw();
}

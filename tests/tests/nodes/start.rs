//! Starting: the database is away, or somebody else is what this node says it is.

use outdial_tests::{Desk, Outdial, ReplicaSet, Stack, nodes, settings_of, until};
use serde_json::json;

use crate::scene::{QUICK, Scene};

#[tokio::test]
async fn a_node_waits_for_its_database() {
    let _seat = Stack::seat_without_agent().await;
    let set = ReplicaSet::start(1).await;
    let url = set.database().await.url();
    let [node] = nodes([&url], &[QUICK]).await;
    let desk = Desk::new(&node, json!({}), json!({})).await;
    node.terminate();
    assert!(node.exited().await.success());
    set.only().kill();

    // One that has been there before, and one that has never seen the database.
    let fresh = node.beside(&settings_of(&url, &[QUICK]));
    for node in [&node, &fresh] {
        node.restart_unready().await;
        let ready = node.api().get("/readyz").await;
        assert_eq!(ready.refused(503), "not_ready");
        assert!(ready.body.to_string().contains("store"), "{}", ready.body);
        let refused = desk.through(node).try_place("+15550300000").await;
        assert_eq!(refused.refused(503), "store_unavailable");
        node.has_logged(&["waiting for the store"]).await;
    }
    set.only().restart().await;
    for node in [&node, &fresh] {
        node.is_ready().await;
        let desk = desk.through(node);
        let room = desk.place("+15550300486").await;
        desk.one_webhook(&room).await;
    }
}

/// It is told to stop while it waits.
#[tokio::test]
async fn a_node_that_waits_can_be_stopped() {
    let _seat = Stack::seat_without_agent().await;
    let set = ReplicaSet::start(1).await;
    let url = set.database().await.url();
    let [node] = nodes([&url], &[QUICK]).await;
    node.kill();
    set.only().kill();
    node.restart_unready().await;
    node.terminate();
    assert!(node.exited().await.success());
}

#[tokio::test]
async fn two_with_one_id_are_noticed() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    let id = scene.nodes[0].node_id();
    let twin =
        scene.nodes[0].beside(&settings_of(&scene.database.url(), &[QUICK, ("node.id", &id)]));
    twin.restart_unready().await;
    until("one of them to say so", async || {
        let mut seen = Vec::new();
        for node in [&scene.nodes[0], &twin] {
            let ready = node.api().get("/readyz").await;
            if ready.status == 503 && ready.body.to_string().contains("node.id") {
                return Ok(());
            }
            seen.push(ready.body.to_string());
        }
        Err(seen.join(" "))
    })
    .await;
    assert_eq!(scene.nodes[1].api().get("/readyz").await.status, 200, "the third has its own");
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    let other_key = ("secrets.master_key", "YW5vdGhlciBrZXkgZm9yIHRoZSBub2RlcyBvZiBhIHQ=");
    let stranger = scene.nodes[0].beside(&settings_of(&scene.database.url(), &[other_key]));
    assert!(!stranger.refuses_to_start().await.success());
    stranger.has_logged(&["master_key"]).await;
}

/// Who is there is seen at every node.
#[tokio::test]
async fn the_members_know_each_other() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    let third = scene.nodes[0].beside(&settings_of(&scene.database.url(), &[QUICK]));
    third.restart().await;
    let all: Vec<&Outdial> = scene.nodes.iter().chain([&third]).collect();
    let see = async |living: &[&Outdial]| {
        let mut ids: Vec<_> = living.iter().map(|node| node.node_id()).collect();
        ids.sort_unstable();
        for node in living {
            until("the members", async || {
                let ready = node.api().get("/readyz").await.data();
                assert_eq!(ready["node"], node.node_id());
                let nodes = ready["nodes"].as_array().unwrap();
                let mut seen: Vec<_> = nodes.iter().filter(|node| node["alive"] == true).collect();
                seen.sort_unstable_by_key(|node| node["node_id"].to_string());
                let seen: Vec<_> = seen.iter().map(|node| node["node_id"].clone()).collect();
                if seen == ids { Ok(()) } else { Err(ready.to_string()) }
            })
            .await;
            let metrics = node.api().get("/metrics").await.body.to_string();
            for id in &ids {
                assert!(metrics.contains(id), "{metrics}");
            }
        }
    };
    see(&all).await;
    // One that says good-bye is gone at once, one that does not when its lease has run out.
    third.terminate();
    assert!(third.exited().await.success());
    see(&all[..2]).await;
    scene.nodes[1].kill();
    see(&all[..1]).await;
}

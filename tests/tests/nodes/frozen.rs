//! A node that stands still for longer than its lease, and then goes on as if nothing had happened.

use outdial_testkit::receiver::Answer;
use outdial_tests::{Stack, until};

use crate::scene::{LOST, QUICK, SLOW, Scene};

#[tokio::test]
async fn while_they_talk() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[("sandbox.time_scale", "0.3")]).await;
    let desk = &scene.desks[1];
    let mut rooms = Vec::new();
    for number in ["+15550300903", "+15550301903", "+15550302903"] {
        let room = scene.desks[0].place(number).await;
        scene.desks[0].reaches(&room, "in_progress").await;
        rooms.push(room);
    }
    scene.nodes[0].freeze();
    let mut records = Vec::new();
    for room in &rooms {
        records.push(desk.ends(room, LOST).await);
    }
    scene.nodes[0].thaw();

    // Its next write is refused, and it lets go; what the other one wrote stays.
    for room in &rooms {
        scene.nodes[0].has_logged(&["another node works on this call", room]).await;
    }
    scene.nodes[0].is_ready().await;
    for (room, record) in rooms.iter().zip(records) {
        assert_eq!(desk.record(room).await, record);
    }
    // It can be used as before.
    let room = scene.desks[0].place("+15550303000").await;
    scene.desks[0].api.hang_up(&room).await.data();
    rooms.push(room);
    scene.all_end_once(0, &rooms).await;
}

/// The node stands still between a webhook and its answer: the other one cannot know that it came, and
/// sends it again, with the same id.
#[tokio::test]
async fn while_its_webhook_is_being_answered() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    scene.desks[0].endpoint.answer([Answer::hang()]);
    let room = scene.desks[0].place("+15550300486").await;
    until("the webhook", async || match scene.desks[0].webhooks(&room).len() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    scene.nodes[0].freeze();
    let before = scene.desks[1].delivered(&room).await;
    scene.nodes[0].thaw();
    scene.nodes[0].has_logged(&["another node works on this call", &room]).await;
    assert_eq!(before.len(), 2);
    scene.database.is_left_by_all().await;
    assert_eq!(scene.desks[1].delivered(&room).await.len(), 2, "no third one");
}

/// It stands still with requests half done: what it goes on with meets the calls of others.
#[tokio::test]
async fn in_the_middle_of_accepting() {
    let _seat = Stack::seat().await;
    let scene = Scene::start(&[SLOW]).await;
    let (frozen, other) = (&scene.nodes[0], scene.nodes[1].node_id());
    let rooms = scene
        .stream(60, 20, async || {
            frozen.freeze();
            scene.database.is_left_by(&frozen.node_id()).await;
            frozen.thaw();
            frozen.is_ready().await;
        })
        .await;
    assert!(scene.database.owned_by(&other).await > 0);
    for room in &rooms {
        scene.desks[1].api.hang_up(room).await.data();
    }
    scene.all_end_once(1, &rooms).await;
}

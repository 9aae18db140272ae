//! One node after the other is stopped and started again, as for a new version, under load.

use outdial_tests::Stack;

use crate::scene::{QUICK, Scene};

#[tokio::test]
async fn nobody_notices() {
    let _seat = Stack::seat().await;
    let scene = Scene::start(&[QUICK]).await;
    let rooms = scene
        .stream_during(async || {
            for node in scene.nodes.iter().cycle().take(6) {
                node.terminate();
                assert!(node.exited().await.success());
                node.restart().await;
            }
        })
        .await;
    eprintln!("{} calls were accepted while two nodes were exchanged three times", rooms.len());
    scene.all_end_once(0, &rooms).await;
}

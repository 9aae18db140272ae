//! The database has no space left.

use http::Method;
use outdial_tests::{ReplicaSet, Stack, until};

use crate::scene::{QUICK, Scene};

/// mongod takes 300 of them for its journal.
const MEGABYTES: u32 = 360;

/// Refused while there is no space; what was acknowledged before is there after.
#[tokio::test]
async fn full() {
    let _seat = Stack::seat().await;
    let set = ReplicaSet::on_small_disk(MEGABYTES).await;
    let database = set.database().await;
    let scene = Scene::on(database, &[QUICK, ("node.lease", "60s")]).await;
    let mongod = set.only();
    let mut rooms = scene
        .stream(200, 20, async || {
            mongod.disk().fill();
            until("a refusal", async || {
                // mongod may go on for long where its files have room left: it is filled again.
                mongod.disk().fill();
                let order = scene.desks[0].order("+15550398000");
                let headers = [("idempotency-key", "full"), ("prefer", "respond-async")];
                let (method, path) = (Method::POST, "/call/outbound");
                let sent = scene.desks[0].api.try_send(method, path, &headers, Some(&order)).await;
                let reply = sent.unwrap();
                match reply.status {
                    503 => {
                        let runs = mongod.runs();
                        eprintln!("on a full disk: {}; mongod runs: {runs}", reply.body);
                        Ok(())
                    }
                    status => Err(status.to_string()),
                }
            })
            .await;
            mongod.disk().free();
            // It ends by itself when its journal cannot be written.
            if !mongod.runs() {
                mongod.restart().await;
            }
            set.primary().await;
        })
        .await;
    for node in &scene.nodes {
        node.is_ready().await;
    }
    // What was refused is accepted now.
    let headers = [("idempotency-key", "full"), ("prefer", "respond-async")];
    let order = scene.desks[0].order("+15550398000");
    let last = scene.desks[1].api.post_with("/call/outbound", &headers, &order).await.data();
    rooms.push(last["room_name"].as_str().unwrap().to_owned());
    scene.all_end_once(1, &rooms).await;
}

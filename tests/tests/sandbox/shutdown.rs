//! SIGTERM: an orderly end.

use http::Method;
use outdial_tests::{Desk, End, Outdial, until};
use serde_json::json;

#[tokio::test]
async fn running_calls_may_finish_and_no_new_ones_begin() {
    let outdial = Outdial::start(&[("sandbox.time_scale", "0.2")]).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200000").await;
    desk.reaches(&room, "ringing").await;
    outdial.terminate();
    let order = desk.order("+15550200001");
    until("a refusal", async || {
        let (method, path) = (Method::POST, "/call/outbound");
        match desk.api.try_send(method, path, &[], Some(&order)).await {
            Ok(reply) if reply.status == 200 => Err("a call was placed".to_owned()),
            Ok(reply) => {
                assert_eq!(reply.refused(503), "stopping");
                Ok(())
            }
            Err(error) => panic!("the server is gone before its calls are: {error}"),
        }
    })
    .await;
    // What goes on can still be seen.
    desk.reaches(&room, "in_progress").await;
    assert!(outdial.exited().await.success());
    let hooks = desk.webhooks(&room);
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0].body["data"]["outcome"], "completed");
    outdial.restart().await;
    let record = desk.record(&room).await;
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["webhook"]["state"], "delivered");
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_taken_up_by_the_next_start() {
    let settings = [("sandbox.time_scale", "0.1"), ("server.drain_timeout", "500ms")];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let room = desk.place("+15550200903").await;
    desk.reaches(&room, "in_progress").await;
    outdial.terminate();
    assert!(outdial.exited().await.success());
    assert_eq!(desk.endpoint.count(), 0, "the call has not ended");
    outdial.restart().await;
    // The simulated network ended with the process; a real one would have gone on.
    desk.ends(&room, End::because("interrupted", "livekit", "leg_gone")).await;
}

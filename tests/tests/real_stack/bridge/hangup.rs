//! Hanging up a bridged call, by whoever does it.

use outdial_tests::{Bridge, Callee, End, Law, Stack, Transport};
use serde_json::{Value, json};

use super::{HUNG_UP, ring};
use crate::NOBODY;

async fn by_the_agent(number: &str, how: Value) {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let callee = Callee::start(Transport::Tcp).await;
    let config = json!({"agent_config": how});
    let desk = stack.exotel(Bridge::shared().await, &callee.address(), config).await;
    let (room, mut leg) = ring(&desk, &callee, number).await;
    leg.answer(Law::Pcmu).await;
    leg.is_hung_up().await;
    let record = stack.ends(&desk, &room, End::completed("agent_hangup")).await;
    leg.media.is_even();
    assert_eq!(record["transcript_status"], "complete", "{record}");
}

#[tokio::test]
async fn by_the_agent_that_removes_the_callee() {
    by_the_agent("+918044319260", json!({"hangup_after_greeting": true})).await;
}

#[tokio::test]
async fn by_the_agent_that_deletes_the_room() {
    let how = json!({"hangup_after_greeting": true, "hangup": "room"});
    by_the_agent("+918044319261", how).await;
}

/// By the API, by the clock, and by a connection that breaks; all at a time.
#[tokio::test]
async fn by_others() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let port = stack.webhook_port().await;
    // One after the other: starting a server holds up the whole test.
    let short = Bridge::start_at(port.number, &[("calls.max_duration", "2s")]).await;
    let silent = Bridge::start(&[]).await;
    let shared = Bridge::shared().await;
    let nobody = || json!({"agent_name": NOBODY});
    // With LiveKit's webhooks and without them.
    let api = async |bridge: &Bridge| {
        let callee = Callee::start(Transport::Tcp).await;
        let desk = stack.exotel(bridge, &callee.address(), nobody()).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319262").await;
        leg.answer(Law::Pcma).await;
        desk.reaches(&room, "in_progress").await;
        desk.api.hang_up(&room).await.data();
        leg.is_hung_up().await;
        stack.ends(&desk, &room, End::completed("api_hangup")).await;
    };
    let clock = async {
        let callee = Callee::start(Transport::Tcp).await;
        let desk = stack.exotel(&short, &callee.address(), nobody()).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319263").await;
        leg.answer(Law::Pcma).await;
        leg.is_hung_up().await;
        stack.ends(&desk, &room, End::completed("max_duration")).await;
    };
    let connection = async {
        let callee = Callee::start(Transport::Tcp).await;
        let desk = stack.exotel(shared, &callee.address(), nobody()).await;
        let (room, mut leg) = ring(&desk, &callee, "+918044319264").await;
        leg.answer(Law::Pcma).await;
        desk.reaches(&room, "in_progress").await;
        leg.close().await;
        drop(callee);
        stack.ends(&desk, &room, HUNG_UP).await;
    };
    let api = async { tokio::join!(Box::pin(api(shared)), Box::pin(api(&silent))) };
    tokio::join!(Box::pin(api), Box::pin(clock), Box::pin(connection));
}

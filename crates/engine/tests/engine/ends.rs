//! Every way a simulated call can end.

use std::time::Duration;

use outdial_domain::{EndReason, Outcome, Route, Status, WebhookState};
use outdial_engine::{EngineError, Policy};

use crate::rig::Rig;

#[tokio::test(start_paused = true)]
async fn an_answered_call_runs_to_its_webhook_and_leaves_nothing_behind() {
    let rig = Rig::new().await;
    let call = rig.place(Route::Sandbox, "0000").await;
    assert!(call.status() >= Status::Dialing);
    let participant = call.facts.participant.clone().unwrap();
    assert_eq!(participant.identity, "phone-+155501000000");
    assert!(call.dispatch_id.is_some());

    let call = rig.finished(call.room_name()).await;
    let end = call.termination.clone().unwrap();
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, Some(EndReason::CalleeHangup)));
    assert!(call.talk_secs() > 1.0);
    assert_eq!(call.timeline().len(), 6, "every status was seen");
    assert_eq!((call.webhook.clone(), call.owner.clone()), (WebhookState::Delivered, None));
    assert!(call.room_deleted);
    assert_eq!(rig.sandbox.rooms(), 0);
    let lines = rig.engine.transcript(&rig.account, call.room_name()).await.unwrap();
    assert!(lines[0].text.contains("Hello Ann!"), "{lines:?}");
    let bodies = rig.sender.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["lines"], lines.len());
    rig.engine.idle().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_digits_choose_the_outcome() {
    use Outcome::*;
    let policy = Policy { max_duration: Duration::from_secs(120), ..Policy::default() };
    let rig = Rig::with(policy).await;
    for (last, outcome, code, reason) in [
        ("0486", Busy, Some("486"), None),
        ("0480", NoAnswer, Some("480"), None),
        ("0408", NoAnswer, Some("408"), None),
        ("0603", Rejected, Some("603"), None),
        ("0404", Unreachable, Some("404"), None),
        ("0503", Throttled, Some("503"), None),
        ("0500", Failed, Some("500"), None),
        ("0401", Failed, Some("401"), None),
        ("0901", AgentUnavailable, Some("not_joined"), None),
        ("0902", Completed, None, Some(EndReason::CalleeHangup)),
        ("0903", Completed, None, Some(EndReason::MaxDuration)),
    ] {
        let placed = rig.place(Route::Sandbox, last).await;
        let call = rig.finished(placed.room_name()).await;
        let end = call.termination.clone().unwrap();
        assert_eq!((end.outcome, end.end_reason), (outcome, reason), "{last}");
        assert_eq!(end.cause.map(|cause| cause.code).as_deref(), code, "{last}");
        if last == "0903" {
            assert!((120.0..125.0).contains(&call.talk_secs()), "{}", call.talk_secs());
        }
        assert_eq!(rig.sandbox.rooms(), 0, "{last}");
    }
    assert_eq!(rig.sender.bodies().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_works_in_every_status_and_twice() {
    let rig = Rig::new().await;
    for (status, outcome, reason) in [
        (Status::Dialing, Outcome::Canceled, None),
        (Status::Ringing, Outcome::Canceled, None),
        (Status::InProgress, Outcome::Completed, Some(EndReason::ApiHangup)),
    ] {
        let call = rig.place(Route::Sandbox, "0000").await;
        let room = call.room_name();
        rig.status(room, status).await;
        rig.engine.hang_up(&rig.account, room).await.unwrap();
        rig.engine.hang_up(&rig.account, room).await.unwrap();
        let call = rig.finished(room).await;
        let end = call.termination.clone().unwrap();
        assert_eq!((end.outcome, end.end_reason), (outcome, reason), "{status}");
        let again = rig.engine.hang_up(&rig.account, room).await.unwrap();
        assert_eq!(again, call, "a hang-up of an ended call changes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_call_can_be_cancelled_before_anything_was_dialled() {
    let rig = Rig::new().await;
    let assistant = rig.assistant().await;
    let slow = rig.trunk_with(Route::Twilio, |trunk| trunk.calls_per_second = Some(0.01)).await;
    let mut request = rig.request(&assistant, &slow, "0000");
    request.respond_async = true;
    rig.engine.place(&rig.account, request.clone()).await.unwrap();
    let second = rig.engine.place(&rig.account, request).await.unwrap();
    assert_eq!(second.status(), Status::Queued);
    rig.engine.hang_up(&rig.account, second.room_name()).await.unwrap();
    let call = rig.finished(second.room_name()).await;
    assert_eq!(call.termination.clone().unwrap().outcome, Outcome::Canceled);
    assert_eq!((call.started_at, call.webhook), (None, WebhookState::Delivered));
    assert!(
        rig.script.dialed.lock().unwrap().iter().all(|dial| dial.room_name != *second.room_name())
    );
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_every_status_and_line_once_and_can_resume_anywhere() {
    use outdial_engine::{WatchEvent, WatchPosition};
    let rig = Rig::new().await;
    let call = rig.place(Route::Sandbox, "0000").await;
    let room = call.room_name();
    let mut watch = rig.engine.watch(&rig.account, room, WatchPosition::default()).await.unwrap();
    let mut all = Vec::new();
    while let Some(events) = watch.next().await.unwrap() {
        all.extend(events);
    }
    let texts = |events: &[(WatchPosition, WatchEvent)]| -> Vec<String> {
        let text = |event: &WatchEvent| match event {
            WatchEvent::Status { status, .. } => Some(status.to_string()),
            WatchEvent::Line { index, line } => Some(format!("{index} {}", line.text)),
            // For those only who watch at that moment.
            WatchEvent::Agent { .. } | WatchEvent::Passing(_) => None,
        };
        events.iter().filter_map(|(_, event)| text(event)).collect()
    };
    let whole = texts(&all);
    assert_eq!(&whole[..2], ["queued", "starting"]);
    assert_eq!(whole.last().unwrap(), "ended");
    assert_eq!(whole.len(), 6 + rig.engine.transcript(&rig.account, room).await.unwrap().len());
    // Resuming behind any event gives what is missing: as a set, for lines come apart from statuses.
    for seen in 0..all.len() {
        let from = all[seen].0.to_string().parse().unwrap();
        let mut rest = rig.engine.watch(&rig.account, room, from).await.unwrap();
        let mut got = Vec::new();
        while let Some(events) = rest.next().await.unwrap() {
            got.extend(events);
        }
        let mut got: Vec<String> = texts(&all[..=seen]).into_iter().chain(texts(&got)).collect();
        let mut expect = whole.clone();
        got.sort();
        expect.sort();
        assert_eq!(got, expect, "resumed behind {seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_while_room_and_agent_are_made_keeps_the_phone_silent() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Twilio).await);
    let gate = rig.script.slow_dispatch();
    let (engine, account) = (rig.engine.clone(), rig.account.clone());
    let request = rig.request(&assistant, &trunk, "0000");
    let placing = tokio::spawn(async move { engine.place(&account, request).await });
    let room = rig.script.dispatching().await;
    let (engine, account, name) = (rig.engine.clone(), rig.account.clone(), room.clone());
    let hanging_up = tokio::spawn(async move { engine.hang_up(&account, &name).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.notify_one();
    hanging_up.await.unwrap().unwrap();
    assert!(matches!(placing.await.unwrap(), Err(EngineError::CallFailed(_))));
    let call = rig.finished(&room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Canceled);
    assert_eq!(rig.script.count("dial"), 0);
}

//! Hints that come, come late, or do not come at all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_domain::ports::{Clock, LegLook};
use outdial_domain::{EndReason, ErrorKind, Hint, LegEnd, Outcome, Route, SipStatus, Status};

use crate::rig::Rig;

#[tokio::test(start_paused = true)]
async fn hints_from_outside_drive_a_call_and_the_exact_cause_wins() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    let room = call.room_name();
    let at = rig.clock.now();
    rig.engine.hint(room, vec![Hint::Ringing { at }]).await.unwrap();
    rig.status(room, Status::Ringing).await;
    // The coarse webhook first, the provider's answer a second later.
    rig.engine.hint(room, vec![Hint::Ended { at, end: LegEnd::Rejected }]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = LegEnd::Refused(SipStatus { code: 486, reason: "Busy Here".into() });
    rig.script.sink().send(Hint::Ended { at, end: busy }).await;
    let call = rig.finished(room).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Busy);
    rig.engine.hint(room, vec![Hint::Answered { at }]).await.unwrap();
    assert_eq!(rig.finished(room).await.facts.answered_at, None, "late news changes nothing");
}

#[tokio::test(start_paused = true)]
async fn lost_hints_are_made_good_by_looking() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    let room = call.room_name();
    let at = rig.clock.now();
    *rig.script.leg.lock().unwrap() = Some(LegLook::Present(vec![Hint::Answered { at }]));
    rig.status(room, Status::InProgress).await;
    *rig.script.leg.lock().unwrap() = Some(LegLook::Absent);
    let call = rig.finished(room).await;
    let end = call.termination.unwrap();
    // Somebody has hung up; who, is not known.
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, None));
    assert_eq!(end.cause.unwrap().code, "leg_left");
    assert_eq!(rig.sender.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_listens_to_silence() {
    let rig = Rig::new().await;
    // Never joined, still ringing: ended at the join timeout.
    let call = rig.place(Route::Twilio, "0000").await;
    let call = rig.finished(call.room_name()).await;
    assert_eq!(call.termination.clone().unwrap().outcome, Outcome::AgentUnavailable);
    assert!(rig.script.count("hang_up") >= 1);

    // Was there, and left after the answer: its way to hang up.
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    let room = call.room_name();
    let at = rig.clock.now();
    rig.script.sink().send(Hint::AgentJoined { at }).await;
    rig.script.sink().send(Hint::Answered { at }).await;
    rig.status(room, Status::InProgress).await;
    rig.script.agent.store(false, Ordering::SeqCst);
    rig.script.sink().send(Hint::AgentLeft { at: rig.clock.now() }).await;
    *rig.script.leg.lock().unwrap() = Some(LegLook::Absent);
    let call = rig.finished(room).await;
    let end = call.termination.unwrap();
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, Some(EndReason::AgentHangup)));
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_rings_for_ever_is_given_up() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    let call = rig.finished(call.room_name()).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::NoAnswer);
    assert!(rig.script.count("hang_up") >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_that_nobody_confirms_still_ends_the_call() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    *rig.script.fails.lock().unwrap() = vec![
        ("hang_up", ErrorKind::Unavailable),
        ("delete", ErrorKind::Unavailable),
        ("look_leg", ErrorKind::Unavailable),
    ];
    let room = call.room_name();
    rig.engine.hang_up(&rig.account, room).await.unwrap();
    let call = rig.status(room, Status::Ended).await;
    assert_eq!(call.termination.unwrap().outcome, Outcome::Canceled);
    // The room is deleted as soon as that is possible again.
    rig.script.fails.lock().unwrap().clear();
    let before = rig.script.count("delete");
    rig.finished(room).await;
    assert!(rig.script.count("delete") > before);
    assert_eq!(rig.sender.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_came_back_and_left_unnoticed_is_missed_by_looking() {
    let rig = Rig::new().await;
    rig.script.agent.store(true, Ordering::SeqCst);
    let call = rig.place(Route::Twilio, "0000").await;
    let room = call.room_name();
    let sink = rig.script.sink();
    for hint in [
        Hint::AgentJoined { at: rig.clock.now() },
        Hint::Answered { at: rig.clock.now() },
        Hint::AgentLeft { at: rig.clock.now() },
        Hint::AgentJoined { at: rig.clock.now() },
    ] {
        sink.send(hint).await;
    }
    rig.status(room, Status::InProgress).await;
    rig.script.agent.store(false, Ordering::SeqCst);
    let begun = rig.clock.now();
    let call = rig.finished(room).await;
    let end = call.termination.unwrap();
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, Some(EndReason::AgentHangup)));
    assert!(
        (call.ended_at.unwrap() - begun).num_seconds() < 60,
        "long before the maximum duration"
    );
}

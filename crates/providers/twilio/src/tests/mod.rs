//! A dial from its request to the end of its leg, against a scripted LiveKit.

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outdial_domain::ports::{Dialed, HintSink, LegLook, Provider};
use outdial_domain::{ErrorKind, Hint, LegEnd};
use outdial_livekit::testing::{FakeLiveKit, Reply, Request};
use tokio::time::timeout;

use self::rig::{
    PATIENCE, PHONE, Rig, answered, busy, ended, joined, leg, next, participant, picked_up,
    request, ringing, room, twilio,
};

const SOON: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_call_from_dialing_to_hanging_up() {
    let rig = Rig::new(Some("dialing"), answered().after(SOON)).await;
    let (dialed, mut hints) = rig.dial().await;
    assert_eq!(dialed.unwrap(), Dialed::Joined(Some(participant())));
    assert_eq!(next(&mut hints).await, joined());
    rig.set(Some("ringing"));
    assert_eq!(next(&mut hints).await, ringing());
    // Answered by the dial's own answer: the attribute still says ringing.
    assert_eq!(next(&mut hints).await, picked_up());
    rig.set(Some("hangup"));
    assert_eq!(next(&mut hints).await, ended(LegEnd::CalleeHangup));
    assert_eq!(next(&mut hints).await, None);
    assert_eq!(rig.livekit.count("CreateSIPParticipant"), 1);
}

#[tokio::test]
async fn a_refusal_after_ringing_has_its_code() {
    let refusal = Reply::sip(486, "Busy Here").after(SOON);
    let rig = Rig::new(Some("ringing"), refusal).await;
    let (dialed, mut hints) = rig.dial().await;
    assert_eq!(dialed.unwrap(), Dialed::Joined(Some(participant())));
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, ringing());
    assert_eq!(next(&mut hints).await, ended(busy()));
    assert_eq!(next(&mut hints).await, None);
}

#[tokio::test]
async fn a_refusal_before_the_leg_was_seen_is_the_answer() {
    let rig = Rig::new(None, Reply::sip(486, "Busy Here")).await;
    let (dialed, mut hints) = rig.dial().await;
    assert_eq!(dialed.unwrap(), Dialed::Ended(busy()));
    assert_eq!(next(&mut hints).await, ended(busy()));
    assert_eq!(next(&mut hints).await, None);
}

#[tokio::test]
async fn an_answer_before_the_leg_was_seen_is_joining_too() {
    let rig = Rig::new(None, answered()).await;
    let (dialed, mut hints) = rig.dial().await;
    assert_eq!(dialed.unwrap(), Dialed::Joined(Some(participant())));
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, picked_up());
    // Nobody ever sees it in the room.
    assert_eq!(next(&mut hints).await, ended(LegEnd::Left));
}

#[tokio::test]
async fn the_exact_end_may_follow_the_leg_s_disappearing() {
    let rig = Rig::new(Some("ringing"), Reply::sip(486, "Busy Here").after(SOON * 2)).await;
    let (_, mut hints) = rig.dial().await;
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, ringing());
    rig.set(None);
    assert_eq!(next(&mut hints).await, ended(LegEnd::Left));
    assert_eq!(next(&mut hints).await, ended(busy()));
    assert_eq!(next(&mut hints).await, None);
}

#[tokio::test]
async fn when_the_answer_to_the_dial_is_lost_looking_goes_on() {
    let rig = Rig::new(Some("ringing"), Reply::close().after(SOON)).await;
    let (_, mut hints) = rig.dial().await;
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, ringing());
    rig.set(Some("active"));
    assert_eq!(next(&mut hints).await, picked_up());
    rig.set(None);
    assert_eq!(next(&mut hints).await, ended(LegEnd::Left));
    assert_eq!(rig.livekit.count("CreateSIPParticipant"), 1);
    assert_eq!(rig.livekit.count("RemoveParticipant"), 0);
}

#[tokio::test]
async fn a_leg_that_comes_too_late_is_removed() {
    // The outcome is unknown: a broken connection, or no answer within the time.
    for dial in [Reply::close(), Reply::never()] {
        let rig = Rig::new(None, dial).await;
        let (dialed, mut hints) = rig.dial().await;
        assert_eq!(dialed.unwrap_err().kind, ErrorKind::Unavailable);
        rig.set(Some("dialing"));
        rig.emptied().await;
        assert_eq!(next(&mut hints).await, None);
        assert_eq!(rig.livekit.count("CreateSIPParticipant"), 1);
        assert_eq!(rig.livekit.count("RemoveParticipant"), 1);
    }
}

#[tokio::test]
async fn a_leg_that_nobody_waits_for_is_removed() {
    let rig = Rig::new(None, Reply::never()).await;
    let (sink, hints) = HintSink::channel(8);
    let dial = timeout(Duration::from_millis(50), rig.twilio.dial(request(), sink));
    assert!(dial.await.is_err());
    drop(hints);
    rig.set(Some("dialing"));
    rig.emptied().await;
}

#[tokio::test]
async fn hanging_up_before_the_leg_is_there_is_not_forgotten() {
    let rig = Rig::new(None, Reply::never()).await;
    let (sink, mut hints) = HintSink::channel(8);
    let (dialed, ()) = tokio::join!(rig.twilio.dial(request(), sink), async {
        rig.dialing().await;
        rig.twilio.hang_up(&room(), PHONE).await.unwrap();
    });
    assert_eq!(dialed.unwrap(), Dialed::Ended(LegEnd::Removed));
    assert_eq!(next(&mut hints).await, ended(LegEnd::Removed));
    rig.set(Some("dialing"));
    rig.emptied().await;
}

#[tokio::test]
async fn the_hints_go_on_when_the_caller_of_the_dial_is_gone() {
    let rig = Rig::new(None, answered().after(SOON)).await;
    let (sink, mut hints) = HintSink::channel(8);
    let dial = timeout(Duration::from_millis(50), rig.twilio.dial(request(), sink));
    assert!(dial.await.is_err());
    rig.set(Some("dialing"));
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, picked_up());
    assert_eq!(rig.livekit.count("CreateSIPParticipant"), 1);
    assert_eq!(rig.livekit.count("RemoveParticipant"), 0);
}

#[tokio::test]
async fn a_dial_that_reached_nobody_is_an_error() {
    let rig = Rig::new(None, Reply::text(401, "invalid token")).await;
    let (dialed, mut hints) = rig.dial().await;
    let error = dialed.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("livekit.api_key"), "{error}");
    assert_eq!(next(&mut hints).await, None);

    let (sink, _hints) = HintSink::channel(8);
    let error = twilio("ws://127.0.0.1:1").dial(request(), sink).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn hanging_up_after_the_answer_is_told_at_once() {
    let rig = Rig::new(Some("active"), answered()).await;
    let (_, mut hints) = rig.dial().await;
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, picked_up());
    rig.twilio.hang_up(&room(), PHONE).await.unwrap();
    let end = next(&mut hints).await;
    // By the hanging up or, should it have looked just then, by the look.
    assert!(end == ended(LegEnd::Removed) || end == ended(LegEnd::Left), "{end:?}");
    rig.twilio.hang_up(&room(), PHONE).await.unwrap();
}

#[tokio::test]
async fn a_look_tells_all_that_can_be_seen() {
    let rig = Rig::new(None, Reply::never()).await;
    let look = || async { rig.twilio.look(&room(), PHONE).await.unwrap() };
    assert_eq!(look().await, LegLook::Absent);
    for (status, hints) in [
        ("dialing", vec![joined()]),
        ("ringing", vec![joined(), ringing()]),
        ("active", vec![joined(), picked_up()]),
        ("hangup", vec![joined(), picked_up(), ended(LegEnd::CalleeHangup)]),
    ] {
        rig.set(Some(status));
        let hints = hints.into_iter().flatten().collect();
        assert_eq!(look().await, LegLook::Present(hints), "{status}");
    }
}

#[tokio::test]
async fn when_nobody_listens_the_leg_is_left_alone() {
    let rig = Rig::new(Some("active"), answered()).await;
    let (dialed, hints) = rig.dial().await;
    assert!(dialed.is_ok());
    drop(hints);
    rig.twilio.tasks.close();
    timeout(PATIENCE, rig.twilio.tasks.wait()).await.unwrap();
    assert_eq!(rig.livekit.count("RemoveParticipant"), 0);
}

#[tokio::test]
async fn stopping_leaves_legs_and_refuses_dials() {
    let rig = Rig::new(Some("ringing"), Reply::never()).await;
    let (_, mut hints) = rig.dial().await;
    timeout(PATIENCE, rig.twilio.shutdown()).await.unwrap();
    while let Some(hint) = next(&mut hints).await {
        assert!(!matches!(hint, Hint::Ended { .. }), "{hint:?}");
    }
    let (dialed, _) = rig.dial().await;
    assert_eq!(dialed.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(rig.livekit.count("CreateSIPParticipant"), 1);
    assert_eq!(rig.livekit.count("RemoveParticipant"), 0);
}

#[tokio::test]
async fn a_failed_look_is_no_end() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let script = move |request: &Request| match request.method.as_str() {
        "CreateSIPParticipant" => Reply::never(),
        // Every other look fails, one finds no leg, and then it is there again.
        _ => match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::ok(&leg("dialing")),
            2 => Reply::not_found(),
            n if n % 2 == 1 => Reply::text(503, ""),
            n if n < 9 => Reply::ok(&leg("dialing")),
            _ => Reply::ok(&leg("active")),
        },
    };
    let livekit = FakeLiveKit::start(script).await.unwrap();
    let twilio = twilio(&livekit.url());
    let (sink, mut hints) = HintSink::channel(8);
    twilio.dial(request(), sink).await.unwrap();
    assert_eq!(next(&mut hints).await, joined());
    assert_eq!(next(&mut hints).await, picked_up());
    assert!(looks.load(Ordering::Relaxed) > 9);
}

#[tokio::test]
async fn digits_need_an_answered_leg_and_a_room_that_lets_us_in() {
    let rig = Rig::new(None, answered()).await;
    let (room, digits) = (room(), "1w#".parse().unwrap());
    for (status, expect) in [
        (None, ErrorKind::NotFound),
        (Some("dialing"), ErrorKind::Conflict),
        (Some("ringing"), ErrorKind::Conflict),
        (Some("hangup"), ErrorKind::NotFound),
        // This LiveKit has no door for participants.
        (Some("active"), ErrorKind::Unavailable),
        (Some("active"), ErrorKind::Unavailable),
    ] {
        rig.set(status);
        let sent = timeout(PATIENCE, rig.twilio.send_dtmf(&room, PHONE, &digits)).await;
        let error = sent.unwrap().unwrap_err();
        assert_eq!(error.kind, expect, "{status:?}: {error}");
    }
    rig.twilio.shutdown().await;
    let stopped = rig.twilio.send_dtmf(&room, PHONE, &digits).await.unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Unavailable);
}

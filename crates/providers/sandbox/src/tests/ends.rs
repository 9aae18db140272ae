//! Every way in which a leg is ended from outside, in every phase of a call.

use outdial_domain::ErrorKind;

use super::*;

/// A moment of each phase of a conversation, with the hints told by then.
const PHASES: [(u64, &[&str]); 7] = [
    (0, &[]),
    (50, &["joined"]),
    (1000, &["joined", "ringing", "agent"]),
    (2200, &["joined", "ringing", "agent", "answered"]),
    (3500, &["joined", "ringing", "agent", "answered", "line"]),
    (5300, &["joined", "ringing", "agent", "answered", "line"]),
    (6500, &["joined", "ringing", "agent", "answered", "line", "line"]),
];

#[derive(Debug, Clone, Copy)]
enum Way {
    HangUp,
    Delete,
    DropSink,
    Drop,
    Shutdown,
}

/// Lets a call go on for a while, then ends it.
async fn ended(after: u64, way: Way) -> (Stage, Vec<Hint>) {
    let (stage, hints) = Stage::placed("000").await;
    if after > 0 {
        ms(after).await;
    }
    match way {
        Way::HangUp => stage.hang_up().await,
        Way::Delete => stage.delete().await,
        Way::Shutdown => stage.sandbox.shutdown().await,
        Way::DropSink => {
            drop(hints);
            tokio::task::yield_now().await;
            return (stage, Vec::new());
        }
        Way::Drop => {
            drop(stage);
            return (Stage::new("000"), all(hints).await);
        }
    }
    assert_eq!(stage.leg().await, LegLook::Absent, "{after} {way:?}");
    (stage, all(hints).await)
}

#[tokio::test(start_paused = true)]
async fn a_removed_leg_tells_its_end_at_once() {
    for way in [Way::HangUp, Way::Delete] {
        for (after, before) in PHASES {
            let (stage, hints) = ended(after, way).await;
            let at = i64::try_from(after).unwrap();
            assert_eq!(end(&hints), &LegEnd::Removed, "{after} {way:?}");
            assert_eq!(brief(hints.last().unwrap()), ("ended", at));
            let order = words(&hints);
            assert_eq!(&order[..order.len() - 1], before, "{after} {way:?}");
            let room_stays = matches!(way, Way::HangUp);
            assert_eq!(stage.sandbox.rooms(), usize::from(room_stays));
            assert_eq!(stage.sandbox.legs.len(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_cut_short_is_told_as_far_as_it_was_spoken() {
    let (_, hints) = ended(3600, Way::HangUp).await;
    let line = lines(&hints)[0];
    // Begun at 2.5 s: 16 characters, cut back to whole words.
    assert_eq!(line.text, "Hello Ann, this");
    assert_eq!((line.timestamp - epoch()).num_milliseconds(), 2500);

    let (_, hints) = ended(2510, Way::HangUp).await;
    assert!(lines(&hints).is_empty(), "nothing was said yet");
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_nobody_listens_to_ends() {
    for (after, _) in PHASES {
        let (stage, _) = ended(after, Way::DropSink).await;
        ms(1).await;
        assert_eq!(stage.leg().await, LegLook::Absent, "{after}");
        assert_eq!(stage.sandbox.legs.len(), 0, "{after}");
        stage.hang_up().await;
        stage.delete().await;
        assert_eq!(stage.sandbox.rooms(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_world_is_not_told() {
    for way in [Way::Shutdown, Way::Drop] {
        for (after, _) in PHASES {
            let (stage, hints) = ended(after, way).await;
            assert!(!words(&hints).contains(&"ended"), "{after} {way:?}");
            assert_eq!(stage.sandbox.rooms(), 0);
            assert_eq!(stage.sandbox.legs.len(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_no_call_can_be_placed() {
    let stage = Stage::new("000");
    stage.sandbox.check().await.unwrap();
    stage.sandbox.shutdown().await;
    let (sink, _hints) = HintSink::channel(1);
    let failed = stage.sandbox.dial(stage.request(), sink).await.unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Unavailable);
    assert!(stage.sandbox.check().await.is_err());
    assert!(stage.sandbox.create(&stage.room).await.is_err());
    stage.hang_up().await;
    stage.delete().await;
}

#[tokio::test(start_paused = true)]
async fn removing_twice_and_after_the_end_changes_nothing() {
    let (stage, hints) = Stage::placed("486").await;
    let hints = all(hints).await;
    assert!(matches!(end(&hints), LegEnd::Refused(_)));
    stage.hang_up().await;
    stage.hang_up().await;
    stage.delete().await;
    stage.delete().await;
    stage.hang_up().await;
    assert_eq!(stage.leg().await, LegLook::Absent);
}

#[tokio::test(start_paused = true)]
async fn another_identity_is_another_leg() {
    let (stage, _hints) = Stage::placed("000").await;
    let sandbox = &stage.sandbox;
    sandbox.hang_up(&stage.room, "phone-+15550199999").await.unwrap();
    let other = Provider::look(sandbox, &stage.room, "phone-+15550199999").await;
    assert_eq!(other.unwrap(), LegLook::Absent);
    assert!(matches!(stage.leg().await, LegLook::Present(_)));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_dial_is_refused_and_leaves_the_first_leg_alone() {
    let (stage, hints) = Stage::placed("000").await;
    let (sink, mut second) = HintSink::channel(1);
    let failed = stage.sandbox.dial(stage.request(), sink).await.unwrap_err();
    assert_eq!(failed.kind, ErrorKind::Exists);
    assert!(second.recv().await.is_none());
    assert_eq!(end(&all(hints).await), &LegEnd::CalleeHangup);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_behind_loses_nothing() {
    let stage = Stage::new("000");
    stage.dispatch().await;
    let hints = stage.dial(1).await;
    ms(60_000).await;
    // The leg waits for its listener; it can be removed all the same.
    assert!(matches!(stage.leg().await, LegLook::Present(_)));
    stage.hang_up().await;
    let hints = all(hints).await;
    assert_eq!(end(&hints), &LegEnd::Removed);
    assert_eq!(brief(hints.last().unwrap()), ("ended", 60_000));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_could_not_be_sent_yet_is_told_at_the_end() {
    let stage = Stage::new("000");
    stage.dispatch().await;
    // Joined, Ringing, AgentJoined, Answered and the agent's Speaking fill the channel.
    let hints = stage.dial(5).await;
    ms(60_000).await;
    stage.hang_up().await;
    let hints = all(hints).await;
    let said: Vec<_> = lines(&hints).iter().map(|line| line.text.clone()).collect();
    assert_eq!(said, [GREETING]);
}

#[tokio::test(start_paused = true)]
async fn a_room_whose_leg_has_ended_takes_another() {
    let (stage, first) = Stage::placed("486").await;
    all(first).await;
    let second = stage.dial(64).await;
    assert!(matches!(end(&all(second).await), LegEnd::Refused(_)));
}

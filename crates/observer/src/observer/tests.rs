use livekit_protocol as proto;
use outdial_domain::ports::HintSink;
use outdial_domain::{Hint, Secret, TranscriptStatus};
use outdial_livekit::LiveKitConfig;
use outdial_livekit::testing::{FakeLiveKit, Reply};
use outdial_room::MediaConfig;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// An observer of a server that answers so when it is asked for rooms.
async fn observer(rooms: Reply) -> (FakeLiveKit, LiveKitObserver) {
    let server = FakeLiveKit::start(move |_| rooms.clone()).await.unwrap();
    let config = LiveKitConfig::new(server.url(), "key", Secret::new("secret"));
    let livekit = Arc::new(LiveKit::new(config).unwrap());
    let media = Media::start(MediaConfig::default()).unwrap();
    (server, LiveKitObserver::new(media, livekit, Handle::current()))
}

fn observe(observer: &LiveKitObserver) -> (Observation, mpsc::Receiver<Hint>) {
    let (sink, hints) = HintSink::channel(1);
    let observation = observer.observe(ObserveRequest {
        room_name: "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap(),
        participant_identity: "phone-+15550199999".to_owned(),
        hints: sink,
        audio: None,
    });
    (observation, hints)
}

fn no_rooms() -> Reply {
    Reply::ok(&proto::ListRoomsResponse::default())
}

#[tokio::test]
async fn a_room_that_does_not_come_is_no_call() {
    let (server, observer) = observer(no_rooms()).await;
    let pace = Pace { room_timeout: Duration::ZERO, ..Pace::default() };
    let observer = observer.with_pace(pace);
    let (_observation, mut hints) = observe(&observer);
    let hint = timeout(PATIENCE, hints.recv()).await.unwrap();
    assert_eq!(hint, Some(Hint::TranscriptEnded { status: TranscriptStatus::Partial }));
    assert_eq!(timeout(PATIENCE, hints.recv()).await.unwrap(), None);
    assert_eq!(server.count("ListRooms"), server.requests().len());
}

#[tokio::test]
async fn an_observation_ends_when_it_is_dropped() {
    // Whatever goes on: the room is waited for, or the server does not answer.
    for rooms in [no_rooms(), Reply::never(), Reply::close()] {
        let (_server, observer) = observer(rooms).await;
        let (observation, mut hints) = observe(&observer);
        drop(observation);
        assert_eq!(timeout(PATIENCE, hints.recv()).await.unwrap(), None);
        timeout(PATIENCE, observer.shutdown()).await.unwrap();
    }
}

#[tokio::test]
async fn an_observation_ends_when_nobody_listens() {
    let (_server, observer) = observer(no_rooms()).await;
    let (_observation, hints) = observe(&observer);
    drop(hints);
    observer.tasks.close();
    timeout(PATIENCE, observer.tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn shutdown_ends_all() {
    let (_server, observer) = observer(Reply::never()).await;
    let (_first, mut hints) = observe(&observer);
    timeout(PATIENCE, observer.shutdown()).await.unwrap();
    assert_eq!(hints.recv().await, None);
    let (_late, mut hints) = observe(&observer);
    assert_eq!(timeout(PATIENCE, hints.recv()).await.unwrap(), None);
}

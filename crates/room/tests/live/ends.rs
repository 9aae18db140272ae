//! How a join fails and how a stay ends.

use std::time::Duration;

use livekit_token::VideoGrants;
use outdial_room::{
    AudioCodec, CloseReason, DisconnectReason, JoinError, JoinOptions, LeaveReason, Room,
    RoomError, RoomEvent,
};
use serde_json::json;

use crate::guest::{Guest, media};
use crate::judge::Judge;
use crate::server::{Server, Setup};
use crate::stack::{Place, seat};

async fn refused(url: &str, token: &str) -> JoinError {
    Room::join(media(), url, token, JoinOptions::default()).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_token_that_is_wrong_is_unauthorized() {
    let _seat = seat().await;
    let place = Place::shared("token");
    let other = place.signed("another-secret-of-32-characters-x", "guest", place.grants());
    let no_join = VideoGrants { room_join: false, ..place.grants() };
    let no_join = place.token_with("guest", no_join);
    let unknown = place.of_another_key("guest");
    for token in [other, unknown, no_join, "not a token".to_owned(), String::new()] {
        let error = refused(&place.url, &token).await;
        assert!(matches!(error, JoinError::Unauthorized(_)), "{token}: {error:?}");
        assert!(token.is_empty() || !error.to_string().contains(&token));
    }
    assert_eq!(place.identities().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_expired_token_is_unauthorized() {
    let _seat = seat().await;
    let place = Place::shared("expired");
    let error = refused(&place.url, &place.expired_token("guest")).await;
    assert!(matches!(error, JoinError::Unauthorized(_)), "{error:?}");
}

#[tokio::test]
async fn an_address_that_is_wrong_is_told_so() {
    let _seat = seat().await;
    let place = Place::shared("url");
    let token = place.token("guest");
    for url in ["ftp://127.0.0.1", "not a url", ""] {
        let error = refused(url, &token).await;
        assert!(matches!(error, JoinError::InvalidUrl(_)), "{url}: {error:?}");
    }
    // Nobody listens on port 1, and the name exists nowhere.
    for url in ["ws://127.0.0.1:1", "ws://livekit.invalid:7880"] {
        let error = refused(url, &token).await;
        assert!(matches!(error, JoinError::Unreachable(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let _seat = seat().await;
    let place = Place::shared("silent");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(300);
    let options = JoinOptions { timeout, ..Default::default() };
    let error = Room::join(media(), &url, &place.token("guest"), options).await.map(drop);
    assert!(matches!(error, Err(JoinError::Timeout)), "{error:?}");
}

#[tokio::test]
async fn a_room_that_does_not_exist_is_told_so() {
    let _seat = seat().await;
    let setup = Setup { rooms_on_request: true, ..Default::default() };
    let server = Server::start(setup).await;
    let place = Place::at(&server.url(), "missing");
    let error = refused(&place.url, &place.token("guest")).await;
    assert!(matches!(error, JoinError::RoomNotFound(_)), "{error:?}");
    place.ask("CreateRoom", json!({"name": place.room})).await;
    let guest = Guest::joined(&place, "guest").await;
    assert_eq!(guest.room.name(), place.room);
}

async fn closed(guest: &Guest) -> CloseReason {
    let pick = |event: &RoomEvent| match event {
        RoomEvent::Closed(reason) => Some(reason.clone()),
        _ => None,
    };
    let reason = guest.told("the end", 0, pick).await;
    // Whoever asks for something afterwards is told at once.
    let error = guest.room.send_data(b"late", "", true).await.unwrap_err();
    assert!(matches!(error, RoomError::Closed), "{error:?}");
    reason
}

#[tokio::test]
async fn removed_by_the_api() {
    let _seat = seat().await;
    let place = Place::shared("removed");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    guest.plays(AudioCodec::Pcmu, 440.0).await;
    judge.hears(0, "guest", 1, |heard| heard.is_tone(440.0)).await;
    place.ask("RemoveParticipant", json!({"identity": "guest"})).await;
    assert_eq!(closed(&guest).await, CloseReason::Removed);
    judge.told(0, "participant_disconnected", |e| e["from"] == "guest").await;
    assert_eq!(place.identities().await, ["judge"]);
}

#[tokio::test]
async fn another_with_our_identity() {
    let _seat = seat().await;
    let place = Place::shared("twice");
    let guest = Guest::joined(&place, "guest").await;
    let second = Guest::joined(&place, "guest").await;
    assert_eq!(closed(&guest).await, CloseReason::DuplicateIdentity);
    // The first one must not come back and throw out the second.
    second.plays(AudioCodec::Pcmu, 440.0).await;
    let judge = Judge::joined(&place, "judge").await;
    judge.hears(0, "guest", 3, |heard| heard.is_clean(440.0)).await;
    assert_eq!(second.all(0, |e| matches!(e, RoomEvent::Closed(_)).then_some(())), []);
}

#[tokio::test]
async fn the_room_was_deleted() {
    let _seat = seat().await;
    let place = Place::shared("deleted");
    let guest = Guest::joined(&place, "guest").await;
    place.ask("DeleteRoom", json!({})).await;
    assert_eq!(closed(&guest).await, CloseReason::RoomDeleted);
}

#[tokio::test]
async fn leaving_tells_why_and_leaves_nobody_behind() {
    let _seat = seat().await;
    let place = Place::shared("leave");
    let judge = Judge::joined(&place, "judge").await;
    let witness = Guest::joined(&place, "witness").await;
    let reasons = [
        (LeaveReason::ClientInitiated, "CLIENT_INITIATED", DisconnectReason::ClientInitiated),
        (LeaveReason::UserUnavailable, "USER_UNAVAILABLE", DisconnectReason::UserUnavailable),
        (LeaveReason::UserRejected, "USER_REJECTED", DisconnectReason::UserRejected),
        (LeaveReason::AgentError, "AGENT_ERROR", DisconnectReason::AgentError),
    ];
    for (reason, name, seen) in reasons {
        let (told, witnessed) = (judge.now(), witness.now());
        let guest = Guest::joined(&place, "guest").await;
        guest.plays(AudioCodec::Pcmu, 440.0).await;
        judge.told(told, "track_subscribed", |e| e["from"] == "guest").await;
        guest.room.leave(reason).await;
        let event = judge.told(told, "participant_disconnected", |e| e["from"] == "guest").await;
        // The judge's library knows no word for the last one.
        let word = event["reason"].as_str().unwrap();
        assert!(word == name || reason == LeaveReason::AgentError, "{word}");
        let left = witness.told("the guest to leave", witnessed, |event| match event {
            RoomEvent::ParticipantLeft { reason, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(left.await, seen);
        assert!(!place.identities().await.contains(&"guest".to_owned()));
    }
}

#[tokio::test]
async fn dropping_a_room_leaves_no_ghost() {
    let _seat = seat().await;
    let place = Place::shared("drop");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    guest.plays(AudioCodec::Pcmu, 440.0).await;
    judge.hears(0, "guest", 1, |heard| heard.is_tone(440.0)).await;
    drop(guest);
    let event = judge.told(0, "participant_disconnected", |e| e["from"] == "guest").await;
    // A ghost would go after 19 s, and with CONNECTION_TIMEOUT.
    assert_eq!(event["reason"], "CLIENT_INITIATED");
    assert_eq!(place.identities().await, ["judge"]);
}

#[tokio::test]
async fn what_the_token_does_not_allow_is_refused() {
    let _seat = seat().await;
    let place = Place::shared("allowed");
    let grants = VideoGrants {
        can_publish: Some(false),
        can_publish_data: Some(false),
        can_update_own_metadata: Some(false),
        ..place.grants()
    };
    let token = place.token_with("guest", grants);
    let guest = Guest::join(&place.url, &token, JoinOptions::default()).await;
    let error = guest.room.publish(Default::default()).await.unwrap_err();
    assert!(matches!(error, RoomError::NotAllowed(_)), "{error:?}");
    let error = guest.room.send_data(b"x", "", true).await.unwrap_err();
    assert!(matches!(error, RoomError::NotAllowed(_)), "{error:?}");
    let attributes = [("key".to_owned(), "value".to_owned())].into();
    let error = guest.room.set_attributes(attributes).await.unwrap_err();
    assert!(matches!(error, RoomError::NotAllowed(_)), "{error:?}");
    // It is still there, and hears.
    let player = Guest::joined(&place, "player").await;
    player.plays(AudioCodec::Pcmu, 440.0).await;
    guest.listens_to("player").await.hears(0, 1, |heard| heard.is_tone(440.0)).await;
}

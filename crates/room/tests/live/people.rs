//! Who is in the room: participants, attributes, mute, hidden ones.

use std::collections::HashMap;

use outdial_room::{
    AudioCodec, DisconnectReason, JoinOptions, LeaveReason, ParticipantKind, ParticipantState,
    RoomEvent,
};
use serde_json::json;

use crate::guest::Guest;
use crate::judge::Judge;
use crate::stack::{Place, seat};

#[tokio::test]
async fn participants_come_publish_mute_and_go() {
    let _seat = seat().await;
    let place = Place::shared("people");
    let guest = Guest::joined(&place, "guest").await;
    assert_eq!(guest.room.participants(), []);
    assert_eq!(guest.room.name(), place.room);
    assert_eq!(guest.room.local().identity, "guest");
    let judge = Judge::joined(&place, "judge").await;
    let joined = guest.told("the judge to join", 0, |event| match event {
        RoomEvent::ParticipantJoined(participant) => Some(participant.clone()),
        _ => None,
    });
    let joined = joined.await;
    assert_eq!((&*joined.identity, joined.kind), ("judge", ParticipantKind::Standard));
    assert!(!joined.hidden);
    let active = |event: &RoomEvent| match event {
        RoomEvent::ParticipantUpdated(participant) | RoomEvent::ParticipantJoined(participant) => {
            (participant.identity == "judge" && participant.state == ParticipantState::Active)
                .then_some(())
        }
        _ => None,
    };
    guest.told("the judge to be active", 0, active).await;

    let track = judge.plays(1000.0).await;
    let published = guest.told("the track", 0, |event| match event {
        RoomEvent::TrackPublished { participant_identity, track } => {
            Some((participant_identity.clone(), track.clone()))
        }
        _ => None,
    });
    let published = published.await;
    assert_eq!((&*published.0, &published.1.sid, &*published.1.name), ("judge", &track, "tone"));
    for muted in [true, false] {
        judge.obeys("mute", json!({"muted": muted})).await;
        let participant_identity = "judge".to_owned();
        let event = RoomEvent::TrackMuted { participant_identity, track_sid: track.clone(), muted };
        guest.told_of(&event, 0).await;
    }
    judge.obeys("unpublish", json!({"track": track})).await;
    let participant_identity = "judge".to_owned();
    guest.told_of(&RoomEvent::TrackUnpublished { participant_identity, track_sid: track }, 0).await;

    judge.obeys("leave", json!({})).await;
    let left = guest.told("the judge to leave", 0, |event| match event {
        RoomEvent::ParticipantLeft { participant, reason } => {
            Some((participant.identity.clone(), *reason))
        }
        _ => None,
    });
    assert_eq!(left.await, ("judge".to_owned(), DisconnectReason::ClientInitiated));
    assert_eq!(guest.room.participants(), []);
}

#[tokio::test]
async fn attributes_of_others_are_told_and_kept() {
    let _seat = seat().await;
    let place = Place::shared("attributes");
    let judge = Judge::joined(&place, "judge").await;
    judge.obeys("attributes", json!({"attributes": {"before": "1"}})).await;
    let guest = Guest::joined(&place, "guest").await;
    let known = guest.room.participants();
    assert_eq!(known[0].attributes, HashMap::from([("before".to_owned(), "1".to_owned())]));
    let expected = HashMap::from([
        ("before".to_owned(), "1".to_owned()),
        ("lk.agent.state".to_owned(), "naïve 話す".to_owned()),
    ]);
    let changes = json!({"attributes": {"lk.agent.state": "naïve 話す"}});
    judge.obeys("attributes", changes).await;
    let pick = |event: &RoomEvent| match event {
        RoomEvent::ParticipantUpdated(p) => (p.attributes == expected).then_some(()),
        _ => None,
    };
    guest.told("the new attribute", 0, pick).await;
    assert_eq!(guest.room.participants()[0].attributes, expected);
}

#[tokio::test]
async fn the_judge_sees_our_attributes() {
    let _seat = seat().await;
    let place = Place::shared("own");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    let set = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    guest.room.set_attributes(set("sip.callStatus", "ringing")).await.unwrap();
    guest.room.set_attributes(set("sip.callID", "x \"é\" 1")).await.unwrap();
    guest.room.set_attributes(set("sip.callStatus", "active")).await.unwrap();
    let expected = json!({"sip.callStatus": "active", "sip.callID": "x \"é\" 1"});
    judge
        .told(0, "participant_attributes_changed", |e| {
            e["from"] == "guest" && e["attributes"] == expected
        })
        .await;
    assert_eq!(guest.room.local().attributes["sip.callStatus"], "active");
    // An empty value removes one.
    guest.room.set_attributes(set("sip.callID", "")).await.unwrap();
    let expected = json!({"sip.callStatus": "active"});
    judge.told(0, "participant_attributes_changed", |e| e["attributes"] == expected).await;
}

#[tokio::test]
async fn a_hidden_subscriber_gets_everything_and_is_not_seen() {
    let _seat = seat().await;
    let place = Place::shared("hidden");
    let token = place.hidden_token("observer");
    let observer = Guest::join(&place.url, &token, JoinOptions::default()).await;
    assert!(observer.room.local().hidden);
    let judge = Judge::start().await;
    let seen = judge.join(&place, "judge").await;
    assert_eq!(seen, json!({}));
    judge.plays(1000.0).await;
    let phone = Guest::joined(&place, "phone").await;
    phone.plays(AudioCodec::Pcma, 440.0).await;

    let (agent, callee) = (observer.listens_to("judge").await, observer.listens_to("phone").await);
    agent.hears(0, 3, |heard| heard.is_clean(1000.0)).await;
    callee.hears(0, 3, |heard| heard.is_clean(440.0)).await;
    assert!(agent.is_whole() && callee.is_whole(), "{agent:?} {callee:?}");

    judge.obeys("text", json!({"text": "hello", "topic": "lk.transcription"})).await;
    let text = observer.told("the text", 0, |event| match event {
        RoomEvent::TextStream(outdial_room::TextStreamEvent::Chunk { text, .. }) => {
            Some(text.clone())
        }
        _ => None,
    });
    assert_eq!(text.await, "hello");
    judge.obeys("data", json!({"payload": "beep", "topic": "t"})).await;
    let data = |event: &RoomEvent| matches!(event, RoomEvent::Data { .. }).then_some(());
    observer.told("the data", 0, data).await;

    // The server's API lists it, the others never heard of it.
    assert!(place.identities().await.contains(&"observer".to_owned()));
    let seen = judge.obeys("sees", json!({})).await;
    assert_eq!(seen["sees"].as_object().unwrap().keys().collect::<Vec<_>>(), ["phone"]);
    observer.room.leave(LeaveReason::ClientInitiated).await;
    place.until_listed("observer", false).await;
    // Told in order: when this came, the observer's going would have come before.
    phone.room.leave(LeaveReason::ClientInitiated).await;
    judge.told(0, "participant_disconnected", |e| e["from"] == "phone").await;
    for event in ["participant_connected", "participant_disconnected"] {
        let told = judge.all(0, event);
        assert!(told.iter().all(|e| e["from"] == "phone"), "{told:?}");
    }
}

use super::Roster;
use crate::events::RoomEvent;
use livekit_protocol::{self as proto, DisconnectReason, participant_info::State};

fn info(sid: &str, identity: &str, state: State, version: u32) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        sid: sid.to_owned(),
        identity: identity.to_owned(),
        state: state as i32,
        version,
        ..Default::default()
    }
}

fn with_track(mut info: proto::ParticipantInfo, sid: &str, muted: bool) -> proto::ParticipantInfo {
    info.tracks.push(proto::TrackInfo { sid: sid.to_owned(), muted, ..Default::default() });
    info
}

fn roster(others: Vec<proto::ParticipantInfo>) -> Roster {
    Roster::new(&proto::JoinResponse {
        participant: Some(info("PA_me", "me", State::Joined, 1)),
        other_participants: others,
        ..Default::default()
    })
}

/// Short names of events, for comparison.
fn names(events: &[RoomEvent]) -> Vec<String> {
    let name = |event: &RoomEvent| match event {
        RoomEvent::ParticipantJoined(p) => format!("joined {}", p.identity),
        RoomEvent::ParticipantUpdated(p) => format!("updated {}", p.identity),
        RoomEvent::ParticipantLeft { participant, reason } => {
            format!("left {} {}", participant.identity, reason.as_str_name())
        }
        RoomEvent::TrackPublished { track, .. } => format!("published {}", track.sid),
        RoomEvent::TrackUnpublished { track_sid, .. } => format!("unpublished {track_sid}"),
        RoomEvent::TrackMuted { track_sid, muted, .. } => format!("muted {track_sid} {muted}"),
        other => format!("{other:?}"),
    };
    events.iter().map(name).collect()
}

#[test]
fn tells_the_life_of_a_participant() {
    let mut roster = roster(Vec::new());
    let mut check = |info: proto::ParticipantInfo, expected: &[&str]| {
        assert_eq!(names(&roster.update(&[info])), expected);
    };
    let ann = |version| info("PA_1", "ann", State::Active, version);
    check(ann(1), &["joined ann"]);
    check(ann(1), &[]);
    check(with_track(ann(3), "TR_1", false), &["published TR_1"]);
    check(ann(2), &[]);
    check(with_track(ann(4), "TR_1", true), &["muted TR_1 true"]);
    let mut renamed = with_track(ann(5), "TR_2", false);
    renamed.attributes.insert("k".to_owned(), "v".to_owned());
    check(renamed, &["unpublished TR_1", "updated ann", "published TR_2"]);
    // an end of an earlier session of the same identity
    check(info("PA_0", "ann", State::Disconnected, 9), &[]);
    let mut gone = info("PA_1", "ann", State::Disconnected, 6);
    gone.disconnect_reason = DisconnectReason::UserRejected as i32;
    check(gone, &["unpublished TR_2", "left ann USER_REJECTED"]);
    check(info("PA_1", "ann", State::Disconnected, 7), &[]);
}

#[test]
fn a_new_session_replaces_the_old() {
    let mut roster = roster(vec![with_track(info("PA_1", "ann", State::Active, 7), "TR_1", false)]);
    let events = roster.update(&[info("PA_2", "ann", State::Active, 1)]);
    let expected = ["unpublished TR_1", "left ann DUPLICATE_IDENTITY", "joined ann"];
    assert_eq!(names(&events), expected);
    assert_eq!(roster.others().count(), 1);
}

#[test]
fn a_new_join_keeps_those_with_the_same_identity() {
    let old = vec![
        with_track(info("PA_1", "ann", State::Active, 7), "TR_1", false),
        info("PA_2", "bob", State::Active, 1),
    ];
    let new = vec![
        with_track(info("PA_8", "ann", State::Active, 1), "TR_8", false),
        info("PA_9", "cid", State::Active, 1),
    ];
    let mut roster = roster(old);
    let mut events = names(&roster.replace(self::roster(new)));
    events.sort();
    let expected = [
        "joined cid",
        "left bob UNKNOWN_REASON",
        "published TR_8",
        "unpublished TR_1",
        "updated ann",
    ];
    assert_eq!(events, expected);
    assert!(roster.track("TR_8").is_some() && roster.track("TR_1").is_none());
}

#[test]
fn speakers_get_their_identity() {
    let roster = roster(vec![info("PA_1", "ann", State::Active, 1)]);
    let speaker = |sid: &str| proto::SpeakerInfo { sid: sid.to_owned(), level: 0.5, active: true };
    let speakers = roster.speakers(&["PA_1", "PA_me", "PA_x"].map(speaker));
    let identities: Vec<_> = speakers.iter().map(|s| s.participant_identity.as_str()).collect();
    assert_eq!(identities, ["ann", "me", ""]);
}

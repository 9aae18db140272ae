use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use outdial_domain::ports::SystemClock;
use outdial_domain::{AgentState, TranscriptStatus};
use outdial_room::{DisconnectReason, TrackSource};
use tokio::time::advance;

use super::*;

const PHONE: &str = "phone-+15550199999";

fn participant(identity: &str, kind: ParticipantKind, attribute: (&str, &str)) -> Participant {
    let (key, value) = attribute;
    Participant {
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        name: String::new(),
        kind,
        state: ParticipantState::Active,
        attributes: HashMap::from([(key.to_owned(), value.to_owned())]),
        metadata: String::new(),
        tracks: vec![track(identity)],
        hidden: false,
        joined_at: SystemTime::UNIX_EPOCH,
    }
}

fn track(identity: &str) -> Track {
    Track {
        sid: format!("TR_{identity}"),
        name: "audio".to_owned(),
        kind: TrackKind::Audio,
        source: TrackSource::Microphone,
        muted: false,
        mime_type: "audio/opus".to_owned(),
    }
}

fn agent() -> Participant {
    participant("agent", ParticipantKind::Agent, ("lk.agent.state", "listening"))
}

fn phone(status: &str) -> Participant {
    participant(PHONE, ParticipantKind::Sip, ("sip.callStatus", status))
}

/// What the agent tells in a whole stream.
fn stream(attendant: &mut Attendant, id: &str, identity: &str, text: &str, is_final: bool) {
    let attributes =
        HashMap::from([(FINAL.to_owned(), is_final.to_string()), (SEGMENT.into(), id.into())]);
    let events = [
        TextStreamEvent::Opened {
            stream_id: id.to_owned(),
            topic: TOPIC.to_owned(),
            participant_identity: identity.to_owned(),
            attributes: attributes.clone(),
            timestamp: SystemTime::UNIX_EPOCH,
        },
        TextStreamEvent::Chunk { stream_id: id.to_owned(), text: text.to_owned() },
        TextStreamEvent::Closed { stream_id: id.to_owned(), attributes },
    ];
    for event in events {
        assert_eq!(attendant.hear(RoomEvent::TextStream(event)), []);
    }
}

fn brief(hints: Vec<Hint>) -> Vec<String> {
    let brief = |hint| match hint {
        Hint::Joined { .. } => "joined".to_owned(),
        Hint::Answered { .. } => "answered".to_owned(),
        Hint::Ended { end, .. } => format!("ended {end:?}"),
        Hint::AgentJoined { .. } => "agent".to_owned(),
        Hint::AgentLeft { .. } => "no agent".to_owned(),
        Hint::AgentState { state, .. } => state.as_str().to_owned(),
        Hint::Line(line) => format!("{:?}: {}", line.speaker, line.text),
        Hint::TranscriptEnded { status } => status.as_str().to_owned(),
        other => format!("{other:?}"),
    };
    hints.into_iter().map(brief).collect()
}

/// The tracks that are offered, and taken or not.
fn offered(attendant: &mut Attendant, take: bool) -> Vec<(String, Speaker)> {
    let mut offered = Vec::new();
    attendant.voices(|track_sid, speaker| {
        offered.push((track_sid.to_owned(), speaker));
        take
    });
    offered
}

/// A leg that was connected.
fn leg() -> Attendant {
    let mut leg = Attendant::leg(PHONE, Arc::new(SystemClock));
    leg.was_connected = true;
    leg
}

#[tokio::test(start_paused = true)]
async fn a_leg_tells_of_everybody_but_itself() {
    let mut leg = leg();
    assert_eq!(brief(leg.look_around(&[agent()])), ["agent", "listening"]);
    for status in ["dialing", "ringing", "active", "hangup"] {
        assert_eq!(leg.hear(RoomEvent::ParticipantUpdated(phone(status))), []);
    }
    let (participant, reason) = (phone("active"), DisconnectReason::DuplicateIdentity);
    assert_eq!(leg.hear(RoomEvent::ParticipantLeft { participant, reason }), []);
    // A leg that is not among the others is not away.
    advance(Duration::from_secs(60)).await;
    assert_eq!((leg.tick(), leg.due(), leg.is_over()), (vec![], None, false));

    leg.leg_answered();
    stream(&mut leg, "SG_1", "agent", "Good morning.", true);
    stream(&mut leg, "SG_2", PHONE, "Hello.", true);
    assert_eq!(brief(leg.tick()), ["Agent: Good morning.", "User: Hello."]);
    assert_eq!(leg.due(), None);
    leg.leg_ended();
    stream(&mut leg, "SG_3", PHONE, "Bye.", true);
    assert_eq!(brief(leg.tick()), ["User: Bye."]);
    advance(leg.due().unwrap() - Instant::now()).await;
    assert_eq!(brief(leg.tick()), ["complete"]);
    assert!(leg.is_over());
}

#[tokio::test(start_paused = true)]
async fn what_ends_the_room_ends_no_leg() {
    for (reason, is_ended, expect) in [
        (CloseReason::RoomDeleted, false, TranscriptStatus::Complete),
        (CloseReason::Removed, false, TranscriptStatus::Complete),
        (CloseReason::DuplicateIdentity, false, TranscriptStatus::Partial),
        (CloseReason::DuplicateIdentity, true, TranscriptStatus::Complete),
        (CloseReason::ConnectionLost("x".to_owned()), false, TranscriptStatus::Partial),
    ] {
        let mut leg = leg();
        leg.look_around(&[agent()]);
        leg.leg_answered();
        if is_ended {
            leg.leg_ended();
        }
        assert_eq!(leg.closed(&reason), [Hint::TranscriptEnded { status: expect }], "{reason:?}");
        assert!(leg.is_over());
        assert_eq!(leg.closed(&reason), []);
    }
    // in the middle of a sentence
    let mut leg = leg();
    leg.look_around(&[agent()]);
    leg.leg_answered();
    stream(&mut leg, "SG_1", "agent", "Good", false);
    let hints = brief(leg.closed(&CloseReason::Removed));
    assert_eq!(hints, ["Agent: Good", "partial"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_heard_is_missing() {
    let ended = |mut leg: Attendant| {
        leg.leg_ended();
        brief(leg.closed(&CloseReason::Left))
    };
    let mut deaf = Attendant::leg(PHONE, Arc::new(SystemClock));
    deaf.look_around(&[]);
    deaf.leg_answered();
    assert_eq!(ended(deaf), ["partial"]);
    let mut late = leg();
    late.leg_answered();
    assert_eq!(ended(late), ["partial"]);
    let mut rejoined = leg();
    rejoined.look_around(&[]);
    assert_eq!(rejoined.hear(RoomEvent::Rejoined), []);
    assert_eq!(ended(rejoined), ["partial"]);
    let mut unanswered = leg();
    unanswered.look_around(&[]);
    assert_eq!(ended(unanswered), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn tracks_are_offered_until_they_are_taken() {
    let agents = vec![("TR_agent".to_owned(), Speaker::Agent)];
    let mut leg = leg();
    leg.look_around(&[agent()]);
    leg.hear(RoomEvent::ParticipantUpdated(phone("active")));
    let participant_identity = PHONE.to_owned();
    leg.hear(RoomEvent::TrackPublished { participant_identity, track: track(PHONE) });
    let stranger = participant("listener", ParticipantKind::Standard, ("", ""));
    leg.hear(RoomEvent::ParticipantJoined(stranger));
    for take in [false, true] {
        assert_eq!(offered(&mut leg, take), agents);
    }
    leg.hear(RoomEvent::ParticipantUpdated(agent()));
    assert_eq!(offered(&mut leg, true), []);
    let (participant_identity, track_sid) = ("agent".to_owned(), "TR_agent".to_owned());
    leg.hear(RoomEvent::TrackUnpublished { participant_identity, track_sid });
    let participant_identity = "agent".to_owned();
    leg.hear(RoomEvent::TrackPublished { participant_identity, track: track("agent") });
    assert_eq!(offered(&mut leg, true), agents);

    let mut observer = Attendant::observer(PHONE, Arc::new(SystemClock));
    let hints = observer.look_around(&[phone("active"), agent()]);
    assert_eq!(brief(hints), ["joined", "answered", "agent", "listening"]);
    let mut both = vec![(format!("TR_{PHONE}"), Speaker::User)];
    both.extend(agents);
    assert_eq!(offered(&mut observer, true), both);
}

#[tokio::test(start_paused = true)]
async fn an_agents_state_is_told() {
    let mut leg = leg();
    leg.look_around(&[]);
    assert_eq!(brief(leg.hear(RoomEvent::ParticipantJoined(agent()))), ["agent", "listening"]);
    let mut speaking = agent();
    let state = AgentState::Speaking.as_str().to_owned();
    speaking.attributes.insert("lk.agent.state".to_owned(), state);
    assert_eq!(brief(leg.hear(RoomEvent::ParticipantUpdated(speaking.clone()))), ["speaking"]);
    let (participant, reason) = (speaking, DisconnectReason::ClientInitiated);
    assert_eq!(brief(leg.hear(RoomEvent::ParticipantLeft { participant, reason })), ["no agent"]);
}

#[tokio::test(start_paused = true)]
async fn the_callees_keys_are_told_by_an_observer() {
    let press = |attendant: &mut Attendant, who: &str, digit: &str| {
        let (participant_identity, digit) = (who.to_owned(), digit.to_owned());
        let hints = attendant.hear(RoomEvent::Dtmf { participant_identity, code: 5, digit });
        let key = |hint| match hint {
            Hint::Dtmf { digit, .. } => digit.as_char(),
            other => panic!("{other:?}"),
        };
        hints.into_iter().map(key).collect::<String>()
    };
    let mut observer = Attendant::observer(PHONE, Arc::new(SystemClock));
    observer.look_around(&[agent(), phone("active")]);
    for (who, digit, expect) in [
        (PHONE, "5", "5"),
        (PHONE, "#", "#"),
        (PHONE, "55", ""),
        (PHONE, "", ""),
        (PHONE, "x", ""),
        ("agent", "5", ""),
        ("", "5", ""),
    ] {
        assert_eq!(press(&mut observer, who, digit), expect, "{who} {digit}");
    }
    let mut leg = leg();
    leg.look_around(&[agent()]);
    assert_eq!(press(&mut leg, PHONE, "5") + &press(&mut leg, "agent", "5"), "");
}

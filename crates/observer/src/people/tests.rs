use super::*;

const CALLEE: &str = "phone-+15550199999";

/// Someone who is there, with some attributes.
fn see(people: &mut People, identity: &str, attributes: &[(&str, &str)]) -> Vec<String> {
    with(identity, attributes, |who, now| people.see(who, now))
}

fn leave(
    people: &mut People,
    identity: &str,
    attributes: &[(&str, &str)],
    reason: DisconnectReason,
) -> Vec<String> {
    with(identity, attributes, |who, now| people.leave(who, reason, now))
}

fn with(
    identity: &str,
    attributes: &[(&str, &str)],
    act: impl FnOnce(Sighting<'_>, Moment) -> Vec<Hint>,
) -> Vec<String> {
    let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let who = Sighting {
        sid: "PA_1",
        identity,
        is_agent: identity.starts_with("agent"),
        is_there: !identity.ends_with('?'),
        attributes: &attributes,
    };
    brief(act(who, now()))
}

fn brief(hints: Vec<Hint>) -> Vec<String> {
    let brief = |hint| match hint {
        Hint::Joined { participant, .. } => format!("joined {}", participant.unwrap().sid),
        Hint::Ringing { .. } => "ringing".to_owned(),
        Hint::Answered { .. } => "answered".to_owned(),
        Hint::Ended { end, .. } => format!("ended {end:?}"),
        Hint::AgentJoined { .. } => "agent".to_owned(),
        Hint::AgentLeft { .. } => "no agent".to_owned(),
        Hint::AgentState { state, .. } => format!("agent {}", state.as_str()),
        other => format!("{other:?}"),
    };
    hints.into_iter().map(brief).collect()
}

fn now() -> Moment {
    Moment { at: chrono::Utc::now(), tick: Instant::now() }
}

fn status(value: &'static str) -> [(&'static str, &'static str); 1] {
    [(CALL_STATUS, value)]
}

/// A leg that is seen with each of `statuses` and then leaves.
fn check(statuses: &[&'static str], reason: DisconnectReason, expect: &[&str]) {
    let mut people = People::new(CALLEE);
    let mut hints: Vec<_> =
        statuses.iter().flat_map(|value| see(&mut people, CALLEE, &status(value))).collect();
    let last = statuses.last().map_or("", |last| *last);
    hints.extend(leave(&mut people, CALLEE, &status(last), reason));
    assert_eq!(hints, expect, "{statuses:?} {reason:?}");
    assert!(people.is_over());
    // Nothing is told twice, nor after the end.
    assert!(leave(&mut people, CALLEE, &status(last), reason).is_empty());
    assert!(see(&mut people, CALLEE, &status("active")).is_empty());
    assert!(people.room_deleted(now()).is_empty() && people.only(&[], now()).is_empty());
}

#[test]
fn the_course_of_a_leg() {
    use DisconnectReason::*;
    let whole = ["joined PA_1", "ringing", "answered", "ended CalleeHangup"];
    check(&["dialing", "ringing", "active", "hangup"], ClientInitiated, &whole);
    check(
        &["", "dialing", "ringing", "ringing", "active", "active", "hangup"],
        ClientInitiated,
        &whole,
    );
    // Reordered: where it stands never moves back.
    check(
        &["active", "ringing", "dialing", "active"],
        ClientInitiated,
        &["joined PA_1", "answered", "ended MediaTimeout"],
    );
    check(
        &["dialing", "active", "hangup"],
        RoomDeleted,
        &["joined PA_1", "answered", "ended CalleeHangup"],
    );
    // Late: only its end is seen.
    check(&[], UserRejected, &["joined PA_1", "ended Rejected"]);
    check(&["hangup"], ClientInitiated, &["joined PA_1", "answered", "ended CalleeHangup"]);
    // Not answered.
    check(&["dialing", "ringing"], UserRejected, &["joined PA_1", "ringing", "ended Rejected"]);
    check(
        &["dialing", "ringing"],
        UserUnavailable,
        &["joined PA_1", "ringing", "ended Unavailable"],
    );
    check(&["dialing"], ClientInitiated, &["joined PA_1", "ended Aborted"]);
    // Ended by us or the agent, or lost.
    let removed = ["joined PA_1", "ringing", "answered", "ended Removed"];
    check(&["dialing", "ringing", "active"], ParticipantRemoved, &removed);
    check(&["active"], ConnectionTimeout, &["joined PA_1", "answered", "ended Lost"]);
}

#[test]
fn the_last_status_may_come_with_the_leaving() {
    let mut people = People::new(CALLEE);
    see(&mut people, CALLEE, &status("active"));
    let hints = leave(&mut people, CALLEE, &status("hangup"), DisconnectReason::ClientInitiated);
    assert_eq!(hints, ["ended CalleeHangup"]);
}

#[test]
fn a_room_that_is_deleted_ends_the_leg() {
    let mut people = People::new(CALLEE);
    assert!(people.room_deleted(now()).is_empty(), "there is none");
    see(&mut people, CALLEE, &status("ringing"));
    assert_eq!(brief(people.room_deleted(now())), ["ended Removed"]);
}

#[test]
fn agents_come_and_go() {
    let mut people = People::new(CALLEE);
    let state = |value| [(AGENT_STATE, value)];
    assert!(see(&mut people, "agent-1?", &[]).is_empty(), "it still joins");
    assert_eq!(
        see(&mut people, "agent-1", &state("initializing")),
        ["agent", "agent initializing"]
    );
    assert!(see(&mut people, "agent-1", &state("initializing")).is_empty());
    assert_eq!(see(&mut people, "agent-1", &state("listening")), ["agent listening"]);
    assert!(see(&mut people, "agent-1", &state("dancing")).is_empty());
    assert!(see(&mut people, "agent-1", &[]).is_empty());
    // Another one takes over.
    assert!(see(&mut people, "agent-2", &[]).is_empty());
    assert!(leave(&mut people, "agent-1", &[], DisconnectReason::ClientInitiated).is_empty());
    assert!(people.has_agent());
    assert_eq!(leave(&mut people, "agent-2", &[], DisconnectReason::ClientInitiated), ["no agent"]);
    assert!(leave(&mut people, "agent-2", &[], DisconnectReason::ClientInitiated).is_empty());
    assert_eq!(see(&mut people, "agent-2", &state("speaking")), ["agent", "agent speaking"]);
    assert!(people.may_have_spoken());
    assert_eq!(brief(people.only(&[CALLEE], now())), ["no agent"]);
    assert!(!people.may_have_spoken());
}

#[test]
fn an_avatar_is_no_agent_of_its_own() {
    let mut people = People::new(CALLEE);
    assert_eq!(see(&mut people, "agent-1", &[]), ["agent"]);
    assert!(see(&mut people, "agent-avatar", &[(ON_BEHALF, "agent-1")]).is_empty());
    assert_eq!(people.speaker("agent-avatar"), Some(Speaker::Agent));
    assert_eq!(leave(&mut people, "agent-1", &[], DisconnectReason::ClientInitiated), ["no agent"]);
    assert!(leave(&mut people, "agent-avatar", &[], DisconnectReason::ClientInitiated).is_empty());
}

#[test]
fn strangers_say_nothing() {
    let mut people = People::new(CALLEE);
    assert!(see(&mut people, "guest", &status("active")).is_empty());
    assert!(
        leave(&mut people, "guest", &status("active"), DisconnectReason::RoomDeleted).is_empty()
    );
    assert_eq!(people.speaker("guest"), None);
    assert_eq!(people.speaker(CALLEE), Some(Speaker::User));
    assert!(!people.is_over());
    for number in 0..100 {
        see(&mut people, &format!("agent-{number}"), &[]);
    }
    assert_eq!(people.agents.len(), MAX_AGENTS);
}

#[test]
fn who_left_while_nobody_looked() {
    let mut people = People::new(CALLEE);
    assert!(people.only(&[], now()).is_empty());
    see(&mut people, CALLEE, &status("active"));
    see(&mut people, "agent-1", &[]);
    assert!(people.only(&[CALLEE, "agent-1"], now()).is_empty());
    assert!(people.only(&["agent-1"], now()).is_empty(), "it may come again");
    assert_eq!(brief(people.room_gone(now())), ["no agent", "ended Left"]);
    assert!(people.room_gone(now()).is_empty());
}

#[test]
fn a_phone_that_lost_its_connection_comes_again() {
    for reason in [DisconnectReason::DuplicateIdentity, DisconnectReason::UnknownReason] {
        let mut people = People::new(CALLEE);
        see(&mut people, CALLEE, &status("active"));
        assert!(leave(&mut people, CALLEE, &status("active"), reason).is_empty());
        let due = people.due().unwrap();
        assert!(see(&mut people, CALLEE, &status("active")).is_empty());
        assert_eq!(people.due(), None);
        // Or it does not.
        assert!(people.only(&[], now()).is_empty());
        let left = now();
        assert!(people.due().unwrap() >= due);
        assert_eq!(people.tick(left), None);
        let hint = people.tick(left.after(10_000)).unwrap();
        assert!(matches!(&hint, Hint::Ended { at, .. } if *at <= left.at));
        assert_eq!(brief(vec![hint]), ["ended Left"]);
        assert!(people.is_over() && people.due().is_none());
    }
}

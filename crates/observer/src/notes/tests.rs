use std::collections::HashMap;

use chrono::DateTime;
use outdial_domain::{AgentState, LegEnd};

use super::*;

const CALLEE: &str = "phone-+15550199999";

/// Plays a call and keeps the hints.
struct Player {
    notes: Notes,
    start: Moment,
    now: Moment,
    hints: Vec<String>,
}

impl Player {
    /// An observer that is in the room before anybody else.
    fn new() -> Self {
        let mut player = Self::late();
        player.notes.listening();
        player
    }

    fn late() -> Self {
        let at = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        let now = Moment { at, tick: Instant::now() };
        Self { notes: Notes::new(CALLEE), start: now, now, hints: Vec::new() }
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.start.after(millis);
        self.keep(Vec::new())
    }

    fn keep(&mut self, mut hints: Vec<Hint>) -> &mut Self {
        hints.extend(self.notes.tick(self.now));
        let (now, start) = (self.now, self.start.at);
        let brief = |hint| match hint {
            Hint::Joined { at, .. } if at == now.at => "joined".to_owned(),
            Hint::Ringing { at } if at == now.at => "ringing".to_owned(),
            Hint::Answered { at } if at == now.at => "answered".to_owned(),
            Hint::Ended { at, end } if at == now.at => format!("ended {end:?}"),
            Hint::AgentJoined { at } if at == now.at => "agent".to_owned(),
            Hint::AgentLeft { at } if at == now.at => "no agent".to_owned(),
            Hint::AgentState { state, .. } => state.as_str().to_owned(),
            Hint::Line(line) => {
                let at = (line.timestamp - start).num_milliseconds();
                format!("{:?} {at} {}", line.speaker, line.text)
            }
            Hint::TranscriptEnded { status } => status.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        self.hints.extend(hints.into_iter().map(brief));
        self
    }

    fn see(&mut self, identity: &str, name: &str, value: &str) -> &mut Self {
        let attributes = HashMap::from([(name.to_owned(), value.to_owned())]);
        let hints = self.notes.see(sighting(identity, &attributes), self.now);
        self.keep(hints)
    }

    fn callee(&mut self, status: &str) -> &mut Self {
        self.see(CALLEE, "sip.callStatus", status)
    }

    fn agent(&mut self, state: AgentState) -> &mut Self {
        self.see("agent", "lk.agent.state", state.as_str())
    }

    fn leave(&mut self, identity: &str, reason: DisconnectReason) -> &mut Self {
        let attributes = HashMap::new();
        let hints = self.notes.leave(sighting(identity, &attributes), reason, self.now);
        self.keep(hints)
    }

    fn open(&mut self, stream: &str, identity: &str) -> &mut Self {
        let speaker = self.notes.speaker(identity).unwrap();
        let segment = Some(stream);
        let header = Header { stream, segment, speaker, identity, is_final: false };
        self.notes.open(header, self.now);
        self.keep(Vec::new())
    }

    fn text(&mut self, stream: &str, text: &str) -> &mut Self {
        self.notes.append(stream, text, self.now);
        self.keep(Vec::new())
    }

    fn close(&mut self, stream: &str, is_final: bool) -> &mut Self {
        self.notes.close(stream, is_final, self.now);
        self.keep(Vec::new())
    }

    /// What was told since the last look.
    fn tells(&mut self, expect: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.hints), expect);
        self
    }

    /// It is over, and nothing follows.
    fn is_over(&mut self) {
        assert!(self.notes.is_over() && self.notes.due().is_none());
        let mut hints = self.notes.shut_out(self.now);
        hints.extend(self.notes.tick(self.now.after(60_000)));
        assert_eq!(hints, []);
    }

    /// Ticks when it is due, once.
    fn due(&mut self, millis: u64) -> &mut Self {
        assert_eq!(self.notes.due(), Some(self.start.after(millis).tick));
        self.at(millis)
    }
}

fn sighting<'a>(identity: &'a str, attributes: &'a HashMap<String, String>) -> Sighting<'a> {
    let is_agent = identity.starts_with("agent");
    Sighting { sid: "PA_1", identity, is_agent, is_there: true, attributes }
}

/// A call that is answered and greeted, before which the observer was there.
fn answered() -> Player {
    let mut p = Player::new();
    p.at(0).agent(AgentState::Listening).callee("dialing").at(50).callee("ringing");
    p.at(900).callee("active").agent(AgentState::Speaking).open("A1", "agent").text("A1", "Hello.");
    p.at(1_500).close("A1", true);
    p.tells(&[
        "agent",
        "listening",
        "joined",
        "ringing",
        "answered",
        "speaking",
        "Agent 900 Hello.",
    ]);
    p
}

#[test]
fn the_callee_hangs_up() {
    let mut p = answered();
    p.at(2_000).callee("hangup").tells(&["ended CalleeHangup"]);
    // The end is known; what was said is still being told.
    p.at(2_010).leave(CALLEE, DisconnectReason::ClientInitiated).tells(&[]);
    p.at(2_200).open("U1", CALLEE).text("U1", "Bye.").close("U1", true);
    p.tells(&["User 2200 Bye."]).due(2_700).tells(&["complete"]).is_over();
}

#[test]
fn the_agent_leaves_with_the_callee() {
    let mut p = answered();
    p.at(2_000).callee("hangup").open("U1", CALLEE).text("U1", "By").close("U1", false);
    p.at(2_300).leave("agent", DisconnectReason::ClientInitiated);
    p.tells(&["ended CalleeHangup", "no agent"]);
    p.due(2_600).tells(&["User 2000 By"]).due(2_650).tells(&["complete"]).is_over();
}

#[test]
fn nobody_waits_for_an_agent_that_never_ends() {
    let mut p = answered();
    p.at(2_000).leave(CALLEE, DisconnectReason::ParticipantRemoved).open("A2", "agent");
    for millis in (2_100..3_800).step_by(100) {
        p.at(millis).text("A2", "la ");
    }
    p.tells(&["ended Removed"]).due(3_800);
    let la = "la ".repeat(17);
    p.tells(&[&format!("Agent 2000 {}", la.trim()), "complete"]).is_over();
}

#[test]
fn nobody_answers() {
    let mut p = Player::new();
    p.callee("ringing").at(100).leave(CALLEE, DisconnectReason::UserRejected).due(600);
    p.tells(&["joined", "ringing", "ended Rejected", "complete"]).is_over();
}

#[test]
fn an_agent_comes_back() {
    let mut p = answered();
    p.at(2_000).leave("agent", DisconnectReason::ConnectionTimeout).tells(&["no agent"]);
    p.at(2_500).agent(AgentState::Idle).tells(&["agent", "idle"]);
    p.at(3_000).callee("hangup").due(3_500).tells(&["ended CalleeHangup", "complete"]);
}

#[test]
fn the_room_is_deleted() {
    // Between two sentences.
    let mut p = answered();
    p.at(2_000);
    let hints = p.notes.room_deleted(p.now);
    p.keep(hints).tells(&["ended Removed", "complete"]).is_over();
    // In the middle of one.
    let mut p = answered();
    p.at(2_000).open("A2", "agent").text("A2", "Good b");
    let hints = p.notes.room_deleted(p.now);
    p.keep(hints).tells(&["ended Removed", "Agent 2000 Good b", "partial"]).is_over();
    // After the leg.
    let mut p = answered();
    p.at(2_000).callee("hangup").open("A2", "agent").text("A2", "Good b");
    let hints = p.notes.room_deleted(p.now);
    p.keep(hints).tells(&["ended CalleeHangup", "Agent 2000 Good b", "complete"]).is_over();
    // Before anybody came.
    let mut p = Player::new();
    let hints = p.notes.room_deleted(p.now);
    p.keep(hints).tells(&["complete"]).is_over();
}

#[test]
fn the_room_is_gone() {
    let mut p = answered();
    p.notes.cut_off(p.now);
    let hints = p.notes.room_gone(p.now);
    p.keep(hints).tells(&["no agent", "ended Left", "partial"]).is_over();
}

#[test]
fn the_phone_loses_its_connection() {
    let mut p = answered();
    p.at(2_000).leave(CALLEE, DisconnectReason::DuplicateIdentity).callee("active");
    p.at(30_000).leave(CALLEE, DisconnectReason::DuplicateIdentity).tells(&[]).due(40_000);
    let left = p.start.after(30_000).at;
    p.tells(&[&format!("Ended {{ at: {left:?}, end: Lost }}")]).due(40_500);
    p.tells(&["complete"]).is_over();
}

#[test]
fn shut_out() {
    let mut p = answered();
    p.open("A2", "agent").text("A2", "Your");
    let hints = p.notes.shut_out(p.now);
    p.keep(hints).tells(&["Agent 1500 Your", "partial"]).is_over();
    let mut p = answered();
    p.at(2_000).callee("hangup");
    let hints = p.notes.shut_out(p.now);
    p.keep(hints).tells(&["ended CalleeHangup", "complete"]).is_over();
}

#[test]
fn what_makes_a_transcript_partial() {
    let end = |p: &mut Player| {
        p.at(5_000).callee("hangup").at(9_000);
        p.hints.pop().unwrap()
    };
    let mut p = Player::late();
    p.callee("ringing").notes.listening();
    p.callee("active");
    assert_eq!(end(&mut p), "complete", "it still rang");
    let mut p = Player::late();
    p.callee("active").notes.listening();
    assert_eq!(end(&mut p), "partial", "it was answered before we listened");
    let mut p = Player::late();
    p.agent(AgentState::Speaking).notes.listening();
    p.callee("active");
    assert_eq!(end(&mut p), "partial", "the agent spoke before we listened");
    let mut p = answered();
    p.notes.missed();
    assert_eq!(end(&mut p), "partial");
    let mut p = answered();
    p.open("A2", "agent");
    p.notes.fail("A2", true, p.now);
    assert_eq!(end(&mut p), "partial");
    let mut p = answered();
    p.open("A2", "agent");
    p.notes.fail("A2", false, p.now);
    assert_eq!(end(&mut p), "complete", "its sender left");
}

#[test]
fn hints_are_told_once() {
    let mut p = answered();
    p.callee("active").callee("ringing").agent(AgentState::Speaking).tells(&[]);
    p.at(2_000).leave(CALLEE, DisconnectReason::ConnectionTimeout);
    p.leave(CALLEE, DisconnectReason::ConnectionTimeout).callee("hangup");
    p.tells(&[&format!("ended {:?}", LegEnd::Lost)]);
}

mod agent;
mod conformance;
mod ends;
mod outcomes;
mod recording;
mod timing;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::{
    DialRequest, Dialed, DispatchRequest, HintSink, LegLook, Provider, Rooms, TrunkAccess,
};
use outdial_domain::{
    AssistantId, CallService, E164, Hint, LegEnd, RoomName, SipTransport, TranscriptLine,
    TranscriptStatus,
};
use outdial_testkit::clock::VirtualClock;
use outdial_testkit::sample;
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use crate::{Sandbox, SandboxConfig};

const INSTRUCTION: &str = "Say: Hello Ann, this is the delivery service.";
const GREETING: &str = "Hello Ann, this is the delivery service.";

/// When the clock of a stage begins.
fn epoch() -> DateTime<Utc> {
    sample::START
}

/// A call in a sandbox of its own. The clock begins with it.
struct Stage {
    sandbox: Sandbox,
    room: RoomName,
    to_number: E164,
}

impl Stage {
    fn new(suffix: &str) -> Self {
        Self::scaled(suffix, 1.0)
    }

    fn scaled(suffix: &str, time_scale: f64) -> Self {
        let config = SandboxConfig { time_scale, ..SandboxConfig::default() };
        let sandbox = Sandbox::new(config, Arc::new(VirtualClock::default()));
        Self::within(sandbox, suffix)
    }

    fn within(sandbox: Sandbox, suffix: &str) -> Self {
        let to_number: E164 = format!("+15550100{suffix}").parse().unwrap();
        let room = RoomName::new(CallService::Twilio, AssistantId::random(), &to_number);
        Self { sandbox, room, to_number }
    }

    /// A call as the engine places it: room, agent, leg.
    async fn placed(suffix: &str) -> (Self, Receiver<Hint>) {
        let stage = Self::new(suffix);
        let hints = stage.place().await;
        (stage, hints)
    }

    async fn place(&self) -> Receiver<Hint> {
        self.sandbox.create(&self.room).await.unwrap();
        self.dispatch().await;
        self.dial(64).await
    }

    fn identity(&self) -> String {
        format!("phone-{}", self.to_number)
    }

    fn request(&self) -> DialRequest {
        DialRequest {
            room_name: self.room.clone(),
            participant_identity: self.identity(),
            to_number: self.to_number.clone(),
            from_number: None,
            trunk: TrunkAccess::at(None, SipTransport::Udp),
            ringing_timeout: Duration::from_secs(60),
            max_duration: Duration::from_secs(3600),
        }
    }

    async fn dispatch(&self) {
        let request = DispatchRequest {
            agent_name: "agent".into(),
            metadata: json!({"assistant_start_instruction": INSTRUCTION}),
        };
        let id = self.sandbox.dispatch(&self.room, &request).await.unwrap();
        assert_eq!(id.strip_prefix("AD_").map(str::len), Some(12), "{id}");
    }

    async fn dial(&self, capacity: usize) -> Receiver<Hint> {
        let (sink, hints) = HintSink::channel(capacity);
        let dialed = self.sandbox.dial(self.request(), sink).await.unwrap();
        let Dialed::Joined(Some(participant)) = dialed else { panic!("{dialed:?}") };
        assert_eq!(participant.identity, self.identity());
        assert_eq!(participant.sid.strip_prefix("PA_").map(str::len), Some(12));
        hints
    }

    async fn hang_up(&self) {
        self.sandbox.hang_up(&self.room, &self.identity()).await.unwrap();
    }

    async fn delete(&self) {
        self.sandbox.delete(&self.room).await.unwrap();
    }

    async fn leg(&self) -> LegLook {
        let identity = self.identity();
        Provider::look(&self.sandbox, &self.room, &identity).await.unwrap()
    }

    async fn agent_is_there(&self) -> bool {
        let look = Rooms::look(&self.sandbox, &self.room).await.unwrap();
        look.is_some_and(|look| look.agent)
    }
}

/// All hints until the leg's task is done.
async fn all(mut hints: Receiver<Hint>) -> Vec<Hint> {
    let mut heard = Vec::new();
    while let Some(hint) = hints.recv().await {
        heard.push(hint);
    }
    heard
}

async fn ms(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn word(hint: &Hint) -> &'static str {
    match hint {
        Hint::Joined { .. } => "joined",
        Hint::Ringing { .. } => "ringing",
        Hint::Answered { .. } => "answered",
        Hint::Ended { .. } => "ended",
        Hint::AgentJoined { .. } => "agent",
        Hint::AgentLeft { .. } => "agent left",
        Hint::AgentState { state, .. } => state.as_str(),
        Hint::Held { .. } => "held",
        Hint::Resumed { .. } => "resumed",
        Hint::Dtmf { .. } => "dtmf",
        Hint::Media { .. } => "media",
        Hint::Line(_) => "line",
        Hint::TranscriptEnded { .. } => "transcript",
    }
}

/// A hint as a word with its time in ms since the clock began.
fn brief(hint: &Hint) -> (&'static str, i64) {
    let at = match hint {
        Hint::Joined { at, .. }
        | Hint::Ringing { at }
        | Hint::Answered { at }
        | Hint::Ended { at, .. }
        | Hint::AgentJoined { at }
        | Hint::AgentLeft { at }
        | Hint::AgentState { at, .. }
        | Hint::Held { at }
        | Hint::Resumed { at }
        | Hint::Dtmf { at, .. } => at,
        Hint::Line(line) => &line.timestamp,
        Hint::Media { .. } => panic!("counts of media have no time"),
        Hint::TranscriptEnded { .. } => panic!("the end of a transcript has no time"),
    };
    (word(hint), (*at - epoch()).num_milliseconds())
}

/// The course of a call: without the agent's states, which are no facts, and without the end of the
/// transcript, which [`end`] checks.
fn course(hints: &[Hint]) -> Vec<(&'static str, i64)> {
    let passing =
        |hint: &&Hint| !matches!(hint, Hint::AgentState { .. } | Hint::TranscriptEnded { .. });
    hints.iter().filter(passing).map(brief).collect()
}

/// The same in words.
fn words(hints: &[Hint]) -> Vec<&'static str> {
    course(hints).into_iter().map(|(word, _)| word).collect()
}

fn lines(hints: &[Hint]) -> Vec<&TranscriptLine> {
    hints
        .iter()
        .filter_map(|hint| match hint {
            Hint::Line(line) => Some(line),
            _ => None,
        })
        .collect()
}

/// The end, which is told once and last, right after that of the transcript.
fn end(hints: &[Hint]) -> &LegEnd {
    let count = |of| hints.iter().filter(|hint| word(hint) == of).count();
    assert_eq!((count("transcript"), count("ended")), (1, 1), "{hints:?}");
    match hints {
        [
            ..,
            Hint::TranscriptEnded { status: TranscriptStatus::Complete },
            Hint::Ended { end, .. },
        ] => end,
        other => panic!("{other:?}"),
    }
}

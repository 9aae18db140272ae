//! One call, placed as the engine places it, and observed.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use outdial_domain::ports::{
    AudioPacket, AudioSink, DialRequest, DispatchRequest, HintSink, Observation, ObserveRequest,
    Observer, Rooms, TrunkAccess,
};
use outdial_domain::{
    AssistantId, CallService, E164, Hint, LegEnd, RoomName, SipTransport, Speaker, TranscriptLine,
};
use outdial_livekit::SipDial;
use outdial_observer::LiveKitObserver;
use outdial_room::{Media, MediaConfig};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stack::{Phone, Stack};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The packets of each stream of a speaker.
pub(crate) type Tape = Arc<Mutex<BTreeMap<(u8, u32), usize>>>;

pub(crate) struct Recorder(pub(crate) Tape);

impl AudioSink for Recorder {
    fn write(&mut self, packet: &AudioPacket<'_>) {
        let speaker = u8::from(packet.speaker == Speaker::Agent);
        *self.0.lock().unwrap().entry((speaker, packet.stream)).or_default() += 1;
    }
}

/// Runs a test of speech, up to three times: a machine that is busy for a moment makes holes in it, of
/// which agents make other words. A fault is there each time.
pub(crate) async fn by_ear(test: impl AsyncFn()) {
    const ATTEMPTS: u32 = 3;
    for attempt in 1..ATTEMPTS {
        if AssertUnwindSafe(test()).catch_unwind().await.is_ok() {
            return;
        }
        println!("attempt {attempt} of {ATTEMPTS} failed: again");
    }
    test().await;
}

/// How many calls have an agent at the same time: each takes most of a core when it begins.
static SEATS: Semaphore = Semaphore::const_new(2);

pub(crate) struct Call {
    pub(crate) stack: Stack,
    seat: OnceLock<SemaphorePermit<'static>>,
    pub(crate) room: RoomName,
    pub(crate) observer: LiveKitObserver,
    pub(crate) tape: Tape,
    to_number: E164,
    dials: JoinSet<()>,
    hints: mpsc::Receiver<Hint>,
    observation: Option<Observation>,
    pub(crate) told: Vec<(DateTime<Utc>, Hint)>,
}

impl Call {
    pub(crate) fn new() -> Self {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).try_init();
        let stack = Stack::get();
        let to_number: E164 = "+15550199999".parse().unwrap();
        let media = Media::start(MediaConfig {
            bind: "127.0.0.1".parse().unwrap(),
            ..MediaConfig::default()
        });
        Self {
            observer: LiveKitObserver::new(
                media.unwrap(),
                Arc::clone(&stack.livekit),
                Handle::current(),
            ),
            seat: OnceLock::new(),
            dials: JoinSet::new(),
            room: RoomName::new(CallService::Twilio, AssistantId::random(), &to_number),
            stack,
            to_number,
            tape: Tape::default(),
            hints: mpsc::channel(1).1,
            observation: None,
            told: Vec::new(),
        }
    }

    pub(crate) fn callee(&self) -> String {
        format!("phone-{}", self.to_number)
    }

    pub(crate) async fn create(&self) {
        self.stack.livekit.create(&self.room).await.unwrap();
    }

    pub(crate) fn observe(&mut self) {
        let (sink, hints) = HintSink::channel(16);
        self.hints = hints;
        self.observation = Some(self.observer.observe(ObserveRequest {
            room_name: self.room.clone(),
            participant_identity: self.callee(),
            hints: sink,
            audio: Some(Box::new(Recorder(Arc::clone(&self.tape)))),
        }));
    }

    pub(crate) fn stop_observing(&mut self) {
        self.observation = None;
    }

    pub(crate) async fn dispatch(&self, agent_config: &str) {
        self.dispatch_to_say("Hello, this is the order desk.", agent_config).await;
    }

    /// Sends for an agent that greets like this.
    pub(crate) async fn dispatch_to_say(&self, greeting: &str, agent_config: &str) {
        // Given back with the call.
        let _ = self.seat.set(SEATS.acquire().await.unwrap());
        let config: serde_json::Value = serde_json::from_str(agent_config).unwrap();
        let request = DispatchRequest {
            agent_name: self.stack.agent_name.clone(),
            metadata: serde_json::json!({
                "assistant_start_instruction": format!("Say: {greeting}"),
                "agent_config": config,
            }),
        };
        self.stack.livekit.dispatch(&self.room, &request).await.unwrap();
    }

    /// Has livekit-sip dial. What becomes of it is seen in the room.
    pub(crate) fn dial(&mut self, phone: &Phone) {
        let request = DialRequest {
            room_name: self.room.clone(),
            participant_identity: self.callee(),
            to_number: self.to_number.clone(),
            from_number: Some("+15550100000".parse().unwrap()),
            trunk: TrunkAccess::at(Some(phone.address.parse().unwrap()), SipTransport::Udp),
            ringing_timeout: Duration::from_secs(45),
            max_duration: Duration::from_secs(300),
        };
        let livekit = Arc::clone(&self.stack.livekit);
        self.dials.spawn(async move {
            // On a busy machine livekit-sip may not answer LiveKit in time; then nobody was dialed.
            loop {
                match livekit.dial_sip(&request).await.unwrap() {
                    SipDial::Ended(LegEnd::Failed { cause, .. }) if cause.code == "no_sip_node" => {
                    }
                    _ => return,
                }
            }
        });
    }

    /// Waits until a hint comes that is meant; those before it are kept too.
    pub(crate) async fn hears(&mut self, what: &str, is_it: impl Fn(&Hint) -> bool) {
        loop {
            let hint = timeout(PATIENCE, self.hints.recv()).await;
            let hint = hint.unwrap_or_else(|_| panic!("no {what}: {:?}", self.words()));
            let Some(hint) = hint else { panic!("no {what}, but the end: {:?}", self.words()) };
            let is_it = is_it(&hint);
            self.told.push((Utc::now(), hint));
            if is_it {
                return;
            }
        }
    }

    /// Nothing follows.
    pub(crate) async fn hears_no_more(&mut self) {
        let hint = timeout(PATIENCE, self.hints.recv()).await.unwrap();
        assert_eq!(hint, None);
    }

    /// All that was told but lines and what the agent does, in words.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = self.told.iter().filter_map(|(_, hint)| match hint {
            Hint::Joined { participant, .. } => {
                let is_callee = participant.as_ref().is_some_and(|p| p.identity == self.callee());
                Some(format!("joined {is_callee}"))
            }
            Hint::Ringing { .. } => Some("ringing".to_owned()),
            Hint::Answered { .. } => Some("answered".to_owned()),
            Hint::Ended { end, .. } => Some(format!("ended {end:?}")),
            Hint::AgentJoined { .. } => Some("agent".to_owned()),
            Hint::AgentLeft { .. } => Some("no agent".to_owned()),
            Hint::TranscriptEnded { status } => Some(status.as_str().to_owned()),
            _ => None,
        });
        words.collect()
    }

    pub(crate) fn lines(&self) -> Vec<&TranscriptLine> {
        let lines = self.told.iter().filter_map(|(_, hint)| match hint {
            Hint::Line(line) => Some(line),
            _ => None,
        });
        lines.collect()
    }

    /// Prints when what was told.
    pub(crate) fn print(&self, phone: &Phone) {
        for (time, message) in phone.messages() {
            println!("{time}  sip   {message}");
        }
        for (heard, hint) in &self.told {
            let text = match hint {
                Hint::Line(line) => format!("{:?} {} {}", line.speaker, line.timestamp, line.text),
                hint => format!("{hint:?}"),
            };
            println!("{}  hint  {text}", heard.format("%F %H:%M:%S%.6f"));
        }
        println!("packets (agent is 1, stream): {:?}", self.tape.lock().unwrap());
    }

    /// Ends everything.
    pub(crate) async fn end(mut self) {
        self.stop_observing();
        self.observer.shutdown().await;
        self.stack.livekit.delete(&self.room).await.unwrap();
        self.dials.join_all().await;
    }
}

//! The life of one leg: a single task that plays the phone, the callee and the agent's voice.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use outdial_domain::ports::{DialRequest, HintSink};
use outdial_domain::{
    AgentState, Hint, LegEnd, RoomName, Speaker, TranscriptLine, TranscriptStatus,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::scenario::{Scenario, refused};
use crate::speech::{self, Utterance};
use crate::world::{Admission, Agent, LegId, World, arrival};

/// From the INVITE to the first answer of the network.
const NETWORK: Duration = Duration::from_millis(100);
/// Between two lines.
const BREATH: Duration = Duration::from_millis(400);
/// Between the rounds of an endless conversation; in real time, so that a call without waiting does
/// not flood its transcript.
const ROUND: Duration = Duration::from_secs(1);

/// A leg and its task's state.
pub(crate) struct LegTask {
    world: Arc<World>,
    room: RoomName,
    id: LegId,
    scenario: Scenario,
    ringing_timeout: Duration,
    max_duration: Duration,
    agent: watch::Receiver<Option<Agent>>,
    removed: CancellationToken,
    hints: HintSink,
    /// The line that is being spoken; what was said of it is told even if the call ends meanwhile.
    speaking: Option<Utterance>,
}

impl LegTask {
    pub(crate) fn new(
        world: Arc<World>,
        request: DialRequest,
        scenario: Scenario,
        admission: Admission,
        hints: HintSink,
    ) -> Self {
        let Admission { id, agent, removed } = admission;
        Self {
            world,
            room: request.room_name,
            id,
            scenario,
            ringing_timeout: request.ringing_timeout,
            max_duration: request.max_duration,
            agent,
            removed,
            hints,
            speaking: None,
        }
    }

    /// Plays the leg to its end; `joined` is the first hint.
    pub(crate) async fn run(mut self, joined: Hint) {
        let removed = self.removed.clone();
        let hints = self.hints.clone();
        let max_duration = self.max_duration;
        let end = tokio::select! {
            biased;
            () = removed.cancelled() => LegEnd::Removed,
            () = hints.closed() => LegEnd::Removed,
            () = tokio::time::sleep(max_duration) => LegEnd::Removed,
            end = self.course(joined) => end,
        };
        self.finish(end).await;
    }

    /// Everything that happens unless the leg is ended from outside.
    async fn course(&mut self, joined: Hint) -> LegEnd {
        self.hints.send(joined).await;
        let herald = herald(self.agent.clone(), self.hints.clone());
        tokio::select! {
            // The agent is announced before it speaks.
            biased;
            never = herald => match never {},
            end = self.script() => end,
        }
    }

    async fn script(&mut self) -> LegEnd {
        self.world.pass(NETWORK).await;
        if let Scenario::Refused { code, reason, rings: false } = self.scenario {
            return refused(code, reason);
        }
        if let Err(end) = self.ring().await {
            return end;
        }
        if let Scenario::Refused { code, reason, .. } = self.scenario {
            return refused(code, reason);
        }
        let at = self.world.now();
        self.tell(Hint::Answered { at }).await;
        self.talk().await
    }

    async fn ring(&mut self) -> Result<(), LegEnd> {
        let at = self.world.now();
        self.tell(Hint::Ringing { at }).await;
        let ring_time = self.world.ring_time();
        if self.world.scaled(ring_time) > self.ringing_timeout {
            tokio::time::sleep(self.ringing_timeout).await;
            return Err(LegEnd::RingTimeout);
        }
        self.world.pass(ring_time).await;
        Ok(())
    }

    async fn talk(&mut self) -> LegEnd {
        use Speaker::{Agent, User};

        // Without an agent the callee hears nothing, for as long as nobody notices.
        let agent = arrival(self.agent.clone()).await;
        self.world.pass(BREATH).await;
        let greeting = speech::greeting(&agent.instruction);
        if self.scenario == Scenario::HangsUpMidSentence {
            return self.hang_up_during(greeting).await;
        }
        self.say(Agent, greeting).await;
        self.say(User, speech::USER_ASKS).await;
        self.say(Agent, speech::AGENT_ANSWERS).await;
        while self.scenario == Scenario::Endless {
            let rest = self.world.scaled(ROUND).max(ROUND);
            tokio::time::sleep(rest).await;
            self.say(User, speech::USER_WAITS).await;
            self.say(Agent, speech::AGENT_STAYS).await;
        }
        self.say(User, speech::USER_LEAVES).await;
        self.say(Agent, speech::AGENT_LEAVES).await;
        LegEnd::CalleeHangup
    }

    /// Speaks a line, tells it when it is complete, and takes breath.
    async fn say(&mut self, speaker: Speaker, text: &str) {
        let time = speech::speaking_time(text);
        let line = self.begin(speaker, text, time).await;
        self.world.pass(time).await;
        self.let_hear();
        self.hints.send(Hint::Line(line)).await;
        // Not before: a leg that ends while the line cannot be sent still tells it at the end.
        self.speaking = None;
        self.agent_is(match speaker {
            Speaker::Agent => AgentState::Listening,
            Speaker::User => AgentState::Thinking,
        })
        .await;
        self.world.pass(BREATH).await;
    }

    /// The agent begins a line, the callee hangs up in the middle of it.
    async fn hang_up_during(&mut self, text: &str) -> LegEnd {
        let time = speech::speaking_time(text);
        self.begin(Speaker::Agent, text, time).await;
        self.world.pass(time / 2).await;
        self.let_hear();
        if let Some(speaking) = &mut self.speaking {
            speaking.cut(0.5);
        }
        LegEnd::CalleeHangup
    }

    async fn begin(&mut self, speaker: Speaker, text: &str, time: Duration) -> TranscriptLine {
        if speaker == Speaker::Agent {
            self.agent_is(AgentState::Speaking).await;
        }
        let line = TranscriptLine { speaker, text: text.to_owned(), timestamp: self.world.now() };
        self.speaking = Some(Utterance::new(line.clone(), self.world.scaled(time)));
        line
    }

    /// Lets observers hear the line that is being spoken, up to now; once.
    fn let_hear(&mut self) {
        if let Some(speaking) = &mut self.speaking
            && speaking.hear()
        {
            self.world.observers.hear(&self.room, speaking);
        }
    }

    /// Tells what the agent does. A state that lasts no time is left out.
    async fn agent_is(&self, state: AgentState) {
        if !self.world.scaled(BREATH).is_zero() {
            let at = self.world.now();
            self.hints.send(Hint::AgentState { at, state }).await;
        }
    }

    /// Lets looks see a hint, and sends it.
    async fn tell(&self, hint: Hint) {
        self.world.show(&self.room, self.id, hint.clone());
        self.hints.send(hint).await;
    }

    /// Takes the leg out of its room and tells the end.
    async fn finish(mut self, end: LegEnd) {
        let at = self.world.now();
        // While the leg is in its room nobody else takes the observers away.
        self.let_hear();
        self.world.observers.close(&self.room);
        // Who takes the leg out decides how it ended: a removal may have come first.
        let end = match self.world.end_leg(&self.room, self.id) {
            true => end,
            false => LegEnd::Removed,
        };
        if let Some(line) = self.speaking.take().and_then(Utterance::so_far) {
            self.hints.send(Hint::Line(line)).await;
        }
        self.hints.send(Hint::TranscriptEnded { status: TranscriptStatus::Complete }).await;
        tracing::debug!(room = ?self.room, ?end, "a simulated leg ended");
        self.hints.send(Hint::Ended { at, end }).await;
    }
}

/// Announces the agent when it has joined.
async fn herald(agent: watch::Receiver<Option<Agent>>, hints: HintSink) -> Infallible {
    let at = arrival(agent).await.joined_at;
    hints.send(Hint::AgentJoined { at }).await;
    pending().await
}

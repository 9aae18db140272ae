//! An engine on the in-memory store, with the sandbox and, for faults, a scripted backend.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outdial_domain::placeholder::OnMissing;
use outdial_domain::ports::{
    Clock, DialRequest, Dialed, DispatchRequest, HintSink, LegLook, Provider, RoomLook, Rooms,
    Store, TrunkFault, WebhookReply, WebhookRequest, WebhookSender,
};
use outdial_domain::{
    AccountId, Assistant, Call, CallService, Digits, Error, ErrorKind, NodeId, Participant, Result,
    RoomName, Route, Secret, Status, TranscriptLine, Trunk, TrunkRoute,
};
use outdial_engine::{CallRequest, Engine, NewAssistant, NewTrunk, Parts, Policy, Vault};
use outdial_sandbox::{Sandbox, SandboxConfig};
use outdial_testkit::clock::VirtualClock;
use outdial_testkit::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::tape::{Tape, Watcher};

/// What is outside the nodes.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) script: Arc<Script>,
    pub(crate) sender: Arc<Sender>,
}

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) sandbox: Sandbox,
    pub(crate) script: Arc<Script>,
    pub(crate) tape: Arc<Tape>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) account: AccountId,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(Policy::default()).await
    }

    pub(crate) async fn with(policy: Policy) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        Self::on(store, NodeId::random(), policy).await
    }

    /// A node on a store that others use too, or that an earlier one left behind.
    pub(crate) async fn on(store: Arc<dyn Store>, node: NodeId, policy: Policy) -> Self {
        Self::of(&World::default(), store, node, policy).await
    }

    /// A node in a world that it shares with others: what it dials, they can look at.
    pub(crate) async fn of(
        world: &World,
        store: Arc<dyn Store>,
        node: NodeId,
        policy: Policy,
    ) -> Self {
        let World { clock, script, sender } = world.clone();
        let sandbox = Sandbox::new(SandboxConfig::default(), clock.clone());
        let (tape, watcher) = (Arc::new(Tape::default()), Arc::new(Watcher::default()));
        let mut parts = Parts::new(store.clone(), sender.clone(), Vault::new([9; 32]))
            .backend(Route::Sandbox, Arc::new(sandbox.clone()), Arc::new(sandbox.clone()))
            .backend(Route::Twilio, script.clone(), script.clone())
            .observed(Route::Twilio, watcher.clone())
            .backend(Route::Direct, script.clone(), script.clone())
            .recordings(tape.clone());
        parts.backends.insert(Route::Exotel, Err("set exotel up first".into()));
        parts.node = node;
        parts.policy = policy;
        parts.clock = clock.clone();
        let engine = Engine::start(parts).await.unwrap();
        let account = match store.account_named("acme", clock.now()).await {
            Ok(account) => account.account_id,
            // The store is down.
            Err(_) => AccountId::random(),
        };
        Self { engine, store, clock, sandbox, script, tape, watcher, sender, account }
    }

    pub(crate) async fn assistant(&self) -> Assistant {
        self.assistant_with(|_| {}).await
    }

    pub(crate) async fn assistant_with(&self, edit: impl Fn(&mut NewAssistant)) -> Assistant {
        let mut new = NewAssistant {
            assistant_name: "Support".into(),
            assistant_prompt: "You help {{name}}.".into(),
            assistant_start_instruction: "Say: Hello {{name}}!".into(),
            assistant_end_call_url: Some("https://hooks.example.com/end".parse().unwrap()),
            agent_name: "outdial-agent".into(),
            agent_config: json!({"voice": "a"}),
            recording: false,
            on_missing_placeholder: OnMissing::Empty,
            is_active: true,
        };
        edit(&mut new);
        self.engine.create_assistant(&self.account, new).await.unwrap().0
    }

    pub(crate) async fn trunk(&self, route: Route) -> Trunk {
        self.trunk_with(route, |_| {}).await
    }

    pub(crate) async fn trunk_with(&self, route: Route, edit: impl Fn(&mut NewTrunk)) -> Trunk {
        let service =
            if route == Route::Exotel { CallService::Exotel } else { CallService::Twilio };
        let mut new = NewTrunk {
            numbers: vec!["+15550100000".parse().unwrap()],
            address: Some("sip.example.com".parse().unwrap()),
            sandbox: route == Route::Sandbox,
            route: if route == Route::Direct { TrunkRoute::Direct } else { TrunkRoute::default() },
            ..NewTrunk::new("trunk", service)
        };
        edit(&mut new);
        self.engine.create_trunk(&self.account, new).await.unwrap()
    }

    /// A request for a call to `+1555010` and `last`.
    pub(crate) fn request(&self, assistant: &Assistant, trunk: &Trunk, last: &str) -> CallRequest {
        let Value::Object(metadata) = json!({"name": "Ann"}) else { unreachable!() };
        CallRequest {
            assistant_id: assistant.assistant_id,
            trunk_id: trunk.trunk_id.clone(),
            to_number: format!("+15550100{last}").parse().unwrap(),
            call_service: trunk.call_service,
            metadata,
            respond_async: false,
            idempotency: None,
        }
    }

    pub(crate) async fn place(&self, route: Route, last: &str) -> Call {
        let (assistant, trunk) = (self.assistant().await, self.trunk(route).await);
        let request = self.request(&assistant, &trunk, last);
        self.engine.place(&self.account, request).await.unwrap()
    }

    /// The call once it has been finished with: ended, and nothing left to be done.
    pub(crate) async fn finished(&self, room: &RoomName) -> Call {
        self.until(room, |call| call.status() == Status::Ended && call.due_at.is_none()).await
    }

    pub(crate) async fn status(&self, room: &RoomName, status: Status) -> Call {
        self.until(room, |call| call.status() >= status).await
    }

    pub(crate) async fn until(&self, room: &RoomName, condition: impl Fn(&Call) -> bool) -> Call {
        // Virtual time: this takes no time, and ends in a day.
        for _ in 0..24 * 3600 * 20 {
            let call = self.store.get(room).await.unwrap().unwrap();
            if condition(&call) {
                return call;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never: {:?}", self.store.get(room).await);
    }
}

/// Takes webhooks, with scripted answers (200 when there is none).
#[derive(Default)]
pub(crate) struct Sender {
    pub(crate) sent: Mutex<Vec<WebhookRequest>>,
    pub(crate) replies: Mutex<VecDeque<u16>>,
    /// Requests to URLs that hold this text never end.
    pub(crate) hang_on: Mutex<Option<&'static str>>,
}

impl Sender {
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

#[async_trait]
impl WebhookSender for Sender {
    fn end_of_call(
        &self,
        call: &Call,
        lines: &[TranscriptLine],
        recording_path: Option<&str>,
    ) -> Vec<u8> {
        let outcome = call.termination.as_ref().unwrap().outcome.as_str();
        serde_json::to_vec(&json!({
            "room_name": call.room_name(), "outcome": outcome, "lines": lines.len(),
            "recording_path": recording_path,
        }))
        .unwrap()
    }

    fn new_secret(&self) -> Secret {
        Secret::new(format!("whsec_{}", outdial_domain::random_text(8)))
    }

    async fn send(&self, request: &WebhookRequest) -> WebhookReply {
        let hangs =
            self.hang_on.lock().unwrap().is_some_and(|text| request.url.as_str().contains(text));
        if hangs {
            std::future::pending::<()>().await;
        }
        self.sent.lock().unwrap().push(request.clone());
        let status = self.replies.lock().unwrap().pop_front().unwrap_or(200);
        let error = (status >= 300).then(|| format!("status {status}"));
        WebhookReply { status_code: Some(status), error, retry_after: None }
    }

    fn check_url(&self, url: &url::Url) -> Result<(), String> {
        if url.host_str() == Some("localhost") { Err("it is private".into()) } else { Ok(()) }
    }
}

/// Rooms and provider whose every answer a test chooses; what they are asked is counted.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) asked: Mutex<Vec<&'static str>>,
    pub(crate) dialed: Mutex<Vec<DialRequest>>,
    pub(crate) sinks: Mutex<Vec<HintSink>>,
    /// Operations that fail, and with what kind.
    pub(crate) fails: Mutex<Vec<(&'static str, ErrorKind)>>,
    /// What a look at the leg finds.
    pub(crate) leg: Mutex<Option<LegLook>>,
    pub(crate) dial_ends: Mutex<Option<outdial_domain::LegEnd>>,
    pub(crate) agent: AtomicBool,
    /// Legs are in the process that dialled them.
    pub(crate) local: AtomicBool,
    /// A dispatch waits for it.
    gate: Mutex<Option<Arc<Notify>>>,
    dispatched: Mutex<Option<RoomName>>,
}

impl Script {
    fn ask(&self, operation: &'static str) -> Result<()> {
        self.asked.lock().unwrap().push(operation);
        let fails = self.fails.lock().unwrap();
        match fails.iter().find(|(name, _)| *name == operation) {
            Some((_, kind)) => Err(Error::new(*kind, operation, "as the test wants it")),
            None => Ok(()),
        }
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| **asked == operation).count()
    }

    /// Makes dispatches wait for what is returned.
    pub(crate) fn slow_dispatch(&self) -> Arc<Notify> {
        self.gate.lock().unwrap().insert(Arc::default()).clone()
    }

    /// The room of a dispatch that is under way.
    pub(crate) async fn dispatching(&self) -> RoomName {
        loop {
            if let Some(room) = self.dispatched.lock().unwrap().clone() {
                return room;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn sink(&self) -> HintSink {
        self.sinks.lock().unwrap().last().unwrap().clone()
    }
}

#[async_trait]
impl Rooms for Script {
    async fn create(&self, _: &RoomName) -> Result<()> {
        self.ask("create")
    }
    async fn dispatch(&self, room: &RoomName, _: &DispatchRequest) -> Result<String> {
        *self.dispatched.lock().unwrap() = Some(room.clone());
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        self.ask("dispatch").map(|()| "AD_1".into())
    }
    async fn look(&self, _: &RoomName) -> Result<Option<RoomLook>> {
        self.ask("look_room")?;
        let agent = self.agent.load(Ordering::SeqCst);
        Ok(Some(RoomLook { agent, others: Vec::new() }))
    }
    async fn delete(&self, _: &RoomName) -> Result<()> {
        self.ask("delete")
    }
    async fn check(&self) -> Result<()> {
        self.ask("check")
    }
}

#[async_trait]
impl Provider for Script {
    async fn dial(&self, request: DialRequest, hints: HintSink) -> Result<Dialed> {
        let identity = request.participant_identity.clone();
        self.dialed.lock().unwrap().push(request);
        self.sinks.lock().unwrap().push(hints);
        self.ask("dial")?;
        Ok(match self.dial_ends.lock().unwrap().clone() {
            Some(end) => Dialed::Ended(end),
            None => Dialed::Joined(Some(Participant { sid: "PA_1".into(), identity })),
        })
    }
    async fn hang_up(&self, _: &RoomName, _: &str) -> Result<()> {
        self.ask("hang_up")
    }
    async fn send_dtmf(&self, _: &RoomName, _: &str, _: &Digits) -> Result<()> {
        self.ask("send_dtmf")
    }
    async fn look(&self, _: &RoomName, _: &str) -> Result<LegLook> {
        self.ask("look_leg")?;
        Ok(self.leg.lock().unwrap().clone().unwrap_or(LegLook::Present(Vec::new())))
    }
    fn legs_are_local(&self) -> bool {
        self.local.load(Ordering::SeqCst)
    }
    fn check_trunk(&self, trunk: &Trunk) -> Result<(), TrunkFault> {
        let missing = trunk.numbers.is_empty();
        if missing {
            Err(TrunkFault { field: "numbers", rule: "one is needed".into() })
        } else {
            Ok(())
        }
    }
}

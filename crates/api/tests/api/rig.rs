//! The API over an engine on the in-memory store, with the sandbox and a scripted provider.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::App;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Bytes;
use async_trait::async_trait;
use outdial_api::{ApiOptions, ApiState, configure};
use outdial_domain::ports::{
    DialRequest, Dialed, DispatchRequest, HintSink, LegLook, Provider, RoomLook, Rooms, TrunkFault,
    WebhookReply, WebhookRequest, WebhookSender,
};
use outdial_domain::{
    Call, Digits, Error, ErrorKind, LegEnd, Result, RoomName, Route, Secret, SipStatus,
    TranscriptLine, Trunk,
};
use outdial_engine::{Engine, NewKey, Parts, Vault};
use outdial_sandbox::{Sandbox, SandboxConfig};
use outdial_testkit::clock::VirtualClock;
use outdial_testkit::memory::MemoryStore;
use serde_json::{Value, json};

use crate::tape::{Tape, Watcher};

/// Good for `+15550100…` numbers whose last digits choose the sandbox's scenario.
pub(crate) const TALKS: &str = "+15550200000";
pub(crate) const NEVER_ENDS: &str = "+15550200903";

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) scripted: Arc<Scripted>,
    pub(crate) tape: Arc<Tape>,
    pub(crate) state: ApiState,
    /// A key of the account `acme`.
    pub(crate) key: String,
    /// An administrator's key, of the account `operator`.
    pub(crate) admin: String,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(ApiOptions { rate_limit: None, ..ApiOptions::default() }).await
    }

    pub(crate) async fn with(options: ApiOptions) -> Self {
        crate::logs::log_to_thread();
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(VirtualClock::default());
        let sandbox = Arc::new(Sandbox::new(SandboxConfig::default(), clock.clone()));
        let sender = Arc::new(Sender::default());
        let scripted = Arc::new(Scripted::default());
        let tape = Arc::new(Tape::new());
        let mut parts = Parts::new(store.clone(), sender.clone(), Vault::new([9; 32]))
            .backend(Route::Sandbox, sandbox.clone(), sandbox)
            .observed(Route::Sandbox, Arc::new(Watcher))
            .recordings(tape.clone())
            .backend(Route::Twilio, scripted.clone(), scripted.clone());
        parts.backends.insert(Route::Exotel, Err("exotel.bind is not set".into()));
        parts.clock = clock;
        let engine = Engine::start(parts).await.unwrap();
        let key = new_key(&engine, "acme", false).await;
        let admin = new_key(&engine, "operator", true).await;
        let state = ApiState::new(engine.clone(), options);
        Self { engine, store, sender, scripted, tape, state, key, admin }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let app = init_service(App::new().configure(configure(self.state.clone()))).await;
        let response = call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await;
        assert!(headers.contains_key("x-request-id"), "{status} without x-request-id");
        Answer { status, headers, body }
    }

    /// A request with the key of `acme`.
    pub(crate) fn request(&self, method: &str, path: &str) -> TestRequest {
        TestRequest::default()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .insert_header(("x-api-key", self.key.as_str()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", path).set_json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("PATCH", path).set_json(body)).await
    }

    /// Posts raw bytes as JSON.
    pub(crate) async fn post_raw(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = self.request("POST", path).insert_header((CONTENT_TYPE, "application/json"));
        self.send(request.set_payload(body)).await
    }

    /// An assistant with a webhook and placeholders; its id.
    pub(crate) async fn assistant(&self) -> String {
        self.assistant_with(json!({})).await
    }

    pub(crate) async fn assistant_with(&self, extra: Value) -> String {
        let mut body = json!({
            "assistant_name": "Support Agent",
            "assistant_prompt": "You help {{name}}.",
            "assistant_start_instruction": "Say: Hello {{name}}!",
            "assistant_end_call_url": "https://hooks.example.com/end",
        });
        merge(&mut body, extra);
        let answer = self.post("/assistants", body).await.expect(201);
        answer["data"]["assistant_id"].as_str().unwrap().to_owned()
    }

    /// A sandbox trunk; its id.
    pub(crate) async fn trunk(&self, service: &str) -> String {
        self.trunk_with(json!({"call_service": service, "sandbox": true})).await
    }

    pub(crate) async fn trunk_with(&self, extra: Value) -> String {
        let mut body = json!({
            "call_service": "twilio",
            "name": "Main line",
            "numbers": ["+15550100000"],
            "address": "acme.pstn.twilio.com",
        });
        merge(&mut body, extra);
        let answer = self.post("/trunks", body).await.expect(201);
        answer["data"]["trunk_id"].as_str().unwrap().to_owned()
    }

    /// The body of a good call to `to_number` through a fresh sandbox trunk.
    pub(crate) async fn order(&self, to_number: &str) -> Value {
        json!({
            "assistant_id": self.assistant().await,
            "trunk_id": self.trunk("twilio").await,
            "to_number": to_number,
            "call_service": "twilio",
            "metadata": {"name": "John Doe", "customer_id": "12345"},
        })
    }

    /// Places a call; its room name.
    pub(crate) async fn place(&self, to_number: &str) -> String {
        let order = self.order(to_number).await;
        let answer = self.post("/call/outbound", order).await.expect(200);
        answer["data"]["room_name"].as_str().unwrap().to_owned()
    }

    /// The call once `field` of its data is `value`.
    pub(crate) async fn until(&self, room: &str, pointer: &str, value: &str) -> Value {
        // In virtual time this takes no time, and ends in an hour.
        for _ in 0..36_000 {
            let call = self.get(&format!("/calls/{room}")).await.expect(200);
            if call["data"].pointer(pointer) == Some(&json!(value)) {
                return call;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{room}: {pointer} never became {value}");
    }
}

async fn new_key(engine: &Engine, account: &str, admin: bool) -> String {
    let new = NewKey { account: account.into(), name: "test".into(), admin };
    let (_, _, token) = engine.create_key(new).await.unwrap();
    token.expose().to_owned()
}

fn merge(body: &mut Value, extra: Value) {
    let (Value::Object(body), Value::Object(extra)) = (body, extra) else {
        panic!("objects are merged")
    };
    body.extend(extra);
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.status, self.body))
    }

    /// The JSON of a success with this status.
    pub(crate) fn expect(&self, status: u16) -> Value {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(body["success"], true);
        body
    }

    /// The JSON of an error with this status and code; checks its shape.
    pub(crate) fn fails(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), &body["error"]["code"]),
            (status, &json!(code)),
            "{body}"
        );
        assert_eq!(body["success"], false);
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        for key in ["field", "hint"] {
            let value = body["error"].get(key);
            assert!(value.is_some_and(|value| value.is_null() || value.is_string()), "{body}");
        }
        body
    }
}

/// Takes webhooks and answers with 200.
#[derive(Default)]
pub(crate) struct Sender {
    pub(crate) sent: Mutex<Vec<WebhookRequest>>,
}

#[async_trait]
impl WebhookSender for Sender {
    fn end_of_call(&self, call: &Call, _: &[TranscriptLine], _: Option<&str>) -> Vec<u8> {
        call.room_name().as_str().into()
    }

    fn new_secret(&self) -> Secret {
        Secret::new(format!("whsec_{}", outdial_domain::random_text(8)))
    }

    async fn send(&self, request: &WebhookRequest) -> WebhookReply {
        self.sent.lock().unwrap().push(request.clone());
        WebhookReply { status_code: Some(200), error: None, retry_after: None }
    }

    fn check_url(&self, url: &url::Url) -> Result<(), String> {
        if url.host_str() == Some("localhost") { Err("the host is private".into()) } else { Ok(()) }
    }
}

/// Rooms and provider that refuse every call with 403, and are ready or not.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) down: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Rooms for Scripted {
    async fn create(&self, _: &RoomName) -> Result<()> {
        Ok(())
    }
    async fn dispatch(&self, _: &RoomName, _: &DispatchRequest) -> Result<String> {
        Ok("AD_scripted".into())
    }
    async fn look(&self, _: &RoomName) -> Result<Option<RoomLook>> {
        Ok(None)
    }
    async fn delete(&self, _: &RoomName) -> Result<()> {
        Ok(())
    }
    async fn check(&self) -> Result<()> {
        if self.down.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "livekit.check", "connection refused"));
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn dial(&self, _: DialRequest, _: HintSink) -> Result<Dialed> {
        let refused = SipStatus { code: 403, reason: "Forbidden".into() };
        Ok(Dialed::Ended(LegEnd::Refused(refused)))
    }
    async fn hang_up(&self, _: &RoomName, _: &str) -> Result<()> {
        Ok(())
    }
    async fn send_dtmf(&self, _: &RoomName, _: &str, _: &Digits) -> Result<()> {
        Ok(())
    }
    async fn look(&self, _: &RoomName, _: &str) -> Result<LegLook> {
        Ok(LegLook::Absent)
    }
    fn check_trunk(&self, trunk: &Trunk) -> Result<(), TrunkFault> {
        match trunk.address.as_ref().map(|address| address.as_str()) {
            Some("wrong.example.com") => {
                Err(TrunkFault { field: "address", rule: "that is no Twilio address".into() })
            }
            _ => Ok(()),
        }
    }
}

/// A snapshot of a JSON body, with ids and times made the same in every run.
macro_rules! snapshot {
    ($name:expr, $body:expr) => {
        insta::assert_json_snapshot!($name, $crate::rig::tamed($body))
    };
}
pub(crate) use snapshot;

/// Random ids as their kind, times as `[time]`.
pub(crate) fn tamed(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key, tamed(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(tamed).collect(),
        Value::String(text) => Value::String(tamed_text(text)),
        other => other,
    }
}

fn tamed_text(text: String) -> String {
    if text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T' {
        return "[time]".into();
    }
    if let Some((head, _)) = text.split_once('_')
        && ["ST", "AC", "AK", "AD", "PA", "DL", "ND", "whsec", "msg"].contains(&head)
        && text != "AD_scripted"
    {
        return format!("[{head}]");
    }
    if text.parse::<RoomName>().is_ok() {
        return if text.starts_with("exotel") { "[exotel room]" } else { "[room]" }.into();
    }
    if text.parse::<outdial_domain::AssistantId>().is_ok() {
        return "[assistant]".into();
    }
    text
}

/// A server on a port of its own, for what only bytes on a wire can show.
pub(crate) fn serve(rig: &Rig) -> (std::net::SocketAddr, actix_web::dev::ServerHandle) {
    let state = rig.state.clone();
    let server = actix_web::HttpServer::new(move || App::new().configure(configure(state.clone())))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    (address, handle)
}

/// The body as it streams.
pub(crate) async fn stream(
    rig: &Rig,
    request: TestRequest,
) -> actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody> {
    let app = init_service(App::new().configure(configure(rig.state.clone()))).await;
    call_service(&app, request.to_request()).await
}

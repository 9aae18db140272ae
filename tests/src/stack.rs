//! The servers of `scripts/real-stack`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use livekit_token::{AccessToken, VideoGrants};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::outdial::files_in;
use crate::{Bridge, Desk, End, Outdial, Phone, Transport, until};

/// How many tests have calls at the same time. One with an agent takes two seats: agents that join
/// are hard work for two cores.
const SEATS: u32 = 6;

/// What calls on a busy machine need: agents may take longer to join than people would wait.
const PATIENT: [(&str, &str); 2] =
    [("agent.join_timeout", "40s"), ("agent.absence_timeout", "30s")];

/// The stack, as `scripts/real-stack env` describes it.
#[derive(Debug)]
pub struct Stack {
    /// `ws://…` of LiveKit.
    pub livekit_url: String,
    /// The API key.
    pub api_key: String,
    /// Its secret.
    pub api_secret: String,
    /// The name with which the agent registers.
    pub agent_name: String,
    /// Where sipp's scenarios are.
    pub sipp_dir: PathBuf,
    /// `http://host:port` of the S3 server.
    pub s3_url: String,
    /// `mongodb://host:port` of the replica set that tests share.
    pub mongodb_url: String,
    /// The program `mongod`.
    pub mongod: PathBuf,
    s3_bucket: String,
    s3_access_key: String,
    s3_secret_key: String,
    dir: PathBuf,
    /// The ports that LiveKit sends webhooks to: the first is the shared server's, the last the shared
    /// bridge's.
    webhook_ports: Vec<u16>,
}

/// The right to have calls.
pub type Seat = SemaphorePermit<'static>;
/// The right to change the servers while nobody has calls.
pub type Alone = SemaphorePermit<'static>;

static FREE_SEATS: Semaphore = Semaphore::const_new(SEATS as usize);

/// A port to which LiveKit sends webhooks, lent for a server of a test's own.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _permit: SemaphorePermit<'static>,
}

static FREE_PORTS: OnceLock<(Semaphore, Mutex<Vec<u16>>)> = OnceLock::new();

impl Drop for Port {
    fn drop(&mut self) {
        if let Some((_, ports)) = FREE_PORTS.get() {
            ports.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        }
    }
}

impl Stack {
    /// The stack that the environment speaks of; by default the one of `scripts/real-stack up`.
    pub fn get() -> &'static Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        STACK.get_or_init(|| {
            let text = script(&["env"]);
            let lines =
                text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
            let mut values: HashMap<_, _> = lines.collect();
            let mut value = |name| values.remove(name).expect(name).to_owned();
            Self {
                livekit_url: value("LIVEKIT_URL"),
                api_key: value("LIVEKIT_API_KEY"),
                api_secret: value("LIVEKIT_API_SECRET"),
                agent_name: value("STACK_AGENT_NAME"),
                sipp_dir: value("STACK_SIPP_DIR").into(),
                s3_url: value("STACK_S3_URL"),
                mongodb_url: value("STACK_MONGODB_URL"),
                mongod: value("STACK_MONGOD").into(),
                s3_bucket: value("STACK_S3_BUCKET"),
                s3_access_key: value("STACK_S3_ACCESS_KEY"),
                s3_secret_key: value("STACK_S3_SECRET_KEY"),
                dir: value("STACK_DIR").into(),
                webhook_ports: {
                    let ports = value("STACK_WEBHOOK_PORTS");
                    ports.split(':').map(|port| port.parse().expect("a port")).collect()
                },
            }
        })
    }

    /// Waits for the right to have calls with an agent.
    pub async fn seat() -> Seat {
        FREE_SEATS.acquire_many(2).await.unwrap()
    }

    /// Waits for the right to have calls to which no agent comes.
    pub async fn seat_without_agent() -> Seat {
        FREE_SEATS.acquire().await.unwrap()
    }

    /// Waits until no other test has calls, and keeps them from it.
    pub async fn alone() -> Alone {
        FREE_SEATS.acquire_many(SEATS).await.unwrap()
    }

    /// Stops a part.
    pub fn down(part: &str) {
        script(&["down", part]);
    }

    /// Stops a part and starts it again; an agent that was there has come back then.
    pub fn restart(part: &str) {
        script(&["restart", part]);
    }

    /// Starts a part and waits until it is ready.
    pub fn up(part: &str) {
        script(&["up", part]);
    }

    /// The settings of a server on this stack, with others.
    pub fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let livekit = [
            ("livekit.url", &*self.livekit_url),
            ("livekit.api_key", &self.api_key),
            ("livekit.api_secret", &self.api_secret),
        ];
        [&PATIENT, &livekit[..], more].concat()
    }

    /// The settings of a server whose recordings are kept at `url` of the S3 server `endpoint`.
    pub fn s3<'a>(&'a self, url: &'a str, endpoint: &'a str) -> [(&'a str, &'a str); 5] {
        [
            ("recordings.url", url),
            ("recordings.s3_endpoint", endpoint),
            ("recordings.s3_path_style", "true"),
            ("recordings.s3_access_key", &self.s3_access_key),
            ("recordings.s3_secret_key", &self.s3_secret_key),
        ]
    }

    /// A folder of the bucket that no other test uses: the `recordings.url` of it.
    pub fn s3_folder(&self, name: &str) -> String {
        let _ = std::fs::remove_dir_all(self.s3_path(name));
        format!("s3://{}/{name}", self.s3_bucket)
    }

    /// The objects in a folder of the bucket, as the S3 server has them on its disk.
    pub fn s3_objects(&self, name: &str) -> Vec<PathBuf> {
        files_in(&self.s3_path(name))
    }

    /// The parts of uploads that are not complete, of the whole bucket.
    pub fn s3_parts(&self) -> Vec<PathBuf> {
        // Where versitygw has them.
        files_in(&self.s3_path(".sgwtmp"))
    }

    fn s3_path(&self, name: &str) -> PathBuf {
        self.dir.join("s3").join(&self.s3_bucket).join(name)
    }

    /// The server that most tests share; LiveKit sends it webhooks.
    pub async fn shared(&self) -> &'static Outdial {
        static SHARED: OnceCell<Outdial> = OnceCell::const_new();
        let start = async || {
            let folder = self.dir.join("outdial");
            Outdial::start_shared(self.webhook_ports[0], &self.settings(&[]), &folder).await
        };
        SHARED.get_or_init(start).await
    }

    /// The port of the bridge that most tests share; LiveKit sends webhooks to it.
    pub(crate) fn bridge_port(&self) -> u16 {
        *self.webhook_ports.last().expect("STACK_WEBHOOK_PORTS")
    }

    /// Waits for a port that LiveKit sends webhooks to.
    pub async fn webhook_port(&self) -> Port {
        let [port] = self.webhook_ports().await;
        port
    }

    /// Waits for some of them at once: who holds one and waits for another may wait for ever.
    pub async fn webhook_ports<const N: usize>(&self) -> [Port; N] {
        let (permits, ports) = FREE_PORTS.get_or_init(|| {
            let ports = self.webhook_ports[1..self.webhook_ports.len() - 1].to_vec();
            assert!(ports.len() > 1, "STACK_WEBHOOK_PORTS must name four ports, or more");
            (Semaphore::new(ports.len()), Mutex::new(ports))
        });
        let mut permit = permits.acquire_many(u32::try_from(N).unwrap()).await.unwrap();
        let mut ports = ports.lock().unwrap_or_else(PoisonError::into_inner);
        std::array::from_fn(|_| Port {
            number: ports.pop().unwrap(),
            _permit: permit.split(1).unwrap(),
        })
    }

    /// A desk with the real agent, whose trunk leads to a phone.
    pub async fn desk(&self, outdial: &Outdial, phone: &Phone, assistant: Value) -> Desk {
        let mut agent = json!({"agent_name": self.agent_name});
        agent.as_object_mut().unwrap().extend(assistant.as_object().unwrap().clone());
        Desk::new(outdial, agent, trunk(&phone.address())).await
    }

    /// A desk with the real agent, whose trunk is one of Exotel's that leads to a callee over TCP.
    pub async fn exotel(&self, bridge: &Bridge, callee: &str, assistant: Value) -> Desk {
        let trunk = json!({
            "call_service": "exotel",
            "transport": "tcp",
            "numbers": ["+918045671234"],
            "from_host": "acme1.pstn.exotel.com",
        });
        self.bridged(bridge, callee, assistant, trunk).await
    }

    /// A desk with the real agent, whose trunk is dialed directly, with a user name and a password.
    pub async fn direct(
        &self,
        bridge: &Bridge,
        (callee, transport): (&str, Transport),
        (username, password): (&str, &str),
        assistant: Value,
    ) -> Desk {
        let trunk = json!({
            "call_service": "twilio",
            "route": "direct",
            "transport": transport.as_str(),
            "auth_username": username,
            "auth_password": password,
        });
        self.bridged(bridge, callee, assistant, trunk).await
    }

    async fn bridged(
        &self,
        bridge: &Bridge,
        callee: &str,
        assistant: Value,
        fields: Value,
    ) -> Desk {
        let mut agent = json!({"agent_name": self.agent_name});
        agent.as_object_mut().unwrap().extend(assistant.as_object().unwrap().clone());
        let mut trunk = trunk(callee);
        trunk.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Desk::new(&bridge.outdial, agent, trunk).await
    }

    /// The log of the agents.
    pub fn agent_log(&self) -> String {
        let log = std::fs::read(self.dir.join("agent.log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until an agent has logged this about a room.
    pub async fn agent_has_logged(&self, room: &str, words: &str) {
        until("words in the agent's log", async || {
            let log = self.agent_log();
            let mut lines = log.lines().filter(|line| line.contains(room));
            let found = lines.any(|line| line.contains(words));
            if found { Ok(()) } else { Err(format!("no {words}")) }
        })
        .await;
    }

    /// Waits for the end of a call and its one webhook, compares both with `end`, and waits until
    /// LiveKit has no room of it; gives the record.
    pub async fn ends(&self, desk: &Desk, room: &str, end: End) -> Value {
        let record = desk.ends(room, end).await;
        self.has_no_room(room).await;
        assert_eq!(desk.webhooks(room).len(), 1, "none came late");
        record
    }

    /// Waits until LiveKit has no room of that name.
    pub async fn has_no_room(&self, room: &str) {
        until("the room to be gone", async || {
            let answer = self.ask("ListRooms", &json!({"names": [room]})).await;
            let rooms = answer["rooms"].as_array().unwrap_or_else(|| panic!("{answer}"));
            if rooms.is_empty() { Ok(()) } else { Err(format!("{} rooms", rooms.len())) }
        })
        .await;
    }

    /// Who is in a room, as LiveKit tells it.
    pub async fn participants(&self, room: &str) -> Vec<Value> {
        let mut answer = self.ask("ListParticipants", &json!({"room": room})).await;
        serde_json::from_value(answer["participants"].take()).unwrap()
    }

    async fn ask(&self, method: &str, request: &Value) -> Value {
        let room = request["room"].as_str().unwrap_or_default().to_owned();
        let grants = VideoGrants { room_list: true, room_admin: true, room, ..Default::default() };
        let token = AccessToken::with_api_key(&self.api_key, &self.api_secret)
            .with_ttl(Duration::from_secs(600))
            .with_grants(grants)
            .to_jwt()
            .unwrap();
        let base = self.livekit_url.replacen("ws", "http", 1);
        let url = format!("{base}/twirp/livekit.RoomService/{method}");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(&url).bearer_auth(&token).json(request);
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// The fields of a trunk that leads to a phone.
pub(crate) fn trunk(address: &str) -> Value {
    json!({
        "sandbox": false,
        "address": address,
        "numbers": ["+15550100000"],
        "calls_per_second": 100,
    })
}

/// Runs `scripts/real-stack`; what it prints.
fn script(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("scripts/real-stack"));
    let output = command.args(arguments).current_dir(root).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/real-stack {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

//! The sections, and the rules of their values.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use outdial_domain::Secret;
use outdial_engine::Policy;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::reader::{Read, Reader};
use super::{Settings, node, recordings, sip, store};

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its URL for others, without a slash at the end; `None`: `http://` and where it listens.
    pub public_url: Option<String>,
    /// How long running calls may finish after a signal.
    pub drain_timeout: Duration,
    /// How long a client may take for the head of a request.
    pub header_timeout: Duration,
    /// How long a connection is kept without requests.
    pub idle_timeout: Duration,
    /// How many connections are served at the same time.
    pub max_connections: u32,
}

/// A LiveKit server.
#[derive(Debug, Clone)]
pub struct LiveKit {
    /// Where it is.
    pub url: String,
    /// The key's name.
    pub api_key: String,
    /// The key's secret.
    pub api_secret: Secret,
    /// The local address for media; `None`: found by itself.
    pub media_ip: Option<IpAddr>,
    /// How many threads handle media.
    pub media_threads: u32,
}

/// How long agents are waited for.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Until it must have joined.
    pub join_timeout: Duration,
    /// How long it may be absent from an answered call.
    pub absence_timeout: Duration,
}

/// Limits of calls.
#[derive(Debug, Clone)]
pub struct Calls {
    /// How long a phone rings.
    pub ringing_timeout: Duration,
    /// How long a call lasts after the answer.
    pub max_duration: Duration,
}

/// How fast calls are started.
#[derive(Debug, Clone)]
pub struct Pacing {
    /// On a Twilio trunk without a limit of its own.
    pub twilio_calls_per_second: f64,
    /// How long a call waits for its turn.
    pub max_wait: Duration,
}

/// The end-of-call webhook.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// For one whole exchange.
    pub timeout: Duration,
    /// The waits before the retries.
    pub retries: Vec<Duration>,
    /// Lets them go to private addresses.
    pub dangerous_allow_private: bool,
}

/// Recordings.
#[derive(Debug, Clone)]
pub struct Recordings {
    /// Where they are kept; `None`: nothing is recorded.
    pub keeper: Option<Keeper>,
    /// How long a webhook waits for them.
    pub finish_within: Duration,
    /// When they are deleted; `None`: never.
    pub retention: Option<Duration>,
    /// What captures may use of the disk, in bytes.
    pub max_capture_bytes: u64,
    /// How many are rendered at the same time.
    pub render_threads: u32,
}

/// Where recordings are kept.
#[derive(Debug, Clone)]
pub enum Keeper {
    /// Below a folder; `None`: `data_dir`.
    Folder(Option<PathBuf>),
    /// A bucket.
    S3(Box<S3>),
}

/// A bucket of Amazon S3, or of a server that speaks its protocol.
#[derive(Debug, Clone)]
pub struct S3 {
    /// The bucket and the prefix in it, as a URL: `s3://bucket/prefix`.
    pub url: Url,
    /// Its region; `None`: found where AWS programs look.
    pub region: Option<String>,
    /// The server, when it is not Amazon's.
    pub endpoint: Option<Url>,
    /// The bucket is in the path of URLs, not in the host's name.
    pub path_style: bool,
    /// Access key and secret; `None`: found where AWS programs look.
    pub credentials: Option<(String, Secret)>,
}

/// Simulated calls.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// What simulated durations are multiplied by.
    pub time_scale: f64,
}

/// Limits of the API.
#[derive(Debug, Clone)]
pub struct Api {
    /// Of one key, in the long run; `None`: no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Of one key, at once.
    pub burst: NonZeroU32,
}

/// What is logged.
#[derive(Debug, Clone)]
pub struct Log {
    /// How.
    pub format: LogFormat,
    /// Which messages.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Secrets at rest.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The master key; `None`: kept in `data_dir`.
    pub master_key: Option<[u8; 32]>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let master_key = self.master_key.map(|_| "***");
        f.debug_struct("Secrets").field("master_key", &master_key).finish()
    }
}

impl Settings {
    /// The URL under which others reach the server, should it listen on `address`.
    pub(crate) fn public_url(&self, address: SocketAddr) -> String {
        self.server.public_url.clone().unwrap_or_else(|| format!("http://{address}"))
    }

    /// What of these settings the engine goes by.
    pub fn policy(&self) -> Policy {
        Policy {
            agent_join_timeout: self.agent.join_timeout,
            agent_absence: self.agent.absence_timeout,
            ringing_timeout: self.calls.ringing_timeout,
            max_duration: self.calls.max_duration,
            twilio_calls_per_second: self.pacing.twilio_calls_per_second,
            pacing_max_wait: self.pacing.max_wait,
            webhook_retries: self.webhooks.retries.clone(),
            public_url: self.public_url(self.server.bind),
            recording_finish_within: self.recordings.finish_within,
            lease: self.node.lease,
            ..Policy::default()
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads everything before it gives up, so that all problems are told at once.
pub(super) fn read(reader: &Reader<'_>) -> Read<Settings> {
    let data_dir = reader.parsed("data_dir", |text| match text {
        "" => Err("must name a folder, such as \"./data\""),
        path => Ok(PathBuf::from(path)),
    });
    let (server, store, livekit) = (server(reader), store::read(reader), livekit(reader));
    let sip = sip::read(reader);
    let (agent, calls, pacing) = (agent(reader), calls(reader), pacing(reader));
    let (webhooks, recordings) = (webhooks(reader), recordings::read(reader));
    let (sandbox, api) = (sandbox(reader), api(reader));
    let (log, secrets, node) = (log(reader), secrets(reader), node::read(reader));
    let (livekit, sip) = (livekit?, sip?);
    if sip.is_some() && livekit.is_none() {
        return Err(reader.problem(
            "livekit.url, livekit.api_key and livekit.api_secret are missing: sip.public_ip is set, \
             and the SIP bridge joins calls to LiveKit rooms",
        ));
    }
    let (store, node) = (store?, node?);
    node::outlives_an_answer(reader, &store, &node)?;
    Ok(Settings {
        data_dir: data_dir?,
        server: server?,
        store,
        livekit,
        sip,
        agent: agent?,
        calls: calls?,
        pacing: pacing?,
        webhooks: webhooks?,
        recordings: recordings?,
        sandbox: sandbox?,
        api: api?,
        log: log?,
        secrets: secrets?,
        node,
    })
}

fn server(reader: &Reader<'_>) -> Read<Server> {
    let bind = reader.parsed("server.bind", |text| {
        text.parse().map_err(
            |_| "must be an IP address and a port, like \"127.0.0.1:8000\" or \"0.0.0.0:8000\"",
        )
    });
    let public_url = reader.parsed("server.public_url", |text| match web_url(text) {
        _ if text.is_empty() => Ok(None),
        Some(_) => Ok(Some(text.trim_end_matches('/').to_owned())),
        None => Err("must be a URL like \"https://calls.example.com\""),
    });
    let drain_timeout = reader.duration("server.drain_timeout", Duration::ZERO..=DAY);
    let header_timeout = reader.duration("server.header_timeout", 100 * MILLISECOND..=HOUR);
    let idle_timeout = reader.duration("server.idle_timeout", SECOND..=HOUR);
    let max_connections = reader.integer("server.max_connections", 1..=1_000_000);
    Ok(Server {
        bind: bind?,
        public_url: public_url?,
        drain_timeout: drain_timeout?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        max_connections: max_connections?,
    })
}

/// An `http` or `https` URL without query and fragment.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    (web && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

fn livekit(reader: &Reader<'_>) -> Read<Option<LiveKit>> {
    let (url, key) = (reader.text("livekit.url"), reader.text("livekit.api_key"));
    let secret = reader.secret("livekit.api_secret");
    let media_ip = reader.parsed("livekit.media_ip", |text| match text {
        "" => Ok(None),
        ip => ip.parse().map(Some).map_err(|_| "must be an IP address of this machine"),
    });
    let media_threads = reader.integer("livekit.media_threads", 1..=64);
    let (url, key, secret) = (url?, key?, secret?);
    let (media_ip, media_threads) = (media_ip?, media_threads?);
    let parts = [
        ("livekit.url", url.is_empty()),
        ("livekit.api_key", key.is_empty()),
        ("livekit.api_secret", secret.is_none()),
    ];
    let (empty, set): (Vec<_>, Vec<_>) = parts.iter().partition(|(_, empty)| *empty);
    let names = |parts: &[&(&str, bool)]| {
        parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ")
    };
    let is = |count| if count == 1 { "is" } else { "are" };
    match secret {
        _ if set.is_empty() => Ok(None),
        Some(api_secret) if empty.is_empty() => {
            Ok(Some(LiveKit { url, api_key: key, api_secret, media_ip, media_threads }))
        }
        _ => Err(reader.problem(format!(
            "{} {} missing: {} {} set, and LiveKit needs all three",
            names(&empty),
            is(empty.len()),
            names(&set),
            is(set.len()),
        ))),
    }
}

fn agent(reader: &Reader<'_>) -> Read<Agent> {
    let join_timeout = reader.duration("agent.join_timeout", SECOND..=10 * MINUTE);
    let absence_timeout = reader.duration("agent.absence_timeout", SECOND..=10 * MINUTE);
    Ok(Agent { join_timeout: join_timeout?, absence_timeout: absence_timeout? })
}

fn calls(reader: &Reader<'_>) -> Read<Calls> {
    let ringing_timeout = reader.duration("calls.ringing_timeout", SECOND..=70 * SECOND);
    let max_duration = reader.duration("calls.max_duration", SECOND..=DAY);
    Ok(Calls { ringing_timeout: ringing_timeout?, max_duration: max_duration? })
}

fn pacing(reader: &Reader<'_>) -> Read<Pacing> {
    let twilio_calls_per_second = reader.number("pacing.twilio_calls_per_second", 0.01..=1000.0);
    let max_wait = reader.duration("pacing.max_wait", Duration::ZERO..=10 * MINUTE);
    Ok(Pacing { twilio_calls_per_second: twilio_calls_per_second?, max_wait: max_wait? })
}

fn webhooks(reader: &Reader<'_>) -> Read<Webhooks> {
    let timeout = reader.duration("webhooks.timeout", 100 * MILLISECOND..=MINUTE);
    let retries = reader.durations("webhooks.retries", 20, Duration::ZERO..=7 * DAY);
    let dangerous_allow_private = reader.flag("webhooks.dangerous_allow_private");
    Ok(Webhooks {
        timeout: timeout?,
        retries: retries?,
        dangerous_allow_private: dangerous_allow_private?,
    })
}

fn sandbox(reader: &Reader<'_>) -> Read<Sandbox> {
    Ok(Sandbox { time_scale: reader.number("sandbox.time_scale", 0.0..=1000.0)? })
}

fn api(reader: &Reader<'_>) -> Read<Api> {
    let requests_per_second = reader.integer("api.requests_per_second", 0..=1_000_000);
    let burst = reader.integer("api.burst", 1..=1_000_000);
    Ok(Api {
        requests_per_second: NonZeroU32::new(requests_per_second?),
        burst: NonZeroU32::new(burst?).unwrap_or(NonZeroU32::MIN),
    })
}

fn log(reader: &Reader<'_>) -> Read<Log> {
    let format = reader.parsed("log.format", |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be \"text\" or \"json\""),
    });
    let filter = reader.parsed("log.filter", |text| {
        let filter = EnvFilter::try_new(text).map(|_| text.to_owned());
        filter.map_err(|error| format!("{error}; use a level like \"info\""))
    });
    Ok(Log { format: format?, filter: filter? })
}

fn secrets(reader: &Reader<'_>) -> Read<Secrets> {
    let key = reader.parsed_secret("secrets.master_key", |secret| master_key(secret.expose()));
    Ok(Secrets { master_key: key? })
}

/// Reads a master key as it is written in settings and in its file.
pub(crate) fn master_key(text: &str) -> Result<[u8; 32], &'static str> {
    let bytes = BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or("must be 32 bytes in base64; make one with: openssl rand -base64 32")
}

/// Writes a master key as [`master_key`] reads it.
pub(crate) fn master_key_text(key: &[u8; 32]) -> String {
    BASE64.encode(key)
}

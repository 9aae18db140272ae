//! The parts of a server, made from its settings.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use outdial_domain::Route;
use outdial_domain::ports::{Clock, Provider, RoomHints, Rooms, SystemClock};
use outdial_engine::Backend;
use outdial_livekit::{LiveKitConfig, Webhooks};
use outdial_sandbox::{Sandbox, SandboxConfig};
use outdial_twilio::Twilio;
use outdial_webhooks::{HttpSender, SenderSettings};

use crate::settings::{LiveKit, Settings};

const NO_LIVEKIT: &str =
    "set livekit.url, livekit.api_key and livekit.api_secret to place twilio calls";
const NO_EXOTEL: &str = "calls through Exotel are not available in this version; use a sandbox \
                         trunk (sandbox: true) to try its API";

/// What carries calls, and what has to be ended with the server.
pub(crate) struct Carriers {
    /// For the engine.
    pub(crate) backends: HashMap<Route, Result<Backend, String>>,
    /// Reads LiveKit's webhooks.
    pub(crate) room_hints: Option<Arc<dyn RoomHints>>,
    sandbox: Sandbox,
    twilio: Option<Arc<Twilio>>,
}

impl Carriers {
    /// Sets up what the settings ask for; nothing is connected yet.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config =
            SandboxConfig { time_scale: settings.sandbox.time_scale, ..SandboxConfig::default() };
        let sandbox = Sandbox::new(config, clock);
        let simulated = backend(Arc::new(sandbox.clone()), Arc::new(sandbox.clone()));
        let mut backends = HashMap::from([
            (Route::Sandbox, Ok(simulated)),
            (Route::Twilio, Err(NO_LIVEKIT.to_owned())),
            (Route::Exotel, Err(NO_EXOTEL.to_owned())),
        ]);
        let Some(settings) = &settings.livekit else {
            return Ok(Self { backends, room_hints: None, sandbox, twilio: None });
        };
        let livekit = Arc::new(livekit(settings)?);
        let twilio = Arc::new(Twilio::new(livekit.clone()));
        backends.insert(Route::Twilio, Ok(backend(livekit, twilio.clone())));
        let keys = [(settings.api_key.clone(), settings.api_secret.clone())];
        Ok(Self {
            backends,
            room_hints: Some(Arc::new(Webhooks::new(keys))),
            sandbox,
            twilio: Some(twilio),
        })
    }

    /// Ends their tasks. Calls on a real network go on.
    pub(crate) async fn shutdown(&self) {
        if let Some(twilio) = &self.twilio {
            twilio.shutdown().await;
        }
        self.sandbox.shutdown().await;
    }
}

/// A client of the LiveKit server.
pub(crate) fn livekit(settings: &LiveKit) -> anyhow::Result<outdial_livekit::LiveKit> {
    let LiveKit { url, api_key, api_secret } = settings.clone();
    Ok(outdial_livekit::LiveKit::new(LiveKitConfig::new(url, api_key, api_secret))?)
}

/// What sends webhooks.
pub(crate) fn webhooks(settings: &Settings) -> anyhow::Result<HttpSender> {
    let settings = SenderSettings {
        timeout: settings.webhooks.timeout,
        dangerous_allow_private: settings.webhooks.dangerous_allow_private,
        ..SenderSettings::default()
    };
    HttpSender::new(settings).context(
        "webhooks need the system's CA certificates: install the package ca-certificates, or name \
         a file of certificates in SSL_CERT_FILE",
    )
}

fn backend(rooms: Arc<dyn Rooms>, provider: Arc<dyn Provider>) -> Backend {
    Backend { rooms, provider }
}

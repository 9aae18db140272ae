//! The parts of a server, made from its settings.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use outdial_domain::Route;
use outdial_domain::ports::{Clock, Keeper, RoomHints, SystemClock};
use outdial_engine::Backend;
use outdial_livekit::{LiveKitConfig, Webhooks};
use outdial_observer::LiveKitObserver;
use outdial_recordings::{FolderKeeper, Recorder, RecorderSettings, S3Keeper, S3Settings};
use outdial_room::{Media, MediaConfig};
use outdial_sandbox::{Sandbox, SandboxConfig};
use outdial_twilio::Twilio;
use outdial_webhooks::{HttpSender, SenderSettings};

use crate::settings::{self, LiveKit, Settings};

const NO_LIVEKIT: &str =
    "set livekit.url, livekit.api_key and livekit.api_secret to place twilio calls";
const NO_EXOTEL: &str = "calls through Exotel are not available in this version; use a sandbox \
                         trunk (sandbox: true) to try its API";
const NO_DIRECT: &str = "direct trunks are not available in this version";

/// What carries calls, and what has to be ended with the server.
pub(crate) struct Carriers {
    /// For the engine.
    pub(crate) backends: HashMap<Route, Result<Backend, String>>,
    /// Reads LiveKit's webhooks.
    pub(crate) room_hints: Option<Arc<dyn RoomHints>>,
    sandbox: Sandbox,
    real: Option<Real>,
}

/// What carries real calls.
struct Real {
    twilio: Arc<Twilio>,
    observer: Arc<LiveKitObserver>,
}

impl Carriers {
    /// Sets up what the settings ask for; nothing is connected yet.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config =
            SandboxConfig { time_scale: settings.sandbox.time_scale, ..SandboxConfig::default() };
        let sandbox = Sandbox::new(config, clock);
        let (rooms, provider, observer) =
            (sandbox.clone(), sandbox.clone(), Arc::new(sandbox.clone()));
        let simulated = Backend {
            rooms: Arc::new(rooms),
            provider: Arc::new(provider),
            observer: Some(observer),
        };
        let mut backends = HashMap::from([
            (Route::Sandbox, Ok(simulated)),
            (Route::Twilio, Err(NO_LIVEKIT.to_owned())),
            (Route::Exotel, Err(NO_EXOTEL.to_owned())),
            (Route::Direct, Err(NO_DIRECT.to_owned())),
        ]);
        let Some(settings) = &settings.livekit else {
            return Ok(Self { backends, room_hints: None, sandbox, real: None });
        };
        let livekit = Arc::new(livekit(settings)?);
        let media = Media::start(media(settings)).context("media threads cannot be started")?;
        let twilio = Arc::new(Twilio::new(livekit.clone(), media.clone()));
        let runtime = tokio::runtime::Handle::current();
        let observer = Arc::new(LiveKitObserver::new(media, livekit.clone(), runtime));
        let real =
            Backend { rooms: livekit, provider: twilio.clone(), observer: Some(observer.clone()) };
        backends.insert(Route::Twilio, Ok(real));
        let keys = [(settings.api_key.clone(), settings.api_secret.clone())];
        Ok(Self {
            backends,
            room_hints: Some(Arc::new(Webhooks::new(keys))),
            sandbox,
            real: Some(Real { twilio, observer }),
        })
    }

    /// Ends their tasks. Calls on a real network go on.
    pub(crate) async fn shutdown(&self) {
        if let Some(Real { twilio, observer }) = &self.real {
            tokio::join!(twilio.shutdown(), observer.shutdown());
        }
        self.sandbox.shutdown().await;
    }
}

/// A client of the LiveKit server.
pub(crate) fn livekit(settings: &LiveKit) -> anyhow::Result<outdial_livekit::LiveKit> {
    let LiveKit { url, api_key, api_secret, .. } = settings.clone();
    Ok(outdial_livekit::LiveKit::new(LiveKitConfig::new(url, api_key, api_secret))?)
}

/// What makes recordings; `None` when nothing is to be recorded. Captures are made in `data_dir`,
/// wherever recordings are kept in the end.
pub(crate) async fn recorder(settings: &Settings) -> anyhow::Result<Option<Arc<Recorder>>> {
    let data_dir = &settings.data_dir;
    let settings = &settings.recordings;
    let keeper: Arc<dyn Keeper> = match &settings.keeper {
        None => return Ok(None),
        Some(settings::Keeper::Folder(folder)) => {
            Arc::new(FolderKeeper::new(folder.as_ref().unwrap_or(data_dir)))
        }
        Some(settings::Keeper::S3(bucket)) => {
            let settings::S3 { url, region, endpoint, path_style, credentials } = *bucket.clone();
            let settings = S3Settings {
                region,
                endpoint,
                path_style,
                keys: credentials,
                ..S3Settings::from_url(url.as_str())?
            };
            // Boxed: it is large, and runs once.
            Arc::new(Box::pin(S3Keeper::new(settings)).await?)
        }
    };
    let recorder = RecorderSettings {
        max_capture_bytes: settings.max_capture_bytes,
        render_threads: usize::try_from(settings.render_threads).unwrap_or(1),
        retention: settings.retention,
        ..RecorderSettings::new(data_dir.join("captures"))
    };
    let opening = tokio::task::spawn_blocking(move || Recorder::new(recorder, keeper));
    Ok(Some(Arc::new(opening.await.context("opening the captures")??)))
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

fn media(settings: &LiveKit) -> MediaConfig {
    let mut config = MediaConfig::default();
    config.threads = usize::try_from(settings.media_threads).unwrap_or(1);
    config.bind = settings.media_ip.unwrap_or(config.bind);
    config
}

//! The parts of a server, made from its settings.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use outdial_bridge::{Bridge, BridgeSettings, TlsListener};
use outdial_domain::Route;
use outdial_domain::ports::{Clock, Keeper, Observer, Provider, RoomHints, SystemClock};
use outdial_engine::Backend;
use outdial_exotel::Exotel;
use outdial_livekit::{LiveKitConfig, Webhooks};
use outdial_observer::LiveKitObserver;
use outdial_recordings::{FolderKeeper, Recorder, RecorderSettings, S3Keeper, S3Settings};
use outdial_room::{Media, MediaConfig};
use outdial_sandbox::{Sandbox, SandboxConfig};
use outdial_twilio::{Direct, Twilio};
use outdial_webhooks::{HttpSender, SenderSettings};

use crate::settings::{self, LiveKit, Settings, Sip};

const NO_LIVEKIT: &str =
    "set livekit.url, livekit.api_key and livekit.api_secret to place twilio calls";
const NO_SIP: &str = "set sip.public_ip, and livekit.url, livekit.api_key and livekit.api_secret, to \
                      place exotel calls and those of trunks with route \"direct\"";

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
    bridge: Option<Bridge>,
}

impl Carriers {
    /// Sets up what the settings ask for. SIP is listened for; nothing else is connected yet.
    pub(crate) async fn new(settings: &Settings) -> anyhow::Result<Self> {
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
            (Route::Exotel, Err(NO_SIP.to_owned())),
            (Route::Direct, Err(NO_SIP.to_owned())),
        ]);
        let Some(livekit_settings) = &settings.livekit else {
            return Ok(Self { backends, room_hints: None, sandbox, real: None });
        };
        let livekit = Arc::new(livekit(livekit_settings)?);
        let media =
            Media::start(media(livekit_settings)).context("media threads cannot be started")?;
        let twilio = Arc::new(Twilio::new(livekit.clone(), media.clone()));
        let runtime = tokio::runtime::Handle::current();
        let observer = Arc::new(LiveKitObserver::new(media.clone(), livekit.clone(), runtime));
        let real = Backend {
            rooms: livekit.clone(),
            provider: twilio.clone(),
            observer: Some(observer.clone()),
        };
        backends.insert(Route::Twilio, Ok(real));
        let bridge = match &settings.sip {
            Some(sip) => Some(bridge(sip, &settings.data_dir, livekit.clone(), media).await?),
            None => None,
        };
        if let Some(bridge) = &bridge {
            let providers: [(Route, Arc<dyn Provider>); 2] = [
                (Route::Exotel, Arc::new(Exotel::new(bridge.clone()))),
                (Route::Direct, Arc::new(Direct::new(bridge.clone()))),
            ];
            for (route, provider) in providers {
                // The leg itself is in the room: it sees and hears what an observer would.
                let observer: Option<Arc<dyn Observer>> = Some(Arc::new(bridge.clone()));
                backends.insert(route, Ok(Backend { rooms: livekit.clone(), provider, observer }));
            }
        }
        let keys = [(livekit_settings.api_key.clone(), livekit_settings.api_secret.clone())];
        Ok(Self {
            backends,
            room_hints: Some(Arc::new(Webhooks::new(keys))),
            sandbox,
            real: Some(Real { twilio, observer, bridge }),
        })
    }

    /// Hangs up the calls that end with this server: those through the SIP bridge.
    pub(crate) async fn hang_up(&self) {
        if let Some(Real { bridge: Some(bridge), .. }) = &self.real {
            bridge.shutdown().await;
        }
    }

    /// Ends their tasks. Calls through LiveKit SIP go on.
    pub(crate) async fn shutdown(&self) {
        if let Some(Real { twilio, observer, .. }) = &self.real {
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

/// The bridge, listening for SIP.
async fn bridge(
    settings: &Sip,
    data_dir: &Path,
    livekit: Arc<outdial_livekit::LiveKit>,
    media: Media,
) -> anyhow::Result<Bridge> {
    let Sip { public_ip, bind, udp_port, tcp_port, tls, tls_ca, .. } = settings.clone();
    let read = |file: &Path| {
        std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
    };
    let tls = match tls {
        Some(tls) => Some(TlsListener {
            address: SocketAddr::new(bind, tls.port),
            certificate: read(&tls.certificate).context("sip.tls_certificate")?,
            key: read(&tls.key).context("sip.tls_key")?,
        }),
        None => None,
    };
    let mut bridge = BridgeSettings::new(public_ip);
    bridge.bind = bind;
    (bridge.udp_port, bridge.tcp_port, bridge.tls) = (udp_port, tcp_port, tls);
    bridge.tls_ca = tls_ca.as_deref().map(read).transpose().context("sip.tls_ca")?;
    bridge.rtp_ports = settings.rtp_ports.clone();
    bridge.no_media_timeout = settings.no_media_timeout;
    bridge.media_timeout = settings.media_timeout;
    bridge.journal = Some(data_dir.join("legs"));
    // Boxed: it is large, and runs once.
    let started = Box::pin(Bridge::start(bridge, livekit, media)).await;
    started.context("the SIP bridge cannot be started (section sip of the settings)")
}

fn media(settings: &LiveKit) -> MediaConfig {
    let mut config = MediaConfig::default();
    config.threads = usize::try_from(settings.media_threads).unwrap_or(1);
    config.bind = settings.media_ip.unwrap_or(config.bind);
    config
}

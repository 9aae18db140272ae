//! The bridge: what all legs share, and how to reach each.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_domain::ports::{
    AudioSink, Clock, DialRequest, Dialed, HintSink, LegLook, Observation, ObserveRequest,
    Observer, SystemClock,
};
use outdial_domain::{Digits, Error, ErrorKind, Result, RoomName};
use outdial_livekit::LiveKit;
use outdial_observer::Audio;
use outdial_room::Media;
use outdial_sip::UserAgent;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::elsewhere;
use crate::journal::{self, Journal};
use crate::leg::{self, Command, Leg, Standing};
use crate::plan::LegPlan;
use crate::ports::{COOLDOWN, Ports};
use crate::settings::BridgeSettings;

/// Why a bridge could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// SIP cannot be listened for, or certificates cannot be used.
    #[error(transparent)]
    Sip(#[from] outdial_sip::StartError),
    /// The folder of the journal cannot be used.
    #[error("the journal of legs cannot be opened: {0}")]
    Journal(std::io::Error),
    /// The range of RTP ports holds none.
    #[error("rtp_ports: {0}")]
    Ports(String),
}

/// Dials phones over SIP and joins them to LiveKit rooms. Cheap to clone: clones are the same
/// bridge.
///
/// Each leg is a task of the bridge, with a participant in its room; audio runs on the threads of
/// its [`Media`]. As an [`Observer`] it tells of the rooms of its own legs only, and needs no second
/// participant for that while a leg lasts; for the last words one listens for 2 s at most.
#[derive(Clone)]
pub struct Bridge(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: BridgeSettings,
    pub(crate) livekit: Arc<LiveKit>,
    pub(crate) media: Media,
    pub(crate) sip: UserAgent,
    pub(crate) ports: Ports,
    pub(crate) journal: Option<Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Recordings of legs that are about to be dialled.
    waiting: Mutex<HashMap<RoomName, Box<dyn AudioSink>>>,
    legs: Mutex<HashMap<RoomName, Entry>>,
    runtime: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How to reach a leg.
#[derive(Clone)]
struct Entry {
    commands: mpsc::Sender<Command>,
    standing: Arc<Mutex<Standing>>,
}

/// Commands that may wait for a leg.
const MAX_COMMANDS: usize = 8;
/// How long the keys of one request may take to be taken up.
const DTMF_TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls of an earlier process are tried to be ended.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(40);

impl Bridge {
    /// Starts to listen for SIP, and hangs up what a process that was killed has left behind. Rooms
    /// are those of `livekit`; the legs' participants and RTP are served by `media`'s threads.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        settings: BridgeSettings,
        livekit: Arc<LiveKit>,
        media: Media,
    ) -> Result<Self, StartError> {
        let opened = match &settings.journal {
            Some(folder) => Some(Journal::open(folder).map_err(StartError::Journal)?),
            None => None,
        };
        let (journal, left) = opened.map_or((None, Vec::new()), |(j, left)| (Some(j), left));
        let ports = Ports::new(settings.bind, settings.rtp_ports.clone(), COOLDOWN)
            .map_err(|error| StartError::Ports(error.to_string()))?;
        let at = |port: Option<u16>| port.map(|port| SocketAddr::new(settings.bind, port));
        let sip = outdial_sip::Settings {
            udp: at(settings.udp_port),
            tcp: at(settings.tcp_port),
            tls: settings.tls.clone(),
            tls_roots: settings.tls_ca.clone(),
            ..outdial_sip::Settings::new(settings.public_ip)
        };
        let bridge = Self(Arc::new(Inner {
            sip: UserAgent::start(sip).await?,
            ports,
            settings,
            livekit,
            media,
            journal,
            clock: Arc::new(SystemClock),
            waiting: Mutex::default(),
            legs: Mutex::default(),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }));
        for (path, entry) in left {
            let sip = bridge.0.sip.clone();
            bridge.0.tasks.spawn(async move {
                let ended =
                    tokio::time::timeout(ORPHAN_TIMEOUT, sip.bye_orphan(&entry.dialog, None));
                let told = matches!(ended.await, Ok(Ok(())));
                tracing::info!(room = ?entry.room_name, told, "hung up a leg of an earlier run");
                journal::remove(&path);
            });
        }
        Ok(bridge)
    }

    /// Dials a leg into a room, where it becomes the participant that the request names. Returns
    /// when it has joined and its INVITE is out; `hints` tell the rest. The leg goes on when this
    /// future is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the room or a port cannot be had, or the bridge stops;
    /// [`ErrorKind::Conflict`] when the room has a leg; [`ErrorKind::Refused`] for a plan that no
    /// INVITE can be made of. An INVITE that could not be sent is no error but
    /// [`Dialed::Ended`].
    pub async fn dial(
        &self,
        request: DialRequest,
        plan: LegPlan,
        hints: HintSink,
    ) -> Result<Dialed> {
        let inner = &self.0;
        let stopping =
            || Error::new(ErrorKind::Unavailable, "bridge.dial", "the server is stopping");
        if inner.stop.is_cancelled() {
            return Err(stopping());
        }
        let room_name = request.room_name.clone();
        let (commands, mailbox) = mpsc::channel(MAX_COMMANDS);
        let standing = Arc::<Mutex<Standing>>::default();
        let entry = Entry { commands, standing: Arc::clone(&standing) };
        match inner.legs().entry(room_name.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => {
                let message = "the room has a leg already";
                return Err(Error::new(ErrorKind::Conflict, "bridge.dial", message));
            }
            std::collections::hash_map::Entry::Vacant(place) => place.insert(entry),
        };
        let audio = inner.waiting().remove(&room_name).map(Audio::new);
        let (early, answer) = oneshot::channel();
        let bridge = Arc::clone(inner);
        let stop = inner.stop.clone();
        inner.tasks.spawn_on(
            async move {
                let place = Place { bridge: Arc::clone(&bridge), room_name };
                let leg = Leg { bridge, request, plan, hints, audio, standing };
                Box::pin(leg::run(leg, mailbox, early, stop)).await;
                drop(place);
            },
            &inner.runtime,
        );
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Ends the leg in this room by CANCEL or BYE. Succeeds when there is none; returns when the
    /// leg knows.
    ///
    /// # Errors
    /// None so far.
    pub async fn hang_up(&self, room: &RoomName) -> Result<()> {
        if let Some(entry) = self.entry(room) {
            // A leg that takes no more commands has ended.
            let _ = entry.commands.send(Command::HangUp).await;
        }
        Ok(())
    }

    /// Looks at the leg in this room.
    pub fn look(&self, room: &RoomName) -> LegLook {
        match self.entry(room) {
            Some(entry) => LegLook::Present(lock(&entry.standing).hints()),
            None => LegLook::Absent,
        }
    }

    /// Sends keys to the callee: as RFC 4733 events, or as SIP INFO where the callee takes no
    /// events. A leg that is not this bridge's is asked to by its room. Returns when they are on their
    /// way.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without a leg, [`ErrorKind::Conflict`] before its answer and on hold,
    /// [`ErrorKind::Refused`] when the callee takes none, [`ErrorKind::Busy`] while too many keys
    /// wait, [`ErrorKind::Unavailable`] when the leg does not answer.
    pub async fn send_dtmf(
        &self,
        room: &RoomName,
        participant_identity: &str,
        digits: &Digits,
    ) -> Result<()> {
        let Some(entry) = self.entry(room) else {
            return elsewhere::press(&self.0, room, participant_identity, digits).await;
        };
        let (reply, done) = oneshot::channel();
        let command = Command::Dtmf { digits: digits.clone(), reply };
        entry.commands.send(command).await.map_err(|_| elsewhere::no_leg())?;
        match tokio::time::timeout(DTMF_TIMEOUT, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(elsewhere::no_leg()),
            Err(_) => Err(elsewhere::no_answer()),
        }
    }

    /// Where it listens for SIP.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        use outdial_sip::Transport::{Tcp, Tls, Udp};
        [Udp, Tcp, Tls].into_iter().filter_map(|way| self.0.sip.local_address(way)).collect()
    }

    /// Hangs up all legs, waits until that is done, and stops listening; later dials are refused.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.sip.shutdown().await;
    }

    fn entry(&self, room: &RoomName) -> Option<Entry> {
        self.0.legs().get(room).cloned()
    }
}

impl Observer for Bridge {
    /// The leg itself is in the room: it sends its hints to where [`Bridge::dial`] is told to, and
    /// its audio to the sink given here.
    fn observe(&self, request: ObserveRequest) -> Observation {
        let ObserveRequest { room_name, audio, .. } = request;
        if let Some(audio) = audio {
            self.0.waiting().insert(room_name.clone(), audio);
        }
        Observation::new(Waiting { bridge: Arc::clone(&self.0), room_name })
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("settings", &self.0.settings)
            .field("legs", &self.0.legs().len())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Runs something that may outlast its leg, but not the bridge.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(work, &self.runtime);
    }

    fn legs(&self) -> MutexGuard<'_, HashMap<RoomName, Entry>> {
        lock(&self.legs)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<RoomName, Box<dyn AudioSink>>> {
        lock(&self.waiting)
    }
}

/// An observation; the sink of a leg that was never dialled goes with it.
struct Waiting {
    bridge: Arc<Inner>,
    room_name: RoomName,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bridge.waiting().remove(&self.room_name);
    }
}

/// A leg's place among the others; free again when it is dropped.
struct Place {
    bridge: Arc<Inner>,
    room_name: RoomName,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bridge.legs().remove(&self.room_name);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

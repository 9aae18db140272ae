//! The task of one participant: signalling, requests of the owner, and getting back after a loss.

mod commands;
mod link;
mod signals;

pub(crate) use commands::Command;
pub(crate) use signals::MAX_PENDING;

use crate::{
    core::{
        data::{DataInbox, Incoming},
        feed::Feed,
        peer::PeerEvent,
        roster::Roster,
    },
    error::{CloseReason, RoomError},
    events::RoomEvent,
    join::Joined,
    media::{
        Media,
        seat::{DataPacket, Inlet, Seat},
    },
    options::{AudioCodec, JoinOptions, LeaveReason},
    participant::TrackKind,
    streams::Streams,
};
use link::Link;
use livekit_protocol::{self as proto, TrackSource, signal_request::Message as Request};
use livekit_signaling::{SignalClient, SignalEvent, SignalEvents};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

/// How long a signal request may take to get into the socket.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Checks of deadlines.
const TICK: Duration = Duration::from_secs(1);
const FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// How often to look whether what was sent has gone, before leaving.
const FLUSH_CHECK: Duration = Duration::from_millis(20);
/// Events that may wait beside a full event channel: one update can tell of thousands.
const MAX_WAITING: usize = 16_384;

/// What the owner of a room and its session share.
pub(crate) struct Shared {
    pub(crate) seat: Arc<Seat>,
    roster: Mutex<Roster>,
    pub(crate) malformed: AtomicU64,
    pub(crate) dropped_data: AtomicU64,
    pub(crate) dropped_frames: AtomicU64,
    pub(crate) send_queue: usize,
}

impl Shared {
    pub(crate) fn new(seat: Arc<Seat>, roster: Roster, send_queue: usize) -> Self {
        Self {
            seat,
            roster: Mutex::new(roster),
            malformed: AtomicU64::new(0),
            dropped_data: AtomicU64::new(0),
            dropped_frames: AtomicU64::new(0),
            send_queue,
        }
    }

    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One published track, shared with the handles of its owner.
pub(crate) struct Published {
    pub(crate) cid: String,
    pub(crate) name: String,
    pub(crate) codec: AudioCodec,
    pub(crate) source: TrackSource,
    pub(crate) feed: Arc<Feed>,
    pub(crate) sid: Mutex<String>,
}

impl Published {
    pub(crate) fn sid(&self) -> String {
        self.sid.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add_track(&self) -> Request {
        Request::AddTrack(proto::AddTrackRequest {
            cid: self.cid.clone(),
            name: self.name.clone(),
            r#type: proto::TrackType::Audio as i32,
            source: self.source as i32,
            // redundant audio would be a codec of its own
            disable_red: true,
            audio_features: vec![proto::AudioTrackFeature::TfNoDtx as i32],
            ..Default::default()
        })
    }
}

/// A track that the server has not confirmed yet.
struct Publishing {
    published: Arc<Published>,
    /// Unset when it is published again after a new join.
    reply: Option<oneshot::Sender<Result<Arc<Published>, RoomError>>>,
}

/// A request that the server answers with its number.
struct Asked {
    id: u32,
    attributes: HashMap<String, String>,
    reply: oneshot::Sender<Result<(), RoomError>>,
}

/// What is known of a subscribed track, to find it again after a new join.
struct Wanted {
    identity: String,
    name: String,
    source: TrackSource,
}

pub(crate) struct Session {
    shared: Arc<Shared>,
    /// Keeps the media threads running.
    _media: Media,
    url: String,
    token: String,
    options: JoinOptions,
    client: Arc<SignalClient>,
    signals: SignalEvents,
    inlet: Inlet,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<RoomEvent>,
    /// Events that found the channel full.
    waiting: VecDeque<RoomEvent>,
    /// What the owner set, to set it again after a new join.
    attributes: HashMap<String, String>,
    inbox: DataInbox,
    streams: Streams,
    publishing: Vec<Publishing>,
    published: Vec<Arc<Published>>,
    tracks: HashMap<String, proto::TrackInfo>,
    subscriptions: HashMap<String, Wanted>,
    /// Sinks of an earlier session whose track has not come back yet.
    homeless: Vec<(Wanted, String)>,
    homeless_until: Instant,
    asked: Vec<Asked>,
    link: Link,
    /// Set when everything must end.
    ended: Option<CloseReason>,
    tick: Interval,
}

/// What a session is made of.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) media: Media,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) options: JoinOptions,
    pub(crate) joined: Joined,
    pub(crate) inlet: Inlet,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<RoomEvent>,
}

impl Session {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { shared, media, url, token, options, joined, inlet, commands, events } = parts;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            streams: Streams::new(options.limits),
            shared,
            _media: media,
            url,
            token,
            options,
            client: joined.client,
            signals: joined.signals,
            inlet,
            commands,
            events,
            waiting: VecDeque::new(),
            attributes: HashMap::new(),
            inbox: DataInbox::default(),
            publishing: Vec::new(),
            published: Vec::new(),
            tracks: HashMap::new(),
            subscriptions: HashMap::new(),
            homeless: Vec::new(),
            homeless_until: Instant::now(),
            asked: Vec::new(),
            link: Link::new(),
            ended: None,
            tick,
        }
    }

    /// Runs until the participant has left. Returns why.
    pub(crate) async fn run(mut self) -> CloseReason {
        self.subscribe_all().await;
        let mut left = None;
        let reason = loop {
            if let Some(reason) = self.ended.take() {
                break reason;
            }
            // data waits while the owner does not read: it is dropped and counted, not us
            let readable = self.waiting.is_empty();
            tokio::select! {
                biased;
                signal = self.signals.recv() => self.take_signal_event(signal).await,
                step = self.link.step() => self.take_step(step).await,
                Some(event) = self.inlet.control.recv() => self.take_peer_event(event).await,
                command = self.commands.recv() => match command {
                    Some(Command::Leave { reason, reply }) => {
                        left = Some(reply);
                        break self.leave(reason).await;
                    }
                    Some(command) => self.take_command(command).await,
                    None => break self.leave(LeaveReason::default()).await,
                },
                Some(packet) = self.inlet.data.recv(), if readable => self.take_data(packet),
                event = self.streams.next(), if readable => self.emit(event),
                _ = self.tick.tick() => self.check_deadlines(),
                () = has_room(&self.events), if !readable => self.emit_waiting(),
            }
        };
        self.close(&reason).await;
        if let Some(reply) = left {
            // the owner may have stopped waiting
            let _ = reply.send(());
        }
        reason
    }

    /// Lets go of everything; the events end.
    async fn close(&mut self, reason: &CloseReason) {
        tracing::debug!(%reason, "participant closed");
        self.shared.seat.close();
        self.emit_waiting();
        let close = Box::pin(self.client.close());
        if tokio::time::timeout(SEND_TIMEOUT, close).await.is_err() {
            tracing::debug!("the signal connection did not close in time");
        }
    }

    async fn leave(&mut self, reason: LeaveReason) -> CloseReason {
        let deadline = Instant::now() + Duration::from_secs(1);
        // what was sent before leaving should arrive
        while self.link.is_up()
            && Instant::now() < deadline
            && !self.shared.seat.with(crate::core::peer::Peer::data_is_idle)
        {
            tokio::time::sleep(FLUSH_CHECK).await;
        }
        let leave = proto::LeaveRequest {
            reason: proto::DisconnectReason::from(reason) as i32,
            action: proto::leave_request::Action::Disconnect as i32,
            ..Default::default()
        };
        self.request(Request::Leave(leave)).await;
        CloseReason::Left
    }

    /// Sends a request, or keeps it until the signal connection is back.
    async fn request(&mut self, request: Request) {
        if !self.link.is_up() {
            self.link.defer(request);
            return;
        }
        // boxed: it is large, and the session keeps room for what it awaits
        let send = Box::pin(self.client.send(request));
        if tokio::time::timeout(SEND_TIMEOUT, send).await.is_err() {
            tracing::debug!("the signal socket is stuck");
        }
    }

    /// Tells the owner. An owner without interest in events has dropped the receiver.
    fn emit(&mut self, event: RoomEvent) {
        if self.waiting.is_empty() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                self.waiting.push_back(event);
            }
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(event);
        } else {
            self.ended = Some(CloseReason::EventsNotRead);
        }
    }

    fn emit_waiting(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    return self.waiting.push_front(event);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    async fn take_signal_event(&mut self, event: Option<SignalEvent>) {
        match event {
            Some(SignalEvent::Message(message)) => self.take_message(*message).await,
            // a resume closes the old socket itself and then says so
            Some(SignalEvent::Close(why)) if self.link.is_up() => {
                tracing::debug!(%why, "signal connection lost");
                self.lose(proto::ReconnectReason::RrSignalDisconnected);
            }
            Some(SignalEvent::Close(_)) => {}
            None => self.ended = Some(CloseReason::ConnectionLost("signalling ended".to_owned())),
        }
    }

    async fn take_peer_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Request(request) => self.request(*request).await,
            PeerEvent::Up => self.link.media_up(),
            PeerEvent::IceBack => self.link.media_back(),
            PeerEvent::IceLost => self.link.media_lost(),
            // a server that ends the session says so on the signal connection: that goes first
            PeerEvent::Failed(error) => self.rejoin(&error, FAILURE_PAUSE),
            PeerEvent::Panicked => self.ended = Some(CloseReason::MediaStopped),
            PeerEvent::Subscribed(sids) => {
                for sid in sids {
                    self.tell_subscribed(sid);
                }
            }
            // comes over its own channel
            PeerEvent::Data { .. } => {}
        }
    }

    fn tell_subscribed(&mut self, track_sid: String) {
        if self.subscriptions.contains_key(&track_sid) {
            // it may not have been known when it was asked for
            self.want(&track_sid);
        }
        let event = {
            let roster = self.shared.roster();
            let track = roster.track(&track_sid);
            let codec = track.and_then(|(_, t)| t.codec()).unwrap_or(AudioCodec::Opus);
            let participant_identity = track.map(|(p, _)| p.identity.clone()).unwrap_or_default();
            RoomEvent::TrackSubscribed { track_sid, participant_identity, codec }
        };
        self.emit(event);
    }

    fn take_data(&mut self, packet: DataPacket) {
        self.inlet.backlog.taken(&packet);
        match self.inbox.read(&packet.bytes, packet.reliable) {
            Incoming::User { identity, topic, payload } => {
                let reliable = packet.reliable;
                let participant_identity = identity;
                self.emit(RoomEvent::Data { participant_identity, topic, payload, reliable });
            }
            Incoming::Dtmf { identity, code, digit } => {
                self.emit(RoomEvent::Dtmf { participant_identity: identity, code, digit });
            }
            Incoming::Stream { id, opens, packet } => self.streams.push(id, opens, packet),
            Incoming::Ignored => {}
            Incoming::Malformed => {
                self.shared.malformed.fetch_add(1, Relaxed);
            }
        }
        let dropped = self.inlet.backlog.dropped.load(Relaxed) + self.streams.dropped;
        self.shared.dropped_data.store(dropped, Relaxed);
    }

    fn check_deadlines(&mut self) {
        let now = Instant::now();
        self.shared.seat.with(|peer| peer.check_overdue(now.into_std()));
        self.asked.retain(|a| !a.reply.is_closed());
        self.publishing.retain(|p| p.reply.as_ref().is_none_or(|r| !r.is_closed()));
        self.check_media(now);
        self.check_homeless(now);
    }

    /// Subscribes to every audio track when the owner asked for that.
    async fn subscribe_all(&mut self) {
        if !self.options.auto_subscribe {
            return;
        }
        let sids: Vec<String> = {
            let roster = self.shared.roster();
            let audio = roster.others().flat_map(|p| &p.tracks);
            audio.filter(|t| t.kind == TrackKind::Audio).map(|t| t.sid.clone()).collect()
        };
        for sid in sids {
            self.want(&sid);
            self.ask_subscription(sid, true).await;
        }
    }
}

impl Drop for Session {
    /// Also when the runtime ends or a step panics: sinks and sources must not stay.
    fn drop(&mut self) {
        self.shared.seat.close();
        let publishing = self.publishing.iter().map(|p| &p.published);
        for published in self.published.iter().chain(publishing) {
            published.feed.close();
        }
    }
}

/// Waits until the channel takes an event or nobody reads it any more.
async fn has_room(events: &mpsc::Sender<RoomEvent>) {
    // a permit would borrow the session; the room stays, as only the session sends
    drop(events.reserve().await);
}

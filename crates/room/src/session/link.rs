//! Getting back: a resume keeps the session and its media, a new join replaces them.

use super::{
    Publishing, SEND_TIMEOUT, Session,
    signals::{Continuity, MAX_PENDING},
};
use crate::{
    core::roster::Roster,
    error::{CloseReason, JoinError},
    events::RoomEvent,
    join::{self, Joined},
    options::JoinOptions,
};
use livekit_protocol::{
    self as proto, DisconnectReason, ReconnectReason, leave_request::Action,
    signal_request::Message as Request,
};
use livekit_signaling::{SignalClient, SignalError};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Media may be silent for so long before we act; ICE often heals by itself.
const MEDIA_GRACE: Duration = Duration::from_secs(4);
/// The first connection of media, and an ICE restart, may take so long.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the sinks of tracks wait for their participants after a new join.
const HOMELESS: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The state of the connection to the server.
pub(super) struct Link {
    state: State,
    /// Requests to send when the link is back.
    deferred: Vec<Request>,
    media: MediaState,
}

enum State {
    Up,
    Down(Down),
}

struct Down {
    since: Instant,
    pause: Duration,
    step: Pin<Box<dyn Future<Output = Step> + Send>>,
    /// Joining afresh, no longer resuming.
    afresh: bool,
}

#[derive(Clone, Copy)]
enum MediaState {
    /// Must be up by then, or the session is worth nothing. `first`: has never been up.
    Connecting {
        until: Instant,
        first: bool,
    },
    Up,
    Lost {
        since: Instant,
    },
}

/// The end of one try to get back.
pub(super) enum Step {
    Resumed(Result<(), SignalError>),
    Joined(Box<Result<Joined, JoinError>>),
    GivenUp(String),
}

impl Link {
    pub(super) fn new() -> Self {
        let until = Instant::now() + MEDIA_TIMEOUT;
        Self {
            state: State::Up,
            deferred: Vec::new(),
            media: MediaState::Connecting { until, first: true },
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Keeps a request for later. Negotiation is repeated by the peer, so it is not kept.
    pub(super) fn defer(&mut self, request: Request) {
        let keep = matches!(
            request,
            Request::AddTrack(_) | Request::Subscription(_) | Request::UpdateMetadata(_)
        );
        if keep && self.deferred.len() < MAX_PENDING {
            self.deferred.push(request);
        }
    }

    /// Waits for the try under way; for ever when the link is up.
    pub(super) async fn step(&mut self) -> Step {
        match &mut self.state {
            State::Up => std::future::pending().await,
            State::Down(down) => down.step.as_mut().await,
        }
    }

    pub(super) fn media_up(&mut self) {
        self.media = MediaState::Up;
    }

    /// Another peer connection is being made.
    pub(super) fn media_connecting(&mut self) {
        let until = Instant::now() + MEDIA_TIMEOUT;
        if matches!(self.media, MediaState::Up) {
            self.media = MediaState::Connecting { until, first: false };
        }
    }

    pub(super) fn media_back(&mut self) {
        if !matches!(self.media, MediaState::Connecting { first: true, .. }) {
            self.media = MediaState::Up;
        }
    }

    pub(super) fn media_lost(&mut self) {
        if matches!(self.media, MediaState::Up) {
            self.media = MediaState::Lost { since: Instant::now() };
        }
    }
}

impl Session {
    /// The connection is lost: tries to resume.
    pub(super) fn lose(&mut self, reason: ReconnectReason) {
        if !self.link.is_up() {
            return;
        }
        self.emit(RoomEvent::Reconnecting);
        let step = resume(Arc::clone(&self.client), Duration::ZERO, reason);
        self.down(false, step);
    }

    /// The session is broken beyond a resume: joins afresh.
    pub(super) fn rejoin(&mut self, cause: &str, pause: Duration) {
        match &self.link.state {
            State::Down(down) if down.afresh => return,
            State::Down(_) => {}
            State::Up => self.emit(RoomEvent::Reconnecting),
        }
        tracing::debug!(cause, "joining afresh");
        let step = if self.options.rejoin {
            self.join_step(pause)
        } else {
            // The pause all the same: the server may still say why.
            let cause = cause.to_owned();
            Box::pin(async move {
                tokio::time::sleep(pause).await;
                Step::GivenUp(cause)
            })
        };
        self.down(true, step);
    }

    fn down(&mut self, afresh: bool, step: Pin<Box<dyn Future<Output = Step> + Send>>) {
        let since = match &self.link.state {
            State::Up => Instant::now(),
            State::Down(down) => down.since,
        };
        self.link.state = State::Down(Down { since, pause: FIRST_PAUSE, step, afresh });
    }

    fn join_step(&self, pause: Duration) -> Pin<Box<dyn Future<Output = Step> + Send>> {
        let (url, token) = (self.url.clone(), self.token.clone());
        let options = JoinOptions { timeout: SEND_TIMEOUT, ..self.options.clone() };
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            Step::Joined(Box::new(join::connect(&url, &token, &options).await))
        })
    }

    pub(super) async fn take_step(&mut self, step: Step) {
        match step {
            Step::Resumed(Ok(())) if self.client.is_connected().await => self.resumed().await,
            Step::Resumed(Ok(())) => self.try_again(false, "the signal socket closed again"),
            Step::Resumed(Err(error)) => match error {
                SignalError::LeaveRequest { reason, action: Action::Disconnect }
                    if is_final(reason) =>
                {
                    self.ended = Some(reason.into());
                }
                SignalError::LeaveRequest { reason, .. } => {
                    let cause = format!("the server refused the resume: {reason:?}");
                    self.rejoin(&cause, Duration::ZERO);
                }
                SignalError::Handshake { .. }
                | SignalError::Client(..)
                | SignalError::InvalidState(_) => self.rejoin(&error.to_string(), Duration::ZERO),
                error => self.try_again(false, &error.to_string()),
            },
            Step::GivenUp(cause) => self.ended = Some(CloseReason::ConnectionLost(cause)),
            Step::Joined(result) => match *result {
                Ok(joined) => Box::pin(self.rejoined(joined)).await,
                Err(error @ (JoinError::Unauthorized(_) | JoinError::RoomNotFound(_))) => {
                    self.ended = Some(CloseReason::ConnectionLost(error.to_string()));
                }
                Err(JoinError::Closed(reason)) if is_final(reason) => {
                    self.ended = Some(reason.into());
                }
                Err(error) => self.try_again(true, &error.to_string()),
            },
        }
    }

    fn try_again(&mut self, afresh: bool, cause: &str) {
        let State::Down(down) = &mut self.link.state else { return };
        tracing::debug!(cause, afresh, "not reconnected yet");
        if down.since.elapsed() > self.options.reconnect_timeout {
            self.ended = Some(CloseReason::ConnectionLost(cause.to_owned()));
            return;
        }
        // many participants lose one server at once: they must not come back in step
        let pause = down.pause.mul_f64(rand::random_range(0.5..1.0));
        down.pause = (down.pause * 2).min(LONGEST_PAUSE);
        let step = match afresh {
            true => self.join_step(pause),
            false => resume(Arc::clone(&self.client), pause, ReconnectReason::RrSignalDisconnected),
        };
        if let State::Down(down) = &mut self.link.state {
            down.step = step;
        }
    }

    /// The server sends us away, for a while or for good.
    pub(super) fn take_leave(&mut self, action: Action, reason: DisconnectReason) {
        match action {
            Action::Resume => self.lose(ReconnectReason::RrSignalDisconnected),
            Action::Reconnect => {
                self.rejoin(&format!("the server asked for it: {reason:?}"), Duration::ZERO);
            }
            Action::Disconnect if !is_final(reason) => {
                self.rejoin(&format!("the server ended the session: {reason:?}"), Duration::ZERO);
            }
            Action::Disconnect => self.ended = Some(reason.into()),
        }
    }

    async fn resumed(&mut self) {
        self.link.state = State::Up;
        let (offer, answer) = self.shared.seat.with(|peer| peer.descriptions());
        let publish_tracks = self.tracks.iter().map(|(cid, track)| proto::TrackPublishedResponse {
            cid: cid.clone(),
            track: Some(track.clone()),
        });
        let subscription = proto::UpdateSubscription {
            track_sids: self.subscriptions.keys().cloned().collect(),
            subscribe: true,
            participant_tracks: Vec::new(),
        };
        let state = proto::SyncState {
            offer,
            answer,
            subscription: Some(subscription),
            publish_tracks: publish_tracks.collect(),
            datachannel_receive_states: self.inbox.receive_states(),
            ..Default::default()
        };
        self.request(Request::SyncState(state)).await;
        Box::pin(self.client.set_reconnected()).await;
        let restart = !matches!(self.link.media, MediaState::Up);
        self.shared.seat.with(|peer| peer.resume(restart));
        if restart {
            let until = Instant::now() + MEDIA_TIMEOUT;
            self.link.media = MediaState::Connecting { until, first: false };
        }
        self.send_deferred().await;
        self.emit(RoomEvent::Resumed);
    }

    async fn rejoined(&mut self, joined: Joined) {
        let orphans = self.orphan_subscriptions();
        let seat = Arc::clone(&self.shared.seat);
        let mut old = seat.replace(join::peer(&joined));
        for (sid, sink) in old.routes.take_sinks() {
            seat.with(|peer| peer.subscribe(&sid, sink));
        }
        seat.with(|peer| peer.data.inherit(&mut old.data));
        drop(old);
        if let Err(error) = join::start(&seat, &joined) {
            return self.try_again(true, &error.to_string());
        }
        let old = std::mem::replace(&mut self.client, joined.client);
        self.signals = joined.signals;
        // the old socket is dead or unwanted; its closing may take seconds
        tokio::spawn(async move { old.close().await });
        self.link = Link { deferred: std::mem::take(&mut self.link.deferred), ..Link::new() };
        self.inbox = Default::default();
        self.streams.abort_all();
        self.homeless = orphans;
        self.homeless_until = Instant::now() + HOMELESS;
        self.emit(RoomEvent::Rejoined);
        let events = self.shared.roster().replace(Roster::new(&joined.response));
        self.publish_again().await;
        self.set_attributes_again().await;
        self.take_roster_events(events, Continuity::Afresh).await;
        self.subscribe_again().await;
        self.send_deferred().await;
    }

    async fn publish_again(&mut self) {
        self.tracks.clear();
        // those that never were confirmed have lost their request with the old session
        self.link.deferred.retain(|r| !matches!(r, Request::AddTrack(_)));
        for published in &self.published {
            let published = Arc::clone(published);
            self.publishing.push(Publishing { published, reply: None });
        }
        if !self.publishing.is_empty()
            && let Err(error) = self.shared.seat.open(crate::core::peer::Role::Publisher)
        {
            return self.rejoin(&error.to_string(), FIRST_PAUSE);
        }
        let requests: Vec<Request> =
            self.publishing.iter().map(|p| p.published.add_track()).collect();
        for request in requests {
            self.request(request).await;
        }
    }

    /// Tracks that kept their id were not told as published.
    async fn subscribe_again(&mut self) {
        let kept: Vec<String> = {
            let roster = self.shared.roster();
            let sids = self.homeless.iter().map(|(_, sid)| sid);
            sids.filter(|sid| roster.track(sid).is_some()).cloned().collect()
        };
        for sid in kept {
            self.homeless.retain(|(_, s)| *s != sid);
            self.want(&sid);
            self.ask_subscription(sid, true).await;
        }
    }

    async fn send_deferred(&mut self) {
        for request in std::mem::take(&mut self.link.deferred) {
            self.request(request).await;
        }
    }

    /// The server knows only the attributes of the token after a new join.
    async fn set_attributes_again(&mut self) {
        if self.attributes.is_empty() {
            return;
        }
        let id = self.client.next_request_id();
        let update = self.metadata_update(id, self.attributes.clone());
        self.request(update).await;
    }

    pub(super) fn check_homeless(&mut self, now: Instant) {
        if now < self.homeless_until {
            return;
        }
        for (_, sid) in std::mem::take(&mut self.homeless) {
            drop(self.forget_track(&sid));
        }
    }

    pub(super) fn check_media(&mut self, now: Instant) {
        match self.link.media {
            MediaState::Connecting { until, first } if now > until && self.link.is_up() => {
                let cause = "media could not be connected";
                if first {
                    self.ended = Some(CloseReason::ConnectionLost(cause.to_owned()));
                } else {
                    self.rejoin(cause, Duration::ZERO);
                }
            }
            MediaState::Lost { since } if now > since + MEDIA_GRACE && self.link.is_up() => {
                self.lose(ReconnectReason::RrPublisherFailed);
            }
            _ => {}
        }
    }
}

fn resume(
    client: Arc<SignalClient>,
    pause: Duration,
    reason: ReconnectReason,
) -> Pin<Box<dyn Future<Output = Step> + Send>> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        Step::Resumed(client.restart(reason).await.map(drop))
    })
}

/// Whether coming back makes no sense: somebody wants us out.
fn is_final(reason: DisconnectReason) -> bool {
    match reason {
        DisconnectReason::UnknownReason
        | DisconnectReason::ServerShutdown
        | DisconnectReason::StateMismatch
        | DisconnectReason::JoinFailure
        | DisconnectReason::Migration
        | DisconnectReason::SignalClose
        | DisconnectReason::ConnectionTimeout
        | DisconnectReason::MediaFailure => false,
        DisconnectReason::ClientInitiated
        | DisconnectReason::DuplicateIdentity
        | DisconnectReason::ParticipantRemoved
        | DisconnectReason::RoomDeleted
        | DisconnectReason::RoomClosed
        | DisconnectReason::UserUnavailable
        | DisconnectReason::UserRejected
        | DisconnectReason::SipTrunkFailure
        | DisconnectReason::AgentError => true,
    }
}

//! What the owner of a room asks for.

use super::{Asked, Published, Publishing, Session, Wanted, signals::MAX_PENDING};
use crate::{
    core::{feed::Feed, peer::Role},
    error::RoomError,
    options::{LeaveReason, PublishOptions},
    rtp::RtpSink,
};
use livekit_protocol::{self as proto, TrackSource, signal_request::Message as Request};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::sync::oneshot;

pub(crate) enum Command {
    Publish {
        options: PublishOptions,
        reply: oneshot::Sender<Result<Arc<Published>, RoomError>>,
    },
    Subscribe {
        track_sid: String,
        sink: Box<dyn RtpSink>,
    },
    Unsubscribe {
        track_sid: String,
    },
    SetAttributes {
        attributes: HashMap<String, String>,
        reply: oneshot::Sender<Result<(), RoomError>>,
    },
    Send {
        reliable: bool,
        packets: Vec<proto::DataPacket>,
        reply: oneshot::Sender<Result<(), RoomError>>,
    },
    Leave {
        reason: LeaveReason,
        reply: oneshot::Sender<()>,
    },
}

impl Session {
    pub(super) async fn take_command(&mut self, command: Command) {
        match command {
            Command::Publish { options, reply } => self.publish(options, reply).await,
            Command::Subscribe { track_sid, sink } => {
                self.shared.seat.with(|peer| peer.subscribe(&track_sid, sink));
                self.want(&track_sid);
                self.ask_subscription(track_sid, true).await;
            }
            Command::Unsubscribe { track_sid } => self.unsubscribe(track_sid).await,
            Command::SetAttributes { attributes, reply } => {
                self.set_attributes(attributes, reply).await;
            }
            Command::Send { reliable, packets, reply } => {
                let result = self.send(reliable, packets);
                let _ = reply.send(result);
            }
            // taken by the loop
            Command::Leave { .. } => {}
        }
    }

    async fn publish(
        &mut self,
        options: PublishOptions,
        reply: oneshot::Sender<Result<Arc<Published>, RoomError>>,
    ) {
        if self.publishing.len() + self.published.len() >= MAX_PENDING {
            let _ = reply.send(Err(RoomError::Busy));
            return;
        }
        if let Err(error) = self.open_publisher() {
            let _ = reply.send(Err(error));
            return;
        }
        let published = Arc::new(Published {
            cid: format!("audio-{:016x}", rand::random::<u64>()),
            name: options.name,
            codec: options.codec,
            source: options.source,
            feed: Arc::new(Feed::new(self.shared.send_queue)),
            sid: Mutex::default(),
        });
        let request = published.add_track();
        self.publishing.push(Publishing { published, reply: Some(reply) });
        self.request(request).await;
    }

    /// The server has registered a track: offers it.
    pub(super) fn take_published(&mut self, response: proto::TrackPublishedResponse) {
        let Some(info) = response.track else { return };
        let found = self.publishing.iter().position(|p| p.published.cid == response.cid);
        let Some(publishing) = found.map(|index| self.publishing.swap_remove(index)) else {
            return;
        };
        let published = publishing.published;
        if let Ok(mut sid) = published.sid.lock() {
            sid.clone_from(&info.sid);
        }
        self.tracks.insert(response.cid, info);
        let (cid, feed) = (published.cid.clone(), Arc::clone(&published.feed));
        let codec = published.codec;
        self.shared.seat.with(|peer| peer.publish(cid, codec, feed, Instant::now()));
        if !self.published.iter().any(|p| p.cid == published.cid) {
            self.published.push(Arc::clone(&published));
        }
        if let Some(reply) = publishing.reply {
            // the track stays when the owner has stopped waiting; it sends nothing
            let _ = reply.send(Ok(published));
        }
    }

    /// Remembers a subscription so that it can be made again after a new join.
    pub(super) fn want(&mut self, track_sid: &str) {
        let wanted = {
            let roster = self.shared.roster();
            let track = roster.track(track_sid);
            Wanted {
                identity: track.map(|(p, _)| p.identity.clone()).unwrap_or_default(),
                name: track.map(|(_, t)| t.name.clone()).unwrap_or_default(),
                source: track.map_or(TrackSource::Unknown, |(_, t)| t.source),
            }
        };
        self.subscriptions.insert(track_sid.to_owned(), wanted);
    }

    pub(super) async fn ask_subscription(&mut self, track_sid: String, subscribe: bool) {
        let track_sids = vec![track_sid];
        self.request(Request::Subscription(proto::UpdateSubscription {
            track_sids,
            subscribe,
            participant_tracks: Vec::new(),
        }))
        .await;
    }

    async fn unsubscribe(&mut self, track_sid: String) {
        drop(self.forget_track(&track_sid));
        self.ask_subscription(track_sid, false).await;
    }

    /// Forgets a track and gives its sink back, to be dropped outside the lock.
    pub(super) fn forget_track(&mut self, track_sid: &str) -> Option<Box<dyn RtpSink>> {
        self.subscriptions.remove(track_sid);
        self.homeless.retain(|(_, sid)| sid != track_sid);
        self.shared.seat.with(|peer| peer.routes.unsubscribe(track_sid))
    }

    async fn set_attributes(
        &mut self,
        attributes: HashMap<String, String>,
        reply: oneshot::Sender<Result<(), RoomError>>,
    ) {
        if self.asked.len() >= MAX_PENDING {
            let _ = reply.send(Err(RoomError::Busy));
            return;
        }
        let id = self.client.next_request_id();
        let update = self.metadata_update(id, attributes.clone());
        self.attributes.extend(attributes.clone());
        self.asked.push(Asked { id, attributes, reply });
        self.request(update).await;
        self.check_attributes();
    }

    /// Name and metadata are sent along, or the server would clear them.
    pub(super) fn metadata_update(&self, id: u32, attributes: HashMap<String, String>) -> Request {
        let roster = self.shared.roster();
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata: roster.local.metadata.clone(),
            name: roster.local.name.clone(),
            attributes,
            request_id: id,
        })
    }

    /// Answers those whose attributes are set: the server may not confirm a change of nothing.
    pub(super) fn check_attributes(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let current = self.shared.roster().local.attributes.clone();
        let is_set = |asked: &Asked| {
            asked.attributes.iter().all(|(key, value)| match value.is_empty() {
                true => !current.contains_key(key),
                false => current.get(key) == Some(value),
            })
        };
        for asked in self.asked.extract_if(.., |asked| is_set(asked)) {
            let _ = asked.reply.send(Ok(()));
        }
    }

    /// Opens the peer connection to send on, unless it is there. True: it is new.
    fn open_publisher(&mut self) -> Result<bool, RoomError> {
        if self.shared.seat.with(|peer| peer.has(Role::Publisher)) {
            return Ok(false);
        }
        let opened = self.shared.seat.open(Role::Publisher);
        opened.map_err(|e| RoomError::Socket(e.to_string()))?;
        self.link.media_connecting();
        Ok(true)
    }

    fn send(&mut self, reliable: bool, packets: Vec<proto::DataPacket>) -> Result<(), RoomError> {
        if self.open_publisher()? {
            self.shared.seat.with(|peer| peer.start(Instant::now()));
        }
        let sent = self.shared.seat.with(|peer| peer.data.push_all(reliable, packets));
        if sent { Ok(()) } else { Err(RoomError::Busy) }
    }
}

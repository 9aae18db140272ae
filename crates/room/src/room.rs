//! A participant in a room.

use crate::{
    core::{data::MAX_PACKET, feed::Pushed},
    error::{CloseReason, JoinError, RoomError},
    events::Events,
    join,
    media::{Media, companion::Companion, seat::Seat},
    options::{JoinOptions, LeaveReason, PublishOptions},
    outgoing::{self, Content},
    participant::Participant,
    rtp::{RtpFrame, RtpSink, RtpSource},
    session::{Command, MAX_PENDING, Parts, Published, Session, Shared},
};
use livekit_protocol as proto;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How long a request may take that the server answers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A participant in a room. Dropping it leaves the room.
pub struct Room {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("sid", &self.sid()).finish_non_exhaustive()
    }
}

impl Room {
    /// Joins a room. `url` is the address of the server, `token` says which room and who we are.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(
        media: &Media,
        url: &str,
        token: &str,
        options: JoinOptions,
    ) -> Result<(Room, Events), JoinError> {
        let joined = join::connect(url, token, &options).await?;
        let limits = options.limits;
        let (seat, inlet) = Seat::new(join::peer(&joined), media.bind(), limits);
        let seat = Arc::new(seat);
        let roster = crate::core::roster::Roster::new(&joined.response);
        let shared = Arc::new(Shared::new(Arc::clone(&seat), roster, limits.send_queue));
        if !media.add(Arc::clone(&seat)) {
            return Err(JoinError::Protocol("the media threads stopped".to_owned()));
        }
        if let Err(error) = join::start(&seat, &joined) {
            seat.close();
            return Err(error.into());
        }
        let (commands, command_receiver) = mpsc::channel(MAX_PENDING);
        let (events, receiver) = mpsc::channel(limits.events.max(1));
        let (closing, closed) = oneshot::channel();
        let session = Session::new(Parts {
            shared: Arc::clone(&shared),
            media: media.clone(),
            url: url.to_owned(),
            token: token.to_owned(),
            options,
            joined,
            inlet,
            commands: command_receiver,
            events,
        });
        // it ends with the room: by leave, by drop, or by the server
        tokio::spawn(Box::pin(async move {
            // the owner may have dropped the events
            let _: Result<(), CloseReason> = closing.send(session.run().await);
        }));
        Ok((Self { shared, commands }, Events { receiver, closed, done: false }))
    }

    /// Ourselves, as the server last described us.
    #[must_use]
    pub fn local(&self) -> Participant {
        self.shared.roster().local.clone()
    }

    /// The others, as the server last described them. Hidden participants are not told.
    #[must_use]
    pub fn participants(&self) -> Vec<Participant> {
        self.shared.roster().others().cloned().collect()
    }

    /// Server id of the room (`RM_…`), empty when the server did not tell.
    #[must_use]
    pub fn sid(&self) -> String {
        self.shared.roster().room_sid.clone()
    }

    /// Name of the room.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.roster().room_name.clone()
    }

    /// Whether media and data are connected: from the first time on, audio and streams arrive.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.seat.is_up()
    }

    /// [`RoomStats::dropped_data`] alone, which costs no look at the media: it may be asked for often.
    #[must_use]
    pub fn dropped_data(&self) -> u64 {
        self.shared.dropped_data.load(Relaxed)
    }

    /// Counters of this participant.
    #[must_use]
    pub fn stats(&self) -> RoomStats {
        let rtp = self.shared.seat.counts();
        RoomStats {
            packets_received: rtp.received,
            packets_sent: rtp.sent,
            packets_ignored: rtp.ignored,
            malformed_data: self.shared.malformed.load(Relaxed),
            dropped_data: self.dropped_data(),
            dropped_frames: self.shared.dropped_frames.load(Relaxed),
        }
    }

    /// Publishes an audio track and waits until the server has accepted it.
    ///
    /// # Errors
    /// The token does not allow it, the server refuses it or does not answer.
    pub async fn publish(&self, options: PublishOptions) -> Result<Publication, RoomError> {
        let timeout = options.timeout;
        let published = self.ask(timeout, |reply| Command::Publish { options, reply }).await?;
        Ok(Publication { shared: Arc::clone(&self.shared), published })
    }

    /// Asks for a track. Its packets go to `sink`, which replaces an earlier one.
    ///
    /// # Errors
    /// The participant is closed, or too many requests wait.
    pub fn subscribe(&self, track_sid: &str, sink: Box<dyn RtpSink>) -> Result<(), RoomError> {
        let track_sid = track_sid.to_owned();
        self.commands.try_send(Command::Subscribe { track_sid, sink }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => RoomError::Busy,
            mpsc::error::TrySendError::Closed(_) => RoomError::Closed,
        })
    }

    /// Ends a subscription. The sink is dropped soon after.
    pub fn unsubscribe(&self, track_sid: &str) {
        let track_sid = track_sid.to_owned();
        if self.commands.try_send(Command::Unsubscribe { track_sid }).is_err() {
            tracing::debug!("unsubscribe found the participant closed or busy");
        }
    }

    /// Sets attributes of ourselves. Others stay; an empty value removes one.
    ///
    /// # Errors
    /// The token has no `canUpdateOwnMetadata`, or the server does not answer.
    pub async fn set_attributes(
        &self,
        attributes: HashMap<String, String>,
    ) -> Result<(), RoomError> {
        self.ask(REQUEST_TIMEOUT, |reply| Command::SetAttributes { attributes, reply }).await
    }

    /// Sends a text as one stream to everybody. Returns the id of the stream.
    ///
    /// # Errors
    /// The participant is closed or the data channel is full or not open in time.
    pub async fn send_text(
        &self,
        topic: &str,
        text: &str,
        attributes: HashMap<String, String>,
    ) -> Result<String, RoomError> {
        let (id, packets) = outgoing::packets(topic, Content::Text(text), attributes).await?;
        self.send(true, packets).await?;
        Ok(id)
    }

    /// Sends bytes as one stream to everybody. Returns the id of the stream.
    ///
    /// # Errors
    /// As [`Room::send_text`].
    pub async fn send_bytes(
        &self,
        topic: &str,
        name: &str,
        bytes: &[u8],
        attributes: HashMap<String, String>,
    ) -> Result<String, RoomError> {
        let (id, packets) =
            outgoing::packets(topic, Content::Bytes { name, bytes }, attributes).await?;
        self.send(true, packets).await?;
        Ok(id)
    }

    /// Sends one data packet of at most 60,000 bytes to everybody.
    ///
    /// # Errors
    /// As [`Room::send_text`], or too large.
    pub async fn send_data(
        &self,
        payload: &[u8],
        topic: &str,
        reliable: bool,
    ) -> Result<(), RoomError> {
        self.send_data_to(&[], payload, topic, reliable).await
    }

    /// Sends one data packet of at most 60,000 bytes to the participants with these identities only,
    /// also to hidden ones; to everybody when there are none.
    ///
    /// # Errors
    /// As [`Room::send_text`], or too large.
    pub async fn send_data_to(
        &self,
        identities: &[&str],
        payload: &[u8],
        topic: &str,
        reliable: bool,
    ) -> Result<(), RoomError> {
        if payload.len() > MAX_PACKET {
            return Err(RoomError::TooLarge(payload.len()));
        }
        let user = proto::UserPacket {
            payload: payload.to_vec(),
            topic: Some(topic.to_owned()),
            ..Default::default()
        };
        let packet = proto::DataPacket {
            value: Some(proto::data_packet::Value::User(user)),
            destination_identities: identities.iter().map(|&one| one.to_owned()).collect(),
            ..Default::default()
        };
        self.send(reliable, vec![packet]).await
    }

    /// Sends a digit of DTMF to everybody: LiveKit's `SipDtmf`. A phone in the room dials it;
    /// agents are told (`sip_dtmf_received`). `code` is the digit's number in RFC 4733 (0 to 9, 10
    /// for `*`, 11 for `#`, 12 to 15 for `A` to `D`), `digit` its text.
    ///
    /// # Errors
    /// As [`Room::send_text`].
    pub async fn send_dtmf(&self, code: u32, digit: &str) -> Result<(), RoomError> {
        let dtmf = proto::SipDtmf { code, digit: digit.to_owned() };
        let value = Some(proto::data_packet::Value::SipDtmf(dtmf));
        self.send(true, vec![proto::DataPacket { value, ..Default::default() }]).await
    }

    /// Gives the participant a companion, which replaces an earlier one. It has its turns from now
    /// on, connected or not, also after the room was joined afresh; it is dropped when the
    /// participant is closed, and at once when that has happened already.
    pub fn attach(&self, companion: Box<dyn Companion>) {
        self.shared.seat.attach(companion);
    }

    /// Leaves the room and waits until the server was told (5 s at most).
    pub async fn leave(self, reason: LeaveReason) {
        let (reply, told) = oneshot::channel();
        if self.commands.send(Command::Leave { reason, reply }).await.is_ok() {
            // told or not, the owner goes on
            let _ = tokio::time::timeout(LEAVE_TIMEOUT, told).await;
        }
    }

    async fn send(&self, reliable: bool, packets: Vec<proto::DataPacket>) -> Result<(), RoomError> {
        if !self.shared.roster().can_publish_data {
            return Err(RoomError::NotAllowed("the token does not allow data".to_owned()));
        }
        self.ask(REQUEST_TIMEOUT, |reply| Command::Send { reliable, packets, reply }).await
    }

    async fn ask<T>(
        &self,
        timeout: Duration,
        command: impl FnOnce(oneshot::Sender<Result<T, RoomError>>) -> Command,
    ) -> Result<T, RoomError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| RoomError::Closed)?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RoomError::Closed),
            Err(_) => Err(RoomError::Timeout),
        }
    }
}

/// Counters of one participant since it joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomStats {
    /// RTP packets received.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets of tracks without a sink or with an unknown codec.
    pub packets_ignored: u64,
    /// Data packets that could not be understood.
    pub malformed_data: u64,
    /// Data packets and streams dropped because of [`Limits`](crate::Limits).
    pub dropped_data: u64,
    /// Frames given to [`Publication::send`] that newer ones pushed out of a full queue.
    pub dropped_frames: u64,
}

/// A published track. It ends with the room; dropping the handle does not end it.
#[derive(Clone)]
pub struct Publication {
    shared: Arc<Shared>,
    published: Arc<Published>,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication").field("track_sid", &self.track_sid()).finish_non_exhaustive()
    }
}

impl Publication {
    /// Server id of the track (`TR_…`). It changes when the room was joined afresh.
    #[must_use]
    pub fn track_sid(&self) -> String {
        self.published.sid()
    }

    /// Queues one frame; it leaves with the next 20 ms tick. A full queue
    /// ([`Limits::send_queue`](crate::Limits::send_queue)) drops its oldest frame, which
    /// [`RoomStats::dropped_frames`] counts: what is heard is the latest. Frames sent before media
    /// is connected wait in the queue. False: the participant is closed.
    pub fn send(&self, frame: RtpFrame) -> bool {
        let pushed = self.published.feed.push(frame);
        if pushed == Pushed::ForOldest {
            self.shared.dropped_frames.fetch_add(1, Relaxed);
        }
        pushed != Pushed::Closed
    }

    /// Sets who gives the frames. It replaces an earlier source; queued frames go first.
    pub fn set_source(&self, source: Box<dyn RtpSource>) {
        self.published.feed.set_source(source);
    }
}

//! The media half of a participant: one or two peer connections, what we publish, what we receive.

use crate::{
    core::{
        connection::Connection,
        data::DataChannels,
        feed::Feed,
        negotiation::{InFlight, Negotiation},
        sdp,
        tracks::{Arrived, Routes},
    },
    options::AudioCodec,
    rtp::{RtpFrame, RtpPacket, RtpSink},
};
use livekit_protocol::{self as proto, signal_request::Message as Request};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};
use str0m::{
    Event, IceConnectionState, Output,
    change::{SdpAnswer, SdpOffer},
    media::{Direction, MediaKind, Mid, Pt},
    rtp::{ExtensionValues, RtpWrite, SeqNo},
};

/// Which peer connection. With a single one, everything is on the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Publisher, Self::Subscriber];
}

/// What the peer tells its session.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    Request(Box<Request>),
    Up,
    IceLost,
    IceBack,
    Failed(String),
    Panicked,
    Subscribed(Vec<String>),
    Data { reliable: bool, bytes: Vec<u8> },
}

/// RTP counts since the peer was made.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RtpCounts {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) ignored: u64,
}

pub(crate) struct Peer {
    single: bool,
    stream_id: String,
    publisher: Option<Connection>,
    subscriber: Option<Connection>,
    negotiation: Negotiation,
    outgoing: Vec<Outgoing>,
    pub(crate) routes: Routes,
    pub(crate) data: DataChannels,
    pub(crate) events: VecDeque<PeerEvent>,
    pub(crate) counts: RtpCounts,
}

struct Outgoing {
    cid: String,
    codec: AudioCodec,
    feed: Arc<Feed>,
    mid: Option<Mid>,
    payload_type: Option<Pt>,
    sequence: u64,
}

impl Peer {
    /// `stream_id` groups our tracks; the server expects our participant sid.
    pub(crate) fn new(single: bool, stream_id: String) -> Self {
        Self {
            single,
            stream_id,
            publisher: None,
            subscriber: None,
            negotiation: Negotiation::default(),
            outgoing: Vec::new(),
            routes: Routes::new(),
            data: DataChannels::default(),
            events: VecDeque::new(),
            counts: RtpCounts::default(),
        }
    }

    /// Opens a peer connection on a local socket address.
    pub(crate) fn open(&mut self, role: Role, local: SocketAddr, now: Instant) {
        match Connection::new(local, now) {
            Ok(connection) => *self.slot(role) = Some(connection),
            Err(error) => self.events.push_back(PeerEvent::Failed(error)),
        }
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.connection(role).is_some()
    }

    /// Offers for the first time. Only where we offer without a track to publish.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.single {
            self.negotiation.require(1);
        }
        self.negotiation.wanted = true;
        self.negotiate(now);
    }

    /// Publishes a track that the server has registered.
    pub(crate) fn publish(
        &mut self,
        cid: String,
        codec: AudioCodec,
        feed: Arc<Feed>,
        now: Instant,
    ) {
        // below 2^16, or str0m's first packet already counts a rollover
        let sequence = u64::from(rand::random::<u16>() >> 1);
        let outgoing = Outgoing { cid, codec, feed, mid: None, payload_type: None, sequence };
        self.outgoing.push(outgoing);
        self.negotiation.wanted = true;
        self.negotiate(now);
    }

    pub(crate) fn subscribe(&mut self, track_sid: &str, sink: Box<dyn RtpSink>) {
        self.routes.subscribe(track_sid, sink);
    }

    /// All peer connections that should be up are up.
    pub(crate) fn is_up(&self) -> bool {
        let mut connections = Role::ALL.iter().filter_map(|r| self.connection(*r)).peekable();
        connections.peek().is_some() && connections.all(|c| c.up)
    }

    /// A handshake or a connectivity check is under way: every round trip counts.
    pub(crate) fn is_urgent(&self) -> bool {
        let mut connections = Role::ALL.iter().filter_map(|r| self.connection(*r));
        connections.any(|c| !c.up || !c.reachable)
    }

    pub(crate) fn take_signal(&mut self, message: MediaSignal, now: Instant) {
        match message {
            MediaSignal::Answer(answer) => self.take_answer(&answer, now),
            MediaSignal::Offer(offer) => self.take_offer(&offer),
            MediaSignal::Trickle(trickle) => self.take_candidate(&trickle),
            MediaSignal::Sections(sections) => {
                if self.single {
                    let audios = usize::try_from(sections.num_audios).unwrap_or(usize::MAX);
                    self.negotiation.require(audios);
                    self.negotiate(now);
                }
            }
        }
    }

    /// The signal connection is back: repeats what the server may have missed. `restart`: media
    /// is not well, so ICE starts again; it costs some packets, so only then.
    pub(crate) fn resume(&mut self, restart: bool) {
        if self.publisher.is_none() {
            return;
        }
        self.negotiation.restart |= restart;
        self.negotiation.wanted |= restart;
        if let Some(open) = &mut self.negotiation.in_flight {
            let offer = open.offer.clone();
            open.since = Instant::now();
            self.request(Request::Offer(offer));
        } else {
            self.negotiate(Instant::now());
        }
    }

    /// The last offer and answer of the side that receives, for `SyncState`.
    pub(crate) fn descriptions(
        &self,
    ) -> (Option<proto::SessionDescription>, Option<proto::SessionDescription>) {
        (self.negotiation.offer.clone(), self.negotiation.answer.clone())
    }

    pub(crate) fn check_overdue(&mut self, now: Instant) {
        if self.negotiation.overdue(now) {
            self.negotiation.in_flight = None;
            self.fail("the server did not answer an offer".to_owned());
        }
    }

    fn negotiate(&mut self, now: Instant) {
        let Some(connection) = &mut self.publisher else { return };
        let negotiation = &mut self.negotiation;
        if !negotiation.may_offer(connection.up) {
            return;
        }
        negotiation.wanted = false;
        // the answer made these inactive when their track went; the server wants to use them again
        let mut idle = negotiation.sections.clone();
        idle.retain(|mid| {
            connection.rtc.media(*mid).is_some_and(|m| m.direction() == Direction::Inactive)
        });
        let mut api = connection.rtc.sdp_api();
        for mid in idle {
            api.set_direction(mid, Direction::RecvOnly);
        }
        for track in self.outgoing.iter_mut().filter(|t| t.mid.is_none()) {
            let (stream, cid) = (Some(self.stream_id.clone()), Some(track.cid.clone()));
            let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, stream, cid, None);
            track.mid = Some(mid);
        }
        for _ in 0..negotiation.missing_sections() {
            let mid = api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
            negotiation.sections.push(mid);
        }
        self.data.offer(&mut api);
        if std::mem::take(&mut negotiation.restart) {
            api.ice_restart(true);
        }
        if !api.has_changes()
            && let Some(mid) = negotiation.sections.first()
        {
            // the server demands an offer although nothing changes on our side
            api.set_direction(*mid, Direction::Inactive);
            api.set_direction(*mid, Direction::RecvOnly);
        }
        let Some((offer, pending)) = api.apply() else { return };
        negotiation.started = true;
        let mut text = offer.to_sdp_string();
        for track in &self.outgoing {
            text = sdp::prefer_codec(&text, &track.cid, track.codec);
        }
        let offer = description("offer", text, negotiation.next_id());
        negotiation.in_flight = Some(InFlight { pending, offer: offer.clone(), since: now });
        self.request(Request::Offer(offer));
    }

    fn take_answer(&mut self, answer: &proto::SessionDescription, now: Instant) {
        let Some(connection) = &mut self.publisher else { return };
        let Some(open) = self.negotiation.answered(answer) else { return };
        let accepted =
            SdpAnswer::from_sdp_string(&answer.sdp).map_err(|e| e.to_string()).and_then(|a| {
                connection.rtc.sdp_api().accept_answer(open.pending, a).map_err(|e| e.to_string())
            });
        if let Err(error) = accepted {
            return self.fail(format!("the answer of the server does not fit: {error}"));
        }
        connection.described();
        for track in &mut self.outgoing {
            let mid = track.mid;
            track.payload_type = mid.and_then(|mid| connection.payload_type(mid, track.codec));
        }
        if self.single {
            self.negotiation.offer = Some(open.offer);
            self.negotiation.answer = Some(answer.clone());
            self.routes.set_codecs(connection.codecs());
            self.route(&answer.mid_to_track_id);
        }
        self.negotiate(now);
    }

    fn take_offer(&mut self, offer: &proto::SessionDescription) {
        let Some(connection) = &mut self.subscriber else { return };
        let answer = SdpOffer::from_sdp_string(&offer.sdp)
            .map_err(|e| e.to_string())
            .and_then(|o| connection.rtc.sdp_api().accept_offer(o).map_err(|e| e.to_string()));
        let answer = match answer {
            Ok(answer) => description("answer", answer.to_sdp_string(), offer.id),
            Err(error) => {
                return self.fail(format!("the offer of the server does not fit: {error}"));
            }
        };
        connection.described();
        self.routes.set_codecs(connection.codecs());
        self.negotiation.offer = Some(offer.clone());
        self.negotiation.answer = Some(answer.clone());
        self.request(Request::Answer(answer));
        self.route(&offer.mid_to_track_id);
    }

    fn take_candidate(&mut self, trickle: &proto::TrickleRequest) {
        let Some(candidate) = sdp::candidate(&trickle.candidate_init) else { return };
        let publisher = self.single || trickle.target() == proto::SignalTarget::Publisher;
        let role = if publisher { Role::Publisher } else { Role::Subscriber };
        if let Some(connection) = self.slot(role) {
            connection.add_candidate(candidate);
        }
    }

    fn route(&mut self, mids: &HashMap<String, String>) {
        let new = self.routes.update(mids);
        if !new.is_empty() {
            self.events.push_back(PeerEvent::Subscribed(new));
        }
    }

    /// Writes what is due after `ticks` times 20 ms. True: something was written.
    pub(crate) fn write_due(&mut self, now: Instant, ticks: u32) -> bool {
        let Some(connection) = &mut self.publisher else { return false };
        if !connection.up {
            return false;
        }
        let before = self.counts.sent;
        for track in &mut self.outgoing {
            let (Some(mid), Some(payload_type)) = (track.mid, track.payload_type) else { continue };
            let mut api = connection.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(mid, None) else { continue };
            let (sequence, sent) = (&mut track.sequence, &mut self.counts.sent);
            track.feed.drain(now, ticks, |frame| {
                stream.write_rtp(rtp(payload_type, *sequence, now, frame));
                *sequence += 1;
                *sent += 1;
            });
        }
        before != self.counts.sent
    }

    /// Writes one waiting data packet. True: poll and call again.
    pub(crate) fn write_data(&mut self) -> bool {
        if !self.data.has_waiting() {
            return false;
        }
        let Some(connection) = &mut self.publisher else { return false };
        self.data.flush_one(&mut connection.rtc)
    }

    pub(crate) fn data_is_idle(&mut self) -> bool {
        match &mut self.publisher {
            Some(connection) => self.data.is_idle(&mut connection.rtc),
            None => true,
        }
    }

    pub(crate) fn receive(&mut self, role: Role, from: SocketAddr, bytes: &[u8], now: Instant) {
        if let Some(connection) = self.slot(role) {
            connection.receive(from, bytes, now);
        }
    }

    pub(crate) fn is_due(&self, role: Role, now: Instant) -> bool {
        self.connection(role).is_some_and(|c| c.wake <= now)
    }

    pub(crate) fn timeout(&mut self, role: Role, now: Instant) {
        if let Some(connection) = self.slot(role) {
            connection.timeout(now);
        }
    }

    /// Polls one peer connection until it wants time. Datagrams go to `transmit`.
    pub(crate) fn poll(
        &mut self,
        role: Role,
        now: Instant,
        transmit: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        loop {
            let Some(connection) = self.slot(role) else { return };
            match connection.rtc.poll_output() {
                Ok(Output::Timeout(wake)) => {
                    connection.wake = wake;
                    return;
                }
                Ok(Output::Transmit(datagram)) => {
                    transmit(datagram.destination, &datagram.contents);
                }
                Ok(Output::Event(event)) => self.take_event(role, event, now),
                Err(error) => {
                    *self.slot(role) = None;
                    return self.fail(format!("the peer connection broke: {error}"));
                }
            }
        }
    }

    fn take_event(&mut self, role: Role, event: Event, now: Instant) {
        match event {
            Event::RtpPacket(packet) => self.take_packet(role, &packet, now),
            Event::Connected => {
                if let Some(connection) = self.slot(role) {
                    connection.up = true;
                }
                if self.is_up() {
                    self.events.push_back(PeerEvent::Up);
                }
                if role == Role::Publisher {
                    self.negotiate(now);
                }
            }
            Event::IceConnectionStateChange(state) => self.take_ice_state(role, state),
            Event::ChannelOpen(id, label) => {
                self.data.opened(role == Role::Publisher, id, &label);
            }
            Event::ChannelData(data) => {
                let reliable = self.data.is_reliable(role == Role::Publisher, data.id);
                self.events.push_back(PeerEvent::Data { reliable, bytes: data.data.to_vec() });
            }
            Event::Closed => self.fail("the server closed the peer connection".to_owned()),
            _ => {}
        }
    }

    fn take_ice_state(&mut self, role: Role, state: IceConnectionState) {
        let reachable =
            matches!(state, IceConnectionState::Connected | IceConnectionState::Completed);
        if let Some(connection) = self.slot(role) {
            connection.reachable = reachable;
        }
        if reachable {
            self.events.push_back(PeerEvent::IceBack);
        } else if state == IceConnectionState::Disconnected {
            self.events.push_back(PeerEvent::IceLost);
        }
    }

    fn take_packet(&mut self, role: Role, packet: &str0m::rtp::RtpPacket, now: Instant) {
        self.counts.received += 1;
        let ssrc = packet.header.ssrc;
        let mid = self.routes.known_stream(*ssrc).or_else(|| {
            let connection = self.slot(role).as_mut()?;
            let mid = connection.rtc.direct_api().stream_rx(&ssrc)?.mid();
            self.routes.remember_stream(*ssrc, mid);
            Some(mid)
        });
        let arrived = Arrived {
            payload_type: *packet.header.payload_type,
            packet: RtpPacket {
                ssrc: *ssrc,
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                codec: AudioCodec::Opus,
                marker: packet.header.marker,
                arrived_at: now,
                payload: &packet.payload,
            },
        };
        if !mid.is_some_and(|mid| self.routes.deliver(mid, arrived)) {
            self.counts.ignored += 1;
        }
    }

    fn fail(&mut self, error: String) {
        self.events.push_back(PeerEvent::Failed(error));
    }

    fn request(&mut self, request: Request) {
        self.events.push_back(PeerEvent::Request(Box::new(request)));
    }

    fn connection(&self, role: Role) -> Option<&Connection> {
        match role {
            Role::Publisher => self.publisher.as_ref(),
            Role::Subscriber => self.subscriber.as_ref(),
        }
    }

    fn slot(&mut self, role: Role) -> &mut Option<Connection> {
        match role {
            Role::Publisher => &mut self.publisher,
            Role::Subscriber => &mut self.subscriber,
        }
    }
}

/// The signal messages that concern the peer connections.
pub(crate) enum MediaSignal {
    Answer(proto::SessionDescription),
    Offer(proto::SessionDescription),
    Trickle(proto::TrickleRequest),
    Sections(proto::MediaSectionsRequirement),
}

fn rtp(payload_type: Pt, sequence: u64, now: Instant, frame: RtpFrame) -> RtpWrite {
    let RtpFrame { payload, timestamp, marker, level } = frame;
    let mut extensions = ExtensionValues::default();
    if let Some(level) = level {
        extensions.audio_level = Some(level.clamp(-127, 0));
        extensions.voice_activity = Some(level > -127);
    }
    RtpWrite::new(payload_type, SeqNo::from(sequence), timestamp, now, payload)
        .marker(marker)
        .ext_vals(extensions)
}

fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.to_owned(), sdp, id, ..Default::default() }
}

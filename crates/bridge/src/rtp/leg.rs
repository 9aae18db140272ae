//! One leg's media.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use outdial_domain::{Digits, MediaQuality, OneWay};
use rtp_types::RtpPacket;

use super::keypad::{DtmfError, Keypad, Turn};
use super::latch::{Latch, Place, above};
use super::reception::{Arrival, Header, Reception};
use super::reports::Reports;
use super::sender::Sender;
use super::timeline::Timeline;
use super::tones::Tones;
use super::watch::Watch;
use super::{Audio, Channel, Event, Out, RtpSettings, duration};
use crate::g711::Codec;
use crate::sdp::{Payload, Remote};
use crate::srtp::{SrtpContext, SrtpError};

/// Events that wait at most; later ones are forgotten.
const MAX_EVENTS: usize = 64;
/// Comfort noise before it had a number of its own (RFC 3551, table 4).
const OLD_COMFORT_NOISE: u8 = 19;

/// RTP and RTCP with the phone's side.
#[derive(Debug)]
pub(crate) struct RtpLeg {
    remote: Option<Remote>,
    srtp: Option<SrtpContext>,
    answered: bool,
    latch: Latch,
    reception: Reception,
    timeline: Timeline,
    tones: Tones,
    sender: Sender,
    keypad: Keypad,
    reports: Reports,
    watch: Watch,
    events: VecDeque<Event>,
    told_early: bool,
    told_first: bool,
    received: u64,
    discarded: u64,
    packet: Vec<u8>,
}

impl RtpLeg {
    pub(crate) fn new(settings: &RtpSettings, now: Instant) -> Self {
        Self {
            remote: None,
            srtp: None,
            answered: false,
            latch: Latch::default(),
            reception: Reception::new(now),
            timeline: Timeline::default(),
            tones: Tones::default(),
            sender: Sender::new(settings),
            keypad: Keypad::default(),
            reports: Reports::new(settings, now),
            watch: Watch::new(settings.no_media, settings.silence),
            events: VecDeque::new(),
            told_early: false,
            told_first: false,
            received: 0,
            discarded: 0,
            packet: Vec::new(),
        }
    }

    /// Takes what an SDP of the peer says: of a 183, of the 200, of a re-INVITE. `trusted` are the
    /// networks besides the SDP's address from which its media may come.
    pub(crate) fn set_remote(
        &mut self,
        remote: &Remote,
        trusted: &[IpNet],
        now: Instant,
    ) -> Result<(), SrtpError> {
        match (&remote.crypto, &mut self.srtp) {
            (Some(keys), Some(srtp)) => srtp.rekey(keys)?,
            (Some(keys), none) => *none = Some(SrtpContext::new(keys)?),
            // An SDP without keys is one without audio: what is encrypted stays so.
            (None, _) => {}
        }
        self.latch.signal(remote.address, trusted, now);
        self.remote = Some(remote.clone());
        if self.is_held() {
            self.keypad.clear();
        }
        self.expect_media(now);
        Ok(())
    }

    /// The call was answered: from here on something is sent.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.answered = true;
        self.latch.answered(now);
        self.reports.start(now);
        self.expect_media(now);
    }

    /// The peer does not listen.
    pub(crate) fn is_held(&self) -> bool {
        self.remote.as_ref().is_some_and(Remote::is_hold)
    }

    /// Takes a datagram from either socket. It may be decrypted in its place.
    pub(crate) fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
        now: Instant,
        each: &mut dyn FnMut(Audio<'_>),
    ) {
        // RTP and RTCP are told apart as if they shared a port (RFC 5761, section 4).
        let taken = match datagram.get(1) {
            Some(192..=223) => self.receive_rtcp(from, datagram, now),
            Some(_) => self.receive_rtp(from, datagram, now, each),
            None => None,
        };
        if taken.is_none() {
            self.discarded += 1;
        }
    }

    /// Sends a frame of audio, or what takes its place: digits. For each 20 ms, of silence too.
    /// Nothing is sent before the answer, nor when the peer does not listen.
    pub(crate) fn send_audio(&mut self, payload: &[u8], marker: bool, now: Instant, out: Out<'_>) {
        let Some(remote) = self.remote.as_ref().filter(|remote| !remote.is_hold()) else { return };
        let Some(target) = self.latch.target().filter(|_| self.answered) else { return };
        let (timestamp, pause) = self.sender.begin(payload.len() as u32, now);
        let packet = &mut self.packet;
        match (self.keypad.turn(timestamp), remote.telephone_event) {
            (Turn::Event { payload, timestamp, marker }, Some(payload_type)) => {
                self.sender.write(payload_type, marker, timestamp, &payload, packet);
            }
            (Turn::Audio, _) => {
                let marker = marker || pause;
                self.sender.write(remote.payload_type, marker, timestamp, payload, packet);
            }
            (Turn::Event { .. } | Turn::Nothing, _) => return,
        }
        if self.srtp.as_mut().is_none_or(|srtp| srtp.protect_rtp(packet).is_ok()) {
            out(Channel::Rtp, target, packet);
        }
    }

    /// Once a turn: reports, watchdogs, ends of digits.
    pub(crate) fn tick(&mut self, now: Instant, out: Out<'_>) {
        if let Some((digit, duration)) = self.tones.tick(now) {
            self.tell(Event::Dtmf { digit, duration });
        }
        if let Some(event) = self.watch.tick(self.sender.packets > 0, now) {
            self.tell(event);
        }
        if self.reports.is_due(now) {
            self.report(false, now, out);
        }
    }

    /// Says goodbye.
    pub(crate) fn finish(&mut self, now: Instant, out: Out<'_>) {
        if self.answered {
            self.report(true, now, out);
        }
    }

    /// Has digits sent, behind those that wait.
    pub(crate) fn send_dtmf(&mut self, digits: &Digits) -> Result<(), DtmfError> {
        let remote = self.remote.as_ref().filter(|_| self.answered);
        let remote = remote.ok_or(DtmfError::NotAnswered)?;
        if remote.is_hold() {
            return Err(DtmfError::Held);
        }
        remote.telephone_event.ok_or(DtmfError::NotNegotiated)?;
        self.keypad.press(digits)
    }

    /// What happened, in order.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was counted so far.
    pub(crate) fn quality(&self) -> MediaQuality {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (jitter, highest) = self.reception.jitter();
        let unheard = self.watch.is_one_way().then_some(OneWay::CalleeNotHeard);
        let deaf = self.reports.peer_hears_nothing().then_some(OneWay::CalleeHearsNothing);
        MediaQuality {
            packets_received: self.received,
            packets_sent: self.sender.packets,
            packets_lost: self.reception.lost(),
            remote_packets_lost: self.reports.remote_lost,
            discarded: self.discarded,
            jitter_us: micros(duration(jitter.into())),
            max_jitter_us: micros(duration(highest.into())),
            round_trip_us: self.reports.round_trip.map(micros),
            one_way: unheard.or(deaf),
        }
    }

    fn expect_media(&mut self, now: Instant) {
        let sends = |remote: &Remote| !remote.is_hold() && remote.direction.sends();
        let expected = self.answered && self.remote.as_ref().is_some_and(sends);
        self.watch.expect(expected, now);
    }

    /// `None` when the datagram is none of ours.
    fn receive_rtp(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
        now: Instant,
        each: &mut dyn FnMut(Audio<'_>),
    ) -> Option<()> {
        let place = self.latch.place(from, now);
        if place == Place::Stranger {
            return None;
        }
        let plain = match &mut self.srtp {
            Some(srtp) => srtp.unprotect_rtp(datagram).ok()?,
            None => datagram,
        };
        let packet = RtpPacket::parse(plain).ok()?;
        let header = Header {
            ssrc: packet.ssrc(),
            sequence: packet.sequence_number(),
            timestamp: packet.timestamp(),
        };
        let kind = match self.remote.as_ref()?.payload(packet.payload_type()) {
            None if packet.payload_type() == OLD_COMFORT_NOISE => Payload::ComfortNoise,
            kind => kind?,
        };
        let moved = match place {
            Place::Signalled => self.latch.hear(now),
            Place::Candidate => {
                Some(self.latch.consider(from, header.ssrc, header.sequence, now)?)
            }
            Place::Learned | Place::Stranger => None,
        };
        if let Some((from, to)) = moved {
            self.tell(Event::LatchMoved { from, to });
        }
        if self.answered
            && let Some(event) = self.watch.hear(true, now)
        {
            self.tell(event);
        }
        match kind {
            Payload::Audio(codec) => self.audio(codec, header, &packet, now, each),
            Payload::ComfortNoise => {
                self.reception.other(header, now);
            }
            Payload::TelephoneEvent => self.tone(header, packet.payload(), now),
        }
        Some(())
    }

    fn audio(
        &mut self,
        codec: Codec,
        header: Header,
        packet: &RtpPacket<'_>,
        now: Instant,
        each: &mut dyn FnMut(Audio<'_>),
    ) {
        let payload = packet.payload();
        let arrival = self.reception.audio(header, now);
        let samples = payload.len() as u32;
        let (timestamp, anew) = match arrival {
            _ if payload.is_empty() => return,
            Arrival::Next { fresh } => {
                self.timeline.advance(header.timestamp, samples, packet.marker_bit(), fresh, now)
            }
            Arrival::Late => match self.timeline.late(header.timestamp) {
                Some(timestamp) => (timestamp, false),
                None => return,
            },
            Arrival::Duplicate | Arrival::Unwanted => return,
        };
        self.received += 1;
        self.tell_first();
        each(Audio {
            codec,
            sequence: header.sequence,
            timestamp,
            stream: self.reception.streams(),
            marker: packet.marker_bit() || anew,
            payload,
            level: codec.level(payload),
        });
    }

    fn tone(&mut self, header: Header, payload: &[u8], now: Instant) {
        if self.reception.other(header, now) == Arrival::Duplicate || !self.answered {
            return;
        }
        let events = &mut self.events;
        self.tones.packet(header.ssrc, header.timestamp, payload, now, &mut |(digit, duration)| {
            if events.len() < MAX_EVENTS {
                events.push_back(Event::Dtmf { digit, duration });
            }
        });
    }

    fn receive_rtcp(&mut self, from: SocketAddr, datagram: &mut [u8], now: Instant) -> Option<()> {
        if !self.latch.is_rtcp_source(from, self.remote.as_ref()?.rtcp) {
            return None;
        }
        let plain = match &mut self.srtp {
            Some(srtp) => srtp.unprotect_rtcp(datagram).ok()?,
            None => datagram,
        };
        let deaf = self.reports.peer_hears_nothing();
        self.reports.read(plain, &self.sender, now).then_some(())?;
        if self.answered {
            if let Some(event) = self.watch.hear(false, now) {
                self.tell(event);
            }
            if !deaf && self.reports.peer_hears_nothing() {
                self.tell(Event::OneWay(OneWay::CalleeHearsNothing));
            }
        }
        Some(())
    }

    fn report(&mut self, bye: bool, now: Instant, out: Out<'_>) {
        let Some((channel, target)) = self.rtcp_target() else { return };
        let packet = &mut self.packet;
        let written = self.reports.write(&self.sender, &mut self.reception, bye, now, packet);
        if written && self.srtp.as_mut().is_none_or(|srtp| srtp.protect_rtcp(packet).is_ok()) {
            out(channel, target, packet);
        }
    }

    fn rtcp_target(&self) -> Option<(Channel, SocketAddr)> {
        let remote = self.remote.as_ref()?;
        if remote.rtcp_mux {
            return Some((Channel::Rtp, self.latch.target()?));
        }
        let target = match self.latch.has_learned() {
            true => above(self.latch.target()?),
            false => remote.rtcp,
        };
        Some((Channel::Rtcp, target?))
    }

    fn tell_first(&mut self) {
        if self.answered && !std::mem::replace(&mut self.told_first, true) {
            self.tell(Event::FirstAudio);
        } else if !self.answered && !std::mem::replace(&mut self.told_early, true) {
            self.tell(Event::EarlyAudio);
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

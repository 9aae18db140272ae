//! The phone's audio on a media thread: RTP in and out, beside the participant in the room.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Instant;

use ipnet::IpNet;
use outdial_domain::{Digits, MediaQuality, Speaker};
use outdial_observer::Audio;
use outdial_room::{AudioCodec, Companion, Publication, Room, RtpFrame, RtpPacket, RtpSink, Turn};
use tokio::sync::mpsc;

use crate::bridge::lock;
use crate::g711::{Codec, FRAME};
use crate::mixer::{self, Mixer, Voice};
use crate::ports::PortPair;
use crate::rtp::{self, DtmfError, Event, RtpLeg, RtpSettings};
use crate::sdp::Remote;
use crate::srtp::SrtpError;

/// What a phone needs to begin.
pub(crate) struct PhoneSettings {
    /// What the track in the room is published as.
    pub(crate) codec: Codec,
    pub(crate) rtp: RtpSettings,
    /// Where both sides are recorded.
    pub(crate) audio: Option<Audio>,
}

/// The leg's end of its phone. The other is on the media thread.
pub(crate) struct Handle {
    phone: Arc<Mutex<Phone>>,
    mixer: Mixer,
    audio: Option<Audio>,
    /// What happens rarely.
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

/// A phone, while its leg lasts.
pub(crate) struct Phone {
    rtp: RtpLeg,
    ports: PortPair,
    mixer: Mixer,
    /// What the callee is sent.
    codec: Codec,
    uplink: Uplink,
    /// The callee's voice, for the recording.
    tape: Option<Box<dyn RtpSink>>,
    is_answered: bool,
    events: mpsc::UnboundedSender<Event>,
}

impl Phone {
    /// Gives a phone its turns beside the participant.
    pub(crate) fn attach(
        room: &Room,
        ports: PortPair,
        publication: Publication,
        settings: PhoneSettings,
    ) -> Handle {
        let PhoneSettings { codec, rtp, audio } = settings;
        let (sender, events) = mpsc::unbounded_channel();
        let mixer = Mixer::new();
        let phone = Arc::new(Mutex::new(Self {
            rtp: RtpLeg::new(&rtp, Instant::now()),
            ports,
            mixer: mixer.clone(),
            codec,
            uplink: Uplink::new(publication, codec),
            tape: audio.as_ref().map(|audio| audio.track(Speaker::User)),
            is_answered: false,
            events: sender,
        }));
        room.attach(Box::new(Seat { phone: Arc::clone(&phone), owed: 0 }));
        Handle { phone, mixer, audio, events }
    }

    fn receive(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now();
        let Self { rtp, ports, uplink, tape, is_answered, .. } = self;
        let is_held = rtp.is_held();
        let mut take = |from: SocketAddr, datagram: &mut [u8]| {
            rtp.receive(from, datagram, now, &mut |audio| {
                // Who is on hold hears music, perhaps: that is nothing for an agent.
                if !is_held {
                    uplink.forward(&audio);
                }
                if let Some(tape) = tape.as_mut().filter(|_| *is_answered) {
                    tape.packet(&recorded(&audio, now));
                }
            });
        };
        turn.read(&ports.rtp, &mut take);
        turn.read(&ports.rtcp, &mut take);
    }

    fn send(&mut self, turn: &mut Turn<'_>, ticks: u32) {
        let now = turn.now();
        let Self { rtp, ports, mixer, codec, uplink, is_answered, .. } = self;
        let mut out = |channel, to, datagram: &[u8]| turn.send(ports.socket(channel), to, datagram);
        for _ in 0..ticks {
            if *is_answered {
                let mut frame = [0; FRAME];
                let voice = mixer.frame(*codec, &mut frame);
                let marker = matches!(voice, Voice::Speech { marker: true });
                rtp.send_audio(&frame, marker, now, &mut out);
            } else {
                uplink.silence();
            }
        }
        rtp.tick(now, &mut out);
        while let Some(event) = rtp.next_event() {
            // The leg may have ended.
            let _ = self.events.send(event);
        }
    }

    fn finish(&mut self) {
        let Self { rtp, ports, .. } = self;
        rtp.finish(Instant::now(), &mut |channel, to, datagram| {
            // A full or unreachable network loses datagrams anyway.
            let _ = ports.socket(channel).send_to(datagram, to);
        });
        self.is_answered = false;
        self.tape = None;
    }
}

impl Handle {
    /// Where the callee's side is, from its SDP.
    pub(crate) fn set_remote(&self, remote: &Remote, trusted: &[IpNet]) -> Result<(), SrtpError> {
        let mut phone = lock(&self.phone);
        phone.codec = remote.codec;
        phone.rtp.set_remote(remote, trusted, Instant::now())
    }

    /// The callee has answered: from here on it is spoken to and recorded.
    pub(crate) fn answered(&self) {
        let mut phone = lock(&self.phone);
        phone.is_answered = true;
        phone.mixer.clear();
        phone.rtp.answered(Instant::now());
    }

    /// A track of the room that the callee is to hear.
    pub(crate) fn voice(&self) -> Box<dyn RtpSink> {
        let tape = self.audio.as_ref().map(|audio| audio.track(Speaker::Agent));
        Box::new(Tee { track: self.mixer.track(), tape })
    }

    /// Sends keys to the callee.
    pub(crate) fn send_dtmf(&self, digits: &Digits) -> Result<(), DtmfError> {
        lock(&self.phone).rtp.send_dtmf(digits)
    }

    /// How the audio has been so far.
    pub(crate) fn quality(&self) -> MediaQuality {
        lock(&self.phone).rtp.quality()
    }

    /// The last of it: nothing is sent or recorded any more.
    pub(crate) fn finish(&mut self) {
        lock(&self.phone).finish();
        self.audio = None;
    }
}

/// The phone's place on the media thread, which waits for nobody: while the leg's task holds the
/// phone, its turn is made up for 20 ms later.
struct Seat {
    phone: Arc<Mutex<Phone>>,
    owed: u32,
}

impl Seat {
    fn with(&self, turn: impl FnOnce(&mut Phone)) -> bool {
        match self.phone.try_lock() {
            Ok(mut phone) => turn(&mut phone),
            Err(TryLockError::Poisoned(poisoned)) => turn(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => return false,
        }
        true
    }
}

impl Companion for Seat {
    fn receive(&mut self, turn: &mut Turn<'_>) {
        self.with(|phone| phone.receive(turn));
    }

    fn send(&mut self, turn: &mut Turn<'_>) {
        let ticks = turn.ticks() + self.owed;
        self.owed = if self.with(|phone| phone.send(turn, ticks)) { 0 } else { ticks };
    }
}

/// The callee's voice on its way to the room.
struct Uplink {
    publication: Publication,
    /// What was published before anybody knew what the callee speaks.
    codec: Codec,
    /// From the phone's timestamps to ours, from its first audio on.
    offset: Option<u32>,
    /// The timestamp that follows what was sent.
    next: u32,
    quiet: Arc<[u8]>,
}

impl Uplink {
    fn new(publication: Publication, codec: Codec) -> Self {
        let quiet = Arc::from([codec.silence(); FRAME]);
        Self { publication, codec, offset: None, next: rand::random(), quiet }
    }

    fn forward(&mut self, audio: &rtp::Audio<'_>) {
        let offset = *self.offset.get_or_insert(self.next.wrapping_sub(audio.timestamp));
        let timestamp = audio.timestamp.wrapping_add(offset);
        let payload = if audio.codec == self.codec {
            Arc::from(audio.payload)
        } else {
            let (theirs, ours) = (audio.codec, self.codec);
            audio.payload.iter().map(|code| ours.encode(theirs.decode(*code))).collect()
        };
        self.send(payload, timestamp, audio.marker, audio.level);
    }

    /// 20 ms of nothing, until the callee's audio begins. The server tells others of a track only
    /// when something comes on it; so the agent listens before the callee says its first word.
    fn silence(&mut self) {
        if self.offset.is_none() {
            self.send(Arc::clone(&self.quiet), self.next, false, -127);
        }
    }

    fn send(&mut self, payload: Arc<[u8]>, timestamp: u32, marker: bool, level: i8) {
        let samples = u32::try_from(payload.len()).unwrap_or(0);
        self.next = timestamp.wrapping_add(samples);
        self.publication.send(RtpFrame { payload, timestamp, marker, level: Some(level) });
    }
}

/// A track of the room: heard by the callee, and recorded.
struct Tee {
    track: mixer::Track,
    tape: Option<Box<dyn RtpSink>>,
}

impl RtpSink for Tee {
    fn packet(&mut self, packet: &RtpPacket<'_>) {
        self.track.packet(packet);
        if let Some(tape) = &mut self.tape {
            tape.packet(packet);
        }
    }
}

fn recorded<'a>(audio: &rtp::Audio<'a>, now: Instant) -> RtpPacket<'a> {
    RtpPacket {
        ssrc: audio.stream,
        sequence: audio.sequence.into(),
        timestamp: audio.timestamp,
        codec: room_codec(audio.codec),
        marker: audio.marker,
        arrived_at: now,
        payload: audio.payload,
    }
}

/// The room's word for a codec.
pub(crate) fn room_codec(codec: Codec) -> AudioCodec {
    match codec {
        Codec::Pcma => AudioCodec::Pcma,
        Codec::Pcmu => AudioCodec::Pcmu,
    }
}

//! Participants in rooms: the agents, and for comparison phones that are in the room themselves.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use livekit_token::{AccessToken, VideoGrants};
use outdial_domain::RoomName;
use outdial_room::{
    AudioCodec, JoinOptions, Media, MediaConfig, PublishOptions, Room, RoomEvent, RtpFrame,
    RtpPacket,
};

use crate::call::{Ear, Packet, Way};
use crate::sound::{self, FRAMES};
use crate::stack::Stack;

/// Media threads; each has a clock of its own, so that the turns of the two sides of a room lie
/// apart by chance.
const THREADS: u64 = 4;

/// Where participants live.
#[derive(Debug)]
pub(crate) struct People {
    media: Vec<Media>,
    ulaw: Arc<[Arc<[u8]>]>,
    opus: Arc<[Arc<[u8]>]>,
}

/// One participant.
#[derive(Debug)]
pub(crate) struct Participant {
    room: Arc<Room>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Participant {
    fn drop(&mut self) {
        // it holds the room too
        self.listening.abort();
    }
}

impl Participant {
    pub(crate) fn is_connected(&self) -> bool {
        self.room.is_connected()
    }
}

/// How a participant takes part.
pub(crate) struct Part {
    /// Spreads participants over threads, and their marks over time.
    pub(crate) n: usize,
    pub(crate) identity: String,
    /// `agent` or `sip`, as LiveKit's tokens have it.
    pub(crate) kind: &'static str,
    pub(crate) codec: AudioCodec,
    pub(crate) says: Arc<Way>,
    pub(crate) hears: Arc<Way>,
}

impl People {
    pub(crate) fn new() -> Result<Self> {
        let bind = [127, 0, 0, 1].into();
        let media = (0..THREADS).map(|_| Media::start(MediaConfig { threads: 1, bind }));
        let shared = |frames: Vec<Box<[u8]>>| frames.into_iter().map(Into::into).collect();
        Ok(Self {
            media: media.collect::<std::io::Result<_>>()?,
            ulaw: shared(sound::ulaw()),
            opus: shared(sound::opus()?),
        })
    }

    /// Joins a room, speaks and listens.
    pub(crate) async fn join(
        &self,
        stack: &Stack,
        room: &RoomName,
        part: Part,
    ) -> Result<Participant> {
        let grants = VideoGrants {
            room_join: true,
            room: room.as_str().to_owned(),
            can_publish: Some(true),
            can_subscribe: Some(true),
            ..Default::default()
        };
        let token = AccessToken::with_api_key(&stack.key, &stack.secret)
            .with_identity(&part.identity)
            .with_kind(part.kind)
            .with_grants(grants)
            .to_jwt()?;
        let media = &self.media[part.n % self.media.len()];
        let options = JoinOptions { auto_subscribe: true, ..Default::default() };
        let (room, mut events) = Room::join(media, &stack.url, &token, options).await?;
        self.speak(&room, &part).await?;
        let room = Arc::new(room);
        let in_task = Arc::clone(&room);
        let listening = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let RoomEvent::TrackSubscribed { track_sid, .. } = event {
                    let mut ear = Ear::new(Arc::clone(&part.hears));
                    let sink = move |packet: &RtpPacket<'_>| ear.hear(&of_room(packet));
                    if in_task.subscribe(&track_sid, Box::new(sink)).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Participant { room, listening })
    }

    async fn speak(&self, room: &Room, part: &Part) -> Result<()> {
        let codec = part.codec;
        let frames = Arc::clone(if codec == AudioCodec::Opus { &self.opus } else { &self.ulaw });
        let (says, mut frame, mut timestamp) = (Arc::clone(&part.says), part.n * 7 % FRAMES, 0_u32);
        let track = room.publish(PublishOptions { codec, ..Default::default() }).await?;
        track.set_source(Box::new(move |_: Instant| {
            let payload = Arc::clone(&frames[frame]);
            says.sending(frame.is_multiple_of(FRAMES));
            frame = (frame + 1) % frames.len();
            timestamp = timestamp.wrapping_add(codec.clock_rate() / FRAMES as u32);
            Some(RtpFrame { payload, timestamp, marker: false, level: Some(-25) })
        }));
        Ok(())
    }
}

fn of_room<'a>(packet: &RtpPacket<'a>) -> Packet<'a> {
    Packet {
        ssrc: packet.ssrc,
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        ticks: packet.codec.clock_rate() / FRAMES as u32,
        opus: packet.codec == AudioCodec::Opus,
        payload: packet.payload,
        arrived: packet.arrived_at,
    }
}

//! Joins a room, plays a tone, and prints what others do, say and send.
//!
//! ```sh
//! LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_TOKEN=… cargo run --example tone
//! ```

use outdial_room::{
    AudioCodec, JoinOptions, LeaveReason, Media, MediaConfig, PublishOptions, Room, RoomEvent,
    RtpFrame, RtpPacket,
};
use std::{env, error::Error, f64::consts::TAU, time::Instant};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (url, token) = (env::var("LIVEKIT_URL")?, env::var("LIVEKIT_TOKEN")?);
    let mut config = MediaConfig::default();
    if let Ok(bind) = env::var("BIND") {
        config.bind = bind.parse()?;
    }
    let media = Media::start(config)?;
    let options = JoinOptions { auto_subscribe: true, ..Default::default() };
    let (room, mut events) = Room::join(&media, &url, &token, options).await?;
    say(&format!("joined {} as {}", room.name(), room.local().identity));

    let publish =
        PublishOptions { name: "tone".into(), codec: AudioCodec::Pcmu, ..Default::default() };
    let track = room.publish(publish).await?;
    let mut tone = Tone { timestamp: 0 };
    track.set_source(Box::new(move |_: Instant| Some(tone.next())));

    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(RoomEvent::TrackSubscribed { track_sid, .. }) => {
                    room.subscribe(&track_sid, Box::new(Listener::default()))?;
                    say(&format!("listening to {track_sid}"));
                }
                Some(event) => say(&format!("{event:?}")),
                None => return Ok(()),
            },
            _ = tokio::time::sleep(std::time::Duration::from_secs(60)) => {
                room.leave(LeaveReason::ClientInitiated).await;
                return Ok(());
            }
        }
    }
}

/// 440 Hz in µ-law.
struct Tone {
    timestamp: u32,
}

impl Tone {
    fn next(&mut self) -> RtpFrame {
        let sample = |n: u32| {
            let at = f64::from(self.timestamp.wrapping_add(n)) / 8000.0;
            ulaw((8000.0 * (TAU * 440.0 * at).sin()) as i16)
        };
        let payload = (0..160).map(sample).collect();
        let frame = RtpFrame {
            payload,
            timestamp: self.timestamp,
            marker: self.timestamp == 0,
            level: Some(-15),
        };
        self.timestamp = self.timestamp.wrapping_add(160);
        frame
    }
}

fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = 24 - magnitude.leading_zeros() as i32;
    !(sign | (exponent << 4) as u8 | ((magnitude >> (exponent + 3)) & 0xf) as u8)
}

/// Counts packets and tells once a second.
#[derive(Default)]
struct Listener {
    packets: u64,
}

impl outdial_room::RtpSink for Listener {
    fn packet(&mut self, packet: &RtpPacket<'_>) {
        self.packets += 1;
        if self.packets % 50 == 1 {
            let (codec, sequence) = (packet.codec, packet.sequence);
            say(&format!("{} packets, {codec:?}, sequence {sequence}", self.packets));
        }
    }
}

#[expect(clippy::print_stdout, reason = "an example")]
fn say(line: &str) {
    println!("{line}");
}

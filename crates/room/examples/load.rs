//! What a participant costs: many of them in one process. Each publishes µ-law and listens to one
//! other; or, with `observe`, each is hidden and listens to the two of a room of another process, as
//! an observer of a call does.
//!
//! ```sh
//! export LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=…
//! cargo run --release --example load -- 150        # participants, for 20 s
//! cargo run --release --example load -- 100 90 &   # fifty rooms, for 90 s
//! cargo run --release --example load -- 50 20 observe
//! ```

use livekit_token::{AccessToken, VideoGrants};
use outdial_room::{
    AudioCodec, JoinOptions, Media, MediaConfig, PublishOptions, Room, RoomEvent, RtpFrame,
    RtpPacket,
};
use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Packets that came, and that went missing on the way.
#[derive(Default)]
struct Counts {
    received: AtomicU64,
    lost: AtomicU64,
}

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<()> {
    let count: usize = env::args().nth(1).map_or(Ok(50), |n| n.parse())?;
    let seconds = Duration::from_secs(env::args().nth(2).map_or(Ok(20), |n| n.parse())?);
    let observes = env::args().nth(3).is_some_and(|role| role == "observe");
    let bind = env::var("BIND").unwrap_or_else(|_| "127.0.0.1".to_owned()).parse()?;
    let media = Media::start(MediaConfig { bind, ..Default::default() })?;
    let counts = Arc::<Counts>::default();
    let empty = memory()?;
    let mut rooms = Vec::new();
    // pairs, each in its own room
    for n in 0..count {
        rooms.push(join(&media, n, observes, Arc::clone(&counts)).await?);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (cpu, received) = (cpu_seconds()?, counts.received.load(Relaxed));
    let start = Instant::now();
    tokio::time::sleep(seconds).await;
    let elapsed = start.elapsed().as_secs_f64();
    let each = (cpu_seconds()? - cpu) / elapsed / count as f64 * 100.0;
    let heard = if observes { 2.0 } else { 1.0 };
    let nominal = elapsed * 50.0 * heard * count as f64;
    let share = (counts.received.load(Relaxed) - received) as f64 / nominal * 100.0;
    let memory = memory()?.saturating_sub(empty) / count as u64;
    let lost = counts.lost.load(Relaxed);
    let silent = rooms.iter().filter(|r| r.stats().packets_received == 0).count();
    let sent: u64 = rooms.iter().map(|r| r.stats().packets_sent).sum();
    let all: u64 = rooms.iter().map(|r| r.stats().packets_received).sum();
    say(&format!("{silent} hear nothing, {sent} packets sent, {all} received since the start"));
    say(&format!(
        "{count} participants: {each:.3} % of a core and {memory} KiB each, \
         {share:.1} % of the packets received, {lost} lost"
    ));
    Ok(())
}

async fn join(media: &Media, n: usize, observes: bool, counts: Arc<Counts>) -> Result<Arc<Room>> {
    let url = env::var("LIVEKIT_URL")?;
    let (key, secret) = (env::var("LIVEKIT_API_KEY")?, env::var("LIVEKIT_API_SECRET")?);
    let grants = VideoGrants {
        room_join: true,
        room: format!("load-{}", if observes { n } else { n / 2 }),
        hidden: observes,
        can_publish: Some(!observes),
        can_subscribe: Some(true),
        can_publish_data: Some(!observes),
        ..Default::default()
    };
    let token = AccessToken::with_api_key(&key, &secret)
        .with_identity(&format!("{}-{n}", if observes { "observer" } else { "participant" }))
        .with_grants(grants)
        .to_jwt()?;
    let options = JoinOptions { auto_subscribe: true, ..Default::default() };
    let (room, mut events) = Room::join(media, &url, &token, options).await?;
    if !observes {
        hum(&room).await?;
    }
    let room = Arc::new(room);
    let listening = Arc::clone(&room);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let RoomEvent::TrackSubscribed { track_sid, .. } = event {
                let counts = Arc::clone(&counts);
                let mut last = None;
                let sink = move |packet: &RtpPacket<'_>| {
                    counts.received.fetch_add(1, Relaxed);
                    let missing =
                        last.map_or(0, |last: u64| packet.sequence.saturating_sub(last + 1));
                    counts.lost.fetch_add(missing, Relaxed);
                    last = Some(packet.sequence);
                };
                if listening.subscribe(&track_sid, Box::new(sink)).is_err() {
                    return;
                }
            }
        }
    });
    Ok(room)
}

/// Publishes 50 packets a second.
async fn hum(room: &Room) -> Result<()> {
    let codec = AudioCodec::Pcmu;
    let track = room.publish(PublishOptions { codec, ..Default::default() }).await?;
    let (payload, mut timestamp): (Arc<[u8]>, u32) = ([0x55; 160].into(), 0);
    track.set_source(Box::new(move |_: Instant| {
        timestamp = timestamp.wrapping_add(160);
        let payload = Arc::clone(&payload);
        Some(RtpFrame { payload, timestamp, marker: false, level: Some(-20) })
    }));
    Ok(())
}

/// Processor time of this process in seconds.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').ok_or("unexpected /proc/self/stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// Resident memory of this process in KiB.
fn memory() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).ok_or("unexpected /proc/self/statm")?;
    Ok(pages.parse::<u64>()? * 4)
}

#[expect(clippy::print_stdout, reason = "an example")]
fn say(line: &str) {
    println!("{line}");
}

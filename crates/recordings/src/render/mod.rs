//! Rendering: from the packets of a capture to one stereo Ogg/Opus file.
//!
//! The file is read twice: [`survey`] learns when it begins and ends and what is missing, then the
//! packets go through [`stream`] (order, losses, place in time), [`voice`] (decoding) and [`mixer`]
//! (two channels) to [`encoder`]. At any time only a window of some 20 s is in memory.
//!
//! **Time.** A packet's RTP timestamp says exactly where it belongs among its stream's packets, its
//! arrival says when that was, give or take the network's delay. Within the next
//! [`stream::LOOKAHEAD`] the packet that was delayed least tells the offset between both clocks; it
//! is found anew for each packet, so that it follows a drift, and playing follows it by making
//! packets up to 0.4 % longer or shorter, which nobody hears.

mod encoder;
mod g711;
mod mixer;
mod stream;
mod survey;
mod timeline;
mod upsample;
mod voice;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use outdial_domain::Speaker;
use outdial_domain::ports::AudioCodec;

use self::encoder::OggOpus;
use self::mixer::Mixer;
use self::stream::{LOOKAHEAD, Stream};
use self::survey::{Survey, survey};
use self::timeline::{Timed, Timeline};

/// Samples per second and channel, inside and for the encoder: what speech synthesis gives, and
/// three times what a telephone line has.
pub(crate) const RATE: i64 = 24_000;
/// Ticks per second of everything that is timed: the finest RTP clock.
const TICKS: i64 = 48_000;
/// How long a packet may be behind the others and still be heard.
const LATENESS: i64 = 5 * TICKS;
/// How often packets are released, in ticks of the call's clock.
const STEP: i64 = TICKS / 5;
/// Packets that may wait for their turn; when there are more, the lookahead shrinks.
const MAX_WAITING: usize = 20_000;
/// Streams that may be heard at the same time.
const MAX_STREAMS: usize = 32;
/// A stream is forgotten when it was silent for so long.
const FORGET_AFTER: i64 = 60 * TICKS;

/// What was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// How long it plays.
    pub duration: Duration,
    /// When its first sample was heard.
    pub begins_at: DateTime<Utc>,
    /// Why parts of the call are missing, if they are.
    pub gaps: Option<String>,
}

/// Why a capture was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The capture holds no audio.
    #[error("nothing was captured{}", .0.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    Empty(Option<String>),
    /// The capture could not be read, or the file not written.
    #[error("cannot render")]
    Io(#[from] io::Error),
    /// The encoder failed.
    #[error("cannot encode")]
    Encode(#[from] opus::Error),
    /// Nobody waits for it any more.
    #[error("rendering was cancelled")]
    Cancelled,
}

/// Renders the capture at `capture` into `output`, as an Ogg/Opus file with the callee left and the
/// agent right.
///
/// It begins at `answered_at` if that lies within the capture, or else at the first packet. `title`
/// goes into the file's comments. `is_cancelled` is asked some times per second of work.
///
/// # Errors
///
/// [`RenderError::Empty`] when there is no packet in it; damage is no error, it is told in
/// [`Rendered::gaps`].
pub fn render(
    capture: &Path,
    output: impl Write,
    title: &str,
    answered_at: Option<DateTime<Utc>>,
    is_cancelled: impl Fn() -> bool,
) -> Result<Rendered, RenderError> {
    let survey = survey(File::open(capture)?, answered_at)?;
    let begins_at = survey.begins_at;
    let date = begins_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let encoder = OggOpus::begin(output, title, &date)?;
    let mut renderer = Renderer::new(&survey, encoder);
    let mut timeline = Timeline::new(File::open(capture)?);
    let mut blocks = 0_u32;
    while timeline.next_block(|timed| renderer.take(&timed))? {
        renderer.advance()?;
        blocks += 1;
        if blocks.is_multiple_of(16) && is_cancelled() {
            return Err(RenderError::Cancelled);
        }
    }
    let ignored = renderer.ignored;
    let samples = renderer.finish(is_cancelled)?;
    let duration = Duration::from_nanos(samples * 1_000_000_000 / RATE.unsigned_abs());
    Ok(Rendered { duration, begins_at, gaps: survey.gaps(ignored) })
}

#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct StreamKey {
    session: u32,
    speaker: Speaker,
    stream: u32,
    codec: AudioCodec,
}

struct Renderer<W: Write> {
    /// Where the file begins, in ticks since the first packet.
    origin: i64,
    streams: HashMap<StreamKey, Stream>,
    mixer: Mixer,
    encoder: OggOpus<W>,
    /// The latest arrival that was read.
    now: i64,
    /// Packets that arrived until then were released.
    released: i64,
    /// Packets that could not be taken: too many streams.
    ignored: u64,
}

impl<W: Write> Renderer<W> {
    fn new(survey: &Survey, encoder: OggOpus<W>) -> Self {
        Self {
            origin: survey.origin,
            streams: HashMap::new(),
            mixer: Mixer::new(),
            encoder,
            now: 0,
            released: 0,
            ignored: 0,
        }
    }

    fn take(&mut self, timed: &Timed<'_>) {
        let Timed::Packet { session, arrival, packet } = timed else { return };
        self.now = self.now.max(*arrival);
        let key = StreamKey {
            session: *session,
            speaker: packet.speaker,
            stream: packet.stream,
            codec: packet.codec,
        };
        if !self.streams.contains_key(&key) {
            let stream = Stream::new(key.speaker, key.codec);
            let Some(stream) = stream.ok().filter(|_| self.streams.len() < MAX_STREAMS) else {
                self.ignored += 1;
                return;
            };
            self.streams.insert(key, stream);
        }
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.push(packet.sequence, packet.timestamp, *arrival, packet.payload);
        }
    }

    fn waiting(&self) -> usize {
        self.streams.values().map(Stream::waiting).sum()
    }

    /// Plays what has waited for long enough.
    fn advance(&mut self) -> Result<(), RenderError> {
        let mut lookahead = LOOKAHEAD;
        self.release(self.now - lookahead)?;
        while lookahead > 0 && self.waiting() > MAX_WAITING {
            lookahead /= 2;
            self.release(self.now - lookahead)?;
        }
        Ok(())
    }

    /// Plays the packets that arrived until `until`, in steps that the mixer's window has room for.
    fn release(&mut self, until: i64) -> Result<(), RenderError> {
        while self.released + STEP <= until {
            let next = self.streams.values().filter_map(Stream::next_due).min().unwrap_or(until);
            self.released = (self.released + STEP).max(next.min(until - STEP));
            self.flush()?;
            for stream in self.streams.values_mut() {
                stream.play(self.released, self.origin, &mut self.mixer);
            }
        }
        let forget = self.released - FORGET_AFTER;
        self.streams.retain(|_, stream| stream.waiting() > 0 || stream.last_arrival() > forget);
        Ok(())
    }

    /// Encodes what nothing can be added to any more.
    fn flush(&mut self) -> Result<(), RenderError> {
        let final_until = (self.released - LATENESS - self.origin) / (TICKS / RATE);
        while let Some(frame) = self.mixer.take_until(final_until) {
            self.encoder.push(frame)?;
        }
        Ok(())
    }

    fn finish(mut self, is_cancelled: impl Fn() -> bool) -> Result<u64, RenderError> {
        let end = self.now + STEP;
        while self.released + STEP <= end {
            self.release((self.released + 10 * TICKS).min(end))?;
            if is_cancelled() {
                return Err(RenderError::Cancelled);
            }
        }
        // Silence may be encoded already behind the last sound, when what came then made none.
        let samples = self.mixer.end().max(self.mixer.start());
        while self.mixer.start() < samples {
            let Some(frame) = self.mixer.take_until(i64::MAX) else { break };
            self.encoder.push(frame)?;
        }
        self.encoder.finish(samples.unsigned_abs())?;
        Ok(samples.unsigned_abs())
    }
}

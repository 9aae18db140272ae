//! One RTP stream: its packets in order, each at its place in time.

use std::collections::VecDeque;

use outdial_domain::Speaker;
use outdial_domain::ports::AudioCodec;

use super::mixer::Mixer;
use super::voice::{CONCEALED, Voice};
use super::{RATE, TICKS};

/// How far ahead the packet is looked for that was delayed least: longer than the network's moods
/// last, and short enough for clocks that drift: at 100 ppm it costs 1.5 ms.
pub(super) const LOOKAHEAD: i64 = 15 * TICKS;
/// Packets among which it is looked for at most.
const LOOKAHEAD_PACKETS: usize = 1_500;
/// A timestamp has jumped when its packet came so much earlier than the least delayed could.
const JUMP: i64 = TICKS / 5;
/// A sequence number so far ahead begins anew.
const SEQUENCE_JUMP: i64 = 3_000;
/// One so far behind as well; nearer ones are late.
const SEQUENCE_BACK: i64 = 750;
/// After a silence this long playing begins anew where the clock says.
const TALKSPURT: i64 = TICKS / 5;
/// Samples off the clock's place at which playing begins to make up for it: 1 ms.
const SLACK: i64 = RATE / 1_000;
/// Samples off at which it does so at once: 20 ms.
const TOO_FAR: i64 = RATE / 50;
/// Samples per 20 ms that playing may be made longer or shorter by.
const STRETCH: i64 = 2;
/// Samples over which sound fades in where it does not continue: 2 ms.
const FADE_IN: usize = RATE as usize / 500;

/// A stream, its decoder, and the packets whose turn has not come.
pub(super) struct Stream {
    speaker: Speaker,
    voice: Voice,
    /// Ticks of one unit of the timestamp.
    unit: i64,
    /// In the order of (segment, sequence).
    waiting: VecDeque<Waiting>,
    /// The packet that is ahead of all others.
    head: Option<Head>,
    played: Option<Played>,
    /// The position behind the last sample.
    cursor: i64,
    last_arrival: i64,
    samples: Vec<i16>,
}

struct Waiting {
    /// Counts the beginnings of sequence numbers and timestamps.
    segment: u32,
    sequence: i64,
    /// The timestamp, in ticks.
    media: i64,
    arrival: i64,
    /// When its turn is: a late packet's is that of the one behind it.
    due: i64,
    payload: Box<[u8]>,
}

struct Head {
    segment: u32,
    sequence: i64,
    media: i64,
    arrival: i64,
    /// The least delayed packet's arrival less its timestamp; it rises by 1 %, to forget.
    least: i64,
    raw_sequence: u16,
    raw_timestamp: u32,
}

impl Head {
    fn least_at(&self, arrival: i64) -> i64 {
        self.least + (arrival - self.arrival).max(0) / 100
    }
}

struct Played {
    segment: u32,
    sequence: i64,
    /// The timestamp behind its end, in ticks.
    media_end: i64,
}

impl Stream {
    pub(super) fn new(speaker: Speaker, codec: AudioCodec) -> Result<Self, opus::Error> {
        Ok(Self {
            speaker,
            voice: Voice::new(codec)?,
            unit: TICKS / i64::from(codec.clock_rate()),
            waiting: VecDeque::new(),
            head: None,
            played: None,
            cursor: i64::MIN / 2,
            last_arrival: 0,
            samples: Vec::new(),
        })
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn last_arrival(&self) -> i64 {
        self.last_arrival
    }

    /// When the next packet is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.waiting.front().map(|packet| packet.due)
    }

    /// Takes a packet in; `arrival` in ticks.
    pub(super) fn push(&mut self, sequence: u16, timestamp: u32, arrival: i64, payload: &[u8]) {
        self.last_arrival = self.last_arrival.max(arrival);
        let (segment, number, media, ahead) = self.unwrap(sequence, timestamp, arrival);
        if ahead {
            let same = self.head.as_ref().filter(|head| head.segment == segment);
            let least = same.map_or(i64::MAX, |head| head.least_at(arrival));
            self.head = Some(Head {
                segment,
                sequence: number,
                media,
                arrival,
                least: least.min(arrival - media),
                raw_sequence: sequence,
                raw_timestamp: timestamp,
            });
        }
        let place = (segment, number);
        if self.played.as_ref().is_some_and(|played| place <= (played.segment, played.sequence)) {
            return;
        }
        let mut at = self.waiting.len();
        while at > 0 && (self.waiting[at - 1].segment, self.waiting[at - 1].sequence) >= place {
            at -= 1;
        }
        let next = self.waiting.get(at);
        if next.is_some_and(|next| (next.segment, next.sequence) == place) {
            return;
        }
        let due = next.map_or(arrival, |next| next.due.min(arrival));
        let payload = payload.into();
        let packet = Waiting { segment, sequence: number, media, arrival, due, payload };
        self.waiting.insert(at, packet);
    }

    /// Segment, sequence number and timestamp without wrapping, and whether the packet is ahead of
    /// all others.
    fn unwrap(&self, sequence: u16, timestamp: u32, arrival: i64) -> (u32, i64, i64, bool) {
        let Some(head) = &self.head else {
            return (0, sequence.into(), i64::from(timestamp) * self.unit, true);
        };
        let steps = i64::from(sequence.wrapping_sub(head.raw_sequence).cast_signed());
        let media = i64::from(timestamp.wrapping_sub(head.raw_timestamp).cast_signed()) * self.unit;
        let fits = if steps > 0 {
            let offset = arrival - (head.media + media);
            steps <= SEQUENCE_JUMP && media >= 0 && offset >= head.least_at(arrival) - JUMP
        } else {
            steps > -SEQUENCE_BACK && (-LOOKAHEAD..=0).contains(&media)
        };
        if fits {
            (head.segment, head.sequence + steps, head.media + media, steps > 0)
        } else {
            let segment = head.segment.saturating_add(1);
            (segment, sequence.into(), i64::from(timestamp) * self.unit, true)
        }
    }

    /// Plays all packets that are due.
    pub(super) fn play(&mut self, until: i64, origin: i64, mixer: &mut Mixer) {
        while self.next_due().is_some_and(|due| due <= until) {
            let offset = self.offset();
            let Some(packet) = self.waiting.pop_front() else { return };
            self.play_packet(&packet, offset.unwrap_or(0) - origin, mixer);
        }
    }

    /// What is to be added to the timestamp of the next packet to come to the call's clock, in ticks:
    /// that of the packet which was delayed least among those to come.
    fn offset(&self) -> Option<i64> {
        let segment = self.waiting.front()?.segment;
        let near = self.waiting.iter().take(LOOKAHEAD_PACKETS);
        let same = near.take_while(|packet| packet.segment == segment);
        same.map(|packet| packet.arrival - packet.media).min()
    }

    fn play_packet(&mut self, packet: &Waiting, offset: i64, mixer: &mut Mixer) {
        let Some(ticks) = self.voice.ticks(&packet.payload) else { return };
        let target = (packet.media + offset) / (TICKS / RATE) - self.voice.delay();
        let mut samples = std::mem::take(&mut self.samples);
        let follows = self.bridge(packet, target, &mut samples, mixer);
        samples.clear();
        if follows.is_none() {
            self.voice.interrupt();
        }
        if self.voice.decode(&packet.payload, &mut samples).is_ok() {
            if let Some(place) = follows {
                self.cursor = place;
                self.emit(stretched(&mut samples, target - place), mixer);
            } else {
                self.cursor = self.cursor.max(target);
                // What would lie over the stream's own past is not heard.
                let over = usize::try_from(self.cursor - target).unwrap_or(usize::MAX);
                let over = over.min(samples.len());
                let rest = &mut samples[over..];
                fade_in(rest);
                mixer.add(self.speaker, self.cursor, rest);
                self.cursor += rest.len() as i64;
            }
            self.played = Some(Played {
                segment: packet.segment,
                sequence: packet.sequence,
                media_end: packet.media + ticks,
            });
        }
        self.samples = samples;
    }

    /// Conceals what was lost before this packet. Returns the packet's position if it follows the
    /// last one closely enough to be played in one with it; `target` is where the clock wants it.
    fn bridge(
        &mut self,
        packet: &Waiting,
        target: i64,
        samples: &mut Vec<i16>,
        mixer: &mut Mixer,
    ) -> Option<i64> {
        let played = self.played.as_ref().filter(|played| played.segment == packet.segment)?;
        let missing = packet.media - played.media_end;
        let expected = self.cursor + missing.max(0) / (TICKS / RATE);
        if (target - expected).abs() > TOO_FAR {
            return None;
        }
        let frame = self.voice.frame_ticks();
        let lost = (packet.sequence - played.sequence - 1).min((missing + frame / 2) / frame);
        if lost > 0 {
            let next = (lost <= CONCEALED).then_some(&*packet.payload);
            samples.clear();
            self.voice.conceal(lost, next, samples);
            self.emit(samples, mixer);
        }
        (missing < TALKSPURT).then_some(self.cursor.max(expected))
    }

    fn emit(&mut self, samples: &[i16], mixer: &mut Mixer) {
        mixer.add(self.speaker, self.cursor, samples);
        self.cursor += samples.len() as i64;
    }
}

/// Makes the samples a few longer or shorter, to come nearer to where they belong by `off`.
fn stretched(samples: &mut Vec<i16>, off: i64) -> &[i16] {
    let length = samples.len();
    let most = (STRETCH * length as i64 / TOO_FAR).max(1);
    let change = if off.abs() <= SLACK { 0 } else { off.clamp(-most, most) };
    let wanted = (length as i64 + change).max(0) as usize;
    if change == 0 || length < 2 || wanted < 2 {
        return samples;
    }
    let step = (length - 1) as f32 / (wanted - 1) as f32;
    let sample_at = |at: usize| {
        let place = at as f32 * step;
        let (index, part) = ((place as usize).min(length - 2), place);
        let (a, b) = (f32::from(samples[index]), f32::from(samples[index + 1]));
        (a + (b - a) * (part - index as f32)) as i16
    };
    *samples = (0..wanted).map(sample_at).collect();
    samples
}

fn fade_in(samples: &mut [i16]) {
    for (sample, at) in samples.iter_mut().take(FADE_IN).zip(0_i32..) {
        *sample = (i32::from(*sample) * at / FADE_IN as i32) as i16;
    }
}

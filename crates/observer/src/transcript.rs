//! The transcript of a call, collected from the text streams in which the agent tells it. Pure: no
//! I/O, and the time is passed in.
//!
//! An agent's own speech is one stream that grows; that it is complete is said in the stream's
//! trailer. A callee's speech comes as a new stream for each better guess, all with the same segment
//! id and each with the whole text so far; the last says in its header that it is final. Both obey
//! one rule: a new stream of a segment replaces its text, and chunks append.
//! Source: livekit-agents 1.8, `voice/room_io/_output.py`.

mod text;
mod voice;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::{Speaker, TranscriptLine};
use tokio::time::Instant;

use self::voice::Voice;
use crate::moment::Moment;

/// A line waits so long for another that was begun earlier and is still being spoken.
pub(crate) const HOLD: Duration = Duration::from_secs(5);

/// An agent's stream that closed without being final may be followed by another of its segment; it
/// is not when nothing came for so long.
pub(crate) const ABANDONED: Duration = Duration::from_secs(2);

/// What an agent sent before it left may arrive behind the news that it left.
const IN_FLIGHT: Duration = Duration::from_millis(300);

/// More segments than two speakers have open, and final lines than wait for one.
const MAX_OPEN: usize = 32;
const MAX_WAITING: usize = 64;

/// So many finished segments are remembered, to know a late stream of one.
const MAX_FINISHED: usize = 256;

/// Longer ids (LiveKit's have 15 characters) are nobody's.
const MAX_ID: usize = 128;

/// The header of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    /// Its id.
    pub(crate) stream: &'a str,
    /// The segment of speech that it belongs to; without one it stands alone.
    pub(crate) segment: Option<&'a str>,
    /// Who spoke.
    pub(crate) speaker: Speaker,
    /// Who that is in the room.
    pub(crate) identity: &'a str,
    /// Whether its text is the final one.
    pub(crate) is_final: bool,
}

/// Collects streams and gives lines.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    open: Vec<Segment>,
    /// Final, in the order in which they were begun.
    waiting: Vec<Waiting>,
    finished: VecDeque<Key>,
    voice: Voice,
    segments: u64,
    last_user: Option<DateTime<Utc>>,
    last_given: Option<DateTime<Utc>>,
    ignored: u64,
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    speaker: Speaker,
    id: String,
}

/// When a segment was begun; the number tells apart what was begun at the same time.
type Begun = (DateTime<Utc>, u64);

#[derive(Debug)]
struct Segment {
    key: Key,
    identity: String,
    begun: Begun,
    text: String,
    /// Something did not fit into the text.
    is_cut: bool,
    /// The stream that writes it now.
    stream: Option<String>,
    /// That stream has written nothing yet: what is there is the text of the one before.
    is_fresh: bool,
    is_final: bool,
    /// When it is taken for complete though nobody said so.
    expires: Option<Instant>,
    /// A line that was begun later has been given: no other waits for this any more.
    is_overtaken: bool,
}

#[derive(Debug)]
struct Waiting {
    begun: Begun,
    line: TranscriptLine,
    until: Instant,
}

impl Collector {
    /// A stream was opened.
    pub(crate) fn open(&mut self, header: Header<'_>, now: Moment) {
        let id = header.segment.unwrap_or(header.stream);
        let key = Key { speaker: header.speaker, id: id.to_owned() };
        if id.len() > MAX_ID
            || header.stream.len() > MAX_ID
            || self.finished.contains(&key)
            || self.index_of(header.stream).is_some()
        {
            self.ignored += 1;
            return;
        }
        let known = self.open.iter().position(|segment| segment.key == key);
        let Some(index) = known.or_else(|| self.begin(key, header.identity, now)) else {
            self.ignored += 1;
            self.lost = true;
            return;
        };
        if header.speaker == Speaker::User && !header.is_final {
            // What is guessed now is what the voice says now: its words have come.
            self.voice.take(now);
        }
        let segment = &mut self.open[index];
        segment.stream = Some(header.stream.to_owned());
        segment.is_fresh = true;
        segment.is_final = header.is_final || header.segment.is_none();
        segment.expires = None;
    }

    /// The index of a new segment, if there is room for one.
    fn begin(&mut self, key: Key, identity: &str, now: Moment) -> Option<usize> {
        // One segment follows the other: nothing more can come of an earlier one.
        self.finish_where(now, |s| {
            s.key.speaker == key.speaker && s.identity == identity && s.stream.is_none()
        });
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        let at = match key.speaker {
            Speaker::Agent => now.at,
            Speaker::User => self.user_begun(now),
        };
        self.segments += 1;
        self.open.push(Segment {
            key,
            identity: identity.to_owned(),
            begun: (at, self.segments),
            text: String::new(),
            is_cut: false,
            stream: None,
            is_fresh: true,
            is_final: false,
            expires: None,
            is_overtaken: false,
        });
        Some(self.open.len() - 1)
    }

    /// When the callee began to say what comes now: never before what it said last, nor before a
    /// line that was given already.
    fn user_begun(&mut self, now: Moment) -> DateTime<Utc> {
        let last_user = self.last_user;
        let voice = self.voice.take(now).filter(|onset| last_user.is_none_or(|last| *onset > last));
        let begun = voice.unwrap_or(now.at).max(self.last_given.unwrap_or_default());
        self.last_user = Some(begun);
        begun
    }

    /// A stream brought text. Streams of other topics are none of ours, and unknown here.
    pub(crate) fn append(&mut self, stream: &str, text: &str) {
        let Some(index) = self.index_of(stream) else { return };
        let segment = &mut self.open[index];
        if std::mem::take(&mut segment.is_fresh) {
            segment.text.clear();
            segment.is_cut = false;
        }
        segment.is_cut |= !text::append(&mut segment.text, text);
    }

    /// A stream was closed; `is_final` is what its trailer says.
    pub(crate) fn close(&mut self, stream: &str, is_final: bool, now: Moment) {
        let Some(index) = self.index_of(stream) else { return };
        let segment = &mut self.open[index];
        segment.stream = None;
        if is_final || segment.is_final {
            if segment.is_fresh {
                segment.text.clear();
            }
            self.finish(index, now);
        } else if segment.key.speaker == Speaker::Agent {
            segment.expires = Some(now.tick + ABANDONED);
        }
    }

    /// A stream broke off. When its sender left, that is all that was said; otherwise (`is_lost`)
    /// something is missing.
    pub(crate) fn fail(&mut self, stream: &str, is_lost: bool, now: Moment) {
        let Some(index) = self.index_of(stream) else { return };
        self.lost |= is_lost;
        let segment = &mut self.open[index];
        segment.stream = None;
        segment.expires = Some(now.tick + IN_FLIGHT);
    }

    /// An agent left: nothing more comes of what it said, nor (`is_last`) of what it heard.
    pub(crate) fn agent_left(&mut self, identity: &str, is_last: bool, now: Moment) {
        for segment in self.open.iter_mut().filter(|s| is_last || s.identity == identity) {
            segment.expires.get_or_insert(now.tick + IN_FLIGHT);
        }
    }

    /// The callee's voice is heard, or is not heard any more.
    pub(crate) fn voice(&mut self, is_active: bool, now: Moment) {
        self.voice.set(is_active, now);
    }

    /// Whether something is being said of which more may come.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether something that was said is missing.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// How many streams were none that an agent sends.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// When to [`take`](Self::take) again, though nothing may have come by then.
    pub(crate) fn due(&self) -> Option<Instant> {
        let expires = self.open.iter().filter_map(|segment| segment.expires);
        expires.chain(self.waiting.iter().map(|waiting| waiting.until)).min()
    }

    /// The lines whose turn has come.
    pub(crate) fn take(&mut self, now: Moment) -> Vec<TranscriptLine> {
        self.finish_where(now, |segment| segment.expires.is_some_and(|at| at <= now.tick));
        let blocker =
            self.open.iter().filter(|s| !s.is_overtaken).map(|segment| segment.begun).min();
        // Of all that may go, the last one lets those before it go with it.
        let excess = self.waiting.len().saturating_sub(MAX_WAITING);
        let ready = self.waiting.iter().rposition(|waiting| {
            waiting.until <= now.tick || blocker.is_none_or(|blocker| waiting.begun < blocker)
        });
        let count = ready.map_or(0, |last| last + 1).max(excess);
        let given: Vec<_> = self.waiting.drain(..count).collect();
        if let Some(last) = given.last().map(|waiting| waiting.begun) {
            self.last_given = self.last_given.max(Some(last.0));
            for segment in self.open.iter_mut().filter(|segment| segment.begun < last) {
                segment.is_overtaken = true;
            }
        }
        given.into_iter().map(|waiting| waiting.line).collect()
    }

    /// All that is left, as far as it was heard. Nothing further is expected.
    pub(crate) fn flush(&mut self, now: Moment) -> Vec<TranscriptLine> {
        self.finish_where(now, |_| true);
        self.take(now)
    }

    fn index_of(&self, stream: &str) -> Option<usize> {
        self.open.iter().position(|segment| segment.stream.as_deref() == Some(stream))
    }

    fn finish_where(&mut self, now: Moment, over: impl Fn(&Segment) -> bool) {
        while let Some(index) = self.open.iter().position(&over) {
            self.finish(index, now);
        }
    }

    /// Makes a line of a segment, if anything was said.
    fn finish(&mut self, index: usize, now: Moment) {
        let segment = self.open.swap_remove(index);
        self.lost |= segment.is_cut;
        let text = text::spoken(&segment.text);
        if !text.is_empty() {
            let line =
                TranscriptLine { speaker: segment.key.speaker, text, timestamp: segment.begun.0 };
            let place = self.waiting.partition_point(|waiting| waiting.begun < segment.begun);
            let waiting = Waiting { begun: segment.begun, line, until: now.tick + HOLD };
            self.waiting.insert(place, waiting);
        }
        if self.finished.len() >= MAX_FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(segment.key);
    }
}

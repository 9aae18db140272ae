//! What a publication sends: the hand-over from callers to a media thread.

use crate::rtp::{RtpFrame, RtpSource};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The queue and the source of one publication.
pub(crate) struct Feed {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<RtpFrame>,
    source: Option<Box<dyn RtpSource>>,
    closed: bool,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// Queued, in the place of the oldest.
    ForOldest,
    /// The participant is gone.
    Closed,
}

impl Feed {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), state: Mutex::default() }
    }

    /// Queues a frame. A full queue gives its oldest up for it.
    pub(crate) fn push(&self, frame: RtpFrame) -> Pushed {
        let mut state = self.lock();
        if state.closed {
            return Pushed::Closed;
        }
        let is_full = state.queue.len() >= self.capacity;
        if is_full {
            state.queue.pop_front();
        }
        state.queue.push_back(frame);
        if is_full { Pushed::ForOldest } else { Pushed::Queued }
    }

    pub(crate) fn set_source(&self, source: Box<dyn RtpSource>) {
        let mut state = self.lock();
        if !state.closed {
            state.source = Some(source);
        }
    }

    /// The participant is gone: sources must not live longer than it.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        state.source = None;
    }

    /// Gives everything that is due after `ticks` times 20 ms to `send`.
    pub(crate) fn drain(&self, now: Instant, ticks: u32, mut send: impl FnMut(RtpFrame)) {
        let mut state = self.lock();
        if !state.queue.is_empty() {
            state.queue.drain(..).for_each(send);
            return;
        }
        let Some(source) = &mut state.source else { return };
        for _ in 0..ticks {
            if let Some(frame) = source.pull(now) {
                send(frame);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(timestamp: u32) -> RtpFrame {
        RtpFrame { payload: [0].into(), timestamp, marker: false, level: None }
    }

    fn drain(feed: &Feed, ticks: u32) -> Vec<u32> {
        let mut sent = Vec::new();
        feed.drain(Instant::now(), ticks, |frame| sent.push(frame.timestamp));
        sent
    }

    #[test]
    fn the_queue_is_bounded_and_goes_before_the_source() {
        let feed = Feed::new(2);
        feed.set_source(Box::new(|_: Instant| Some(frame(9))));
        let push = |timestamp| feed.push(frame(timestamp));
        assert_eq!([1, 2].map(push), [Pushed::Queued; 2]);
        assert_eq!([3, 4, 5].map(push), [Pushed::ForOldest; 3]);
        assert_eq!(drain(&feed, 1), [4, 5]);
        assert_eq!(push(6), Pushed::Queued);
        assert_eq!(drain(&feed, 0), [6]);
        assert_eq!(drain(&feed, 1), [9]);
        assert_eq!(drain(&feed, 3), [9, 9, 9]);
        assert_eq!(drain(&feed, 0), [0; 0]);
        feed.close();
        assert_eq!(feed.push(frame(7)), Pushed::Closed);
        assert_eq!(drain(&feed, 1), [0; 0]);
    }

    #[test]
    fn the_latest_frame_always_has_room() {
        let feed = Feed::new(0);
        assert_eq!([1, 2].map(|n| feed.push(frame(n))), [Pushed::Queued, Pushed::ForOldest]);
        assert_eq!(drain(&feed, 1), [2]);
    }
}

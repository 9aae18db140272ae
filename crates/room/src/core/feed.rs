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

impl Feed {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    /// False: full or closed.
    pub(crate) fn push(&self, frame: RtpFrame) -> bool {
        let mut state = self.lock();
        if state.closed || state.queue.len() >= self.capacity {
            return false;
        }
        state.queue.push_back(frame);
        true
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
        assert!(feed.push(frame(1)) && feed.push(frame(2)) && !feed.push(frame(3)));
        assert_eq!(drain(&feed, 1), [1, 2]);
        assert_eq!(drain(&feed, 1), [9]);
        assert_eq!(drain(&feed, 3), [9, 9, 9]);
        assert_eq!(drain(&feed, 0), [0; 0]);
        feed.close();
        assert!(!feed.push(frame(4)));
        assert_eq!(drain(&feed, 1), [0; 0]);
    }
}

//! The queue of events of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::Event;

/// Events that wait for a slow owner; beyond that only the answer and the end are kept.
const MOST: usize = 64;

pub(super) fn queue() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (
        EventSender { sender, waiting: waiting.clone() },
        EventReceiver { receiver, waiting, ended: false },
    )
}

pub(super) struct EventSender {
    sender: mpsc::UnboundedSender<Event>,
    waiting: Arc<AtomicUsize>,
}

impl EventSender {
    /// A dropped offer refuses itself.
    pub(super) fn tell(&self, event: Event) {
        let needed = matches!(event, Event::Answered(_) | Event::Ended(_));
        if !needed && self.waiting.load(Ordering::Relaxed) >= MOST {
            tracing::debug!("an event of a call was dropped; its owner does not read them");
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.sender.send(event);
    }
}

#[derive(Debug)]
pub(crate) struct EventReceiver {
    receiver: mpsc::UnboundedReceiver<Event>,
    waiting: Arc<AtomicUsize>,
    ended: bool,
}

impl EventReceiver {
    pub(crate) async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.receiver.recv().await;
        self.waiting.fetch_sub(usize::from(event.is_some()), Ordering::Relaxed);
        self.ended = matches!(event, None | Some(Event::Ended(_)));
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::End;

    #[tokio::test]
    async fn the_end_comes_through_a_full_queue() {
        let (sender, receiver) = queue();
        let mut receiver = receiver;
        for _ in 0..10 * MOST {
            sender.tell(Event::Ringing { code: 180 });
        }
        sender.tell(Event::Ended(End::Cancelled));
        sender.tell(Event::Ringing { code: 180 });
        let mut seen = 0;
        while let Some(event) = receiver.next().await {
            seen += 1;
            if let Event::Ended(end) = event {
                assert_eq!(end, End::Cancelled);
            }
        }
        assert_eq!(seen, MOST + 1);
        assert!(receiver.next().await.is_none());
    }
}

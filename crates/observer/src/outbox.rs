//! Hints on their way to somebody who may be slow.

use outdial_domain::Hint;
use outdial_domain::ports::HintSink;
use tokio::sync::mpsc;

/// Hints that may wait for a slow listener while the room is still heard.
const MAX_HINTS: usize = 128;
/// So many of these places are kept for what makes the call's course.
const FOR_FACTS: usize = 32;

/// Takes hints without waiting. Each is told in its turn by the [`Inbox`].
#[derive(Debug)]
pub struct Outbox(mpsc::Sender<Hint>);

/// The other end of an [`Outbox`].
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Hint>);

impl Outbox {
    /// An outbox, and what passes on what is put into it.
    pub fn new() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(MAX_HINTS);
        (Self(sender), Inbox(receiver))
    }

    /// Tells a hint, unless too many wait already: lines and what is for watchers only are given up
    /// first. False: it will not be told.
    pub fn tell(&self, hint: Hint) -> bool {
        let is_talk = matches!(
            hint,
            Hint::Line(_)
                | Hint::AgentState { .. }
                | Hint::Held { .. }
                | Hint::Resumed { .. }
                | Hint::Dtmf { .. }
        );
        (!is_talk || self.0.capacity() > FOR_FACTS) && self.0.try_send(hint).is_ok()
    }

    /// Tells the last hints, all of them, however long that takes.
    pub async fn tell_last(self, hints: Vec<Hint>) {
        for hint in hints {
            // It fails when nobody listens any more.
            let _ = self.0.send(hint).await;
        }
    }
}

impl Inbox {
    /// Passes hints on as the listener takes them, until the outbox is gone and empty, or nobody
    /// listens any more.
    pub async fn deliver(mut self, hints: &HintSink) {
        let pass_on = async {
            while let Some(hint) = self.0.recv().await {
                if !hints.send(hint).await {
                    return;
                }
            }
        };
        tokio::select! {
            () = pass_on => {}
            () = hints.closed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use outdial_domain::AgentState;

    use super::*;

    #[tokio::test]
    async fn what_makes_the_calls_course_has_places_of_its_own() {
        let (outbox, inbox) = Outbox::new();
        let at = Utc::now();
        let state = || Hint::AgentState { at, state: AgentState::Thinking };
        let talk = (0..MAX_HINTS).take_while(|_| outbox.tell(state())).count();
        assert_eq!(talk, MAX_HINTS - FOR_FACTS);
        let facts = (0..MAX_HINTS).take_while(|_| outbox.tell(Hint::Answered { at })).count();
        assert_eq!(facts, FOR_FACTS);
        // The last ones wait for their places.
        let (sink, mut hints) = HintSink::channel(1);
        let last = vec![Hint::AgentLeft { at }; MAX_HINTS];
        let count = async {
            let mut count = 0;
            while hints.recv().await.is_some() {
                count += 1;
            }
            count
        };
        let deliver = async move { inbox.deliver(&sink).await };
        let ((), (), count) = tokio::join!(outbox.tell_last(last), deliver, count);
        assert_eq!(count, 2 * MAX_HINTS);
    }

    #[tokio::test]
    async fn nothing_is_delivered_to_nobody() {
        let (outbox, inbox) = Outbox::new();
        let (sink, hints) = HintSink::channel(1);
        drop(hints);
        inbox.deliver(&sink).await;
        assert!(!outbox.tell(Hint::Answered { at: Utc::now() }));
    }
}

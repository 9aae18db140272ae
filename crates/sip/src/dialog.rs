//! The two handles of a call.

use std::sync::Arc;

use crate::stack::{Call, EventReceiver, Reply};
use crate::{DialogSnapshot, Event};

/// A call that was placed. Cheap to clone. Dropping it does not end the call.
#[derive(Clone)]
pub struct Dialog {
    pub(crate) call: Arc<Call>,
}

impl std::fmt::Debug for Dialog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialog").field("call_id", &self.call.id()).finish_non_exhaustive()
    }
}

impl Dialog {
    /// Ends the call and returns when it is over: CANCEL before the answer, BYE after it. An answer that crosses the CANCEL is ended with BYE and is not told.
    /// It returns at the latest after [`Timers::cancel`](crate::Timers::cancel) plus [`Timers::bye`](crate::Timers::bye). Calling it twice is fine.
    pub async fn hang_up(&self) {
        self.call.hang_up().await;
    }

    /// Sends an INFO to the callee and waits for its answer.
    ///
    /// # Errors
    /// When the call is not answered or over, the values cannot be sent, or the callee refuses.
    pub async fn info(&self, content_type: &str, body: Vec<u8>) -> Result<(), RequestError> {
        self.call.info(content_type, body).await
    }

    /// What a later process needs to end this call; none when it is over. Take it after placing the call and again after the answer.
    pub fn snapshot(&self) -> Option<DialogSnapshot> {
        self.call.snapshot()
    }
}

/// Why a request within a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The call is not answered yet, or over.
    #[error("the call is not answered or over")]
    NotAnswered,
    /// The content type cannot be sent.
    #[error("the content type cannot be sent")]
    Invalid,
    /// The callee refused.
    #[error("the callee refused with {0}")]
    Refused(u16),
    /// No answer came.
    #[error("no answer came")]
    NoAnswer,
}

/// The events of a call.
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: EventReceiver,
}

impl Events {
    /// The next event; `None` after [`Event::Ended`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.next().await
    }
}

/// The callee wants to change the session. Dropping it refuses with 488.
pub struct Offer {
    /// The callee's new SDP; `None` if the callee wants an offer of ours (re-INVITE without SDP).
    pub sdp: Option<Vec<u8>>,
    /// `INVITE` or `UPDATE`.
    pub method: &'static str,
    pub(crate) reply: Reply,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Offer {
    /// Answers 200 with our SDP: the answer, or our offer if theirs is `None`.
    pub async fn accept(self, sdp: Vec<u8>) {
        self.reply.accept(sdp).await;
    }

    /// Answers 488: the session stays as it was.
    pub async fn refuse(self) {
        self.reply.refuse().await;
    }
}

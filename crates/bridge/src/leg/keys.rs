//! Keys to the callee.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use outdial_domain::{Digit, Digits, DtmfStep, Error, ErrorKind, Result};
use outdial_sip::{Dialog, DtmfRelay, RequestError};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::chores::Chore;
use super::phone;
use crate::elsewhere::{Ask, OPERATION, Told, no_leg};
use crate::rtp::DtmfError;

/// How long a key that is sent by INFO is said to be pressed.
const PRESSED: Duration = Duration::from_millis(160);
const CONTENT_TYPE: &str = "application/dtmf-relay";
/// Requests that wait to be sent by INFO, and answers that wait to be told.
const MAX_WAITING: usize = 64;

/// Told when keys are on their way.
pub(crate) type Reply = oneshot::Sender<Result<()>>;

/// Sends keys as RFC 4733 events or, where the callee takes none, by INFO (RFC 6086); one request
/// behind the other. What waits when this is dropped is not sent.
pub(crate) struct Keys {
    dialog: Dialog,
    by_info: Option<ByInfo>,
    answers: FuturesUnordered<BoxFuture<'static, Chore>>,
}

struct ByInfo {
    waiting: mpsc::Sender<(Digits, Option<Reply>)>,
    /// Those that wait, and the one that is being sent.
    unsent: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Keys {
    pub(crate) fn new(dialog: Dialog) -> Self {
        Self { dialog, by_info: None, answers: FuturesUnordered::new() }
    }

    /// Sends keys; `reply` is told when they are on their way.
    pub(crate) fn send(&mut self, phone: &phone::Handle, digits: Digits, reply: Option<Reply>) {
        let sent = match phone.send_dtmf(&digits) {
            Err(DtmfError::NotNegotiated) => {
                let by_info = self.by_info.get_or_insert_with(|| ByInfo::new(self.dialog.clone()));
                return by_info.send(digits, reply);
            }
            Ok(()) => Ok(()),
            Err(DtmfError::NotAnswered) => {
                fault(ErrorKind::Conflict, "the call is not answered yet")
            }
            Err(DtmfError::Held) => {
                fault(ErrorKind::Conflict, "the callee has put the call on hold")
            }
            Err(DtmfError::Busy) => busy(),
        };
        tell(reply, sent);
    }

    /// A key that a participant of the room sends.
    pub(crate) fn of_room(&mut self, phone: &phone::Handle, code: u32) {
        let digit = u8::try_from(code).ok().and_then(Digit::from_code);
        if let Some(digits) = digit.and_then(|digit| digit.to_string().parse().ok()) {
            self.send(phone, digits, None);
        }
    }

    /// Another node asks for keys: see [`elsewhere`](crate::elsewhere).
    pub(crate) fn asked(&mut self, phone: &phone::Handle, payload: &[u8]) {
        // Whoever is not answered knows by that.
        let Ok(Ask { from, digits }) = serde_json::from_slice(payload) else { return };
        if self.answers.len() == MAX_WAITING {
            return;
        }
        let (reply, told) = oneshot::channel();
        match digits.parse() {
            Ok(digits) => self.send(phone, digits, Some(reply)),
            Err(error) => {
                tell(Some(reply), Err(Error::new(ErrorKind::Refused, OPERATION, error)));
            }
        }
        self.answers.push(Box::pin(async move {
            let told = Told::from(told.await.unwrap_or_else(|_| Err(no_leg())));
            Chore::Told { to: from, answer: json!(told).to_string() }
        }));
    }

    /// The next answer to be told; never when none is owed.
    pub(crate) async fn told(&mut self) -> Chore {
        match self.answers.next().await {
            Some(answer) => answer,
            None => pending().await,
        }
    }
}

impl ByInfo {
    fn new(dialog: Dialog) -> Self {
        let (waiting, mut requests) = mpsc::channel(MAX_WAITING);
        let unsent = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&unsent);
        let task = tokio::spawn(async move {
            while let Some((digits, reply)) = requests.recv().await {
                by_info(&dialog, &digits, reply).await;
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
        Self { waiting, unsent, _task: AbortOnDropHandle::new(task) }
    }

    fn send(&self, digits: Digits, mut reply: Option<Reply>) {
        let is_first = self.unsent.fetch_add(1, Ordering::Relaxed) == 0;
        // Whether the callee takes them is learned from the first. Others may wait longer than
        // anybody waits for an answer.
        let early = if is_first { None } else { reply.take() };
        match self.waiting.try_send((digits, reply)) {
            Ok(()) => tell(early, Ok(())),
            Err(error) => {
                self.unsent.fetch_sub(1, Ordering::Relaxed);
                let (_, reply) = error.into_inner();
                tell(early.or(reply), busy());
            }
        }
    }
}

async fn by_info(dialog: &Dialog, digits: &Digits, mut reply: Option<Reply>) {
    for step in digits.steps() {
        let sent = match step {
            DtmfStep::Pause(pause) => {
                tokio::time::sleep(pause).await;
                continue;
            }
            DtmfStep::Digit(digit) => {
                let key = DtmfRelay { digit: digit.as_char(), duration: PRESSED };
                dialog.info(CONTENT_TYPE, key.to_body()).await
            }
        };
        if let Err(error) = &sent {
            tracing::info!(%error, "keys could not be sent to the end");
        }
        let is_sent = sent.is_ok();
        let told = sent.map_err(|error| {
            let kind = match error {
                RequestError::NotAnswered => ErrorKind::Conflict,
                RequestError::NoAnswer => ErrorKind::Unavailable,
                RequestError::Refused(_) | RequestError::Invalid => ErrorKind::Refused,
            };
            Error::new(kind, OPERATION, error)
        });
        tell(reply.take(), told);
        if !is_sent {
            return;
        }
        tokio::time::sleep(PRESSED).await;
    }
}

/// Whoever asked may be gone.
fn tell(reply: Option<Reply>, told: Result<()>) {
    if let Some(reply) = reply {
        let _ = reply.send(told);
    }
}

fn busy() -> Result<()> {
    fault(ErrorKind::Busy, "too many digits wait to be sent")
}

fn fault(kind: ErrorKind, text: &str) -> Result<()> {
    Err(Error::new(kind, OPERATION, text))
}

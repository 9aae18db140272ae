//! Keys to the callee.

use std::time::Duration;

use outdial_domain::{Digits, DtmfStep, Error, ErrorKind, Result};
use outdial_sip::{Dialog, DtmfRelay, RequestError};
use tokio::sync::oneshot;

use super::phone;
use crate::rtp::DtmfError;

/// How long a key that is sent by INFO is said to be pressed.
const PRESSED: Duration = Duration::from_millis(160);
const CONTENT_TYPE: &str = "application/dtmf-relay";

/// Sends keys as RFC 4733 events or, where the callee takes none, by INFO (RFC 6086). `reply` is
/// told when they are on their way.
pub(crate) fn send(
    phone: &phone::Handle,
    dialog: &Dialog,
    digits: &Digits,
    reply: Option<oneshot::Sender<Result<()>>>,
) {
    let fault = |kind, text: &str| Err(Error::new(kind, "bridge.send_dtmf", text));
    let sent = match phone.send_dtmf(digits) {
        Ok(()) => Ok(()),
        Err(DtmfError::NotNegotiated) => {
            // It ends with the call, whose requests fail then.
            tokio::spawn(by_info(dialog.clone(), digits.clone(), reply));
            return;
        }
        Err(DtmfError::NotAnswered) => fault(ErrorKind::Conflict, "the call is not answered yet"),
        Err(DtmfError::Held) => fault(ErrorKind::Conflict, "the callee has put the call on hold"),
        Err(DtmfError::Busy) => fault(ErrorKind::Busy, "too many digits wait to be sent"),
    };
    if let Some(reply) = reply {
        // Whoever asked may be gone.
        let _ = reply.send(sent);
    }
}

async fn by_info(dialog: Dialog, digits: Digits, mut reply: Option<oneshot::Sender<Result<()>>>) {
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
        let is_sent = sent.is_ok();
        let told = sent.map_err(|error| {
            let kind = match error {
                RequestError::NotAnswered => ErrorKind::Conflict,
                RequestError::NoAnswer => ErrorKind::Unavailable,
                RequestError::Refused(_) | RequestError::Invalid => ErrorKind::Refused,
            };
            Error::new(kind, "bridge.send_dtmf", error.to_string())
        });
        if let Some(reply) = reply.take() {
            let _ = reply.send(told);
        }
        if !is_sent {
            return;
        }
        tokio::time::sleep(PRESSED).await;
    }
}

//! What is known about one call.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rsipstack::dialog::dialog::DialogState;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{HeadersExt, Method, Response, StatusCode, StatusCodeKind};
use tokio_util::sync::CancellationToken;

use super::links::{Link, Target};
use super::{lock, message};
use crate::{DialogSnapshot, Refusal, RequestError};

/// What came over the wire: the stack's own 408 and 503 look like real ones.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) refusal: Option<Refusal>,
    pub(super) answered_by: Option<IpAddr>,
    /// The Reason header of the callee's BYE.
    pub(super) bye_reason: Option<String>,
}

pub(crate) struct Call {
    id: String,
    pub(super) local_tag: String,
    pub(super) dialog: InviteDialog,
    pub(super) target: Target,
    pub(super) link: Option<Arc<Link>>,
    pub(super) sources: Vec<IpAddr>,
    pub(super) allowed: Vec<IpNet>,
    pub(super) pin: String,
    pub(super) wire: Mutex<Wire>,
    /// Our SDP as the callee knows it, for a refresh by re-INVITE.
    pub(super) our_sdp: Mutex<Vec<u8>>,
    /// The stack confirmed the dialog: requests of the callee can be handled.
    pub(super) confirmed: CancellationToken,
    /// An answer to a BYE of ours came.
    pub(super) bye_answered: CancellationToken,
    pub(super) hang_up: CancellationToken,
    over: CancellationToken,
    over_since: Mutex<Option<Instant>>,
    released: AtomicBool,
    patience: Duration,
}

/// What a call is made of.
pub(super) struct Parts {
    pub(super) id: String,
    pub(super) dialog: InviteDialog,
    pub(super) target: Target,
    pub(super) link: Option<Arc<Link>>,
    pub(super) sources: Vec<IpAddr>,
    pub(super) allowed: Vec<IpNet>,
    pub(super) pin: String,
    pub(super) offer: Vec<u8>,
    /// How long a hang-up may take at most.
    pub(super) patience: Duration,
}

impl Call {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { id, dialog, target, link, sources, allowed, pin, offer, patience } = parts;
        Self {
            id,
            local_tag: dialog.id().local_tag,
            dialog,
            target,
            link,
            sources,
            allowed,
            pin,
            wire: Mutex::default(),
            our_sdp: Mutex::new(offer),
            confirmed: CancellationToken::new(),
            bye_answered: CancellationToken::new(),
            hang_up: CancellationToken::new(),
            over: CancellationToken::new(),
            over_since: Mutex::default(),
            released: AtomicBool::new(false),
            patience,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(super) fn over_since(&self) -> Option<Instant> {
        *lock(&self.over_since)
    }

    /// Marks the call as over; says whether it was not before.
    pub(super) fn set_over(&self) -> bool {
        lock(&self.over_since).get_or_insert_with(Instant::now);
        self.over.cancel();
        !self.released.swap(true, Ordering::SeqCst)
    }

    /// Cancelled when the connection is lost; never for UDP.
    pub(super) fn lost(&self) -> CancellationToken {
        self.link.as_ref().map_or_else(CancellationToken::new, |link| link.lost.clone())
    }

    /// Whether requests of this call may come from there.
    pub(super) fn permits(&self, from: IpAddr) -> bool {
        self.allowed.is_empty()
            || self.sources.contains(&from)
            || self.allowed.iter().any(|net| net.contains(&from))
    }

    /// Notes a response before the stack works with it.
    pub(super) fn note(&self, response: &Response, from: IpAddr) {
        let kind = response.status_code.kind();
        if kind == StatusCodeKind::Provisional {
            return;
        }
        match message::answers(response) {
            Some(Method::Invite) if kind == StatusCodeKind::Successful => {
                lock(&self.wire).answered_by.get_or_insert(from);
            }
            // Later ones are about re-INVITEs.
            Some(Method::Invite) if !self.confirmed.is_cancelled() => {
                lock(&self.wire).refusal = Some(message::refusal(response));
            }
            Some(Method::Bye) if !is_challenge(&response.status_code) => self.bye_answered.cancel(),
            _ => {}
        }
    }

    pub(crate) async fn hang_up(&self) {
        self.hang_up.cancel();
        if tokio::time::timeout(self.patience, self.over.cancelled()).await.is_err() {
            tracing::warn!(call_id = self.id, "a call did not end in time after hanging up");
        }
    }

    /// Whether the stack can send requests within the dialog.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self.dialog.state(), DialogState::Confirmed(..)) && !self.lost().is_cancelled()
    }

    pub(crate) async fn info(&self, kind: &str, body: Vec<u8>) -> Result<(), RequestError> {
        if self.is_over() || self.hang_up.is_cancelled() || !self.is_usable() {
            return Err(RequestError::NotAnswered);
        }
        crate::syntax::header_value(kind).map_err(|_| RequestError::Invalid)?;
        let headers = vec![rsipstack::sip::Header::ContentType(kind.into())];
        let sent = self.dialog.info(Some(headers), Some(body));
        match tokio::time::timeout(self.patience, sent).await {
            Ok(Ok(Some(response))) if message::is_success(&response) => Ok(()),
            // The stack's own 408 for no answer.
            Ok(Ok(Some(response))) if response.status_code == StatusCode::RequestTimeout => {
                Err(RequestError::NoAnswer)
            }
            Ok(Ok(Some(response))) => Err(RequestError::Refused(response.status_code.code())),
            Ok(Ok(None)) => Err(RequestError::NotAnswered),
            Ok(Err(_)) | Err(_) => Err(RequestError::NoAnswer),
        }
    }

    pub(crate) fn snapshot(&self) -> Option<DialogSnapshot> {
        if self.is_over() {
            return None;
        }
        self.capture()
    }

    /// The snapshot, whatever the state.
    pub(super) fn capture(&self) -> Option<DialogSnapshot> {
        let dialog = self.dialog.snapshot();
        let invite = self.dialog.initial_request();
        let answered = self.confirmed.is_cancelled();
        Some(DialogSnapshot {
            call_id: self.id.clone(),
            local_tag: self.local_tag.clone(),
            remote_tag: answered.then(|| dialog.id.remote_tag.clone()),
            local_display: dialog.from.display_name.clone(),
            local_uri: dialog.from.uri.to_string(),
            remote_uri: dialog.to.uri.to_string(),
            remote_target: if answered {
                dialog.remote_uri.to_string()
            } else {
                invite.uri.to_string()
            },
            route_set: dialog.route_set.iter().map(|route| route.value().to_owned()).collect(),
            cseq: if answered {
                dialog.local_cseq
            } else {
                invite.cseq_header().ok()?.seq().ok()?
            },
            invite_via: invite.via_header().ok()?.value().to_owned(),
            transport: self.target.transport,
            address: self.target.address,
            server_name: self.target.server_name.clone(),
        })
    }
}

fn is_challenge(code: &StatusCode) -> bool {
    matches!(code, StatusCode::Unauthorized | StatusCode::ProxyAuthenticationRequired)
}

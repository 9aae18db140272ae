//! What is kept of a dialog so that a later process can end it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Transport;

/// What is needed to end a call that an earlier process placed. Store it as it is; it holds numbers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogSnapshot {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The callee's tag; none before the answer.
    pub remote_tag: Option<String>,
    /// Display name of our From.
    pub local_display: Option<String>,
    /// URI of our From.
    pub local_uri: String,
    /// URI of our To.
    pub remote_uri: String,
    /// Request URI of the next request: the callee's Contact, or that of the INVITE before the answer.
    pub remote_target: String,
    /// Route headers, in order.
    pub route_set: Vec<String>,
    /// The CSeq number used last; before the answer that of the INVITE.
    pub cseq: u32,
    /// The Via of the INVITE, for CANCEL.
    pub invite_via: String,
    /// How the call went.
    pub transport: Transport,
    /// Where the INVITE went.
    pub address: SocketAddr,
    /// The name that the certificate was checked against (TLS).
    pub server_name: Option<String>,
}

impl std::fmt::Debug for DialogSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DialogSnapshot")
            .field("call_id", &self.call_id)
            .field("answered", &self.remote_tag.is_some())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Why a call of an earlier process could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    /// The snapshot cannot be sent.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// The peer cannot be reached.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("no answer came in time")]
    NoAnswer,
    /// The peer refused.
    #[error("the peer refused with {0}")]
    Refused(u16),
}

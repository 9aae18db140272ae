//! The user agent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::stack::Agent;
use crate::{
    Credentials, Dialog, DialogSnapshot, Events, Invite, InviteError, OrphanError, Settings,
    Transport,
};

/// Places calls. Cheap to clone; stop it with [`UserAgent::shutdown`].
#[derive(Clone)]
pub struct UserAgent {
    agent: Arc<Agent>,
}

impl std::fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserAgent").finish_non_exhaustive()
    }
}

/// Why a user agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen for SIP on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the socket.
        source: io::Error,
    },
    /// The certificate or key of the TLS listener, or an extra root, cannot be read.
    #[error("the TLS settings cannot be used: {0}")]
    Tls(String),
    /// The stack did not start.
    #[error("the SIP stack did not start: {0}")]
    Stack(String),
}

/// Counters of a user agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live calls.
    pub calls: usize,
    /// Outgoing connections that are open.
    pub connections: usize,
    /// Connections of peers that are open.
    pub inbound_connections: usize,
    /// Messages dropped because their source is not allowed.
    pub dropped_source: u64,
    /// Messages dropped because they were too large.
    pub dropped_size: u64,
    /// Requests dropped because too many are being handled.
    pub dropped_flood: u64,
    /// Transactions the stack keeps.
    pub transactions: usize,
}

impl UserAgent {
    /// Opens the listeners and starts.
    ///
    /// # Errors
    /// When an address cannot be listened on or a certificate cannot be read.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self { agent: Agent::start(settings).await? })
    }

    /// Places a call. Returns when the INVITE has been handed to a live connection, or, over UDP, when the address is resolved.
    ///
    /// # Errors
    /// When a value cannot be sent or nothing can be reached; see [`InviteError::is_unreachable`].
    pub async fn invite(&self, invite: Invite) -> Result<(Dialog, Events), InviteError> {
        self.agent.invite(invite).await
    }

    /// Ends a call that an earlier process placed: BYE if it was answered, else CANCEL.
    /// A CANCEL is best effort: if the callee answered meanwhile, nobody is left to end that call; the peer ends it when no ACK comes.
    ///
    /// # Errors
    /// When the peer cannot be reached or refuses. "No such call" (481, 408) is a success.
    pub async fn bye_orphan(
        &self,
        snapshot: &DialogSnapshot,
        credentials: Option<&Credentials>,
    ) -> Result<(), OrphanError> {
        self.agent.bye_orphan(snapshot, credentials).await
    }

    /// Where the listener of this transport listens.
    pub fn local_address(&self, transport: Transport) -> Option<SocketAddr> {
        self.agent.local_address(transport)
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.agent.stats()
    }

    /// Hangs up what is left, closes everything and returns when all tasks have ended (bounded).
    pub async fn shutdown(&self) {
        self.agent.shutdown().await;
    }
}

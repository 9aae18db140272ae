//! Opening the signal connection.

use crate::{
    core::peer::{Peer, Role},
    error::JoinError,
    media::seat::Seat,
    options::JoinOptions,
};
use livekit_protocol as proto;
use livekit_signaling::{SignalClient, SignalError, SignalEvents, SignalOptions};
use std::{sync::Arc, time::Instant};

/// Version 18 would have the server make data channels with fixed ids, which str0m does not offer
/// together with its own.
const PROTOCOL_VERSION: u32 = 17;
/// Shorter than this the server gives up on every client in trouble.
const MIN_PING: i32 = 1;

/// An open signal connection and what the server said first.
pub(crate) struct Joined {
    pub(crate) client: Arc<SignalClient>,
    pub(crate) signals: SignalEvents,
    pub(crate) response: proto::JoinResponse,
}

/// Joins on the signal level.
pub(crate) async fn connect(
    url: &str,
    token: &str,
    options: &JoinOptions,
) -> Result<Joined, JoinError> {
    let mut signal = SignalOptions::default();
    // tracks are subscribed one by one, or the server would also send video
    signal.auto_subscribe = false;
    signal.single_peer_connection = options.single_peer_connection;
    signal.protocol_version = PROTOCOL_VERSION;
    signal.connect_timeout = options.timeout;
    signal.region_failover = url::Url::parse(url)
        .is_ok_and(|u| u.host_str().is_some_and(|h| h.ends_with(".livekit.cloud")));
    signal.client_capabilities = vec![proto::client_info::Capability::CapCompressionDeflateRaw];
    let connect = Box::pin(SignalClient::connect(url, token, signal, None));
    let (client, response, signals) = tokio::time::timeout(options.timeout, connect)
        .await
        .map_err(|_| JoinError::Timeout)?
        .map_err(|error| join_error(error, token))?;
    if response.participant.is_none() || response.ping_interval < MIN_PING {
        return Err(JoinError::Protocol("the join response is incomplete".to_owned()));
    }
    Ok(Joined { client: Arc::new(client), signals, response })
}

/// A peer for a fresh session, without sockets.
pub(crate) fn peer(joined: &Joined) -> Peer {
    let sid = joined.response.participant.as_ref().map(|p| p.sid.clone()).unwrap_or_default();
    Peer::new(joined.client.is_single_pc_mode_active(), sid)
}

/// Opens the peer connection that every participant needs and starts it.
pub(crate) fn start(seat: &Seat, joined: &Joined) -> std::io::Result<()> {
    if joined.client.is_single_pc_mode_active() {
        seat.open(Role::Publisher)?;
        seat.with(|peer| peer.start(Instant::now()));
    } else {
        // the server offers; a publisher is only made when something is to be sent
        seat.open(Role::Subscriber)?;
        if !joined.response.subscriber_primary {
            seat.open(Role::Publisher)?;
            seat.with(|peer| peer.start(Instant::now()));
        }
    }
    Ok(())
}

fn join_error(error: SignalError, token: &str) -> JoinError {
    match error {
        SignalError::UrlParse(message) => JoinError::InvalidUrl(message),
        SignalError::TokenFormat => {
            JoinError::Unauthorized("the token has invalid characters".to_owned())
        }
        SignalError::Client(status, message) | SignalError::Server(status, message) => {
            // servers repeat a token they refuse
            refused(status.as_u16(), &message.replace(token, "…"))
        }
        SignalError::Handshake { status } => refused(status.as_u16(), ""),
        SignalError::Timeout(_) => JoinError::Timeout,
        SignalError::LeaveRequest { reason, .. } => JoinError::Closed(reason),
        SignalError::ProtoParse(error) => JoinError::Protocol(error.to_string()),
        other => JoinError::Unreachable(other.to_string()),
    }
}

fn refused(status: u16, message: &str) -> JoinError {
    // an HTML page of some other server is of no use in a message
    let message: String = message.trim().chars().take(200).collect();
    match status {
        401 | 403 => JoinError::Unauthorized(message),
        // other web servers say 404 as well
        404 if message.contains("room") => JoinError::RoomNotFound(message),
        404 => JoinError::Unreachable("no LiveKit server at this address".to_owned()),
        _ => JoinError::Refused { status, message },
    }
}

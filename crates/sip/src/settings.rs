//! What a user agent is started with.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Settings of a [`UserAgent`](crate::UserAgent).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where SIP over UDP is sent from and received at.
    pub udp: Option<SocketAddr>,
    /// Where connections of peers over TCP are accepted. Peers send BYE on connections of their own: place TCP calls only with this set.
    pub tcp: Option<SocketAddr>,
    /// Where connections of peers over TLS are accepted. Without it, calls over TLS can be placed, but a peer can only hang up over the connection of the call.
    pub tls: Option<TlsListener>,
    /// Our address as peers see it. It goes into Via and Contact, with the port of the listener.
    pub public_ip: IpAddr,
    /// Certificates in PEM that are trusted beside those of the system.
    pub tls_roots: Option<Vec<u8>>,
    /// Goes into the `User-Agent` header.
    pub user_agent: String,
    /// Bounds.
    pub limits: Limits,
    /// Times.
    pub timers: Timers,
}

impl Settings {
    /// Settings without a listener, with the usual bounds and times.
    pub fn new(public_ip: IpAddr) -> Self {
        Self {
            udp: None,
            tcp: None,
            tls: None,
            public_ip,
            tls_roots: None,
            user_agent: "outdial".to_owned(),
            limits: Limits::default(),
            timers: Timers::default(),
        }
    }
}

/// A listener for SIP over TLS.
#[derive(Clone)]
pub struct TlsListener {
    /// Where connections are accepted.
    pub address: SocketAddr,
    /// Certificate chain in PEM.
    pub certificate: Vec<u8>,
    /// Private key in PEM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsListener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Bounds of a [`UserAgent`](crate::UserAgent): memory stays bounded whatever a peer sends.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Calls at the same time.
    pub calls: usize,
    /// Requests of peers handled at the same time; more are dropped.
    pub inbound: usize,
    /// Transactions kept, with those kept for repeated messages; requests that would make more are dropped.
    pub transactions: usize,
    /// Connections that peers opened to us; more are closed.
    pub inbound_connections: usize,
    /// Calls that share one outgoing connection. When it is lost, all of them end.
    pub calls_per_connection: usize,
    /// Bytes of one message; larger ones are dropped. The stack itself closes a connection at 64 KiB and cuts datagrams at 8 KiB.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 2_000,
            inbound: 512,
            transactions: 20_000,
            inbound_connections: 512,
            calls_per_connection: 20,
            message: 16 * 1024,
        }
    }
}

/// Times of a [`UserAgent`](crate::UserAgent). The defaults are those of RFC 3261 and RFC 4028.
#[derive(Debug, Clone)]
pub struct Timers {
    /// For name resolution, TCP and TLS together, for each proxy.
    pub connect: Duration,
    /// How long an answer to a request is waited for (64 times T1).
    pub transaction: Duration,
    /// An INVITE that is not over by then is cancelled, however long it rings.
    pub setup: Duration,
    /// How long the end of the INVITE is waited for after CANCEL.
    pub cancel: Duration,
    /// How long [`Dialog::hang_up`](crate::Dialog::hang_up) waits for the answer to BYE.
    pub bye: Duration,
    /// A connection that was silent for longer is not used for a new call.
    pub fresh: Duration,
    /// The shortest session timer we take part in.
    pub min_session: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            transaction: Duration::from_secs(32),
            setup: Duration::from_secs(180),
            cancel: Duration::from_secs(32),
            bye: Duration::from_secs(8),
            fresh: Duration::from_secs(60),
            min_session: Duration::from_secs(90),
        }
    }
}

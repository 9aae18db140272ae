//! Connections that we open: made before anything is sent, shared by a few calls, watched.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rsipstack::transport::SipConnection;
use rsipstack::transport::tcp::TcpConnection;
use rsipstack::transport::tls::TlsConnection;
use rustls::pki_types::ServerName;
use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::locate::{sip_addr, stack_transport};
use super::{Shared, lock};
use crate::Transport;

/// A connection without calls is closed after this, so that the next call may use it.
const IDLE: Duration = Duration::from_secs(30);

/// Who a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// Whom the certificate has to name.
    pub(super) server_name: Option<String>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum LinkError {
    Connect(io::Error),
    Tls(io::Error),
}

/// One connection that we opened.
pub(super) struct Link {
    pub(super) connection: SipConnection,
    /// Cancelled by the stack when the connection is closed.
    pub(super) lost: CancellationToken,
    target: Target,
    calls: AtomicUsize,
    heard: Mutex<Instant>,
    /// The same socket: the stack itself cannot be made to let go of a connection.
    socket: Socket,
}

impl Link {
    fn is_open(&self) -> bool {
        !self.lost.is_cancelled()
    }

    /// A call does not need it any more.
    pub(super) fn release(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
        *lock(&self.heard) = Instant::now();
    }

    fn close(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// All connections that we opened.
#[derive(Default)]
pub(super) struct Links(Mutex<HashMap<(SocketAddr, SocketAddr), Arc<Link>>>);

impl Links {
    pub(super) fn len(&self) -> usize {
        lock(&self.0).values().filter(|link| link.is_open()).count()
    }

    /// Something came over it.
    pub(super) fn heard(&self, connection: &SipConnection) {
        let Some(remote) = connection.get_remote_addr() else { return };
        let (local, remote) = (connection.get_addr().get_socketaddr(), remote.get_socketaddr());
        let (Ok(local), Ok(remote)) = (local, remote) else { return };
        if let Some(link) = lock(&self.0).get(&(local, remote)) {
            *lock(&link.heard) = Instant::now();
        }
    }

    /// One with room that is likely to be alive; it counts one call more.
    fn reuse(&self, target: &Target, most: usize, fresh: Duration) -> Option<Arc<Link>> {
        let links = lock(&self.0);
        let link = links.values().find(|link| {
            link.target == *target
                && link.is_open()
                && link.calls.load(Ordering::Relaxed) < most
                && lock(&link.heard).elapsed() < fresh
        })?;
        link.calls.fetch_add(1, Ordering::Relaxed);
        Some(link.clone())
    }

    pub(super) fn close_idle(&self, fresh: Duration) {
        lock(&self.0).retain(|_, link| {
            let unused = link.calls.load(Ordering::Relaxed) == 0;
            if unused && lock(&link.heard).elapsed() > IDLE.min(fresh) {
                link.close();
            }
            link.is_open() || !unused
        });
    }

    pub(super) fn close_all(&self) {
        for (_, link) in lock(&self.0).drain() {
            link.close();
        }
    }
}

/// A connection to this target, one call more on it.
pub(super) async fn link(shared: &Shared, target: &Target) -> Result<Arc<Link>, LinkError> {
    let limits = &shared.settings.limits;
    if let Some(link) =
        shared.links.reuse(target, limits.calls_per_connection, shared.settings.timers.fresh)
    {
        return Ok(link);
    }
    let stream = TcpStream::connect(target.address).await.map_err(LinkError::Connect)?;
    let (local, socket) = prepare(&stream).map_err(LinkError::Connect)?;
    let lost = shared.stop.child_token();
    let remote = sip_addr(stack_transport(target.transport), target.address);
    let here = sip_addr(stack_transport(target.transport), local);
    let stack = |error: rsipstack::Error| LinkError::Connect(io::Error::other(error.to_string()));
    let connection = if target.transport == Transport::Tls {
        let stream = handshake(shared, target, stream).await.map_err(LinkError::Tls)?;
        let token = Some(lost.clone());
        let connection = TlsConnection::from_client_stream(stream, remote, token).await;
        SipConnection::Tls(connection.map_err(stack)?)
    } else {
        let connection = TcpConnection::from_stream(stream, here, Some(lost.clone()));
        SipConnection::Tcp(connection.map_err(stack)?)
    };
    let link = Arc::new(Link {
        connection: connection.clone(),
        lost,
        target: target.clone(),
        calls: AtomicUsize::new(1),
        heard: Mutex::new(Instant::now()),
        socket,
    });
    lock(&shared.links.0).insert((local, target.address), link.clone());
    if let Some(endpoint) = shared.endpoint.get() {
        endpoint.transport_layer.add_connection(connection);
    }
    Ok(link)
}

/// Finds dead peers by itself: a call may say nothing for hours.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<(SocketAddr, Socket)> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(25))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    Ok((stream.local_addr()?, socket.try_clone()?))
}

async fn handshake(
    shared: &Shared,
    target: &Target,
    stream: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = target.server_name.clone().unwrap_or_else(|| target.address.ip().to_string());
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    TlsConnector::from(shared.tls.clone()).connect(name, stream).await
}

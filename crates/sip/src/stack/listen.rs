//! Our listeners. We bind them ourselves: the stack only logs that it could not.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rsipstack::transport::tcp::TcpConnection;
use rsipstack::transport::tls::{TlsConfig, TlsConnection, TlsListenerConnection};
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipConnection, TcpListenerConnection, TransportLayer};
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::locate::{sip_addr, stack_transport};
use super::{Shared, links, lock, tls};
use crate::{Settings, StartError, Transport};

/// The bound sockets.
pub(super) struct Sockets {
    udp: Option<UdpSocket>,
    tcp: Option<TcpListener>,
    tls: Option<(TcpListener, TlsAcceptor)>,
    addresses: Vec<(Transport, SocketAddr)>,
}

pub(super) async fn bind(settings: &Settings) -> Result<Sockets, StartError> {
    let failed = |address| move |source| StartError::Listen { address, source };
    let mut sockets = Sockets { udp: None, tcp: None, tls: None, addresses: Vec::new() };
    if let Some(address) = settings.udp {
        let socket = UdpSocket::bind(address).await.map_err(failed(address))?;
        let local = socket.local_addr().map_err(failed(address))?;
        sockets.addresses.push((Transport::Udp, local));
        sockets.udp = Some(socket);
    }
    if let Some(address) = settings.tcp {
        let listener = TcpListener::bind(address).await.map_err(failed(address))?;
        let local = listener.local_addr().map_err(failed(address))?;
        sockets.addresses.push((Transport::Tcp, local));
        sockets.tcp = Some(listener);
    }
    if let Some(tls) = &settings.tls {
        let listener = TcpListener::bind(tls.address).await.map_err(failed(tls.address))?;
        let local = listener.local_addr().map_err(failed(tls.address))?;
        sockets.addresses.push((Transport::Tls, local));
        sockets.tls = Some((listener, TlsAcceptor::from(tls::server(tls)?)));
    }
    Ok(sockets)
}

impl Sockets {
    pub(super) fn addresses(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        self.addresses.iter().copied()
    }

    /// Gives the UDP socket to the stack, which reads it.
    pub(super) async fn add_udp(
        mut self,
        shared: &Shared,
        layer: &TransportLayer,
    ) -> rsipstack::Result<Self> {
        if let (Some(socket), Some(listener)) =
            (self.udp.take(), shared.listeners.get(&Transport::Udp))
        {
            let token = Some(shared.stop.child_token());
            let public = Some(listener.public);
            let connection = UdpConnection::from_socket(Arc::new(socket), public, token).await?;
            layer.add_transport(connection.into());
        }
        Ok(self)
    }

    /// Tells the stack about the other listeners and starts to accept.
    pub(super) async fn accept(
        self,
        shared: &Arc<Shared>,
        layer: &TransportLayer,
    ) -> rsipstack::Result<()> {
        if let (Some(socket), Some(listener)) = (self.tcp, shared.listeners.get(&Transport::Tcp)) {
            let (local, public) = (listener.local, listener.public);
            layer.add_transport(TcpListenerConnection::new(local, Some(public)).await?.into());
            shared.tasks.spawn(accept(shared.clone(), socket, public, None));
        }
        if let (Some((socket, acceptor)), Some(listener)) =
            (self.tls, shared.listeners.get(&Transport::Tls))
        {
            let (local, public) = (listener.local, listener.public);
            let config = TlsConfig::default();
            let connection = TlsListenerConnection::new(local, Some(public), config).await?;
            layer.add_transport(connection.into());
            shared.tasks.spawn(accept(shared.clone(), socket, public, Some(acceptor)));
        }
        Ok(())
    }
}

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    public: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                if !lock(&shared.peers).hears(from.ip()) {
                    shared.dropped(from.ip());
                    continue;
                }
                if let Err(error) = take(&shared, stream, public, tls.clone()) {
                    tracing::debug!(%error, "a SIP connection of a peer could not be taken");
                }
            }
            // Out of file descriptors, for example: it must not spin.
            Err(error) => {
                tracing::warn!(%error, "a SIP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn take(
    shared: &Arc<Shared>,
    stream: TcpStream,
    public: SocketAddr,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    let (_, socket) = links::prepare(&stream)?;
    let remote = stream.peer_addr()?;
    let token = shared.stop.child_token();
    shared.inbound.admit(token.clone(), socket);
    match tls {
        None => {
            let here = sip_addr(stack_transport(Transport::Tcp), public);
            let connection = TcpConnection::from_stream(stream, here, Some(token));
            shared
                .add(SipConnection::Tcp(connection.map_err(|e| io::Error::other(e.to_string()))?));
        }
        Some(acceptor) => {
            let shared = shared.clone();
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                let handshake = acceptor.accept(stream);
                let limit = shared.settings.timers.connect;
                let Ok(Ok(stream)) = tokio::time::timeout(limit, handshake).await else {
                    token.cancel();
                    return;
                };
                let here = sip_addr(stack_transport(Transport::Tls), public);
                let there = sip_addr(stack_transport(Transport::Tls), remote);
                match TlsConnection::from_server_stream(stream, here, there, Some(token)).await {
                    Ok(connection) => shared.add(SipConnection::Tls(connection)),
                    Err(error) => tracing::debug!(%error, "a TLS connection was not taken"),
                }
            });
        }
    }
    Ok(())
}

impl Shared {
    fn add(&self, connection: SipConnection) {
        if let Some(endpoint) = self.endpoint.get() {
            endpoint.transport_layer.add_connection(connection);
        }
    }

    /// Counts a message or connection of an unknown source, and logs the source once.
    pub(super) fn dropped(&self, from: IpAddr) {
        self.dropped_source.fetch_add(1, Ordering::Relaxed);
        if lock(&self.peers).first_drop(from) {
            tracing::info!(%from, "SIP from an unknown source is ignored");
        }
    }
}

/// Connections that peers opened. The oldest has to make room when there are too many.
pub(super) struct Inbound {
    most: usize,
    open: Mutex<VecDeque<(CancellationToken, Socket)>>,
}

impl Inbound {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.open).iter().filter(|(closed, _)| !closed.is_cancelled()).count()
    }

    fn admit(&self, closed: CancellationToken, socket: Socket) {
        let mut open = lock(&self.open);
        open.retain(|(closed, _)| !closed.is_cancelled());
        if open.len() >= self.most
            && let Some((_, oldest)) = open.pop_front()
        {
            let _ = oldest.shutdown(std::net::Shutdown::Both);
        }
        open.push_back((closed, socket));
    }

    /// Lets go of what is closed.
    pub(super) fn sweep(&self) {
        lock(&self.open).retain(|(closed, _)| !closed.is_cancelled());
    }
}

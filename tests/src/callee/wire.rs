//! Connections of a callee.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;

use super::message::{Message, first_message};

/// How SIP is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A stream.
    Tcp,
    /// A packet per message.
    Udp,
    /// An encrypted stream; callees that a test plays cannot.
    Tls,
}

impl Transport {
    /// The word of a trunk.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Tls => "tls",
        }
    }
}

/// A way to the other side.
#[derive(Debug)]
pub(super) struct Wire {
    way: Way,
    cut: Notify,
}

#[derive(Debug)]
enum Way {
    Tcp(Mutex<Option<OwnedWriteHalf>>),
    Udp(Arc<UdpSocket>, SocketAddr),
}

/// Whoever takes what arrives. `None`: the connection is closed.
pub(super) type Taker = Arc<dyn Fn(&Arc<Wire>, Option<Message>) + Send + Sync>;

impl Wire {
    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self { way, cut: Notify::new() })
    }

    pub(super) async fn send(&self, text: &str) {
        match &self.way {
            // Who has closed it sees no answer.
            Way::Tcp(stream) => {
                if let Some(stream) = stream.lock().await.as_mut() {
                    let _ = stream.write_all(text.as_bytes()).await;
                }
            }
            Way::Udp(socket, peer) => {
                socket.send_to(text.as_bytes(), peer).await.unwrap();
            }
        }
    }

    /// Closes a TCP connection, both ways.
    pub(super) async fn close(&self) {
        if let Way::Tcp(stream) = &self.way {
            stream.lock().await.take();
            self.cut.notify_one();
        }
    }
}

/// Listens on a free port of loopback; gives the address.
pub(super) async fn listen(transport: Transport, take: Taker) -> (SocketAddr, AbortHandle) {
    let any = (Ipv4Addr::LOCALHOST, 0);
    match transport {
        Transport::Tls => panic!("no callee takes TLS: use baresip"),
        Transport::Tcp => {
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            let task = tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    attach(stream, Arc::clone(&take));
                }
            });
            (address, task.abort_handle())
        }
        Transport::Udp => {
            let socket = Arc::new(UdpSocket::bind(any).await.unwrap());
            let address = socket.local_addr().unwrap();
            let task = tokio::spawn(async move {
                let mut packet = vec![0; 65_536];
                while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                    let text = String::from_utf8_lossy(&packet[..length]);
                    if !text.trim().is_empty() {
                        let wire = Wire::new(Way::Udp(Arc::clone(&socket), peer));
                        take(&wire, Some(Message::read(&text)));
                    }
                }
            });
            (address, task.abort_handle())
        }
    }
}

/// A connection of our own.
pub(super) async fn connect(to: SocketAddr, take: Taker) -> Arc<Wire> {
    attach(TcpStream::connect(to).await.expect("a listener"), take)
}

fn attach(stream: TcpStream, take: Taker) -> Arc<Wire> {
    stream.set_nodelay(true).unwrap();
    let (mut reader, writer) = stream.into_split();
    let wire = Wire::new(Way::Tcp(Mutex::new(Some(writer))));
    let ours = Arc::clone(&wire);
    tokio::spawn(async move {
        let mut stream = Vec::new();
        loop {
            while let Some(length) = first_message(&mut stream) {
                let message: Vec<u8> = stream.drain(..length).collect();
                take(&ours, Some(Message::read(&String::from_utf8_lossy(&message))));
            }
            let read = tokio::select! {
                read = reader.read_buf(&mut stream) => read,
                () = ours.cut.notified() => return,
            };
            if !matches!(read, Ok(1..)) {
                return take(&ours, None);
            }
        }
    });
    wire
}

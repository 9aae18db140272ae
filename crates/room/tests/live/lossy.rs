//! A UDP relay between us and the server's media port that loses packets.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// One way of a relay.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// RTP packets that came.
    pub(crate) packets: AtomicU64,
    /// Those of them that were lost here.
    pub(crate) lost: AtomicU64,
    /// Every so many-th RTP packet is lost, on average; 0: none.
    every: AtomicU64,
    /// The state of a small generator: the same packets are lost in every run.
    chance: AtomicU64,
}

/// A relay.
#[derive(Debug)]
pub(crate) struct Lossy {
    pub(crate) up: Arc<Way>,
    pub(crate) down: Arc<Way>,
    port: u16,
    task: AbortHandle,
}

impl Lossy {
    /// Relays to a UDP port; its own port has five digits, too.
    pub(crate) async fn to(port: u16) -> Self {
        let socket = loop {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if socket.local_addr().unwrap().port() >= 10_000 {
                break Arc::new(socket);
            }
        };
        let (up, down) = (Arc::<Way>::default(), Arc::<Way>::default());
        let own = socket.local_addr().unwrap().port();
        let task = tokio::spawn(relay(socket, port, Arc::clone(&up), Arc::clone(&down)));
        Self { up, down, port: own, task: task.abort_handle() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Loses one of so many RTP packets, both ways, from now on; 0: none.
    pub(crate) fn loses_one_of(&self, every: u64) {
        for way in [&self.up, &self.down] {
            way.every.store(every, Relaxed);
        }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Way {
    /// Whether a packet passes.
    fn passes(&self, packet: &[u8]) -> bool {
        // RTP and RTCP begin so; RTCP types are 192 to 223.
        let is_rtp = packet.len() > 12
            && (128..192).contains(&packet[0])
            && !(192..224).contains(&packet[1]);
        if !is_rtp {
            return true;
        }
        self.packets.fetch_add(1, Relaxed);
        let every = self.every.load(Relaxed);
        if every == 0 || !self.next_chance().is_multiple_of(every) {
            return true;
        }
        self.lost.fetch_add(1, Relaxed);
        false
    }

    /// One task uses it at a time.
    fn next_chance(&self) -> u64 {
        let state = self.chance.load(Relaxed);
        let next =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.chance.store(next, Relaxed);
        next >> 33
    }
}

/// One socket towards the server for each client, so that answers find their way.
async fn relay(socket: Arc<UdpSocket>, port: u16, up: Arc<Way>, down: Arc<Way>) {
    let clients: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>> = Mutex::default();
    let mut answers = tokio::task::JoinSet::new();
    let mut buffer = vec![0; 2048];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let known = clients.lock().unwrap().get(&client).cloned();
        let server = match known {
            Some(server) => server,
            None => {
                let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                server.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                let server = Arc::new(server);
                clients.lock().unwrap().insert(client, Arc::clone(&server));
                answers.spawn(answer(
                    Arc::clone(&server),
                    Arc::clone(&socket),
                    client,
                    down.clone(),
                ));
                server
            }
        };
        if up.passes(&buffer[..length]) {
            // The server may be gone.
            let _ = server.send(&buffer[..length]).await;
        }
    }
}

async fn answer(
    server: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    down: Arc<Way>,
) {
    let mut buffer = vec![0; 2048];
    loop {
        let Ok(length) = server.recv(&mut buffer).await else { continue };
        if down.passes(&buffer[..length]) {
            let _ = socket.send_to(&buffer[..length], client).await;
        }
    }
}

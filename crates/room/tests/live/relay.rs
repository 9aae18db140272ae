//! A TCP relay between us and the server's signal port: to cut, to close, to change a word.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes to find and bytes to put there, of the same length.
pub(crate) type Rewrite = (String, String);

/// A relay. Connections end with the value.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Connections of an earlier generation are cut.
    generation: u64,
    closed: bool,
    accepted: u64,
}

impl Relay {
    /// Relays to a port. What the server sends is rewritten: it does not mask its frames.
    pub(crate) async fn to(port: u16, rewrite: Option<Rewrite>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(watch::Sender::new(State::default()));
        let relay = Self { port: listener.local_addr().unwrap().port(), state: state.clone() };
        let mut ended = state.subscribe();
        let weak = Arc::downgrade(&state);
        drop(state);
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    // Only the end of the relay counts here.
                    changed = ended.changed() => {
                        if changed.is_err() { return } else { continue }
                    }
                };
                let Some(state) = weak.upgrade() else { return };
                state.send_modify(|s| s.accepted += 1);
                if !state.borrow().closed {
                    tokio::spawn(carry(stream, port, rewrite.clone(), state.subscribe()));
                }
            }
        });
        relay
    }

    /// `ws://…`
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Cuts all connections; new ones are welcome.
    pub(crate) fn cuts(&self) {
        self.state.send_modify(|s| s.generation += 1);
    }

    /// Cuts all connections and turns new ones away, until [`Relay::opens`].
    pub(crate) fn closes(&self) {
        self.state.send_modify(|s| *s = State { generation: s.generation + 1, closed: true, ..*s });
    }

    pub(crate) fn opens(&self) {
        self.state.send_modify(|s| s.closed = false);
    }

    /// Connections so far, with those that were turned away.
    pub(crate) fn accepted(&self) -> u64 {
        self.state.borrow().accepted
    }
}

async fn carry(
    client: TcpStream,
    port: u16,
    rewrite: Option<Rewrite>,
    mut state: watch::Receiver<State>,
) {
    let generation = state.borrow().generation;
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((client_in, client_out), (server_in, server_out)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = copy(client_in, server_out, None) => {}
        () = copy(server_in, client_out, rewrite) => {}
        _ = state.wait_for(|s| s.generation != generation) => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    rewrite: Option<Rewrite>,
) {
    let mut held = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 {
            return;
        }
        held.extend_from_slice(&buffer[..length]);
        let ready = rewrite.as_ref().map_or(held.len(), |rule| apply(rule, &mut held));
        if to.write_all(&held[..ready]).await.is_err() {
            return;
        }
        held.drain(..ready);
    }
}

/// Rewrites what is there. How many bytes are sure: the rest may be half of a match.
fn apply((old, new): &Rewrite, bytes: &mut [u8]) -> usize {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    assert_eq!(old.len(), new.len());
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
        }
    }
    let half = (1..old.len()).rev().find(|length| bytes.ends_with(&old[..*length]));
    bytes.len() - half.unwrap_or(0)
}

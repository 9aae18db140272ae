//! A way to another server that can be blocked.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What becomes of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// They lead to the server.
    Open,
    /// They are closed at once; those that were open are cut.
    Shut,
    /// Those whose first request begins so are cut as soon as that was read; all others are open.
    Refuses(&'static str),
    /// Requests that begin so get no further than their first bytes, and no answer.
    Swallows(&'static str),
    /// They stay open, and nothing passes: what was sent waits.
    Held,
    /// Requests pass, answers wait.
    Mute,
}

/// A port of this machine that leads to a server, until it is told not to.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    way: watch::Sender<Way>,
    /// How many connections were cut or swallowed.
    stopped: Arc<watch::Sender<usize>>,
    task: AbortHandle,
}

impl Gate {
    /// An open gate to `target`, `host:port`.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let stopped = Arc::new(watch::Sender::new(0));
        let (target, turns, count) = (target.to_owned(), way.subscribe(), Arc::clone(&stopped));
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let (target, turns, count) = (target.clone(), turns.clone(), Arc::clone(&count));
                tokio::spawn(async move { lead(from, &target, turns, &count).await });
            }
        });
        Self { address, way, stopped, task: task.abort_handle() }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Lets connections through.
    pub fn open(&self) {
        self.way.send_replace(Way::Open);
    }

    /// Cuts all connections, and closes new ones at once.
    pub fn shut(&self) {
        self.way.send_replace(Way::Shut);
    }

    /// Cuts connections whose first request begins with these words.
    pub fn refuse(&self, words: &'static str) {
        self.way.send_replace(Way::Refuses(words));
    }

    /// Leaves requests that begin with these words without an answer, half sent.
    pub fn swallow(&self, words: &'static str) {
        self.way.send_replace(Way::Swallows(words));
    }

    /// Lets nothing through, either way, until the gate is told something else: like a cable that was
    /// pulled, and is plugged in again.
    pub fn hold(&self) {
        self.way.send_replace(Way::Held);
    }

    /// Lets requests through, and holds answers back: those who asked cannot know what was done.
    pub fn mute(&self) {
        self.way.send_replace(Way::Mute);
    }

    /// Waits until a connection was stopped by what the gate was told since it was made.
    pub async fn has_stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        let waiting = stopped.wait_for(|count| *count > 0);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(90), waiting).await;
        waited.expect("a connection that was stopped").unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(
    mut from: TcpStream,
    target: &str,
    turns: watch::Receiver<Way>,
    stopped: &watch::Sender<usize>,
) {
    let mut end = turns.clone();
    let stop = || stopped.send_modify(|count| *count += 1);
    if *turns.borrow() == Way::Shut {
        return stop();
    }
    let Ok(mut to) = TcpStream::connect(target).await else { return };
    let (mut there, mut back) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut turn = turns.clone();
    loop {
        let way = turn.borrow_and_update().clone();
        let (hears, tells) = (way != Way::Held, !matches!(way, Way::Held | Way::Mute));
        tokio::select! {
            changed = turn.changed() => if changed.is_err() { return },
            read = from.read(&mut there), if hears => {
                let Ok(length @ 1..) = read else { return };
                let way = turns.borrow().clone();
                match way {
                    Way::Refuses(words) if there.starts_with(words.as_bytes()) => return stop(),
                    Way::Swallows(words) if there.starts_with(words.as_bytes()) => {
                        let _ = to.write_all(&there[..length / 2]).await;
                        stop();
                        // Until whoever asked gives up.
                        while matches!(from.read(&mut there).await, Ok(1..)) {}
                        return;
                    }
                    _ => {}
                }
                if to.write_all(&there[..length]).await.is_err() { return }
            }
            read = to.read(&mut back), if tells => {
                let Ok(length @ 1..) = read else { return };
                if from.write_all(&back[..length]).await.is_err() { return }
            }
            () = shut(&mut end) => return stop(),
        }
    }
}

async fn shut(turns: &mut watch::Receiver<Way>) {
    let _ = turns.wait_for(|way| *way == Way::Shut).await;
}

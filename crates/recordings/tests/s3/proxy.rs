//! A TCP proxy in front of the server that can break what passes through it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

const BUSY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// A proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    faults: Arc<Faults>,
    accepting: AbortHandle,
}

struct Faults {
    server: SocketAddr,
    /// So many connections are answered with 503.
    busy: AtomicUsize,
    /// How many were.
    busied: AtomicUsize,
    /// What has come from the client, over all connections.
    sent: AtomicU64,
    /// Beyond this nothing of the client's passes, until it is raised.
    gate: watch::Sender<u64>,
    reached: Notify,
    /// The answer to the first request that holds this is lost, and the connection with it.
    lose: Mutex<Option<&'static str>>,
    /// All connections are cut when this changes.
    cut: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::new(Faults {
            server,
            busy: AtomicUsize::new(0),
            busied: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            gate: watch::Sender::new(u64::MAX),
            reached: Notify::new(),
            lose: Mutex::new(None),
            cut: watch::Sender::new(0),
        });
        let shared = Arc::clone(&faults);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, Arc::clone(&shared)));
            }
        });
        Self { url, faults, accepting: accepting.abort_handle() }
    }

    /// The next so many connections are answered with 503 SlowDown.
    pub(crate) fn busy(&self, connections: usize) {
        self.faults.busy.store(connections, Ordering::SeqCst);
    }

    pub(crate) fn busied(&self) -> usize {
        self.faults.busied.load(Ordering::SeqCst)
    }

    /// Holds back whatever the client sends beyond so many bytes from now on.
    pub(crate) fn hold_after(&self, bytes: u64) {
        let sent = self.faults.sent.load(Ordering::SeqCst);
        self.faults.gate.send_replace(sent + bytes);
    }

    /// Waits until something is held back.
    pub(crate) async fn held(&self) {
        self.faults.reached.notified().await;
    }

    /// Holds nothing back any more.
    pub(crate) fn release(&self) {
        self.faults.gate.send_replace(u64::MAX);
    }

    /// Loses the answer to the next request that holds this text.
    pub(crate) fn lose_answer_to(&self, request: &'static str) {
        *self.faults.lose.lock().unwrap() = Some(request);
    }

    /// Whether an answer that was to be lost is lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.faults.lose.lock().unwrap().is_none()
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        self.faults.cut.send_modify(|count| *count += 1);
    }
}

impl Faults {
    fn is_to_lose(&self, data: &[u8]) -> bool {
        let mut lose = self.lose.lock().unwrap();
        let holds = |text: &str| data.windows(text.len()).any(|window| window == text.as_bytes());
        lose.take_if(|text| holds(text)).is_some()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn connection(mut client: TcpStream, faults: Arc<Faults>) {
    let less = |count: usize| count.checked_sub(1);
    if faults.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
        faults.busied.fetch_add(1, Ordering::SeqCst);
        let _ = answer_busy(&mut client).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(faults.server).await else { return };
    let mut cut = faults.cut.subscribe();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let losing = AtomicBool::new(false);
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut gate = faults.gate.subscribe();
        loop {
            let count = from_client.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            losing.fetch_or(faults.is_to_lose(&buffer[..count]), Ordering::SeqCst);
            let sent = faults.sent.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
            if sent > *gate.borrow_and_update() {
                faults.reached.notify_one();
                let _ = gate.wait_for(|gate| sent <= *gate).await;
            }
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = from_server.read(&mut buffer).await.unwrap_or(0);
            let lost = count == 0 || losing.load(Ordering::SeqCst);
            if lost || to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = cut.changed() => {}
    }
}

/// Answers the first request when its head is there.
async fn answer_busy(client: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let body = if head.starts_with(b"HEAD ") { "" } else { BUSY };
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await?;
    // Closing with unread data resets the connection, and the answer may be lost with it.
    tokio::io::copy(client, &mut tokio::io::sink()).await.map(|_| ())
}

//! A small HTTP server that records what it is sent and answers by a script.
//!
//! It runs on a thread of its own, in real time: also a test in tokio's virtual time can use it.

mod http;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// How long [`WebhookReceiver::wait_for`] waits before it fails the test, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// `POST`, mostly.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// When it was complete, by the machine's clock.
    pub arrived: DateTime<Utc>,
}

impl Received {
    /// The first header of that name, in whatever case it is given.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the request's body is JSON")
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Endless,
    Hang,
    Close,
}

impl Answer {
    /// An empty answer with this status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            delay: Duration::ZERO,
            end: End::Complete,
        }
    }

    /// Never answers, and keeps the connection open.
    pub fn hang() -> Self {
        Self { end: End::Hang, ..Self::status(200) }
    }

    /// Closes the connection without an answer.
    pub fn close() -> Self {
        Self { end: End::Close, ..Self::status(200) }
    }

    /// A 200 whose body never ends.
    pub fn endless() -> Self {
        Self { end: End::Endless, ..Self::status(200) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits so long, in real time, before it answers.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Debug)]
struct Shared {
    received: watch::Sender<Vec<Received>>,
    script: Mutex<VecDeque<Answer>>,
}

/// A receiver of webhooks at `http://127.0.0.1:{port}`, any path and method. Dropping it closes all
/// connections.
///
/// ```
/// use outdial_testkit::receiver::{Answer, WebhookReceiver};
/// use std::io::{Read, Write};
///
/// let receiver = WebhookReceiver::start();
/// receiver.answer([Answer::status(503).header("retry-after", "7")]);
///
/// let mut socket = std::net::TcpStream::connect(receiver.address()).unwrap();
/// write!(socket, "POST /hook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
/// let mut answer = String::new();
/// socket.read_to_string(&mut answer).unwrap();
/// assert!(answer.starts_with("HTTP/1.1 503 "));
/// assert_eq!(receiver.received()[0].path, "/hook");
/// ```
#[derive(Debug)]
pub struct WebhookReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    // In this order: dropping the sender ends the thread, which is then joined.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebhookReceiver {
    /// Starts on a free port. Requests beyond the script are answered with an empty 200.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { received: watch::Sender::new(Vec::new()), script: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, runtime: handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:{port}{path}`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Adds answers to the script: each is used once, in order.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    /// What has come so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    /// Waits until at least `count` requests have come, and gives all of them.
    ///
    /// # Panics
    /// When they have not come after 30 s of real time.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        // On the receiver's own runtime: a paused clock of the test's would run out at once.
        let waiting = self.runtime.spawn(async move {
            let enough = async { received.wait_for(|all| all.len() >= count).await.is_ok() };
            tokio::time::timeout(PATIENCE, enough).await
        });
        let came = waiting.await.unwrap();
        let all = self.received();
        assert!(came.is_ok(), "{} of {count} webhooks came in {PATIENCE:?}", all.len());
        all
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed, and must not become a second one in a drop.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(http::connection(stream, Arc::clone(&shared)));
    }
}

impl Shared {
    fn take(&self, request: Received) -> Answer {
        let answer = self.script.lock().unwrap().pop_front();
        self.received.send_modify(|all| all.push(request));
        answer.unwrap_or_else(|| Answer::status(200))
    }
}

#[cfg(test)]
mod tests;

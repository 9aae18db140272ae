//! A scripted stand-in for LiveKit's server API, for tests: it counts requests, and answers late,
//! wrongly or not at all.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// The API's method, such as `CreateRoom`.
    pub method: String,
    /// The whole path.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: String,
    /// The message.
    pub body: Vec<u8>,
}

impl Request {
    /// The message, decoded; its defaults when it is of another type.
    pub fn message<M: Message + Default>(&self) -> M {
        M::decode(self.body.as_slice()).unwrap_or_default()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    after: Duration,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Http(u16, Vec<u8>),
    Close,
    Never,
}

impl Reply {
    fn now(what: What) -> Self {
        Self { after: Duration::ZERO, what }
    }

    /// A message.
    pub fn ok(message: &impl Message) -> Self {
        Self::now(What::Http(200, message.encode_to_vec()))
    }

    /// A Twirp error.
    pub fn error(status: u16, code: &str, msg: &str, meta: &[(&str, &str)]) -> Self {
        let meta: HashMap<_, _> = meta.iter().copied().collect();
        let body = serde_json::json!({"code": code, "msg": msg, "meta": meta});
        Self::now(What::Http(status, body.to_string().into_bytes()))
    }

    /// The final response that `livekit-sip` got to its INVITE.
    pub fn sip(code: u16, reason: &str) -> Self {
        let text = code.to_string();
        let meta = [("sip_status_code", text.as_str()), ("sip_status", reason)];
        Self::error(412, "failed_precondition", "sip status", &meta)
    }

    /// There is no such room or participant.
    pub fn not_found() -> Self {
        Self::error(404, "not_found", "participant does not exist", &[])
    }

    /// Something that is no Twirp at all.
    pub fn text(status: u16, text: &str) -> Self {
        Self::now(What::Http(status, text.as_bytes().to_vec()))
    }

    /// The connection closes without an answer.
    pub fn close() -> Self {
        Self::now(What::Close)
    }

    /// No answer, ever.
    pub fn never() -> Self {
        Self::now(What::Never)
    }

    /// The same, later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server; it stops when dropped.
#[derive(Debug)]
pub struct FakeLiveKit {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl FakeLiveKit {
    /// Starts on a free port of the loopback interface, and answers by `script`.
    pub async fn start(
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&seen), Arc::new(script)));
        Ok(Self { address, seen, task })
    }

    /// The URL for `livekit.url`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a method was called so far.
    pub fn count(&self, method: &str) -> usize {
        let requests = self.requests();
        requests.iter().filter(|r| r.method == method).count()
    }
}

impl Drop for FakeLiveKit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Request>>>, script: Arc<Script>) {
    // Owned here: they end with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&seen), Arc::clone(&script)));
    }
}

/// One request to a connection.
async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, script: Arc<Script>) {
    let Some(request) = receive(&mut stream).await else {
        return;
    };
    let reply = script(&request);
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    tokio::time::sleep(reply.after).await;
    match reply.what {
        What::Http(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // Whether the client is still there is its own matter.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
        What::Close => {}
        What::Never => std::future::pending().await,
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(request) = parse(&bytes) {
            return Some(request);
        }
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(chunk.get(..n)?),
            _ => return None,
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let length: usize = header("content-length").unwrap_or("0").parse().ok()?;
    let body = bytes.get(end..end + length)?.to_vec();
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Request {
        method: path.rsplit('/').next().unwrap_or_default().to_owned(),
        authorization: header("authorization").unwrap_or_default().to_owned(),
        path,
        body,
    })
}

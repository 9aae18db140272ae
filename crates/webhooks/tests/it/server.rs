//! A web server that does just what a test says.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use url::Url;

/// As good as endless, in bytes: far more than sockets buffer.
pub(crate) const FLOOD: usize = 64 << 20;

/// What the server does with a connection.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Reads the request, writes these bytes, closes.
    Answer(String),
    /// Reads the request, writes these bytes, then keeps the connection open.
    AnswerAndHang(String),
    /// Reads the request and answers 200 with a body of [`FLOOD`] bytes.
    Endless,
    /// Closes at once.
    Close,
}

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Request>,
    closed: mpsc::UnboundedReceiver<usize>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = mpsc::unbounded_channel();
        let (end, closed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (behaviour, seen, end) = (behaviour.clone(), seen.clone(), end.clone());
                tokio::spawn(async move {
                    let flooded = serve(stream, behaviour, seen).await;
                    end.send(flooded).ok();
                });
            }
        });
        Self { address, requests, closed }
    }

    /// A server with one answer of that status line and these headers, and a short body.
    pub(crate) async fn answering(status: &str, headers: &str) -> Self {
        let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: 2\r\n\r\nok");
        Self::start(Behaviour::Answer(text)).await
    }

    /// A URL of this server, with something secret in it.
    pub(crate) fn url(&self) -> Url {
        self.url_of("http")
    }

    pub(crate) fn url_of(&self, scheme: &str) -> Url {
        format!("{scheme}://{}/hook/path-token?key=query-token", self.address).parse().unwrap()
    }

    /// The next request that has come in.
    pub(crate) async fn request(&mut self) -> Request {
        self.requests.recv().await.unwrap()
    }

    /// How many requests have come in and were not taken.
    pub(crate) fn pending(&self) -> usize {
        self.requests.len()
    }

    /// Waits until a connection has come to its end; gives the bytes of an endless body that were
    /// written until then.
    pub(crate) async fn connection_closed(&mut self) -> usize {
        self.closed.recv().await.unwrap()
    }
}

async fn serve(
    stream: TcpStream,
    behaviour: Behaviour,
    seen: mpsc::UnboundedSender<Request>,
) -> usize {
    if matches!(behaviour, Behaviour::Close) {
        return 0;
    }
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream).await else {
        // Not HTTP: a TLS handshake. Answer as a plain server does.
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        return 0;
    };
    seen.send(request).ok();
    match behaviour {
        Behaviour::Close => {}
        Behaviour::Answer(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Behaviour::AnswerAndHang(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            // Ends when the other side closes.
            let _ = stream.read_u8().await;
        }
        Behaviour::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let mut written = 0;
            while written < FLOOD && stream.write_all(&[b'x'; 4096]).await.is_ok() {
                written += 4096;
            }
            return written;
        }
    }
    0
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    if stream.fill_buf().await.ok()?.first()? != &b'P' {
        return None;
    }
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut headers = HeaderMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        let name: HeaderName = name.parse().ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    let length = headers.get("content-length")?.to_str().ok()?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body })
}

//! A small HTTP/1.1 load generator: keep-alive connections, each with one request at a time.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a measurement found.
#[derive(Debug, Clone)]
pub struct Load {
    /// Answers per second.
    pub rate: f64,
    /// Of all answers, sorted.
    latencies: Vec<Duration>,
}

impl Load {
    /// Of answers that took so long each and came within `elapsed`.
    ///
    /// # Errors
    /// When there was none.
    pub fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Result<Self> {
        ensure!(!latencies.is_empty(), "no answer at all");
        latencies.sort_unstable();
        Ok(Self { rate: latencies.len() as f64 / elapsed.as_secs_f64(), latencies })
    }

    /// How many answers there were.
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that `share` (0 to 1) of all answers stay below.
    pub fn percentile(&self, share: f64) -> Duration {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (self.latencies.len() as f64 * share) as usize;
        self.latencies[index.min(self.latencies.len() - 1)]
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |share| self.percentile(share).as_secs_f64() * 1000.0;
        let (p50, p99) = (millis(0.5), millis(0.99));
        write!(f, "{:>8.0}/s   p50 {p50:>7.2} ms   p99 {p99:>7.2} ms", self.rate)
    }
}

/// A POST of JSON as it goes over the wire.
pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text =
        format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// Sends requests over `connections` connections for `duration`, spread over the targets evenly: each
/// is a server and the request it gets.
///
/// # Errors
/// When a server cannot be reached, or gives any answer but a 2xx.
pub async fn run(
    targets: &[(SocketAddr, Vec<u8>)],
    connections: usize,
    duration: Duration,
) -> Result<Load> {
    let begun = Instant::now();
    let end = begun + duration;
    let mut tasks = tokio::task::JoinSet::new();
    for (address, request) in targets.iter().cycle().take(connections) {
        tasks.spawn(connection(*address, request.clone(), end));
    }
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.extend(task??);
    }
    Load::new(latencies, begun.elapsed())
}

async fn connection(address: SocketAddr, request: Vec<u8>, end: Instant) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(8192);
    while Instant::now() < end {
        let begun = Instant::now();
        exchange(&mut stream, &request, &mut buffer).await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

/// One request and its whole answer, which is left in `buffer`.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request).await?;
    buffer.clear();
    let length = loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        if let Some(length) = whole_length(buffer)? {
            break length;
        }
    };
    while buffer.len() < length {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
    }
    ensure!(buffer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(buffer));
    Ok(())
}

/// The length of head and body together, once the head is there.
fn whole_length(buffer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head])?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without content-length")?;
    Ok(Some(head + 4 + length.1.trim().parse::<usize>()?))
}

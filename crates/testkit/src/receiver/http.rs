//! As much of HTTP/1.1 as a webhook needs.

use std::fmt::Write as _;
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use chrono::Utc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Answer, End, Received, Shared};

/// Serves requests until the peer closes, asks for it, or says something unreadable.
pub(super) async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Ok(Some(request)) = read_request(&mut read).await {
        let last = request.header("connection") == Some("close");
        let answer = shared.take(request);
        let done = write_answer(&mut write, answer).await;
        if last || !matches!(done, Ok(true)) {
            return;
        }
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// `None` when the peer has closed.
async fn read_request(read: &mut BufReader<OwnedReadHalf>) -> Result<Option<Received>> {
    let Some(line) = read_line(read).await? else {
        return Ok(None);
    };
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(bad("no request line"));
    };
    let mut request = Received {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        arrived: Utc::now(),
    };
    while let Some(line) = read_line(read).await?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("no header"))?;
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.push(header);
    }
    request.body = read_body(read, &request).await?;
    request.arrived = Utc::now();
    Ok(Some(request))
}

async fn read_line(read: &mut BufReader<OwnedReadHalf>) -> Result<Option<String>> {
    let mut line = String::new();
    if read.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

async fn read_body(read: &mut BufReader<OwnedReadHalf>, request: &Received) -> Result<Vec<u8>> {
    if request.header("transfer-encoding") == Some("chunked") {
        return read_chunks(read).await;
    }
    let length = request.header("content-length").unwrap_or("0");
    let length: usize = length.parse().map_err(|_| bad("content-length"))?;
    let mut body = vec![0; length];
    read.read_exact(&mut body).await?;
    Ok(body)
}

async fn read_chunks(read: &mut BufReader<OwnedReadHalf>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(read).await?.unwrap_or_default();
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("chunk size"))?;
        let start = body.len();
        body.resize(start + size, 0);
        read.read_exact(&mut body[start..]).await?;
        read_line(read).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Whether the connection can be used again.
async fn write_answer(write: &mut OwnedWriteHalf, answer: Answer) -> Result<bool> {
    tokio::time::sleep(answer.delay).await;
    match answer.end {
        End::Close => return Ok(false),
        End::Hang => std::future::pending().await,
        End::Complete | End::Endless => {}
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if answer.end == End::Complete {
        let _ = write!(head, "content-length: {}\r\n", answer.body.len());
    }
    head.push_str("\r\n");
    write.write_all(head.as_bytes()).await?;
    write.write_all(&answer.body).await?;
    if answer.end == End::Complete {
        return Ok(true);
    }
    loop {
        write.write_all(&[b'.'; 1024]).await?;
    }
}

//! What only bytes on a wire can show: a real server on a port of its own, in real time.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::{Rig, serve};
use crate::tape::{BYTES, audio};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes and reads the one answer until the server closes the connection.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    String::from_utf8(exchange_bytes(address, bytes).await).unwrap()
}

async fn exchange_bytes(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match timeout(PATIENCE, stream.read(&mut piece)).await.unwrap() {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
        }
    }
    answer
}

fn code(answer: &str) -> (&str, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    (status, body["error"]["code"].clone())
}

#[actix_web::test]
async fn bodies_on_the_wire() {
    let rig = Rig::new().await;
    let (address, server) = serve(&rig);
    let head = |more: &str| {
        format!(
            "POST /call/outbound HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nconnection: close\r\n\
             content-type: application/json\r\n{more}\r\n\r\n",
            rig.key
        )
    };
    // Too large by its own account, and by what comes in pieces.
    let long = format!("{}{}", head("content-length: 100000"), "[".repeat(100_000));
    let answer = exchange(address, long.as_bytes()).await;
    assert_eq!(code(&answer), ("413", "body_too_large".into()), "{answer}");
    let piece = format!("4000\r\n{}\r\n", "[".repeat(0x4000));
    let chunked = format!("{}{}0\r\n\r\n", head("transfer-encoding: chunked"), piece.repeat(5));
    let answer = exchange(address, chunked.as_bytes()).await;
    assert_eq!(code(&answer), ("413", "body_too_large".into()), "{answer}");
    // Deep nesting within the limit of size, in pieces.
    let chunked = format!("{}{}0\r\n\r\n", head("transfer-encoding: chunked"), piece.repeat(3));
    let answer = exchange(address, chunked.as_bytes()).await;
    assert_eq!(code(&answer), ("400", "invalid_json".into()), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
    // Shorter than announced, and not chunked as announced.
    let mut short = TcpStream::connect(address).await.unwrap();
    short.write_all(format!("{}{{", head("content-length: 50")).as_bytes()).await.unwrap();
    short.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, short.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.is_empty() || code(&answer).0 == "400", "{answer}");
    let broken = format!("{}zz\r\n", head("transfer-encoding: chunked"));
    let answer = exchange(address, broken.as_bytes()).await;
    assert!(answer.is_empty() || code(&answer).0 == "400", "{answer}");
    server.stop(false).await;
}

#[actix_web::test]
async fn head_is_get_without_a_body() {
    let rig = Rig::new().await;
    let (address, server) = serve(&rig);
    let request = b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(address, request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty(), "{answer}");
    server.stop(false).await;
}

#[tokio::test(start_paused = true)]
async fn recordings_on_the_wire() {
    let rig = Rig::new().await;
    let room = rig.place(crate::rig::TALKS).await;
    rig.until(&room, "/recording/status", "available").await;
    tokio::time::resume();
    let (address, server) = serve(&rig);
    let ask = async |method: &str, more: &str| {
        let request = format!(
            "{method} /calls/{room}/recording HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\
             connection: close\r\n{more}\r\n",
            rig.key
        );
        let answer = exchange_bytes(address, request.as_bytes()).await;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end + 2].to_vec()).unwrap();
        (head, answer[end + 4..].to_vec())
    };
    let (head, body) = ask("GET", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains(&format!("content-length: {BYTES}\r\n")), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(body, audio());
    let (head, body) = ask("GET", "range: bytes=70000-70009\r\n").await;
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    assert_eq!(body, audio()[70_000..70_010]);
    let (head, body) = ask("HEAD", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains(&format!("content-length: {BYTES}\r\n")), "{head}");
    assert!(body.is_empty());
    let (head, body) = ask("GET", "if-none-match: *\r\n").await;
    assert!(head.starts_with("HTTP/1.1 304"), "{head}");
    assert!(body.is_empty());
    server.stop(false).await;
}

#[actix_web::test]
async fn events_arrive_as_they_happen() {
    let rig = Rig::new().await;
    let room = rig.place(crate::rig::NEVER_ENDS).await;
    let (address, server) = serve(&rig);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /calls/{room}/events HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n", rig.key);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut piece = [0; 4096];
    while !text.contains("\"status\":\"queued\"") {
        let length = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(length > 0, "{text}");
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    // The call goes on, and so does the stream, until the call ends.
    rig.send(rig.request("POST", &format!("/calls/{room}/hangup"))).await.expect(200);
    while !text.ends_with("0\r\n\r\n") {
        let length = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(length > 0, "{text}");
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    assert!(text.contains("\"status\":\"ended\""), "{text}");
    server.stop(false).await;
}

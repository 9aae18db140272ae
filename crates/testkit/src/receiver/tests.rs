//! The receiver of webhooks, against plain sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Answer, WebhookReceiver};

fn post(receiver: &WebhookReceiver, path: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(receiver.address()).unwrap();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nX-Id: 7\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all((head + body).as_bytes()).unwrap();
    socket
}

/// What comes until there is an empty line.
fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

// In paused time: waiting for a real request must not look like waiting for a timer.
#[tokio::test(start_paused = true)]
async fn requests_are_recorded_and_answered_by_the_script() {
    let receiver = WebhookReceiver::start();
    receiver.answer([
        Answer::status(503).header("Retry-After", "7").body("later"),
        Answer::status(204).after(Duration::from_millis(5)),
    ]);
    let sending = std::thread::spawn({
        let receiver_address = receiver.address();
        move || {
            let mut socket = TcpStream::connect(receiver_address).unwrap();
            let mut heads = Vec::new();
            for body in ["5\r\n{\"a\":\r\n2;x\r\n1}\r\n0\r\n\r\n", "0\r\n\r\n", "0\r\n\r\n"] {
                let request =
                    "POST /hook?x=1 HTTP/1.1\r\nX-Id: 7\r\nTransfer-Encoding: chunked\r\n\r\n";
                socket.write_all((request.to_owned() + body).as_bytes()).unwrap();
                heads.push(head(&mut socket));
                if heads.len() == 1 {
                    socket.read_exact(&mut [0; 5]).unwrap();
                }
            }
            heads
        }
    });
    let received = receiver.wait_for(3).await;
    let heads = sending.join().unwrap();
    assert_eq!(received.len(), 3);
    assert_eq!((received[0].method.as_str(), received[0].path.as_str()), ("POST", "/hook?x=1"));
    assert_eq!(received[0].header("X-ID"), Some("7"));
    assert_eq!(received[0].json(), serde_json::json!({"a": 1}));
    assert!(received.is_sorted_by_key(|request| request.arrived));
    assert!(heads[0].starts_with("HTTP/1.1 503 ") && heads[0].contains("Retry-After: 7\r\n"));
    assert!(heads[1].starts_with("HTTP/1.1 204 "));
    assert!(heads[2].starts_with("HTTP/1.1 200 "), "beyond the script");
}

#[tokio::test]
async fn answers_can_fail_in_every_way() {
    let receiver = WebhookReceiver::start();
    receiver.answer([Answer::close(), Answer::endless(), Answer::hang()]);
    let mut closed = post(&receiver, "/1", "{}");
    assert_eq!(head(&mut closed), "");

    let mut endless = post(&receiver, "/2", "{}");
    let answer = head(&mut endless);
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("content-length"));
    endless.read_exact(&mut vec![0; 100_000]).unwrap();

    let mut hanging = post(&receiver, "/3", "{}");
    let paths: Vec<_> =
        receiver.wait_for(3).await.into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/1", "/2", "/3"]);
    drop(receiver);
    assert_eq!(head(&mut hanging), "", "a dropped receiver closes what hangs");
}

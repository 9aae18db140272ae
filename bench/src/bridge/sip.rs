//! Phones that answer: a minimal SIP user agent server (RFC 3261) over UDP and TCP on one port.
//! It answers any INVITE with 200 and SDP, and whatever else with 200. It needs no timers: on
//! loopback a lost 200 is made good by the next INVITE.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::phones::Phones;

/// What is kept of an unfinished message at most.
const MAX_MESSAGE: usize = 64 << 10;

/// Starts to listen; returns where.
pub(crate) async fn listen(phones: Arc<Phones>) -> Result<SocketAddr> {
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let address = tcp.local_addr()?;
    let udp = UdpSocket::bind(address).await.context("UDP on the port of TCP")?;
    let of_udp = Arc::clone(&phones);
    tokio::spawn(async move {
        let mut buffer = vec![0; MAX_MESSAGE];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(reply) = answer(&of_udp, &text, address) {
                // lost is lost
                _ = udp.send_to(reply.as_bytes(), from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&phones), address));
        }
    });
    Ok(address)
}

async fn connection(mut stream: TcpStream, phones: Arc<Phones>, address: SocketAddr) {
    let mut buffer = Vec::new();
    while buffer.len() < MAX_MESSAGE {
        while let Some(text) = take_message(&mut buffer) {
            if let Some(reply) = answer(&phones, &text, address)
                && stream.write_all(reply.as_bytes()).await.is_err()
            {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// The first whole message of a stream.
fn take_message(buffer: &mut Vec<u8>) -> Option<String> {
    let blank = buffer.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    buffer.drain(..blank); // keep-alives
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]);
    let body = header(&text, "content-length", "l").and_then(|n| n.parse().ok()).unwrap_or(0);
    let whole: Vec<u8> =
        (buffer.len() >= head + body).then(|| buffer.drain(..head + body))?.collect();
    Some(String::from_utf8_lossy(&whole).into_owned())
}

/// Does what a message asks and returns the answer to it.
fn answer(phones: &Phones, text: &str, address: SocketAddr) -> Option<String> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut line = head.lines().next()?.split(' ');
    let (method, uri) = (line.next()?, line.next()?);
    if method == "SIP/2.0" {
        return None;
    }
    let call_id = header(head, "call-id", "i")?;
    match method {
        "INVITE" => {
            let port = phones.ring(number_of(uri), call_id, remote_of(body)?)?;
            let sdp = format!(
                "v=0\r\no=phone 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
                 m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
                 a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n",
                ip = address.ip()
            );
            let over = if head.contains("SIP/2.0/TCP") { "tcp" } else { "udp" };
            let contact = format!("Contact: <sip:phone@{address};transport={over}>\r\n");
            Some(ok(head, &format!("{contact}Content-Type: application/sdp\r\n"), &sdp))
        }
        "ACK" => {
            phones.answered(call_id);
            None
        }
        "BYE" | "CANCEL" => {
            phones.hung_up(call_id);
            Some(ok(head, "", ""))
        }
        _ => Some(ok(head, "", "")),
    }
}

fn ok(head: &str, headers: &str, body: &str) -> String {
    let mut reply = "SIP/2.0 200 OK\r\n".to_owned();
    for line in head.lines().skip(1) {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "via" | "v" | "record-route" | "from" | "f" | "call-id" | "i" | "cseq" => {
                reply.push_str(line);
            }
            "to" | "t" => {
                reply.push_str(line);
                if !line.contains(";tag=") {
                    reply.push_str(";tag=phone");
                }
            }
            _ => continue,
        }
        reply.push_str("\r\n");
    }
    reply.push_str(&format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len()));
    reply
}

/// The first value of a header.
fn header<'a>(head: &'a str, name: &str, short: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        let key = key.trim();
        (key.eq_ignore_ascii_case(name) || key.eq_ignore_ascii_case(short)).then(|| value.trim())
    })
}

/// The user of a SIP URI.
fn number_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split(['@', ';']).next().unwrap_or_default()
}

/// Where an SDP offer wants its audio.
fn remote_of(sdp: &str) -> Option<SocketAddr> {
    let ip = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?;
    let port = sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?;
    Some(SocketAddr::new(ip.trim().parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_of_a_stream() {
        let message = "OPTIONS sip:a@b SIP/2.0\r\nl: 2\r\n\r\nhi";
        let mut buffer = format!("\r\n\r\n{message}{message}OPT").into_bytes();
        assert_eq!(take_message(&mut buffer).as_deref(), Some(message));
        assert_eq!(take_message(&mut buffer).as_deref(), Some(message));
        assert_eq!(take_message(&mut buffer), None);
        assert_eq!(buffer, b"OPT");
    }

    #[test]
    fn numbers_and_addresses_are_found() {
        assert_eq!(number_of("sip:+15550000001@127.0.0.1:5060;transport=tcp"), "+15550000001");
        let sdp = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0 8\r\n";
        assert_eq!(remote_of(sdp), "127.0.0.1:4000".parse().ok());
    }
}

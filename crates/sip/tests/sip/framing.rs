//! How messages lie on the wire.

use outdial_sip::{End, Event, Transport};

use crate::callee::{both, find, place, sdp};

#[tokio::test]
async fn one_byte_at_a_time_and_all_at_once() {
    let mut call = place(Transport::Tcp).await;
    let invite = call.line.want("INVITE").await;
    let line = &mut call.line;
    let early = line.response(&invite, "183 Progress", "", &sdp(40000, "sendrecv"));
    line.send_in_bytes(line.response(&invite, "100 Trying", "", "")).await;
    line.send_in_bytes(line.response(&invite, "180 Ringing", "", "") + &early).await;
    line.send_in_bytes(line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"))).await;
    line.want("ACK").await;
    assert!(matches!(call.event().await, Event::Ringing { code: 180 }));
    assert!(matches!(call.event().await, Event::EarlyMedia { code: 183, .. }));
    call.answered().await;
    let line = &mut call.line;
    let kind = "Content-Type: application/dtmf-relay\r\n";
    let mut messages = vec![line.request(&invite, "OPTIONS", 10, "", "")];
    messages.extend((11..40).map(|cseq| {
        line.request(&invite, "INFO", cseq, kind, &format!("Signal={}\r\n", cseq % 10))
    }));
    line.send_all(&messages).await;
    for _ in &messages {
        line.want_code(200).await;
    }
    for cseq in 11..40_u32 {
        let Event::Info(info) = call.event().await else { panic!() };
        assert_eq!(info.dtmf().unwrap().digit.to_digit(10), Some(cseq % 10));
    }
    call.line.bye(&invite, 50).await;
    call.end().await;
    call.finish().await;
}

#[tokio::test]
async fn keep_alives_are_answered() {
    let mut call = place(Transport::Tcp).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    call.line.raw.clear();
    call.line.send("\r\n\r\n").await;
    call.line.send(call.line.request(&invite, "OPTIONS", 10, "", "")).await;
    call.line.want_code(200).await;
    assert!(
        call.line.raw.starts_with(b"\r\nSIP/2.0 200"),
        "{:?}",
        String::from_utf8_lossy(&call.line.raw)
    );
    call.line.send("\r\n\r\n\r\n\r\n").await;
    call.line.bye(&invite, 20).await;
    call.end().await;
    call.finish().await;
}

/// Each header in its short form.
fn compact(message: String) -> String {
    [
        ("Via", "v"),
        ("From", "f"),
        ("To", "t"),
        ("Call-ID", "i"),
        ("Contact", "m"),
        ("Content-Length", "l"),
        ("Content-Type", "c"),
    ]
    .iter()
    .fold(message, |message, (long, short)| {
        message.replace(&format!("\r\n{long}:"), &format!("\r\n{short}:"))
    })
}

#[tokio::test]
async fn compact_headers() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line.send(compact(call.line.response(&invite, "180 Ringing", "", ""))).await;
        call.line
            .send(compact(call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"))))
            .await;
        call.line.want("ACK").await;
        assert_eq!(call.answered().await.sdp, sdp(40000, "sendrecv").into_bytes());
        call.line.send(compact(call.line.request(&invite, "BYE", 10, "", ""))).await;
        call.line.want_code(200).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn garbage_closes_a_connection_and_ends_its_calls() {
    let mut call = place(Transport::Tcp).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    call.line.send(b"\x00\xff\xfeGARBAGE \x80\x81 no message\r\nfoo\r\n\r\n").await;
    call.line.closed().await;
    assert_eq!(call.end().await, End::ConnectionLost);
    call.dial_back().await.bye(&invite, 20).await;
    call.finish().await;
}

#[tokio::test]
async fn garbage_in_datagrams_is_ignored() {
    let mut call = place(Transport::Udp).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    for garbage in [
        &b"\x00\xff\xfeGARBAGE\r\n\r\n"[..],
        b"SIP/2.0 999999 x\r\n\r\n",
        b"INVITE\r\n\r\n",
        b"BYE sip:a SIP/2.0\r\nVia: x\r\n\r\n",
        b"\r\n",
        b"",
    ] {
        call.line.send(garbage).await;
    }
    call.line.bye(&invite, 20).await;
    assert!(matches!(call.end().await, End::RemoteHangUp { .. }));
    call.finish().await;
}

#[tokio::test]
async fn large_messages_are_dropped() {
    let mut call = place(Transport::Tcp).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    let big = |size: usize| format!("X-Big: {}\r\n", "a".repeat(size));
    call.line.send(call.line.request(&invite, "OPTIONS", 10, &big(12_000), "")).await;
    call.line.want_code(200).await;
    call.line.send(call.line.request(&invite, "OPTIONS", 11, &big(20_000), "")).await;
    call.line.send(call.line.request(&invite, "OPTIONS", 12, "", "")).await;
    assert_eq!(call.line.want_code(200).await.cseq(), 12);
    assert_eq!(call.agent.stats().dropped_size, 1);
    // Beyond 64 KiB the stack gives the connection up.
    call.line.send(&big(70_000)).await;
    call.line.closed().await;
    assert_eq!(call.end().await, End::ConnectionLost);
    assert!(find(&call.line.raw, b"SIP/2.0 200").is_some());
    call.finish().await;
}

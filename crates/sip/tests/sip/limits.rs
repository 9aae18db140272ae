//! Bounds, bad values, and start errors.

use std::net::SocketAddr;

use outdial_sip::{
    InvalidText, Invite, InviteError, StartError, TlsListener, Transport, UserAgent,
};
use tokio::net::{TcpListener, UdpSocket};

use crate::callee::{Callee, HERE, agent, place_as, settings, soon};

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let tcp = TcpListener::bind((HERE, 0)).await.unwrap();
    let mut taken = settings();
    taken.tcp = Some(tcp.local_addr().unwrap());
    assert!(matches!(UserAgent::start(taken).await, Err(StartError::Listen { .. })));
    let udp = UdpSocket::bind((HERE, 0)).await.unwrap();
    let mut taken = settings();
    taken.udp = Some(udp.local_addr().unwrap());
    assert!(matches!(UserAgent::start(taken).await, Err(StartError::Listen { .. })));
    let mut bad = settings();
    let address = SocketAddr::new(HERE, 0);
    bad.tls = Some(TlsListener { address, certificate: b"x".to_vec(), key: b"y".to_vec() });
    assert!(matches!(UserAgent::start(bad).await, Err(StartError::Tls(_))));
}

type Change = Box<dyn Fn(&mut Invite)>;

#[tokio::test]
async fn nothing_can_be_smuggled_into_a_message() {
    let agent = agent().await;
    let callee = Callee::new(Transport::Udp).await;
    let text = |text: &str| text.to_owned();
    let changes: Vec<(&str, Change)> = vec![
        ("call_id", Box::new(move |i| i.call_id = text("a\r\nVia: x"))),
        ("call_id", Box::new(move |i| i.call_id = String::new())),
        ("to_user", Box::new(move |i| i.to_user = text("1@evil.example.com"))),
        ("to_user", Box::new(move |i| i.to_user = text("1>;tag=x"))),
        ("from_user", Box::new(move |i| i.from_user = text("1 2"))),
        ("from_user", Box::new(move |i| i.from_user = text("1;x=y"))),
        ("from_host", Box::new(move |i| i.from_host = Some(text("a>b")))),
        ("from_host", Box::new(move |i| i.from_host = Some(text("a:1")))),
        ("from_display", Box::new(move |i| i.from_display = Some(text("a\" <sip:x>")))),
        ("from_display", Box::new(move |i| i.from_display = Some(text("a\nb")))),
        ("headers", Box::new(move |i| i.headers = vec![(text("X-A"), text("a\r\nX-B: b"))])),
        ("headers", Box::new(move |i| i.headers = vec![(text("X A"), text("a"))])),
        ("headers", Box::new(move |i| i.headers = vec![(text(""), text("a"))])),
        ("headers", Box::new(move |i| i.headers = vec![(text("X-A"), "a".repeat(5000))])),
        ("offer", Box::new(move |i| i.offer = vec![b'a'; 10_000])),
    ];
    for (expect, change) in changes {
        let mut invite = callee.invite();
        change(&mut invite);
        match agent.invite(invite).await {
            Err(InviteError::Invalid { field, .. }) => assert_eq!(field, expect),
            other => panic!("{expect}: {other:?}"),
        }
    }
    for name in ["Via", "contact", "t", "Content-Length", "AUTHORIZATION", "Route", "l"] {
        let mut invite = callee.invite();
        invite.headers = vec![(text(name), text("x"))];
        let error = agent.invite(invite).await.unwrap_err();
        assert!(matches!(error, InviteError::ForbiddenHeader(_)), "{name}: {error}");
    }
    let bad = "trunk.example.com:0".parse::<outdial_sip::HostPort>();
    assert_eq!(bad, Err(InvalidText::Port));
    assert_eq!(agent.stats().calls, 0);
    soon("the shutdown", agent.shutdown()).await;
}

#[tokio::test]
async fn calls_are_bounded_and_call_ids_are_unique() {
    let mut settings = settings();
    settings.limits.calls = 2;
    let agent = UserAgent::start(settings).await.unwrap();
    let first = place_as(agent.clone(), Transport::Tcp, |_| {}).await;
    let mut same = first.callee.invite();
    same.call_id = "same@x".to_owned();
    let (_, second) = agent.invite(same.clone()).await.unwrap();
    let error = agent.invite(same.clone()).await.unwrap_err();
    assert!(matches!(error, InviteError::Full), "{error}");
    // Both share one connection.
    drop(first.line);
    let mut events = first.events;
    while soon("the end", events.next()).await.is_some() {}
    let mut events = second;
    while soon("the end", events.next()).await.is_some() {}
    let (_, _again) = agent.invite(same.clone()).await.unwrap();
    let error = agent.invite(same).await.unwrap_err();
    assert!(matches!(error, InviteError::DuplicateCallId), "{error}");
}

#[tokio::test]
async fn calls_share_a_connection_up_to_a_bound() {
    let mut settings = settings();
    settings.limits.calls_per_connection = 2;
    let agent = UserAgent::start(settings).await.unwrap();
    let mut first = place_as(agent.clone(), Transport::Tcp, |_| {}).await;
    let one = first.line.want("INVITE").await;
    let (_second, mut second_events) = agent.invite(first.callee.invite()).await.unwrap();
    let two = first.line.want("INVITE").await;
    assert_ne!(one.get("call-id"), two.get("call-id"));
    let (_third, _third_events) = agent.invite(first.callee.invite()).await.unwrap();
    first.callee.line().await.want("INVITE").await;
    assert_eq!(agent.stats().connections, 2);
    // The call that ends leaves the connection to the other.
    first.line.send(first.line.response(&one, "486 Busy Here", "", "")).await;
    first.end().await;
    first.line.send(first.line.response(&two, "180 Ringing", "", "")).await;
    assert!(matches!(
        soon("ringing", second_events.next()).await,
        Some(outdial_sip::Event::Ringing { .. })
    ));
}

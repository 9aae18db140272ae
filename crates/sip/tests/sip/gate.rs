//! Who may talk to us.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use outdial_sip::{Event, Transport};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, UdpSocket};

use crate::callee::{Line, Placed, agent, both, place, place_as, soon};

/// Another machine, as far as loopback has one.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Sends it from elsewhere, and says whether an answer came before that to a later message of the callee.
async fn from_elsewhere(call: &Placed, message: &str) -> bool {
    let to = call.agent.local_address(call.callee.transport).unwrap();
    if call.callee.transport == Transport::Udp {
        let socket = UdpSocket::bind((ELSEWHERE, 0)).await.unwrap();
        socket.send_to(message.as_bytes(), to).await.unwrap();
        call.ping().await;
        return socket.try_recv(&mut [0; 2000]).is_ok();
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(ELSEWHERE, 0)).unwrap();
    let stream = socket.connect(to).await.unwrap();
    let mut line = Line::stream(stream, call.callee.address, "TCP");
    line.send(message).await;
    call.ping().await;
    // The connection was closed without a word.
    line.recv().await.is_some()
}

impl Placed {
    /// When this is answered, everything that came before was looked at.
    async fn ping(&self) {
        let mut line = self.dial_back().await;
        let number: u32 = rand::random();
        let us = self.agent.local_address(self.callee.transport).unwrap();
        let (name, here) = (line.name, self.callee.address);
        line.send(format!("OPTIONS sip:{us} SIP/2.0\r\nVia: SIP/2.0/{name} {here};branch=z9hG4bK{number};rport\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:{us}>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")).await;
        line.want_code(200).await;
    }
}

#[tokio::test]
async fn sources_outside_the_list_are_not_answered() {
    both(|transport| async move {
        let agent = agent().await;
        let mut call = place_as(agent, transport, |invite| {
            invite.allowed = vec!["192.0.2.0/24".parse().unwrap()]
        })
        .await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        for method in ["BYE", "OPTIONS", "INVITE"] {
            let request = call.line.request(&invite, method, 10, "", "");
            assert!(!from_elsewhere(&call, &request).await, "{method}");
        }
        let dropped = call.agent.stats().dropped_source;
        assert!(dropped >= 3, "{dropped}");
        // The resolved target counts as allowed.
        call.line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_list_lets_others_send_for_a_call() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        let socket_line = match transport {
            Transport::Udp => None,
            _ => {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::new(ELSEWHERE, 0)).unwrap();
                let to = call.agent.local_address(transport).unwrap();
                Some(Line::stream(socket.connect(to).await.unwrap(), call.callee.address, "TCP"))
            }
        };
        if let Some(mut line) = socket_line {
            line.bye(&invite, 10).await;
        } else {
            let socket = UdpSocket::bind((ELSEWHERE, 0)).await.unwrap();
            let to = call.agent.local_address(transport).unwrap();
            socket
                .send_to(call.line.request(&invite, "BYE", 10, "", "").as_bytes(), to)
                .await
                .unwrap();
            let mut answer = vec![0; 2000];
            soon("the answer", socket.recv_from(&mut answer)).await.unwrap();
            assert!(answer.starts_with(b"SIP/2.0 200"));
        }
        assert!(matches!(call.event().await, Event::Ended(_)));
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn without_any_call_nobody_is_heard() {
    let agent = agent().await;
    let tcp = agent.local_address(Transport::Tcp).unwrap();
    let mut stream = tokio::net::TcpStream::connect(tcp).await.unwrap();
    assert_eq!(soon("the end", stream.read(&mut [0; 10])).await.unwrap_or(0), 0);
    assert_eq!(agent.stats().dropped_source, 1);
    soon("the shutdown", agent.shutdown()).await;
}

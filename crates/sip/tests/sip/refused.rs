//! Calls that are refused, or never answered.

use std::time::Duration;

use outdial_sip::{End, InviteError, Refusal, Transport, UserAgent};
use tokio::net::TcpListener;

use crate::callee::{Callee, HERE, agent, both, place, place_as, settings, soon};

fn refusal(code: u16, phrase: &str) -> Refusal {
    Refusal {
        code,
        phrase: phrase.to_owned(),
        twilio_error: None,
        reason: None,
        warning: None,
        retry_after: None,
    }
}

#[tokio::test]
async fn each_code_and_its_headers() {
    both(|transport| async move {
        let table = [
            ("486 Busy Here", "", refusal(486, "Busy Here")),
            ("600 Busy Everywhere", "", refusal(600, "Busy Everywhere")),
            ("603 Decline", "", refusal(603, "Decline")),
            ("480 Temporarily Unavailable", "", refusal(480, "Temporarily Unavailable")),
            ("404 Not Found", "", refusal(404, "Not Found")),
            ("484 Address Incomplete", "", refusal(484, "Address Incomplete")),
            ("403 Forbidden", "", refusal(403, "Forbidden")),
            ("500 Server Internal Error", "", refusal(500, "Server Internal Error")),
            ("408 Request Timeout", "", refusal(408, "Request Timeout")),
            ("607 Unwanted", "", refusal(607, "Unwanted")),
            (
                "503 Trunk CPS limit exceeded",
                "Retry-After: 7\r\nX-Twilio-Error: 32001 CPS\r\n",
                Refusal {
                    twilio_error: Some("32001 CPS".to_owned()),
                    retry_after: Some(Duration::from_secs(7)),
                    ..refusal(503, "Trunk CPS limit exceeded")
                },
            ),
            (
                "480 Gone",
                "Reason: Q.850;cause=18\r\nWarning: 399 x \"no\"\r\nRetry-After: soon\r\n",
                Refusal {
                    reason: Some("Q.850;cause=18".to_owned()),
                    warning: Some("399 x \"no\"".to_owned()),
                    ..refusal(480, "Gone")
                },
            ),
            ("302 Moved", "Contact: <sip:other@127.0.0.1:9>\r\n", refusal(302, "Moved")),
        ];
        let agent = agent().await;
        for (status, extra, expect) in table {
            let mut call = place_as(agent.clone(), transport, |_| {}).await;
            let invite = call.line.want("INVITE").await;
            call.line.send(call.line.response(&invite, status, extra, "")).await;
            let ack = call.line.want("ACK").await;
            assert_eq!((ack.branch(), ack.cseq()), (invite.branch(), invite.cseq()));
            assert_eq!(call.end().await, End::Refused(expect), "{status}");
        }
        assert_eq!(agent.stats().calls, 0);
        soon("the shutdown", agent.shutdown()).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_answers_at_all() {
    both(|transport| async move {
        for provisional in [None, Some("100 Trying"), Some("180 Ringing")] {
            let mut settings = settings();
            settings.timers.transaction = Duration::from_secs(1);
            settings.timers.setup = Duration::from_secs(if provisional.is_some() { 1 } else { 60 });
            let agent = UserAgent::start(settings).await.unwrap();
            let mut call = place_as(agent, transport, |_| {}).await;
            let invite = call.line.want("INVITE").await;
            if let Some(status) = provisional {
                call.line.send(call.line.response(&invite, status, "", "")).await;
            }
            assert_eq!(call.end().await, End::NoAnswerFromServer);
            if provisional.is_some() {
                call.line.want("CANCEL").await;
            }
            call.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_listens_there() {
    let agent = agent().await;
    let gone = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap();
    let callee = Callee::new(Transport::Tcp).await;
    let mut invite = callee.invite();
    invite.address = gone.to_string().parse().unwrap();
    let error = agent.invite(invite.clone()).await.unwrap_err();
    assert!(matches!(error, InviteError::Unreachable { .. }) && error.is_unreachable(), "{error}");
    invite.address = "no-such-host.invalid:5070".parse().unwrap();
    let error = agent.invite(invite.clone()).await.unwrap_err();
    assert!(matches!(error, InviteError::Unresolved { .. }) && error.is_unreachable(), "{error}");
    invite.transport = Transport::Udp;
    let error = agent.invite(invite).await.unwrap_err();
    assert!(matches!(error, InviteError::Unresolved { .. }), "{error}");
    assert_eq!(agent.stats().calls, 0);
    soon("the shutdown", agent.shutdown()).await;
}

#[tokio::test]
async fn proxies_are_tried_in_order_and_the_request_uri_stays() {
    let gone = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap();
    for transport in [Transport::Tcp, Transport::Udp] {
        let agent = agent().await;
        let callee = Callee::new(transport).await;
        let mut invite = callee.invite();
        invite.address = "trunk.example.com:5070".parse().unwrap();
        let dead =
            if transport == Transport::Tcp { gone.to_string() } else { "x.invalid".to_owned() };
        invite.proxies = vec![dead.parse().unwrap(), callee.address.to_string().parse().unwrap()];
        let (dialog, mut events) = agent.invite(invite).await.unwrap();
        let mut line = callee.line().await;
        let invite = line.want("INVITE").await;
        assert_eq!(invite.start, "INVITE sip:09999000001@trunk.example.com:5070 SIP/2.0");
        assert!(invite.all("route").is_empty());
        line.send(line.response(&invite, "180 Ringing", "", "")).await;
        soon("ringing", events.next()).await;
        // The CANCEL follows the INVITE, not its request URI.
        let hang_up = tokio::spawn(async move { dialog.hang_up().await });
        let cancel = line.want("CANCEL").await;
        assert_eq!(cancel.start, invite.start.replace("INVITE", "CANCEL"));
        line.send(line.response(&cancel, "200 OK", "", "")).await;
        line.send(line.response(&invite, "487 Request Terminated", "", "")).await;
        line.want("ACK").await;
        hang_up.await.unwrap();
        soon("the shutdown", agent.shutdown()).await;
    }
}

#[tokio::test]
async fn a_strange_answer_ends_the_call_and_is_hung_up() {
    both(|transport| async move {
        // Without Contact nobody knows where requests go; with 202 the stack makes no dialog.
        for (status, extra) in [("200 OK", "NoContact: 1\r\n"), ("202 Accepted", "")] {
            let mut call = place(transport).await;
            let invite = call.line.want("INVITE").await;
            call.line.send(call.line.response(&invite, status, extra, "")).await;
            let end = call.end().await;
            assert!(matches!(end, End::Protocol { .. }), "{end:?}");
            call.finish().await;
        }
    })
    .await;
}

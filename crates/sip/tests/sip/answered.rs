//! Calls that are answered.

use outdial_sip::{End, Event, Transport};

use crate::callee::{HERE, TAG, both, param, place, sdp};

#[tokio::test]
async fn the_callee_answers_and_hangs_up() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        let us = call.agent.local_address(transport).unwrap();
        let (address, name) = (call.callee.address, call.line.name);
        assert_eq!(invite.start, format!("INVITE sip:09999000001@{address} SIP/2.0"));
        assert!(invite.get("via").starts_with(&format!("SIP/2.0/{name} {us};")), "{invite:?}");
        let from = invite.get("from");
        assert!(
            from.starts_with("\"01234567890\" <sip:01234567890@acc.pstn.example.com>;tag="),
            "{from}"
        );
        assert_eq!(invite.get("to"), format!("<sip:09999000001@{address}>"));
        let parameter = if transport == Transport::Tcp { ";transport=TCP" } else { "" };
        assert_eq!(
            invite.get("contact").to_ascii_lowercase(),
            format!("<sip:01234567890@{us}{parameter}>").to_ascii_lowercase()
        );
        assert_eq!(
            (invite.get("x-test"), invite.get("supported"), invite.get("max-forwards")),
            ("1", "timer", "70")
        );
        assert_eq!(invite.body, sdp(31000, "sendrecv").into_bytes());
        let line = &mut call.line;
        line.send(line.response(&invite, "100 Trying", "", "")).await;
        line.send(line.response(&invite, "180 Ringing", "", "")).await;
        assert!(matches!(call.event().await, Event::Ringing { code: 180 }));
        let line = &mut call.line;
        line.send(line.response(
            &invite,
            "200 OK",
            "X-Twilio-CallSid: CA1\r\n",
            &sdp(40000, "sendrecv"),
        ))
        .await;
        let ack = line.want("ACK").await;
        assert!(ack.start.starts_with(&format!("ACK sip:callee@{address}")), "{ack:?}");
        assert_eq!((ack.cseq(), ack.get("call-id")), (invite.cseq(), invite.get("call-id")));
        assert_ne!(ack.branch(), invite.branch());
        assert_eq!((ack.get("from"), param(ack.get("to"), "tag")), (from, TAG));
        let answered = call.answered().await;
        assert_eq!(call.dialog.snapshot().unwrap().remote_tag.as_deref(), Some(TAG));
        assert_eq!(answered.sdp, sdp(40000, "sendrecv").into_bytes());
        assert_eq!((answered.peer, answered.to_tag.as_str()), (HERE, TAG));
        assert_eq!(answered.call_id, invite.get("call-id"));
        assert_eq!(answered.headers, [("X-Twilio-CallSid".to_owned(), "CA1".to_owned())]);
        let line = &mut call.line;
        line.send(line.request(&invite, "BYE", 900, "Reason: Q.850;cause=16\r\n", "")).await;
        line.want_code(200).await;
        assert_eq!(
            call.end().await,
            End::RemoteHangUp { reason: Some("Q.850;cause=16".to_owned()) }
        );
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn we_hang_up() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        let dialog = call.dialog.clone();
        let ((), bye) = tokio::join!(dialog.hang_up(), call.line.take_bye());
        assert!(
            bye.start.starts_with(&format!("BYE sip:callee@{}", call.callee.address)),
            "{bye:?}"
        );
        assert_eq!(bye.cseq(), invite.cseq() + 1);
        assert_eq!((bye.get("from"), param(bye.get("to"), "tag")), (invite.get("from"), TAG));
        assert_eq!(call.end().await, End::LocalHangUp);
        // Nothing happens any more.
        dialog.hang_up().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_ringing_and_without_sdp() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line.send(call.line.response(&invite, "200 OK", "", "")).await;
        call.line.want("ACK").await;
        let Event::Answered(answered) = call.event().await else { panic!() };
        assert!(answered.sdp.is_empty());
        call.line.bye(&invite, 10).await;
        assert_eq!(call.end().await, End::RemoteHangUp { reason: None });
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn early_media_and_another_sdp_in_the_answer() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line
            .send(call.line.response(&invite, "183 Session Progress", "", &sdp(41000, "sendrecv")))
            .await;
        let Event::EarlyMedia { code: 183, sdp: early } = call.event().await else { panic!() };
        assert_eq!(early, sdp(41000, "sendrecv").into_bytes());
        call.line.send(call.line.response(&invite, "200 OK", "", &sdp(42000, "sendrecv"))).await;
        call.line.want("ACK").await;
        assert_eq!(call.answered().await.sdp, sdp(42000, "sendrecv").into_bytes());
        call.line.bye(&invite, 10).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_doubled_answer_is_acked_twice_and_told_once() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        let answer = call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"));
        for _ in 0..3 {
            call.line.send(&answer).await;
            assert_eq!(call.line.want("ACK").await.cseq(), invite.cseq());
        }
        call.answered().await;
        call.line.bye(&invite, 10).await;
        assert!(matches!(call.event().await, Event::Ended(End::RemoteHangUp { .. })));
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn requests_follow_the_recorded_route_backwards() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (address, name) = (call.callee.address, call.line.name.to_ascii_lowercase());
        let nearest = format!("<sip:{address};transport={name};lr>");
        let recorded = format!(
            "Record-Route: <sip:10.1.1.2;lr>, <sip:10.1.1.1:5060;lr>\r\nRecord-Route: {nearest}\r\n"
        );
        let (_, ack) = call.line.answer(&recorded).await;
        call.answered().await;
        let snapshot = call.dialog.snapshot().unwrap();
        let dialog = call.dialog.clone();
        let ((), bye) = tokio::join!(dialog.hang_up(), call.line.take_bye());
        let expect = [nearest.as_str(), "<sip:10.1.1.1:5060;lr>", "<sip:10.1.1.2;lr>"];
        for request in [&ack, &bye] {
            let routes: Vec<String> = request
                .all("route")
                .iter()
                .flat_map(|value| value.split(", "))
                .map(|route| route.replace("=TCP", "=tcp").replace("=UDP", "=udp"))
                .collect();
            assert_eq!(routes, expect, "{request:?}");
            assert!(request.start.contains(&format!("sip:callee@{address}")), "{request:?}");
        }
        assert_eq!(snapshot.route_set.len(), 3, "{:?}", snapshot.route_set);
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_bye_over_a_new_connection() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        let mut other = call.dial_back().await;
        other.bye(&invite, 10).await;
        assert!(matches!(call.end().await, End::RemoteHangUp { .. }));
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_ends_the_call_and_a_bye_is_tried_over_a_new_one() {
    let mut call = place(Transport::Tcp).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    call.line = call.dial_back().await;
    assert_eq!(call.end().await, End::ConnectionLost);
    let mut again = call.callee.line().await;
    let bye = again.take_bye().await;
    assert_eq!((bye.get("call-id"), param(bye.get("to"), "tag")), (invite.get("call-id"), TAG));
    assert!(bye.cseq() > invite.cseq());
    // The callee hangs up over its own connection, later.
    call.line.bye(&invite, 10).await;
    call.finish().await;
}

#[tokio::test]
async fn a_bye_right_before_the_connection_closes_is_the_cause() {
    let mut call = place(Transport::Tcp).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    call.line.send(call.line.request(&invite, "BYE", 10, "", "")).await;
    call.line = call.dial_back().await;
    assert!(matches!(call.end().await, End::RemoteHangUp { .. }));
    call.finish().await;
}

#[tokio::test]
async fn byes_cross() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        let dialog = call.dialog.clone();
        let hang_up = tokio::spawn(async move { dialog.hang_up().await });
        let bye = call.line.want("BYE").await;
        call.line.bye(&invite, 10).await;
        call.line.send(call.line.response(&bye, "200 OK", "", "")).await;
        assert_eq!(call.end().await, End::LocalHangUp);
        hang_up.await.unwrap();
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_second_callee_that_answers_is_hung_up() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        call.line
            .send(call.line.tagged(&invite, "200 OK", "fork2", "", &sdp(43000, "sendrecv")))
            .await;
        let mut seen = Vec::new();
        // Over a connection, the BYE may go over a new one.
        while seen.len() < 2 {
            let message = call.line.recv().await.unwrap();
            if message.is("BYE") {
                call.line.send(call.line.response(&message, "200 OK", "", "")).await;
            }
            assert_eq!(param(message.get("to"), "tag"), "fork2", "{message:?}");
            seen.push(message.start.split(' ').next().unwrap().to_owned());
        }
        assert_eq!(seen, ["ACK", "BYE"]);
        call.line.bye(&invite, 10).await;
        assert!(matches!(call.end().await, End::RemoteHangUp { .. }));
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_call_with_a_route_over_udp_only_needs_one_listener() {
    let mut settings = crate::callee::settings();
    settings.tcp = None;
    let agent = outdial_sip::UserAgent::start(settings).await.unwrap();
    let mut call = crate::callee::place_as(agent, Transport::Udp, |_| {}).await;
    let (invite, _) = call.line.answer("").await;
    call.answered().await;
    call.line.bye(&invite, 1).await;
    call.end().await;
    call.finish().await;
}

//! Requests of the callee within a call, and our INFO.

use outdial_sip::{DtmfRelay, Event, Offer, RequestError};

use crate::callee::{Placed, TAG, both, param, place, sdp};

async fn offer(call: &mut Placed) -> Offer {
    match call.event().await {
        Event::Offer(offer) => offer,
        other => panic!("{other:?} instead of an offer"),
    }
}

#[tokio::test]
async fn hold_and_resume_by_reinvite() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        for (cseq, direction, mirrored) in
            [(10, "sendonly", "recvonly"), (11, "sendrecv", "sendrecv")]
        {
            call.line
                .send(call.line.request(&invite, "INVITE", cseq, "", &sdp(40000, direction)))
                .await;
            let asked = offer(&mut call).await;
            assert_eq!(
                (asked.method, asked.sdp.as_deref()),
                ("INVITE", Some(sdp(40000, direction).as_bytes()))
            );
            asked.accept(sdp(31000, mirrored).into_bytes()).await;
            let answer = call.line.want_code(200).await;
            assert_eq!(answer.body, sdp(31000, mirrored).into_bytes());
            assert_eq!((answer.get("content-type"), answer.cseq()), ("application/sdp", cseq));
            assert!(answer.get("contact").contains("01234567890@127.0.0.1"), "{answer:?}");
            call.line.send(call.line.request(&invite, "ACK", cseq, "", "")).await;
        }
        // A re-INVITE without SDP wants our offer.
        call.line.send(call.line.request(&invite, "INVITE", 12, "", "")).await;
        let asked = offer(&mut call).await;
        assert!(asked.sdp.is_none());
        asked.accept(sdp(31000, "sendrecv").into_bytes()).await;
        assert_eq!(call.line.want_code(200).await.body, sdp(31000, "sendrecv").into_bytes());
        call.line.send(call.line.request(&invite, "ACK", 12, "", "")).await;
        call.line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_offer_that_is_refused_or_dropped_leaves_the_call_up() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        call.line.send(call.line.request(&invite, "INVITE", 10, "", &sdp(40000, "inactive"))).await;
        offer(&mut call).await.refuse().await;
        call.line.want_code(488).await;
        call.line.send(call.line.request(&invite, "ACK", 10, "", "")).await;
        call.line.send(call.line.request(&invite, "UPDATE", 11, "", &sdp(40000, "inactive"))).await;
        drop(offer(&mut call).await);
        call.line.want_code(488).await;
        call.line.send(call.line.request(&invite, "OPTIONS", 12, "", "")).await;
        call.line.want_code(200).await;
        call.line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn update_info_and_options() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        call.line.send(call.line.request(&invite, "UPDATE", 10, "", &sdp(40000, "sendonly"))).await;
        let asked = offer(&mut call).await;
        assert_eq!(asked.method, "UPDATE");
        asked.accept(sdp(31000, "recvonly").into_bytes()).await;
        assert_eq!(call.line.want_code(200).await.body, sdp(31000, "recvonly").into_bytes());
        let kind = "Content-Type: application/dtmf-relay\r\n";
        call.line
            .send(call.line.request(&invite, "INFO", 11, kind, "Signal=5\r\nDuration=240\r\n"))
            .await;
        call.line.want_code(200).await;
        let Event::Info(info) = call.event().await else { panic!() };
        let pressed = info.dtmf().unwrap();
        assert_eq!((pressed.digit, pressed.duration.as_millis()), ('5', 240));
        call.line.send(call.line.request(&invite, "OPTIONS", 12, "", "")).await;
        let options = call.line.want_code(200).await;
        assert!(
            options.get("allow").contains("UPDATE") && options.get("supported") == "timer",
            "{options:?}"
        );
        for method in ["REFER", "MESSAGE", "NOTIFY", "SUBSCRIBE"] {
            call.line.send(call.line.request(&invite, method, 13, "", "")).await;
            call.line.want_code(405).await;
        }
        // An older CSeq.
        call.line.send(call.line.request(&invite, "INFO", 5, kind, "Signal=5\r\n")).await;
        call.line.want_code(500).await;
        call.line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn requests_right_behind_the_answer() {
    both(|transport| async move {
        for method in ["INFO", "BYE"] {
            let mut call = place(transport).await;
            let invite = call.line.want("INVITE").await;
            let answer = call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"));
            let kind = "Content-Type: application/dtmf-relay\r\n";
            let body = if method == "INFO" { "Signal=#\r\n" } else { "" };
            let request = call.line.request(
                &invite,
                method,
                10,
                if body.is_empty() { "" } else { kind },
                body,
            );
            call.line.send_all(&[answer, request]).await;
            call.line.want_code(200).await;
            call.answered().await;
            if method == "INFO" {
                let Event::Info(info) = call.event().await else { panic!() };
                assert_eq!(info.dtmf().unwrap().digit, '#');
                call.line.bye(&invite, 20).await;
            }
            call.end().await;
            call.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn requests_before_the_answer_are_answered() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line
            .send(call.line.response(&invite, "183 Session Progress", "", &sdp(40000, "sendrecv")))
            .await;
        call.event().await;
        for (cseq, method, body, code) in [
            (10, "OPTIONS", "", 200),
            (11, "UPDATE", "", 200),
            (12, "UPDATE", "v=0\r\n", 488),
            (13, "INFO", "", 200),
            (14, "BYE", "", 481),
        ] {
            call.line.send(call.line.request(&invite, method, cseq, "", body)).await;
            call.line.want_code(code).await;
        }
        call.line.send(call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"))).await;
        call.line.want("ACK").await;
        call.answered().await;
        call.line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn wrong_tags_and_unknown_calls_get_481() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) = call.line.answer("").await;
        call.answered().await;
        let (ours, theirs) = (invite.get("from"), format!("{};tag={TAG}", invite.get("to")));
        let wrong = ours.replace(param(ours, "tag"), "yyy");
        let line = &mut call.line;
        line.send(line.request_as(&invite, "BYE", 10, &theirs.replace(TAG, "zzz"), ours, "", ""))
            .await;
        line.want_code(481).await;
        line.send(line.request_as(&invite, "BYE", 11, &theirs, &wrong, "", "")).await;
        line.want_code(481).await;
        line.send(
            line.request(&invite, "BYE", 12, "", "").replace(invite.get("call-id"), "nope@x"),
        )
        .await;
        line.want_code(481).await;
        line.send(line.request(&invite, "CANCEL", 13, "", "")).await;
        line.want_code(481).await;
        // A stranger's call is not taken, a ping is answered.
        let out = format!("{}\r\nCall-ID: out@x", "<sip:me@127.0.0.1>");
        let strange = |method: &str, cseq| {
            let to = format!("To: {ours}\r\nCall-ID: {}", invite.get("call-id"));
            line.request_as(&invite, method, cseq, &theirs, ours, "", "")
                .replace(&to, &format!("To: {out}"))
        };
        let messages = [
            (strange("INVITE", 1), 403),
            (strange("OPTIONS", 2), 200),
            (strange("MESSAGE", 3), 405),
            (strange("BYE", 4), 481),
        ];
        for (message, code) in messages {
            line.send(message).await;
            line.want_code(code).await;
        }
        line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn our_info() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        let pressed = DtmfRelay { digit: '7', duration: std::time::Duration::from_millis(160) };
        let kind = "application/dtmf-relay";
        let early = call.dialog.info(kind, pressed.to_body()).await;
        assert!(matches!(early, Err(RequestError::NotAnswered)), "{early:?}");
        call.line.send(call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"))).await;
        call.line.want("ACK").await;
        call.answered().await;
        let evil = call.dialog.info("a\r\nVia: x", Vec::new()).await;
        assert!(matches!(evil, Err(RequestError::Invalid)), "{evil:?}");
        for (status, refused) in [("200 OK", None), ("415 Unsupported Media Type", Some(415))] {
            let dialog = call.dialog.clone();
            let sent = tokio::spawn(async move { dialog.info(kind, pressed.to_body()).await });
            let info = call.line.want("INFO").await;
            assert_eq!(
                (info.get("content-type"), info.body.as_slice()),
                (kind, &b"Signal=7\r\nDuration=160\r\n"[..])
            );
            call.line.send(call.line.response(&info, status, "", "")).await;
            match (sent.await.unwrap(), refused) {
                (Ok(()), None) => {}
                (Err(RequestError::Refused(code)), Some(expect)) => assert_eq!(code, expect),
                other => panic!("{other:?}"),
            }
        }
        call.line.bye(&invite, 20).await;
        call.end().await;
        let late = call.dialog.info(kind, pressed.to_body()).await;
        assert!(matches!(late, Err(RequestError::NotAnswered)), "{late:?}");
        call.finish().await;
    })
    .await;
}

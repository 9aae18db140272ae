//! Session timers.

use std::time::Duration;

use outdial_sip::{End, Event, UserAgent};

use crate::callee::{Placed, both, place, place_as, sdp, settings};

async fn quick(transport: outdial_sip::Transport) -> Placed {
    let mut settings = settings();
    settings.timers.min_session = Duration::from_secs(1);
    place_as(UserAgent::start(settings).await.unwrap(), transport, |_| {}).await
}

#[tokio::test]
async fn refreshes_of_the_callee_are_answered() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, _) =
            call.line.answer("Session-Expires: 1800;refresher=uas\r\nRequire: timer\r\n").await;
        call.answered().await;
        call.line
            .send(call.line.request(
                &invite,
                "UPDATE",
                10,
                "Session-Expires: 1800;refresher=uac\r\n",
                "",
            ))
            .await;
        let answer = call.line.want_code(200).await;
        assert_eq!(
            (answer.get("session-expires"), answer.get("require")),
            ("1800;refresher=uac", "timer")
        );
        assert!(answer.body.is_empty());
        call.line
            .send(call.line.request(&invite, "UPDATE", 11, "Session-Expires: 60\r\n", ""))
            .await;
        assert_eq!(call.line.want_code(422).await.get("min-se"), "90");
        let extra = "Session-Expires: 600\r\n";
        call.line
            .send(call.line.request(&invite, "INVITE", 12, extra, &sdp(40000, "sendrecv")))
            .await;
        let Event::Offer(offer) = call.event().await else { panic!() };
        offer.accept(sdp(31000, "sendrecv").into_bytes()).await;
        assert_eq!(call.line.want_code(200).await.get("session-expires"), "600;refresher=uac");
        call.line.send(call.line.request(&invite, "ACK", 12, "", "")).await;
        call.line.bye(&invite, 20).await;
        call.end().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn we_refresh_when_the_answer_says_so() {
    both(|transport| async move {
        let mut call = quick(transport).await;
        let timer = "Session-Expires: 2;refresher=uac\r\nRequire: timer\r\n";
        let (invite, _) = call.line.answer(timer).await;
        call.answered().await;
        for _ in 0..2 {
            let update = call.line.want("UPDATE").await;
            assert_eq!(
                (update.get("session-expires"), update.get("supported")),
                ("2;refresher=uac", "timer")
            );
            assert!(update.body.is_empty());
            call.line.send(call.line.response(&update, "200 OK", timer, "")).await;
        }
        // A callee that does not take UPDATE any more gets a re-INVITE with our SDP.
        let update = call.line.want("UPDATE").await;
        call.line.send(call.line.response(&update, "405 No", "", "")).await;
        let again = call.line.want("INVITE").await;
        assert_eq!(again.body, sdp(31000, "sendrecv").into_bytes());
        call.line.send(call.line.response(&again, "200 OK", "", &sdp(40000, "sendrecv"))).await;
        assert_eq!(call.line.want("ACK").await.cseq(), again.cseq());
        call.line.bye(&invite, 20).await;
        assert!(matches!(call.event().await, Event::Ended(End::RemoteHangUp { .. })));
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_or_not_known_any_more_ends() {
    both(|transport| async move {
        let mut call = quick(transport).await;
        call.line.answer("Session-Expires: 1;refresher=uas\r\n").await;
        call.answered().await;
        call.line.take_bye().await;
        let end = call.end().await;
        assert!(matches!(end, End::Protocol { .. }), "{end:?}");
        call.finish().await;

        let mut call = quick(transport).await;
        call.line.answer("Session-Expires: 2;refresher=uac\r\n").await;
        call.answered().await;
        let update = call.line.want("UPDATE").await;
        call.line.send(call.line.response(&update, "481 Gone", "", "")).await;
        call.line.take_bye().await;
        let end = call.end().await;
        assert!(matches!(end, End::Protocol { .. }), "{end:?}");
        call.finish().await;
    })
    .await;
}

//! Calls that we hang up before they are answered.

use std::time::Duration;

use outdial_sip::{End, Event, Transport, UserAgent};

use crate::callee::{Msg, Placed, both, place, place_as, sdp, settings};

/// The CANCEL of this INVITE.
fn check_cancel(invite: &Msg, cancel: &Msg) {
    assert_eq!(cancel.start, invite.start.replace("INVITE", "CANCEL"));
    assert_eq!((cancel.branch(), cancel.cseq()), (invite.branch(), invite.cseq()));
    assert_eq!((cancel.get("from"), cancel.get("to")), (invite.get("from"), invite.get("to")));
    assert!(cancel.body.is_empty());
}

/// Hangs up in the background.
fn hang_up(call: &Placed) -> tokio::task::JoinHandle<()> {
    let dialog = call.dialog.clone();
    tokio::spawn(async move { dialog.hang_up().await })
}

#[tokio::test]
async fn while_it_rings() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line.send(call.line.response(&invite, "180 Ringing", "", "")).await;
        assert!(matches!(call.event().await, Event::Ringing { code: 180 }));
        let hung_up = hang_up(&call);
        let cancel = call.line.want("CANCEL").await;
        check_cancel(&invite, &cancel);
        call.line.send(call.line.response(&cancel, "200 OK", "", "")).await;
        call.line.send(call.line.response(&invite, "487 Request Terminated", "", "")).await;
        let ack = call.line.want("ACK").await;
        assert_eq!((ack.branch(), ack.cseq()), (invite.branch(), invite.cseq()));
        hung_up.await.unwrap();
        assert_eq!(call.end().await, End::Cancelled);
        if transport == Transport::Udp {
            call.line.send(call.line.response(&invite, "487 Request Terminated", "", "")).await;
            call.line.want("ACK").await;
        }
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn before_anything_came_it_waits_for_the_first_answer() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        let hung_up = hang_up(&call);
        tokio::task::yield_now().await;
        call.line.send(call.line.response(&invite, "180 Ringing", "", "")).await;
        let cancel = call.line.want("CANCEL").await;
        check_cancel(&invite, &cancel);
        call.line.send(call.line.response(&cancel, "200 OK", "", "")).await;
        call.line.send(call.line.response(&invite, "487 Request Terminated", "", "")).await;
        call.line.want("ACK").await;
        hung_up.await.unwrap();
        assert_eq!(call.end().await, End::Cancelled);
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_crosses_the_cancel_is_hung_up() {
    both(|transport| async move {
        for cancelled in ["200 OK", "481 No such call"] {
            let mut call = place(transport).await;
            let invite = call.line.want("INVITE").await;
            call.line.send(call.line.response(&invite, "180 Ringing", "", "")).await;
            assert!(matches!(call.event().await, Event::Ringing { .. }));
            let hung_up = hang_up(&call);
            let cancel = call.line.want("CANCEL").await;
            let answer = call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"));
            call.line.send_all(&[answer, call.line.response(&cancel, cancelled, "", "")]).await;
            call.line.want("ACK").await;
            let bye = call.line.take_bye().await;
            assert_eq!(bye.cseq(), invite.cseq() + 1);
            hung_up.await.unwrap();
            assert!(matches!(call.event().await, Event::Ended(End::Cancelled)));
            call.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_busy_that_crosses_the_cancel_is_still_our_hang_up() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line.send(call.line.response(&invite, "180 Ringing", "", "")).await;
        call.event().await;
        let hung_up = hang_up(&call);
        call.line.want("CANCEL").await;
        call.line.send(call.line.response(&invite, "486 Busy Here", "", "")).await;
        call.line.want("ACK").await;
        hung_up.await.unwrap();
        assert_eq!(call.end().await, End::Cancelled);
        call.finish().await;
    })
    .await;
}

async fn impatient() -> UserAgent {
    let mut settings = settings();
    settings.timers.cancel = Duration::from_secs(1);
    settings.timers.bye = Duration::from_secs(1);
    UserAgent::start(settings).await.unwrap()
}

#[tokio::test]
async fn a_callee_that_ignores_the_cancel_is_left_and_hung_up_when_it_answers() {
    both(|transport| async move {
        let mut call = place_as(impatient().await, transport, |_| {}).await;
        let invite = call.line.want("INVITE").await;
        call.line.send(call.line.response(&invite, "180 Ringing", "", "")).await;
        call.event().await;
        let hung_up = hang_up(&call);
        let cancel = call.line.want("CANCEL").await;
        call.line.send(call.line.response(&cancel, "200 OK", "", "")).await;
        assert_eq!(call.end().await, End::Cancelled);
        hung_up.await.unwrap();
        call.line.send(call.line.response(&invite, "200 OK", "", &sdp(40000, "sendrecv"))).await;
        call.line.want("ACK").await;
        call.line.take_bye().await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_callee_that_does_not_answer_the_bye_is_left() {
    both(|transport| async move {
        let mut call = place_as(impatient().await, transport, |_| {}).await;
        call.line.answer("").await;
        call.answered().await;
        call.dialog.hang_up().await;
        assert_eq!(call.end().await, End::LocalHangUp);
        call.line.want("BYE").await;
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_lost_while_it_rings_ends_the_call_and_cancels_over_a_new_one() {
    let mut call = place(Transport::Tcp).await;
    let invite = call.line.want("INVITE").await;
    call.line.send(call.line.response(&invite, "180 Ringing", "", "")).await;
    call.event().await;
    call.line = call.dial_back().await;
    assert_eq!(call.end().await, End::ConnectionLost);
    let cancel = call.callee.line().await.want("CANCEL").await;
    check_cancel(&invite, &cancel);
    call.finish().await;
}

#[tokio::test]
async fn a_connection_closed_or_reset_without_an_answer() {
    for reset in [false, true] {
        let agent = crate::callee::agent().await;
        let callee = crate::callee::Callee::new(Transport::Tcp).await;
        let (_, mut events) = agent.invite(callee.invite()).await.unwrap();
        let stream = callee.stream().await;
        if reset {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
        let end = crate::callee::soon("the end", events.next()).await;
        assert!(matches!(end, Some(Event::Ended(End::ConnectionLost))), "{end:?}");
        crate::callee::soon("the shutdown", agent.shutdown()).await;
    }
}

#[tokio::test]
async fn shutting_down_hangs_up() {
    both(|transport| async move {
        let mut call = place(transport).await;
        call.line.answer("").await;
        call.answered().await;
        let agent = call.agent.clone();
        let ((), _) = tokio::join!(agent.shutdown(), call.line.take_bye());
        assert_eq!(call.end().await, End::LocalHangUp);
        assert!(agent.invite(call.callee.invite()).await.is_err());
    })
    .await;
}

//! Calls of an earlier process.

use outdial_sip::{Credentials, DialogSnapshot, OrphanError, Transport};

use crate::callee::{TAG, agent, both, param, place, soon};

/// As it would come back from a store.
fn stored(snapshot: &DialogSnapshot) -> DialogSnapshot {
    serde_json::from_str(&serde_json::to_string(snapshot).unwrap()).unwrap()
}

#[tokio::test]
async fn an_answered_call_is_hung_up_by_the_next_process() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let (invite, ack) = call.line.answer("").await;
        call.answered().await;
        let snapshot = stored(&call.dialog.snapshot().unwrap());
        let next = agent().await;
        let ending = tokio::spawn({
            let (next, snapshot) = (next.clone(), snapshot.clone());
            async move { next.bye_orphan(&snapshot, None).await }
        });
        if transport == Transport::Tcp {
            call.line = call.callee.line().await;
        }
        let bye = call.line.take_bye().await;
        ending.await.unwrap().unwrap();
        assert_eq!(bye.start.replace("BYE", "ACK"), ack.start);
        assert_eq!(
            (bye.get("call-id"), bye.get("from")),
            (invite.get("call-id"), invite.get("from"))
        );
        assert_eq!(param(bye.get("to"), "tag"), TAG);
        assert!(bye.cseq() > invite.cseq());
        // It is gone: that is fine as well. With a login a challenge is answered.
        let login = Credentials { username: "u".to_owned(), password: "secret".to_owned() };
        let ending = tokio::spawn({
            let next = next.clone();
            async move { next.bye_orphan(&snapshot, Some(&login)).await }
        });
        let bye = call.line.want("BYE").await;
        let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
        call.line.send(call.line.response(&bye, "401 Login", challenge, "")).await;
        let again = call.line.want("BYE").await;
        assert!(again.get("authorization").contains("username=\"u\""), "{again:?}");
        call.line.send(call.line.response(&again, "481 Gone", "", "")).await;
        ending.await.unwrap().unwrap();
        soon("the shutdown", next.shutdown()).await;
    })
    .await;
}

#[tokio::test]
async fn a_ringing_call_is_cancelled_by_the_next_process() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        let snapshot = stored(&call.dialog.snapshot().unwrap());
        assert!(snapshot.remote_tag.is_none());
        let next = agent().await;
        let ending = tokio::spawn({
            let next = next.clone();
            async move { next.bye_orphan(&snapshot, None).await }
        });
        if transport == Transport::Tcp {
            call.line = call.callee.line().await;
        }
        let cancel = call.line.want("CANCEL").await;
        assert_eq!(cancel.start, invite.start.replace("INVITE", "CANCEL"));
        assert_eq!(cancel.get("via"), invite.get("via"));
        assert_eq!(
            (cancel.cseq(), cancel.get("from"), cancel.get("to")),
            (invite.cseq(), invite.get("from"), invite.get("to"))
        );
        call.line.send(call.line.response(&cancel, "200 OK", "", "")).await;
        ending.await.unwrap().unwrap();
        soon("the shutdown", next.shutdown()).await;
    })
    .await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_sent() {
    let mut call = place(Transport::Tcp).await;
    call.line.answer("").await;
    call.answered().await;
    let good = call.dialog.snapshot().unwrap();
    let evil = "x\r\nVia: y".to_owned();
    let damaged = [
        DialogSnapshot { call_id: evil.clone(), ..good.clone() },
        DialogSnapshot { local_tag: evil.clone(), ..good.clone() },
        DialogSnapshot { remote_tag: Some(evil.clone()), ..good.clone() },
        DialogSnapshot { local_uri: evil.clone(), ..good.clone() },
        DialogSnapshot { remote_uri: "<sip:a@b>".to_owned(), ..good.clone() },
        DialogSnapshot { remote_target: String::new(), ..good.clone() },
        DialogSnapshot { route_set: vec![evil.clone()], ..good.clone() },
        DialogSnapshot { route_set: vec!["<sip:a;lr>".to_owned(); 100], ..good.clone() },
        DialogSnapshot { remote_tag: None, invite_via: evil, ..good.clone() },
    ];
    for snapshot in damaged {
        let result = call.agent.bye_orphan(&snapshot, None).await;
        assert!(matches!(result, Err(OrphanError::Damaged(_))), "{snapshot:?}: {result:?}");
    }
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let result = call.agent.bye_orphan(&DialogSnapshot { address: gone, ..good }, None).await;
    assert!(matches!(result, Err(OrphanError::Unreachable(_))), "{result:?}");
}

//! Digest logins.

use md5::{Digest, Md5};
use outdial_sip::{Credentials, End, Refusal};

use crate::callee::{Msg, Placed, agent, both, param, place, place_as, sdp};

fn login() -> Option<Credentials> {
    Some(Credentials { username: "u".to_owned(), password: "secret".to_owned() })
}

fn challenge(code: u16, nonce: &str, algorithm: &str) -> String {
    let name = if code == 407 { "Proxy-Authenticate" } else { "WWW-Authenticate" };
    format!(
        "{name}: Digest realm=\"exo.test\", algorithm={algorithm}, qop=\"auth\", nonce=\"{nonce}\"\r\n"
    )
}

/// One field of a digest header.
fn field<'a>(header: &'a str, name: &str) -> &'a str {
    let find = |part: &'a str| part.trim().strip_prefix(name)?.strip_prefix('=');
    let rest = header.strip_prefix("Digest ").unwrap();
    rest.split(',').find_map(find).unwrap_or_else(|| panic!("{name}: {header}")).trim_matches('"')
}

/// The repeated request proves that we know the password.
fn check_login(first: &Msg, second: &Msg, code: u16, method: &str) {
    let header = second.get(if code == 407 { "proxy-authorization" } else { "authorization" });
    let md5 = |text: String| -> String {
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let ha2 = md5(format!("{method}:{}", field(header, "uri")));
    let (nonce, nc) = (field(header, "nonce"), field(header, "nc"));
    let (cnonce, qop) = (field(header, "cnonce"), field(header, "qop"));
    let expect =
        md5(format!("{}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}", md5("u:exo.test:secret".to_owned())));
    assert_eq!(field(header, "response"), expect);
    assert_eq!((second.cseq(), second.get("call-id")), (first.cseq() + 1, first.get("call-id")));
    assert_ne!(second.branch(), first.branch());
    assert_eq!((second.get("from"), second.get("to")), (first.get("from"), first.get("to")));
    assert_eq!(second.body, first.body);
}

async fn placed_with_login(transport: outdial_sip::Transport) -> Placed {
    place_as(agent().await, transport, |invite| invite.credentials = login()).await
}

#[tokio::test]
async fn the_right_password() {
    both(|transport| async move {
        for code in [401, 407] {
            let mut call = placed_with_login(transport).await;
            let first = call.line.want("INVITE").await;
            let status = format!("{code} Who are you");
            call.line
                .send(call.line.response(&first, &status, &challenge(code, "n1", "MD5"), ""))
                .await;
            let ack = call.line.want("ACK").await;
            assert_eq!((ack.branch(), ack.cseq()), (first.branch(), first.cseq()));
            let second = call.line.want("INVITE").await;
            check_login(&first, &second, code, "INVITE");
            call.line
                .send(call.line.response(&second, "200 OK", "", &sdp(40000, "sendrecv")))
                .await;
            assert_eq!(call.line.want("ACK").await.cseq(), second.cseq());
            call.answered().await;
            // The BYE is challenged as well.
            let dialog = call.dialog.clone();
            let hang_up = tokio::spawn(async move { dialog.hang_up().await });
            let bye = call.line.want("BYE").await;
            assert_eq!(bye.cseq(), second.cseq() + 1);
            call.line
                .send(call.line.response(&bye, &status, &challenge(code, "n2", "MD5"), ""))
                .await;
            let again = call.line.want("BYE").await;
            check_login(&bye, &again, code, "BYE");
            call.line.send(call.line.response(&again, "200 OK", "", "")).await;
            hang_up.await.unwrap();
            assert_eq!(call.end().await, End::LocalHangUp);
            call.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_challenge_without_end_stops_at_the_second() {
    both(|transport| async move {
        let mut call = placed_with_login(transport).await;
        for round in ["n1", "n2"] {
            let invite = call.line.want("INVITE").await;
            call.line
                .send(call.line.response(&invite, "401 No", &challenge(401, round, "MD5"), ""))
                .await;
            call.line.want("ACK").await;
        }
        let end = call.end().await;
        assert!(matches!(end, End::Refused(Refusal { code: 401, .. })), "{end:?}");
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn without_a_login_or_with_an_unknown_scheme_the_challenge_is_the_refusal() {
    both(|transport| async move {
        let mut call = place(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line
            .send(call.line.response(&invite, "407 Login", &challenge(407, "n", "MD5"), ""))
            .await;
        call.line.want("ACK").await;
        let end = call.end().await;
        assert!(matches!(end, End::Refused(Refusal { code: 407, .. })), "{end:?}");
        call.finish().await;

        let mut call = placed_with_login(transport).await;
        let invite = call.line.want("INVITE").await;
        call.line
            .send(call.line.response(
                &invite,
                "401 Login",
                "WWW-Authenticate: Basic realm=\"x\"\r\n",
                "",
            ))
            .await;
        call.line.want("ACK").await;
        let end = call.end().await;
        assert!(matches!(end, End::Refused(Refusal { code: 401, .. })), "{end:?}");
        call.finish().await;
    })
    .await;
}

#[tokio::test]
async fn hanging_up_while_challenged_sends_no_second_invite() {
    both(|transport| async move {
        let mut call = placed_with_login(transport).await;
        let invite = call.line.want("INVITE").await;
        let dialog = call.dialog.clone();
        let hang_up = tokio::spawn(async move { dialog.hang_up().await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let _ = param(invite.get("from"), "tag");
        call.line
            .send(call.line.response(&invite, "401 Login", &challenge(401, "n", "MD5"), ""))
            .await;
        call.line.want("ACK").await;
        hang_up.await.unwrap();
        assert_eq!(call.end().await, End::Cancelled);
        call.finish().await;
    })
    .await;
}

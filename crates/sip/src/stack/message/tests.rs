use std::time::Duration;

use rsipstack::sip::SipMessage;

use super::*;

fn response(head: &str) -> Response {
    let text = format!(
        "SIP/2.0 {head}\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=f\r\n\
         To: <sip:c@d>;tag=t\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    match SipMessage::try_from(text.as_bytes()) {
        Ok(SipMessage::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_keep_what_came() {
    let refused = refusal(&response(
        "603 Decline\r\nX-Twilio-Error: 32203 blocked\r\nReason: Q.850;cause=21",
    ));
    assert_eq!((refused.code, refused.phrase.as_str()), (603, "Decline"));
    assert_eq!(refused.twilio_error.as_deref(), Some("32203 blocked"));
    assert_eq!(refused.reason.as_deref(), Some("Q.850;cause=21"));
    assert_eq!(refusal(&response("599 Own words")).phrase, "Own words");
}

#[test]
fn retry_after_is_read() {
    let check = |text: &str, expect: Option<u64>| {
        assert_eq!(retry_after(text), expect.map(Duration::from_secs), "{text}");
    };
    check("7", Some(7));
    check(" 18000 (I'm in a meeting);duration=3600", Some(18_000));
    check("", None);
    check("soon", None);
    check("99999999999", None);
}

#[test]
fn only_our_kind_of_headers_is_passed_on() {
    let many: String = (0..100).map(|n| format!("\r\nX-N{n}: {n}")).collect();
    let read = extensions(&response(&format!("200 OK\r\nServer: s\r\nx-a: b{many}")).headers);
    assert_eq!(read.len(), MOST_HEADERS);
    assert_eq!(read[0], ("x-a".to_owned(), "b".to_owned()));
}

/// Everything we ask of a message that came from outside.
fn look_at(bytes: &[u8]) {
    let Ok(message) = SipMessage::try_from(bytes) else { return };
    let sound = is_sound(&message);
    let _ = call_id(&message);
    match &message {
        SipMessage::Request(request) => {
            let _ = (to_tag(request), from_tag(request), contact_uri(request));
            let _ = sdp(&request.headers, &request.body);
            let _ = reason(&request.headers);
        }
        SipMessage::Response(response) => {
            let _ = (to_tag(response), answers(response), response_contact(response));
            let _ = (refusal(response), extensions(&response.headers), route_set(response));
        }
    }
    if sound {
        let _ = message.to_bytes();
    }
}

#[test]
fn any_bytes() {
    bolero::check!().for_each(|bytes: &[u8]| look_at(bytes));
}

/// Real messages with something broken in them come deeper.
#[test]
fn broken_messages() {
    let seeds = [
        "INVITE sip:a@b;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP h:5060;branch=z9hG4bK1;rport, SIP/2.0/UDP x\r\nRecord-Route: <sip:a;lr>, <sip:b;lr>\r\nFrom: \"A \\\" b\" <sip:a@b>;tag=1\r\nTo: <sip:c@[2001:db8::1]:5060>\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\nContact: <sip:a@b:1?x=y>;q=0.1\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0",
        "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;received=192.0.2.1;rport=99;branch=z\r\nf: <sip:a@b>;tag=1\r\nt: c <sip:c@d>;tag=2\r\ni: x\r\nCSeq: 7 INVITE\r\nm: <sip:a@b>\r\nRecord-Route: <sip:a;lr>\r\nSession-Expires: 90;refresher=uac\r\nRetry-After: 5\r\nl: 0\r\n\r\n",
    ];
    bolero::check!().with_type::<Vec<(bool, u16, u8)>>().for_each(|changes| {
        for seed in seeds {
            let mut bytes = seed.as_bytes().to_vec();
            for (remove, at, with) in changes {
                let at = usize::from(*at) % bytes.len().max(1);
                if *remove && bytes.len() > 1 {
                    bytes.remove(at);
                } else if let Some(byte) = bytes.get_mut(at) {
                    *byte = *with;
                }
            }
            look_at(&bytes);
        }
    });
}

use super::*;
use crate::srtp::{MasterKey, Suite};

mod answers;
mod bodies;
mod fuzz;
mod offers;

fn plain() -> Offer {
    Offer::new("203.0.113.5:31000".parse().unwrap(), vec![Codec::Pcma, Codec::Pcmu], false, 7)
}

fn encrypted() -> Offer {
    Offer::new("203.0.113.5:31000".parse().unwrap(), vec![Codec::Pcma, Codec::Pcmu], true, 7)
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

/// An SDP from 198.51.100.7 with these lines behind `t=`.
fn sdp(lines: &[&str]) -> String {
    let mut body =
        "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
            .to_owned();
    for line in lines {
        body.push_str(line);
        body.push_str("\r\n");
    }
    body
}

fn read(lines: &[&str]) -> Result<Remote, SdpError> {
    read_answer(&plain(), sdp(lines).as_bytes())
}

#[test]
fn the_offer_as_it_is_sent() {
    let expected = "v=0\r\n\
        o=- 7 1 IN IP4 203.0.113.5\r\n\
        s=-\r\n\
        c=IN IP4 203.0.113.5\r\n\
        t=0 0\r\n\
        m=audio 31000 RTP/AVP 8 0 101\r\n\
        a=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-16\r\n\
        a=ptime:20\r\n\
        a=sendrecv\r\n";
    assert_eq!(text(plain().to_bytes()), expected);
}

#[test]
fn an_encrypted_offer_has_a_key_for_each_suite_and_no_plain_rtp() {
    let offer = encrypted();
    let body = text(offer.to_bytes());
    assert!(body.contains("m=audio 31000 RTP/SAVP 8 0 101\r\n"), "{body}");
    assert_eq!(body.matches("m=audio").count(), 1);
    assert!(body.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), "{body}");
    assert!(body.contains("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:"), "{body}");
    let [first, second] = offer.crypto.as_slice() else { panic!("two lines") };
    assert_ne!(first.to_value().split(':').nth(1), second.to_value().split(':').nth(1));
    assert_eq!((first.key.suite(), second.key.suite()), (Suite::Sha1_80, Suite::Sha1_32));
}

#[test]
fn an_ipv6_offer() {
    let offer = Offer { address: "[2001:db8::5]:31000".parse().unwrap(), ..plain() };
    let body = text(offer.to_bytes());
    assert!(body.contains("o=- 7 1 IN IP6 2001:db8::5\r\n"), "{body}");
    assert!(body.contains("c=IN IP6 2001:db8::5\r\n"), "{body}");
}

/// What a debug print of an SDP's parts may show.
#[test]
fn keys_are_never_printed() {
    let offer = encrypted();
    let body = offer.to_bytes();
    let remote = read_answer(&offer, &body).unwrap();
    let printed = format!("{offer:?} {remote:?} {:?}", read_answer(&plain(), &body));
    for line in &offer.crypto {
        let value = line.to_value();
        let key = value.split("inline:").nth(1).unwrap();
        assert!(!printed.contains(key));
    }
    assert!(!printed.contains("key_and_salt:"), "{printed}");
}

/// The peer that answers with the same SDP.
#[test]
fn our_own_offer_reads_as_an_answer() {
    let remote = read_answer(&plain(), &plain().to_bytes()).unwrap();
    let expected = Remote { comfort_noise: None, ..Remote::new(plain().address, Codec::Pcma) };
    assert_eq!(remote, expected);
}

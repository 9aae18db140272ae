use super::*;

const PCMA: &str = "m=audio 4000 RTP/AVP 8 0 101";

/// Our answer, line by line behind `t=`, and what theirs means.
fn answered(ours: &mut Offer, lines: &[&str]) -> (Vec<String>, Remote) {
    let (body, remote) = answer(ours, sdp(lines).as_bytes()).unwrap();
    let body = text(body);
    let lines = body.lines().skip_while(|line| !line.starts_with("t=")).skip(1);
    (lines.map(str::to_owned).collect(), remote)
}

#[test]
fn hold_and_resume() {
    let mut ours = plain();
    let (body, remote) = answered(&mut ours, &[PCMA, "a=sendonly"]);
    let expected = ["m=audio 31000 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=ptime:20", "a=recvonly"];
    assert_eq!(body, expected);
    assert!(remote.is_hold());
    assert_eq!((ours.version, ours.direction), (2, Direction::RecvOnly));

    let (body, remote) = answered(&mut ours, &[PCMA, "a=inactive"]);
    assert_eq!(body.last().unwrap(), "a=inactive");
    assert!(remote.is_hold());

    let (body, remote) = answered(&mut ours, &[PCMA, "a=sendrecv"]);
    assert_eq!(body.last().unwrap(), "a=sendrecv");
    assert!(!remote.is_hold());
    assert_eq!((ours.version, ours.direction), (4, Direction::SendRecv));
    // Both laws are still ours to speak.
    assert_eq!(ours.codecs, plain().codecs);
}

#[test]
fn directions_are_mirrored() {
    #[track_caller]
    fn check(lines: &[&str], expected: &str) {
        let mut ours = plain();
        let mut all = vec![PCMA];
        all.extend(lines);
        let (body, _) = answered(&mut ours, &all);
        assert_eq!(body.last().unwrap(), expected);
        assert_eq!(format!("a={}", ours.direction.name()), expected);
    }
    check(&[], "a=sendrecv");
    check(&["a=sendonly"], "a=recvonly");
    check(&["a=recvonly"], "a=sendonly");
    check(&["a=inactive"], "a=inactive");
    // The hold of old.
    check(&["c=IN IP4 0.0.0.0"], "a=recvonly");
    check(&["c=IN IP4 0.0.0.0", "a=inactive"], "a=inactive");
}

#[test]
fn the_whole_answer() {
    let mut ours = plain();
    let theirs = "v=0\r\n\
        o=- 9 4 IN IP4 198.51.100.7\r\n\
        s=-\r\n\
        c=IN IP4 198.51.100.7\r\n\
        t=5 6\r\n\
        m=audio 4000 RTP/AVPF 18 97 102\r\n\
        a=rtpmap:97 PCMU/8000\r\n\
        a=rtpmap:102 telephone-event/8000\r\n\
        a=rtcp-mux\r\n";
    let (body, remote) = answer(&mut ours, theirs.as_bytes()).unwrap();
    // Their numbers, their transport, their time; one codec; the port is not shared.
    let expected = "v=0\r\n\
        o=- 7 2 IN IP4 203.0.113.5\r\n\
        s=-\r\n\
        c=IN IP4 203.0.113.5\r\n\
        t=5 6\r\n\
        m=audio 31000 RTP/AVPF 97 102\r\n\
        a=rtpmap:97 PCMU/8000\r\n\
        a=rtpmap:102 telephone-event/8000\r\n\
        a=fmtp:102 0-16\r\n\
        a=ptime:20\r\n\
        a=sendrecv\r\n";
    assert_eq!(text(body), expected);
    assert_eq!((remote.codec, remote.payload_type), (Codec::Pcmu, 97));
    assert_eq!(remote.telephone_event, Some(102));
    assert!(!remote.rtcp_mux);
    assert_eq!(remote.rtcp.unwrap().port(), 4001);
}

#[test]
fn another_codec_and_address() {
    let mut ours = plain();
    let (body, remote) = answered(&mut ours, &["m=audio 4100 RTP/AVP 0 8", "c=IN IP4 192.0.2.8"]);
    assert_eq!(body[0], "m=audio 31000 RTP/AVP 0");
    assert_eq!(remote.codec, Codec::Pcmu);
    assert_eq!(remote.address, Some("192.0.2.8:4100".parse().unwrap()));
    // They may still send what they offered besides.
    assert_eq!(remote.payload(8), Some(Payload::Audio(Codec::Pcma)));
}

#[test]
fn all_but_one_section_is_refused_in_its_place() {
    let mut ours = plain();
    let (body, remote) = answered(
        &mut ours,
        &[
            "m=video 5000 RTP/AVP 96 97",
            "a=rtpmap:96 H264/90000",
            "m=audio 4000 RTP/AVP 8",
            "m=audio 4002 RTP/AVP 0",
            "m=image 4004 udptl t38",
        ],
    );
    let sections: Vec<_> = body.iter().filter(|line| line.starts_with("m=")).collect();
    let expected = [
        "m=video 0 RTP/AVP 96 97",
        "m=audio 31000 RTP/AVP 8",
        "m=audio 0 RTP/AVP 0",
        "m=image 0 udptl t38",
    ];
    assert_eq!(sections, expected);
    assert_eq!(remote.address.unwrap().port(), 4000);
}

#[test]
fn audio_may_be_taken_out_and_put_back() {
    let mut ours = plain();
    let (body, remote) = answered(&mut ours, &["m=audio 0 RTP/AVP 8"]);
    assert_eq!(body, ["m=audio 0 RTP/AVP 8"]);
    assert!(remote.is_hold());
    assert_eq!((remote.address, remote.direction), (None, Direction::Inactive));
    assert_eq!(remote.payload(8), None);

    // Without a format of ours, or an address.
    let (_, remote) = answered(&mut ours, &["m=audio 0 RTP/AVP 18"]);
    assert!(remote.is_hold());

    let (body, remote) = answered(&mut ours, &[PCMA]);
    assert_eq!(body[0], "m=audio 31000 RTP/AVP 8");
    assert!(!remote.is_hold());
    assert_eq!(ours.version, 4);
}

#[test]
fn what_cannot_be_answered_changes_nothing() {
    for (mut ours, lines) in [
        (plain(), vec!["m=audio 4000 RTP/AVP 18"]),
        (plain(), vec!["m=video 4000 RTP/AVP 8"]),
        (plain(), vec!["m=audio 4000 RTP/SAVP 8"]),
        (plain(), vec![PCMA, "c=IN IP4 host.example.com"]),
        (encrypted(), vec![PCMA]),
        (encrypted(), vec!["m=audio 4000 RTP/SAVP 8"]),
    ] {
        let before = ours.clone();
        answer(&mut ours, sdp(&lines).as_bytes()).unwrap_err();
        assert_eq!(ours, before);
    }
}

/// Offer, answer and the keys of both sides, over several suites.
#[test]
fn keys_stay_as_long_as_their_suite() {
    let mut ours = encrypted();
    let first = ours.crypto[0].key.clone();
    let theirs = |suite| CryptoLine { tag: 9, key: MasterKey::generate(suite) };
    let long = theirs(Suite::Sha1_80);
    let short = theirs(Suite::Sha1_32);
    let mut renew = |lines: &[&CryptoLine]| {
        let lines: Vec<_> =
            lines.iter().map(|line| format!("a=crypto:{}", line.to_value())).collect();
        let mut all = vec!["m=audio 4000 RTP/SAVP 8"];
        all.extend(lines.iter().map(String::as_str));
        let (body, remote) = answered(&mut ours, &all);
        (body, remote.crypto.unwrap())
    };

    let (body, keys) = renew(&[&long, &short]);
    assert_eq!(body[0], "m=audio 31000 RTP/SAVP 8");
    assert!(body.iter().any(|line| line.starts_with("a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:")));
    assert_eq!(body.iter().filter(|line| line.starts_with("a=crypto")).count(), 1);
    assert_eq!(keys, MediaKeys { send: first.clone(), receive: long.key.clone() });

    // A hold: the same keys, so that nothing starts again.
    assert_eq!(renew(&[&long]).1, keys);

    // Another suite has another key of ours, and the old one never comes back.
    let (_, other) = renew(&[&short]);
    assert_eq!(other.receive, short.key);
    assert_ne!(other.send, first);
    let (_, again) = renew(&[&long]);
    assert_ne!(again.send, first);
}

/// A line that we do not understand is passed over in an offer.
#[test]
fn the_first_usable_key_of_an_offer_counts() {
    let mut ours = encrypted();
    let usable = CryptoLine { tag: 3, key: MasterKey::generate(Suite::Sha1_32) };
    let lines = [
        "m=audio 4000 RTP/SAVP 8".to_owned(),
        "a=crypto:1 AEAD_AES_256_GCM inline:abcd".to_owned(),
        "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:4".to_owned(),
        format!("a=crypto:{}", usable.to_value()),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let (body, remote) = answered(&mut ours, &lines);
    assert!(body.iter().any(|line| line.starts_with("a=crypto:3 AES_CM_128_HMAC_SHA1_32 ")));
    assert_eq!(remote.crypto.unwrap().receive, usable.key);
}

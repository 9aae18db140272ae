use super::*;
use std::fmt::Write as _;

const PCMA: &str = "m=audio 4000 RTP/AVP 8";

fn peer(port: u16) -> SocketAddr {
    SocketAddr::new("198.51.100.7".parse().unwrap(), port)
}

#[test]
fn the_codec_is_the_first_of_theirs_that_is_ours() {
    #[track_caller]
    fn check(lines: &[&str], codec: Codec, payload_type: u8) {
        let remote = read(lines).unwrap();
        assert_eq!((remote.codec, remote.payload_type), (codec, payload_type));
    }
    check(&[PCMA], Codec::Pcma, 8);
    check(&["m=audio 4000 RTP/AVP 0"], Codec::Pcmu, 0);
    check(&["m=audio 4000 RTP/AVP 0 8"], Codec::Pcmu, 0);
    check(&["m=audio 4000 RTP/AVP 18 8 0"], Codec::Pcma, 8);
    check(&["m=audio 4000 RTP/AVP 101 13 0"], Codec::Pcmu, 0);
    // A number of their own for a codec of ours.
    check(&["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMA/8000"], Codec::Pcma, 97);
    check(&["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 pcmu/8000/1"], Codec::Pcmu, 97);
    // What they write counts more than what the number stands for.
    check(&["m=audio 4000 RTP/AVP 8", "a=rtpmap:8 PCMU/8000"], Codec::Pcmu, 8);
    // Numbers that do not exist, and words.
    check(&["m=audio 4000 RTP/AVP 999 128 x -1 8"], Codec::Pcma, 8);
    // The first line for a number counts.
    check(
        &["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMA/8000", "a=rtpmap:97 L16/8000"],
        Codec::Pcma,
        97,
    );
}

#[test]
fn no_codec_in_common() {
    #[track_caller]
    fn check(lines: &[&str], said: &str) {
        let error = read(lines).unwrap_err();
        let SdpError::NoCommonCodec { ours, theirs } = &error else { panic!("{error}") };
        assert_eq!((ours.as_str(), theirs.as_str()), ("PCMA, PCMU", said));
    }
    check(&["m=audio 4000 RTP/AVP 18"], "payload type 18");
    check(&["m=audio 4000 RTP/AVP 18", "a=rtpmap:18 G729/8000"], "G729");
    check(
        &[
            "m=audio 4000 RTP/AVP 18 101",
            "a=rtpmap:18 G729/8000",
            "a=rtpmap:101 telephone-event/8000",
        ],
        "G729, telephone-event",
    );
    check(&["m=audio 4000 RTP/AVP x"], "nothing that is known");
    // 16 kHz, stereo, and a static number that stands for something else.
    check(&["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMA/16000"], "PCMA");
    check(&["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMA/8000/2"], "PCMA");
    check(&["m=audio 4000 RTP/AVP 8", "a=rtpmap:8 AMR/8000"], "AMR");
    // We offered one law, they answer the other.
    let offer = Offer { codecs: vec![Codec::Pcma], ..plain() };
    let error = read_answer(&offer, sdp(&["m=audio 4000 RTP/AVP 0"]).as_bytes()).unwrap_err();
    assert!(matches!(error, SdpError::NoCommonCodec { .. }), "{error}");
}

#[test]
fn what_is_accepted_from_a_peer() {
    let remote = read(&[
        "m=audio 4000 RTP/AVP 97 0 96 18",
        "a=rtpmap:97 PCMA/8000",
        "a=rtpmap:96 telephone-event/8000",
    ])
    .unwrap();
    let accepted = |number| remote.payload(number);
    assert_eq!(accepted(97), Some(Payload::Audio(Codec::Pcma)));
    assert_eq!(accepted(0), Some(Payload::Audio(Codec::Pcmu)));
    assert_eq!(accepted(96), Some(Payload::TelephoneEvent));
    // Offered by us, so they may send it whatever they listed.
    assert_eq!(accepted(8), Some(Payload::Audio(Codec::Pcma)));
    assert_eq!(accepted(101), Some(Payload::TelephoneEvent));
    // Often sent without a word.
    assert_eq!(accepted(13), Some(Payload::ComfortNoise));
    for foreign in [18, 3, 95, 127, 128, 255] {
        assert_eq!(accepted(foreign), None);
    }
    assert_eq!(remote.telephone_event, Some(96));
    assert_eq!(remote.comfort_noise, None);
}

#[test]
fn their_numbers_count_more_than_ours() {
    let remote = read(&["m=audio 4000 RTP/AVP 101", "a=rtpmap:101 PCMA/8000"]).unwrap();
    assert_eq!(remote.payload(101), Some(Payload::Audio(Codec::Pcma)));
    assert_eq!(remote.telephone_event, None);
}

#[test]
fn dtmf_at_other_rates_is_not_ours() {
    let remote = read(&[
        "m=audio 4000 RTP/AVP 8 96 102",
        "a=rtpmap:96 telephone-event/48000",
        "a=rtpmap:102 Telephone-Event/8000",
    ])
    .unwrap();
    assert_eq!(remote.telephone_event, Some(102));
    assert_eq!(remote.payload(96), None);
}

#[test]
fn addresses() {
    #[track_caller]
    fn check(session: &str, section: &[&str], expected: Result<Option<&str>, &str>) {
        let offer = match session {
            line if line.contains("IP6") => {
                Offer { address: "[2001:db8::5]:31000".parse().unwrap(), ..plain() }
            }
            _ => plain(),
        };
        let mut body =
            format!("v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\n{session}\r\nt=0 0\r\n");
        for line in [PCMA].iter().chain(section) {
            write!(body, "{line}\r\n").unwrap();
        }
        let read = read_answer(&offer, body.as_bytes());
        match expected {
            Ok(expected) => {
                let expected = expected.map(|address| address.parse().unwrap());
                assert_eq!(read.unwrap().address, expected);
            }
            Err(expected) => assert_eq!(read.unwrap_err().to_string(), expected),
        }
    }
    check("c=IN IP4 192.0.2.1", &[], Ok(Some("192.0.2.1:4000")));
    // The section's own line counts.
    check("c=IN IP4 192.0.2.1", &["c=IN IP4 192.0.2.2"], Ok(Some("192.0.2.2:4000")));
    check("b=AS:64", &["c=IN IP4 192.0.2.2"], Ok(Some("192.0.2.2:4000")));
    check(
        "c=IN IP4 192.0.2.1",
        &["c=IN IP4 192.0.2.2", "c=IN IP4 192.0.2.3"],
        Ok(Some("192.0.2.2:4000")),
    );
    check("c=IN  IP4   192.0.2.1/127", &[], Ok(Some("192.0.2.1:4000")));
    check("c=IN IP6 2001:db8::9", &[], Ok(Some("[2001:db8::9]:4000")));
    // The hold of old.
    check("c=IN IP4 0.0.0.0", &[], Ok(None));
    check("c=IN IP4 192.0.2.1", &["c=IN IP4 0.0.0.0"], Ok(None));
    check("c=IN IP6 ::", &[], Ok(None));
    check("c=IN IP6 hold.invalid", &[], Ok(None));
    check("b=AS:64", &[], Err("the SDP has no address (c=)"));
    check(
        "c=IN IP4 media.example.com",
        &[],
        Err("the address \"media.example.com\" in the SDP cannot be used: it is not an IP address"),
    );
    check(
        "c=IN IP4 224.2.1.1/127",
        &[],
        Err("the address \"224.2.1.1/127\" in the SDP cannot be used: it is that of a group"),
    );
    check(
        "c=IN IP4 255.255.255.255",
        &[],
        Err("the address \"255.255.255.255\" in the SDP cannot be used: it is that of a group"),
    );
    check(
        "c=IN IP4 192.0.2.1",
        &["c=IN IP6 2001:db8::9"],
        Err("the address \"2001:db8::9\" in the SDP cannot be used: its IP version is not ours"),
    );
    check("c=IN IP4 ::ffff:192.0.2.1", &[], Ok(Some("192.0.2.1:4000")));
}

#[test]
fn where_rtcp_goes() {
    #[track_caller]
    fn check(lines: &[&str], expected: Option<&str>) {
        let mut all = vec![PCMA];
        all.extend(lines);
        let remote = read(&all).unwrap();
        assert_eq!(remote.rtcp, expected.map(|address| address.parse().unwrap()));
    }
    check(&[], Some("198.51.100.7:4001"));
    check(&["a=rtcp:5000"], Some("198.51.100.7:5000"));
    check(&["a=rtcp:5000 IN IP4 192.0.2.9"], Some("192.0.2.9:5000"));
    check(&["a=rtcp-mux"], Some("198.51.100.7:4000"));
    // Nonsense counts as nothing.
    for nonsense in [
        "a=rtcp:",
        "a=rtcp",
        "a=rtcp:0",
        "a=rtcp:70000",
        "a=rtcp:5000 IN IP4 host",
        "a=rtcp:5000 IN IP6 ff02::1",
    ] {
        check(&[nonsense], Some("198.51.100.7:4001"));
    }
    check(&["c=IN IP4 0.0.0.0"], None);
    assert_eq!(read(&["m=audio 65535 RTP/AVP 8"]).unwrap().rtcp, None);
}

#[test]
fn how_long_packets_are() {
    #[track_caller]
    fn check(lines: &[&str], expected: u8) {
        let mut all = vec![PCMA];
        all.extend(lines);
        assert_eq!(read(&all).unwrap().ptime, expected);
    }
    check(&[], 20);
    check(&["a=ptime:10"], 10);
    check(&["a=ptime:30"], 30);
    check(&["a=ptime:60", "a=maxptime:40"], 40);
    check(&["a=maxptime:10"], 10);
    for nonsense in ["a=ptime:", "a=ptime:0", "a=ptime:-20", "a=ptime:900", "a=ptime:x", "a=ptime"]
    {
        check(&[nonsense], 20);
    }
}

#[test]
fn directions_and_hold() {
    #[track_caller]
    fn check(lines: &[&str], direction: Direction, hold: bool) {
        let remote = read(lines).unwrap();
        assert_eq!((remote.direction, remote.is_hold()), (direction, hold));
    }
    check(&[PCMA], Direction::SendRecv, false);
    check(&[PCMA, "a=sendonly"], Direction::SendOnly, true);
    check(&[PCMA, "a=recvonly"], Direction::RecvOnly, false);
    check(&[PCMA, "a=inactive"], Direction::Inactive, true);
    // For the whole session, unless the section says otherwise.
    check(&["a=inactive", PCMA], Direction::Inactive, true);
    check(&["a=inactive", PCMA, "a=sendrecv"], Direction::SendRecv, false);
    // Without an address nobody listens.
    check(&[PCMA, "c=IN IP4 0.0.0.0"], Direction::SendOnly, true);
    check(&[PCMA, "c=IN IP4 0.0.0.0", "a=recvonly"], Direction::Inactive, true);
    check(&[PCMA, "c=IN IP4 0.0.0.0", "a=inactive"], Direction::Inactive, true);
}

#[test]
fn sections() {
    assert_eq!(read(&[]).unwrap_err(), SdpError::NoAudio);
    assert_eq!(read(&["m=video 4000 RTP/AVP 96"]).unwrap_err(), SdpError::NoAudio);
    assert_eq!(read(&["m=audio 0 RTP/AVP 8"]).unwrap_err(), SdpError::AudioRefused);
    let several = [
        "m=video 5000 RTP/AVP 96",
        "m=audio 0 RTP/AVP 8",
        "m=image 6000 udptl t38",
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4002 RTP/AVP 8",
    ];
    let remote = read(&several).unwrap();
    assert_eq!((remote.address, remote.codec), (Some(peer(4000)), Codec::Pcmu));
    // An attribute belongs to its section.
    let mixed =
        [PCMA, "m=video 5000 RTP/AVP 96", "a=inactive", "c=IN IP4 192.0.2.99", "a=ptime:40"];
    let remote = read(&mixed).unwrap();
    assert_eq!(
        (remote.address, remote.direction, remote.ptime),
        (Some(peer(4000)), Direction::SendRecv, 20)
    );
    // A port count says nothing.
    assert_eq!(read(&["m=audio 4000/2 RTP/AVP 8"]).unwrap().address, Some(peer(4000)));
}

#[test]
fn transports() {
    #[track_caller]
    fn check(ours: &Offer, transport: &str, expected: &str) {
        let key =
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
        let lines = [&format!("m=audio 4000 {transport} 8"), key];
        let read = read_answer(ours, sdp(&lines).as_bytes());
        match read {
            Ok(remote) => {
                assert_eq!("ok", expected);
                assert_eq!(remote.crypto.is_some(), !ours.crypto.is_empty());
            }
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }
    let not_encrypted = "the audio would not be encrypted, but the trunk requires it";
    let encrypted_too = "the audio would be encrypted (SRTP), but the trunk does not ask for it";
    let dtls = "the transport \"UDP/TLS/RTP/SAVPF\" of the audio cannot be used";
    check(&plain(), "RTP/AVP", "ok");
    check(&plain(), "rtp/avp", "ok");
    check(&plain(), "RTP/AVPF", "ok");
    check(&plain(), "RTP/SAVP", encrypted_too);
    check(&plain(), "UDP/TLS/RTP/SAVPF", dtls);
    check(&encrypted(), "RTP/SAVP", "ok");
    check(&encrypted(), "RTP/SAVPF", "ok");
    check(&encrypted(), "RTP/AVP", not_encrypted);
    check(&encrypted(), "RTP/AVPF", not_encrypted);
    check(&encrypted(), "UDP/TLS/RTP/SAVPF", dtls);
}

#[test]
fn keys_of_an_answer() {
    #[track_caller]
    fn check(lines: &[&str], expected: Result<Suite, SdpError>) {
        let ours = encrypted();
        let mut all = vec!["m=audio 4000 RTP/SAVP 8"];
        all.extend(lines);
        match read_answer(&ours, sdp(&all).as_bytes()) {
            Ok(remote) => {
                let keys = remote.crypto.unwrap();
                let suite = expected.unwrap();
                assert_eq!((keys.send.suite(), keys.receive.suite()), (suite, suite));
                assert!(ours.crypto.iter().any(|line| line.key == keys.send));
                assert_ne!(keys.send, keys.receive);
            }
            Err(error) => assert_eq!(Err(error), expected),
        }
    }
    let key = "inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
    let line = |tag: &str, suite: &str, rest: &str| format!("a=crypto:{tag} {suite} {key}{rest}");
    let long = "AES_CM_128_HMAC_SHA1_80";
    let short = "AES_CM_128_HMAC_SHA1_32";
    check(&[&line("1", long, "")], Ok(Suite::Sha1_80));
    check(&[&line("1", long, "|2^48")], Ok(Suite::Sha1_80));
    check(&[&line("2", short, "|2^31")], Ok(Suite::Sha1_32));
    check(&[], Err(SdpError::NoKey));
    // The tag and the suite must be those of one line.
    check(&[&line("2", long, "")], Err(SdpError::UnknownKey));
    check(&[&line("3", long, "")], Err(SdpError::UnknownKey));
    check(&["a=crypto"], Err(SdpError::Key(CryptoLineError::Malformed)));
    check(
        &[&line("1", "AES_256_CM_HMAC_SHA1_80", "")],
        Err(SdpError::Key(CryptoLineError::UnknownSuite)),
    );
    check(&[&line("1", long, "|2^20|1:4")], Err(SdpError::Key(CryptoLineError::KeyIndex)));
    check(&[&line("1", long, "|2^10")], Err(SdpError::Key(CryptoLineError::ShortLived)));
    check(
        &[&line("1", long, " UNENCRYPTED_SRTP")],
        Err(SdpError::Key(CryptoLineError::SessionParameters)),
    );
}

#[test]
fn bodies_that_are_none() {
    let read = |body: &[u8]| read_answer(&plain(), body).unwrap_err();
    assert_eq!(read(b""), SdpError::Empty);
    assert_eq!(read(b" \r\n\r\n"), SdpError::Empty);
    assert_eq!(read(&[b'a'; MAX_BODY + 1]), SdpError::TooLarge(MAX_BODY + 1));
    assert!(matches!(read(b"hello"), SdpError::Malformed(_)));
    assert!(matches!(read(b"v=1\r\nm=audio 4000 RTP/AVP 8\r\n"), SdpError::Malformed(_)));
    assert!(matches!(read(&[0xff; 100]), SdpError::Malformed(_)));
    for line in [
        "m=audio",
        "m=audio x RTP/AVP 8",
        "m=audio 70000 RTP/AVP 8",
        "m=audio 4000",
        "m=audio 4000 RTP/AVP",
    ] {
        let error = read(sdp(&[line]).as_bytes());
        assert!(matches!(error, SdpError::Malformed(_)), "{line}: {error}");
    }
}

/// 16 KiB of anything is read in one pass, not in one pass for each line.
#[test]
fn the_longest_bodies() {
    let mut body = sdp(&["m=audio 4000 RTP/AVP 8"]);
    while body.len() < MAX_BODY - 32 {
        body.push_str("a=rtpmap:97 x/8000\r\n");
    }
    assert_eq!(read_answer(&plain(), body.as_bytes()).unwrap().payload_type, 8);
    let numbers = " 97".repeat(4000);
    let body = sdp(&[&format!("m=audio 4000 RTP/AVP{numbers} 8")]);
    let remote = read_answer(&plain(), body.as_bytes()).unwrap();
    assert_eq!(remote.payload_type, 8);
    assert!(remote.accepts.len() < 10);
}

/// What goes to a log is short and has no line breaks.
#[test]
fn errors_quote_little() {
    let long = "x".repeat(5000);
    let errors = [
        read(&["m=audio 4000 RTP/AVP 97", &format!("a=rtpmap:97 {long}/8000")]).unwrap_err(),
        read(&[&format!("m=audio 4000 {long} 8")]).unwrap_err(),
        read(&[PCMA, &format!("c=IN IP4 {long}")]).unwrap_err(),
        read(&["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 \u{1b}[31mG\u{fffd}/8000"]).unwrap_err(),
    ];
    for error in errors {
        let said = error.to_string();
        assert!(said.len() < 250, "{} bytes", said.len());
        assert!(said.chars().all(|char| char == ' ' || char.is_ascii_graphic()), "{said:?}");
    }
}

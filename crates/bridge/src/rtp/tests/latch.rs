use super::*;

/// Trusted, and the right address with another port.
const SAME_HOST: &str = "192.0.2.10:5000";
/// Of the networks that are trusted.
const TRUSTED: &str = "198.51.100.7:6000";
const STRANGER: &str = "203.0.113.9:4000";

#[test]
fn before_an_sdp_nothing_is_heard_or_answered() {
    let mut rig = Rig::new();
    assert_eq!(rig.stream_from(PEER, SSRC, 0..100), 0);
    rig.talk(10_000);
    rig.leg.answered(rig.now);
    assert_eq!(rig.stream_from(PEER, SSRC, 100..200), 0);
    rig.talk(10_000);
    assert_eq!(rig.sent_to(), []);
    assert_eq!(rig.leg.quality().discarded, 200);
}

#[test]
fn early_media_is_heard_but_not_spoken_into() {
    let mut rig = Rig::early();
    assert_eq!(rig.stream_from(PEER, SSRC, 0..50), 50);
    rig.talk(20_000);
    assert_eq!(rig.leg.send_dtmf(&"1".parse().unwrap()), Err(DtmfError::NotAnswered));
    assert_eq!((rig.sent_to(), rig.events()), (vec![], vec![Event::EarlyAudio]));
    rig.leg.answered(rig.now);
    rig.talk(20);
    assert_eq!(rig.sent_to(), [address(PEER)]);
}

#[test]
fn before_the_answer_no_other_source_is_heard() {
    for from in [SAME_HOST, TRUSTED, STRANGER] {
        let mut rig = Rig::early();
        assert_eq!(rig.stream_from(from, SSRC, 0..500), 0, "{from}");
        assert_eq!(rig.stream_from(PEER, SSRC, 500..510), 10);
        rig.leg.answered(rig.now);
        rig.talk(20);
        assert_eq!(rig.sent_to(), [address(PEER)], "{from}");
    }
}

#[test]
fn while_the_right_source_sends_no_other_is_heard() {
    for from in [SAME_HOST, TRUSTED, STRANGER] {
        let mut rig = Rig::answered();
        for n in 0..1_000 {
            assert_eq!(rig.receive(audio(SSRC, n)), 1);
            // The right SSRC, and the right numbers too.
            assert_eq!(rig.receive_from(from, audio(SSRC, n + 1)), 0, "{from}");
            rig.talk(20);
        }
        assert_eq!(rig.sent_to(), [address(PEER)]);
        let quality = rig.leg.quality();
        assert_eq!((quality.packets_received, quality.discarded), (1_000, 1_000));
        assert_eq!(rig.events(), [Event::FirstAudio]);
    }
}

#[test]
fn the_right_source_may_be_silent_for_a_while() {
    let mut rig = Rig::answered();
    rig.stream_from(PEER, SSRC, 0..10);
    assert_eq!(rig.stream_from(TRUSTED, SSRC, 10..250), 0);
    assert_eq!(rig.stream_from(PEER, SSRC, 250..260), 10);
}

#[test]
fn a_trusted_source_is_learned_when_the_right_one_is_silent() {
    for from in [SAME_HOST, TRUSTED] {
        let mut rig = Rig::answered();
        assert_eq!(rig.stream_from(from, SSRC, 0..10), 6, "{from}");
        rig.talk(20);
        let moved = Event::LatchMoved { from: address(PEER), to: address(from) };
        assert_eq!(rig.events(), [moved, Event::FirstAudio]);
        assert_eq!(rig.sent_to(), [address(from)]);
        // Locked: another one, just as trusted, is none.
        assert_eq!(rig.stream_from("198.51.100.8:7000", SSRC, 10..900), 0);
        // The SDP's address always wins, and then nobody else does.
        assert_eq!(rig.receive(audio(SSRC, 900)), 1);
        assert_eq!(rig.events(), [Event::LatchMoved { from: address(from), to: address(PEER) }]);
        rig.pass(60_000);
        assert_eq!(rig.stream_from(from, SSRC, 901..1_000), 0);
        rig.talk(20);
        assert_eq!(rig.sent_to(), [address(PEER)]);
    }
}

#[test]
fn strangers_are_never_learned() {
    let mut rig = Rig::answered();
    assert_eq!(rig.stream_from(STRANGER, SSRC, 0..2_000), 0);
    rig.talk(20);
    assert_eq!(rig.sent_to(), [address(PEER)]);
    assert_eq!(rig.leg.quality().discarded, 2_000);
}

#[test]
fn only_good_packets_in_a_row_make_a_source() {
    type Make = fn(u16) -> Vec<u8>;
    let cases: [(&str, Make); 5] = [
        ("holes", |n| audio(SSRC, n * 2)),
        ("the same again", |_| audio(SSRC, 7)),
        ("each of another stream", |n| audio(u32::from(n), n)),
        ("a payload type nobody spoke of", |n| packet(96, SSRC, n, 0, &[0; 160])),
        ("no RTP", |n| n.to_be_bytes().repeat(20)),
    ];
    for (name, make) in cases {
        let mut rig = Rig::answered();
        for n in 0..500 {
            assert_eq!(rig.receive_from(TRUSTED, make(n)), 0, "{name}");
        }
    }
}

#[test]
fn a_stray_stream_does_not_keep_the_right_one_out() {
    let mut rig = Rig::answered();
    let mut heard = 0;
    for n in 0..5 {
        rig.receive_from("198.51.100.8:7000", audio(1, n * 3));
        heard += rig.receive_from(TRUSTED, audio(SSRC, n));
    }
    assert_eq!(heard, 1);
}

#[test]
fn right_after_the_answer_the_sdps_address_has_the_first_word() {
    let mut rig = Rig::early();
    rig.leg.answered(rig.now);
    assert_eq!(rig.stream_from(SAME_HOST, 1, 0..9), 0);
    assert_eq!(rig.stream_from(PEER, SSRC, 0..9), 9);
    assert_eq!(rig.stream_from(SAME_HOST, 1, 9..200), 0);
}

#[test]
fn a_new_sdp_begins_anew() {
    let mut rig = Rig::answered();
    rig.stream_from(TRUSTED, SSRC, 0..10);
    // The same address again: what was learned stays.
    rig.remote(&remote());
    assert_eq!(rig.stream_from(TRUSTED, SSRC, 10..20), 10);
    // Hold and resume too.
    rig.remote(&Remote { address: None, ..remote() });
    assert_eq!(rig.stream_from(TRUSTED, SSRC, 20..30), 10);
    rig.remote(&remote());
    assert_eq!(rig.stream_from(TRUSTED, SSRC, 30..40), 10);
    // Another address: it is forgotten.
    let elsewhere = "192.0.2.11:4002";
    rig.remote(&Remote::new(address(elsewhere), Codec::Pcma));
    assert_eq!(rig.stream_from(TRUSTED, SSRC, 40..45), 0);
    assert_eq!(rig.stream_from(elsewhere, SSRC, 45..50), 5);
    assert_eq!(rig.stream_from(PEER, SSRC, 50..90), 0);
    rig.talk(20);
    assert_eq!(rig.sent_to(), [address(elsewhere)]);
}

#[test]
fn an_ipv4_address_may_be_written_as_ipv6() {
    let mut rig = Rig::answered();
    assert_eq!(rig.receive_from("[::ffff:192.0.2.10]:4000", audio(SSRC, 1)), 1);
}

//! What strangers may send: nothing panics, nothing grows, and what is read makes sense.

use super::*;
use proptest::prelude::*;

/// What holds for every body, whatever is in it.
fn check(body: &[u8]) {
    for ours in [plain(), encrypted()] {
        if let Ok(remote) = read_answer(&ours, body) {
            sound(&ours, &remote);
        }
        let mut next = ours.clone();
        match answer(&mut next, body) {
            Ok((said, remote)) => {
                sound(&ours, &remote);
                assert_eq!(next.version, ours.version + 1);
                assert_eq!((next.address, &next.codecs), (ours.address, &ours.codecs));
                assert_eq!(next.crypto.is_empty(), ours.crypto.is_empty());
                assert!(said.len() < 2 * MAX_BODY);
                reads_back(&next, &said, &remote);
            }
            Err(error) => {
                assert_eq!(next, ours);
                assert!(error.to_string().len() < 500);
            }
        }
    }
}

fn sound(ours: &Offer, remote: &Remote) {
    assert!(ours.codecs.contains(&remote.codec));
    assert!(remote.accepts.len() <= 128);
    assert_eq!(remote.is_hold(), remote.address.is_none() || !remote.direction.listens());
    for address in [remote.address, remote.rtcp].into_iter().flatten() {
        assert!(!address.ip().is_unspecified() && !address.ip().is_multicast());
        assert_eq!(address.is_ipv4(), ours.address.is_ipv4());
        assert_ne!(address.port(), 0);
    }
    if remote.address.is_some() {
        assert_eq!(remote.payload(remote.payload_type), Some(Payload::Audio(remote.codec)));
        assert_eq!(remote.crypto.is_some(), !ours.crypto.is_empty());
    }
}

/// Our answer is a good answer, whatever it answers.
fn reads_back(ours: &Offer, said: &[u8], remote: &Remote) {
    let read = read_answer(ours, said);
    match remote.accepts.is_empty() {
        true => assert_eq!(read, Err(SdpError::AudioRefused)),
        false => {
            let read = read.unwrap();
            assert_eq!(read.address, Some(ours.address));
            assert_eq!((read.codec, read.payload_type), (remote.codec, remote.payload_type));
            assert_eq!(read.direction, remote.direction.mirrored());
        }
    }
}

#[test]
fn arbitrary_bytes() {
    bolero::check!().for_each(|body: &[u8]| check(body));
}

/// Lines of real bodies and near-lines, in any order and number.
fn line() -> impl Strategy<Value = String> {
    let known = prop::sample::select(
        bodies::ALL
            .iter()
            .flat_map(|(body, _)| body.lines())
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    );
    let made = prop_oneof![
        "m=(audio|video|AUDIO) [0-9]{1,6}(/[0-9]{1,3})? (RTP/S?AVPF?|udptl|UDP/TLS/RTP/SAVPF)( [0-9]{1,4}){0,9}",
        "a=rtpmap:[0-9]{0,4} (PCMA|pcmu|CN|telephone-event|G729|opus)/(8000|48000)(/[12])?",
        "a=(ptime|maxptime|rtcp|fmtp|crypto):?[ -~]{0,40}",
        "a=(sendrecv|sendonly|recvonly|inactive|rtcp-mux)",
        "c=IN IP[46] ([0-9.]{1,15}|[0-9a-f:]{1,20}|[a-z.]{1,20})(/[0-9]{1,4}){0,2}",
        "a=crypto:[0-9]{1,3} AES_CM_128_HMAC_SHA1_(80|32) inline:[A-Za-z0-9+/]{40}(\\|2\\^[0-9]{1,3})?(\\|[0-9]:[0-9])?",
        "[a-z]=[ -~]{0,60}",
        "[ -~]{0,30}",
    ];
    prop_oneof![3 => known, 2 => made]
}

fn whole() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(line(), 0..30);
    (lines, prop::sample::select(vec!["\r\n", "\n"]))
        .prop_map(|(lines, end)| format!("v=0{end}{}", lines.join(end)).into_bytes())
}

/// A real body with a few bytes changed, removed or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12);
    (prop::sample::select(bodies::ALL.to_vec()), cuts).prop_map(|((body, _), cuts)| {
        let mut body = body.as_bytes().to_vec();
        for (place, byte, what) in cuts {
            let place = place.index(body.len());
            match what {
                0 => body[place] = byte,
                1 => body.insert(place, byte),
                2 if body.len() > 1 => drop(body.remove(place)),
                _ => body.insert(place, body[place]),
            }
        }
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_of_lines(body in whole()) {
        check(&body);
    }

    #[test]
    fn real_but_damaged(body in damaged()) {
        check(&body);
    }

    #[test]
    fn our_own_offers_read_back(
        port in 1..=u16::MAX,
        v6 in any::<bool>(),
        secure in any::<bool>(),
        session_id in any::<u64>(),
        codecs in prop::sample::subsequence(vec![Codec::Pcma, Codec::Pcmu], 1..=2),
    ) {
        let ip = if v6 { "2001:db8::5" } else { "203.0.113.5" }.parse().unwrap();
        let ours = Offer::new(SocketAddr::new(ip, port), codecs.clone(), secure, session_id);
        let body = ours.to_bytes();
        let remote = read_answer(&ours, &body).unwrap();
        prop_assert_eq!(remote.address, Some(ours.address));
        prop_assert_eq!((remote.codec, remote.telephone_event), (codecs[0], Some(TELEPHONE_EVENT)));
        prop_assert_eq!(remote.crypto.is_some(), secure);
        // The other end answers what we offer, and we understand it.
        let mut theirs = Offer::new(SocketAddr::new(ip, 9), vec![Codec::Pcmu, Codec::Pcma], secure, 1);
        let (said, offered) = answer(&mut theirs, &body).unwrap();
        let answered = read_answer(&ours, &said).unwrap();
        prop_assert_eq!(answered.codec, offered.codec);
        if let (Some(ours), Some(theirs)) = (answered.crypto, offered.crypto) {
            prop_assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
        }
    }
}

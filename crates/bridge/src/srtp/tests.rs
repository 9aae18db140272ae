use super::*;
use proptest::prelude::*;

/// The master key and salt of RFC 3711, B.3.
const MASTER: &str = "4fl6DT4Bi+DWT6MsBt5BOQ7Gda1Jiv7rtpYLOqvm";

const SSRC: u32 = 0xcafe_babe;

fn rfc_key(suite: Suite) -> MasterKey {
    CryptoLine::parse(&format!("1 {} inline:{MASTER}", suite.name())).unwrap().key
}

/// Two ends that know each other's keys.
fn pair(suite: Suite) -> (SrtpContext, SrtpContext) {
    let (one, other) = (MasterKey::generate(suite), MasterKey::generate(suite));
    let keys = MediaKeys { send: one.clone(), receive: other.clone() };
    let mirrored = MediaKeys { send: other, receive: one };
    (SrtpContext::new(&keys).unwrap(), SrtpContext::new(&mirrored).unwrap())
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 160]);
    packet
}

fn protected(context: &mut SrtpContext, mut packet: Vec<u8>) -> Vec<u8> {
    context.protect_rtp(&mut packet).unwrap();
    packet
}

fn unprotected(context: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let before = packet.clone();
    let plain = context.unprotect_rtp(&mut packet).map(|plain| plain.to_vec());
    if plain.is_err() {
        assert_eq!(packet, before);
    }
    plain
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|char| char.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// What libsrtp 2 makes of the master key of RFC 3711, B.3: the sequence number rolls over, and a
/// header has sources and an extension. The first packet is also that which comes of encrypting
/// and signing with the session keys that B.3 lists.
const LIBSRTP: [(&str, &str); 5] = [
    (
        "8008fffe009ffec0cafebabed5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5",
        "8008fffe009ffec0cafebabea496cea0fdb6ce30e88c345a5bc29660e3c88e765b64813e2925a06e2894",
    ),
    (
        "8008ffff009fff60cafebabed5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5",
        "8008ffff009fff60cafebabe8d10e882f9d27f0bf29421eac46963c63dfa4dc82b0dafb3f321a46711ad",
    ),
    (
        "8008000000000000cafebabed5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5",
        "8008000000000000cafebabe5a928753e2e9c154b807c9e883834824f4a9e2705724d8eb285570a68880",
    ),
    (
        "80080001000000a0cafebabed5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5",
        "80080001000000a0cafebabec88f8eda26dc46d243512bd21b18cc22079208e4eb5b44ef20b57c886cb2",
    ),
    (
        "9208000200000140cafebabe0000000100000002bede00011085000001020304",
        "9208000200000140cafebabe0000000100000002bede000110850000c976dae919f67f9e7db96bba0df4",
    ),
];

/// The same packet twice, with the indices 1 and 2: the same for both suites.
const LIBSRTP_RTCP: (&str, [&str; 2]) = (
    "80c80006cafebabe000102030405060708090a0b0c0d0e0f10111213",
    [
        "80c80006cafebabeda82aaf34b2914111d5a31e15ed1000c6e55013980000001323b6a241a6ce15eb70c",
        "80c80006cafebabec9b39d4230d6217671371205b57e19fb84e184a480000002cd00715e321974a88f7a",
    ],
);

#[test]
fn the_packets_are_those_of_libsrtp() {
    for suite in Suite::ALL {
        let keys = MediaKeys { send: rfc_key(suite), receive: rfc_key(suite) };
        let mut context = SrtpContext::new(&keys).unwrap();
        // The short tag is the beginning of the long one.
        let cut = if suite == Suite::Sha1_80 { 0 } else { 6 };
        for (plain, secret) in LIBSRTP {
            let secret = bytes(secret);
            let secret = &secret[..secret.len() - cut];
            assert_eq!(protected(&mut context, bytes(plain)), secret);
            assert_eq!(unprotected(&mut context, secret), Ok(bytes(plain)));
        }
        let (plain, secrets) = LIBSRTP_RTCP;
        // Ours counts from 0, libsrtp from 1. Both are good.
        context.protect_rtcp(&mut bytes(plain)).unwrap();
        for secret in secrets {
            let mut packet = bytes(plain);
            context.protect_rtcp(&mut packet).unwrap();
            assert_eq!(packet, bytes(secret));
            assert_eq!(context.unprotect_rtcp(&mut packet).unwrap(), bytes(plain));
        }
    }
}

#[test]
fn both_directions_have_keys_of_their_own() {
    for suite in Suite::ALL {
        let (mut one, mut other) = pair(suite);
        for sequence in 0..100 {
            let there = protected(&mut one, rtp(1, sequence));
            let back = protected(&mut other, rtp(2, sequence));
            assert_eq!(there.len(), 172 + if suite == Suite::Sha1_80 { 10 } else { 4 });
            assert_ne!(there[12..172], [0xd5; 160]);
            assert_eq!(unprotected(&mut other, &there), Ok(rtp(1, sequence)));
            assert_eq!(unprotected(&mut one, &back), Ok(rtp(2, sequence)));
            // What we sent does not come back as theirs.
            assert_eq!(unprotected(&mut one, &there), Err(SrtpError::NotAuthentic));
        }
    }
}

#[test]
fn a_packet_counts_once() {
    let (mut one, mut other) = pair(Suite::Sha1_80);
    let packets: Vec<_> =
        (0..300).map(|sequence| protected(&mut one, rtp(SSRC, sequence))).collect();
    // Out of order is fine, twice is not.
    for place in [1, 0, 2, 120] {
        assert!(unprotected(&mut other, &packets[place]).is_ok());
        assert_eq!(unprotected(&mut other, &packets[place]), Err(SrtpError::Replayed));
    }
    assert!(unprotected(&mut other, &packets[299]).is_ok());
    // Too old to tell whether it was here.
    assert_eq!(unprotected(&mut other, &packets[100]), Err(SrtpError::Replayed));
    assert!(unprotected(&mut other, &packets[200]).is_ok());

    let mut report = bytes(LIBSRTP_RTCP.0);
    one.protect_rtcp(&mut report).unwrap();
    assert!(other.unprotect_rtcp(&mut report.clone()).is_ok());
    assert_eq!(other.unprotect_rtcp(&mut report), Err(SrtpError::Replayed));
}

#[test]
fn a_changed_packet_is_not_taken() {
    for suite in Suite::ALL {
        let (mut one, mut other) = pair(suite);
        let packet = protected(&mut one, rtp(SSRC, 7));
        for place in 0..packet.len() {
            let mut changed = packet.clone();
            changed[place] ^= 1;
            assert!(unprotected(&mut other, &changed).is_err(), "byte {place}");
        }
        for length in 0..packet.len() {
            assert!(unprotected(&mut other, &packet[..length]).is_err(), "{length} bytes");
        }
        // And all of that did no harm.
        assert!(unprotected(&mut other, &packet).is_ok());

        let mut report = bytes(LIBSRTP_RTCP.0);
        one.protect_rtcp(&mut report).unwrap();
        for place in 0..report.len() {
            let mut changed = report.clone();
            changed[place] ^= 0x80;
            assert!(other.unprotect_rtcp(&mut changed).is_err(), "byte {place}");
        }
        assert!(other.unprotect_rtcp(&mut report).is_ok());
    }
}

/// In clear, and marked as such: the mark is not believed.
#[test]
fn what_is_not_encrypted_is_not_taken() {
    let (_, mut other) = pair(Suite::Sha1_80);
    assert_eq!(unprotected(&mut other, &rtp(SSRC, 7)), Err(SrtpError::NotAuthentic));
    let mut report = bytes(LIBSRTP_RTCP.0);
    assert!(other.unprotect_rtcp(&mut report.clone()).is_err());
    report.extend([0, 0, 0, 1]);
    report.extend([0; 10]);
    assert_eq!(other.unprotect_rtcp(&mut report), Err(SrtpError::NotAuthentic));
}

#[test]
fn the_other_suite_or_key_is_not_taken() {
    let keys = |suite| MediaKeys { send: rfc_key(suite), receive: rfc_key(suite) };
    let mut one = SrtpContext::new(&keys(Suite::Sha1_80)).unwrap();
    let packet = protected(&mut one, rtp(SSRC, 1));
    let mut other = SrtpContext::new(&keys(Suite::Sha1_32)).unwrap();
    assert_eq!(unprotected(&mut other, &packet), Err(SrtpError::NotAuthentic));
    let (_, mut stranger) = pair(Suite::Sha1_80);
    assert_eq!(unprotected(&mut stranger, &packet), Err(SrtpError::NotAuthentic));
}

/// 45 minutes of a call with gaps of 2 s, and most lost right where the number starts again.
#[test]
fn the_sequence_number_starts_again() {
    let (mut one, mut other) = pair(Suite::Sha1_80);
    let mut sequence = 65_000_u16;
    for step in 0..1400 {
        let packet = protected(&mut one, rtp(SSRC, sequence));
        if !(3..30).contains(&step) {
            assert!(unprotected(&mut other, &packet).is_ok(), "step {step}");
        }
        sequence = sequence.wrapping_add(97);
    }
}

#[test]
fn strangers_cost_nothing_and_peers_little() {
    let (mut one, mut other) = pair(Suite::Sha1_80);
    let (mut stranger, _) = pair(Suite::Sha1_80);
    for ssrc in 0..1000 {
        let forged = protected(&mut stranger, rtp(ssrc, 30_000));
        assert_eq!(unprotected(&mut other, &forged), Err(SrtpError::NotAuthentic));
    }
    // A forged packet of a sender to come does not spoil its first.
    assert!(unprotected(&mut other, &protected(&mut one, rtp(5, 100))).is_ok());
    let results: Vec<_> = (1000..1100)
        .map(|ssrc| unprotected(&mut other, &protected(&mut one, rtp(ssrc, 1))).map(drop))
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 31);
    assert_eq!(results.last().unwrap(), &Err(SrtpError::TooManySenders));
    assert!(unprotected(&mut other, &protected(&mut one, rtp(5, 101))).is_ok());
}

#[test]
fn keys_that_stay_go_on_and_new_ones_replace_them() {
    let (one_key, other_key) =
        (MasterKey::generate(Suite::Sha1_80), MasterKey::generate(Suite::Sha1_80));
    let keys = MediaKeys { send: one_key.clone(), receive: other_key.clone() };
    let mirrored = MediaKeys { send: other_key.clone(), receive: one_key.clone() };
    let mut one = SrtpContext::new(&keys).unwrap();
    let mut other = SrtpContext::new(&mirrored).unwrap();
    // Past the first roll-over, which a context that began anew would not know of.
    let packets: Vec<_> =
        (65_500..65_600_u32).map(|index| protected(&mut one, rtp(SSRC, index as u16))).collect();
    for packet in &packets {
        assert!(unprotected(&mut other, packet).is_ok());
    }
    one.rekey(&keys).unwrap();
    other.rekey(&mirrored).unwrap();
    assert_eq!(unprotected(&mut other, &packets[99]), Err(SrtpError::Replayed));
    assert!(unprotected(&mut other, &protected(&mut one, rtp(SSRC, 64))).is_ok());

    // A new key for one direction leaves the other as it is.
    let new = MasterKey::generate(Suite::Sha1_32);
    one.rekey(&MediaKeys { send: new.clone(), receive: other_key.clone() }).unwrap();
    let late = protected(&mut one, rtp(SSRC, 65));
    assert_eq!(unprotected(&mut other, &late), Err(SrtpError::NotAuthentic));
    other.rekey(&MediaKeys { send: other_key, receive: new }).unwrap();
    assert!(unprotected(&mut other, &late).is_ok());
    assert_eq!(unprotected(&mut other, &packets[99]), Err(SrtpError::NotAuthentic));
    assert!(unprotected(&mut one, &protected(&mut other, rtp(2, 1))).is_ok());
}

#[test]
fn what_cannot_be_protected_is_not_left_to_be_sent() {
    let (mut one, _) = pair(Suite::Sha1_80);
    for mut packet in [vec![], vec![0x80; 11], vec![0; 100], b"hello".to_vec()] {
        assert!(one.protect_rtp(&mut packet).is_err());
        assert!(packet.is_empty());
    }
    for mut packet in [vec![], vec![0x80; 7], vec![0; 100]] {
        assert!(one.protect_rtcp(&mut packet).is_err());
        assert!(packet.is_empty());
    }
}

#[test]
fn lines() {
    #[track_caller]
    fn check(text: &str, expected: Result<(u32, Suite), CryptoLineError>) {
        let read = CryptoLine::parse(text).map(|line| (line.tag, line.key.suite()));
        assert_eq!(read, expected, "{text}");
    }
    let line = |rest: &str| format!("1 AES_CM_128_HMAC_SHA1_80 inline:{MASTER}{rest}");
    let malformed = Err(CryptoLineError::Malformed);
    let short_lived = Err(CryptoLineError::ShortLived);
    let good = Ok((1, Suite::Sha1_80));
    check(&line(""), good);
    check(&line("|2^20"), good);
    check(&line("|2^48"), good);
    check(&line("|1048576"), good);
    check(&line(" WSH=64"), good);
    check(&format!("  7   aes_cm_128_hmac_sha1_32  INLINE:{MASTER} "), Ok((7, Suite::Sha1_32)));
    check(&line("|2^19"), short_lived);
    check(&line("|1000"), short_lived);
    check(&line("|0"), short_lived);
    check(&line("|2^64"), malformed);
    check(&line("|2^x"), malformed);
    check(&line("|-5"), malformed);
    check(&line("|"), malformed);
    check(&line("|2^20|1:4"), Err(CryptoLineError::KeyIndex));
    check(&line("|1:4"), Err(CryptoLineError::KeyIndex));
    check(&line(&format!(";inline:{MASTER}")), Err(CryptoLineError::KeyIndex));
    check(&line(" UNAUTHENTICATED_SRTP"), Err(CryptoLineError::SessionParameters));
    check(&line(" KDR=1"), Err(CryptoLineError::SessionParameters));
    check(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &MASTER[..36]), malformed);
    check(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{MASTER}AAAA"), malformed);
    check("1 AES_CM_128_HMAC_SHA1_80 inline:!", malformed);
    check("1 AES_CM_128_HMAC_SHA1_80 uri:x", malformed);
    check("1 AES_CM_128_HMAC_SHA1_80", malformed);
    check("1 F8_128_HMAC_SHA1_80 inline:x", Err(CryptoLineError::UnknownSuite));
    check(&format!("x AES_CM_128_HMAC_SHA1_80 inline:{MASTER}"), malformed);
    check(&format!("+1 AES_CM_128_HMAC_SHA1_80 inline:{MASTER}"), malformed);
    check(&format!("9999999999 AES_CM_128_HMAC_SHA1_80 inline:{MASTER}"), malformed);
    check("", malformed);
}

#[test]
fn keys_are_never_printed() {
    let key = rfc_key(Suite::Sha1_80);
    assert_eq!(format!("{key:?}"), "MasterKey { suite: Sha1_80, .. }");
    let keys = MediaKeys { send: key.clone(), receive: key };
    let context = SrtpContext::new(&keys).unwrap();
    assert!(format!("{context:?}").ends_with("MasterKey { suite: Sha1_80, .. } }, .. }"));
}

#[test]
fn keys_are_all_different() {
    let lines = CryptoLine::offer();
    let more = CryptoLine::offer();
    let keys: Vec<_> = lines.iter().chain(&more).map(CryptoLine::to_value).collect();
    for (place, key) in keys.iter().enumerate() {
        let inline = key.split("inline:").nth(1).unwrap();
        assert_eq!(inline.len(), 40);
        assert!(keys[place + 1..].iter().all(|other| !other.ends_with(inline)));
    }
    assert_eq!(lines.iter().map(|line| line.tag).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn arbitrary_packets() {
    bolero::check!().for_each(|packet: &[u8]| {
        let (mut one, mut other) = pair(Suite::Sha1_80);
        assert!(unprotected(&mut other, packet).is_err());
        assert!(other.unprotect_rtcp(&mut packet.to_vec()).is_err());
        for rtcp in [false, true] {
            let mut sent = packet.to_vec();
            let result =
                if rtcp { one.protect_rtcp(&mut sent) } else { one.protect_rtp(&mut sent) };
            assert_eq!(sent.is_empty(), result.is_err());
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_lines(text in "[ -~]{0,80}") {
        let _ = CryptoLine::parse(&text);
    }

    #[test]
    fn lines_read_back(tag in 0..1_000_000_000_u32, short in any::<bool>()) {
        let suite = if short { Suite::Sha1_32 } else { Suite::Sha1_80 };
        let line = CryptoLine { tag, key: MasterKey::generate(suite) };
        prop_assert_eq!(CryptoLine::parse(&line.to_value()), Ok(line));
    }
}
